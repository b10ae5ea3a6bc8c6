//! A host without a window, and a broker that says what it is told to.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use warden_app::{
    Config, Entry, Feed, Functions, Host, Hot, Keeper, Kept, Options, Parts, Setup, Wake,
};
use warden_client::Find;
use warden_toolkit::egui_kittest::Harness;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host that draws through `functions`, following whoever listens at `address`.
pub fn host(functions: Option<Functions>, address: &str, data_dir: &Path) -> Host {
    let token = data_dir.join("a-token");
    std::fs::write(&token, "not-secret\n").unwrap();
    host_with(Hot::fixed(&[entry(functions)]), address, data_dir, token)
}

/// A module that is linked in.
pub fn entry(functions: Option<Functions>) -> Entry {
    Entry {
        name: "test",
        remembers: false,
        styles: true,
        after: &[],
        opens: None,
        linked: functions,
    }
}

/// A host that draws through `hot`, and sends this token to whoever listens at `address`.
pub fn host_with(hot: Hot, address: &str, data_dir: &Path, token: PathBuf) -> Host {
    let options = Options::default();
    host_of(hot, address, data_dir, token, &options)
}

/// A host that nobody answers, started with these options.
pub fn configured(functions: Functions, data_dir: &Path, options: &Options) -> Host {
    let hot = Hot::fixed(&[entry(Some(functions))]);
    let token = data_dir.join("a-token");
    host_of(hot, "127.0.0.1:9", data_dir, token, options)
}

fn host_of(hot: Hot, address: &str, data_dir: &Path, token: PathBuf, options: &Options) -> Host {
    let endpoint = Find {
        addr: Some(address.to_owned()),
        data_dir: Some(data_dir.to_owned()),
        token_file: Some(token),
    };
    let setup = Setup {
        endpoint: endpoint.endpoint().unwrap(),
        config_dir: None,
        may_start: false,
    };
    let wake = Wake::new(|| {});
    let (kept, complaint) = Kept::read(data_dir);
    assert_eq!(complaint, None);
    let parts = Parts {
        hot,
        feed: Feed::start(setup, wake.clone()).unwrap(),
        config: Config::open(options.config_dir.as_deref(), &kept, &wake),
        keeper: Keeper::new(data_dir.to_owned(), kept.clone()),
        kept,
        wake,
    };
    Host::new(parts, options)
}

/// A window around it, of 1000 by 700 points.
pub fn window(host: Host) -> Harness<'static, Host> {
    window_of([1_000.0, 700.0], host)
}

/// A window around it, of so many points.
pub fn window_of(size: [f32; 2], host: Host) -> Harness<'static, Host> {
    Harness::builder().with_size(size).build_ui_state(
        |ui, host: &mut Host| {
            let ctx = ui.ctx().clone();
            host.before_frame(&ctx);
            host.logic(&ctx);
            host.ui(ui);
        },
        host,
    )
}

/// Draws frames until `holds`.
pub fn until(window: &mut Harness<'_, Host>, what: &str, holds: impl Fn(&Host) -> bool) {
    let started = Instant::now();
    while !holds(window.state()) {
        assert!(
            started.elapsed() < PATIENCE,
            "waiting for {what}: {:#?}",
            window.state().picture()
        );
        thread::sleep(Duration::from_millis(5));
        window.step();
    }
}

/// Answers `/v1/events` with what it is given, one connection after another, and notes what orders
/// it gets.
pub struct Broker {
    pub address: String,
    /// Method and path of every request that is no mere question.
    pub orders: Receiver<String>,
    /// One for each stream that was opened.
    pub streams: Receiver<()>,
    lines: Sender<Line>,
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

enum Line {
    Events(String),
    Close,
}

impl Broker {
    /// Listens on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (lines, to_send) = channel();
        let (noted, orders) = channel();
        let (opened, streams) = channel();
        thread::spawn(move || serve(&listener, &to_send, &noted, &opened));
        Self {
            address,
            orders,
            streams,
            lines,
        }
    }

    /// Sends an event.
    pub fn send(&self, name: &str, revision: u64, data: &Value) {
        let event = format!("event: {name}\nid: {revision}\ndata: {data}\n\n");
        self.lines.send(Line::Events(event)).unwrap();
    }

    /// Closes the stream; the client may come again.
    pub fn hang_up(&self) {
        self.lines.send(Line::Close).unwrap();
    }
}

/// Sends what it is told to on the newest stream, and answers whatever else is asked.
fn serve(
    listener: &TcpListener,
    lines: &Receiver<Line>,
    noted: &Sender<String>,
    opened: &Sender<()>,
) {
    listener.set_nonblocking(true).unwrap();
    let mut stream: Option<TcpStream> = None;
    loop {
        if let Ok((connection, _)) = listener.accept() {
            connection.set_nonblocking(false).unwrap();
            if let Some((head, mut connection)) = request(connection) {
                if head.starts_with("GET /v1/events ") {
                    let _ = opened.send(());
                    let _ = connection.write_all(STREAM.as_bytes());
                    stream = Some(connection);
                } else {
                    if !head.starts_with("GET ") {
                        let _ = noted.send(head);
                    }
                    refuse(&mut connection);
                }
            }
        }
        // Without a stream nothing is sent, and nothing that is to be sent is lost.
        let line = stream.as_mut().map(|stream| (lines.try_recv(), stream));
        match line {
            Some((Ok(Line::Events(text)), stream)) => {
                let _ = stream.write_all(text.as_bytes());
            }
            Some((Ok(Line::Close), _)) => stream = None,
            Some((Err(TryRecvError::Disconnected), _)) => return,
            Some((Err(TryRecvError::Empty), _)) | None => thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn request(connection: TcpStream) -> Option<(String, TcpStream)> {
    let mut reader = BufReader::new(connection);
    let mut head = String::new();
    reader.read_line(&mut head).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    Some((head, reader.into_inner()))
}

/// 404 `unknown_lease`, whatever was asked.
fn refuse(connection: &mut TcpStream) {
    let body = json!({
        "type": "about:blank", "title": "No such lease", "status": 404,
        "detail": "no lease of that id ever was", "code": "unknown_lease",
    })
    .to_string();
    let len = body.len();
    let answer = format!(
        "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\n\
         content-length: {len}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = connection.write_all(answer.as_bytes());
}

/// A status with one GPU, which `holder` holds, and these waiters.
pub fn status(revision: u64, holder: &str, waiters: &[&str]) -> Value {
    let lease = json!({
        "lease_id": "l-1", "client": holder, "priority": 10, "operation": "inference",
        "gpu_ids": ["GPU-x"], "vram_mib": null, "pid": 4242, "host": "here",
        "granted_at": "2026-01-01T00:00:00Z", "held_ms": 5000, "ttl_ms": 60000,
        "expires_in_ms": 55000, "yield_asked": false,
    });
    let queue: Vec<Value> = waiters
        .iter()
        .enumerate()
        .map(|(at, name)| waiter(at as u64 + 1, name))
        .collect();
    json!({
        "at": "2026-01-01T00:00:00Z", "version": "9.9.9", "started_at": "2026-01-01T00:00:00Z",
        "revision": revision,
        "gpus": [{
            "id": "GPU-x", "index": 0, "name": "Test GPU", "source": "simulated",
            "simulated": true, "vram_total_mib": 1024, "state": "held", "lease_ids": ["l-1"],
        }],
        "leases": [lease], "queue": queue, "queue_depth": waiters.len(),
        "counters": { "granted": 1, "ended": {}, "refused": {}, "passes": 0 },
        "policy": warden::Policy::default(),
    })
}

/// A waiter as the wire has it.
pub fn waiter(place: u64, name: &str) -> Value {
    json!({
        "request_id": format!("r-{name}"), "place": place, "client": name, "arrival": place, "priority": 15,
        "operation": "inference", "gpus": 1, "gpu_ids": null, "vram_mib": null,
        "waited_ms": 1000, "times_out_in_ms": 59000, "passed": 0, "connected": true,
        "why": { "code": "held", "text": "", "behind": [], "holders": ["l-1"] },
    })
}
