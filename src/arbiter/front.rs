//! The waiters of one class in their turn, and which of them is the first that fits.
//!
//! For the whole GPU each fits where any does, so the first is the first. Shares differ in size:
//! a treap (R. Seidel and C. Aragon, "Randomized search trees", 1996) ordered by size, in which
//! each node knows the best turn below it, finds the first that is small enough in O(log n),
//! however many sizes there are. Its "random" numbers are a hash, so that it is deterministic.

use std::collections::BTreeMap;

/// Where a waiter stands in its turn: smaller is earlier. Unique.
pub(super) type Turn = u64;

/// Waiters by turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Front {
    Whole(BTreeMap<Turn, u32>),
    Shares(SizeTree),
}

impl Front {
    pub(super) fn new(shared: bool) -> Self {
        if shared {
            Self::Shares(SizeTree::default())
        } else {
            Self::Whole(BTreeMap::new())
        }
    }

    pub(super) fn insert(&mut self, size: u64, turn: Turn, member: u32) {
        match self {
            Self::Whole(map) => drop(map.insert(turn, member)),
            Self::Shares(tree) => tree.insert(size, turn, member),
        }
    }

    pub(super) fn remove(&mut self, size: u64, turn: Turn) {
        match self {
            Self::Whole(map) => drop(map.remove(&turn)),
            Self::Shares(tree) => tree.remove(size, turn),
        }
    }

    /// The first in turn of a size up to this one.
    pub(super) fn first(&self, up_to: u64) -> Option<(Turn, u32)> {
        match self {
            Self::Whole(map) => map.first_key_value().map(|(turn, member)| (*turn, *member)),
            Self::Shares(tree) => tree.first(up_to),
        }
    }
}

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug, PartialEq)]
struct Node {
    size: u64,
    turn: Turn,
    /// A parent's is smaller than its children's.
    rank: u64,
    /// The node with the earliest turn in this subtree.
    best: u32,
    left: u32,
    right: u32,
    member: u32,
}

/// Waiters by size, then turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SizeTree {
    nodes: Vec<Node>,
    unused: Vec<u32>,
    root: u32,
}

impl Default for SizeTree {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            unused: Vec::new(),
            root: NONE,
        }
    }
}

impl SizeTree {
    fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    fn earlier(&self, a: u32, b: u32) -> u32 {
        match (self.node(a), self.node(b)) {
            (Some(first), Some(second)) => {
                if first.turn <= second.turn {
                    a
                } else {
                    b
                }
            }
            (Some(_), None) => a,
            _ => b,
        }
    }

    fn best(&self, index: u32) -> u32 {
        self.node(index).map_or(NONE, |node| node.best)
    }

    fn update(&mut self, index: u32) {
        let Node { left, right, .. } = self.nodes[index as usize];
        let best = self.earlier(self.best(left), self.best(right));
        self.nodes[index as usize].best = self.earlier(index, best);
    }

    fn insert(&mut self, size: u64, turn: Turn, member: u32) {
        let rank = mix(turn ^ size.rotate_left(32));
        let new = Node {
            size,
            turn,
            rank,
            best: NONE,
            left: NONE,
            right: NONE,
            member,
        };
        let index = match self.unused.pop() {
            Some(index) => {
                self.nodes[index as usize] = new;
                index
            }
            None => {
                self.nodes.push(new);
                (self.nodes.len() - 1) as u32
            }
        };
        self.update(index);
        self.root = self.inserted(self.root, index);
    }

    fn inserted(&mut self, tree: u32, new: u32) -> u32 {
        let (rank, key) = {
            let node = &self.nodes[new as usize];
            (node.rank, (node.size, node.turn))
        };
        let Some(top) = self.node(tree) else {
            return new;
        };
        if rank < top.rank {
            let (left, right) = self.split(tree, key);
            self.nodes[new as usize].left = left;
            self.nodes[new as usize].right = right;
            self.update(new);
            return new;
        }
        let (left, right) = (top.left, top.right);
        if key < (top.size, top.turn) {
            self.nodes[tree as usize].left = self.inserted(left, new);
        } else {
            self.nodes[tree as usize].right = self.inserted(right, new);
        }
        // A new member can only improve the best.
        let best = self.nodes[tree as usize].best;
        self.nodes[tree as usize].best = self.earlier(best, new);
        tree
    }

    /// Those before `key`, and the others.
    fn split(&mut self, tree: u32, key: (u64, Turn)) -> (u32, u32) {
        let Some(top) = self.node(tree) else {
            return (NONE, NONE);
        };
        let (left, right) = (top.left, top.right);
        if (top.size, top.turn) < key {
            let (low, high) = self.split(right, key);
            self.nodes[tree as usize].right = low;
            self.update(tree);
            (tree, high)
        } else {
            let (low, high) = self.split(left, key);
            self.nodes[tree as usize].left = high;
            self.update(tree);
            (low, tree)
        }
    }

    fn remove(&mut self, size: u64, turn: Turn) {
        self.root = self.removed(self.root, (size, turn));
    }

    fn removed(&mut self, tree: u32, key: (u64, Turn)) -> u32 {
        let Some(top) = self.node(tree) else {
            return NONE;
        };
        let (left, right) = (top.left, top.right);
        let here = (top.size, top.turn);
        if key == here {
            self.unused.push(tree);
            return self.merged(left, right);
        }
        if key < here {
            self.nodes[tree as usize].left = self.removed(left, key);
        } else {
            self.nodes[tree as usize].right = self.removed(right, key);
        }
        self.update(tree);
        tree
    }

    /// All of `low` come before all of `high`.
    fn merged(&mut self, low: u32, high: u32) -> u32 {
        let (Some(first), Some(second)) = (self.node(low), self.node(high)) else {
            return if low == NONE { high } else { low };
        };
        if first.rank < second.rank {
            let right = first.right;
            self.nodes[low as usize].right = self.merged(right, high);
            self.update(low);
            low
        } else {
            let left = second.left;
            self.nodes[high as usize].left = self.merged(low, left);
            self.update(high);
            high
        }
    }

    fn first(&self, up_to: u64) -> Option<(Turn, u32)> {
        let mut best = NONE;
        let mut tree = self.root;
        while let Some(node) = self.node(tree) {
            if node.size <= up_to {
                best = self.earlier(best, self.earlier(tree, self.best(node.left)));
                tree = node.right;
            } else {
                tree = node.left;
            }
        }
        self.node(best).map(|node| (node.turn, node.member))
    }
}

/// The finaliser of SplitMix64 (S. Vigna, <https://prng.di.unimi.it/splitmix64.c>).
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_in_turn_that_is_small_enough() {
        let mut tree = SizeTree::default();
        let mut naive: Vec<(u64, Turn)> = Vec::new();
        for step in 0..4_000u64 {
            let random = mix(step);
            if naive.len() < 300 && !random.is_multiple_of(3) || naive.is_empty() {
                let entry = (1 + mix(random) % 500, random >> 8);
                tree.insert(entry.0, entry.1, step as u32);
                naive.push(entry);
            } else {
                let gone = naive.swap_remove(random as usize % naive.len());
                tree.remove(gone.0, gone.1);
            }
            for up_to in [0, 1, 30, 250, 499, 500] {
                let small = naive.iter().filter(|entry| entry.0 <= up_to);
                let expected = small.map(|entry| entry.1).min();
                assert_eq!(tree.first(up_to).map(|(turn, _)| turn), expected);
            }
        }
    }
}
