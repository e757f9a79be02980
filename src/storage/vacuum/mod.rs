//! Vacuum, in three passes: dead rows leave their elements, elements without rows leave the graph, slots are freed.
//!
//! 1. [`remove`]: drops dead rows; an element left without rows becomes a tombstone, traversed by searches but never returned.
//! 2. [`relink`]: waits for the inserts that may still link to a tombstone, then repairs every neighbor list with a tombstone
//!    in it. [`reach`] and [`groups`]: link unreachable elements again.
//! 3. [`free`]: frees the slots of the tombstones, now without incoming links. A paused search may still come to one, so the
//!    metapage counts removals before the first slot is freed, and a search that finds a different count starts again.
//!    Slots are freed only when all inserts that may have read a list before its repair have ended: such an insert could
//!    find the slot reused by another element and link to it, on layers that this element may not have.
//!
//! The first pass reads the whole index once. The second reads element pages once, for repairs and to follow links at the same
//! time, and upper pages once for repairs and once for each layer. The third reads the pages with tombstones.
//!
//! A vacuum interrupted early leaves tombstones; the next one collects them and continues.

mod free;
mod groups;
mod reach;
mod relink;
mod remove;

use hnsw::ElementSet;
use layout::PageKind;

use super::index::Index;
use super::locked::AnyPage;
use super::metapage::{self, METAPAGE};
use crate::error;
use crate::pg::strategy::Strategy;
use crate::pg::{compat, lock};

/// The number of rows a vacuum kept and removed.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) rows_kept: u64,
    pub(crate) rows_removed: u64,
}

impl Counts {
    /// Counts a row; returns whether it is dead.
    fn add(&mut self, is_dead: bool) -> bool {
        let count = if is_dead {
            &mut self.rows_removed
        } else {
            &mut self.rows_kept
        };
        *count += 1;
        is_dead
    }
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
        let layer0 = relink::relink(&mut sweep, ef_construction, &dead);
        reach::restore(&mut sweep, ef_construction, &dead, layer0);
        groups::restore(&mut sweep, ef_construction, &dead);
        lock::wait_for_inserts(index.relation());
        metapage::Locked::acquire(index.relation()).announce_removal();
        free::free(index, strategy, &dead);
    }
    counts
}

/// Links the elements that are unreachable in their groups: a build by cells leaves some.
pub(crate) fn connect_groups(index: &Index, ef_construction: usize) {
    let mut sweep = Sweep::new(index, Strategy::NONE);
    groups::restore(&mut sweep, ef_construction, &no_elements(index));
}

/// An empty set with room for the elements of the index at its present size.
fn no_elements(index: &Index) -> ElementSet {
    let ids = ids(index);
    ElementSet::with_room(ids).unwrap_or_else(|_| out_of_memory(ids))
}

/// An upper bound of element ids in the index at its present size.
fn ids(index: &Index) -> u64 {
    u64::from(index.relation().blocks()) << index.geometry().element.bits
}

fn out_of_memory(ids: u64) -> ! {
    error::out_of_memory(usize::try_from(ids / 8).unwrap_or(usize::MAX))
}

/// Reads an index's pages in order, repeatedly.
struct Sweep<'a> {
    index: &'a Index,
    strategy: Strategy,
    /// The known kind of each block; a page never changes its kind.
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

    /// Calls `look` with each page of the wanted kinds, share-locked, up to the present end of the index. Does not lock pages
    /// known to be of other kinds. Sleeps between pages according to vacuum's cost settings. Calls `then` with each result of
    /// `look`, with no lock held.
    fn each<T>(
        &mut self,
        wanted: &[PageKind],
        mut look: impl FnMut(&AnyPage<'_>) -> T,
        mut then: impl FnMut(u32, T),
    ) {
        for block in METAPAGE + 1..self.index.relation().blocks() {
            let known = self.kinds.get(block as usize).copied().flatten();
            if known.is_some_and(|kind| !wanted.contains(&kind)) {
                continue;
            }
            compat::vacuum_delay_point();
            let Some(page) = AnyPage::lock_by(self.strategy, self.index, block) else {
                continue;
            };
            self.remember(block, page.kind());
            if !wanted.contains(&page.kind()) {
                continue;
            }
            let found = look(&page);
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
