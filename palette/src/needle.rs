//! What is typed, and how well a line matches it.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use crate::entry::{Entry, Kind, searched};

/// What `nucleo_matcher` gives for a letter that matches, before what it adds at the beginning of a
/// word and takes off for gaps.
pub(crate) const LETTER: u32 = 16;

/// A letter must score as much on average. Below that letters are strewn over a name by chance.
const WEAKEST: u32 = 14;

/// What is typed, as words that must all match.
pub(crate) struct Needle {
    words: Vec<(String, Atom)>,
    /// What a match must score.
    pub weakest: u32,
}

impl Needle {
    pub fn of(text: &str) -> Self {
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

/// What matching needs besides: the matcher's memory, and a line as it is searched.
#[derive(Debug)]
pub(crate) struct Scratch {
    matcher: Matcher,
    text: String,
    characters: Vec<char>,
}

impl Default for Scratch {
    fn default() -> Self {
        let mut config = Config::DEFAULT;
        // A name is typed from its beginning; the id, which stands after it, counts less.
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
    pub fn score(&mut self, needle: &Needle, title: &str, id: &str, kind: Kind) -> u32 {
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
    pub fn mark(&mut self, needle: &Needle, entry: &mut Entry) {
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
        let in_id = places[split..]
            .iter()
            .filter_map(|place| place.checked_sub(title + 1));
        entry.marks.1 = in_id.map(|place| place + before).collect();
        places.truncate(split);
        entry.marks.0 = places;
    }
}
