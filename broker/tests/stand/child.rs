//! Processes that can be killed. A broker in one of its own is this very test program, started again
//! to run its test `serve_as_child` alone.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Answer;

const SERVE_IN: &str = "WARDEN_TEST_SERVE_IN";

/// What `serve_as_child` does: nothing, unless this is that child. `change` is told its directory.
pub fn serve_if_child(change: impl FnOnce(&mut warden_broker::Config, &Path)) {
    let Some(dir) = std::env::var_os(SERVE_IN).map(PathBuf::from) else {
        return;
    };
    let mut config = warden_broker::Config::new(dir.join("data"), &dir);
    config.addr = "127.0.0.1:0".to_owned();
    config.simulate_gpus = Some(2);
    change(&mut config, &dir);
    if let Err(error) = warden_broker::serve(config) {
        eprintln!("{error}");
        std::process::exit(error.exit_code().into());
    }
}

/// A broker over `DIR/data`; killed with this value.
pub struct Served {
    pub child: Child,
    /// Kept open: the test harness in the child says more at its end.
    _lines: Lines<BufReader<ChildStdout>>,
    pub address: String,
    pub token: String,
}

impl Served {
    pub fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "serve_as_child", "--nocapture"])
            .env(SERVE_IN, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let endpoint: Value = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok())
            .expect("a line that says where it listens");
        let named = std::fs::read_to_string(dir.join("data/endpoint")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&named).unwrap(), endpoint);
        let token = std::fs::read_to_string(dir.join("data/token")).unwrap();
        Self {
            child,
            _lines: lines,
            address: endpoint["address"].as_str().unwrap().to_owned(),
            token: token.trim().to_owned(),
        }
    }

    /// Sends a request on a connection of its own; nothing where the broker is gone by then.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        Some(super::answer(&mut stream).await)
    }

    pub async fn lock(&self, body: &Value) -> Option<Value> {
        let answer = self.call("POST", "/v1/gpu/lock", Some(body)).await?;
        Some(answer.json())
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

/// A process that does nothing; killed with this value.
pub struct Sleeper(pub Child);

impl Sleeper {
    /// One that carries this mark.
    pub fn marked(mark: &str, lease: Option<&str>) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").env("WARDEN_OWNER", mark);
        command.env_remove("WARDEN_LEASE");
        command.envs(lease.map(|lease| ("WARDEN_LEASE", lease)));
        let sleeper = Self(command.spawn().unwrap());
        // A child is its parent's copy, environment included, until it is another program.
        let name = format!("/proc/{}/comm", sleeper.pid());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        sleeper
    }

    /// As `warden run` marks what it starts.
    pub fn mark(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19);
        format!("{}:{}", self.pid(), start.unwrap())
    }

    pub fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub fn new() -> Self {
        let mut sleep = Command::new("sleep");
        // Who reads our output does not wait for its.
        sleep.arg("600").stdout(Stdio::null()).stderr(Stdio::null());
        Self(sleep.spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.kill();
    }
}
