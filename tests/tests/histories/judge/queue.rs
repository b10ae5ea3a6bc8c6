//! The onlooker's pictures, held against what clients know and against each other.

use std::collections::{BTreeMap, HashMap, HashSet};

use warden::wire::Outcome;
use warden::{LeaseId, RequestId};

use super::leases::{Lease, Leases};
use super::{Law, Verdict};
use crate::record::{Answer, At, Call, History, Ns, Row, Sample};

pub fn check(history: &History, leases: &Leases, verdict: &mut Verdict) {
    check_progress(history, verdict);
    check_counts(history, leases, verdict);
    check_leases(history, leases, verdict);
    check_arrivals(history, verdict);
    check_turns(history, leases, verdict);
}

/// Neither the revision nor the count of grants goes back.
fn check_progress(history: &History, verdict: &mut Verdict) {
    for pair in history.samples.windows(2) {
        let [before, after] = pair else { continue };
        let grows = before.revision <= after.revision && before.granted <= after.granted;
        verdict.demand(Law::Picture, grows, || {
            format!(
                "revision {} and {} grants at {}, then {} and {} at {}",
                before.revision,
                before.granted,
                At(before.answered),
                after.revision,
                after.granted,
                At(after.answered)
            )
        });
    }
}

/// Once nobody waits or holds anything, what was granted has ended, and what clients saw is counted.
fn check_counts(history: &History, leases: &Leases, verdict: &mut Verdict) {
    let Some(last) = history.samples.last() else {
        return;
    };
    let quiet = last.queue.is_empty() && last.leases.is_empty();
    verdict.demand(Law::Picture, quiet, || {
        format!(
            "{} wait and {} are held for ever",
            last.queue.len(),
            last.leases.len()
        )
    });
    let ended = last.ended.iter();
    let ended = ended.filter(|(outcome, _)| !ends_waiter(**outcome));
    let ended: u64 = ended.map(|(_, count)| count).sum();
    let counted = last.granted == ended && last.granted >= leases.all.len() as u64;
    verdict.demand(Law::Picture, !quiet || counted, || {
        format!(
            "{} leases were told of, {} granted and {ended} ended",
            leases.all.len(),
            last.granted
        )
    });
}

/// Whether it is the end of a request that never became a lease.
fn ends_waiter(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Cancelled
            | Outcome::TimedOut
            | Outcome::ClientGone
            | Outcome::Cleared
            | Outcome::Impossible
    )
}

/// Every lease that its holder relies on while the status is made is in it, and none that it knew
/// to be over.
fn check_leases(history: &History, leases: &Leases, verdict: &mut Verdict) {
    let by_id: HashMap<&LeaseId, &Lease> = leases
        .all
        .iter()
        .map(|lease| (&lease.told.lease_id, lease))
        .collect();
    let mut by_seen: Vec<&Lease> = leases.all.iter().collect();
    by_seen.sort_by_key(|lease| lease.seen);
    let mut coming = by_seen.into_iter().peekable();
    let mut relied: BTreeMap<u64, &Lease> = BTreeMap::new();
    for sample in &history.samples {
        while let Some(lease) = coming.next_if(|lease| lease.seen < sample.at) {
            relied.insert(lease.told.token, lease);
        }
        relied.retain(|_, lease| lease.relied_until() > sample.at);
        let shown: HashSet<&LeaseId> = sample.leases.iter().collect();
        for lease in relied.values() {
            let must = lease.relied_until() > sample.answered;
            let holds = !must || shown.contains(&lease.told.lease_id);
            verdict.demand(Law::Picture, holds, || {
                format!("{lease} is not in the status of {}", At(sample.answered))
            });
        }
        if sample.unwritable_since.is_some() {
            // What was given back since is still shown.
            continue;
        }
        for lease in sample.leases.iter().filter_map(|id| by_id.get(id)) {
            let over = lease.over.first();
            let holds = over.is_none_or(|over| over.answered > sample.at);
            verdict.demand(Law::Picture, holds, || {
                format!(
                    "{lease} was over, and is in the status of {}",
                    At(sample.answered)
                )
            });
        }
    }
}

/// Who waits has one number of arrival, through all restarts.
fn check_arrivals(history: &History, verdict: &mut Verdict) {
    let mut arrivals: HashMap<&RequestId, u64> = HashMap::new();
    for sample in &history.samples {
        for row in &sample.queue {
            let first = *arrivals.entry(&row.request_id).or_insert(row.arrival);
            verdict.demand(Law::Place, first == row.arrival, || {
                format!(
                    "request {} arrived as number {first} and, at {}, as {}",
                    row.request_id,
                    At(sample.answered),
                    row.arrival
                )
            });
        }
    }
}

/// When the post that brought a request its lease was sent and answered.
type Posts<'a> = HashMap<&'a RequestId, (Ns, Ns)>;

/// Of two plain requests in one picture the earlier is granted first, unless the later is more
/// urgent or the earlier has not waited on one connection from then on. (Who is not connected may
/// be passed; and of one who once hung up the broker may hear that late.)
fn check_turns(history: &History, leases: &Leases, verdict: &mut Verdict) {
    let mut posts: Posts = HashMap::new();
    let mut hung_up: HashSet<&RequestId> = HashSet::new();
    for op in &history.ops {
        let Call::Lock(body) = &op.call else { continue };
        let Some(id) = &body.request_id else { continue };
        match &op.answer {
            Some((answered, Answer::Granted(_))) => drop(posts.insert(id, (op.at, *answered))),
            Some((_, Answer::HungUp)) => drop(hung_up.insert(id)),
            _ => {}
        }
    }
    posts.retain(|id, _| !hung_up.contains(id));
    let tokens: HashMap<&RequestId, u64> = leases
        .all
        .iter()
        .map(|lease| (&lease.told.request_id, lease.told.token))
        .collect();
    let written = |sample: &&Sample| sample.unwritable_since.is_none();
    for sample in history.samples.iter().filter(written) {
        check_picture(history, sample, &posts, &tokens, verdict);
    }
}

fn check_picture(
    history: &History,
    sample: &Sample,
    posts: &Posts,
    tokens: &HashMap<&RequestId, u64>,
    verdict: &mut Verdict,
) {
    let waited_on = |row: &&Row| {
        let post = posts.get(&row.request_id);
        row.connected
            && post.is_some_and(|(at, answered)| *at < sample.at && sample.answered < *answered)
    };
    for earlier in sample.queue.iter().filter(waited_on) {
        let later = sample.queue.iter().filter(|later| {
            // An overdue one goes before everyone else, whoever came first.
            later.arrival > earlier.arrival
                && later.passed < history.rules.max_bypass
                && later.plain
                && earlier.plain
                && later.priority >= earlier.priority
        });
        let Some(token) = tokens.get(&earlier.request_id) else {
            continue;
        };
        for later in later {
            let in_turn = tokens
                .get(&later.request_id)
                .is_none_or(|other| token < other);
            verdict.demand(Law::Place, in_turn, || {
                format!(
                    "request {} (arrival {}) was served before {} (arrival {}), both waiting at \
                     {}",
                    later.request_id,
                    later.arrival,
                    earlier.request_id,
                    earlier.arrival,
                    At(sample.answered)
                )
            });
        }
    }
}
