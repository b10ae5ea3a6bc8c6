//! What the real broker was seen to do, in one line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use warden::wire::Outcome;

use crate::director::Run;
use crate::judge::{Law, Verdict};
use crate::record::Mark;

/// So many breaches of one history are printed.
const SHOWN: usize = 10;

#[derive(Debug, Default)]
pub struct Report {
    histories: usize,
    crashes: usize,
    /// What else befell, by name.
    faults: BTreeMap<&'static str, usize>,
    in_flight: Vec<usize>,
    away: Vec<Duration>,
    leases: usize,
    requests: usize,
    /// How requests ended, as the brokers counted.
    ended: BTreeMap<Outcome, u64>,
    unanswered: usize,
    windows: usize,
    overlaps: usize,
    lost: usize,
    repeated: usize,
    breaches: usize,
}

impl Report {
    pub fn take_in(&mut self, run: &Run, verdict: &Verdict) {
        self.histories += 1;
        self.crashes += run.history.crashes();
        for (_, mark) in &run.history.marks {
            if let Some(name) = name(mark) {
                *self.faults.entry(name).or_default() += 1;
            }
        }
        self.in_flight.extend(run.history.in_flight_at_crashes());
        self.away.extend(&run.away);
        self.leases += verdict.leases;
        self.requests += verdict.requests;
        let last = run.history.samples.last();
        for (outcome, count) in last.iter().flat_map(|sample| &sample.ended) {
            *self.ended.entry(*outcome).or_default() += count;
        }
        self.unanswered += verdict.unanswered;
        self.windows += verdict.windows;
        self.overlaps += verdict.of(Law::DoubleGrant);
        self.lost += verdict.of(Law::LostLease) + verdict.of(Law::LostRequest);
        self.repeated += verdict.of(Law::Token);
        self.breaches += verdict.breaches.len();
    }

    pub fn is_clean(&self) -> bool {
        self.breaches == 0
    }

    pub fn to_json(&self) -> Value {
        let mut in_flight = self.in_flight.clone();
        in_flight.sort_unstable();
        let mut away = self.away.clone();
        away.sort_unstable();
        let away_ms = |at: usize| away.get(at).map(Duration::as_millis);
        json!({
            "crashes": self.crashes,
            "faults": self.faults,
            "requests_in_flight_at_a_crash": in_flight.get(in_flight.len() / 2),
            "requests": self.requests,
            "grants": self.leases,
            "ended": self.ended,
            "calls_without_an_answer": self.unanswered,
            "double_grants": self.overlaps,
            "lost": self.lost,
            "repeated_tokens": self.repeated,
            "breaches": self.breaches,
            "histories": self.histories,
            "windows_ordered": self.windows,
            "restart_ms_median": away_ms(away.len() / 2),
            "restart_ms_longest": away_ms(away.len().saturating_sub(1)),
        })
    }
}

/// What is counted of what was done.
fn name(mark: &Mark) -> Option<&'static str> {
    match mark {
        Mark::BrokerStopped { .. } => Some("broker_stopped"),
        Mark::ReplaceAsked => Some("replacement_begun"),
        Mark::Replaced => Some("program_replaced"),
        Mark::DiskFills => Some("disk_filled"),
        Mark::WallClockSet { .. } => Some("wall_clock_set"),
        Mark::ClientEnds(_) => Some("client_ended"),
        Mark::ClientStopped(_) => Some("client_stopped"),
        Mark::BrokerKilled | Mark::BrokerStarted | Mark::BrokerReady | Mark::DiskWorks => None,
    }
}

pub fn print_breaches(verdict: &Verdict) {
    for breach in verdict.breaches.iter().take(SHOWN) {
        println!("    {breach}");
    }
    if verdict.breaches.len() > SHOWN {
        println!("    and {} more", verdict.breaches.len() - SHOWN);
    }
}
