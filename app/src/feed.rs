//! The window's side of the event stream: what the broker tells, folded and projected.
//!
//! A runtime thread reads the stream into a bounded channel; the window's thread takes from it,
//! folds and projects, since only it knows when a picture is wanted.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use warden::policy::Policy;
use warden::snapshot::Snapshot;
use warden_client::{Client, Endpoint, Error, FeedItem};
use warden_view::{LinkState, Picture};

use crate::broker::{self, Started};
use crate::clock::{WindowClock, rfc3339_ms};
use crate::link::{self, Standing};
use crate::project::Projection;

/// How long one frame may fold: a window that comes back after a while catches up over several.
const FOLD: Duration = Duration::from_millis(8);
/// An event's durations are those of its own moment, and it is taken for one of now: after a longer
/// gap than this the events in it are not folded, but a new snapshot is taken. A broker may be silent
/// for 15 s.
const GAP_MAX: Duration = Duration::from_secs(20);
/// How many events are folded between two looks at the clock.
const FOLD_STEP: usize = 32;

/// Called, from another thread, when there is something to take.
#[derive(Clone)]
pub struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// It must be quick: it is called for every event.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Asks for a frame.
    pub fn call(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

/// What the feed follows and how.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The broker.
    pub endpoint: Endpoint,
    /// Where a broker that is started here finds its configuration.
    pub config_dir: Option<PathBuf>,
    /// Whether one may be started where none answers.
    pub may_start: bool,
}

/// See the module.
pub struct Feed {
    // Before the runtime, in which it runs.
    items: warden_client::Feed,
    client: Client,
    runtime: Runtime,
    setup: Setup,
    wake: Wake,
    started: Option<Started>,
    /// None was started yet since it was asked for.
    may_start: bool,
    snapshot: Option<Snapshot>,
    projection: Projection,
    standing: Standing,
    /// A snapshot is to come, since what was folded until now does not lead to what is.
    awaits_snapshot: bool,
    /// The picture does not show everything yet that is known.
    due: bool,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl Feed {
    /// Starts following.
    ///
    /// # Errors
    /// When no runtime can be started.
    pub fn start(setup: Setup, wake: Wake) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("feed")
            .enable_all()
            .build()?;
        let client = Client::new(setup.endpoint.clone());
        let items = follow(&runtime, &client, &wake);
        let detail = format!("looking for the broker at {}", setup.endpoint);
        Ok(Self {
            items,
            client,
            runtime,
            may_start: setup.may_start,
            setup,
            wake,
            started: None,
            snapshot: None,
            projection: Projection::default(),
            standing: Standing {
                state: LinkState::Connecting,
                detail,
            },
            awaits_snapshot: false,
            due: true,
        })
    }

    /// For sending the operator's orders.
    #[must_use]
    pub fn client(&self) -> (&Client, &Handle) {
        (&self.client, self.runtime.handle())
    }

    /// Whether a snapshot is shown and current.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.standing.state == LinkState::Live
    }

    /// The rules that hold in the broker, while it answers.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        let snapshot = self.snapshot.as_ref().filter(|_| self.is_live());
        snapshot.map(Snapshot::policy)
    }

    /// Asks the broker anew now, and starts one where that is allowed and none answers.
    pub fn retry(&mut self) {
        if !self.is_live() {
            if self
                .started
                .as_ref()
                .is_some_and(|started| started.ended().is_some())
            {
                self.started = None;
            }
            self.may_start = self.setup.may_start && self.started.is_none();
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.items = follow(&self.runtime, &self.client, &self.wake);
        self.awaits_snapshot = true;
    }

    /// Names the broker that is sought.
    pub fn expect(&self, picture: &mut Picture) {
        link::expect(&mut picture.broker, &self.setup.endpoint);
    }

    /// Takes in what has come. True when there is more, which the caller has to come back for.
    pub fn take(&mut self, clock: &WindowClock, picture: &mut Picture) -> bool {
        let more = self.drain(clock, picture);
        if let Some(ended) = self.started.as_ref().and_then(Started::ended) {
            self.started = None;
            if !self.is_live() {
                self.stand(Standing::of_ended(&ended, self.snapshot.is_some()));
            }
        }
        more
    }

    /// Brings the picture up to date. True when there is more to do at the next frame.
    pub fn show(&mut self, clock: &mut WindowClock, picture: &mut Picture) -> bool {
        if clock.follow() {
            self.projection.clock_jumped();
            self.due = true;
        }
        if !std::mem::take(&mut self.due) {
            return false;
        }
        let seen = self.snapshot.is_some();
        self.standing
            .show(&mut picture.broker.link, clock.now_ms(), seen);
        picture.serial += 1;
        if let Some(snapshot) = &self.snapshot {
            self.due = self.projection.project(snapshot, clock, picture);
            picture.broker.version = snapshot.about().version.as_str().into();
            picture.broker.started_ms = rfc3339_ms(&snapshot.about().started_at);
        }
        self.due
    }

    fn drain(&mut self, clock: &WindowClock, picture: &mut Picture) -> bool {
        let started = Instant::now();
        loop {
            for _ in 0..FOLD_STEP {
                let Some(item) = self.items.try_next() else {
                    return false;
                };
                self.take_item(item, clock, picture);
            }
            if started.elapsed() > FOLD {
                return true;
            }
        }
    }

    fn take_item(&mut self, item: FeedItem, clock: &WindowClock, picture: &mut Picture) {
        match item {
            FeedItem::Connected { address, unheard } => {
                link::name(&mut picture.broker, &self.setup.endpoint, &address);
                // On a resume what was folded until now stands; else a snapshot follows at once.
                let resumes = self.snapshot.is_some() && !self.awaits_snapshot;
                if resumes && unheard > GAP_MAX {
                    self.restart();
                } else if resumes {
                    self.live();
                }
            }
            FeedItem::Snapshot(status) => {
                let snapshot = Snapshot::new(*status, clock.monotonic_ms());
                let after_gap = std::mem::take(&mut self.awaits_snapshot);
                self.projection.renewed(&snapshot, clock, after_gap);
                self.snapshot = Some(snapshot);
                self.live();
            }
            FeedItem::Event { revision, event } => {
                let Some(snapshot) = &mut self.snapshot else {
                    return;
                };
                self.projection.event(snapshot, revision, &event, clock);
                if let Err(error) = snapshot.fold(revision, &event, clock.monotonic_ms()) {
                    tracing::warn!(%error, "the event stream does not fit; taking a new snapshot");
                    self.restart();
                }
                self.due = true;
            }
            FeedItem::Disconnected { error } => self.lost(&error),
        }
    }

    fn live(&mut self) {
        // Whoever runs this one may stop it and start it again without having it done for them.
        self.may_start = false;
        self.stand(Standing {
            state: LinkState::Live,
            detail: String::new(),
        });
    }

    fn lost(&mut self, error: &Error) {
        let mut standing = Standing::of(error, self.snapshot.is_some());
        let away = matches!(
            error,
            Error::Unreachable {
                was_connected: false,
                ..
            }
        );
        if away && self.started.is_none() && std::mem::take(&mut self.may_start) {
            match broker::start(&self.setup.endpoint, self.setup.config_dir.as_deref()) {
                Ok(started) => {
                    standing.detail = "no broker answered; starting one".to_owned();
                    self.started = Some(started);
                }
                Err(error) => standing.detail = error.to_string(),
            }
        }
        self.stand(standing);
    }

    fn stand(&mut self, standing: Standing) {
        self.due |= self.standing != standing || standing.state == LinkState::Live;
        self.standing = standing;
    }
}

fn follow(runtime: &Runtime, client: &Client, wake: &Wake) -> warden_client::Feed {
    let _inside = runtime.enter();
    let wake = wake.clone();
    warden_client::Feed::spawn(client, move || wake.call())
}
