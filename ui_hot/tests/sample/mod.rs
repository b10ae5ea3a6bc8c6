//! What the pictures show: a fixed instant of a busy two-GPU machine, and its variations.

#![allow(
    clippy::expect_used,
    reason = "a test stops at what is not as it should be"
)]
#![allow(dead_code, reason = "each test program uses a part of it")]

mod machine;
mod past;
pub mod reload;
pub mod settings;

#[allow(unused_imports, reason = "each test program uses a part of it")]
pub use {machine::gpu_id, reload::failed};

use std::sync::Arc;

use machine::{gpu, holders, queue, waiter};
use past::{bars, depth, events};
use warden_view::{
    ActionRun, Bar, Broker, Clock, Draining, EventRow, Gpu, GpuState, Holder, Link, LinkState,
    Phase, Picture, Rules, SHIPPED, Summary, Target, Text, Theme, ThemeName, Timeline, Waiter,
    WhyCode, Window,
};

/// 2026-11-21 13:32:40 UTC.
pub const NOW: i64 = 1_795_267_960_000;
const S: i64 = 1_000;
const M: i64 = 60 * S;
const H: i64 = 60 * M;

pub fn t(text: &str) -> Text {
    Text::from(text)
}

fn texts(texts: &[&str]) -> Arc<[Text]> {
    texts.iter().map(|text| t(text)).collect()
}

pub fn theme(id: &str) -> Theme {
    let (_, text) = SHIPPED
        .iter()
        .find(|(shipped, _)| *shipped == id)
        .expect("a shipped theme");
    Theme::parse(text).expect("it is read")
}

/// Nobody holds, nobody waits, and what was is still on the timeline.
pub fn empty() -> Picture {
    let gpus: Arc<[Gpu]> = Arc::new([
        gpu(
            0,
            GpuState::Free,
            &[],
            Some(410),
            Some(1),
            NOW - 12 * M - 40 * S,
        ),
        gpu(
            1,
            GpuState::Free,
            &[],
            Some(307),
            Some(0),
            NOW - 2 * H - 7 * M,
        ),
    ]);
    let rules = Rules::default();
    let summary = Summary::of(&gpus, &[], &[], &rules, Some((3 * S, NOW - 12 * M)));
    Picture {
        serial: 1,
        clock: Clock {
            now_ms: NOW,
            utc_offset_s: 3600,
            zone: t("Europe/Berlin"),
        },
        window: window("nerv"),
        broker: broker(),
        rules,
        gpus,
        summary,
        timeline: Timeline {
            span_ms: 10 * M,
            known_from_ms: NOW - 3 * H,
            bars: bars(true),
            depth: depth(true),
        },
        reload: reload::quiet(),
        settings: settings::quiet(),
        ..Picture::default()
    }
}

/// The drawing's instant: two holders, seven waiters, one overdue, one asked to yield.
pub fn busy() -> Picture {
    let gpus: Arc<[Gpu]> = Arc::new([
        gpu(
            0,
            GpuState::Held,
            &["lease-51c0"],
            Some(17_613),
            Some(91),
            NOW - M - 42 * S,
        ),
        gpu(
            1,
            GpuState::Held,
            &["lease-2b7e"],
            Some(10_035),
            Some(34),
            NOW - 2 * H - 7 * M,
        ),
    ]);
    let holders: Arc<[Holder]> = holders().into();
    let queue: Arc<[Arc<Waiter>]> = queue().into_iter().map(Arc::new).collect();
    let rules = Rules::default();
    let summary = Summary::of(&gpus, &holders, &queue, &rules, None);
    Picture {
        serial: 2,
        gpus,
        holders,
        queue,
        summary,
        events: events(),
        timeline: Timeline {
            bars: bars(false),
            depth: depth(false),
            ..empty().timeline
        },
        ..empty()
    }
}

/// The second GPU was taken from a process that still runs.
pub fn draining() -> Picture {
    let mut picture = busy();
    let drained = Gpu {
        draining: Some(Draining {
            client: t("train-lora-nightly"),
            pid: 31_022,
            until_ms: Some(NOW + 7 * S),
        }),
        ..gpu(
            1,
            GpuState::Draining,
            &[],
            Some(10_035),
            Some(34),
            NOW - 3 * S,
        )
    };
    picture.gpus = [picture.gpus[0].clone(), drained].into();
    let holds = |holder: &&Holder| &*holder.lease == "lease-51c0";
    picture.holders = picture.holders.iter().filter(holds).cloned().collect();
    let mut queue: Vec<Arc<Waiter>> = picture.queue.to_vec();
    let mut first = Waiter::clone(&queue[0]);
    first.why.code = WhyCode::Draining;
    first.why.holders = texts(&[]);
    queue[0] = Arc::new(first);
    picture.queue = queue.into();
    picture.summary = Summary::of(
        &picture.gpus,
        &picture.holders,
        &picture.queue,
        &picture.rules,
        None,
    );
    picture
}

/// The second GPU is kept for the dreamer, which was passed as often as may be.
pub fn kept() -> Picture {
    let mut picture = busy();
    let kept = gpu(1, GpuState::Kept, &[], None, None, NOW - 5 * S);
    picture.gpus = [picture.gpus[0].clone(), kept].into();
    let holds = |holder: &&Holder| &*holder.lease == "lease-51c0";
    picture.holders = picture.holders.iter().filter(holds).cloned().collect();
    let (gpus, holders, queue) = (&picture.gpus, &picture.holders, &picture.queue);
    picture.summary = Summary::of(gpus, holders, queue, &picture.rules, None);
    picture
}

/// A broker that has just started, with simulated GPUs: little is known from before.
pub fn fresh() -> Picture {
    let mut picture = busy();
    let simulated = |gpu: &Gpu| Gpu {
        name: t("Simulated GPU"),
        source: t("simulated"),
        simulated: true,
        vram_used_mib: None,
        load_percent: None,
        ..gpu.clone()
    };
    picture.gpus = picture.gpus.iter().map(simulated).collect();
    let known_from_ms = NOW - 3 * M;
    let known = |bar: &&Bar| bar.to_ms.is_none_or(|to| to > known_from_ms);
    picture.timeline.bars = picture
        .timeline
        .bars
        .iter()
        .filter(known)
        .cloned()
        .collect();
    picture.timeline.known_from_ms = known_from_ms;
    picture.broker.started_ms = Some(NOW - 3 * M);
    picture
}

/// Names as long as the contract allows, eight GPUs, four-digit queues, unknown figures.
pub fn long() -> Picture {
    let long = "comfyui-batch-renderer-with-a-name-as-long-as-an-operator-would-never-choose-but-a-\
                program-does-ünïcödé-0123456789-0123456789";
    let mut picture = busy();
    let gpus: Vec<Gpu> = (0..8)
        .map(|index| Gpu {
            id: t(&format!("GPU-{index}f3c1a52-5f1e-4b5e-9d5a-0123456789ab")),
            name: t("NVIDIA RTX 6000 Ada Generation with a rather long marketing name"),
            vram_used_mib: None,
            load_percent: None,
            simulated: index % 2 == 0,
            state: if index < 6 {
                GpuState::Held
            } else {
                GpuState::Free
            },
            leases: texts(if index < 6 { &["lease-51c0"] } else { &[] }),
            ..gpu(index, GpuState::Free, &[], None, None, NOW - 3 * H)
        })
        .collect();
    let mut holders = picture.holders.to_vec();
    holders[0].client = t(long);
    holders[0].gpus = gpus.iter().take(6).map(|gpu| gpu.id.clone()).collect();
    holders[0].operation = t("an-operation-of-the-policy-with-a-long-name");
    holders[1].client = t(long);
    holders[1].expires_ms = NOW - 8 * S;
    holders[1].gpus = texts(&[&gpus[6].id]);
    let mut queue: Vec<Waiter> = picture
        .queue
        .iter()
        .map(|waiter| (**waiter).clone())
        .collect();
    for (at, waiter) in queue.iter_mut().enumerate() {
        waiter.client = t(long);
        waiter.why.text = t(&format!("held by {long}"));
        waiter.request = t(&format!("request-{at}-{long}"));
        waiter.priority = 42;
        waiter.gpus = 8;
        waiter.vram_mib = Some(81_920);
        waiter.arrived_ms = NOW - 26 * H;
        waiter.times_out_ms = NOW + 22 * H;
        waiter.connected = at % 2 == 0;
    }
    picture.gpus = gpus.into();
    picture.holders = holders.into();
    picture.queue = queue.into_iter().map(Arc::new).collect();
    picture.broker.data_dir = t("/home/an-operator-with-a-long-name/.local/state/warden");
    let (gpus, holders, queue) = (&picture.gpus, &picture.holders, &picture.queue);
    picture.summary = Summary::of(gpus, holders, queue, &picture.rules, None);
    picture.events = picture
        .events
        .iter()
        .map(|event| EventRow {
            client: t(long),
            what: t(&format!("on {long}")),
            ..event.clone()
        })
        .collect();
    picture
}

/// That many waiters.
pub fn crowd(n: usize) -> Picture {
    let names = ["root-dreamer", "root-mic", "ollama-proxy", "eval-harness"];
    let mut picture = busy();
    picture.queue = (0..n)
        .map(|at| {
            let passed = if at == 0 { 8 } else { at as u32 % 5 };
            let arrived = NOW - (n - at) as i64 * 11;
            Arc::new(Waiter {
                request: t(&format!("request-{at:06}")),
                passed,
                ..waiter(
                    names[at % 4],
                    [20, 0, 15, 15][at % 4],
                    arrived,
                    NOW + H,
                    "1 before it",
                )
            })
        })
        .collect();
    let (gpus, holders, queue) = (&picture.gpus, &picture.holders, &picture.queue);
    picture.summary = Summary::of(gpus, holders, queue, &picture.rules, None);
    picture.serial = 3;
    picture
}

/// Everything frozen three seconds ago.
pub fn gone(state: LinkState) -> Picture {
    let mut picture = busy();
    picture.broker.link = Link {
        state,
        since_ms: NOW - 3 * S,
        frozen_at_ms: Some(NOW - 3 * S),
        retry_at_ms: Some(NOW + 2 * S),
        detail: t(match state {
            LinkState::Gone => "127.0.0.1:8080 closed the connection",
            LinkState::Refused => "the token in the data directory opens nothing there",
            _ => "",
        }),
    };
    picture
}

/// Nothing was ever heard.
pub fn stranger() -> Picture {
    Picture {
        gpus: Arc::default(),
        broker: Broker {
            version: t(""),
            data_dir: t(""),
            pid: None,
            started_ms: None,
            started_by_window: false,
            revision: 0,
            link: Link {
                state: LinkState::Stranger,
                since_ms: NOW,
                ..Link::default()
            },
            ..broker()
        },
        timeline: Timeline {
            span_ms: 10 * M,
            known_from_ms: NOW,
            ..Timeline::default()
        },
        summary: Summary::default(),
        ..empty()
    }
}

/// Three actions: under way, done, refused.
pub fn acted() -> Picture {
    let mut picture = busy();
    let run = |id: u64, title: &str, target: Target, phase: Phase| ActionRun {
        id,
        title: t(title),
        target,
        at_ms: NOW - 2 * S,
        phase,
    };
    picture.actions = Arc::new([
        run(
            1,
            "Reset",
            Target::None,
            Phase::Done {
                at_ms: NOW - S,
                said: t("nothing was stale"),
            },
        ),
        run(
            2,
            "Cancel root-mic",
            Target::Request(t("mic-4471")),
            Phase::Refused {
                at_ms: NOW - S,
                code: t("request_ended"),
                said: t("it was granted 0.2 s before"),
            },
        ),
        run(
            3,
            "Release train-lora-nightly on GPU-01",
            Target::Lease(t("lease-2b7e")),
            Phase::Pending,
        ),
    ]);
    picture
}

fn window(theme: &str) -> Window {
    let named = |(id, text): &(&str, &str)| ThemeName {
        id: t(id),
        name: t(&Theme::parse(text).expect("a shipped theme").name),
    };
    Window {
        themes: SHIPPED.iter().map(named).collect(),
        theme: t(theme),
        reduced_motion: false,
    }
}

fn broker() -> Broker {
    Broker {
        address: t("127.0.0.1:8080"),
        version: t("0.1.0"),
        data_dir: t("~/.local/state/warden"),
        pid: Some(4_711),
        started_ms: Some(NOW - 3 * H - 12 * M),
        started_by_window: true,
        revision: 10_482,
        link: Link {
            state: LinkState::Live,
            since_ms: NOW - 3 * H,
            ..Link::default()
        },
    }
}
