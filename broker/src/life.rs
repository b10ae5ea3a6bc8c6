//! A broker that serves, until it ends or makes way for another program.

use std::fs;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use warden_reload::files::Files;
use warden_reload::promotion::Place;

use crate::Outcome;
use crate::app::App;
use crate::clock::monotonic_ms;
use crate::config::Config;
use crate::disk::ballast;
use crate::disk::directory::Directory;
use crate::disk::journal::{FILE as JOURNAL, JournalError};
use crate::endpoint::{ENDPOINT, Endpoint};
use crate::engine::inbox::{Inbox, Input};
use crate::error::ServeError;
use crate::gpus::Claims;
use crate::http::answer::Failure;
use crate::http::lot::Parked;
use crate::http::server::Server;
use crate::program::Plan;
use crate::program::handover::Sockets;
use crate::reloads::{Followed, follow_program};
use crate::taken::{Listeners, remove_socket};
use crate::winners::Winners;

/// How often what was refused goes to the journal.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How often an endpoint is tried that there was no room for.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);

/// Everything that a running broker holds.
pub(crate) struct Life {
    pub(crate) config: Config,
    pub(crate) dir: Directory,
    pub(crate) app: Arc<App>,
    pub(crate) server: Arc<Server>,
    pub(crate) listeners: Listeners,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) ended: oneshot::Receiver<Result<(), JournalError>>,
    pub(crate) is_busy: watch::Receiver<bool>,
    pub(crate) stop: CancellationToken,
    /// Programs that are ready to go on in place of this one.
    pub(crate) plans: mpsc::Receiver<Box<Plan>>,
    pub(crate) winners: Option<Winners>,
    pub(crate) followed: Option<Followed>,
    /// What its endpoint is to say, where there was no room for that.
    pub(crate) unannounced: Option<Vec<u8>>,
    /// Claims GPUs that others have.
    pub(crate) following: AbortHandle,
    /// This host's GPUs, ours for as long as this is here.
    pub(crate) claims: Arc<Claims>,
}

/// How a broker ends.
#[derive(Debug)]
pub(crate) enum End {
    Well(Outcome),
    /// Another program goes on.
    Leaving(Box<Leaving>),
}

/// What is left of a broker that makes way.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) sockets: Sockets,
    pub(crate) lines: Vec<Parked>,
    pub(crate) plan: Box<Plan>,
}

/// How the engine ended; an error where its thread is gone.
type Ended = Result<Result<(), JournalError>, oneshot::error::RecvError>;

/// What ends it, or seems to.
enum Cause {
    Outcome(Outcome),
    Plan(Box<Plan>),
    /// The engine is gone.
    Engine(Ended),
}

impl Life {
    /// Ends what has begun, since it cannot be found.
    pub(crate) fn break_off(&self) {
        self.app.closing.cancel();
        self.inbox.tell(Input::Stop);
        remove_socket(&self.config);
    }

    /// Publishes where it listens. On a full disk that is done once there is room.
    pub(crate) fn announce(&mut self, endpoint: &Endpoint) -> Result<(), ServeError> {
        let failed = |detail: String| self.dir.unusable(format!("its endpoint: {detail}"));
        let mut line = serde_json::to_vec(endpoint).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        match ballast::replace(self.dir.path(), ENDPOINT, &line) {
            Err(error) if ballast::is_full(&error) => {
                tracing::error!(
                    %error,
                    address = endpoint.address,
                    "nobody finds this broker by its data directory until that has room"
                );
                self.withdraw_older();
                self.unannounced = Some(line);
                Ok(())
            }
            announced => announced.map_err(|error| failed(error.to_string())),
        }
    }

    /// Who follows what an earlier broker published would show its token to whoever listens there.
    fn withdraw_older(&self) {
        let path = self.dir.file(ENDPOINT);
        let says = fs::read(&path).unwrap_or_default();
        let says: serde_json::Value = serde_json::from_slice(&says).unwrap_or_default();
        if says["pid"] != std::process::id() {
            // It may not be there.
            let _ = fs::remove_file(path);
        }
    }

    /// Promotes what is put before it and, in development mode, takes the program anew whenever its
    /// file changes.
    pub(crate) fn follow(&mut self, files: &Files) {
        let Ok(ready) = self.app.ready() else {
            return;
        };
        let place = Place::new(&self.config.config_dir, self.config.env.clone());
        self.winners = Winners::watch(files, place, Arc::clone(&ready.sharing))
            .inspect_err(|error| tracing::error!(%error, "winners are not promoted"))
            .ok();
        if self.config.dev {
            self.followed = follow_program(&self.app, files);
        }
    }

    pub(crate) async fn live(mut self) -> Result<End, ServeError> {
        let cause = tokio::select! {
            () = self.stop.cancelled() => Cause::Outcome(Outcome::Stopped),
            () = idle(&self.config, self.server.open(), self.is_busy.clone()) => {
                Cause::Outcome(Outcome::Idle)
            }
            () = announce_late(&self.dir, self.unannounced.as_deref()) => {
                Cause::Outcome(Outcome::Stopped)
            }
            () = count_refusals(&self.app, &self.inbox) => Cause::Outcome(Outcome::Stopped),
            Some(plan) = self.plans.recv() => Cause::Plan(plan),
            ended = &mut self.ended => Cause::Engine(ended),
        };
        // Nothing more is promoted; what has begun is concluded by the next broker.
        self.winners = None;
        self.followed = None;
        self.following.abort();
        match cause {
            Cause::Outcome(outcome) => {
                self.close(Failure::shutting_down());
                self.server.end().await;
                let ended = self.end_engine().await;
                self.vanish();
                self.judge(ended).map(|()| End::Well(outcome))
            }
            Cause::Plan(mut plan) => {
                plan.carried.left_ms = monotonic_ms();
                self.server.make_way();
                self.app.leaving.cancel();
                self.close(Failure::making_way());
                self.listeners.rest().await;
                let lines = self.server.at_rest().await;
                let ended = self.end_engine().await;
                self.judge(ended).inspect_err(|_| self.vanish())?;
                let sockets = self.listeners.hand_on(&self.dir, &self.claims);
                let sockets = sockets.map_err(|source| ServeError::System {
                    what: "keep the broker's sockets open",
                    source,
                })?;
                Ok(End::Leaving(Box::new(Leaving {
                    sockets,
                    lines,
                    plan,
                })))
            }
            Cause::Engine(ended) => {
                self.close(Failure::shutting_down());
                self.server.end().await;
                self.vanish();
                self.judge(ended).map(|()| End::Well(Outcome::Stopped))
            }
        }
    }

    /// Nothing is accepted and nothing granted any more; whoever waits is told so.
    fn close(&self, failure: Failure) {
        self.app.closing.cancel();
        self.inbox.tell(Input::ShutDown(failure));
    }

    /// Has the engine end with all that it was told.
    async fn end_engine(&mut self) -> Ended {
        if let Ok(ready) = self.app.ready()
            && let Some(refused) = ready.refusals.unwritten()
        {
            self.inbox.tell(Input::Tell(refused));
        }
        self.inbox.tell(Input::Stop);
        (&mut self.ended).await
    }

    /// A broker that has ended is not to be found any more; the next one writes these anew.
    fn vanish(&self) {
        let _ = fs::remove_file(self.dir.file(ENDPOINT));
        remove_socket(&self.config);
    }

    fn judge(&self, ended: Ended) -> Result<(), ServeError> {
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ServeError::Journal {
                path: self.dir.file(JOURNAL),
                detail: error.to_string(),
            }),
            Err(_) => Err(ServeError::System {
                what: "go on: the engine's thread is gone",
                source: std::io::ErrorKind::BrokenPipe.into(),
            }),
        }
    }
}

/// Returns once nobody was connected, waited or held for as long as the configuration says.
async fn idle(
    config: &Config,
    mut open: watch::Receiver<usize>,
    mut is_busy: watch::Receiver<bool>,
) {
    let Some(patience) = config.until_idle else {
        return pending().await;
    };
    loop {
        let used = *open.borrow_and_update() > 0 || *is_busy.borrow_and_update();
        tokio::select! {
            () = sleep(patience), if !used => return,
            changed = open.changed() => if changed.is_err() { return pending().await },
            changed = is_busy.changed() => if changed.is_err() { return pending().await },
        }
    }
}

/// Publishes the endpoint as soon as there is room. Does not return.
async fn announce_late(dir: &Directory, line: Option<&[u8]>) {
    let Some(line) = line else {
        return pending().await;
    };
    let mut every = interval(ANNOUNCE_EVERY);
    loop {
        every.tick().await;
        if dir.replace(ENDPOINT, line).is_ok() {
            return pending().await;
        }
    }
}

/// Hands what was refused to the journal, a second's worth at a time. Does not return.
async fn count_refusals(app: &App, inbox: &Inbox) {
    let mut every = interval(COUNT_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Ok(ready) = app.ready()
            && let Some(refused) = ready.refusals.unwritten()
        {
            inbox.tell(Input::Tell(refused));
        }
    }
}
