//! The sample machine's GPUs, and who holds and waits at [`NOW`].

use std::sync::Arc;

use warden_view::{Gpu, GpuState, Holder, Text, Waiter, Why, WhyCode};

use super::{H, M, NOW, S, t, texts};

pub fn gpu(
    index: u32,
    state: GpuState,
    leases: &[&str],
    used: Option<u64>,
    load: Option<u8>,
    since: i64,
) -> Gpu {
    Gpu {
        id: t([
            "GPU-1f3c1a52-5f1e-4b5e-9d5a-aa0123456789",
            "GPU-77b0e9d4-20c1-4c39-8a41-bb0123456789",
        ][index as usize % 2]),
        index,
        name: t("NVIDIA GeForce RTX 4090"),
        source: t("nvidia"),
        simulated: false,
        vram_total_mib: Some(24_576),
        vram_used_mib: used,
        load_percent: load,
        state,
        leases: texts(leases),
        since_ms: Some(since),
        draining: None,
    }
}

pub fn gpu_id(index: u32) -> Text {
    gpu(index, GpuState::Free, &[], None, None, NOW).id
}

pub fn holders() -> Vec<Holder> {
    vec![
        Holder {
            lease: t("lease-2b7e"),
            client: t("train-lora-nightly"),
            priority: 20,
            operation: t("inference"),
            gpus: Arc::new([gpu_id(1)]),
            pid: Some(31_022),
            host: t("kepler"),
            granted_ms: NOW - 2 * H - 7 * M,
            ttl_ms: 60_000,
            expires_ms: NOW + 53 * S,
            ..Holder::default()
        },
        Holder {
            lease: t("lease-51c0"),
            client: t("root-console"),
            priority: 10,
            operation: t("model_load"),
            gpus: Arc::new([gpu_id(0)]),
            pid: Some(48_213),
            host: t("kepler"),
            granted_ms: NOW - M - 42 * S,
            ttl_ms: 60_000,
            expires_ms: NOW + 38 * S,
            yield_asked: true,
            yield_asked_ms: Some(NOW - 4 * S),
            ..Holder::default()
        },
    ]
}

pub fn waiter(client: &str, priority: u8, arrived: i64, ends: i64, why: &str) -> Waiter {
    Waiter {
        request: t(&format!("{client}-request")),
        client: t(client),
        priority,
        operation: t("inference"),
        gpus: 1,
        arrived_ms: arrived,
        times_out_ms: ends,
        connected: true,
        why: Why {
            code: WhyCode::Held,
            text: t(why),
            behind: Arc::default(),
            holders: Arc::new([t("lease-51c0")]),
        },
        ..Waiter::default()
    }
}

pub fn queue() -> Vec<Waiter> {
    let row = |id: &str, client: &str, priority: u8, waited: i64, left: i64, why: &str| Waiter {
        request: t(id),
        ..waiter(client, priority, NOW - waited * S, NOW + left * S, why)
    };
    let mut rows = vec![
        row(
            "dream-7f3a09b1c41e",
            "root-dreamer",
            20,
            118,
            2,
            "its turn is next; no GPU has 8 GiB free",
        ),
        row(
            "mic-4471",
            "root-mic",
            0,
            4,
            56,
            "all GPUs that it could use are held by root-console",
        ),
        row(
            "console-81aa",
            "root-console",
            10,
            31,
            89,
            "root-console loads a model; one loads at a time",
        ),
        row(
            "ollama-0c44",
            "ollama-proxy",
            15,
            22,
            38,
            "3 come before it; all GPUs that it could use are held",
        ),
        row(
            "comfy-90d1",
            "comfyui-batch-renderer-2",
            15,
            19,
            41,
            "4 come before it; all GPUs that it could use are held",
        ),
        row(
            "eval-17f0",
            "eval-harness",
            15,
            12,
            48,
            "5 come before it; it needs 2 GPUs at once",
        ),
        row(
            "dream-8810",
            "root-dreamer",
            20,
            2,
            58,
            "6 come before it; all GPUs that it could use are held",
        ),
    ];
    rows[0].vram_mib = Some(8_192);
    rows[0].passed = 8;
    rows[2].why.code = WhyCode::ModelSlot;
    rows[2].operation = t("model_load");
    rows[3].passed = 2;
    rows[3].why.behind = texts(&["dream-7f3a09b1c41e", "mic-4471", "console-81aa"]);
    rows[5].gpus = 2;
    for row in &mut rows[3..] {
        row.why.code = WhyCode::Turn;
    }
    rows
}
