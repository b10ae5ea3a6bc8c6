//! The first of many, any of whom may leave at any time.
//!
//! A heap of four children a node (D. Johnson, "Priority queues with update and finding minimum
//! spanning trees", 1975) that tells its members where they stand. Deadlines and arrivals come
//! nearly in order, so most join at the end and stay there: less memory is touched than in a tree.

const CHILDREN: usize = 4;

/// Members, each with a key, of whom the one with the smallest is at hand; of equal keys the
/// smaller member is the first. Where each stands is kept by the owner, in a [`Positions`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Soonest {
    nodes: Vec<(u64, u32)>,
}

/// Where members stand, each of them in one heap at most.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Positions(Vec<u32>);

impl Positions {
    fn put(&mut self, member: u32, position: usize) {
        let member = member as usize;
        if member >= self.0.len() {
            self.0.resize(member + 1, u32::MAX);
        }
        self.0[member] = position as u32;
    }

    fn of(&self, member: u32) -> Option<usize> {
        self.0
            .get(member as usize)
            .map(|position| *position as usize)
    }
}

impl Soonest {
    /// The smallest key, and whose it is.
    pub(super) fn first(&self) -> Option<(u64, u32)> {
        self.nodes.first().copied()
    }

    /// Lets in a member that is in none of the heaps of these positions.
    pub(super) fn insert(&mut self, key: u64, member: u32, positions: &mut Positions) {
        self.nodes.push((key, member));
        self.rise(self.nodes.len() - 1, positions);
    }

    /// Lets a member go; nothing where it is not here.
    pub(super) fn remove(&mut self, member: u32, positions: &mut Positions) {
        let Some(position) = positions.of(member) else {
            return;
        };
        let is_here = self
            .nodes
            .get(position)
            .is_some_and(|node| node.1 == member);
        if !is_here {
            return;
        }
        self.nodes.swap_remove(position);
        if position < self.nodes.len() {
            let position = self.rise(position, positions);
            self.sink(position, positions);
        }
    }

    fn place(&mut self, node: (u64, u32), position: usize, positions: &mut Positions) {
        self.nodes[position] = node;
        positions.put(node.1, position);
    }

    /// Moves a node up to where it belongs; says where that is.
    fn rise(&mut self, mut position: usize, positions: &mut Positions) -> usize {
        let node = self.nodes[position];
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.nodes[parent] <= node {
                break;
            }
            self.place(self.nodes[parent], position, positions);
            position = parent;
        }
        self.place(node, position, positions);
        position
    }

    /// Moves a node down to where it belongs.
    fn sink(&mut self, mut position: usize, positions: &mut Positions) {
        let node = self.nodes[position];
        loop {
            let first = position * CHILDREN + 1;
            let end = self.nodes.len().min(first + CHILDREN);
            let Some(child) = (first..end).min_by_key(|child| self.nodes[*child]) else {
                break;
            };
            if node <= self.nodes[child] {
                break;
            }
            self.place(self.nodes[child], position, positions);
            position = child;
        }
        self.place(node, position, positions);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn has_the_first_at_hand_while_members_come_and_go() {
        let mut heaps = [Soonest::default(), Soonest::default()];
        let mut naive = [BTreeSet::new(), BTreeSet::new()];
        let mut positions = Positions::default();
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let member = (random >> 40) as u32 % 500;
            let heap = (random >> 33) as usize % 2;
            let of_member = |set: &BTreeSet<(u64, u32)>| {
                let found = set.iter().find(|(_, other)| *other == member);
                found.copied()
            };
            match naive.iter().position(|set| of_member(set).is_some()) {
                None => {
                    let key = step + (random >> 50) % 300;
                    heaps[heap].insert(key, member, &mut positions);
                    naive[heap].insert((key, member));
                }
                Some(at) => {
                    let gone = of_member(&naive[at]).expect("it was found there");
                    naive[at].remove(&gone);
                    heaps[1 - at].remove(member, &mut positions);
                    heaps[at].remove(member, &mut positions);
                }
            }
            for (heap, set) in heaps.iter().zip(&naive) {
                assert_eq!(heap.first(), set.first().copied());
                assert_eq!(heap.nodes.len(), set.len());
            }
        }
    }
}
