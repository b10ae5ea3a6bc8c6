//! Finds the best entries for what is typed, and matches only what changed since it last did.

use std::cmp::Reverse;
use std::sync::Arc;

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ui_kit::scene::Scene;
use warden_view::{Text, Waiter};

use crate::entry::{Entry, Kind, searched};
use crate::{commands, rows};

/// So many are shown: more are narrowed by typing on.
pub(crate) const SHOWN: usize = 50;

/// A recent choice counts as much as one more letter that matches; among them the last counts most.
/// A letter is 16 in `nucleo_matcher`.
const RECENT: u32 = 16;

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
    /// Its scratch memory is large, so it is kept.
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
    needle: String,
    queue: Arc<[Arc<Waiter>]>,
    /// For each of them its score, from 1; 0 where it does not match.
    scores: Vec<u32>,
}

#[derive(Debug)]
struct Scratch {
    matcher: Matcher,
    text: String,
    characters: Vec<char>,
}

impl Default for Scratch {
    fn default() -> Self {
        let mut config = Config::DEFAULT;
        // A name is typed from its beginning; what stands after it, id and kind, counts less.
        config.prefer_prefix = true;
        Self {
            matcher: Matcher::new(config),
            text: String::new(),
            characters: Vec::new(),
        }
    }
}

impl Scratch {
    /// From 1; 0 where it does not match.
    fn score(&mut self, pattern: &Pattern, title: &str, id: &str, kind: Kind) -> u32 {
        searched(&mut self.text, title, id, kind);
        let text = Utf32Str::new(&self.text, &mut self.characters);
        let score = pattern.score(text, &mut self.matcher);
        score.map_or(0, |score| score + 1)
    }

    /// Which characters of title and id matched.
    fn mark(&mut self, pattern: &Pattern, entry: &mut Entry) {
        searched(&mut self.text, &entry.title, &entry.id, entry.kind);
        let text = Utf32Str::new(&self.text, &mut self.characters);
        let mut places = Vec::new();
        pattern.indices(text, &mut self.matcher, &mut places);
        places.sort_unstable();
        places.dedup();
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let (title, id) = (count(&entry.title), count(&entry.id));
        let id_from = title + 1;
        let in_id = id_from..id_from + id;
        let marks = |keep: &dyn Fn(u32) -> Option<u32>| {
            places.iter().filter_map(|place| keep(*place)).collect()
        };
        entry.marks = (
            marks(&|place| (place < title).then_some(place)),
            marks(&|place| in_id.contains(&place).then(|| place - id_from)),
        );
    }
}

/// The best so far: score, and the place in the order of equal ones.
#[derive(Default)]
struct Best(Vec<(Reverse<u32>, usize)>);

impl Best {
    fn offer(&mut self, score: u32, order: usize) {
        let offered = (Reverse(score), order);
        if score == 0 || self.0.len() == SHOWN && self.0.last().is_some_and(|last| *last < offered)
        {
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
        let needle = typed.trim();
        let serial = scene.picture.serial;
        if let Some((of, was)) = &self.of
            && *of == serial
            && was == needle
        {
            return;
        }
        let scratch = self.scratch.get_or_insert_default();
        let pattern = Pattern::new(
            needle,
            CaseMatching::Ignore,
            Normalization::Smart,
            AtomKind::Fuzzy,
        );
        let queue = &scene.picture.queue;
        let mut few: Vec<Entry> = commands::all(scene)
            .into_iter()
            .chain(rows::few(scene))
            .collect();
        self.total = few.len() + queue.len();
        self.matching = 0;
        let mut best = Best::default();
        for (order, entry) in few.iter_mut().enumerate() {
            let score = scratch.score(&pattern, &entry.title, &entry.id, entry.kind);
            self.matching += usize::from(score > 0);
            let place = recent.iter().position(|key| *key == entry.key);
            entry.recent = place.is_some();
            best.offer(raised(score, place), order);
        }
        if needle.is_empty() {
            // Everything matches alike: the first of them, and those that were chosen lately.
            self.waiters = Waiters::default();
            self.matching += queue.len();
            for order in 0..queue.len().min(SHOWN) {
                let place = recent_place(recent, &queue[order].request);
                best.offer(raised(1, place), few.len() + order);
            }
            for (place, request) in recent_requests(recent) {
                if let Some(at) = queue.iter().position(|waiter| *waiter.request == *request) {
                    best.offer(raised(1, Some(place)), few.len() + at);
                }
            }
        } else {
            self.waiters
                .update(queue, needle, &pattern, scratch, recent);
            for (order, score) in self.waiters.scores.iter().enumerate() {
                self.matching += usize::from(*score > 0);
                best.offer(*score, few.len() + order);
            }
        }
        self.entries = best
            .0
            .iter()
            .filter_map(|(_, order)| match order.checked_sub(few.len()) {
                None => Some(few[*order].clone()),
                Some(at) => {
                    let mut entry = rows::waiter(at, queue.get(at)?);
                    entry.recent = recent.contains(&entry.key);
                    Some(entry)
                }
            })
            .collect();
        if !needle.is_empty() {
            for entry in &mut self.entries {
                scratch.mark(&pattern, entry);
            }
        }
        self.of = Some((serial, needle.to_owned()));
    }
}

impl Waiters {
    /// Matches those that were not matched before, and of the others those that matched a shorter
    /// text.
    fn update(
        &mut self,
        queue: &Arc<[Arc<Waiter>]>,
        needle: &str,
        pattern: &Pattern,
        scratch: &mut Scratch,
        recent: &[String],
    ) {
        let same = self.needle == needle;
        // Whoever does not match a text matches no longer one; a backslash joins words and breaks
        // that rule.
        let narrowed =
            !self.needle.is_empty() && needle.starts_with(&self.needle) && !needle.contains('\\');
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
                    let score =
                        scratch.score(pattern, &waiter.client, &waiter.request, Kind::Waiter);
                    raised(score, recent_place(recent, &waiter.request))
                }
            });
        }
        self.scores = scores;
        self.queue = queue.clone();
        needle.clone_into(&mut self.needle);
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

/// A match that was chosen lately, at that place among the recent ones, counts for more.
fn raised(score: u32, place: Option<usize>) -> u32 {
    match (score, place) {
        (0, _) | (_, None) => score,
        (_, Some(place)) => score + RECENT + 8 - u32::try_from(place).unwrap_or(u32::MAX).min(8),
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
