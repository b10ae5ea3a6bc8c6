//! `warden run` on a terminal: keys, the line that is rewritten, job control as a shell sees it.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

mod stand;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use stand::{Broker, ECHO_SIGNALS, PATIENCE, state_of, until};

/// A program as the leader of a session on a terminal of its own; killed with this value.
struct Session {
    process: Child,
    keys: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

fn open_terminal() -> (OwnedFd, OwnedFd) {
    let (mut main, mut other) = (-1, -1);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: 60,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the pointers are valid or null, as `openpty` wants them.
    let opened = unsafe {
        libc::openpty(
            &raw mut main,
            &raw mut other,
            std::ptr::null_mut(),
            std::ptr::null(),
            &raw const size,
        )
    };
    assert_eq!(opened, 0);
    // SAFETY: both were just opened, and belong to nobody else.
    unsafe { (OwnedFd::from_raw_fd(main), OwnedFd::from_raw_fd(other)) }
}

impl Session {
    fn start(command: &mut Command) -> Self {
        let (main, other) = open_terminal();
        let (fd, keep) = (other.as_raw_fd(), main.as_raw_fd());
        let lead = move || {
            // SAFETY: system calls on descriptors that are open here.
            let done = unsafe {
                libc::close(keep);
                libc::setsid() >= 0 && libc::ioctl(fd, libc::TIOCSCTTY, 0) == 0
            };
            if done {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        };
        command
            .stdin(other.try_clone().unwrap())
            .stdout(other.try_clone().unwrap())
            .stderr(other);
        // SAFETY: the closure makes system calls only.
        let process = unsafe { command.pre_exec(lead) }.spawn().unwrap();
        // Else the terminal's other end stays open here.
        command.stdin(std::process::Stdio::null());
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let keys = File::from(main);
        let mut reader = keys.try_clone().unwrap();
        let (put, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                if put.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            keys,
            screen,
            seen: String::new(),
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Takes in the screen up to and with `text`; gives what came before it.
    fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("never saw {text:?}: {:?}", self.seen),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn keys_reach_the_command_once() {
    let broker = Broker::start(1);
    let mut session = Session::start(&mut broker.warden(&["run", "--", "sh", "-c", ECHO_SIGNALS]));
    session.until("ready");
    for _ in 0..3 {
        session.press("\x03");
        session.until("INT\r\n");
        session.press("\x1c");
        let between = session.until("QUIT\r\n");
        assert!(!between.contains("INT"), "Ctrl+C came twice: {between:?}");
    }
    session.press("\x04");
    assert_eq!(session.process.wait().unwrap().code(), Some(0));
}

#[test]
fn what_goes_on_after_the_command_is_stopped_and_ended_by_keys() {
    let broker = Broker::start(1);
    // One in the background of a shell, one in another session.
    let script = "(sleep 600 &); (setsid sleep 600 </dev/null >/dev/null 2>&1 &); exit 4";
    let mut session = Session::start(&mut broker.warden(&["run", "--", "sh", "-c", script]));
    session.until("the command has ended with 4; 2 processes that it started go on");
    session.until("Ctrl+C ends them\r\n");
    let own = session.process.id();
    session.press("\x1a");
    until("stopped", || state_of(own) == Some('T'));
    let pid = rustix::process::Pid::from_child(&session.process);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    until("going on", || state_of(own) != Some('T'));
    session.press("\x03");
    assert_eq!(session.process.wait().unwrap().code(), Some(4));
    broker.until_idle();
}

#[test]
fn the_place_is_one_line_that_is_rewritten_and_gone_in_the_end() {
    let broker = Broker::start(1);
    let client = broker.client();
    let lease = broker.hold(&client);
    let mut session = Session::start(&mut broker.warden(&["run", "--", "echo", "ran"]));
    session.until("place 1");
    // The clock goes on, in the same line, within the terminal's width.
    session.until("\r\x1b[Kwarden: waiting, place 1");
    drop(lease);
    let waited = session.until("ran\r\n");
    assert!(waited.ends_with("\r\x1b[Kran\r\n"), "{waited:?}");
    assert!(!waited.trim_end().contains('\n'), "{waited:?}");
    for line in waited.split("\r\x1b[K") {
        assert!(line.trim_end().chars().count() < 60, "{line:?}");
    }
    assert_eq!(session.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_shell_can_suspend_it_and_take_it_up_again() {
    let broker = Broker::start(1);
    // An interactive shell, since only those do job control.
    let mut shell = broker.warden(&[]);
    shell = {
        let mut command = Command::new("sh");
        command.envs(
            shell
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.env("PS1", "").env_remove("ENV").arg("-i");
        command
    };
    let mut session = Session::start(&mut shell);
    let run = format!(
        "{} run -- sh -c 'echo $$ is ${{none}}up; exec cat'\n",
        env!("CARGO_BIN_EXE_warden")
    );
    session.press("stty -echo; echo be''gin\n");
    session.until("begin\r\n");
    session.press(&run);
    let before = session.until(" is up");
    let digits: String = before
        .trim_end_matches(" is up")
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .collect();
    let command: u32 = digits.chars().rev().collect::<String>().parse().unwrap();
    for _ in 0..2 {
        session.press("\x1a");
        until("stopped", || state_of(command) == Some('T'));
        // The shell has the terminal again.
        session.press("echo in the $((40 + 2)) shell\n");
        session.until("in the 42 shell");
        session.press("fg\n");
        until("running", || state_of(command) == Some('S'));
        session.press("to the command\n");
        session.until("to the command\r\n");
    }
    session.press("\x04");
    until("over", || state_of(command).is_none());
    session.press("echo code $?\n");
    session.until("code 0");
    broker.until_idle();
    session.press("exit\n");
    session.process.wait().unwrap();
}
