//! Whether all of it can have happened in one order: stateright's linearizability tester, against
//! a lock service that is written down in a page.
//!
//! Such a search can take for ever on a long history. It is bounded by what is known. A token names
//! the grant and the end of one lease and says which grant comes next, so that only the ends can be
//! moved about; that a lease was said to live puts its end after that was asked. And a window of a
//! few leases whose tokens follow each other is searched at a time. Leaving out whole leases makes
//! no history worse, so a window that has no order shows that the whole has none. What lies further
//! apart than a window is left to `hold`, which looks at all of it.

use std::collections::{BTreeMap, VecDeque};

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

use super::leases::{Lease, Leases};
use super::{Law, Verdict};
use crate::record::{History, Ns, Rules};

/// Leases in a window. Each lease but the first few and the last is in two.
const WINDOW: usize = 8;

/// A lock service, one call after the other.
#[derive(Clone, Debug)]
struct Service {
    /// What shares may have of each GPU.
    capacities_mib: Vec<u64>,
    loads_at_once: u32,
    /// Those that are given next.
    tokens: VecDeque<u64>,
    live: BTreeMap<u64, Lot>,
}

/// What a lease is given.
#[derive(Clone, Debug)]
struct Lot {
    /// Positions in the list of GPUs.
    gpus: Vec<usize>,
    share_mib: Option<u64>,
    loads: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Grant(u64, Lot),
    End(u64),
}

impl Service {
    fn fits(&self, lot: &Lot) -> bool {
        let loads = self.live.values().filter(|live| live.loads).count();
        let slot = !lot.loads || loads < self.loads_at_once as usize;
        slot && lot.gpus.iter().all(|gpu| self.fits_on(*gpu, lot))
    }

    fn fits_on(&self, gpu: usize, lot: &Lot) -> bool {
        let there = || self.live.values().filter(|live| live.gpus.contains(&gpu));
        let alone = lot.share_mib.is_none() || there().any(|live| live.share_mib.is_none());
        let shared: u64 = there().chain([lot]).filter_map(|lot| lot.share_mib).sum();
        there().next().is_none() || !alone && shared <= self.capacities_mib[gpu]
    }
}

impl SequentialSpec for Service {
    type Op = Step;
    /// Whether the step can be taken now. All that were seen were.
    type Ret = bool;

    fn invoke(&mut self, step: &Step) -> bool {
        match step {
            Step::Grant(token, lot) => {
                let may = self.tokens.front() == Some(token) && self.fits(lot);
                if may {
                    self.tokens.pop_front();
                    self.live.insert(*token, lot.clone());
                }
                may
            }
            Step::End(token) => self.live.remove(token).is_some(),
        }
    }
}

/// A step that was taken between two instants, or maybe never.
struct Taken {
    from: Ns,
    to: Option<Ns>,
    step: Step,
}

pub fn check(history: &History, leases: &Leases, verdict: &mut Verdict) {
    let all = &leases.all;
    for start in (0..all.len()).step_by(WINDOW / 2) {
        let window = &all[start..all.len().min(start + WINDOW)];
        verdict.windows += 1;
        verdict.demand(Law::Order, has_order(&history.rules, window), || {
            let leases: Vec<String> = window.iter().map(ToString::to_string).collect();
            format!("no order of all that is known of {}", leases.join(", "))
        });
    }
}

fn steps(rules: &Rules, lease: &Lease) -> [Taken; 2] {
    let token = lease.told.token;
    let position = |gpu| rules.gpus.iter().position(|(id, _)| id == gpu);
    let lot = Lot {
        gpus: lease.told.gpu_ids.iter().filter_map(position).collect(),
        share_mib: lease.share_mib,
        loads: lease.loads,
    };
    let lived = lease.lives.iter().map(|said| said.at).max();
    let (from, to) = match lease.ended() {
        Some((from, to)) => (from, Some(to)),
        // Nobody ever heard.
        None => (lease.relied_until(), None),
    };
    [
        Taken {
            from: lease.asked,
            to: Some(lease.seen),
            step: Step::Grant(token, lot),
        },
        Taken {
            from: from.max(lived.unwrap_or(0)),
            to,
            step: Step::End(token),
        },
    ]
}

fn has_order(rules: &Rules, leases: &[Lease]) -> bool {
    let mut instants = Vec::new();
    let mut number = 0_u32;
    for lease in leases {
        for taken in steps(rules, lease) {
            // Each step is a thread of its own: the instants alone order them.
            number += 1;
            instants.push((taken.from, false, number, Some(taken.step)));
            instants.extend(taken.to.map(|to| (to, true, number, None)));
        }
    }
    // At one instant calls are sent before others are answered, which forbids the least.
    instants.sort_by_key(|(at, answered, number, _)| (*at, *answered, *number));
    let mut tester = LinearizabilityTester::new(Service {
        capacities_mib: rules.gpus.iter().map(|(_, mib)| *mib).collect(),
        loads_at_once: rules.model_loads_at_once,
        tokens: leases.iter().map(|lease| lease.told.token).collect(),
        live: BTreeMap::new(),
    });
    for (_, _, number, step) in instants {
        let noted = match step {
            Some(step) => tester.on_invoke(number, step).map(drop),
            None => tester.on_return(number, true).map(drop),
        };
        // Each step begins and ends once.
        if noted.is_err() {
            return false;
        }
    }
    tester.is_consistent()
}
