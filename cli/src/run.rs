//! `warden run`: waits for a lease, runs a command under it, gives it back when the command and all
//! that it started is over.
//!
//! Everything happens on the main thread: the command and the witness are bound to the thread that
//! started them, and the main thread lives as long as the process.

mod command;
mod devices;
mod family;
mod mark;
mod progress;
mod queue;
mod request;
mod signals;
mod supervise;
mod witness;
mod yielding;

use anyhow::Context as _;
use rustix::process::Signal;
use warden::wire::{GpuState, GpuStatus, Granted, LockBody, RenewBody};
use warden::{Code, GpuId, Owner};
use warden_client::owner::{is_owner_unknown, own_by_nobody, this_process};
use warden_client::{Address, Client, Error, Lease};

use crate::args::{BrokerArgs, RunArgs};
use crate::exit::Exit;
use crate::run::family::Family;
use crate::run::progress::Progress;
use crate::run::queue::Waited;
use crate::run::signals::Signals;
use crate::run::supervise::Work;
use crate::words::explained;

pub use yielding::OnYield;

/// Runs the command, and ends as it ends.
pub fn run(broker: &BrokerArgs, args: RunArgs) -> anyhow::Result<Exit> {
    let program = args.command.first().cloned().unwrap_or_default();
    let mut progress = Progress::new();
    if let Err(error) = command::find(&program) {
        progress.say(&error);
        return Ok(error.exit());
    }
    let client = crate::client(broker)?;
    let body = request::lock_body(&args, &program);
    let ended = crate::block_on(async {
        let mut session = Session {
            client,
            signals: Signals::listen().context("cannot listen to signals")?,
            progress: &mut progress,
        };
        match session.queue(body).await {
            Ok(Queued::Lease(lease, gpus)) => session.under(*lease, &gpus, &args).await,
            Ok(Queued::Ended(exit)) => Ok(exit),
            Err(error) if args.fallback && exit_of(&error) == Exit::NoBroker => {
                let told = explained(&error);
                session
                    .progress
                    .say(format_args!("{told}; running without a lease"));
                // Nothing is left to do for us, so the command takes our place.
                let error = command::become_it(&args.command);
                session.progress.say(&error);
                Ok(error.exit())
            }
            Err(error) => {
                session.progress.say(explained(&error));
                Ok(exit_of(&error))
            }
        }
    });
    progress.clear();
    ended
}

/// One run, from the queue to the end.
struct Session<'a> {
    client: Client,
    signals: Signals,
    progress: &'a mut Progress,
}

/// What came of the wait.
enum Queued {
    /// A lease, with the GPUs that the broker has.
    Lease(Box<Lease>, Vec<GpuStatus>),
    /// Nothing: a signal ended the wait, or the lease was over before the command could start.
    Ended(Exit),
}

/// The GPUs as they were before these were granted: nobody is granted what is gone.
fn with_granted(mut before: Vec<GpuStatus>, granted: &[GpuId]) -> Vec<GpuStatus> {
    for gpu in before.iter_mut().filter(|gpu| granted.contains(&gpu.id)) {
        gpu.state = GpuState::Held;
    }
    before
}

impl Session<'_> {
    async fn queue(&mut self, mut body: LockBody) -> Result<Queued, Error> {
        // Also finds out, before anything waits, whether there is a broker that lets us in.
        let gpus = self.client.status().await?.gpus;
        let waited = match self.wait(&body).await {
            Err(error) if is_owner_unknown(&error) && self.is_over_tcp() => {
                self.progress.say(
                    "the broker does not know this process, so the lease lives by its ttl alone",
                );
                own_by_nobody(&mut body);
                self.wait(&body).await?
            }
            waited => waited?,
        };
        let (granted, was_stopped) = match waited {
            Waited::Granted {
                granted,
                was_stopped,
            } => (*granted, was_stopped),
            Waited::Interrupted(signal) => {
                let number = u8::try_from(signal.as_raw()).unwrap_or(u8::MAX);
                return Ok(Queued::Ended(Exit::Signal(number)));
            }
        };
        let lease = Lease::keep(self.client.clone(), granted);
        if was_stopped && let Some(lost) = self.was_lost(lease.granted()).await {
            self.progress.say(lost);
            return Ok(Queued::Ended(Exit::LeaseLost));
        }
        // Some may have come or gone meanwhile, and the others are counted differently then.
        let now = self.client.status().await.map(|status| status.gpus);
        let gpus = now.unwrap_or_else(|_| with_granted(gpus, &lease.granted().gpu_ids));
        Ok(Queued::Lease(Box::new(lease), gpus))
    }

    async fn wait(&mut self, body: &LockBody) -> Result<Waited, Error> {
        queue::wait(&self.client, body, &mut self.signals, self.progress).await
    }

    /// Whether one of us may be in a container: only TCP crosses that wall.
    fn is_over_tcp(&self) -> bool {
        let explicit = self.client.endpoint().explicit_address();
        matches!(explicit, Some(Address::Tcp { .. }))
    }

    /// Why the lease is over, where it ended while this program was stopped.
    async fn was_lost(&self, granted: &Granted) -> Option<String> {
        let body = RenewBody {
            lease_id: granted.lease_id.clone(),
            token: granted.token,
            operation: None,
        };
        let error = self.client.renew(&body).await.err()?;
        let refusal = error.refusal()?;
        (refusal.problem.code == Code::LeaseEnded).then(|| supervise::reason(refusal))
    }

    /// Runs the command under the lease, and gives the lease back.
    async fn under(
        &mut self,
        mut lease: Lease,
        gpus: &[GpuStatus],
        args: &RunArgs,
    ) -> anyhow::Result<Exit> {
        lease.follow_events();
        let granted = lease.granted();
        let own = this_process();
        let mut environment = devices::variables(gpus, &granted.gpu_ids);
        environment.push((Owner::LEASE_VARIABLE, granted.lease_id.to_string()));
        environment.push(("WARDEN_FENCING_TOKEN", granted.token.to_string()));
        let family = match Family::start(&args.command, &environment, own) {
            Ok(family) => family,
            Err(error) => {
                self.progress.say(&error);
                self.give_back(lease).await;
                return Ok(error.exit());
            }
        };
        let mut work = Work {
            family,
            environment,
            on_yield: args.on_yield.as_ref(),
        };
        let ended = self.supervise(&mut work, &lease).await?;
        if ended.lost.is_some() {
            return Ok(Exit::LeaseLost);
        }
        Ok(self.give_back(lease).await.unwrap_or(ended.exit))
    }

    /// Gives the lease back; says so where it turns out to have been taken away before.
    async fn give_back(&mut self, lease: Lease) -> Option<Exit> {
        match lease.close().await {
            Ok(_) => None,
            Err(Error::Problem(refusal)) if refusal.problem.code == Code::LeaseEnded => {
                self.progress.say(supervise::reason(&refusal));
                Some(Exit::LeaseLost)
            }
            Err(error) => {
                // The lease ends with this process in any case.
                tracing::debug!(%error, "not given back");
                None
            }
        }
    }
}

/// For a request that failed: what never ran ends as such.
fn exit_of(error: &Error) -> Exit {
    match error.code() {
        Some(
            Code::QueueTimeout
            | Code::QueueFull
            | Code::TooManyRequests
            | Code::RequestEnded
            | Code::RequestConflict
            | Code::Superseded
            | Code::ImpossibleRequest,
        ) => Exit::NeverRan,
        Some(Code::LeaseEnded) => Exit::LeaseLost,
        _ => Exit::of_error(error),
    }
}

/// Stops this very process, as the terminal's stop would have done had it not been caught.
fn stop_self() {
    // A process may always stop itself.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}
