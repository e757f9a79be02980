//! The visited set of a search.

use crate::ElementId;

const NONE: u32 = u32::MAX;
const SMALLEST: usize = 1 << 12;

/// The elements visited by a search: an open-addressed table, reused by later searches.
///
/// At most half full, so a probe takes one or two steps. (The table of a usual search fits in the first-level cache, and
/// clearing it costs less than the wider entries of an epoch scheme.)
pub(crate) struct Visited {
    slots: Vec<u32>,
    used: usize,
    shift: u32,
}

impl Visited {
    pub(crate) fn new() -> Self {
        Self {
            slots: vec![NONE; SMALLEST],
            used: 0,
            shift: u32::BITS - SMALLEST.trailing_zeros(),
        }
    }

    /// Removes all elements. A table enlarged by one long search shrinks over the next few, which would otherwise pay for
    /// clearing it.
    pub(crate) fn clear(&mut self) {
        if self.used == 0 {
            return;
        }
        let size = self.slots.len();
        if size > SMALLEST && self.used < size / 64 {
            self.slots.truncate(size / 2);
            self.shift += 1;
        }
        self.slots.fill(NONE);
        self.used = 0;
    }

    /// Adds an element; false if it was present.
    #[inline]
    pub(crate) fn insert(&mut self, element: ElementId) -> bool {
        let place = self.place_of(element.0);
        if self.slots[place] == element.0 {
            return false;
        }
        self.slots[place] = element.0;
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            // Searches reserve beforehand and end where that fails.
            self.grow(vec![NONE; self.slots.len() * 2]);
        }
        true
    }

    /// Makes room for more elements; false if there is no memory for it.
    #[inline]
    pub(crate) fn reserve(&mut self, more: usize) -> bool {
        while (self.used + more) * 2 > self.slots.len() {
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
        self.slots.len() * size_of::<u32>()
    }

    /// The slot of the element, or the free slot for it.
    #[inline]
    fn place_of(&self, element: u32) -> usize {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing: the high bits of the product depend on all bits of the id, of block and slot alike.
        let mut place = (element.wrapping_mul(0x9E37_79B1) >> self.shift) as usize;
        while self.slots[place & mask] != element && self.slots[place & mask] != NONE {
            place += 1;
        }
        place & mask
    }

    #[cold]
    fn try_grow(&mut self) -> bool {
        let size = self.slots.len() * 2;
        let mut doubled = Vec::new();
        if doubled.try_reserve_exact(size).is_err() {
            return false;
        }
        doubled.resize(size, NONE);
        self.grow(doubled);
        true
    }

    fn grow(&mut self, doubled: Vec<u32>) {
        let old = std::mem::replace(&mut self.slots, doubled);
        self.shift -= 1;
        for element in old.into_iter().filter(|&element| element != NONE) {
            let place = self.place_of(element);
            self.slots[place] = element;
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
    fn clear_forgets_and_gives_back_size() {
        let mut visited = Visited::new();
        for i in 0..100_000 {
            visited.insert(ElementId(i << 3));
        }
        let large = visited.slots.len();
        for _ in 0..20 {
            visited.clear();
            assert!(visited.insert(ElementId(8)));
            assert!(!visited.insert(ElementId(8)));
        }
        assert!(visited.slots.len() < large);
        assert_eq!(visited.slots.len(), SMALLEST);
    }
}
