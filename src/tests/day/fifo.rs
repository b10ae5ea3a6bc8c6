//! One lock, first come first served, with a time-out.

use std::collections::VecDeque;

use super::play::{Rules, Told};
use super::trace::{PROGRAMS, Program};

pub struct Fifo<F> {
    limit_ms: F,
    held: bool,
    /// Who waits, until when.
    queue: VecDeque<(usize, u64)>,
}

impl<F: Fn(&Program) -> u64> Fifo<F> {
    /// `limit_ms` says how long a program waits at most.
    pub fn new(limit_ms: F) -> Self {
        let queue = VecDeque::new();
        Self {
            limit_ms,
            held: false,
            queue,
        }
    }
}

impl<F: Fn(&Program) -> u64> Rules for Fifo<F> {
    fn ask(&mut self, now_ms: u64, program: usize) {
        let until_ms = now_ms + (self.limit_ms)(&PROGRAMS[program]);
        self.queue.push_back((program, until_ms));
    }

    fn release(&mut self, _: u64, _: usize) {
        self.held = false;
    }

    fn told(&mut self, now_ms: u64) -> Vec<(usize, Told)> {
        let mut told = Vec::new();
        if !self.held
            && let Some((program, _)) = self.queue.pop_front()
        {
            self.held = true;
            told.push((program, Told::Granted));
        }
        let late = self
            .queue
            .iter()
            .filter(|(_, until_ms)| *until_ms <= now_ms);
        told.extend(late.map(|(program, _)| (*program, Told::TimedOut)));
        self.queue.retain(|(_, until_ms)| *until_ms > now_ms);
        told
    }

    fn next_ms(&self) -> Option<u64> {
        self.queue.iter().map(|(_, until_ms)| *until_ms).min()
    }

    fn passed_max(&self) -> u32 {
        0
    }
}
