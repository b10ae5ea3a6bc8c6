//! What one frame costs at 10,000 waiters and 1,000 events a second, and what it costs that the
//! drawing code can be replaced. Prints one line of JSON for each.
//!
//! Counted is the thread's CPU time of what the host does for a frame: folding the events of 1/60 s,
//! projecting, drawing, tessellating. Rasterising is the display's, and is not counted.

#![allow(
    clippy::expect_used,
    reason = "a measurement says so when it cannot be made"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use warden::StreamEvent;
use warden::snapshot::Snapshot;
use warden::stream::{EndedRow, GrantedRow, Row};
use warden::wire::{
    Counters, GpuState, GpuStatus, LeaseStatus, Outcome, Status, WaiterStatus, Why, WhyCode,
};
use warden_app::{Drawing, Functions, Projection, ThreadClock, WindowClock};
use warden_hot::{Panicked, guard};
use warden_reload::call;
use warden_toolkit::egui::{self, Memory};
use warden_view::{Picture, Theme, UiMemory};

const WAITERS: u64 = 10_000;
const GPUS: u32 = 4;
const EVENTS_A_SECOND: u64 = 1_000;
const FRAMES_A_SECOND: u64 = 60;
const WARM_UP: u64 = 120;
const FRAMES: u64 = 1_200;

fn main() {
    let mut stage = Stage::new();
    let mut costs: Vec<[Duration; 4]> = Vec::new();
    for frame in 0..WARM_UP + FRAMES {
        let cost = stage.frame(frame);
        if frame >= WARM_UP {
            costs.push(cost);
        }
    }
    assert_eq!(stage.picture.queue.len() as u64, WAITERS);
    let mut whole: Vec<Duration> = costs.iter().map(|parts| parts.iter().sum()).collect();
    whole.sort_unstable();
    let part = |at: usize| {
        let mut part: Vec<Duration> = costs.iter().map(|parts| parts[at]).collect();
        part.sort_unstable();
        ms(quantile(&part, 0.5))
    };
    println!(
        "{}",
        json!({
            "bench": "frame",
            "waiters": WAITERS,
            "events_a_second": EVENTS_A_SECOND,
            "frames": FRAMES,
            "p50_ms": ms(quantile(&whole, 0.5)),
            "p99_ms": ms(quantile(&whole, 0.99)),
            "max_ms": ms(quantile(&whole, 1.0)),
            "fold_p50_ms": part(0),
            "project_p50_ms": part(1),
            "draw_p50_ms": part(2),
            "tessellate_p50_ms": part(3),
        })
    );
    println!("{}", stage.delegation());
}

/// The window without a window.
struct Stage {
    ctx: egui::Context,
    functions: Functions,
    theme: Theme,
    memory: UiMemory,
    picture: Picture,
    clock: WindowClock,
    snapshot: Snapshot,
    projection: Projection,
    traffic: Traffic,
    owed: u64,
}

impl Stage {
    fn new() -> Self {
        let mut clock = WindowClock::start();
        let traffic = Traffic::new();
        let snapshot = Snapshot::new(traffic.status(), clock.monotonic_ms());
        let mut projection = Projection::default();
        projection.renewed(&snapshot, &clock, false);
        clock.follow();
        let functions = Functions {
            draw: Drawing::Plain(ui_hot::ui_hot_draw),
            style: Some(ui_hot::ui_hot_style),
            memory: None,
        };
        let theme = Theme::nerv();
        let ctx = egui::Context::default();
        let mut first = ctx.run_ui(egui::RawInput::default(), |_| {});
        first.textures_delta.clear();
        let styled = functions.style.map(|style| style(&ctx, &theme));
        assert_eq!(styled, Some(Ok(())));
        Self {
            ctx,
            functions,
            theme,
            memory: UiMemory::default(),
            picture: Picture::default(),
            clock,
            snapshot,
            projection,
            traffic,
            owed: 0,
        }
    }

    /// Folds, projects, draws and tessellates; what each cost.
    fn frame(&mut self, number: u64) -> [Duration; 4] {
        self.owed += EVENTS_A_SECOND;
        let events: Vec<(u64, StreamEvent)> = (0..self.owed / FRAMES_A_SECOND)
            .map(|_| self.traffic.next())
            .collect();
        self.owed %= FRAMES_A_SECOND;

        let folding = ThreadClock::start();
        for (revision, event) in &events {
            self.projection
                .event(&self.snapshot, *revision, event, &self.clock);
            let folded = self
                .snapshot
                .fold(*revision, event, self.clock.monotonic_ms());
            assert_eq!(folded, Ok(()), "{event:?}");
        }
        let fold = folding.elapsed();

        let projecting = ThreadClock::start();
        self.projection
            .project(&self.snapshot, &self.clock, &mut self.picture);
        self.picture.clock.now_ms = self.clock.now_ms();
        let project = projecting.elapsed();

        let drawing = ThreadClock::start();
        let mut output = self.draw(number);
        let draw = drawing.elapsed();

        let tessellating = ThreadClock::start();
        let shapes = std::mem::take(&mut output.shapes);
        black_box(self.ctx.tessellate(shapes, output.pixels_per_point));
        let tessellate = tessellating.elapsed();
        output.textures_delta.clear();
        [fold, project, draw, tessellate]
    }

    fn draw(&mut self, number: u64) -> egui::FullOutput {
        let size = egui::vec2(1280.0, 800.0);
        let mut input = egui::RawInput {
            screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size)),
            time: Some(number as f64 / FRAMES_A_SECOND as f64),
            ..egui::RawInput::default()
        };
        // Somebody scrolls through the queue meanwhile.
        input
            .events
            .push(egui::Event::PointerMoved(egui::pos2(400.0, 350.0)));
        let Self {
            ctx,
            functions,
            picture,
            theme,
            memory,
            ..
        } = self;
        let mut actions = Vec::new();
        ctx.run_ui(input, |ui| {
            let undo = (memory.clone(), ui.ctx().memory(Memory::clone));
            let shown = (&*picture, &*theme);
            let drawn = call(|| functions.draw(ui, shown, memory, None, &mut actions));
            assert!(drawn.is_ok(), "{drawn:?}");
            black_box(undo);
        })
    }

    /// What it costs, each frame, that the code can be replaced and its panics undone.
    fn delegation(&mut self) -> serde_json::Value {
        const CALLS: u32 = 1_000_000;
        const COPIES: u32 = 1_000;
        let nothing: fn(u64) -> Result<u64, Panicked> = black_box(|n| guard(|| n));
        let started = Instant::now();
        for n in 0..u64::from(CALLS) {
            black_box(call(|| nothing(n)).is_ok());
        }
        let call = started.elapsed() / CALLS;
        let started = Instant::now();
        for _ in 0..COPIES {
            black_box((self.memory.clone(), self.ctx.memory(Memory::clone)));
        }
        let copy = started.elapsed() / COPIES;
        json!({
            "bench": "delegation",
            "call_ns": call.as_nanos(),
            "undo_copy_us": copy.as_secs_f64() * 1e6,
        })
    }
}

/// Makes a broker's events: leases end, the head of the queue is granted, others come, holders renew.
struct Traffic {
    revision: u64,
    numbered: u64,
    queue: std::collections::VecDeque<WaiterStatus>,
    leases: Vec<LeaseStatus>,
    turn: u64,
}

impl Traffic {
    fn new() -> Self {
        let mut traffic = Self {
            revision: 1,
            numbered: 0,
            queue: std::collections::VecDeque::new(),
            leases: Vec::new(),
            turn: 0,
        };
        for _ in 0..WAITERS + u64::from(GPUS) {
            let waiter = traffic.arrive();
            traffic.queue.push_back(waiter);
        }
        for gpu in 0..GPUS {
            let lease = traffic.grant(gpu);
            traffic.leases.push(lease.lease);
        }
        traffic
    }

    fn arrive(&mut self) -> WaiterStatus {
        self.numbered += 1;
        let number = self.numbered;
        WaiterStatus {
            request_id: format!("c-{number:032x}").as_str().into(),
            place: 1,
            arrival: number,
            client: format!("eval-harness-{}", number % 97),
            priority: 15,
            operation: "inference".to_owned(),
            gpus: 1,
            gpu_ids: None,
            vram_mib: None,
            waited_ms: 0,
            times_out_in_ms: 60_000 + number % 60_000,
            passed: 0,
            connected: true,
            why: Why {
                code: WhyCode::Turn,
                text: String::new(),
                behind: Vec::new(),
                holders: Vec::new(),
            },
        }
    }

    fn grant(&mut self, gpu: u32) -> GrantedRow {
        let waiter = self.queue.pop_front().expect("the queue is kept full");
        let lease = LeaseStatus {
            lease_id: format!("l-{}", waiter.request_id).as_str().into(),
            client: waiter.client,
            priority: waiter.priority,
            operation: waiter.operation,
            gpu_ids: vec![gpu_id(gpu).as_str().into()],
            vram_mib: None,
            pid: Some(4_000 + gpu),
            host: "bench".to_owned(),
            granted_at: "2026-01-01T00:00:00Z".to_owned(),
            held_ms: 0,
            ttl_ms: 60_000,
            expires_in_ms: 60_000,
            yield_asked: false,
        };
        GrantedRow {
            request_id: waiter.request_id,
            passed: None,
            lease,
        }
    }

    /// The next event, with its revision.
    fn next(&mut self) -> (u64, StreamEvent) {
        let gpu = u32::try_from(self.turn / 4 % u64::from(GPUS)).unwrap_or(0);
        let event = match self.turn % 4 {
            0 => StreamEvent::Renewed(self.leases[gpu as usize].clone()),
            1 => {
                let row = Row::Lease(self.leases[gpu as usize].clone());
                StreamEvent::Ended(EndedRow {
                    drains_until: None,
                    outcome: Outcome::Released,
                    row,
                })
            }
            2 => {
                let granted = self.grant(gpu);
                self.leases[gpu as usize] = granted.lease.clone();
                StreamEvent::Granted(granted)
            }
            _ => {
                let waiter = self.arrive();
                self.queue.push_back(waiter.clone());
                StreamEvent::Queued(waiter)
            }
        };
        self.turn += 1;
        self.revision += 1;
        (self.revision, event)
    }

    fn status(&self) -> Status {
        let gpus = (0..GPUS).map(|index| GpuStatus {
            id: gpu_id(index).as_str().into(),
            index,
            name: format!("Simulated {index}"),
            source: "simulated".to_owned(),
            simulated: true,
            vram_total_mib: Some(24_576),
            state: GpuState::Held,
            lease_ids: vec![self.leases[index as usize].lease_id.clone()],
            draining: Vec::new(),
        });
        let queue = self
            .queue
            .iter()
            .cloned()
            .enumerate()
            .map(|(at, waiter)| WaiterStatus {
                place: at as u64 + 1,
                ..waiter
            });
        serde_json::from_value(json!({
            "at": "2026-01-01T00:00:00Z",
            "version": "0.1.0",
            "started_at": "2026-01-01T00:00:00Z",
            "revision": self.revision,
            "gpus": gpus.collect::<Vec<_>>(),
            "leases": self.leases,
            "queue": queue.collect::<Vec<_>>(),
            "queue_depth": self.queue.len(),
            "counters": Counters::default(),
            "policy": warden::Policy::default(),
        }))
        .expect("a status as brokers write it")
    }
}

fn gpu_id(index: u32) -> String {
    format!("GPU-00000000-0000-0000-0000-{index:012}")
}

fn quantile(sorted: &[Duration], q: f64) -> Duration {
    let last = sorted.len() - 1;
    sorted[((last as f64 * q).ceil() as usize).min(last)]
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
