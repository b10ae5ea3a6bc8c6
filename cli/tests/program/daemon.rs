//! A broker that was started from a file of the test's own, which can be replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use warden::wire::reload::{HotReload, ReloadBody, ReloadModule, Reloaded};
use warden_client::blocking::Client;
use warden_client::endpoint::Published;
use warden_client::{Error, Find};

use crate::installed::{self, replace, set_mode};
use crate::stand::{PATIENCE, Running, read, warden};

/// The built program.
pub const REAL: &str = env!("CARGO_BIN_EXE_warden");

pub struct Daemon {
    pub folder: TempDir,
    pub process: Running,
    /// The line that said that it was ready.
    pub ready: Published,
}

impl Daemon {
    /// Starts one with simulated GPUs, and waits until it serves.
    pub fn start(args: &[&str]) -> Self {
        Self::start_in(new_folder(), &[&["--simulate-gpus", "2"], args].concat())
    }

    /// Starts one with whatever GPUs it finds.
    pub fn start_with(args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        Self::run_in(new_folder(), args, change)
    }

    /// Starts one over a data directory that is there already.
    pub fn start_over(data: &Path) -> Self {
        let folder = new_folder();
        symlink(data, folder.path().join("data")).unwrap();
        Self::start_in(folder, &["--simulate-gpus", "2"])
    }

    fn start_in(folder: TempDir, args: &[&str]) -> Self {
        Self::run_in(folder, args, |_| {})
    }

    fn run_in(folder: TempDir, args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = of_warden(&program(&folder));
        change(&mut command);
        command
            .args(["serve", "--addr", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--config-dir")
            .arg(folder.path().join("config"))
            .args(args);
        let process = Running::start(&mut command);
        let ready = serde_json::from_str(&process.line()).unwrap();
        Self {
            folder,
            process,
            ready,
        }
    }

    /// Ends it as an operator would, and starts it anew from what lies there.
    pub fn start_again(mut self, args: &[&str]) -> Self {
        self.process.signal(Signal::TERM);
        assert_eq!(self.process.code(), 0);
        Self::start_in(self.folder, &[&["--simulate-gpus", "2"], args].concat())
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn program(&self) -> PathBuf {
        program(&self.folder)
    }

    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    /// Puts another program in place of the one on disk: the same code, other content.
    pub fn install(&self, tail: &[u8]) {
        install(&self.folder, tail);
    }

    /// Puts a script there, in which `$REAL` is the built program.
    pub fn install_script(&self, script: &str) {
        let text = format!("#!/bin/sh\nREAL='{REAL}'\n{script}\n");
        replace(&self.program(), text.as_bytes());
    }

    pub fn client(&self) -> Client {
        let find = Find {
            addr: None,
            data_dir: Some(self.data("")),
            token_file: None,
        };
        Client::new(find.endpoint().unwrap()).unwrap()
    }

    /// `warden` for this broker.
    pub fn warden(&self, args: &[&str]) -> Command {
        let mut command = warden();
        command.env("WARDEN_DATA_DIR", self.data("")).args(args);
        command
    }

    pub fn reload_program(&self) -> Result<Reloaded, Error> {
        self.client().reload(&only_program())
    }

    pub fn standing(&self) -> HotReload {
        self.client().hot_reload().unwrap()
    }

    pub fn module(&self) -> ReloadModule {
        let mut modules = self.standing().modules.into_iter();
        modules.find(|module| module.name == "program").unwrap()
    }

    /// What `DIR/endpoint` says now.
    pub fn published(&self) -> Published {
        serde_json::from_str(&read(&self.data("endpoint"))).unwrap()
    }

    /// The file that runs.
    pub fn running(&self) -> PathBuf {
        fs::read_link(self.proc("exe")).unwrap()
    }

    pub fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid().as_raw_nonzero()).into()
    }

    /// The copies that are kept.
    pub fn copies(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data("programs")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "record").collect();
        names.sort_unstable();
        names
    }

    /// Waits until the process is a program of this generation.
    pub fn until_generation(&self, generation: u64) -> ReloadModule {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let module = self.module();
            if module.generation == generation {
                return module;
            }
            assert!(Instant::now() < deadline, "still {module:?}");
            // No event tells of a module: it is asked as a client would ask it.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub fn only_program() -> ReloadBody {
    ReloadBody {
        module: Some("program".to_owned()),
        ..ReloadBody::default()
    }
}

fn new_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("bin")).unwrap();
    set_mode(&folder.path().join("bin"), 0o755);
    install(&folder, b"");
    folder
}

fn program(folder: &TempDir) -> PathBuf {
    folder.path().join("bin/warden")
}

fn of_warden(program: &Path) -> Command {
    let mut command = Command::new(program);
    let plain = warden();
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // What it says is looked at.
    command.env("NO_COLOR", "1");
    command
}

fn install(folder: &TempDir, tail: &[u8]) {
    let content = [loaded_part(), tail].concat();
    replace(&program(folder), &content);
}

fn loaded_part() -> &'static [u8] {
    static PART: LazyLock<Vec<u8>> = LazyLock::new(|| installed::loaded_part(Path::new(REAL)));
    &PART
}
