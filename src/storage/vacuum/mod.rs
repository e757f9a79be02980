//! Vacuum, in three passes: rows that are gone leave their elements, elements without rows leave the graph, slots are
//! freed.
//!
//! 1. [`remove`]: dead rows are dropped; an element left without rows becomes a tombstone, walked through but never found.
//! 2. [`relink`]: when the inserts that may still link to a tombstone have ended, every neighbor list with a tombstone in it
//!    is repaired. [`reach`]: elements to which no way leads any more are linked again.
//! 3. [`free`]: nothing links to the tombstones any more. A search that paused may still come to one, so the metapage counts
//!    removals before the first slot is freed, and a search that sees another count starts again. When the inserts have ended that may have read a list before its
//!    repair, slots are freed: an insert that met such a slot in another element's hands would link to that one, on layers
//!    that it may not have.
//!
//! The first pass reads the whole index once. The second reads the pages of elements and those of upper lists once each for its
//! repairs, and a few times more to follow links. The third reads pages that hold tombstones.
//!
//! A vacuum that ends early leaves tombstones, which the next one finds and carries on with.

mod free;
mod reach;
mod relink;
mod remove;

use hnsw::ElementId;
use layout::{PageKind, Slots};

use super::buffer::{Access, Page};
use super::index::Index;
use super::metapage::{self, METAPAGE};
use crate::error;
use crate::pg::strategy::Strategy;
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
    strategy: Strategy,
    is_dead: impl FnMut(layout::HeapTid) -> bool,
) -> Counts {
    let mut sweep = Sweep::new(index, strategy);
    let (counts, dead) = remove::remove(&mut sweep, is_dead);
    if !dead.is_empty() {
        lock::wait_for_inserts(index.relation());
        relink::relink(&mut sweep, ef_construction, &dead);
        reach::restore(&mut sweep, ef_construction, &dead);
        lock::wait_for_inserts(index.relation());
        metapage::Locked::acquire(index.relation()).announce_removal();
        free::free(index, strategy, &dead);
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

    /// True if it was not in the set, and there is room for it.
    fn insert(&mut self, element: ElementId) -> bool {
        let Some(word) = self.words.get_mut(element.0 as usize / 64) else {
            return false;
        };
        let bit = 1 << (element.0 % 64);
        let is_new = *word & bit == 0;
        self.len += u64::from(is_new);
        *word |= bit;
        is_new
    }

    /// Whether the set has room for this element: it was there when the set was made.
    fn has_room_for(&self, element: ElementId) -> bool {
        element.0 as usize / 64 < self.words.len()
    }

    fn contains(&self, element: ElementId) -> bool {
        self.words
            .get(element.0 as usize / 64)
            .is_some_and(|word| word >> (element.0 % 64) & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements, in page order.
    fn iter(&self) -> impl Iterator<Item = ElementId> {
        let words = self.words.iter().zip(0u32..);
        words.flat_map(|(&word, number)| {
            (0..u64::BITS)
                .filter(move |bit| word >> bit & 1 == 1)
                .map(move |bit| ElementId(number * u64::BITS + bit))
        })
    }
}

/// Goes through an index's pages in order, time and again.
struct Sweep<'a> {
    index: &'a Index,
    strategy: Strategy,
    /// What each block was found to be; a page keeps its kind.
    kinds: Vec<Option<PageKind>>,
}

impl<'a> Sweep<'a> {
    fn new(index: &'a Index, strategy: Strategy) -> Self {
        Self {
            index,
            strategy,
            kinds: Vec::new(),
        }
    }

    /// Shows each page of some kinds to `look`, share-locked, as the index is now. Pages known to be of other kinds are not
    /// read. Sleeps between pages as vacuum's cost settings ask. What `look` collects is worked on by `then`, with no lock
    /// held.
    fn each<T>(
        &mut self,
        wanted: &[PageKind],
        mut look: impl FnMut(u32, PageKind, &[u8]) -> T,
        mut then: impl FnMut(u32, T),
    ) {
        for block in METAPAGE + 1..self.index.relation().blocks() {
            let known = self.kinds.get(block as usize).copied().flatten();
            if known.is_some_and(|kind| !wanted.contains(&kind)) {
                continue;
            }
            compat::vacuum_delay_point();
            let relation = self.index.relation();
            let page = Page::lock_by(self.strategy, relation, block, Access::Share);
            // A page that was added and never written, for want of time before a crash, holds nothing.
            if layout::is_new(page.bytes()) {
                continue;
            }
            let special = self.index.expect(block, layout::special(page.bytes()));
            let kind = self.index.expect(block, special.kind());
            self.remember(block, kind);
            if !wanted.contains(&kind) {
                continue;
            }
            let found = look(block, kind, page.bytes());
            drop(page);
            then(block, found);
        }
    }

    fn remember(&mut self, block: u32, kind: PageKind) {
        let block = block as usize;
        if block >= self.kinds.len() {
            self.kinds.resize(block + 1, None);
        }
        self.kinds[block] = Some(kind);
    }
}
