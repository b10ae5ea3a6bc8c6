//! A real broker on a free port in a temporary directory, and a client that speaks plain HTTP to
//! it, down to the single byte.

// Each test uses its own part of this, and is a test, helpers and all.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

pub mod child;
pub mod space;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use warden_broker::{Broker, Config};

/// Nothing here takes as long, however busy the machine is.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stand {
    pub broker: Broker,
    pub dir: TempDir,
    pub token: String,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> String {
        let problem = self.json();
        if self.status >= 400 {
            assert!(
                self.header("content-type") == Some("application/problem+json"),
                "{self:?}"
            );
            assert_eq!(problem["status"], self.status, "{problem}");
            assert!(problem["title"].is_string() && problem["detail"].is_string());
        }
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub fn config(dir: &TempDir) -> Config {
    let mut config = Config::new(dir.path().join("data"), dir.path().join("config"));
    config.addr = "127.0.0.1:0".to_owned();
    config.simulate_gpus = Some(2);
    config
}

/// The configuration directory of a broker in this folder, made.
pub fn config_dir(dir: &TempDir) -> PathBuf {
    let config = dir.path().join("config");
    std::fs::create_dir_all(&config).unwrap();
    config
}

/// Saves a file as most programs do: beside it, then in its place.
pub fn save(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

impl Stand {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(&dir);
        change(&mut config);
        Self::start(dir, config).await
    }

    pub async fn start(dir: TempDir, config: Config) -> Self {
        let token = config.data_dir.join("token");
        let broker = Broker::start(config).await.unwrap();
        let token = std::fs::read_to_string(token).unwrap();
        Self {
            broker,
            dir,
            token: token.trim().to_owned(),
        }
    }

    /// Ends it gracefully and gives back its directory.
    pub async fn stop(mut self) -> TempDir {
        self.broker.stop();
        timeout(PATIENCE, self.broker.ended())
            .await
            .unwrap()
            .unwrap();
        self.dir
    }

    pub fn address(&self) -> &str {
        &self.broker.endpoint().address
    }

    pub fn socket(&self) -> PathBuf {
        self.broker.endpoint().socket.clone().unwrap()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    pub async fn connect_unix(&self) -> UnixStream {
        UnixStream::connect(self.socket()).await.unwrap()
    }

    /// The head of a proper request over TCP.
    pub fn head(&self, method: &str, path: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n",
            self.address(),
            self.token
        )
    }

    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Vec<u8> {
        let mut text = self.head(method, path);
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            text += &format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        format!("{text}\r\n{body}").into_bytes()
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.request(method, path, body.as_ref());
        self.say(&request).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(body)).await
    }

    pub async fn lock(&self, body: Value) -> Answer {
        self.post("/v1/gpu/lock", body).await
    }

    pub async fn status(&self) -> Value {
        self.call("GET", "/v1/gpu/status", None).await.json()
    }

    /// Sends these bytes on a connection of their own and reads one answer.
    pub async fn say(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        answer(&mut stream).await
    }

    /// Posts a lock and leaves the connection waiting for its answer.
    pub async fn wait(&self, body: Value) -> TcpStream {
        let depth = self.status().await["queue_depth"].as_u64().unwrap();
        let mut stream = self.connect().await;
        let request = self.request("POST", "/v1/gpu/lock", Some(&body));
        stream.write_all(&request).await.unwrap();
        self.until(|status| status["queue_depth"].as_u64() > Some(depth))
            .await;
        stream
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let status = self.status().await;
                if wanted(&status) {
                    return status;
                }
                // The route has no events: it is asked as a client would ask it, with a deadline.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, look)
            .await
            .expect("the status becomes as wanted")
    }

    /// How a module that can be reloaded stands.
    pub async fn module(&self, name: &str) -> Value {
        let answer = self.call("GET", "/v1/hot-reload", None).await.json();
        let modules = answer["modules"].as_array().unwrap();
        let module = modules.iter().find(|module| module["name"] == name);
        module
            .unwrap_or_else(|| panic!("no {name} in {answer}"))
            .clone()
    }

    /// Waits until a module stands as wanted.
    pub async fn until_module(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let module = self.module(name).await;
                if wanted(&module) {
                    return module;
                }
                // The route has no events: it is asked as a client would ask it, with a deadline.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, look)
            .await
            .expect("the module becomes as wanted")
    }

    /// The configuration directory, made.
    pub fn config_dir(&self) -> PathBuf {
        config_dir(&self.dir)
    }

    /// Takes both GPUs, and says how to give them back.
    pub async fn hold_all(&self) -> Value {
        let granted = self.lock(json!({"client": "holder", "gpus": 2})).await;
        assert_eq!(granted.status, 200, "{granted:?}");
        let granted = granted.json();
        json!({"lease_id": granted["lease_id"], "token": granted["token"]})
    }

    pub async fn unlock(&self, lease: &Value) -> Answer {
        self.post("/v1/gpu/unlock", lease.clone()).await
    }
}

/// Reads one answer.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Answer {
    timeout(PATIENCE, read_answer(stream))
        .await
        .expect("an answer in time")
}

async fn read_answer<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    let head = read_head(stream).await;
    let length = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        head,
        body,
    }
}

pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A reader of the event stream.
pub struct Events {
    stream: TcpStream,
    text: String,
    /// Not yet whole characters.
    bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Event {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

impl Events {
    pub async fn open(stand: &Stand, last: Option<u64>) -> Self {
        Self::open_at("/v1/events", stand, last).await
    }

    /// A reader of another stream.
    pub async fn open_at(path: &str, stand: &Stand, last: Option<u64>) -> Self {
        let stream = stand.connect().await;
        Self::open_on(stream, path, stand, last).await
    }

    /// A reader on a connection that buffers next to nothing.
    pub async fn open_narrow(stand: &Stand) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let address = stand.address().parse().unwrap();
        let stream = socket.connect(address).await.unwrap();
        Self::open_on(stream, "/v1/events", stand, None).await
    }

    async fn open_on(mut stream: TcpStream, path: &str, stand: &Stand, last: Option<u64>) -> Self {
        let last = last
            .map(|id| format!("Last-Event-ID: {id}\r\n"))
            .unwrap_or_default();
        let request = format!("{}{last}\r\n", stand.head("GET", path));
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = timeout(PATIENCE, read_head(&mut stream)).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Self {
            stream,
            text: String::new(),
            bytes: Vec::new(),
        }
    }

    /// The next event; nothing when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        timeout(PATIENCE, self.read_next())
            .await
            .expect("an event in time")
    }

    async fn read_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            // The last chunk: the answer is over, though the connection is not.
            if self.text.ends_with("\r\n0\r\n\r\n") {
                return None;
            }
            let mut bytes = [0; 16 * 1024];
            let read = self
                .stream
                .read(&mut bytes)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            // Chunk heads are lines of their own, which no event begins with.
            self.bytes.extend_from_slice(&bytes[..read]);
            let whole = match std::str::from_utf8(&self.bytes) {
                Ok(text) => text.len(),
                Err(error) => error.valid_up_to(),
            };
            let whole: Vec<u8> = self.bytes.drain(..whole).collect();
            self.text += std::str::from_utf8(&whole).unwrap();
        }
    }

    fn take(&mut self) -> Option<Event> {
        let start = self.text.find("id: ")?;
        let text = &self.text[start..];
        let end = text.find("\n\n")?;
        let mut lines = text[..end].lines();
        let mut field = |name: &str| lines.next()?.strip_prefix(name).map(str::to_owned);
        let event = Event {
            id: field("id: ")?.parse().ok()?,
            name: field("event: ")?,
            data: serde_json::from_str(&field("data: ")?).ok()?,
        };
        self.text.drain(..start + end + 2);
        Some(event)
    }
}
