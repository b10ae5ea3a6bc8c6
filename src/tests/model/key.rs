//! What two states must share to be one.
//!
//! Time counts by its distance only: clocks and deadlines become units from now. Numbers that only
//! grow (tokens, arrivals, connections, revisions) become their order, or whether there is one.
//! Requests are known by their kind, so that clients who ask for the same are one client. What is
//! remembered of the past decides nothing but the answer to those who come too late, which is
//! looked at when it becomes past ([`super::world`]); it is left out, as are counters and names.
//!
//! One thing is merged that the arbiter tells apart: waiters that time out in the same instant do
//! so in the order of their seats.

use warden::arbiter::Image;
use warden::event::{Drain, Lease, Waiter};
use warden::policy::{YieldMode, YieldPolicy};

use super::ledger::{Asked, Ledger};
use super::scene::UNIT_MS;

const NEVER: u8 = u8::MAX;

struct Writer<'a> {
    ledger: &'a Ledger,
    now_ms: u64,
    /// Where nobody is asked, how long they waited and held decides nothing.
    rules: YieldPolicy,
    bytes: Vec<u8>,
}

/// The bytes that stand for a state. `rest` is what the scene itself counts.
pub fn key(ledger: &Ledger, now_ms: u64, rest: &[u8]) -> Vec<u8> {
    // Every field by name, so that a new one cannot be forgotten here.
    let Image {
        policy,
        gpus,
        leases,
        draining,
        waiters,
        ended_requests: _,
        ended_leases: _,
        next_token,
        next_arrival: _,
        revision: _,
        clock_ms: _,
        resume_until_ms,
        shutting_down,
        doubt,
        counters: _,
    } = &*ledger.image;
    let mut writer = Writer {
        ledger,
        now_ms,
        rules: policy.r#yield,
        bytes: Vec::with_capacity(64),
    };
    writer.bytes.extend(rest);
    writer.flags(&[
        *next_token > ledger.told_token,
        *shutting_down,
        doubt.is_some(),
        ledger.breach.is_some(),
    ]);
    writer.until(*resume_until_ms);
    let gone = |gone: &bool| u8::from(*gone);
    let gpus = gpus.iter().map(|(_, is_gone)| gone(is_gone));
    writer.bytes.extend(gpus);
    for waiter in waiters {
        writer.waiter(waiter);
    }
    writer.bytes.push(NEVER);
    let mut each: Vec<Vec<u8>> = leases.iter().map(|lease| writer.lease(lease)).collect();
    each.sort_unstable();
    writer.bytes.extend(each.concat());
    let drains = draining.iter().map(|Drain { lease, until_ms }| {
        let share = u8::from(lease.request.vram_mib.is_some());
        [lease.gpus as u8, share, writer.distance(Some(*until_ms))]
    });
    let mut drains: Vec<[u8; 3]> = drains.collect();
    drains.sort_unstable();
    writer.bytes.push(NEVER);
    writer.bytes.extend(drains.concat());
    writer.bytes
}

impl Writer<'_> {
    fn flags(&mut self, flags: &[bool]) {
        let bits = flags.iter().rev();
        let byte = bits.fold(0, |byte, flag| byte << 1 | u8::from(*flag));
        self.bytes.push(byte);
    }

    /// Units from now.
    fn distance(&self, at_ms: Option<u64>) -> u8 {
        let Some(at_ms) = at_ms else { return NEVER };
        let units = at_ms.saturating_sub(self.now_ms).div_ceil(UNIT_MS);
        u8::try_from(units).unwrap_or(NEVER - 1)
    }

    /// The same where anybody may be asked to yield.
    fn for_asks(&self, since_ms: u64, after_ms: u64) -> u8 {
        match self.rules.mode {
            YieldMode::Never => NEVER,
            _ => self.distance(Some(since_ms + after_ms)),
        }
    }

    fn until(&mut self, at_ms: Option<u64>) {
        let distance = self.distance(at_ms);
        self.bytes.push(distance);
    }

    /// The kind of a request, and how much more it may bear.
    fn asked(&self, is: impl Fn(&Asked) -> bool) -> (u8, u8) {
        match self.ledger.asked.iter().find(|asked| is(asked)) {
            Some(asked) => (asked.who.kind as u8, asked.patience as u8),
            None => (NEVER, 0),
        }
    }

    fn waiter(&mut self, waiter: &Waiter) {
        let Waiter {
            id,
            request: _,
            arrival: _,
            arrived,
            passed,
            connection,
            wait,
            owner,
            gone_at_ms,
        } = waiter;
        let (kind, patience) = self.asked(|asked| asked.id == *id);
        self.bytes.extend([kind, patience, *passed as u8]);
        self.flags(&[connection.is_some(), *wait, owner.is_some()]);
        self.until(Some(waiter.times_out_at_ms()));
        self.until(*gone_at_ms);
        let ripe = self.for_asks(arrived.clock_ms, self.rules.after_ms);
        self.bytes.push(ripe);
    }

    fn lease(&self, lease: &Lease) -> Vec<u8> {
        let Lease {
            token: _,
            request_id,
            request: _,
            operation,
            gpus,
            granted,
            waited_ms: _,
            deadline_ms,
            undelivered,
            connection,
            owner,
            asked,
        } = lease;
        let (kind, _) = self.asked(|asked| asked.id == *request_id);
        let flags = [
            *undelivered,
            connection.is_some(),
            owner.is_some(),
            operation.is_model_load(),
        ];
        let flags = flags
            .iter()
            .fold(0, |byte, flag| byte << 1 | u8::from(*flag));
        let by = asked.as_ref().map_or(NEVER, |ask| {
            let (kind, _) = self.asked(|asked| asked.id == ask.by);
            kind
        });
        let asked_ms = asked.as_ref().map(|ask| ask.at_ms + self.rules.grace_ms);
        vec![
            kind,
            *gpus as u8,
            flags,
            self.distance(Some(*deadline_ms)),
            self.for_asks(granted.clock_ms, self.rules.min_hold_ms),
            by,
            self.distance(asked_ms),
        ]
    }
}
