//! Ends what did not end well: puts back what a check refused, and concludes what was begun by a
//! process that is gone.

use std::collections::BTreeMap;

use super::ack::{self, Ack, Outcome};
use super::entry::{self, End, Entry, Source, Standing};
use super::live::Live;
use super::place::Promotions;
use super::run::{Since, current};
use super::{PromotionError, Step, lines};
use crate::check::sha256;
use crate::save;

/// What can be unfinished are the latest promotion, and one that it puts back.
const LATEST: usize = 3;

impl Promotions {
    /// Concludes what a process that is gone had begun: acknowledges what is live, refuses what
    /// never was, repeats a check that had not ended. What was concluded, if anything.
    ///
    /// # Errors
    /// Where records cannot be read or written.
    pub fn recover(&mut self, live: &dyn Live) -> Result<Vec<Ack>, PromotionError> {
        save::sweep(self.place.env());
        save::sweep_folder(&self.place.history());
        save::sweep_folder(&self.place.acks());
        let numbers = entry::numbers(&self.place.history())?;
        let mut acks = Vec::new();
        // The latest first: it may tell what came of the one before.
        for number in numbers.into_iter().rev().take(LATEST) {
            let Some(mut entry) = entry::read(&self.place, number)? else {
                continue;
            };
            let ack = match entry.standing.clone() {
                Standing::Ended(_) => continue,
                _ if let Source::PutBack(of) = entry.source => {
                    self.restore(&mut entry, of, live)?
                }
                Standing::Begun => self.judge(&mut entry, live)?,
                Standing::Checking(end) => self.check_again(&mut entry, end, live)?,
            };
            // What was put back has one acknowledgement with what put it back.
            if acks.iter().all(|known: &Ack| known.id != ack.id) {
                acks.push(ack);
            }
        }
        Ok(acks)
    }

    /// Says what came of a promotion that was begun, by what the file holds.
    fn judge(&mut self, entry: &mut Entry, live: &dyn Live) -> Result<Ack, PromotionError> {
        if let Some(back) = self.put_back_of(entry)? {
            return self.was_put_back(entry, &back);
        }
        if let Some(ack) = ack::read(&self.place.ack(&entry.id))? {
            // It got as far as that, and what it says stands.
            return match ack.outcome {
                Outcome::Live => self.went_live(entry, end_of(ack), live),
                Outcome::Refused | Outcome::PutBack => self.end(entry, end_of(ack)),
            };
        }
        let current = match current(&entry.file) {
            Ok(current) => current,
            Err(fault) => {
                let problem = format!("it was interrupted, and by now the file is broken: {fault}");
                return self.end_refused(entry, problem);
            }
        };
        let is_old = current.sha256 == entry.sha256_before;
        if has(&current.text, entry) {
            // Others may have changed other keys since.
            entry.sha256_after = current.sha256.unwrap_or_default();
            return self.go_live(entry, Since::Earlier, live);
        }
        let problem = match is_old {
            true => "it was interrupted before it changed anything",
            false => "it was interrupted, and somebody else has changed the file since",
        };
        let advice = "promote the values again, under another id";
        self.end_refused(entry, format!("{problem}; {advice}"))
    }

    /// It was live, and whether its check agrees is not known.
    fn check_again(
        &mut self,
        entry: &mut Entry,
        end: End,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        if let Some(back) = self.put_back_of(entry)? {
            return self.was_put_back(entry, &back);
        }
        match current(&entry.file) {
            Ok(current) if has(&current.text, entry) => self.went_live(entry, end, live),
            _ => {
                let problem = "the file was changed before its check had ended".to_owned();
                self.end_checked(entry, end, problem)
            }
        }
    }

    /// Puts back what a promotion changed: a promotion of its own, under the same id.
    pub(super) fn put_back(
        &mut self,
        entry: &mut Entry,
        why: String,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        let wanted: Vec<_> = entry.changes.iter().map(reversed).collect();
        let undone = current(&entry.file)
            .map_err(|fault| fault.to_string())
            .and_then(|current| Ok((undo(&current.text, &wanted)?, current.sha256)));
        let (edited, sha256_before) = match undone {
            Ok(undone) => undone,
            Err(problem) => {
                let why = format!("{why}; it cannot be put back: {problem}");
                return self.keep(entry, why);
            }
        };
        if edited.changes.is_empty() && !entry.changes.is_empty() {
            let why =
                format!("{why}; somebody has changed these keys since, so nothing was put back");
            return self.keep(entry, why);
        }
        let mut back = Entry {
            number: self.next_number()?,
            id: entry.id.clone(),
            source: Source::PutBack(entry.number),
            file: entry.file.clone(),
            began_at: ack::now().to_string(),
            sha256_before,
            sha256_after: sha256(edited.text.as_bytes()),
            changes: edited.changes,
            check: None,
            why: Some(why),
            standing: Standing::Begun,
        };
        self.record(&back)?;
        self.step(Step::Begun);
        self.restore(&mut back, entry.number, live)?;
        self.was_put_back(entry, &back)
    }

    /// Carries out what was begun as a putting back, as often as it takes.
    fn restore(
        &mut self,
        back: &mut Entry,
        of: u64,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        let mut why = back.why.clone().unwrap_or_default();
        let restored = current(&back.file)
            .map_err(|fault| fault.to_string())
            .and_then(|current| Ok((undo(&current.text, &back.changes)?, current.text)))
            .and_then(|(edited, before)| {
                if edited.text != before {
                    self.save(&back.file.clone(), &edited.text)
                        .map_err(|error| error.to_string())?;
                }
                Ok(sha256(edited.text.as_bytes()))
            });
        self.step(Step::Replaced);
        let is_restored = restored.is_ok();
        let generation = match restored.and_then(|sha256| live.make_live(&sha256)) {
            Ok(generation) => generation,
            Err(problem) => {
                why = format!("{why}; and the old values did not go live: {problem}");
                None
            }
        };
        self.step(Step::Live);
        let promoted = entry::read(&self.place, of)?;
        let end = End {
            // Where not even the file could be restored, the new values stand.
            outcome: match is_restored {
                true => Outcome::PutBack,
                false => Outcome::Live,
            },
            at: ack::now().to_string(),
            generation,
            live_after_ms: promoted
                .as_ref()
                .and_then(|entry| entry.end()?.live_after_ms),
            error: Some(why),
        };
        self.acknowledge(back, &end, back.keys())?;
        self.end(back, end)
    }

    /// A promotion is over since another one put it back.
    fn was_put_back(&mut self, entry: &mut Entry, back: &Entry) -> Result<Ack, PromotionError> {
        match back.end().cloned() {
            Some(end) => self.end(entry, end),
            // It is concluded first, wherever it is found.
            None => self.end_refused(entry, "putting it back did not end".to_owned()),
        }
    }

    /// What put this promotion back, if anything did.
    fn put_back_of(&self, entry: &Entry) -> Result<Option<Entry>, PromotionError> {
        let later = entry::numbers(&self.place.history())?;
        for number in later.into_iter().filter(|number| *number > entry.number) {
            let found = entry::read(&self.place, number)?;
            if let Some(back) = found.filter(|back| back.source == Source::PutBack(entry.number)) {
                return Ok(Some(back));
            }
        }
        Ok(None)
    }

    /// Something was wrong with it, and it stands nevertheless.
    fn keep(&mut self, entry: &mut Entry, why: String) -> Result<Ack, PromotionError> {
        let end = entry.end().cloned().unwrap_or_else(|| End {
            outcome: Outcome::Live,
            at: ack::now().to_string(),
            generation: None,
            live_after_ms: None,
            error: None,
        });
        self.end_checked(entry, end, why)
    }

    fn end_checked(
        &mut self,
        entry: &mut Entry,
        end: End,
        problem: String,
    ) -> Result<Ack, PromotionError> {
        let end = End {
            error: Some(problem),
            ..end
        };
        self.acknowledge(entry, &end, entry.keys())?;
        self.end(entry, end)
    }
}

fn end_of(ack: Ack) -> End {
    End {
        outcome: ack.outcome,
        at: ack.at,
        generation: ack.generation,
        live_after_ms: ack.live_after_ms,
        error: ack.error,
    }
}

fn reversed(change: &entry::Change) -> entry::Change {
    entry::Change {
        key: change.key.clone(),
        old: change.new.clone(),
        new: change.old.clone(),
    }
}

/// Whether a text has all new values of a promotion.
fn has(text: &str, entry: &Entry) -> bool {
    lines::values(text).is_ok_and(|values| {
        let mut changes = entry.changes.iter();
        changes.all(|change| values.get(&change.key) == change.new.as_deref())
    })
}

/// Carries out those changes whose keys still have the old value.
fn undo(text: &str, changes: &[entry::Change]) -> Result<lines::Edited, String> {
    let values = lines::values(text)?;
    let wanted: BTreeMap<_, _> = changes
        .iter()
        .filter(|change| values.get(&change.key) == change.old.as_deref())
        .map(|change| (change.key.clone(), change.new.clone()))
        .collect();
    lines::edit(text, &wanted)
}
