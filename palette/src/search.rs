//! Finds the best entries for what is typed, and matches only what changed since it last did.

use std::cmp::Reverse;
use std::sync::Arc;

use ui_kit::scene::Scene;
use warden_view::{Text, Waiter};

use crate::entry::{Entry, Kind};
use crate::needle::{LETTER, Needle, Scratch};
use crate::{commands, rows};

/// So many are shown: more are narrowed by typing on.
pub(crate) const SHOWN: usize = 50;

/// What was found. It is worked out again where it is missing, so a copy starts without it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The picture and the text that it was found for.
    of: Option<(u64, String)>,
    /// The best first, at most [`SHOWN`].
    pub entries: Vec<Entry>,
    /// How many match, and of how many.
    pub matching: usize,
    pub total: usize,
    /// Where the lit one stands.
    pub lit_at: usize,
    /// How far the list is scrolled.
    pub offset: f32,
    waiters: Waiters,
    /// Large, so it is kept.
    scratch: Option<Box<Scratch>>,
}

impl Clone for Found {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The queue as it was matched last.
#[derive(Debug, Default)]
struct Waiters {
    text: String,
    queue: Arc<[Arc<Waiter>]>,
    /// For each of them its score, from 1; 0 where it does not match.
    scores: Vec<u32>,
}

/// The best so far: score, and the place in the order of equal ones.
#[derive(Default)]
struct Best(Vec<(Reverse<u32>, usize)>);

impl Best {
    fn offer(&mut self, score: u32, order: usize) {
        let offered = (Reverse(score), order);
        if self.0.len() == SHOWN && self.0.last().is_some_and(|last| *last < offered) {
            return;
        }
        let at = self.0.partition_point(|kept| *kept < offered);
        if self.0.get(at) != Some(&offered) {
            self.0.insert(at, offered);
            self.0.truncate(SHOWN);
        }
    }
}

impl Found {
    /// Brings it up to date with the picture and what is typed.
    pub fn update(&mut self, scene: &Scene<'_>, typed: &str, recent: &[String]) {
        let text = typed.trim();
        let serial = scene.picture.serial;
        if let Some((of, was)) = &self.of
            && *of == serial
            && was == text
        {
            return;
        }
        let needle = Needle::of(text);
        let few = few(scene, recent);
        let queue = &scene.picture.queue;
        self.total = few.len() + queue.len();
        self.matching = 0;
        let mut best = Best::default();
        self.match_few(&few, &needle, recent, &mut best);
        if text.is_empty() {
            self.take_waiters(queue, few.len(), recent, &mut best);
        } else {
            self.match_waiters(queue, few.len(), (text, &needle), recent, &mut best);
        }
        let scratch = self.scratch.get_or_insert_default();
        let entry = |order: usize| match order.checked_sub(few.len()) {
            None => few.get(order).cloned(),
            Some(at) => {
                let entry = rows::waiter(at, queue.get(at)?);
                let recent = recent.contains(&entry.key);
                Some(Entry { recent, ..entry })
            }
        };
        self.entries = best.0.iter().filter_map(|(_, at)| entry(*at)).collect();
        for entry in &mut self.entries {
            scratch.mark(&needle, entry);
        }
        self.of = Some((serial, text.to_owned()));
    }

    fn match_few(&mut self, few: &[Entry], needle: &Needle, recent: &[String], best: &mut Best) {
        let scratch = self.scratch.get_or_insert_default();
        for (order, entry) in few.iter().enumerate() {
            let score = scratch.score(needle, &entry.title, &entry.id, entry.kind);
            let place = recent.iter().position(|key| *key == entry.key);
            let score = raised(score, place);
            if score >= needle.weakest {
                self.matching += 1;
                // What cannot be done now stands behind what can.
                let behind = if entry.off.is_some() { 2 * LETTER } else { 0 };
                best.offer(score.saturating_sub(behind).max(1), order);
            }
        }
    }

    /// Without a text every waiter matches alike: the first of them are offered, and those that
    /// were chosen lately. `first` is the place of the first one in the order of equal matches.
    fn take_waiters(
        &mut self,
        queue: &[Arc<Waiter>],
        first: usize,
        recent: &[String],
        best: &mut Best,
    ) {
        self.waiters = Waiters::default();
        self.matching += queue.len();
        for (at, waiter) in queue.iter().enumerate().take(SHOWN) {
            let place = recent_place(recent, &waiter.request);
            best.offer(raised(1, place), first + at);
        }
        for (place, request) in recent_requests(recent) {
            if let Some(at) = queue.iter().position(|waiter| *waiter.request == *request) {
                best.offer(raised(1, Some(place)), first + at);
            }
        }
    }

    fn match_waiters(
        &mut self,
        queue: &Arc<[Arc<Waiter>]>,
        first: usize,
        (text, needle): (&str, &Needle),
        recent: &[String],
        best: &mut Best,
    ) {
        let scratch = self.scratch.get_or_insert_default();
        self.waiters.update(queue, text, needle, scratch, recent);
        for (at, score) in self.waiters.scores.iter().enumerate() {
            if *score >= needle.weakest {
                self.matching += 1;
                best.offer(*score, first + at);
            }
        }
    }
}

/// Everything but the waiters.
fn few(scene: &Scene<'_>, recent: &[String]) -> Vec<Entry> {
    let few = commands::all(scene).into_iter().chain(rows::few(scene));
    few.map(|entry| {
        let recent = recent.contains(&entry.key);
        Entry { recent, ..entry }
    })
    .collect()
}

impl Waiters {
    /// Matches those that were not matched before, and of the others those that matched a shorter
    /// text.
    fn update(
        &mut self,
        queue: &Arc<[Arc<Waiter>]>,
        text: &str,
        needle: &Needle,
        scratch: &mut Scratch,
        recent: &[String],
    ) {
        let same = self.text == text;
        // Whoever does not match a text matches no longer one.
        let narrowed = !self.text.is_empty() && text.starts_with(&self.text);
        let mut former = Former {
            queue: &self.queue,
            scores: &self.scores,
            at: 0,
        };
        let mut scores = Vec::with_capacity(queue.len());
        for waiter in queue.iter() {
            scores.push(match former.score(waiter) {
                Some(score) if same => score,
                Some(0) if narrowed => 0,
                _ => {
                    let (client, request) = (&waiter.client, &waiter.request);
                    let score = scratch.score(needle, client, request, Kind::Waiter);
                    raised(score, recent_place(recent, &waiter.request))
                }
            });
        }
        self.scores = scores;
        self.queue = queue.clone();
        text.clone_into(&mut self.text);
    }
}

/// Walks through the queue as it was, beside the queue as it is.
struct Former<'a> {
    queue: &'a [Arc<Waiter>],
    scores: &'a [u32],
    at: usize,
}

impl Former<'_> {
    /// The score of a waiter that was there before and is still the same.
    fn score(&mut self, waiter: &Arc<Waiter>) -> Option<u32> {
        /// So many may have gone between two that stayed.
        const AHEAD: usize = 16;
        let from = self.at.min(self.queue.len());
        let to = (from + AHEAD).min(self.queue.len());
        let ahead = &self.queue[from..to];
        let found = ahead.iter().position(|old| Arc::ptr_eq(old, waiter))?;
        self.at = from + found + 1;
        self.scores.get(from + found).copied()
    }
}

/// A match that was chosen lately counts as much as one with one more letter, and the last choice
/// counts most. `place` is that among the recent ones.
fn raised(score: u32, place: Option<usize>) -> u32 {
    match (score, place) {
        (0, _) | (_, None) => score,
        (_, Some(place)) => score + LETTER + 8 - u32::try_from(place).unwrap_or(u32::MAX).min(8),
    }
}

fn recent_requests(recent: &[String]) -> impl Iterator<Item = (usize, &str)> {
    let requests = recent.iter().enumerate();
    requests.filter_map(|(place, key)| Some((place, rows::request_of(key)?)))
}

fn recent_place(recent: &[String], request: &Text) -> Option<usize> {
    recent_requests(recent)
        .find(|(_, recent)| **recent == **request)
        .map(|(place, _)| place)
}
