//! What was done to processes and to the disk, as far as a promise depends on it.

use std::collections::HashMap;

use crate::record::{ClientNo, History, MS, Mark, Ns};

/// The broker's clock counts whole milliseconds: a duration on it may be so much shorter than on
/// ours.
pub const TICK: Ns = MS;
/// A broker that was stopped for longer counts that as this.
const STOPPED_MS: Ns = 1_000;
const STOP_COUNTS_MS: Ns = 250;

/// When the clock of a lease stood still, or began anew.
#[derive(Clone, Copy, Debug)]
pub enum Pause {
    /// The broker was killed; the next one was started no sooner than `until`.
    Away { until: Ns },
    /// The broker was stopped.
    Stopped { until: Ns },
    /// The broker became another program, and was it by `until`.
    Replaced { until: Ns },
    /// All the while the broker said that it cannot write its journal.
    Unwritable { until: Ns },
}

/// From one instant to another.
type Span = (Ns, Ns);

#[derive(Debug)]
pub struct Faults {
    /// In order of time.
    pub pauses: Vec<(Ns, Pause)>,
    ends: HashMap<ClientNo, Ns>,
    /// From a kill until a broker served again.
    away: Vec<Span>,
    /// While the broker became another program, or was to.
    leaving: Vec<Span>,
    /// While the disk may have been full.
    full: Vec<Span>,
    /// The same, up to a kill of the broker before it could write again.
    forgotten: Vec<Span>,
}

impl Faults {
    pub fn of(history: &History) -> Self {
        let spans = |from: fn(&Mark) -> bool, to: fn(&Mark) -> bool| spans(history, from, to);
        let killed: fn(&Mark) -> bool = |mark| matches!(mark, Mark::BrokerKilled);
        let replacing: fn(&Mark) -> bool = |mark| matches!(mark, Mark::ReplaceAsked);
        let filled: fn(&Mark) -> bool = |mark| matches!(mark, Mark::DiskFills);
        let replaced = spans(replacing, |mark| {
            matches!(mark, Mark::Replaced | Mark::BrokerKilled)
        });
        let died = spans(filled, |mark| {
            matches!(mark, Mark::DiskWorks | Mark::BrokerKilled)
        });
        let is_kill = |(_, end): &Span| {
            let mut marks = history.marks.iter();
            marks.any(|(at, mark)| at == end && killed(mark))
        };
        let away = spans(killed, |mark| matches!(mark, Mark::BrokerStarted));
        let away = away
            .into_iter()
            .map(|(at, until)| (at, Pause::Away { until }));
        let became = replaced.iter().filter(|span| !is_kill(span));
        let became = became.map(|&(at, until)| (at, Pause::Replaced { until }));
        let unwritable = outages(history).into_iter();
        let unwritable = unwritable.map(|(at, until)| (at, Pause::Unwritable { until }));
        let stopped = history.marks.iter().filter_map(|(at, mark)| match mark {
            Mark::BrokerStopped { until } => Some((*at, Pause::Stopped { until: *until })),
            _ => None,
        });
        let mut pauses: Vec<_> = away
            .chain(became)
            .chain(unwritable)
            .chain(stopped)
            .collect();
        pauses.sort_by_key(|(at, _)| *at);
        let ends = history.marks.iter().filter_map(|(at, mark)| match mark {
            Mark::ClientEnds(client) => Some((*client, *at)),
            _ => None,
        });
        Self {
            pauses,
            ends: ends.collect(),
            away: spans(killed, |mark| matches!(mark, Mark::BrokerReady)),
            leaving: replaced,
            full: spans(filled, |mark| matches!(mark, Mark::DiskWorks)),
            forgotten: died.into_iter().filter(is_kill).collect(),
        }
    }

    /// This process ended no sooner, if it did.
    pub fn end_of(&self, client: ClientNo) -> Option<Ns> {
        self.ends.get(&client).copied()
    }

    /// Whether there may have been no broker at some instant between these.
    pub fn was_away(&self, from: Ns, to: Ns) -> bool {
        meets(&self.away, from, to)
    }

    /// Whether the broker may have been about to become another program.
    pub fn was_leaving(&self, from: Ns, to: Ns) -> bool {
        meets(&self.leaving, from, to)
    }

    /// Whether the disk may have been full.
    pub fn was_full(&self, from: Ns, to: Ns) -> bool {
        meets(&self.full, from, to)
    }

    /// Whether an end that was told between these may be in no journal: such ends are told though
    /// nothing can be written, and this broker was killed before it could.
    pub fn may_forget(&self, from: Ns, to: Ns) -> bool {
        meets(&self.forgotten, from, to)
    }
}

/// From each such mark to the next of the others.
fn spans(history: &History, from: fn(&Mark) -> bool, to: fn(&Mark) -> bool) -> Vec<Span> {
    let marks = history.marks.iter().enumerate();
    let begun = marks.filter(|(_, (_, mark))| from(mark));
    let span = |(number, (at, _)): (usize, &(Ns, Mark))| {
        let mut after = history.marks[number + 1..].iter();
        let end = after.find(|(_, mark)| to(mark));
        (*at, end.map_or(Ns::MAX, |(end, _)| *end))
    };
    begun.map(span).collect()
}

fn meets(spans: &[Span], from: Ns, to: Ns) -> bool {
    spans.iter().any(|(at, until)| *at <= to && from <= *until)
}

/// Between which instants the broker certainly could not write its journal.
pub fn outages(history: &History) -> Vec<Span> {
    let runs = history
        .samples
        .chunk_by(|one, next| one.unwritable_since == next.unwritable_since);
    runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let is_sure = first.unwritable_since.is_some() && first.answered < last.at;
        is_sure.then_some((first.answered, last.at))
    })
    .collect()
}

/// When a lease ends for want of a renewal, no sooner.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// Its ttl runs out.
    runs_out: Ns,
    /// No lease expires, whatever has run out.
    stands: Ns,
}

impl Deadline {
    pub fn new(runs_out: Ns) -> Self {
        Self {
            runs_out,
            stands: 0,
        }
    }

    pub fn at(self) -> Ns {
        self.runs_out.max(self.stands)
    }

    /// Puts it off.
    pub fn renew(&mut self, runs_out: Ns) {
        self.runs_out = self.runs_out.max(runs_out);
    }

    /// After a pause that began at `at`.
    pub fn pause(&mut self, ttl: Ns, at: Ns, pause: Pause) {
        match pause {
            // Whoever comes back to a new broker has its whole ttl.
            Pause::Away { until: started } if at < self.at() => {
                self.renew(started.saturating_add(ttl - TICK));
            }
            // That one has begun after it was asked for; the lease may have run out before it did.
            Pause::Replaced { until } if until < self.at() => self.renew(at + ttl - TICK),
            Pause::Unwritable { until } if at < self.at() => self.stands = self.stands.max(until),
            _ => self.runs_out = delay(self.runs_out, at, pause),
        }
    }
}

/// What the broker's clock shows no sooner than `until`, after a pause that began at `at`.
pub fn delay(until: Ns, at: Ns, pause: Pause) -> Ns {
    let stood = match pause {
        Pause::Away { until: started } => started.saturating_sub(at),
        Pause::Stopped { until: go_on } if go_on - at > STOPPED_MS * MS => {
            go_on - at - STOP_COUNTS_MS * MS
        }
        Pause::Stopped { .. } | Pause::Replaced { .. } | Pause::Unwritable { .. } => 0,
    };
    if at < until {
        until.saturating_add(stood)
    } else {
        until
    }
}
