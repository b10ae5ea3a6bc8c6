//! One broker, from its start to its end.

use std::io;
use std::sync::Arc;

use axum::response::IntoResponse as _;
use http::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warden::wire::reload::Reloaded;
use warden_reload::files::Files;
use warden_reload::promotion::Place;

use crate::app::App;
use crate::begin::{Begun, Inputs, begin};
use crate::clock::{rfc3339, wall_ms};
use crate::config::Config;
use crate::disk::directory::Directory;
use crate::endpoint::Endpoint;
use crate::engine::inbox::Inbox;
use crate::error::ServeError;
use crate::gpus::{self, Claims, Shared};
use crate::http::answer::{json, whole};
use crate::http::doors::invite;
use crate::http::lot::{Owed, Parked};
use crate::http::server::Server;
use crate::life::{End, Life};
use crate::notices::Notices;
use crate::program::handover::Sockets;
use crate::program::switch::Switch;
use crate::program::{Itself, Program};
use crate::reloads::{self, Wanted};
use crate::taken::{Taken, remove_socket};
use crate::{Outcome, owners};

/// A broker that serves. Dropping it lets it run on; [`Broker::stop`] ends it.
#[derive(Debug)]
pub struct Broker {
    endpoint: Endpoint,
    app: Arc<App>,
    server: Arc<Server>,
    stop: CancellationToken,
    task: JoinHandle<Result<End, ServeError>>,
}

/// What a broker is given that has the process to itself, and so may become another program.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) itself: Itself,
    /// What the program before kept open.
    pub(crate) sockets: Option<Sockets>,
}

impl Broker {
    /// Starts a broker on the current tokio runtime, which must have I/O and time enabled, and
    /// returns once it serves.
    ///
    /// # Errors
    /// [`ServeError`]: nothing is left behind then but the data directory.
    pub async fn start(config: Config) -> Result<Self, ServeError> {
        Self::begin(config, None).await
    }

    pub(crate) async fn begin(
        mut config: Config,
        given: Option<Given>,
    ) -> Result<Self, ServeError> {
        config.socket = config
            .socket
            .map(|path| std::path::absolute(&path).unwrap_or(path));
        let simulated = config.simulated_gpus()?;
        let (itself, sockets) = match given {
            Some(Given { itself, sockets }) => (Some(itself), sockets),
            None => (None, None),
        };
        let mut taken = Taken::take(&config, sockets)?;
        let kept = taken.kept;
        let (app, server) = (Arc::clone(&taken.app), Arc::clone(&taken.server));
        let found = match simulated {
            Some(gpus) => gpus,
            None => gpus::enumerate(&config.host_root).await,
        };
        let notices = Arc::new(Notices::new());
        let claims = Claims::new(&config.host_root, taken.dir.path());
        for (id, socket) in std::mem::take(&mut taken.claims) {
            if let Err(error) = claims.take_over(&id, socket) {
                tracing::warn!(%id, %error, "the claim on a GPU has to be made anew");
            }
        }
        let gpus = Shared::claim(claims, found, Arc::clone(&notices)).await;
        let mut endpoint = endpoint(&config, &taken);
        if let Some(itself) = &itself {
            endpoint.started_at.clone_from(&itself.started_at);
        }
        let files = Files::start();
        let mut life =
            bring_to_life(config, taken, (gpus, notices), &endpoint, &files, itself).await?;
        life.announce(&endpoint).inspect_err(|_| {
            if !kept {
                life.break_off();
            }
        })?;
        if kept {
            life.listeners.accept(&server);
        }
        life.follow(&files);
        Ok(Self {
            endpoint,
            app,
            server,
            stop: life.stop.clone(),
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
        match self.end().await? {
            End::Well(outcome) => Ok(outcome),
            // It was not given a process to leave.
            End::Leaving(_) => Ok(Outcome::Stopped),
        }
    }

    /// The same, of one that may make way for another program.
    pub(crate) async fn end(&mut self) -> Result<End, ServeError> {
        (&mut self.task).await.map_err(|error| ServeError::System {
            what: "go on serving",
            source: io::Error::other(error),
        })?
    }

    /// Reloads everything that may be, and tells the log what came of it.
    pub(crate) fn reload(&self, why: &'static str) {
        let app = Arc::clone(&self.app);
        tokio::spawn(async move { reloads::reload_unasked(&app, Wanted::All, why).await });
    }

    /// Takes over the connections of the program before, gives the answers that it left to give, and
    /// puts its copies in order.
    pub(crate) async fn settle(&self, lines: Vec<Parked>) {
        let program = self
            .app
            .ready()
            .ok()
            .and_then(|ready| ready.program.clone());
        let Some(program) = program else {
            return;
        };
        let (answered, lines): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|line| line.owed.is_some());
        for line in lines {
            self.server.take_over(line, None);
        }
        let settler = Arc::clone(&program);
        let settled = tokio::task::spawn_blocking(move || settler.settle()).await;
        if let Ok(Err(error)) = settled {
            tracing::warn!(%error, "the copies of programs cannot be put in order");
        }
        for mut line in answered {
            if let Some(owed) = line.owed.take() {
                let answer = last_answer(&program, owed).await;
                self.server.take_over(line, Some(answer));
            }
        }
    }
}

/// To who asked for the reload that led here.
async fn last_answer(program: &Program, owed: Owed) -> Vec<u8> {
    let mut response = match program.verdict() {
        Ok(result) => {
            let mut results = owed.results;
            results.push(result);
            json(StatusCode::OK, &Reloaded { results })
        }
        Err(failure) => failure.into_response(),
    };
    if let Some(origin) = owed.origin.and_then(|origin| origin.parse().ok()) {
        invite(response.headers_mut(), origin);
    }
    whole(response).await
}

fn endpoint(config: &Config, taken: &Taken) -> Endpoint {
    Endpoint {
        pid: std::process::id(),
        version: crate::VERSION.to_owned(),
        socket: config.socket.clone(),
        address: taken.bound.to_string(),
        data_dir: taken.dir.path().to_owned(),
        started_at: rfc3339(wall_ms()),
        started_by: config.started_by.clone(),
    }
}

/// Begins the engine over what was taken, and opens the routes.
async fn bring_to_life(
    config: Config,
    taken: Taken,
    (gpus, notices): (Shared, Arc<Notices>),
    endpoint: &Endpoint,
    files: &Files,
    itself: Option<Itself>,
) -> Result<Life, ServeError> {
    let Taken {
        dir,
        app,
        server,
        listeners,
        kept,
        bound: _,
        claims: _,
    } = taken;
    let inbox = Arc::new(Inbox::default());
    let (watcher, orders) = mpsc::unbounded_channel();
    let (busy, is_busy) = watch::channel(false);
    let (planned, plans) = mpsc::channel(1);
    let inputs = Inputs {
        gpus: gpus.ours(),
        notices,
        started_at: endpoint.started_at.clone(),
        inbox: Arc::clone(&inbox),
        watcher,
        busy,
        files: files.clone(),
        switch: Arc::new(Switch::open(&config, dir.path())),
        program: itself.map(|itself| (itself, planned)),
    };
    let place = Place::new(&config.config_dir, config.env.clone());
    let (dir, begun) = begin_on_thread(dir, place, inputs).await.inspect_err(|_| {
        app.closing.cancel();
        if !kept {
            remove_socket(&config);
        }
    })?;
    let Begun { ready, ended } = begun;
    tokio::spawn(owners::watch(orders, Arc::clone(&inbox)));
    let claims = Arc::clone(&gpus.claims);
    let following = tokio::spawn(gpus.follow(Arc::clone(&inbox)));
    tokio::spawn(Arc::clone(&ready.stream).look_after());
    app.open(ready);
    Ok(Life {
        config,
        dir,
        app,
        server,
        listeners,
        inbox,
        ended,
        is_busy,
        stop: CancellationToken::new(),
        plans,
        unannounced: None,
        winners: None,
        followed: None,
        following: following.abort_handle(),
        claims,
    })
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
