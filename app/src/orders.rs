//! The operator's orders: sent in the background, and what came of each.

use std::collections::VecDeque;
use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use warden::wire::reload::{ReloadBody, ReloadOutcome, Reloaded};
use warden_client::{Client, Error};
use warden_view::{Action, ActionRun, Phase, Picture, Target, Text};

use crate::feed::Wake;
use crate::program;
use crate::project::{ended_words, outcome_name};

/// How many orders are kept; older ones that have ended make room.
const MAX: usize = 16;
/// How long a done one shows. A refused one shows until it is dismissed.
const DONE_MS: i64 = 8_000;

/// What came of an order: what was said, or the code and what was said.
type Answer = Result<String, (String, String)>;

/// Every order that still shows.
#[derive(Debug)]
pub struct Orders {
    runs: VecDeque<ActionRun>,
    numbered: u64,
    answers: mpsc::Receiver<(u64, Answer)>,
    answer: mpsc::Sender<(u64, Answer)>,
    changed: bool,
    ended: bool,
}

impl Default for Orders {
    fn default() -> Self {
        let (answer, answers) = mpsc::channel(MAX);
        Self {
            runs: VecDeque::new(),
            numbered: 0,
            answers,
            answer,
            changed: false,
            ended: false,
        }
    }
}

impl Orders {
    /// Sends an order. What is no order to the broker is not for this.
    pub fn send(
        &mut self,
        action: &Action,
        picture: &Picture,
        live: bool,
        (client, runtime): (&Client, &Handle),
        wake: &Wake,
    ) {
        let Some((title, target)) = describe(action, picture) else {
            return;
        };
        self.numbered += 1;
        let (id, now_ms) = (self.numbered, picture.clock.now_ms);
        let mut run = ActionRun {
            id,
            title,
            target,
            at_ms: now_ms,
            phase: Phase::Pending,
        };
        let pending = self
            .runs
            .iter()
            .filter(|run| run.phase == Phase::Pending)
            .count();
        if !live || pending >= MAX {
            let said = if live {
                "too many orders are under way; wait for one to end"
            } else {
                "the broker does not answer, so nothing was sent"
            };
            let code = if live { "busy" } else { "unreachable" };
            run.phase = Phase::Refused {
                at_ms: now_ms,
                code: code.into(),
                said: said.into(),
            };
        } else {
            let (client, action) = (client.clone(), action.clone());
            let (answer, wake) = (self.answer.clone(), wake.clone());
            runtime.spawn(async move {
                let said = carry_out(client, action).await;
                // Nobody listens any more when the window has closed.
                let _ = answer.send((id, said)).await;
                wake.call();
            });
        }
        self.add(run);
    }

    /// Shows what came of something that is no order to the broker and has ended already.
    pub fn tell(&mut self, title: String, outcome: Result<String, String>, now_ms: i64) {
        self.numbered += 1;
        let phase = match outcome {
            Ok(said) => Phase::Done {
                at_ms: now_ms,
                said: said.into(),
            },
            Err(said) => Phase::Refused {
                at_ms: now_ms,
                code: "refused".into(),
                said: said.into(),
            },
        };
        self.add(ActionRun {
            id: self.numbered,
            title: title.into(),
            target: Target::None,
            at_ms: now_ms,
            phase,
        });
    }

    fn add(&mut self, run: ActionRun) {
        while self.runs.len() >= MAX {
            let over = self.runs.iter().position(|run| run.phase != Phase::Pending);
            // No more than so many are pending: where all are, one more than that shows.
            let Some(over) = over else { break };
            self.runs.remove(over);
        }
        self.runs.push_back(run);
        self.changed = true;
    }

    /// Forgets one that has ended.
    pub fn dismiss(&mut self, id: u64) {
        let former = self.runs.len();
        self.runs
            .retain(|run| run.id != id || run.phase == Phase::Pending);
        self.changed |= self.runs.len() != former;
    }

    /// Takes answers and brings the picture up to date.
    pub fn update(&mut self, picture: &mut Picture) {
        let now_ms = picture.clock.now_ms;
        while let Ok((id, answer)) = self.answers.try_recv() {
            if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
                run.phase = match answer {
                    Ok(said) => Phase::Done {
                        at_ms: now_ms,
                        said: said.into(),
                    },
                    Err((code, said)) => Phase::Refused {
                        at_ms: now_ms,
                        code: code.into(),
                        said: said.into(),
                    },
                };
                self.changed = true;
                self.ended = true;
            }
        }
        let former = self.runs.len();
        self.runs.retain(|run| match run.phase {
            Phase::Done { at_ms, .. } => now_ms - at_ms < DONE_MS,
            Phase::Pending | Phase::Refused { .. } => true,
        });
        self.changed |= self.runs.len() != former;
        if std::mem::take(&mut self.changed) {
            picture.actions = self.runs.iter().cloned().collect();
            picture.serial += 1;
        }
    }

    /// Whether the broker has answered one since this was asked last.
    pub fn has_ended(&mut self) -> bool {
        std::mem::take(&mut self.ended)
    }

    /// When the next one stops to show by itself, as an instant of the window's clock.
    #[must_use]
    pub fn next_end_ms(&self) -> Option<i64> {
        let done = |run: &ActionRun| match run.phase {
            Phase::Done { at_ms, .. } => Some(at_ms + DONE_MS),
            Phase::Pending | Phase::Refused { .. } => None,
        };
        self.runs.iter().filter_map(done).min()
    }
}

fn describe(action: &Action, picture: &Picture) -> Option<(Text, Target)> {
    Some(match action {
        Action::Release { lease } => {
            let holder = picture.holders.iter().find(|holder| holder.lease == *lease);
            let title = match holder {
                Some(holder) => format!(
                    "Release {} on {}",
                    holder.client,
                    gpus(picture, &holder.gpus)
                ),
                None => format!("Release {lease}"),
            };
            (title.into(), Target::Lease(lease.clone()))
        }
        Action::ForceAll { clear_queue: false } => ("Force every lease".into(), Target::Everything),
        Action::ForceAll { clear_queue: true } => (
            "Force every lease and clear the queue".into(),
            Target::Everything,
        ),
        Action::Cancel { request } => {
            let waiter = picture
                .queue
                .iter()
                .find(|waiter| waiter.request == *request);
            let name = waiter.map_or(request, |waiter| &waiter.client);
            (
                format!("Cancel {name}").into(),
                Target::Request(request.clone()),
            )
        }
        Action::Reset => ("Reset".into(), Target::None),
        Action::ReloadModule { .. } => ("Reload the broker's program".into(), Target::None),
        Action::RollBack { .. } => ("Roll the broker's program back".into(), Target::None),
        Action::Allow { allowed: true, .. } => ("Allow new program code".into(), Target::None),
        Action::Allow { allowed: false, .. } => ("Forbid new program code".into(), Target::None),
        _ => return None,
    })
}

fn gpus(picture: &Picture, ids: &[Text]) -> String {
    let name = |id: &Text| match picture.gpus.iter().find(|gpu| gpu.id == *id) {
        Some(gpu) => format!("GPU-{:02}", gpu.index),
        None => id.to_string(),
    };
    ids.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn carry_out(client: Client, action: Action) -> impl Future<Output = Answer> + Send {
    let ended = |ended: warden::wire::Ended| {
        format!(
            "{} ({})",
            ended_words(ended.outcome),
            outcome_name(ended.outcome)
        )
    };
    async move {
        let answer = match action {
            Action::Release { lease } => client.force_release(&(*lease).into()).await.map(ended),
            Action::ForceAll { clear_queue } => client
                .force_release_all(clear_queue)
                .await
                .map(|all| format!("{} ended, {} cleared", all.ended.len(), all.cleared.len())),
            Action::Cancel { request } => client
                .cancel(&(*request).into())
                .await
                .map(|state| state.outcome.map_or("ended", ended_words).to_owned()),
            Action::Reset => client
                .reset()
                .await
                .map(|reset| format!("{} ended", reset.ended.len())),
            Action::ReloadModule { .. } => client.reload(&of_program(false)).await.map(reloaded),
            Action::RollBack { .. } => client.reload(&of_program(true)).await.map(reloaded),
            Action::Allow { allowed, .. } => client.enable_reload(allowed).await.map(|reload| {
                let word = if reload.enabled { "on" } else { "off" };
                format!("new code is {word}")
            }),
            // `describe` lets nothing else through.
            _ => Ok(String::new()),
        };
        answer.map_err(|error| (code(&error), error.to_string()))
    }
}

fn of_program(back: bool) -> ReloadBody {
    ReloadBody {
        module: Some(program::OF_BROKER.to_owned()),
        back,
        one_way: false,
    }
}

fn reloaded(reloaded: Reloaded) -> String {
    match reloaded.results.first() {
        Some(result) if result.outcome == ReloadOutcome::Reloaded => {
            format!("generation {} runs", result.generation)
        }
        _ => "what lies on the disk runs already".to_owned(),
    }
}

fn code(error: &Error) -> String {
    match error {
        Error::Problem(refusal) => refusal.problem.code.to_string(),
        Error::Unreachable { .. } => "unreachable".to_owned(),
        Error::Stranger { .. } => "stranger".to_owned(),
        Error::Protocol { .. } => "not_understood".to_owned(),
        Error::Token { .. } => "no_token".to_owned(),
        Error::BadAddress { .. } => "bad_address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: u64, phase: Phase) -> ActionRun {
        ActionRun {
            id,
            title: "Release whisper".into(),
            target: Target::None,
            at_ms: 0,
            phase,
        }
    }

    #[test]
    fn what_is_told_while_every_order_is_under_way_is_seen() {
        let mut orders = Orders::default();
        for id in 0..MAX as u64 {
            orders.add(run(id, Phase::Pending));
        }
        for round in 0..3 {
            orders.tell("Open policy.ron".to_owned(), Err(round.to_string()), 0);
        }
        let mut picture = Picture::default();
        orders.update(&mut picture);
        let pending = picture
            .actions
            .iter()
            .filter(|run| run.phase == Phase::Pending);
        assert_eq!(pending.count(), MAX);
        let last = &picture.actions.last().unwrap().phase;
        assert!(
            matches!(last, Phase::Refused { said, .. } if **said == *"2"),
            "{last:?}"
        );
        assert_eq!(picture.actions.len(), MAX + 1);
    }
}
