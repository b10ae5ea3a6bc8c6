//! What the sample machine did in the last ten minutes.

use std::sync::Arc;

use warden_view::{Bar, DepthStep, EventRow, Tone};

use super::{NOW, S, gpu_id, t};

pub fn bars(ended: bool) -> Arc<[Bar]> {
    // GPU, client, priority, from and to in seconds before now.
    let past = [
        (0, "root-dreamer", 20, 660, Some(529)),
        (0, "root-mic", 0, 525, Some(511)),
        (0, "root-console", 10, 507, Some(367)),
        (0, "root-mic", 0, 363, Some(355)),
        (0, "ollama-proxy", 15, 351, Some(265)),
    ];
    let rest = [
        (0, "root-mic", 0, 261, Some(247)),
        (0, "root-dreamer", 20, 243, Some(109)),
        (0, "root-console", 10, 102, None),
        (1, "train-lora-nightly", 20, 7_620, None),
    ];
    let rest = if ended { &rest[..0] } else { &rest[..] };
    past.iter()
        .chain(rest)
        .enumerate()
        .map(|(at, (index, client, priority, from, to))| Bar {
            gpu: gpu_id(*index),
            lease: t(&format!("lease-{at}")),
            client: t(client),
            priority: *priority,
            from_ms: NOW - from * S,
            to_ms: to.map(|to: i64| NOW - to * S),
            outcome: t(match at {
                _ if to.is_none() => "",
                2 => "forced",
                _ => "released",
            }),
        })
        .collect()
}

pub fn depth(ended: bool) -> Arc<[DepthStep]> {
    let steps = [
        (640, 1),
        (558, 2),
        (528, 3),
        (510, 2),
        (456, 3),
        (408, 4),
        (366, 3),
        (354, 2),
        (288, 3),
        (264, 2),
        (246, 1),
        (180, 2),
        (144, 3),
        (108, 2),
        (96, 4),
        (60, 5),
        (30, 6),
        (12, 7),
    ];
    let step = |(before, waiting): (i64, u32)| DepthStep {
        at_ms: NOW - before * S,
        waiting,
    };
    let mut depth: Vec<DepthStep> = steps
        .into_iter()
        .filter(|(before, _)| !ended || *before > 360)
        .map(step)
        .collect();
    if ended {
        depth.push(step((354, 0)));
    }
    depth.into()
}

pub fn events() -> Arc<[EventRow]> {
    let rows = [
        (
            243,
            "granted",
            "root-dreamer",
            "GPU-00 after 58 s",
            "lease-6",
            Tone::Good,
        ),
        (
            204,
            "queued",
            "eval-harness",
            "2 GPUs, default 15, place 6",
            "eval-17f0",
            Tone::Plain,
        ),
        (
            109,
            "ended",
            "root-dreamer",
            "released after 2 m 14 s",
            "lease-6",
            Tone::Plain,
        ),
        (
            102,
            "granted",
            "root-console",
            "GPU-00 after 9 s, passed root-dreamer",
            "lease-51c0",
            Tone::Good,
        ),
        (
            58,
            "timed_out",
            "eval-harness",
            "waited 1 m 00 s, place 4, behind root-console",
            "eval-1",
            Tone::Warn,
        ),
        (
            41,
            "ended",
            "comfyui-batch",
            "forced by the operator after 3 m 02 s",
            "lease-9",
            Tone::Alarm,
        ),
        (
            12,
            "disconnected",
            "ollama-proxy",
            "keeps its place for 10 s",
            "ollama-0c44",
            Tone::Warn,
        ),
        (
            4,
            "yield_asked",
            "root-console",
            "for root-dreamer, overdue",
            "lease-51c0",
            Tone::Warn,
        ),
        (
            4,
            "queued",
            "root-mic",
            "1 GPU, mic 0, place 2",
            "mic-4471",
            Tone::Plain,
        ),
    ];
    rows.into_iter()
        .enumerate()
        .map(
            |(at, (before, kind, client, what, subject, tone))| EventRow {
                id: 10_474 + at as u64,
                at_ms: NOW - before * S,
                kind: t(kind),
                client: t(client),
                what: t(what),
                subject: t(subject),
                tone,
            },
        )
        .collect()
}
