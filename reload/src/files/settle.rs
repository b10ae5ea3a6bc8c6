//! When a file that changed is looked at, and when what is found there is believed. Pure: time
//! comes in as an argument.

use std::time::{Duration, Instant};

/// A storm is over when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(500);
/// But while it lasts, its file is looked at so often.
const CAP: Duration = Duration::from_secs(1);
/// So many changes in a row are looked at at once …
const BURST: u32 = 8;
/// … and one more after each of these: a person who saves all the time is no storm.
const REFILL: Duration = Duration::from_micros(62_500);
/// How far two equal reads must lie apart where a writer's end cannot be seen.
pub(crate) const APART: Duration = Duration::from_millis(500);
/// A file that is gone for less is one being replaced: editors, and people, delete and write anew.
const GONE: Duration = QUIET;

/// The rhythm of one file.
#[derive(Debug)]
pub(crate) struct Settle {
    due: Option<Instant>,
    last_change: Option<Instant>,
    /// Since when a storm is gathered, or since its last look.
    storm: Option<Instant>,
    left: u32,
    refilled: Option<Instant>,
    /// What is there may be half written by somebody who is not seen.
    doubt: bool,
    /// What was read while in doubt, and when.
    read: Option<(String, Instant)>,
    gone: Option<Instant>,
}

/// Whether what was found is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Believed,
    /// Not yet: it is looked at again.
    Later,
}

impl Settle {
    pub fn new() -> Self {
        Self {
            due: None,
            last_change: None,
            storm: None,
            left: BURST,
            refilled: None,
            doubt: false,
            read: None,
            gone: None,
        }
    }

    /// When to look next, if at all.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Something happened to the file.
    pub fn changed(&mut self, now: Instant) {
        let quiet = self
            .last_change
            .is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        if quiet {
            self.storm = None;
        }
        self.last_change = Some(now);
        if self.storm.is_none() && !self.spend(now) {
            self.storm = Some(now);
        }
        self.due = Some(match self.storm {
            Some(since) => (now + QUIET).min(since + CAP),
            None => now,
        });
    }

    /// What is there next is not believed before it was read the same twice.
    pub fn doubt(&mut self) {
        self.doubt = true;
    }

    /// Look again then, or before.
    pub fn again(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// It is looked at now.
    pub fn looked(&mut self) {
        self.due = None;
    }

    /// A look came to its end: what it found is told by this digest, or nothing was there. Whoever
    /// cuts a file short is about to write it: nothing but an empty file is doubtful by itself.
    pub fn found(&mut self, now: Instant, digest: Option<String>, empty: bool) -> Verdict {
        if let Some(since) = &mut self.storm {
            *since = now;
        }
        let Some(digest) = digest else {
            let since = *self.gone.get_or_insert(now);
            if now < since + GONE {
                self.again(since + GONE);
                return Verdict::Later;
            }
            return self.believed();
        };
        self.gone = None;
        if !self.doubt && !empty {
            return self.believed();
        }
        match &self.read {
            Some((same, at)) if *same == digest => {
                if now >= *at + APART {
                    return self.believed();
                }
                self.again(*at + APART);
            }
            _ => {
                self.read = Some((digest, now));
                self.again(now + APART);
            }
        }
        Verdict::Later
    }

    fn believed(&mut self) -> Verdict {
        self.doubt = false;
        self.read = None;
        Verdict::Believed
    }

    fn spend(&mut self, now: Instant) -> bool {
        let since = *self.refilled.get_or_insert(now);
        let more = now.saturating_duration_since(since).as_nanos() / REFILL.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= BURST {
            self.left = BURST;
            self.refilled = Some(now);
        } else {
            self.left += more;
            self.refilled = Some(since + REFILL * more);
        }
        let some = self.left > 0;
        self.left -= u32::from(some);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn digest(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// Looks whenever it is due, up to a time; says when it did.
    fn looks(settle: &mut Settle, from: Instant, to: Instant) -> Vec<u128> {
        let mut looks = Vec::new();
        while let Some(due) = settle.due().filter(|due| *due <= to) {
            settle.looked();
            if settle.found(due, digest("x"), false) == Verdict::Believed {
                looks.push((due - from).as_millis());
            }
        }
        looks
    }

    #[test]
    fn a_change_is_looked_at_at_once_and_a_person_who_saves_is_no_storm() {
        let start = Instant::now();
        let mut settle = Settle::new();
        for save in 0..100 {
            let now = start + MS * 100 * save;
            settle.changed(now);
            assert_eq!(settle.due(), Some(now));
            settle.looked();
            assert_eq!(settle.found(now, digest("x"), false), Verdict::Believed);
        }
    }

    #[test]
    fn a_storm_is_looked_at_a_few_times_and_once_after_its_end() {
        let start = Instant::now();
        let mut settle = Settle::new();
        let mut seen = Vec::new();
        for save in 0..1000 {
            let now = start + MS * save;
            seen.extend(looks(&mut settle, start, now));
            settle.changed(now);
        }
        seen.extend(looks(&mut settle, start, start + MS * 5000));
        assert!(seen.len() <= 20, "{seen:?}");
        assert!(
            seen.last().is_some_and(|last| (999..=1_999).contains(last)),
            "{seen:?}"
        );
        // And then it is calm again.
        let later = start + MS * 6000;
        settle.changed(later);
        assert_eq!(settle.due(), Some(later));
    }

    #[test]
    fn in_a_long_storm_there_is_one_look_a_second() {
        let start = Instant::now();
        let mut settle = Settle::new();
        let mut seen = Vec::new();
        for save in 0..10_000 {
            let now = start + MS * save;
            seen.extend(looks(&mut settle, start, now));
            settle.changed(now);
        }
        assert!((10..=25).contains(&seen.len()), "{seen:?}");
    }

    #[test]
    fn in_doubt_the_same_must_be_read_twice_apart() {
        let start = Instant::now();
        let mut settle = Settle::new();
        settle.doubt();
        settle.changed(start);
        assert_eq!(settle.found(start, digest("a"), false), Verdict::Later);
        assert_eq!(
            settle.found(start + MS * 499, digest("a"), false),
            Verdict::Later
        );
        assert_eq!(
            settle.found(start + MS * 501, digest("b"), false),
            Verdict::Later
        );
        assert_eq!(
            settle.found(start + MS * 900, digest("b"), false),
            Verdict::Later
        );
        assert_eq!(
            settle.found(start + MS * 1001, digest("b"), false),
            Verdict::Believed
        );
        assert_eq!(
            settle.found(start + MS * 1002, digest("c"), false),
            Verdict::Believed
        );
    }

    #[test]
    fn an_empty_file_is_one_that_was_cut_short_unless_it_stays_empty() {
        let start = Instant::now();
        let mut settle = Settle::new();
        assert_eq!(settle.found(start, digest(""), true), Verdict::Later);
        assert_eq!(
            settle.found(start + MS, digest("a"), false),
            Verdict::Believed
        );
        assert_eq!(
            settle.found(start + MS * 2, digest(""), true),
            Verdict::Later
        );
        assert_eq!(
            settle.found(start + MS * 502, digest(""), true),
            Verdict::Believed
        );
    }

    #[test]
    fn a_file_that_is_being_replaced_was_never_gone() {
        let start = Instant::now();
        let mut settle = Settle::new();
        assert_eq!(settle.found(start, None, false), Verdict::Later);
        assert_eq!(
            settle.found(start + MS * 50, digest("a"), false),
            Verdict::Believed
        );
        settle.looked();
        assert_eq!(settle.found(start + MS * 100, None, false), Verdict::Later);
        assert_eq!(settle.due(), Some(start + MS * 600));
        assert_eq!(settle.found(start + MS * 599, None, false), Verdict::Later);
        assert_eq!(
            settle.found(start + MS * 600, None, false),
            Verdict::Believed
        );
    }
}
