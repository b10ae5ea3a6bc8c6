//! What must not happen while the broker cannot write its journal.

use super::faults::outages;
use super::leases::Leases;
use super::{Law, Verdict};
use crate::record::{At, History};

pub fn check(history: &History, leases: &Leases, verdict: &mut Verdict) {
    for three in history.samples.windows(3) {
        let [before, after, later] = three else {
            continue;
        };
        // A status tells what is wrong as of just before the state that it shows: so only the next
        // one says that the outage held all the while.
        let since = &before.unwritable_since;
        let goes_on = since.is_some()
            && [after, later]
                .iter()
                .all(|sample| sample.unwritable_since == *since);
        let same = before.revision == after.revision && before.granted == after.granted;
        verdict.demand(Law::Unwritten, !goes_on || same, || {
            format!(
                "while the journal could not be written the revision went from {} to {} and grants \
                 from {} to {}, between {} and {}",
                before.revision,
                after.revision,
                before.granted,
                after.granted,
                At(before.at),
                At(after.answered)
            )
        });
    }
    for (from, to) in outages(history) {
        let mut within = leases.all.iter();
        let granted = within.find(|lease| from < lease.asked && lease.seen < to);
        verdict.demand(Law::Unwritten, granted.is_none(), || {
            let lease = granted.map(ToString::to_string).unwrap_or_default();
            let (from, to) = (At(from), At(to));
            format!("{lease} was granted though nothing could be written from {from} to {to}")
        });
    }
}
