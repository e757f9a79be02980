//! The key columns of rows, in filter pages.
//!
//! Each row of an index with key columns has one entry: its element, its TID and its row key. An insert adds the entry last,
//! before its transaction can commit, so a scan finds an entry for every row its snapshot sees. Vacuum removes the entry of a
//! dead row in its first pass, long before the element's slot is freed. An entry never moves, and a filter page never leaves
//! the chain; so a scan that follows the chain meets every entry that was there when it began.

use filter::Filter;
use hnsw::ElementId;
use layout::{Corrupt, FilterPage, FilterPageMut, HeapTid, PageKind};

use super::allocate;
use super::buffer::{Access, Page};
use super::index::Index;
use super::metapage;
use super::record::Record;
use super::rows::check_block;
use crate::pg::interrupt;

/// A row that passes a filter, and its element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) element: ElementId,
    pub(crate) row: HeapTid,
}

/// Adds the entry of a row that is in its element.
pub(super) fn add(index: &Index, element: ElementId, tid: HeapTid, row_key: &[u8]) {
    let place = allocate::find(index, PageKind::Filter, 1);
    let mut record = Record::begin(index.relation());
    let image = place.record(index, &mut record);
    let view = FilterPageMut::view(record.bytes(image), index.geometry());
    index
        .expect(place.block(), view)
        .write(place.slot, element, tid, row_key);
    allocate::commit(index, record, &[(&place, image)]);
}

/// The extent of a pass over filter pages.
pub(crate) struct Selected {
    /// Pages read.
    pub(crate) pages: u64,
    /// Rows in them, passing or not.
    pub(crate) rows: u64,
}

/// Calls `found` with each row that passes a filter, while a page is locked.
pub(crate) fn select(index: &Index, filter: &Filter, mut found: impl FnMut(Match)) -> Selected {
    let mut entries = Vec::new();
    let mut rows = 0;
    let pages = each_page(index, |page| {
        rows += u64::from(page.count());
        select_in(page, filter, &mut entries, &mut found);
    });
    Selected { pages, rows }
}

/// As `select`, but calls `each` with the rows of a page, with no page locked.
pub(crate) fn select_by_page(index: &Index, filter: &Filter, mut each: impl FnMut(&[Match])) {
    let (mut entries, mut matches) = (Vec::new(), Vec::new());
    let mut next = metapage::read(index.relation()).filter_first;
    let mut pages = 0;
    while let Some(block) = next {
        matches.clear();
        next = read_page(index, block, &mut pages, |page| {
            select_in(page, filter, &mut entries, &mut |found| matches.push(found));
        });
        each(&matches);
    }
}

fn select_in(
    page: &FilterPage<'_>,
    filter: &Filter,
    entries: &mut Vec<u16>,
    found: &mut impl FnMut(Match),
) {
    if !filter.may_match(&page.zone()) {
        return;
    }
    entries.clear();
    filter.select(&page.entries(), entries);
    for &entry in &*entries {
        found(Match {
            element: page.element(entry),
            row: page.heap_tid(entry),
        });
    }
}

/// Calls `look` with each filter page, share-locked. Returns their number.
fn each_page(index: &Index, mut look: impl FnMut(&FilterPage<'_>)) -> u64 {
    let mut next = metapage::read(index.relation()).filter_first;
    let mut pages = 0;
    while let Some(block) = next {
        next = read_page(index, block, &mut pages, &mut look);
    }
    pages
}

/// Calls `look` with a page of the chain, counts it, and returns the next one.
fn read_page(
    index: &Index,
    block: u32,
    pages: &mut u64,
    look: impl FnOnce(&FilterPage<'_>),
) -> Option<u32> {
    interrupt::check();
    let relation = index.relation();
    check_block(index, block);
    *pages += 1;
    if *pages > u64::from(relation.blocks()) {
        index.corrupt(block, Corrupt::EndlessFilter);
    }
    let page = Page::lock(relation, block, Access::Share);
    let view = index.expect(block, FilterPage::view(page.bytes(), index.geometry()));
    look(&view);
    view.next()
}
