//! A server that says what a test wants it to say, and remembers what it was asked. It serves
//! connections on threads of its own, for as long as the test's process lives.

#![allow(dead_code, reason = "each test program uses its own part of it")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is a test")]

use std::fs::File;
use std::io::{BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;
use warden::Policy;
use warden::wire::{Counters, Status};
use warden_client::{Client, Find};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the server does about a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A status, extra header lines, and JSON.
    Json(u16, &'static str, Value),
    /// A body that is no JSON.
    Text(u16, &'static str),
    /// Closes the connection without a word.
    Cut,
    /// Says nothing for as long as the client waits.
    Silence,
    /// An event stream, which breaks off after this.
    Events(String),
}

/// A problem document.
pub fn problem(status: u16, code: &str, extra: Value) -> Value {
    let mut body = json!({
        "type": "about:blank", "title": "t", "status": status, "detail": "because", "code": code,
    });
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    body
}

/// A granted lock of one second.
pub fn granted() -> Value {
    json!({
        "request_id": "r", "lease_id": "l", "token": 7, "gpu_ids": ["g"], "ttl_ms": 300,
        "granted_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:00:01Z", "waited_ms": 1,
    })
}

/// A status with nothing in it.
pub fn status(revision: u64) -> Value {
    let status = Status {
        at: "2026-01-01T00:00:00Z".to_owned(),
        version: "9".to_owned(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        revision,
        gpus: Vec::new(),
        leases: Vec::new(),
        queue: Vec::new(),
        queue_depth: 0,
        counters: Counters::default(),
        policy: Policy::default(),
        notices: Vec::new(),
        refused_files: Vec::new(),
    };
    serde_json::to_value(status).unwrap()
}

/// Serves TCP on a free port; each request is reported before it is answered.
pub fn serve(
    script: impl FnMut(&Asked) -> Answer + Send + 'static,
) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = move || listener.accept().map(|(stream, _)| stream);
    (
        address,
        answer_all(connections, |stream| stream.try_clone().unwrap(), script),
    )
}

/// Serves a Unix socket.
pub fn serve_socket(
    path: &Path,
    script: impl FnMut(&Asked) -> Answer + Send + 'static,
) -> Receiver<Asked> {
    let listener = UnixListener::bind(path).unwrap();
    let connections = move || listener.accept().map(|(stream, _)| stream);
    answer_all(connections, |stream| stream.try_clone().unwrap(), script)
}

fn answer_all<S: std::io::Read + Write + Send + 'static>(
    mut accept: impl FnMut() -> std::io::Result<S> + Send + 'static,
    clone: fn(&S) -> S,
    script: impl FnMut(&Asked) -> Answer + Send + 'static,
) -> Receiver<Asked> {
    let (report, asked) = channel();
    let script = std::sync::Arc::new(std::sync::Mutex::new(script));
    thread::spawn(move || {
        while let Ok(stream) = accept() {
            let (report, script) = (report.clone(), script.clone());
            let mut reader = BufReader::new(clone(&stream));
            let mut writer = stream;
            thread::spawn(move || {
                while let Some(request) = read_request(&mut reader) {
                    let answer = (script.lock().unwrap())(&request);
                    let _ = report.send(request);
                    if !write_answer(&mut writer, answer) {
                        return;
                    }
                }
            });
        }
    });
    asked
}

fn read_request(reader: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: u64 = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Asked {
        method,
        path,
        headers,
        body,
    })
}

/// Whether the connection goes on.
fn write_answer(writer: &mut impl Write, answer: Answer) -> bool {
    let (head, body, goes_on) = match answer {
        Answer::Json(status, extra, body) => {
            (format!("{status} X\r\n{extra}"), body.to_string(), true)
        }
        Answer::Text(status, body) => (format!("{status} X\r\n"), body.to_owned(), true),
        Answer::Cut => return false,
        Answer::Silence => {
            thread::park();
            return false;
        }
        Answer::Events(text) => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let _ = writer.write_all(head.as_bytes());
            // In two pieces, so that a reader that wants whole events in one fails.
            let (a, b) = text.as_bytes().split_at(text.len() / 2);
            let _ = writer.write_all(a).and_then(|()| writer.flush());
            let _ = writer.write_all(b);
            return false;
        }
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {head}content-length: {length}\r\n\r\n{body}");
    writer.write_all(text.as_bytes()).is_ok() && goes_on
}

/// A data directory as a running broker leaves it; its lock is held as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    pub dir: TempDir,
    lock: Option<File>,
}

pub const TOKEN: &str = "operator-token";

impl DataDir {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let lock = File::create(dir.path().join("lock")).unwrap();
        lock.lock().unwrap();
        Self {
            dir,
            lock: Some(lock),
        }
    }

    /// As after the broker's death.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    pub fn publish(&self, address: SocketAddr, socket: Option<&Path>) {
        self.publish_as(std::process::id(), address, socket);
    }

    pub fn publish_as(&self, pid: u32, address: SocketAddr, socket: Option<&Path>) {
        let endpoint = json!({
            "pid": pid, "version": "9", "socket": socket, "address": address.to_string(),
            "data_dir": self.dir.path(), "started_at": "2026-01-01T00:00:00Z",
        });
        std::fs::write(self.dir.path().join("endpoint"), endpoint.to_string()).unwrap();
    }

    /// A client of this directory, at an address if one is named.
    pub fn client(&self, addr: Option<String>) -> Client {
        let find = Find {
            addr,
            data_dir: Some(self.dir.path().to_owned()),
            token_file: None,
        };
        Client::new(find.endpoint().unwrap())
    }
}

/// A client of a server that is let in without a question.
pub fn client_of(address: SocketAddr) -> (Client, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let find = Find {
        addr: Some(address.to_string()),
        data_dir: Some(dir.path().to_owned()),
        token_file: None,
    };
    (Client::new(find.endpoint().unwrap()), dir)
}
