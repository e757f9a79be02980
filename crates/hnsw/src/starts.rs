//! The elements to follow groups from, as many groups at a time as fit into memory.

use std::collections::{HashMap, TryReserveError};
use std::hash::Hash;

use crate::ElementId;

/// The first element shown of each group of a *part*: the groups whose hashes lie in a range. The range is halved whenever its groups
/// take too much memory; further parts have the others.
pub struct Starts<G> {
    hash: fn(G) -> u64,
    of: HashMap<G, ElementId>,
    first: u64,
    last: u64,
    most: usize,
}

impl<G: Copy + Eq + Hash> Starts<G> {
    /// The bytes of a group while the map moves into one of twice its size.
    const BYTES: usize = 4 * size_of::<(G, ElementId)>();

    /// The least number of groups in a part.
    const LEAST: usize = 64;

    /// The first part of groups with these hashes, in up to `bytes`.
    #[must_use]
    pub fn new(bytes: usize, hash: fn(G) -> u64) -> Self {
        Self {
            hash,
            of: HashMap::new(),
            first: 0,
            last: u64::MAX,
            most: (bytes / Self::BYTES).max(Self::LEAST),
        }
    }

    /// Goes on to the next part, which is empty; false after the last one. All elements are to be shown again.
    pub fn next_part(&mut self) -> bool {
        self.forget();
        let Some(first) = self.last.checked_add(1) else {
            return false;
        };
        (self.first, self.last) = (first, u64::MAX);
        true
    }

    /// Forgets the elements, which are to be shown again, and stays with the part.
    pub fn forget(&mut self) {
        self.of.clear();
    }

    /// Shows an element; returns the start of its group: the element itself, if it is the first. `None` for a group of another part.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn show(
        &mut self,
        group: G,
        element: ElementId,
    ) -> Result<Option<ElementId>, TryReserveError> {
        let hash = (self.hash)(group);
        if !(self.first..=self.last).contains(&hash) {
            return Ok(None);
        }
        if let Some(&start) = self.of.get(&group) {
            return Ok(Some(start));
        }
        while self.of.len() >= self.most && self.first < self.last {
            self.last = self.first + (self.last - self.first) / 2;
            let (hash, last) = (self.hash, self.last);
            self.of.retain(|&group, _| hash(group) <= last);
        }
        if hash > self.last {
            return Ok(None);
        }
        self.of.try_reserve(1)?;
        self.of.insert(group, element);
        Ok(Some(element))
    }

    /// The start of a group; `None` for a group of another part.
    #[must_use]
    pub fn of(&self, group: G) -> Option<ElementId> {
        self.of.get(&group).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of three elements each.
    const GROUPS: u32 = 1000;

    #[test]
    fn each_group_comes_in_one_part_with_its_first_element() {
        let hash = |group: u32| u64::from(group).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for most in [0, 100, GROUPS as usize - 1, GROUPS as usize] {
            let mut starts = Starts::new(most * Starts::<u32>::BYTES, hash);
            let (mut found, mut parts) = (Vec::new(), 0);
            loop {
                for element in 0..3 * GROUPS {
                    let start = starts.show(element % GROUPS, ElementId(element)).unwrap();
                    assert!(start.is_none_or(|start| start.0 == element % GROUPS));
                    assert!(starts.of.len() <= starts.most);
                }
                found.extend((0..GROUPS).filter(|&group| starts.of(group).is_some()));
                parts += 1;
                if !starts.next_part() {
                    break;
                }
            }
            found.sort_unstable();
            assert!(found.into_iter().eq(0..GROUPS), "room for {most}");
            assert_eq!(parts == 1, most >= GROUPS as usize, "{parts} parts");
        }
    }
}
