//! Calls, each by itself: whether the contract has such an answer, just then.

use std::collections::HashMap;

use warden::Code;
use warden::wire::Outcome;

use super::faults::Faults;
use super::{Law, Verdict};
use crate::record::{Answer, At, Call, ClientNo, History, Ns, Op};

pub fn check(history: &History, faults: &Faults, verdict: &mut Verdict) {
    // A client that was not answered yet may have been told of a broker that was gone by then.
    // Who was answered had its connection when it asked: one that was stopped may have read the
    // answer when the broker that gave it was gone.
    let mut heard: HashMap<ClientNo, Ns> = HashMap::new();
    for op in &history.ops {
        let Some((answered, answer)) = &op.answer else {
            continue;
        };
        let since = heard.entry(op.client).or_default();
        let may_be = match answer {
            // Connections break with their broker and with nothing else, not even with its
            // program; which a client may come to notice when the next broker serves.
            Answer::Lost | Answer::NotSent => faults.was_away(*since, *answered),
            Answer::Refused(Code::ShuttingDown) => faults.was_leaving(op.at, *answered),
            Answer::Refused(Code::JournalUnwritable) => {
                fits(op, answer) && faults.was_full(op.at, *answered)
            }
            _ => fits(op, answer),
        };
        verdict.demand(Law::Answer, may_be, || {
            let at = At(*answered);
            format!(
                "{:?} of client {} was answered at {at} with {answer:?}",
                op.call, op.client
            )
        });
        if !matches!(answer, Answer::Lost | Answer::NotSent | Answer::HungUp) {
            *since = op.at;
        }
    }
}

/// Whether there is such an answer to such a call.
fn fits(op: &Op, answer: &Answer) -> bool {
    match (answer, &op.call) {
        (Answer::HungUp | Answer::Granted(_) | Answer::Waiting, Call::Lock(_)) => true,
        (Answer::Granted(_) | Answer::Waiting, Call::Look(_)) => true,
        (Answer::Ended(_), Call::Lock(_) | Call::Cancel(_) | Call::Look(_)) => true,
        (Answer::Renewed, Call::Renew { .. }) => true,
        (Answer::Released(Outcome::Released | Outcome::Yielded), Call::Unlock { .. }) => true,
        (Answer::LeaseEnded(_), Call::Renew { .. } | Call::Unlock { .. }) => true,
        (Answer::Refused(Code::UnknownLease), Call::Renew { .. } | Call::Unlock { .. }) => true,
        (Answer::Refused(Code::StaleToken), Call::Renew { .. } | Call::Unlock { .. }) => true,
        (Answer::Refused(Code::UnknownRequest), Call::Cancel(_) | Call::Look(_)) => true,
        // What is held is renewed and given back on a full disk too.
        (
            Answer::Refused(Code::JournalUnwritable),
            Call::Lock(_) | Call::Cancel(_) | Call::Look(_),
        ) => true,
        // The broker says that it does nothing just now.
        (Answer::Refused(Code::NotReady | Code::TooManyRequests), _) => true,
        // Judged with the request.
        (Answer::Refused(Code::Superseded), Call::Lock(_)) => true,
        _ => false,
    }
}
