//! The host with its real drawing code, before a real broker: leases and waiters are made through
//! the client library, everything else is done by keyboard.

mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use warden::wire::{Granted, LockBody, Status};
use warden_app::{Entry, Host, Hot, MODULES, Place};
use warden_client::blocking::Client;
use warden_client::{Error, Find};
use warden_reload::Outcome as Reloaded;
use warden_toolkit::egui::{Event, Key, Modifiers, OutputCommand};
use warden_toolkit::egui_kittest::Harness;
use warden_toolkit::egui_kittest::kittest::Queryable as _;
use warden_view::LinkState;

use crate::stand;
pub use wire::{Order, Wire};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Every panel has room in it.
const SIZE: [f32; 2] = [1280.0, 800.0];
/// More steps of the focus than there are places for it.
const PLACES: usize = 150;

/// A window, its broker, and what is between them.
pub struct Scene {
    pub window: Harness<'static, Host>,
    pub wire: Wire,
    /// Who asks for GPUs, beside the window.
    pub client: Client,
    /// What went to the clipboard.
    pub copied: Vec<String>,
    _broker: Broker,
}

impl Scene {
    /// Opens the window on a fresh broker with two GPUs.
    pub fn open() -> Self {
        let broker = Broker::start();
        let find = Find {
            addr: None,
            data_dir: Some(broker.folder.path().to_owned()),
            token_file: None,
        };
        let client = Client::new(find.endpoint().unwrap()).unwrap();
        let data_dir = broker.folder.path();
        let wire = Wire::before(broker.socket.clone(), &data_dir.join("wire"));
        let address = format!("unix:{}", wire.socket.display());
        let host = stand::host_with(code(data_dir), &address, data_dir, token(data_dir));
        let mut window = stand::window_of(SIZE, host);
        stand::until(&mut window, "the first snapshot", |host| {
            host.picture().broker.link.state == LinkState::Live
        });
        assert!(
            window.state().hot().can_draw(),
            "no drawing code: {:?}",
            window.state().hot().last_error()
        );
        Self {
            window,
            wire,
            client,
            copied: Vec::new(),
            _broker: broker,
        }
    }

    /// Both GPUs held, and one who waits for either: `trainer` on GPU-00, `speaker` on GPU-01,
    /// `asker` waiting. What comes of the waiting is received.
    pub fn busy(&mut self) -> (Granted, Granted, Receiver<Result<Granted, Error>>) {
        let trainer = self.client.lock(asks("trainer")).unwrap();
        let speaker = self.client.lock(asks("speaker")).unwrap();
        let asker = self.waiter("asker");
        self.until("two leases and a waiter", |host| {
            host.picture().holders.len() == 2 && host.picture().queue.len() == 1
        });
        (trainer, speaker, asker)
    }

    /// Somebody who waits on a connection of its own, under the request id `r-NAME`.
    pub fn waiter(&self, name: &str) -> Receiver<Result<Granted, Error>> {
        let (tell, told) = channel();
        let (client, body) = (self.client.async_client().clone(), asks(name));
        self.client.spawn(async move {
            // The test may have seen enough.
            let _ = tell.send(client.lock(body).await);
        });
        told
    }

    /// What the broker says of itself.
    pub fn status(&self) -> Status {
        self.client.status().unwrap()
    }

    /// Draws frames until `holds`.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Host) -> bool) {
        stand::until(&mut self.window, what, holds);
    }

    /// Draws frames until there is something whose accessible label has this in it.
    pub fn until_said(&mut self, text: &str) {
        let started = Instant::now();
        while self.window.query_by_label_contains(text).is_none() {
            assert!(
                started.elapsed() < PATIENCE,
                "waiting for “{text}”: {:#?}",
                self.window.root()
            );
            // What is waited for comes with some frame, and frames are drawn here and nowhere else.
            thread::sleep(Duration::from_millis(5));
            self.window.step();
        }
    }

    /// Presses and lets go of a key, and draws a frame for each of what that is made of.
    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        let event = |pressed| Event::Key {
            key,
            physical_key: None,
            pressed,
            repeat: false,
            modifiers,
        };
        let held = Event::ModifiersChanged(modifiers);
        let let_go = Event::ModifiersChanged(Modifiers::NONE);
        for event in [held, event(true), event(false), let_go] {
            self.window.event(event);
            self.frame();
        }
    }

    /// Types.
    pub fn write(&mut self, text: &str) {
        self.window.event(Event::Text(text.to_owned()));
        self.frame();
        self.frame();
    }

    /// Brings the focus to what has this accessible label, as the Tab key moves it.
    pub fn tab_to(&mut self, label: &str) {
        for _ in 0..PLACES {
            if self.window.get_by_label(label).is_focused() {
                return;
            }
            self.press(Modifiers::NONE, Key::Tab);
        }
        panic!("Tab never comes to “{label}”: {:#?}", self.window.root());
    }

    /// Presses the button of this accessible label by keyboard.
    pub fn push(&mut self, label: &str) {
        self.tab_to(label);
        self.press(Modifiers::NONE, Key::Enter);
    }

    /// Looks at the question that is asked, steps back from it, and sees that nothing was done.
    pub fn step_back(&mut self, title: &str, to_whom: &[&str]) {
        let revision = self.status().revision;
        self.asked(title, to_whom);
        self.press(Modifiers::NONE, Key::Escape);
        assert_eq!(self.window.state().memory().dialog, None);
        assert!(self.window.query_by_label(title).is_none());
        assert!(self.window.state().picture().actions.is_empty());
        assert!(self.wire.orders().is_empty(), "Escape never acts");
        assert_eq!(self.status().revision, revision, "Escape never acts");
    }

    /// The question says what it asks, and who is concerned.
    pub fn asked(&self, title: &str, to_whom: &[&str]) {
        self.window.get_by_label(title);
        for who in to_whom {
            self.window.get_by_label_contains(who);
        }
    }

    /// Confirms what is asked, while the order is held back: the window shows it as pending, and
    /// as done once it has gone.
    pub fn confirm(&mut self, button: &str, title: &str, said: &str) {
        self.wire.hold_orders();
        self.push(button);
        assert_eq!(self.window.state().memory().dialog, None);
        self.until_said(&format!("pending: {title}"));
        assert!(self.wire.orders().is_empty());
        self.wire.let_go();
        self.until_said(&format!("done: {title}: {said}"));
    }

    fn frame(&mut self) {
        self.window.step();
        for command in &self.window.output().platform_output.commands {
            if let OutputCommand::CopyText(text) = command {
                self.copied.push(text.clone());
            }
        }
    }
}

/// One GPU, for as long as any test takes.
pub fn asks(name: &str) -> LockBody {
    LockBody {
        client: name.to_owned(),
        request_id: Some(format!("r-{name}").into()),
        timeout_ms: Some(120_000),
        ttl_ms: Some(600_000),
        ..LockBody::default()
    }
}

/// The drawing code as the window loads it; once a run, built anew before that, since a build of
/// this test alone does not bring it up to date.
fn code(data_dir: &Path) -> Hot {
    static BUILT: OnceLock<Vec<Option<Reloaded>>> = OnceLock::new();
    let place = Place::find(&programs().join("warden-dashboard"), data_dir);
    let start = || Hot::start(place.clone(), MODULES, &BTreeMap::new(), || {}).unwrap();
    let built = BUILT.get_or_init(|| {
        let hot = start();
        let build = |entry: &Entry| hot.reload_and_wait(entry.name);
        MODULES.iter().map(build).collect()
    });
    let good =
        |built: &Option<Reloaded>| matches!(built, Some(Reloaded::Ready(_) | Reloaded::Unchanged));
    assert!(built.iter().all(good), "{built:?}");
    let mut hot = start();
    hot.settle();
    hot
}

/// The folder that cargo puts programs in.
fn programs() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

fn token(data_dir: &Path) -> PathBuf {
    data_dir.join("token")
}

/// A `warden serve` that ends with this value.
struct Broker {
    folder: tempfile::TempDir,
    socket: PathBuf,
    process: Child,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("warden-")
            .tempdir()
            .unwrap();
        let program = programs().join("warden");
        assert!(
            program.exists(),
            "{} is not built; `cargo xtask test` builds it",
            program.display()
        );
        let process = Command::new(program)
            .args(["serve", "--addr", "127.0.0.1:0", "--simulate-gpus", "2"])
            .arg("--data-dir")
            .arg(folder.path())
            .arg("--config-dir")
            .arg(folder.path().join("config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut broker = Self {
            folder,
            socket: PathBuf::new(),
            process,
        };
        broker.socket = broker.published();
        broker
    }

    /// Waits until it says where it listens.
    fn published(&mut self) -> PathBuf {
        let find = Find {
            addr: None,
            data_dir: Some(self.folder.path().to_owned()),
            token_file: None,
        };
        let endpoint = find.endpoint().unwrap();
        let started = Instant::now();
        loop {
            if let Ok(published) = endpoint.published()
                && fs::exists(token(self.folder.path())).unwrap()
            {
                return published.socket.unwrap();
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "warden serve ended: {ended:?}");
            assert!(started.elapsed() < PATIENCE, "the broker does not serve");
            // Another process writes the files that this looks for.
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}
