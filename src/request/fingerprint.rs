//! Tells two bodies of one request id apart.

use crate::wire::{LockBody, PriorityName};

/// FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo) of the fields as sent: stable across versions of
/// Rust, since it is journalled. Two requests of one id that collide by chance are one in 2^64.
pub(super) fn fingerprint(body: &LockBody) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    // Every field by name, so that a new one cannot be forgotten here.
    let LockBody {
        client,
        priority,
        operation,
        gpus,
        gpu_ids,
        vram_mib,
        timeout_ms,
        ttl_ms,
        pid: _,
        pid_start: _,
        request_id: _,
        wait: _,
    } = body;
    hash.text(client);
    match priority {
        None => hash.number(None),
        Some(PriorityName::Number(number)) => hash.number(Some(number.cast_unsigned())),
        Some(PriorityName::Name(name)) => hash.text(name),
    }
    hash.text(operation.as_deref().unwrap_or_default());
    for number in [gpus, vram_mib, timeout_ms, ttl_ms] {
        hash.number(*number);
    }
    hash.number(gpu_ids.as_ref().map(|ids| ids.len() as u64));
    for id in gpu_ids.iter().flatten() {
        hash.text(id.as_str());
    }
    hash.0
}

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Lengths and tags keep neighbouring fields apart.
    fn text(&mut self, text: &str) {
        self.bytes(&[2]);
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: Option<u64>) {
        self.bytes(&[u8::from(number.is_some())]);
        self.bytes(&number.unwrap_or(0).to_le_bytes());
    }
}
