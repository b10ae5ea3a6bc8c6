//! A broker that has the process to itself: signals, the line on standard output, and one program
//! after another.

use std::any::Any;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use tokio::runtime::{Builder, Runtime};

use crate::Outcome;
use crate::broker::{Broker, Given};
use crate::clock::monotonic_ms;
use crate::config::Config;
use crate::endpoint::ENDPOINT;
use crate::error::ServeError;
use crate::http::lot::Parked;
use crate::life::{End, Leaving};
use crate::program::handover::{Failed, Handover, Sockets};
use crate::program::signals::{Ears, Word};
use crate::program::trial::{self, Trial};
use crate::program::{Itself, check, signals};
use crate::taken::remove_socket;

/// Runs a broker until TERM, INT or idleness: blocks the calling thread, on runtime threads of its
/// own. Prints one line of JSON on standard output when it is ready, the same as `endpoint` holds.
///
/// The process becomes another program where that is asked for and allowed, and goes on serving as
/// that one: then this never returns. To be called before the process has other threads.
///
/// # Errors
/// [`ServeError`], with the exit code that it maps to.
pub fn serve(config: Config) -> Result<Outcome, ServeError> {
    let mut start = match Start::of_this_process()? {
        Role::Serve(start) => start,
        Role::Check(folder) => {
            return check::answer(&config, &folder).map(|()| Outcome::Stopped);
        }
    };
    let ignores_hangups = start.itself.ignores_hangups;
    let (runtime, mut ears) = start.attempt(|_| listen(ignores_hangups))?;
    let outcome = serve_on(&runtime, &config, start, &mut ears);
    // Nothing is left to wait for: what was to be kept is in the journal.
    runtime.shutdown_background();
    outcome
}

/// To be called first of all by a program that serves: where it is to take over from another one in
/// this process, whatever ends it from here on has that one go on. Does nothing otherwise.
pub fn on_trial() {
    trial::begin();
}

fn serve_on(
    runtime: &Runtime,
    config: &Config,
    mut start: Box<Start>,
    ears: &mut Ears,
) -> Result<Outcome, ServeError> {
    loop {
        let is_first = start.sockets.is_none();
        let begun = start.attempt(|start| runtime.block_on(begin(config, start, ears)));
        let mut broker = match begun {
            Ok(Some(broker)) => broker,
            Ok(None) | Err(_) => {
                // What the program before published is not true any more.
                if !is_first {
                    vanish(config);
                }
                return begun.map(|_| Outcome::Signal);
            }
        };
        if is_first {
            announce(&broker);
        }
        let lines = start.passed();
        match runtime.block_on(live(config, &mut broker, lines, ears))? {
            End::Well(outcome) => return Ok(outcome),
            End::Leaving(leaving) => {
                signals::hold_back();
                if runtime.block_on(ears.were_told_to_end()) {
                    vanish(config);
                    return Ok(Outcome::Signal);
                }
                *start = Start::again(leave(*leaving));
                signals::let_through();
            }
        }
    }
}

/// What a broker starts with, anew or after another program.
struct Start {
    itself: Itself,
    sockets: Option<Sockets>,
    lines: Vec<Parked>,
    trial: Option<Trial>,
    /// When the program before stopped serving.
    left_ms: Option<u64>,
}

/// What a process is for.
enum Role {
    Serve(Box<Start>),
    /// To say what it finds in the copy of a journal in this folder, and to touch nothing else.
    Check(PathBuf),
}

impl Start {
    fn of_this_process() -> Result<Role, ServeError> {
        let mut trial = trial::take();
        let Some(handover) = attempt(&mut trial, Handover::receive)? else {
            let itself = Itself::of_this_process().map_err(|source| ServeError::System {
                what: "find this program's own file",
                source,
            })?;
            return Ok(Role::Serve(Box::new(Self {
                itself,
                sockets: None,
                lines: Vec::new(),
                trial: None,
                left_ms: None,
            })));
        };
        let Handover {
            sockets,
            lines,
            carried,
        } = handover;
        if let Some(folder) = carried.check {
            return Ok(Role::Check(folder.into()));
        }
        call_it(Path::new(&carried.disk));
        Ok(Role::Serve(Box::new(Self {
            left_ms: Some(carried.left_ms),
            itself: carried.into(),
            sockets: Some(sockets),
            lines,
            trial,
        })))
    }

    /// After another program could not even be executed.
    fn again(handover: Handover) -> Self {
        Self {
            left_ms: Some(handover.carried.left_ms),
            itself: handover.carried.into(),
            sockets: Some(handover.sockets),
            lines: handover.lines,
            trial: None,
        }
    }

    /// Tries what a broker starts by, as [`attempt`] does.
    fn attempt<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, ServeError>,
    ) -> Result<T, ServeError> {
        let mut trial = self.trial.take();
        let tried = attempt(&mut trial, || step(self));
        self.trial = trial;
        tried
    }

    /// It serves: what the program before left is its own now.
    fn passed(&mut self) -> Vec<Parked> {
        if let (Some(left_ms), Some(build)) = (self.left_ms, &self.itself.build) {
            let failed = self.itself.failed.as_ref();
            tracing::info!(
                version = build.version,
                generation = build.generation,
                sha256 = build.sha256,
                failed = failed.map(|failed| failed.said.as_str()),
                away_ms = monotonic_ms().saturating_sub(left_ms),
                "goes on after the program before"
            );
        }
        drop(self.trial.take());
        std::mem::take(&mut self.lines)
    }
}

/// Tries a step. Where it fails on trial, this does not return: the program before goes on.
fn attempt<T>(
    trial: &mut Option<Trial>,
    step: impl FnOnce() -> Result<T, ServeError>,
) -> Result<T, ServeError> {
    let tried = catch_unwind(AssertUnwindSafe(step));
    let said = match &tried {
        Ok(Ok(_)) => return tried.unwrap_or_else(|panic| resume_unwind(panic)),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("it panicked: {}", words(&**panic)),
    };
    if let Some(trial) = trial.take() {
        tracing::error!(said, "the new program cannot start; the one before goes on");
        let error = trial.go_back(&said);
        tracing::error!(%error, "the program before cannot be executed either");
    }
    tried.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Whoever looks at processes finds the program by its own name, not by that of a copy.
fn call_it(disk: &Path) {
    let name = disk
        .file_name()
        .and_then(|name| CString::new(name.as_bytes()).ok());
    if let Some(name) = name {
        // SAFETY: a text that ends in a zero byte; the system takes as much of it as it has room for.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
}

/// Opens the runtime, and the ears before anything is taken, so that no signal is lost.
fn listen(ignores_hangups: bool) -> Result<(Runtime, Ears), ServeError> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_name("broker")
        .on_thread_start(signals::wait_until_heard)
        .build()
        .map_err(|source| ServeError::System {
            what: "start the broker's threads",
            source,
        })?;
    let ears = {
        let _entered = runtime.enter();
        Ears::open(ignores_hangups)
    };
    // Also where there are none: the runtime's threads wait for this.
    signals::heard();
    let ears = ears.map_err(|source| ServeError::System {
        what: "listen for signals",
        source,
    })?;
    Ok((runtime, ears))
}

/// Nothing where it was told to end before it served.
async fn begin(
    config: &Config,
    start: &mut Start,
    ears: &mut Ears,
) -> Result<Option<Broker>, ServeError> {
    let given = Given {
        itself: start.itself.clone(),
        sockets: start.sockets.take(),
    };
    tokio::select! {
        started = Broker::begin(config.clone(), Some(given)) => started.map(Some),
        () = ears.end() => Ok(None),
    }
}

fn announce(broker: &Broker) {
    if let Ok(line) = serde_json::to_string(broker.endpoint()) {
        // Whoever started us may not listen.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

async fn live(
    config: &Config,
    broker: &mut Broker,
    lines: Vec<Parked>,
    ears: &mut Ears,
) -> Result<End, ServeError> {
    broker.settle(lines).await;
    loop {
        tokio::select! {
            end = broker.end() => return end,
            word = ears.word() => match word {
                Word::Reload => broker.reload("SIGHUP"),
                Word::End => break,
            },
        }
    }
    broker.stop();
    if let End::Leaving(_) = broker.end().await? {
        // It was about to make way, and has left all for the next program to find, which will not be.
        vanish(config);
    }
    Ok(End::Well(Outcome::Signal))
}

/// Becomes the program that was made ready. Returns only where that failed, with what is needed to
/// go on as this one.
fn leave(leaving: Leaving) -> Handover {
    let Leaving {
        sockets,
        lines,
        plan,
    } = leaving;
    let mut handover = Handover {
        sockets,
        lines,
        carried: plan.carried,
    };
    let error = handover.pass_to(&plan.path, &plan.back);
    tracing::error!(%error, "the new program cannot be executed; this one goes on");
    let carried = &mut handover.carried;
    if let Some(before) = carried.before.take() {
        carried.failed = Some(Failed {
            build: std::mem::replace(&mut carried.build, before),
            said: format!("it cannot be executed: {error}"),
        });
    }
    handover
}

/// A broker that has ended on its way is not to be found any more.
fn vanish(config: &Config) {
    let _ = fs::remove_file(config.data_dir.join(ENDPOINT));
    remove_socket(config);
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use crate::program::handover::{Build, Carried, Way};

    use super::*;

    const FAULT: &str = "WARDEN_TEST_FAULT";
    /// Says what it was handed, and that it has the listening socket.
    const BEFORE: &str = "set -- $(echo $WARDEN_HANDOVER | tr : ' ')\n\
        [ $1 -eq $$ ] && echo back after signal $3\n\
        cat /dev/fd/$2; echo\n\
        ls -l /proc/$$/fd | grep -c 'socket:'";

    fn build(sha256: &str) -> Build {
        Build {
            sha256: sha256.to_owned(),
            version: "1".to_owned(),
            generation: 1,
            since_ms: 0,
        }
    }

    /// A start on trial; the program before is a shell.
    fn on_trial() -> Start {
        let socket = || TcpListener::bind("127.0.0.1:0").unwrap().into();
        let sockets = Sockets {
            lock: File::open("/dev/null").unwrap().into(),
            tcp: socket(),
            unix: Some(socket()),
            claims: Vec::new(),
        };
        let arguments = ["sh", "-c", BEFORE];
        let carried = Carried {
            build: build("new"),
            before: Some(build("old")),
            failed: None,
            disk: "warden".into(),
            arguments: arguments.map(Into::into).to_vec(),
            started_at: String::new(),
            ignores_hangups: false,
            left_ms: 0,
            check: None,
        };
        let way = Way::lay(&sockets, &[], &carried, Path::new("/bin/sh")).unwrap();
        let trial = Trial::begin(way).unwrap();
        Start {
            itself: carried.into(),
            sockets: Some(sockets),
            lines: Vec::new(),
            trial: Some(trial),
            left_ms: None,
        }
    }

    #[expect(unconditional_recursion, reason = "it is to have no end")]
    fn overflow(deep: [u8; 4096]) -> u8 {
        let deep = std::hint::black_box(deep);
        overflow(deep).wrapping_add(deep[0])
    }

    /// Not a test of its own: the program that [`every_fault_leads_back`] runs.
    #[test]
    fn fail_as_child() {
        let Ok(fault) = std::env::var(FAULT) else {
            return;
        };
        let mut start = on_trial();
        let _ = start.attempt(|_| match fault.as_str() {
            "error" => Err::<(), _>(ServeError::Usage {
                detail: "it does not like this".to_owned(),
            }),
            "panic" => panic!("it has had enough"),
            "abort" => std::process::abort(),
            "exit" => std::process::exit(3),
            "overflow" => {
                overflow([0; 4096]);
                Ok(())
            }
            // As when a thread of the new program meets its end.
            _ => {
                let fault = std::thread::spawn(|| {
                    // SAFETY: it is what is to happen.
                    unsafe { std::ptr::null_mut::<u8>().wrapping_add(8).write_volatile(1) };
                });
                drop(fault.join());
                Ok(())
            }
        });
    }

    #[test]
    fn every_fault_leads_back() {
        let faults = [
            ("error", "00", "it does not like this"),
            ("panic", "00", "it panicked: it has had enough"),
            ("exit", "00", "it ended before it served"),
            ("abort", "06", "it ended before it served"),
            ("overflow", "11", "it ended before it served"),
            ("thread", "11", "it ended before it served"),
        ];
        for (fault, signal, said) in faults {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "serve::tests::fail_as_child", "--nocapture"])
                .env(FAULT, fault)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let out = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{fault}: {output:?}");
            let back = format!("back after signal {signal}");
            assert!(out.lines().any(|line| line == back), "{fault}: {out}");
            assert!(out.contains(said), "{fault}: {out}");
            assert!(
                out.contains(r#""before":null,"failed":{"build":{"sha256":"new""#),
                "{out}"
            );
            assert!(out.ends_with("2\n"), "both sockets: {out}");
        }
    }
}
