//! One promotion, step by step.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use super::ack::{self, Ack, Outcome};
use super::checks::Checks;
use super::entry::{self, End, Entry, KEPT, Source, Standing};
use super::live::Live;
use super::place::Promotions;
use super::schema::Schema;
use super::winner::{self, Winner};
use super::{PromotionError, Step, lines};
use crate::check::sha256;
use crate::files::{Env, Fault, FaultKind, Format as _, load};

/// What is wanted.
struct Plan {
    id: String,
    source: Source,
    /// A value of nothing removes its key.
    wanted: BTreeMap<String, Option<String>>,
    check: Option<String>,
}

/// What promotions made of one key.
struct Values {
    before: Option<String>,
    after: Option<String>,
}

/// The file of values as it is.
pub(super) struct Current {
    pub text: String,
    /// None where there is no file.
    pub sha256: Option<String>,
}

/// The file of values as it is to be.
struct Prepared {
    current: Current,
    edited: lines::Edited,
}

/// Since when a promotion runs.
#[derive(Clone, Copy)]
pub(super) enum Since {
    /// In this very process.
    Here(Instant),
    /// In one that has ended, which wrote down when it began.
    Earlier,
}

impl Promotions {
    /// Promotes what a winner's file holds, once what was begun before is concluded. What is refused
    /// is acknowledged too; a file without an id that can be read is acknowledged by its own name.
    ///
    /// # Errors
    /// Where there is no such file, or the winner is not whole yet, or was promoted before, or records
    /// cannot be written.
    pub fn promote(&mut self, file: &Path, live: &dyn Live) -> Result<Ack, PromotionError> {
        self.recover(live)?;
        match winner::read(file) {
            winner::Read::Unfinished => Err(PromotionError::Unfinished {
                path: file.to_owned(),
            }),
            winner::Read::Winner(winner) => self.promote_winner(&winner, live),
            winner::Read::Broken { id, fault } => self.refuse_file(file, id, &fault),
            winner::Read::Missing => Err(PromotionError::Missing {
                path: file.to_owned(),
            }),
        }
    }

    fn promote_winner(&mut self, winner: &Winner, live: &dyn Live) -> Result<Ack, PromotionError> {
        self.is_new(&winner.id)?;
        let wanted = match winner.texts() {
            Ok(wanted) => wanted,
            Err(problem) => return self.refuse(&winner.id, &Source::Winner, problem),
        };
        let plan = Plan {
            id: winner.id.clone(),
            source: Source::Winner,
            wanted,
            check: winner.check.clone(),
        };
        self.run(plan, live)
    }

    /// Promotes values under an id that is made for them, once what was begun before is concluded.
    ///
    /// # Errors
    /// Where records cannot be written. What the schema refuses is no error here: see the outcome.
    pub fn set(
        &mut self,
        values: BTreeMap<String, String>,
        check: Option<String>,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        self.recover(live)?;
        let wanted = values.into_iter();
        let plan = Plan {
            id: self.new_id("set"),
            source: Source::Set,
            wanted: wanted.map(|(key, value)| (key, Some(value))).collect(),
            check,
        };
        self.run(plan, live)
    }

    /// Makes every key that was promoted since what it was after this promotion; 0 is before the
    /// first one that is kept. Once what was begun before is concluded.
    ///
    /// # Errors
    /// Where there is no such promotion, or records cannot be written.
    pub fn rollback(&mut self, number: u64, live: &dyn Live) -> Result<Ack, PromotionError> {
        self.recover(live)?;
        let wanted = self.since(number)?.into_iter();
        let plan = Plan {
            id: self.new_id("rollback"),
            source: Source::Rollback(number),
            wanted: wanted.map(|(key, values)| (key, values.before)).collect(),
            check: None,
        };
        self.run(plan, live)
    }

    /// Those keys that a rollback to this promotion changes and that have another value by now than
    /// the last promotion gave them: somebody has edited them by hand.
    ///
    /// # Errors
    /// Where there is no such promotion, or the history or the file cannot be read.
    pub fn edited_since(&self, number: u64) -> Result<Vec<String>, PromotionError> {
        let since = self.since(number)?.into_iter();
        let text = current(self.place.env())?.text;
        // A file that cannot be edited is told of by whoever is to edit it.
        let now = lines::values(&text).unwrap_or_default();
        let edited = since.filter(|(key, values)| {
            let now = now.get(key);
            now != values.after.as_deref() && now != values.before.as_deref()
        });
        Ok(edited.map(|(key, _)| key).collect())
    }

    /// Every key that was promoted since, with what it was then and what it was made last.
    fn since(&self, number: u64) -> Result<BTreeMap<String, Values>, PromotionError> {
        let mut entries = entry::history(&self.place)?;
        entries.retain(|entry| entry.file == self.place.env());
        let first = entries.first().map_or(0, |entry| entry.number);
        let last = entries.last().map_or(0, |entry| entry.number);
        if number != 0 && !entries.iter().any(|entry| entry.number == number) {
            return Err(PromotionError::Unknown {
                number,
                first,
                last,
            });
        }
        let mut since: BTreeMap<String, Values> = BTreeMap::new();
        let later = entries.iter().filter(|entry| entry.number > number);
        for entry in later.filter(|entry| entry.was_applied()) {
            for change in &entry.changes {
                let known = since.entry(change.key.clone()).or_insert_with(|| Values {
                    before: change.old.clone(),
                    after: None,
                });
                known.after.clone_from(&change.new);
            }
        }
        Ok(since)
    }

    fn run(&mut self, plan: Plan, live: &dyn Live) -> Result<Ack, PromotionError> {
        let since = Since::Here(Instant::now());
        let began_at = ack::now().to_string();
        let Prepared { current, edited } = match self.prepare(&plan) {
            Ok(prepared) => prepared,
            Err(problem) => return self.refuse(&plan.id, &plan.source, problem),
        };
        let mut entry = Entry {
            number: self.next_number()?,
            id: plan.id,
            source: plan.source,
            file: self.place.env().to_owned(),
            began_at,
            sha256_before: current.sha256,
            sha256_after: sha256(edited.text.as_bytes()),
            changes: edited.changes,
            check: plan.check,
            why: None,
            standing: Standing::Begun,
        };
        self.record(&entry)?;
        self.step(Step::Begun);
        if edited.text != current.text
            && let Err(error) = self.save(&entry.file.clone(), &edited.text)
        {
            return self.end_refused(&mut entry, error.to_string());
        }
        self.step(Step::Replaced);
        self.go_live(&mut entry, since, live)
    }

    /// The file has the new values: makes them live, acknowledges, checks.
    pub(super) fn go_live(
        &mut self,
        entry: &mut Entry,
        since: Since,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        let generation = match live.make_live(&entry.sha256_after) {
            Ok(generation) => generation,
            Err(problem) => {
                let problem = format!("the new values did not go live: {problem}");
                return self.put_back(entry, problem, live);
            }
        };
        self.step(Step::Live);
        let end = End {
            outcome: Outcome::Live,
            at: ack::now().to_string(),
            generation,
            live_after_ms: Some(elapsed_ms(since, &entry.began_at)),
            error: None,
        };
        self.acknowledge(entry, &end, entry.keys())?;
        self.went_live(entry, end, live)
    }

    /// It is live and acknowledged: what is left is its check.
    pub(super) fn went_live(
        &mut self,
        entry: &mut Entry,
        end: End,
        live: &dyn Live,
    ) -> Result<Ack, PromotionError> {
        let Some(name) = entry.check.clone() else {
            return self.end(entry, end);
        };
        entry.standing = Standing::Checking(end.clone());
        self.record(entry)?;
        let passed = self.check(&name, &entry.id);
        self.step(Step::Checked);
        match passed {
            Ok(()) => self.end(entry, end),
            Err(problem) => self.put_back(entry, problem, live),
        }
    }

    fn check(&self, name: &str, id: &str) -> Result<(), String> {
        let checks = self.checks()?;
        let check = checks.get(name).ok_or_else(|| unknown_check(name))?;
        check.run(name, self.place.config_dir(), id)
    }

    /// Concludes a promotion that changed nothing.
    pub(super) fn end_refused(
        &mut self,
        entry: &mut Entry,
        problem: String,
    ) -> Result<Ack, PromotionError> {
        let end = End {
            outcome: Outcome::Refused,
            at: ack::now().to_string(),
            generation: None,
            live_after_ms: None,
            error: Some(problem),
        };
        self.acknowledge(entry, &end, Vec::new())?;
        self.end(entry, end)
    }

    /// Writes down what came of a promotion, after its acknowledgement.
    pub(super) fn end(&mut self, entry: &mut Entry, end: End) -> Result<Ack, PromotionError> {
        let changed = match end.outcome {
            Outcome::Refused => Vec::new(),
            Outcome::Live | Outcome::PutBack => entry.keys(),
        };
        let ack = of(entry, &end, changed);
        entry.standing = Standing::Ended(end);
        self.record(entry)?;
        self.step(Step::Ended);
        if let Some(oldest) = entry.number.checked_sub(KEPT) {
            // One more than is wanted harms nobody.
            let _ = fs::remove_file(self.place.entry(oldest));
        }
        Ok(ack)
    }

    pub(super) fn acknowledge(
        &mut self,
        entry: &Entry,
        end: &End,
        changed: Vec<String>,
    ) -> Result<(), PromotionError> {
        let ack = of(entry, end, changed);
        self.save(&self.place.ack(&entry.id), &ack::to_json(&ack))?;
        self.step(Step::Acknowledged);
        Ok(())
    }

    pub(super) fn record(&mut self, entry: &Entry) -> Result<(), PromotionError> {
        let pretty = ron::ser::PrettyConfig::default();
        // Text, numbers and lists of them always serialise.
        let text = ron::ser::to_string_pretty(entry, pretty).unwrap_or_default();
        Ok(self.save(&self.place.entry(entry.number), &text)?)
    }

    /// Everything that can be wrong is found here, before anything is written.
    fn prepare(&self, plan: &Plan) -> Result<Prepared, String> {
        let schema = self.schema()?;
        let mut problems = Vec::new();
        if let Some(name) = &plan.check
            && !self.checks()?.contains_key(name)
        {
            problems.push(unknown_check(name));
        }
        for (key, value) in &plan.wanted {
            problems.extend(
                value
                    .as_ref()
                    .and_then(|value| schema.allows(key, value).err()),
            );
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let current = current(self.place.env()).map_err(|fault| fault.to_string())?;
        let said = |problem: String| format!("{}: {problem}", self.place.env().display());
        let edited = lines::edit(&current.text, &plan.wanted).map_err(said)?;
        // A key may follow from another one.
        for change in &edited.changes {
            if let Some(new) = &change.new {
                schema.allows(&change.key, new)?;
            }
        }
        Ok(Prepared { current, edited })
    }

    fn schema(&self) -> Result<Schema, String> {
        let path = self.place.schema();
        match load(&path, &Schema::format()) {
            Ok(Some(loaded)) => Ok(loaded.value),
            Ok(None) => Err(format!(
                "there is no {}, so no key may be set; write one that names the keys",
                path.display()
            )),
            Err(fault) => Err(fault.to_string()),
        }
    }

    fn checks(&self) -> Result<Checks, String> {
        match load(&self.place.checks(), &Checks::format()) {
            Ok(loaded) => Ok(loaded.map(|loaded| loaded.value).unwrap_or_default()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Refuses what was never begun. Who brought an id of their own finds an acknowledgement.
    fn refuse(
        &mut self,
        id: &str,
        source: &Source,
        problem: String,
    ) -> Result<Ack, PromotionError> {
        let ack = Ack {
            id: id.to_owned(),
            outcome: Outcome::Refused,
            generation: None,
            at: ack::now().to_string(),
            live_after_ms: None,
            changed: Vec::new(),
            error: Some(problem),
        };
        if *source == Source::Winner {
            self.save(&self.place.ack(id), &ack::to_json(&ack))?;
            self.step(Step::Acknowledged);
        }
        Ok(ack)
    }

    fn refuse_file(
        &mut self,
        file: &Path,
        id: Option<String>,
        fault: &Fault,
    ) -> Result<Ack, PromotionError> {
        let stem = || file.file_stem()?.to_str().map(str::to_owned);
        match id.or_else(stem).filter(|id| winner::is_id(id)) {
            Some(id) => {
                self.is_new(&id)?;
                self.refuse(&id, &Source::Winner, fault.to_string())
            }
            None => self.refuse("unnamed", &Source::Set, fault.to_string()),
        }
    }

    /// # Errors
    /// Where this id has an acknowledgement.
    fn is_new(&self, id: &str) -> Result<(), PromotionError> {
        match ack::read(&self.place.ack(id))? {
            None => Ok(()),
            Some(ack) => Err(PromotionError::Repeated {
                id: id.to_owned(),
                ack: Box::new(ack),
            }),
        }
    }

    /// An id that nobody has: a promotion takes longer than a microsecond, and holds the lock.
    fn new_id(&self, what: &str) -> String {
        format!("{what}-{}", jiff::Timestamp::now().as_microsecond())
    }
}

fn unknown_check(name: &str) -> String {
    format!("there is no check {name} in checks.ron; add it there, or mend the name")
}

/// How a promotion stands, for whoever asked for it.
fn of(entry: &Entry, end: &End, changed: Vec<String>) -> Ack {
    Ack {
        id: entry.id.clone(),
        outcome: end.outcome,
        generation: end.generation,
        at: end.at.clone(),
        live_after_ms: end.live_after_ms,
        changed,
        error: end.error.clone(),
    }
}

/// Reads the file of values. Neither a missing nor an empty one is a fault here.
pub(super) fn current(path: &Path) -> Result<Current, Fault> {
    match load(path, &Env.trusted()) {
        Ok(Some(loaded)) => Ok(Current {
            text: loaded.text.trim_start_matches('\u{feff}').to_owned(),
            sha256: Some(loaded.sha256),
        }),
        Ok(None) => Ok(Current {
            text: String::new(),
            sha256: None,
        }),
        Err(fault) if fault.kind == FaultKind::Empty => Ok(Current {
            text: String::new(),
            sha256: Some(sha256(b"")),
        }),
        Err(fault) => Err(fault),
    }
}

fn elapsed_ms(since: Since, began_at: &str) -> u64 {
    let milliseconds = match since {
        Since::Here(instant) => instant.elapsed().as_millis(),
        Since::Earlier => {
            let began = began_at.parse::<jiff::Timestamp>().ok();
            let passed = began.map(|began| ack::now().duration_since(began).as_millis());
            // A clock that was set back says nothing.
            passed.unwrap_or(0).try_into().unwrap_or(0)
        }
    };
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}
