//! A line of people: joins at the end, leaves anywhere, and tells the place of each in O(log n).
//!
//! A Fenwick tree (P. Fenwick, "A new data structure for cumulative frequency tables", 1994) over
//! positions that are given out once and closed up when half of them stand empty.

/// An empty position.
const NOBODY: u32 = u32::MAX;

/// Who stands in the line, by a number of the owner's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    /// Who stands at each position.
    members: Vec<u32>,
    /// `tree[i]` counts those at the positions `i + 1 - lowbit(i + 1) ..= i`.
    tree: Vec<u32>,
    len: usize,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Joins at the end. `moved` is told the position, and those of others where they changed.
    pub(super) fn push(&mut self, member: u32, mut moved: impl FnMut(u32, u32)) {
        if self.members.len() >= 64 && self.members.len() >= 2 * self.len {
            let members = std::mem::take(&mut self.members);
            self.tree.clear();
            for member in members.into_iter().filter(|member| *member != NOBODY) {
                moved(member, self.members.len() as u32);
                self.append(member);
            }
        }
        moved(member, self.members.len() as u32);
        self.append(member);
        self.len += 1;
    }

    fn append(&mut self, member: u32) {
        self.members.push(member);
        let end = self.members.len();
        let mut sum = 1;
        let mut child = 1;
        while child < end & end.wrapping_neg() {
            sum += self.tree[end - 1 - child];
            child <<= 1;
        }
        self.tree.push(sum);
    }

    /// Leaves.
    pub(super) fn remove(&mut self, position: u32) {
        let position = position as usize;
        self.members[position] = NOBODY;
        self.len -= 1;
        let mut node = position + 1;
        while node <= self.tree.len() {
            self.tree[node - 1] -= 1;
            node += node & node.wrapping_neg();
        }
    }

    /// How many stand before this position.
    pub(super) fn before(&self, position: u32) -> usize {
        let mut node = position as usize;
        let mut count = 0;
        while node > 0 {
            count += self.tree[node - 1] as usize;
            node &= node - 1;
        }
        count
    }

    /// Everyone, from the front. The first comes in O(log n), whatever was left before it.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let members = self.members[self.first()..].iter().copied();
        members.filter(|member| *member != NOBODY)
    }

    /// The position of the first; the end where there is none.
    fn first(&self) -> usize {
        let mut position = 0;
        let mut step = self.tree.len().checked_ilog2().map_or(0, |log| 1 << log);
        while step > 0 {
            let next = position + step;
            if next <= self.tree.len() && self.tree[next - 1] == 0 {
                position = next;
            }
            step >>= 1;
        }
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_places_while_people_come_and_go() {
        let mut line = Line::default();
        let mut positions = std::collections::BTreeMap::new();
        let mut naive: Vec<u32> = Vec::new();
        let mut random = 1u64;
        for member in 0..5_000 {
            line.push(member, |member, position| {
                positions.insert(member, position);
            });
            naive.push(member);
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let leaves = (random >> 33) as usize % 11 < 9;
            if leaves {
                let gone = naive.remove((random >> 40) as usize % naive.len());
                line.remove(positions[&gone]);
            }
            if member % 97 == 0 {
                assert_eq!(line.iter().collect::<Vec<_>>(), naive);
                for (place, member) in naive.iter().enumerate() {
                    assert_eq!(line.before(positions[member]), place);
                }
            }
            assert_eq!(line.len(), naive.len());
        }
    }
}
