//! Converted rows beside the rows that they were made from.

use std::sync::Arc;

/// How far ahead a row is looked for that stands further up now, since others have gone.
const LOOK_AHEAD: usize = 64;

/// See the module. Rows are told apart by their address: one that changed is another allocation.
#[derive(Debug)]
pub struct Mirror<Row, Shown> {
    rows: Vec<(Arc<Row>, Arc<Shown>)>,
}

impl<Row, Shown> Default for Mirror<Row, Shown> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

impl<Row, Shown> Mirror<Row, Shown> {
    /// Follows `now`. `make` converts a row; it is given what stood in its place before, which may
    /// be of the same thing or not. True when anything is another.
    pub fn update<'a>(
        &mut self,
        now: impl Iterator<Item = &'a Arc<Row>>,
        mut make: impl FnMut(&Arc<Row>, Option<&Arc<Shown>>) -> Shown,
    ) -> bool
    where
        Row: 'a,
    {
        let former = std::mem::take(&mut self.rows);
        let mut rows = Vec::with_capacity(former.len() + LOOK_AHEAD);
        let mut changed = false;
        // What is left of it begins where the next unchanged row is expected.
        let mut former = former.into_iter();
        for row in now {
            let same = |(old, _): &(Arc<Row>, Arc<Shown>)| Arc::ptr_eq(old, row);
            let ahead = former.as_slice();
            let found = ahead.iter().take(LOOK_AHEAD).position(same);
            if let Some(skipped) = found {
                changed |= skipped > 0;
                rows.extend(former.nth(skipped));
            } else {
                changed = true;
                let shown = make(row, ahead.first().map(|(_, shown)| shown));
                rows.push((Arc::clone(row), Arc::new(shown)));
                // Most often a row changed where it stood, rather than came in between: when it
                // came in, the row that is skipped here is found one further down.
                let stays = |(old, _): &(Arc<Row>, Arc<Shown>)| Arc::strong_count(old) > 1;
                if ahead.first().is_some_and(|old| !stays(old)) {
                    former.next();
                }
            }
        }
        changed |= former.len() > 0;
        self.rows = rows;
        changed
    }

    /// The converted rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shown>> {
        self.rows.iter().map(|(_, shown)| shown)
    }

    /// A row and what it was converted to.
    pub fn get(&self, at: usize) -> Option<&(Arc<Row>, Arc<Shown>)> {
        self.rows.get(at)
    }

    /// Puts another conversion in a row's place.
    pub fn set(&mut self, at: usize, shown: Shown) {
        if let Some((_, old)) = self.rows.get_mut(at) {
            *old = Arc::new(shown);
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Converts everything anew at the next update.
    pub fn forget(&mut self) {
        self.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a list and counts the conversions.
    fn follow(mirror: &mut Mirror<u32, u32>, now: &[Arc<u32>]) -> (bool, usize) {
        let mut made = 0;
        let changed = mirror.update(now.iter(), |row, _| {
            made += 1;
            **row * 10
        });
        let shown: Vec<u32> = mirror.iter().map(|shown| **shown).collect();
        assert_eq!(shown, now.iter().map(|row| **row * 10).collect::<Vec<_>>());
        (changed, made)
    }

    #[test]
    fn only_what_is_new_is_converted() {
        let mut mirror = Mirror::default();
        let mut rows: Vec<Arc<u32>> = (0..1_000).map(Arc::new).collect();
        assert_eq!(follow(&mut mirror, &rows), (true, 1_000));
        assert_eq!(follow(&mut mirror, &rows), (false, 0));
        rows.remove(500);
        rows.remove(0);
        assert_eq!(follow(&mut mirror, &rows), (true, 0));
        rows[300] = Arc::new(7);
        assert_eq!(follow(&mut mirror, &rows), (true, 1));
        rows.insert(10, Arc::new(8));
        rows.insert(900, Arc::new(9));
        assert_eq!(follow(&mut mirror, &rows), (true, 2));
        rows.truncate(990);
        assert_eq!(follow(&mut mirror, &rows), (true, 0));
        rows.clear();
        assert_eq!(follow(&mut mirror, &rows), (true, 0));
    }
}
