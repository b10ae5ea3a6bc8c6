//! Connections that stand while the program is replaced, down to the single byte.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use warden::wire::LockBody;
use warden_client::FeedItem;

use crate::daemon::{Daemon, only_program};
use crate::stand::{PATIENCE, read, until};

/// A connection over TCP, with the operator's token.
pub struct Line {
    stream: TcpStream,
    head: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Line {
    pub fn open(broker: &Daemon) -> Self {
        let stream = TcpStream::connect(&broker.ready.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let token = read(&broker.data("token"));
        let (address, token) = (&broker.ready.address, token.trim());
        Self {
            stream,
            head: format!("Host: {address}\r\nAuthorization: Bearer {token}\r\n"),
        }
    }

    fn request(&self, line: &str, body: Option<&Value>) -> String {
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        let kind = match length {
            0 => String::new(),
            _ => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
        };
        format!("{line} HTTP/1.1\r\n{}{kind}\r\n{body}", self.head)
    }

    pub fn send(&mut self, line: &str, body: Option<&Value>) {
        let request = self.request(line, body);
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// The same to who may have hung up.
    pub fn try_send(&mut self, line: &str, body: Option<&Value>) {
        let request = self.request(line, body);
        let _ = self.stream.write_all(request.as_bytes());
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    /// Nothing where the connection is gone.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length = length.split("\r\n").next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Some(Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: serde_json::from_slice(&body).unwrap(),
        })
    }

    pub fn ask(&mut self, line: &str, body: Option<&Value>) -> Answer {
        self.send(line, body);
        self.answer()
    }
}

fn enabled() -> Daemon {
    let broker = Daemon::start(&[]);
    broker.client().enable_reload(true).unwrap();
    broker
}

#[test]
fn a_connection_at_rest_stays_and_so_does_half_a_request() {
    let broker = enabled();
    let mut idle = Line::open(&broker);
    assert_eq!(idle.ask("GET /healthz", None).status, 200);
    let untouched = Line::open(&broker);
    let mut halves = Vec::new();
    for cut in [1, 20, 60] {
        let mut line = Line::open(&broker);
        assert_eq!(line.ask("GET /healthz", None).status, 200);
        let request = line.request("GET /v1/gpu/status", None);
        let (first, second) = request.split_at(cut);
        line.stream.write_all(first.as_bytes()).unwrap();
        halves.push((line, second.to_owned()));
    }
    let mut socket = UnixStream::connect(broker.data("warden.sock")).unwrap();
    socket
        .write_all(b"GET /v1/gpu/status HTTP/1.1\r\n")
        .unwrap();

    for tail in [b"a", b"b"] {
        broker.install(tail);
        broker.reload_program().unwrap();
    }
    assert_eq!(idle.ask("GET /v1/gpu/status", None).status, 200);
    let mut untouched = untouched;
    assert_eq!(untouched.ask("GET /v1/gpu/status", None).status, 200);
    for (mut line, second) in halves {
        line.stream.write_all(second.as_bytes()).unwrap();
        assert_eq!(line.answer().status, 200);
    }
    // The kernel still vouches for the peer.
    socket
        .write_all(b"Host: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    // And who is wrong is told so in our words.
    idle.stream.write_all(b"nonsense\r\n\r\n").unwrap();
    assert_eq!(idle.answer().body["code"], "bad_request");
}

#[test]
fn who_asks_is_answered_by_the_program_that_comes() {
    let broker = enabled();
    broker.install(b"asked");
    let mut line = Line::open(&broker);
    let origin = format!("Origin: http://{}\r\n", broker.ready.address);
    line.head.push_str(&origin);
    let answer = line.ask("POST /v1/hot-reload", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    let names: Vec<_> = answer.body["results"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 3, "{answer:?}");
    assert_eq!(names[2]["outcome"], "reloaded");
    let invited = format!(
        "access-control-allow-origin: http://{}",
        broker.ready.address
    );
    assert!(answer.head.contains(&invited), "{answer:?}");
}

#[test]
fn waiters_keep_their_places_and_their_connections() {
    let broker = enabled();
    let client = broker.client();
    let all = json!({"client": "holder", "gpus": 2, "request_id": "holder"});
    let held = Line::open(&broker)
        .ask("POST /v1/gpu/lock", Some(&all))
        .body;
    let body = |id: &str| json!({"client": id, "request_id": id, "gpus": 2});
    let mut waiters = Vec::new();
    for id in ["first", "second", "third"] {
        let mut line = Line::open(&broker);
        line.send("POST /v1/gpu/lock", Some(&body(id)));
        until("waiting", || {
            let queue = client.status().unwrap().queue;
            queue.iter().any(|waiter| waiter.client == *id)
        });
        waiters.push((id, line));
    }
    let mut nameless = Line::open(&broker);
    nameless.send("POST /v1/gpu/lock", Some(&json!({"client": "nameless"})));
    until("waiting", || client.status().unwrap().queue_depth == 4);

    broker.install(b"waiters");
    let began = Instant::now();
    broker.reload_program().unwrap();
    for (_, line) in &mut waiters {
        let answer = line.answer();
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (503, &json!("shutting_down"))
        );
        assert!(answer.head.contains("retry-after: 0"), "{answer:?}");
        assert!(!answer.head.contains("connection: close"), "{answer:?}");
    }
    assert_eq!(nameless.answer().status, 503);
    // Whoever comes back does so in another order than before; places are as they were.
    for (id, line) in waiters.iter_mut().rev() {
        line.send("POST /v1/gpu/lock", Some(&body(id)));
    }
    until("all are back", || {
        let queue = client.status().unwrap().queue;
        queue.len() == 3 && queue.iter().all(|waiter| waiter.connected)
    });
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "within the grace"
    );
    let mut fence = json!({"lease_id": held["lease_id"], "token": held["token"]});
    for (_, line) in &mut waiters {
        let unlocked = Line::open(&broker).ask("POST /v1/gpu/unlock", Some(&fence));
        assert_eq!(unlocked.status, 200, "{unlocked:?}");
        let granted = line.answer();
        assert_eq!(granted.status, 200, "{granted:?}");
        fence = json!({"lease_id": granted.body["lease_id"], "token": granted.body["token"]});
    }
}

#[test]
fn events_go_on_where_they_were() {
    let broker = enabled();
    let client = broker.client();
    let (tell, told) = std::sync::mpsc::channel();
    let follower = client.async_client().clone();
    client.spawn(async move {
        let mut events = follower.events();
        while tell.send(events.next().await).is_ok() {}
    });
    let lock = || {
        let body = LockBody {
            client: "somebody".to_owned(),
            ..LockBody::default()
        };
        client.acquire(body).unwrap().close().unwrap();
    };
    let mut snapshots = 0;
    let mut last = 0;
    let mut follow_to = |revision: u64| {
        while last < revision {
            match told.recv_timeout(PATIENCE).unwrap() {
                FeedItem::Snapshot(snapshot) => {
                    snapshots += 1;
                    last = snapshot.revision;
                }
                FeedItem::Event { revision, .. } => {
                    assert_eq!(revision, last + 1, "nothing missing, nothing twice");
                    last = revision;
                }
                _ => {}
            }
        }
    };
    lock();
    follow_to(client.status().unwrap().revision);
    for round in 0..3_u8 {
        broker.install(&[round]);
        broker.reload_program().unwrap();
        lock();
        follow_to(client.status().unwrap().revision);
    }
    assert_eq!(snapshots, 1, "it was resumed each time");
}

#[test]
fn who_never_comes_to_rest_holds_nobody_up_for_long() {
    let broker = enabled();
    let mut slow = Line::open(&broker);
    let request = slow.request("POST /v1/gpu/lock", Some(&json!({"client": "slow"})));
    let half = &request.as_bytes()[..request.len() - 3];
    slow.stream.write_all(half).unwrap();
    broker.install(b"slow");
    let began = Instant::now();
    broker.client().reload(&only_program()).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut rest = Vec::new();
    slow.stream.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.starts_with("HTTP/1.1 503 "), "{rest}");
    assert!(rest.contains("\"shutting_down\""), "{rest}");
    assert_eq!(broker.module().generation, 2);
}

#[test]
fn nobody_without_a_token_can_keep_new_code_from_coming() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let broker = enabled();
    let held = json!({"client": "holder", "request_id": "holder"});
    let held = Line::open(&broker).ask("POST /v1/gpu/lock", Some(&held));
    assert_eq!(held.status, 200, "{held:?}");
    // What belongs to a client that is merely slow stays.
    let mut small = Line::open(&broker);
    let request = small.request("GET /v1/gpu/status", None);
    let (first, second) = request.split_at(20);
    small.stream.write_all(first.as_bytes()).unwrap();
    let mut head = b"GET /healthz HTTP/1.1\r\nX: ".to_vec();
    head.resize(30_000, b'x');
    let greedy: Vec<_> = (0..2_600)
        .map(|_| {
            let mut stream = TcpStream::connect(&broker.ready.address).unwrap();
            stream.write_all(&head).unwrap();
            stream
        })
        .collect();
    broker.install(b"greedy");
    broker.reload_program().unwrap();
    broker.process.until_said("hung up on");
    small.stream.write_all(second.as_bytes()).unwrap();
    let status = small.answer();
    assert_eq!(status.status, 200);
    assert_eq!(status.body["leases"].as_array().unwrap().len(), 1);
    assert_eq!(broker.module().generation, 2);
    drop(greedy);
}
