//! One broker, from its start to its end.

use std::fs;
use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use warden_reload::files::Files;
use warden_reload::promotion::Place;

use crate::app::App;
use crate::begin::{Begun, Inputs, begin};
use crate::clock::{rfc3339, wall_ms};
use crate::config::Config;
use crate::disk::directory::Directory;
use crate::disk::journal::{FILE as JOURNAL, JournalError};
use crate::disk::token;
use crate::endpoint::Endpoint;
use crate::engine::inbox::{Inbox, Input};
use crate::error::ServeError;
use crate::gpus;
use crate::http::doors::Doors;
use crate::http::routes::routes;
use crate::http::server::{Server, listen_tcp, listen_unix};
use crate::winners::Winners;
use crate::{Outcome, owners};

/// The file in the data directory that says where its broker listens.
const ENDPOINT: &str = "endpoint";
/// How often what was refused goes to the journal.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// A broker that serves. Dropping it lets it run on; [`Broker::stop`] ends it.
#[derive(Debug)]
pub struct Broker {
    endpoint: Endpoint,
    stop: CancellationToken,
    task: JoinHandle<Result<Outcome, ServeError>>,
}

impl Broker {
    /// Starts a broker on the current tokio runtime, which must have I/O and time enabled, and
    /// returns once it serves.
    ///
    /// # Errors
    /// [`ServeError`]: nothing is left behind then but the data directory.
    pub async fn start(mut config: Config) -> Result<Self, ServeError> {
        config.socket = config
            .socket
            .map(|path| std::path::absolute(&path).unwrap_or(path));
        let simulated = config.simulated_gpus()?;
        let Taken {
            dir,
            app,
            server,
            bound,
        } = take(&config)?;
        let closing = app.closing.clone();
        let gpus = match simulated {
            Some(gpus) => gpus,
            None => gpus::enumerate().await,
        };
        let endpoint = endpoint(&config, &dir, bound);
        let files = Files::start();
        let place = Place::new(&config.config_dir, config.env.clone());
        let inbox = Arc::new(Inbox::default());
        let (watcher, orders) = mpsc::unbounded_channel();
        let (busy, is_busy) = watch::channel(false);
        let inputs = Inputs {
            gpus,
            started_at: endpoint.started_at.clone(),
            inbox: Arc::clone(&inbox),
            watcher,
            busy,
            files: files.clone(),
        };
        let (dir, begun) = begin_on_thread(dir, place.clone(), inputs)
            .await
            .inspect_err(|_| {
                closing.cancel();
                remove_socket(&config);
            })?;
        let Begun { ready, ended } = begun;
        tokio::spawn(owners::watch(orders, Arc::clone(&inbox)));
        tokio::spawn(Arc::clone(&ready.stream).look_after());
        let sharing = Arc::clone(&ready.sharing);
        app.open(ready);
        let stop = CancellationToken::new();
        let mut life = Life {
            config,
            dir,
            app,
            server,
            inbox,
            ended,
            is_busy,
            closing,
            stop: stop.clone(),
            winners: None,
        };
        life.announce(&endpoint).inspect_err(|_| life.break_off())?;
        life.winners = Winners::watch(&files, place, sharing)
            .inspect_err(|error| tracing::error!(%error, "winners are not promoted"))
            .ok();
        Ok(Self {
            endpoint,
            stop,
            task: tokio::spawn(life.live()),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends it gracefully: no new grant, waiters are told, leases stay in the journal.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Why it could not go on.
    pub async fn ended(&mut self) -> Result<Outcome, ServeError> {
        (&mut self.task).await.map_err(|error| ServeError::System {
            what: "go on serving",
            source: io::Error::other(error),
        })?
    }
}

/// What only one broker can have, and already answers (that it is not ready).
struct Taken {
    dir: Directory,
    app: Arc<App>,
    server: Arc<Server>,
    bound: SocketAddr,
}

fn take(config: &Config) -> Result<Taken, ServeError> {
    let addr = config.listen_addr()?;
    let dir = Directory::open(&config.data_dir)?;
    let token = token::read_or_make(&dir)?;
    let (tcp, bound) = listen_tcp(addr)?;
    let unix = config.socket.as_deref().map(listen_unix).transpose()?;
    let (hosts, origins) = (&config.allowed_hosts, &config.allowed_origins);
    let doors = Doors::new(bound.port(), hosts, origins, token);
    let closing = CancellationToken::new();
    let app = Arc::new(App::new(closing.clone()));
    let server = Server::new(doors, routes(Arc::clone(&app)), closing);
    tokio::spawn(Arc::clone(&server).accept_tcp(tcp));
    if let Some(unix) = unix {
        tokio::spawn(Arc::clone(&server).accept_unix(unix));
    }
    Ok(Taken {
        dir,
        app,
        server,
        bound,
    })
}

fn endpoint(config: &Config, dir: &Directory, bound: SocketAddr) -> Endpoint {
    Endpoint {
        pid: std::process::id(),
        version: crate::VERSION.to_owned(),
        socket: config.socket.clone(),
        address: bound.to_string(),
        data_dir: dir.path().to_owned(),
        started_at: rfc3339(wall_ms()),
        started_by: config.started_by.clone(),
    }
}

async fn begin_on_thread(
    dir: Directory,
    place: Place,
    inputs: Inputs,
) -> Result<(Directory, Begun), ServeError> {
    let begun = tokio::task::spawn_blocking(move || {
        let begun = begin(&dir, &place, inputs)?;
        Ok((dir, begun))
    });
    begun.await.map_err(|error| ServeError::System {
        what: "read the journal",
        source: io::Error::other(error),
    })?
}

/// Everything that a running broker holds.
struct Life {
    config: Config,
    dir: Directory,
    app: Arc<App>,
    server: Arc<Server>,
    inbox: Arc<Inbox>,
    ended: oneshot::Receiver<Result<(), JournalError>>,
    is_busy: watch::Receiver<bool>,
    closing: CancellationToken,
    stop: CancellationToken,
    winners: Option<Winners>,
}

impl Life {
    /// Ends what has begun, since it cannot be found.
    fn break_off(&self) {
        self.closing.cancel();
        self.inbox.tell(Input::Stop);
        remove_socket(&self.config);
    }

    fn announce(&self, endpoint: &Endpoint) -> Result<(), ServeError> {
        let failed = |detail: String| self.dir.unusable(format!("its endpoint: {detail}"));
        let mut line = serde_json::to_vec(endpoint).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        self.dir
            .replace(ENDPOINT, &line)
            .map_err(|error| failed(error.to_string()))
    }

    async fn live(mut self) -> Result<Outcome, ServeError> {
        let outcome = tokio::select! {
            () = self.stop.cancelled() => Ok(Outcome::Stopped),
            () = idle(&self.config, self.server.open(), self.is_busy.clone()) => Ok(Outcome::Idle),
            () = count_refusals(&self.app, &self.inbox) => Ok(Outcome::Stopped),
            ended = &mut self.ended => Err(ended),
        };
        // Nothing more is promoted; what has begun is concluded by the next broker.
        self.winners = None;
        self.inbox.tell(Input::ShutDown);
        self.closing.cancel();
        self.server.end().await;
        if let Ok(ready) = self.app.ready()
            && let Some(refused) = ready.refusals.unwritten()
        {
            self.inbox.tell(Input::Tell(refused));
        }
        self.inbox.tell(Input::Stop);
        let (outcome, ended) = match outcome {
            Ok(outcome) => (outcome, (&mut self.ended).await),
            Err(ended) => (Outcome::Stopped, ended),
        };
        // A broker that has ended is not to be found any more; the next one writes these anew.
        let _ = fs::remove_file(self.dir.file(ENDPOINT));
        remove_socket(&self.config);
        match ended {
            Ok(Ok(())) => Ok(outcome),
            Ok(Err(error)) => Err(ServeError::Journal {
                path: self.dir.file(JOURNAL),
                detail: error.to_string(),
            }),
            Err(_) => Err(ServeError::System {
                what: "go on: the engine's thread is gone",
                source: io::ErrorKind::BrokenPipe.into(),
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

fn remove_socket(config: &Config) {
    if let Some(socket) = &config.socket {
        // Gone already, or the next start replaces it.
        let _ = fs::remove_file(socket);
    }
}

/// Runs a broker until TERM, INT or idleness: blocks the calling thread, on runtime threads of its
/// own. Prints one line of JSON on standard output when it is ready, the same as `endpoint` holds.
///
/// # Errors
/// [`ServeError`], with the exit code that it maps to.
pub fn serve(config: Config) -> Result<Outcome, ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("broker")
        .build()
        .map_err(|source| ServeError::System {
            what: "start the broker's threads",
            source,
        })?;
    let outcome = runtime.block_on(serve_until_told(config));
    // Nothing is left to wait for: what was to be kept is in the journal.
    runtime.shutdown_background();
    outcome
}

async fn serve_until_told(config: Config) -> Result<Outcome, ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|source| ServeError::System {
            what: "listen for signals",
            source,
        })
    };
    // Before anything is taken, so that a signal during the start is not lost.
    let (mut term, mut int) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let mut broker = tokio::select! {
        started = Broker::start(config) => started?,
        _ = term.recv() => return Ok(Outcome::Signal),
        _ = int.recv() => return Ok(Outcome::Signal),
    };
    if let Ok(line) = serde_json::to_string(broker.endpoint()) {
        // Whoever started us may not listen.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
    tokio::select! {
        ended = broker.ended() => return ended,
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    broker.stop();
    broker.ended().await?;
    Ok(Outcome::Signal)
}
