//! The key columns of rows, in filter pages.
//!
//! Each row of an index with key columns has one entry: its element, its TID and its row key. An insert adds the entry last,
//! before its transaction can commit, so a scan finds an entry for every row its snapshot sees. Vacuum removes the entry of a
//! dead row in its first pass, long before the element's slot is freed. An entry never moves, and a filter page never leaves
//! the chain; so a scan that follows the chain meets every entry that was there when it began.

use std::ops::Range;
use std::rc::Rc;

use filter::{Filter, Test};
use hnsw::{ElementId, ElementSet};
use layout::{Corrupt, FilterPage, FilterShape, Group, HeapTid};

use super::allocate;
use super::buffer::{Access, Reader};
use super::index::Index;
use super::locked::{self, Filters, LockedPage};
use super::metapage;
use super::record::Record;
use crate::error;
use crate::pg::interrupt;

/// A row that passes a filter, and its element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) element: ElementId,
    pub(crate) row: HeapTid,
}

/// Adds the entry of a row that is in its element.
pub(super) fn add(index: &Index, element: ElementId, tid: HeapTid, row_key: &[u8]) {
    let free = allocate::find::<Filters>(index, 1);
    let mut record = Record::begin(index.relation());
    free.change(&mut record, |page| {
        page.write(free.slot, element, tid, row_key);
        Ok(())
    });
    allocate::commit(index, record, &[&free]);
}

/// The extent of a pass over filter pages.
#[derive(Clone, Copy, Default)]
pub(crate) struct Selected {
    /// Pages read.
    pub(crate) pages: u64,
    /// Rows in them, passing or not.
    pub(crate) rows: u64,
    /// Rows that pass.
    pub(crate) passing: u64,
}

/// Filter pages read in one go.
const PAGES: usize = 32;

/// Filter pages of a sample.
const SAMPLE: usize = 4;

/// The share of rows that pass a filter, in a sample of the filter pages, and the number of these.
pub(crate) fn sampled_share(index: &Index, filter: &Filter) -> (f64, u64) {
    let all = chain(index);
    let step = all.len().div_ceil(SAMPLE).max(1);
    let blocks: Vec<u32> = all.iter().step_by(step).copied().collect();
    let (mut entries, mut matches) = (Vec::new(), Vec::new());
    let rows = select_in(index, filter, &blocks, &mut entries, &mut matches);
    #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
    let share = matches.len() as f64 / rows.max(1) as f64;
    (share, blocks.len() as u64)
}

/// Filter pages read in one go for rows to start a search at, and the least number of such goes.
const SPREAD: usize = 8;
const GOES: usize = 2;

/// Some of the rows that pass a filter.
#[derive(Default)]
pub(crate) struct Sample {
    /// Their elements.
    pub(crate) elements: Vec<ElementId>,
    /// Pages read for them.
    pub(crate) pages: u64,
    /// The number of rows that pass, judged by these pages.
    pub(crate) passing: f64,
}

/// Rows that pass a filter, from pages spread over the table: up to `most`. Fewer if that many are not found in `pages` pages.
pub(crate) fn some(index: &Index, filter: &Filter, most: usize, pages: usize) -> Sample {
    let all = chain(index);
    let count = all.len().min(pages);
    let of_one = most.div_ceil(GOES.min(count.div_ceil(SPREAD)).max(1));
    let (mut found, mut entries, mut matches) = (Vec::new(), Vec::new(), Vec::new());
    let mut blocks = Vec::new();
    let (mut pages, mut passing) = (0, 0);
    for first in (0..count).step_by(SPREAD) {
        interrupt::check();
        blocks.clear();
        let places = first..count.min(first + SPREAD);
        blocks.extend(places.map(|place| all[spread(place, all.len())]));
        matches.clear();
        select_in(index, filter, &blocks, &mut entries, &mut matches);
        pages += blocks.len();
        passing += matches.len();
        let step = (matches.len() / of_one).max(1);
        let some = matches.iter().step_by(step).take(of_one);
        found.extend(some.map(|found| found.element));
        if found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    #[expect(clippy::cast_precision_loss, reason = "counts of rows and pages")]
    let passing = passing as f64 * (all.len() as f64 / pages.max(1) as f64);
    Sample {
        elements: found,
        pages: pages as u64,
        passing,
    }
}

/// Place number `number` of an order of `count` places in which consecutive ones are far apart: the first is 0, each comes once.
fn spread(number: usize, count: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // By the golden ratio.
    let near = (count * 618 / 1000).max(1);
    let step = (near..).find(|&step| gcd(step, count) == 1).unwrap_or(1);
    number * step % count
}

/// Elements of a group, as `some`.
pub(super) fn of_group(index: &Index, group: Group, most: usize, pages: usize) -> Vec<ElementId> {
    let filter = filter_of_group(index, group.image);
    filter.map_or(Vec::new(), |filter| {
        some(index, &filter, most, pages).elements
    })
}

/// The first element of a group that `is_wanted`, in any filter page.
pub(super) fn find_in_group(
    index: &Index,
    group: Group,
    mut is_wanted: impl FnMut(ElementId) -> bool,
) -> Option<ElementId> {
    let filter = filter_of_group(index, group.image)?;
    let (mut entries, mut matches) = (Vec::new(), Vec::new());
    for blocks in chain(index).chunks(PAGES) {
        interrupt::check();
        matches.clear();
        select_in(index, &filter, blocks, &mut entries, &mut matches);
        let mut elements = matches.iter().map(|found| found.element);
        if let Some(found) = elements.find(|&element| is_wanted(element)) {
            return Some(found);
        }
    }
    None
}

/// The filter that the rows of a group pass; `None` in an index without groups.
pub(crate) fn filter_of_group(index: &Index, image: Option<u64>) -> Option<Filter> {
    let geometry = index.geometry();
    let (widths, column) = geometry.widths().zip(geometry.grouped_by)?;
    let test = image.map_or(Test::Null, |image| Test::Range {
        lo: image,
        hi: image,
    });
    Some(Filter::new(widths).and(column.into(), test))
}

/// Calls `found` with the rows that pass a filter, those of some pages at a time, with no page locked.
pub(crate) fn select(index: &Index, filter: &Filter, mut found: impl FnMut(&[Match])) {
    let (mut entries, mut matches) = (Vec::new(), Vec::new());
    for blocks in chain(index).chunks(PAGES) {
        matches.clear();
        select_in(index, filter, blocks, &mut entries, &mut matches);
        found(&matches);
    }
}

/// Counts the rows that pass a filter, and adds their elements to a set.
pub(crate) fn select_elements(
    index: &Index,
    filter: &Filter,
    mut set: Option<&mut ElementSet>,
) -> Selected {
    let mut selected = Selected::default();
    let mut entries = Vec::new();
    for blocks in chain(index).chunks(PAGES) {
        selected.pages += blocks.len() as u64;
        selected.rows += each_page(index, filter, blocks, &mut entries, |page, entries| {
            selected.passing += entries.len() as u64;
            if let Some(set) = &mut set {
                for &entry in entries {
                    set.insert(page.element(entry));
                }
            }
        });
    }
    selected
}

/// Appends the rows of some filter pages that pass; returns the number of rows in these pages.
fn select_in(
    index: &Index,
    filter: &Filter,
    blocks: &[u32],
    entries: &mut Vec<u16>,
    matches: &mut Vec<Match>,
) -> u64 {
    let per_page = index.geometry().keys.map_or(0, |shape| shape.per_page);
    let most = blocks.len() * usize::from(per_page);
    if matches.try_reserve(most).is_err() {
        error::out_of_memory(most * size_of::<Match>());
    }
    each_page(index, filter, blocks, entries, |page, entries| {
        matches.extend(entries.iter().map(|&entry| Match {
            element: page.element(entry),
            row: page.heap_tid(entry),
        }));
    })
}

/// Calls `found` with some filter pages and the numbers of their entries that pass; returns the number of rows in these pages.
/// `found` runs while the page is locked: it may not panic or allocate.
fn each_page(
    index: &Index,
    filter: &Filter,
    blocks: &[u32],
    entries: &mut Vec<u16>,
    mut found: impl FnMut(&FilterPage<'_>, &[u16]),
) -> u64 {
    let Some(shape) = index.geometry().keys else {
        return 0;
    };
    if entries.try_reserve(shape.per_page.into()).is_err() {
        error::out_of_memory(usize::from(shape.per_page) * size_of::<u16>());
    }
    let mut rows = 0;
    let mut reader = Reader::new(index.relation(), index.hints().borrow_mut());
    if !blocks.iter().all(|&block| reader.has_block(block)) {
        drop(reader);
        let missing = blocks.iter().max().copied().unwrap_or_default();
        index.corrupt(missing, Corrupt::NoSuchBlock(missing));
    }
    let mut ahead = Ahead::new(&reader, shape, filter, blocks);
    locked::visit::<Filters>(index, &mut reader, blocks, |range, page| {
        rows += u64::from(page.count());
        let may_match = filter.may_match(&page.zone());
        ahead.load(range.end, may_match);
        if may_match {
            entries.clear();
            filter.select(&page.entries(), entries);
            found(page, entries);
            ahead.note(entries.len());
        }
        Ok(())
    });
    rows
}

/// Loads the next filter page into the processor's cache while one is read: its arrays are too short, and too far from the last
/// page's, for the processor to do so by itself.
struct Ahead<'a> {
    /// The addresses of the pages, null if not known.
    pages: [*const u8; PAGES],
    shape: FilterShape,
    filter: &'a Filter,
    /// True if most cache lines of the elements are needed.
    needs_elements: bool,
}

impl<'a> Ahead<'a> {
    /// One entry in this many passes, so that most cache lines of the elements are needed, 16 elements each.
    const DENSE: usize = 24;

    fn new(reader: &Reader<'_>, shape: FilterShape, filter: &'a Filter, blocks: &[u32]) -> Self {
        let mut pages = [std::ptr::null(); PAGES];
        for (page, &block) in pages.iter_mut().zip(blocks) {
            *page = reader.likely_page(block);
        }
        Self {
            pages,
            shape,
            filter,
            needs_elements: false,
        }
    }

    /// Notes the number of entries of a page that passed.
    fn note(&mut self, passed: usize) {
        self.needs_elements = passed * Self::DENSE >= usize::from(self.shape.per_page);
    }

    /// Starts to load a page: its head only, if the last one had nothing to read.
    #[inline]
    fn load(&self, number: usize, may_match: bool) {
        let Some(&page) = self.pages.get(number).filter(|page| !page.is_null()) else {
            return;
        };
        let load = |bytes: Range<usize>| {
            distance::prefetch_at(page.wrapping_add(bytes.start), bytes.len());
        };
        load(self.shape.head());
        if may_match {
            load(self.shape.flags());
            for column in self.filter.columns() {
                load(self.shape.images_range(column));
            }
        }
        if may_match && self.needs_elements {
            load(self.shape.elements_range());
        }
    }
}

/// The filter pages of an index. New pages come first in the chain and none leaves it, so the pages known before are not read.
fn chain(index: &Index) -> Rc<[u32]> {
    let relation = index.relation();
    let mut next = metapage::read(relation).filter_first;
    let known = Rc::clone(&index.filter_pages().borrow());
    let mut pages = Vec::new();
    while let Some(block) = next.filter(|block| known.first() != Some(block)) {
        interrupt::check();
        index.check_block(block);
        if pages.len() > relation.blocks() as usize {
            index.corrupt(block, Corrupt::EndlessFilter);
        }
        pages.push(block);
        let page = LockedPage::<Filters>::lock(index, block, Access::Share);
        next = page.read(|page| Ok(page.next()));
    }
    if pages.is_empty() {
        return known;
    }
    pages.extend_from_slice(&known);
    let pages: Rc<[u32]> = pages.into();
    index.filter_pages().replace(Rc::clone(&pages));
    pages
}
