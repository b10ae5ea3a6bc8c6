//! What stands between the window and its broker: it passes every byte on, notes every order, and
//! holds orders or news back for as long as a test wants to look at what is between.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use serde_json::Value;

/// A request that changes something, as it went to the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Method and path.
    pub line: String,
    /// Null where there was none.
    pub body: Value,
}

/// See the module. Its threads end with the connections, at the latest with the program.
#[derive(Debug)]
pub struct Wire {
    /// The socket where the window finds its broker.
    pub socket: PathBuf,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug, Default)]
struct State {
    orders: Vec<Order>,
    holds_orders: bool,
    holds_news: bool,
}

impl Wire {
    /// Listens at `socket`, before the broker that listens at its own.
    pub fn before(broker: PathBuf, socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for window in listener.incoming().map_while(Result::ok) {
                // A broker that is gone shows as a connection that ends at once.
                if let Ok(broker) = UnixStream::connect(&broker) {
                    join(window, broker, &shared);
                }
            }
        });
        Self {
            socket: socket.to_owned(),
            gate,
        }
    }

    /// Every order that has gone to the broker.
    pub fn orders(&self) -> Vec<Order> {
        self.gate.state.lock().unwrap().orders.clone()
    }

    /// From now on orders do not arrive.
    pub fn hold_orders(&self) {
        self.gate.state.lock().unwrap().holds_orders = true;
    }

    /// From now on the window hears nothing of what happens; its orders are still answered.
    pub fn hold_news(&self) {
        self.gate.state.lock().unwrap().holds_news = true;
    }

    /// Passes on what was held back.
    pub fn let_go(&self) {
        let mut state = self.gate.state.lock().unwrap();
        (state.holds_orders, state.holds_news) = (false, false);
        self.gate.opened.notify_all();
    }
}

impl Gate {
    fn wait_while(&self, held: impl Fn(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        self.opened.wait_while(state, |state| held(state)).unwrap()
    }
}

/// Passes on in both directions.
fn join(window: UnixStream, broker: UnixStream, gate: &Arc<Gate>) {
    // Set once this connection is the one that news comes by.
    let news = Arc::new(AtomicBool::new(false));
    let (from, to) = (window.try_clone().unwrap(), broker.try_clone().unwrap());
    let (up, is_news) = (Arc::clone(gate), Arc::clone(&news));
    thread::spawn(move || requests(from, to, &up, &is_news));
    let down = Arc::clone(gate);
    thread::spawn(move || answers(broker, window, &down, &news));
}

fn requests(mut from: UnixStream, mut to: UnixStream, gate: &Gate, news: &AtomicBool) {
    let (mut unsent, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        unsent.extend_from_slice(&chunk[..read]);
        while let Some((order, length)) = first_request(&unsent) {
            if order.line.starts_with("GET ") {
                news.store(order.line == "GET /v1/events", Ordering::SeqCst);
            } else {
                let mut state = gate.wait_while(|state| state.holds_orders);
                state.orders.push(order);
            }
            if to.write_all(&unsent[..length]).is_err() {
                return;
            }
            unsent.drain(..length);
        }
    }
    let _already_closed = to.shutdown(Shutdown::Both);
}

fn answers(mut from: UnixStream, mut to: UnixStream, gate: &Gate, news: &AtomicBool) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk) {
        if news.load(Ordering::SeqCst) {
            drop(gate.wait_while(|state| state.holds_news));
        }
        if to.write_all(&chunk[..read]).is_err() {
            return;
        }
    }
    let _already_closed = to.shutdown(Shutdown::Both);
}

/// The first whole request among these bytes, and how many of them it takes.
fn first_request(bytes: &[u8]) -> Option<(Order, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(0, |(_, value)| value.trim().parse().unwrap());
    let body = bytes.get(end..end + length)?;
    let body = serde_json::from_slice(body).unwrap_or_default();
    Some((Order { line, body }, end + length))
}
