//! What holders could rely on at once.

use std::collections::BTreeMap;

use super::faults::Faults;
use super::leases::{Lease, Leases};
use super::{Law, Verdict};
use crate::record::{At, History, Ns};

/// One after the other, and whoever leaves at an instant leaves before others come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Leave,
    Come,
}

/// Calls `meets` for each lease that comes, with those that are there.
fn sweep<'a>(
    leases: impl Iterator<Item = &'a Lease>,
    until: impl Fn(&Lease) -> Ns,
    mut meets: impl FnMut(&Lease, &BTreeMap<u64, &Lease>),
) {
    let mut steps = Vec::new();
    for lease in leases {
        let until = until(lease);
        // Told of it when it might be over already, its holder never could rely on it.
        if lease.seen < until {
            steps.push((lease.seen, Step::Come, lease));
            steps.push((until, Step::Leave, lease));
        }
    }
    steps.sort_by_key(|(at, step, lease)| (*at, *step, lease.told.token));
    let mut there = BTreeMap::new();
    for (_, step, lease) in steps {
        match step {
            Step::Leave => drop(there.remove(&lease.told.token)),
            Step::Come => {
                meets(lease, &there);
                there.insert(lease.told.token, lease);
            }
        }
    }
}

/// What was granted fits beside what else was held.
pub fn check_fit(history: &History, faults: &Faults, leases: &Leases, verdict: &mut Verdict) {
    let rules = &history.rules;
    for (gpu, capacity_mib) in &rules.gpus {
        let users = leases.all.iter().filter(|lease| lease.uses(gpu));
        sweep(
            users,
            |lease| lease.gpus_until(faults, rules),
            |comer, there| {
                let all = || there.values().copied().chain([comer]);
                let alone = all().any(|lease| lease.share_mib.is_none());
                let shared: u64 = all().filter_map(|lease| lease.share_mib).sum();
                let fits = there.is_empty() || !alone && shared <= *capacity_mib;
                verdict.demand(Law::DoubleGrant, fits, || {
                    let until = |lease: &Lease| lease.gpus_until(faults, rules);
                    format!("{gpu} holds {} when {comer} comes", describe(there, until))
                });
            },
        );
    }
    let loads = leases.all.iter().filter(|lease| lease.loads);
    sweep(loads, Lease::relied_until, |comer, there| {
        let fits = there.len() < rules.model_loads_at_once as usize;
        verdict.demand(Law::DoubleGrant, fits, || {
            let loading = describe(there, Lease::relied_until);
            format!("{loading} loads a model when {comer} comes")
        });
    });
}

fn describe(there: &BTreeMap<u64, &Lease>, until: impl Fn(&Lease) -> Ns) -> String {
    let there = there.values();
    let there: Vec<String> = there
        .map(|lease| format!("{lease} until {}", At(until(lease))))
        .collect();
    there.join(" and ")
}

/// Whoever asked when a lease was known already has a higher token than that.
pub fn check_tokens(leases: &Leases, verdict: &mut Verdict) {
    let mut by_seen: Vec<&Lease> = leases.all.iter().collect();
    by_seen.sort_by_key(|lease| lease.seen);
    let mut by_asked = by_seen.clone();
    by_asked.sort_by_key(|lease| lease.asked);
    let mut seen = by_seen.into_iter().peekable();
    let mut highest: Option<&Lease> = None;
    for lease in by_asked {
        while let Some(known) = seen.next_if(|known| known.seen < lease.asked) {
            let higher = highest.is_none_or(|highest| known.told.token > highest.told.token);
            highest = if higher { Some(known) } else { highest };
        }
        let rises = highest.is_none_or(|highest| highest.told.token < lease.told.token);
        verdict.demand(Law::Token, rises, || {
            let highest = highest.map(ToString::to_string).unwrap_or_default();
            format!(
                "{lease} was asked for at {} and comes after {highest}",
                At(lease.asked)
            )
        });
    }
}
