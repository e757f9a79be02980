//! Vacuum, in three passes: rows that are gone leave their elements, elements without rows leave the graph, slots are
//! freed.
//!
//! 1. [`remove`]: dead rows are dropped; an element left without rows becomes a tombstone, walked through but never found.
//! 2. [`relink`]: when the inserts that may still link to a tombstone have ended, every neighbor list with a tombstone in it
//!    is repaired, and elements that nothing links to are linked again.
//! 3. [`free`]: nothing links to the tombstones any more; their slots are freed.
//!
//! A vacuum that ends early leaves tombstones, which the next one finds and carries on with.

mod free;
mod relink;
mod remove;

use hnsw::ElementId;
use layout::{PageKind, Slots};

use super::buffer::{Access, Page};
use super::index::Index;
use super::metapage::METAPAGE;
use crate::error;
use crate::pg::{compat, lock};

/// What a vacuum did.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) rows_kept: u64,
    pub(crate) rows_removed: u64,
}

/// Removes the rows for which `is_dead` is true.
pub(crate) fn remove_rows(
    index: &Index,
    ef_construction: usize,
    is_dead: impl FnMut(layout::HeapTid) -> bool,
) -> Counts {
    let (counts, dead) = remove::remove(index, is_dead);
    if !dead.is_empty() {
        lock::wait_for_inserts(index.relation());
        relink::relink(index, ef_construction, &dead);
        free::free(index, &dead);
    }
    counts
}

/// A set of elements: a bit for each id that the index's pages can hold.
struct ElementSet {
    words: Vec<u64>,
    len: u64,
}

impl ElementSet {
    /// An empty set with room for the elements of so many blocks.
    fn new(slots: &Slots<ElementId>, blocks: u32) -> Self {
        let ids = u64::from(blocks) << slots.bits;
        let words = usize::try_from(ids.div_ceil(64)).unwrap_or(usize::MAX);
        let mut set = Self {
            words: Vec::new(),
            len: 0,
        };
        if set.words.try_reserve_exact(words).is_err() {
            error::out_of_memory(words.saturating_mul(8));
        }
        set.words.resize(words, 0);
        set
    }

    fn insert(&mut self, element: ElementId) {
        if let Some(word) = self.words.get_mut(element.0 as usize / 64) {
            let bit = 1 << (element.0 % 64);
            self.len += u64::from(*word & bit == 0);
            *word |= bit;
        }
    }

    fn contains(&self, element: ElementId) -> bool {
        self.words
            .get(element.0 as usize / 64)
            .is_some_and(|word| word >> (element.0 % 64) & 1 == 1)
    }

    /// Whether the set has room for this element: it was there when the set was made.
    fn has_room_for(&self, element: ElementId) -> bool {
        element.0 as usize / 64 < self.words.len()
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Shows each page of a kind to `each`, share-locked, as the index is now. Sleeps between pages as vacuum's cost settings
/// ask. What `each` collects is worked on by `then`, with no lock held.
fn for_each_page<T>(
    index: &Index,
    kind: PageKind,
    mut each: impl FnMut(u32, &[u8]) -> T,
    mut then: impl FnMut(u32, T),
) {
    for block in METAPAGE + 1..index.relation().blocks() {
        compat::vacuum_delay_point();
        let page = Page::lock(index.relation(), block, Access::Share);
        // A page that was added and never written, for want of time before a crash, holds nothing.
        if layout::is_new(page.bytes()) {
            continue;
        }
        let special = index.expect(block, layout::special(page.bytes()));
        if index.expect(block, special.kind()) != kind {
            continue;
        }
        let found = each(block, page.bytes());
        drop(page);
        then(block, found);
    }
}
