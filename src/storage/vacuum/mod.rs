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
//! The first pass reads the whole index once. The second reads the pages of elements once, for its repairs and to follow links at
//! the same time, and those of upper lists once for repairs and once for each layer. The third reads pages that hold tombstones.
//!
//! A vacuum that ends early leaves tombstones, which the next one finds and carries on with.

mod free;
mod reach;
mod relink;
mod remove;

use hnsw::ElementSet;
use layout::PageKind;

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
        let ground = relink::relink(&mut sweep, ef_construction, &dead);
        reach::restore(&mut sweep, ef_construction, &dead, ground);
        lock::wait_for_inserts(index.relation());
        metapage::Locked::acquire(index.relation()).announce_removal();
        free::free(index, strategy, &dead);
    }
    counts
}

/// An empty set with room for the elements of the index as it is now.
fn no_elements(index: &Index) -> ElementSet {
    let ids = ids(index);
    ElementSet::with_room(ids).unwrap_or_else(|_| out_of_memory(ids))
}

/// A bound of the ids that elements of the index as it is now can have.
fn ids(index: &Index) -> u64 {
    u64::from(index.relation().blocks()) << index.geometry().element.bits
}

fn out_of_memory(ids: u64) -> ! {
    error::out_of_memory(usize::try_from(ids / 8).unwrap_or(usize::MAX))
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
