//! Finds the best entries for what is typed, and matches only what changed since it last did.

use std::cmp::Reverse;
use std::sync::Arc;

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ui_kit::scene::Scene;
use warden_view::{Text, Waiter};

use crate::entry::{Entry, Kind, searched};
use crate::{commands, rows};

/// So many are shown: more are narrowed by typing on.
pub(crate) const SHOWN: usize = 50;

/// What `nucleo_matcher` gives for a letter that matches, before what it adds at the beginning of a
/// word and takes off for gaps.
const LETTER: u32 = 16;

/// A letter must score as much on average. Below that letters are strewn over a name by chance.
const WEAKEST: u32 = 14;

/// What is typed, as words that must all match.
#[derive(Default)]
struct Needle {
    words: Vec<(String, Atom)>,
    /// What a match must score.
    weakest: u32,
}

impl Needle {
    fn of(text: &str) -> Self {
        let atom = |word| {
            Atom::new(
                word,
                CaseMatching::Ignore,
                Normalization::Smart,
                AtomKind::Fuzzy,
                false,
            )
        };
        let words: Vec<(String, Atom)> = text
            .split_whitespace()
            .map(|word| (word.to_lowercase(), atom(word)))
            .collect();
        let letters: u32 = words.iter().map(|(word, _)| letters(word)).sum();
        Self {
            words,
            weakest: (WEAKEST * letters).max(1),
        }
    }
}

fn letters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

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
    /// From 1; 0 where it does not match. A word may be that of the kind, too, from its beginning.
    fn score(&mut self, needle: &Needle, title: &str, id: &str, kind: Kind) -> u32 {
        searched(&mut self.text, title, id);
        let text = Utf32Str::new(&self.text, &mut self.characters);
        let mut sum = 1;
        for (word, atom) in &needle.words {
            let in_text = atom.score(text, &mut self.matcher).map(u32::from);
            let is_kind = kind.word().starts_with(&**word);
            let as_kind = is_kind.then(|| LETTER * letters(word));
            match in_text.max(as_kind) {
                Some(score) => sum += score,
                None => return 0,
            }
        }
        sum
    }

    /// Which characters of title and id matched.
    fn mark(&mut self, needle: &Needle, entry: &mut Entry) {
        searched(&mut self.text, &entry.title, &entry.id);
        let text = Utf32Str::new(&self.text, &mut self.characters);
        let mut places = Vec::new();
        for (word, atom) in &needle.words {
            let mut of_word = Vec::new();
            let score = atom.indices(text, &mut self.matcher, &mut of_word);
            // Where it is the kind that matches, strewn letters are no match.
            if score.is_some_and(|score| u32::from(score) >= WEAKEST * letters(word)) {
                places.append(&mut of_word);
            }
        }
        places.sort_unstable();
        places.dedup();
        let title = letters(&entry.title);
        let before = entry.about.find(&entry.id).unwrap_or(0);
        let before = letters(entry.about.get(..before).unwrap_or_default());
        let split = places.partition_point(|place| *place < title);
        // Between title and id stands a space.
        let in_id = places[split..].iter();
        entry.marks.1 = in_id.map(|place| place - title - 1 + before).collect();
        places.truncate(split);
        entry.marks.0 = places;
    }
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
        let needle = typed.trim();
        let serial = scene.picture.serial;
        if let Some((of, was)) = &self.of
            && *of == serial
            && was == needle
        {
            return;
        }
        let scratch = self.scratch.get_or_insert_default();
        let wanted = Needle::of(needle);
        let queue = &scene.picture.queue;
        let mut few: Vec<Entry> = commands::all(scene)
            .into_iter()
            .chain(rows::few(scene))
            .collect();
        self.total = few.len() + queue.len();
        self.matching = 0;
        let mut best = Best::default();
        for (order, entry) in few.iter_mut().enumerate() {
            let score = scratch.score(&wanted, &entry.title, &entry.id, entry.kind);
            let place = recent.iter().position(|key| *key == entry.key);
            entry.recent = place.is_some();
            let score = raised(score, place);
            if score >= wanted.weakest {
                self.matching += 1;
                // What cannot be done now stands behind what can.
                let behind = if entry.off.is_some() { 2 * LETTER } else { 0 };
                best.offer(score.saturating_sub(behind).max(1), order);
            }
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
            self.waiters.update(queue, needle, &wanted, scratch, recent);
            for (order, score) in self.waiters.scores.iter().enumerate() {
                if *score >= wanted.weakest {
                    self.matching += 1;
                    best.offer(*score, few.len() + order);
                }
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
                scratch.mark(&wanted, entry);
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
        wanted: &Needle,
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
                        scratch.score(wanted, &waiter.client, &waiter.request, Kind::Waiter);
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
