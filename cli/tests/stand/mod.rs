//! A broker of the test's own, and `warden` as its user would call it.

#![allow(dead_code, reason = "each test program uses its own part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use warden::wire::{LockBody, Status};
use warden_client::Find;
use warden_client::blocking::Client;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// `warden` without the environment's opinion on which broker is meant, and without its wishes on
/// signals: a shell's background job hands down that interrupts are ignored, `nohup` that hang-ups
/// are.
pub fn warden() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warden"));
    for name in [
        "WARDEN_ADDR",
        "WARDEN_DATA_DIR",
        "WARDEN_TOKEN_FILE",
        "WARDEN_LOG",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        on(signal, libc::SIG_DFL, &mut command);
    }
    command
}

/// What a signal does to the program that is started, until it says otherwise itself.
pub fn on(signal: libc::c_int, disposition: libc::sighandler_t, command: &mut Command) {
    // SAFETY: `signal` may be called between fork and exec, and takes two numbers.
    unsafe {
        command.pre_exec(move || {
            libc::signal(signal, disposition);
            Ok(())
        });
    }
}

/// A broker over a directory of its own; ended with this value.
#[derive(Debug)]
pub struct Broker {
    pub dir: TempDir,
    gpus: u32,
    process: Option<Child>,
}

impl Broker {
    /// Starts one with simulated GPUs, and waits until it serves.
    pub fn start(gpus: u32) -> Self {
        let mut broker = Self {
            dir: tempfile::tempdir().unwrap(),
            gpus,
            process: None,
        };
        broker.start_again();
        broker
    }

    /// The same under these rules.
    pub fn start_under(gpus: u32, policy: &str) -> Self {
        let mut broker = Self {
            dir: tempfile::tempdir().unwrap(),
            gpus,
            process: None,
        };
        let config = broker.dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        std::fs::write(config.join("policy.ron"), policy).unwrap();
        broker.start_again();
        broker
    }

    /// The same, without this capability.
    pub fn start_without(capability: &str, gpus: u32, policy: &str) -> Self {
        let mut broker = Self::start_under(gpus, policy);
        broker.kill();
        let mut without = Command::new("setpriv");
        let drop = format!("-{capability}");
        without.args(["--bounding-set", &drop, "--inh-caps", &drop, "--"]);
        without.arg(env!("CARGO_BIN_EXE_warden"));
        broker.serve(&mut without);
        broker
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(self.process.as_ref().unwrap())
    }

    /// After [`Broker::kill`]; on another port than before.
    pub fn start_again(&mut self) {
        self.serve(&mut warden());
    }

    fn serve(&mut self, warden: &mut Command) {
        let mut process = warden
            .args(["serve", "--addr", "127.0.0.1:0", "--simulate-gpus"])
            .arg(self.gpus.to_string())
            .arg("--data-dir")
            .arg(self.data_dir())
            .arg("--config-dir")
            .arg(self.dir.path().join("config"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        self.process = Some(process);
        let ready = lines(stdout)
            .recv_timeout(PATIENCE)
            .expect("the broker says when it is ready");
        assert!(ready.starts_with('{'), "{ready}");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn data_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// `warden` for this broker.
    pub fn warden(&self, args: &[&str]) -> Command {
        let mut command = warden();
        command.env("WARDEN_DATA_DIR", self.data_dir()).args(args);
        command
    }

    /// Runs `warden` to its end.
    pub fn output(&self, args: &[&str]) -> Output {
        self.warden(args).output().unwrap()
    }

    pub fn client(&self) -> Client {
        let find = Find {
            addr: None,
            data_dir: Some(self.data_dir()),
            token_file: None,
        };
        Client::new(find.endpoint().unwrap()).unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        let endpoint = std::fs::read_to_string(self.data_dir().join("endpoint")).unwrap();
        let endpoint: serde_json::Value = serde_json::from_str(&endpoint).unwrap();
        endpoint["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn status(&self) -> Status {
        self.client().status().unwrap()
    }

    /// Waits until the status is as the test wants it.
    pub fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Status {
        let client = self.client();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = client.status().unwrap();
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not {what}: {status:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until nothing is held and nobody waits.
    pub fn until_idle(&self) {
        self.until("idle", |status| {
            status.leases.is_empty() && status.queue.is_empty()
        });
    }

    /// Takes a GPU, in a name that the tests know.
    pub fn hold(&self, client: &Client) -> warden_client::blocking::Lease {
        let body = LockBody {
            client: "somebody".to_owned(),
            ..LockBody::default()
        };
        client.acquire(body).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that was started; killed with this value unless it is over.
#[derive(Debug)]
pub struct Running {
    process: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: process.stdin.take(),
            stdout: lines(process.stdout.take().unwrap()),
            stderr: lines(process.stderr.take().unwrap()),
            process,
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The next line of standard output.
    pub fn line(&self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!(
                "no line: {error}; {:?}",
                self.stderr.try_iter().collect::<Vec<_>>()
            ),
        }
    }

    /// Waits until a line of standard error holds `text`.
    pub fn until_said(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stderr.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never said {text:?}: {said:?}")
                }
            }
        }
    }

    /// Its exit code, once it is over.
    pub fn code(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| panic!("{status}"));
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes it as it is when it is over.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that is nobody's child any more; killed with this value.
#[derive(Debug)]
pub struct Stray(pub u32);

impl Stray {
    pub fn named(line: &str) -> Self {
        Self(line.trim().parse().unwrap())
    }

    pub fn lives(&self) -> bool {
        state_of(self.0).is_some()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.cast_signed()).unwrap();
        // It may have ended.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        if self.lives() {
            self.signal(Signal::KILL);
        }
    }
}

/// Lines as they come, from a thread that ends with its source.
pub fn lines(source: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (put, get) = channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if put.send(line).is_err() {
                return;
            }
        }
    });
    get
}

/// A shell that says `ready`, then the name of each signal that it gets, until its standard input
/// is closed; TERM ends it with 3.
pub const ECHO_SIGNALS: &str = r#"
    exec 3<&0
    trap "" INT HUP QUIT USR1 USR2
    cat <&3 &
    for name in INT HUP QUIT USR1 USR2 WINCH CONT; do trap "echo $name" $name; done
    trap "echo TERM; kill $!; exit 3" TERM
    echo ready
    while kill -0 $! 2>/dev/null; do wait $!; done
    exit 0
"#;

/// Shell that starts a process in a session of its own whose parent has ended, and says its number.
pub const DAEMON: &str = "(setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1' </dev/null &)";
/// The same, and it heeds nobody.
pub const DEAF_DAEMON: &str = "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$; \
     exec sleep 600 >/dev/null 2>&1' </dev/null &)";

/// Whether a process is there, stopped or not.
pub fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?
        .1
        .chars()
        .next()
        .filter(|state| *state != 'Z')
}

/// Whether signals have been sent to a process that it has not taken yet.
pub fn has_pending(pid: Pid) -> bool {
    let status = read(Path::new(&format!("/proc/{}/status", pid.as_raw_nonzero())));
    let none = "0".repeat(16);
    status
        .lines()
        .filter(|line| line.contains("Pnd:"))
        .any(|line| !line.ends_with(&none))
}

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A directory entry's whole text.
pub fn read(path: &Path) -> String {
    let mut text = String::new();
    std::fs::File::open(path)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}
