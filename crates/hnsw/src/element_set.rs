//! A set of elements as vacuum needs it: all elements of an index, each a bit.

use std::collections::TryReserveError;

use crate::ElementId;

/// A set of elements: a bit for each id below a bound.
#[derive(Default)]
pub struct ElementSet {
    words: Vec<u64>,
    len: u64,
}

impl ElementSet {
    /// An empty set with room for the ids below `ids`.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn with_room(ids: u64) -> Result<Self, TryReserveError> {
        let count = usize::try_from(ids.div_ceil(64)).unwrap_or(usize::MAX);
        let mut words = Vec::new();
        words.try_reserve_exact(count)?;
        words.resize(count, 0);
        Ok(Self { words, len: 0 })
    }

    /// True if it was not in the set, and there is room for it.
    pub fn insert(&mut self, element: ElementId) -> bool {
        let Some(word) = self.words.get_mut(element.0 as usize / 64) else {
            return false;
        };
        let bit = 1 << (element.0 % 64);
        let is_new = *word & bit == 0;
        self.len += u64::from(is_new);
        *word |= bit;
        is_new
    }

    /// Takes an element out.
    pub fn remove(&mut self, element: ElementId) {
        if self.contains(element) {
            self.words[element.0 as usize / 64] &= !(1 << (element.0 % 64));
            self.len -= 1;
        }
    }

    /// True if the set has room for this element: it was there when the set was made.
    #[must_use]
    pub fn has_room_for(&self, element: ElementId) -> bool {
        element.0 as usize / 64 < self.words.len()
    }

    /// True if an element is in the set.
    #[must_use]
    pub fn contains(&self, element: ElementId) -> bool {
        self.words
            .get(element.0 as usize / 64)
            .is_some_and(|word| word >> (element.0 % 64) & 1 == 1)
    }

    /// The number of elements in the set.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = ElementId> {
        let words = self.words.iter().zip(0u32..);
        words.flat_map(|(&word, number)| {
            let rest = std::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)));
            rest.take_while(|&rest| rest != 0)
                .map(move |rest| ElementId(number * u64::BITS + rest.trailing_zeros()))
        })
    }

    /// Allocated bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}
