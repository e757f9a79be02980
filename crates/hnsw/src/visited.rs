//! The visited set of a search.

use crate::ElementId;

const NONE: u32 = u32::MAX;

/// The slots of a bucket: half a cache line, compared at once.
const BUCKET: usize = 8;
type Bucket = [u32; BUCKET];
const EMPTY: Bucket = [NONE; BUCKET];

/// Buckets of the smallest table.
const SMALLEST: usize = 1 << 9;

/// The elements visited by a search: a table of buckets, reused by later searches.
///
/// At most half full, so an element is mostly in the first bucket looked at. A bucket is filled from its front, and none is full before an
/// element goes to the next one. (The table of a usual search fits in the first-level cache, and clearing it costs less than the
/// wider entries of an epoch scheme.)
pub(crate) struct Visited {
    buckets: Vec<Bucket>,
    used: usize,
    /// The elements visited before the last clearing.
    before: usize,
    shift: u32,
}

impl Visited {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![EMPTY; SMALLEST],
            used: 0,
            before: 0,
            shift: u32::BITS - SMALLEST.trailing_zeros(),
        }
    }

    /// Removes all elements. A table enlarged by one long search shrinks over the next few, which would otherwise pay for
    /// clearing it. Two clearings look at the number of elements: a search down to layer 0 visits few, and clears before it goes on.
    pub(crate) fn clear(&mut self) {
        if self.used == 0 {
            return;
        }
        let size = self.buckets.len();
        if size > SMALLEST && self.used.max(self.before) < size * BUCKET / 64 {
            self.buckets.truncate(size / 2);
            self.shift += 1;
        }
        self.buckets.fill(EMPTY);
        self.before = std::mem::take(&mut self.used);
    }

    /// Adds an element; false if it was present.
    #[inline]
    pub(crate) fn insert(&mut self, element: ElementId) -> bool {
        if self.is_full(1) {
            // Searches reserve beforehand and end where that fails.
            self.grow(vec![EMPTY; self.buckets.len() * 2]);
        }
        self.place(element.0)
    }

    /// Adds elements, for which room is reserved, and removes those that were present from `elements`.
    ///
    /// Whether an element is new is as good as random, so no branch depends on it.
    #[inline]
    pub(crate) fn retain_new(&mut self, elements: &mut Vec<ElementId>) {
        let mut new = 0;
        for at in 0..elements.len() {
            let element = elements[at];
            elements[new] = element;
            new += usize::from(self.place(element.0));
        }
        elements.truncate(new);
    }

    /// Makes room for more elements; false if there is no memory for it.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        while self.is_full(more) {
            if !self.try_grow() {
                return false;
            }
        }
        true
    }

    /// The maximum bytes for the visited elements: a table is a quarter full after growing.
    pub(crate) fn memory(&self) -> usize {
        4 * self.used * size_of::<u32>()
    }

    /// Allocated bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>()
    }

    #[inline]
    fn is_full(&self, more: usize) -> bool {
        (self.used + more) * 2 > self.buckets.len() * BUCKET
    }

    /// Adds an element where there is room; false if it was present.
    #[inline]
    fn place(&mut self, element: u32) -> bool {
        let mask = self.buckets.len() - 1;
        // Fibonacci hashing: the high bits of the product depend on all bits of the id, of block and slot alike.
        let mut at = (element.wrapping_mul(0x9E37_79B1) >> self.shift) as usize;
        loop {
            let bucket = &mut self.buckets[at & mask];
            let (mut equal, mut filled) = (0, 0);
            for &slot in &*bucket {
                equal |= u32::from(slot == element);
                filled += u32::from(slot != NONE);
            }
            if let Some(free) = bucket.get_mut(filled as usize) {
                *free = if equal == 0 { element } else { NONE };
                self.used += 1 - equal as usize;
                return equal == 0;
            }
            if equal != 0 {
                return false;
            }
            at += 1;
        }
    }

    #[cold]
    fn try_grow(&mut self) -> bool {
        let size = self.buckets.len() * 2;
        let mut doubled = Vec::new();
        if doubled.try_reserve_exact(size).is_err() {
            return false;
        }
        doubled.resize(size, EMPTY);
        self.grow(doubled);
        true
    }

    fn grow(&mut self, doubled: Vec<Bucket>) {
        let old = std::mem::replace(&mut self.buckets, doubled);
        self.shift -= 1;
        self.used = 0;
        for element in old.into_iter().flatten().filter(|&element| element != NONE) {
            self.place(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn an_element_is_new_once() {
        let mut visited = Visited::new();
        let mut oracle = HashSet::new();
        for i in 0..50_000u32 {
            let element = i.wrapping_mul(i) % 30_011;
            assert_eq!(visited.insert(ElementId(element)), oracle.insert(element));
        }
    }

    #[test]
    fn a_list_keeps_what_is_new_in_its_order() {
        let mut visited = Visited::new();
        let mut oracle = HashSet::new();
        for i in 0..2_000u32 {
            // All in few buckets, some of them twice in a list.
            let list = (0..32).map(|j| ElementId(((i * 5 + j * j % 27) << 20) | (j % 3)));
            let mut new: Vec<ElementId> = list.collect();
            let mut expected = new.clone();
            expected.retain(|element| oracle.insert(element.0));
            assert!(visited.reserve(new.len()));
            visited.retain_new(&mut new);
            assert_eq!(new, expected);
        }
    }

    #[test]
    fn descents_between_long_searches_keep_the_size() {
        let mut visited = Visited::new();
        let mut sizes = Vec::new();
        for _ in 0..5 {
            for count in [50, 3000] {
                visited.clear();
                for i in 0..count {
                    visited.insert(ElementId(i << 3));
                }
                sizes.push(visited.buckets.len() * BUCKET);
            }
        }
        assert_eq!(sizes[1..], [8192; 9]);
    }

    #[test]
    fn clear_forgets_and_gives_back_size() {
        let mut visited = Visited::new();
        for i in 0..100_000 {
            visited.insert(ElementId(i << 3));
        }
        let large = visited.buckets.len();
        for _ in 0..20 {
            visited.clear();
            assert!(visited.insert(ElementId(8)));
            assert!(!visited.insert(ElementId(8)));
        }
        assert!(visited.buckets.len() < large);
        assert_eq!(visited.buckets.len(), SMALLEST);
    }
}
