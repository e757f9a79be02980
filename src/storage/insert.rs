//! A row joins the graph in an index's pages: `hnsw::StoreMut` over buffers.
//!
//! Each change of a page is a record of its own, and one page is locked at a time (an element with its upper lists, or
//! with an overflow slot: in that order, the metapage last). A crash between the element and the links to it leaves an
//! element that searches may not reach; vacuum links it.

use std::cell::RefCell;

use hnsw::{Candidate, ElementId, Level, Search, Store, StoreMut, max_neighbors};
use layout::{
    Corrupt, ElementPage, ElementPageMut, EntryPoint, HeapTid, NewElement, OverflowId,
    OverflowPageMut, PageKind, UpperId, UpperPage, UpperPageMut,
};
use quantize::Query;

use super::allocate::{self, Place};
use super::buffer::{Access, Page};
use super::codes::Codes;
use super::index::Index;
use super::metapage::Locked;
use super::page_graph::PageGraph;
use super::record::{Image, Record};
use crate::pg::lock::InsertLock;

thread_local! {
    static SEARCH: RefCell<Search> = RefCell::new(Search::new());
}

/// Adds a row to the index. `vector` is prepared as the operator class wants it (normalised for cosine).
pub(crate) fn insert(index: &Index, ef_construction: usize, vector: &[f32], tid: HeapTid) {
    let mut code = vec![0; index.codec().code_len()];
    index.codec().encode(vector, &mut code);
    let query = index.codec().query(vector);
    let level = hnsw::level_of(level_key(tid), index.geometry().m.into());
    let lock = lock(index);
    let mut hints = index.hints().borrow_mut();
    let mut insertion = Insertion {
        graph: PageGraph::new(index, &mut hints),
        code,
        tid,
    };
    let params = index.params(ef_construction);
    // Taken for the time of the insert, so that an error in between leaves no borrow behind.
    let mut search = SEARCH.take();
    hnsw::insert(&mut insertion, &mut search, &query, &params, level);
    SEARCH.set(search);
    lock.release();
}

/// Many inserts run side by side; the one that finds the index empty runs alone, or two of them would both be first.
fn lock(index: &Index) -> InsertLock {
    let relation = index.relation();
    let lock = InsertLock::share(relation);
    if super::metapage::read(relation).entry_point.is_some() {
        return lock;
    }
    lock.release();
    InsertLock::exclusive(relation)
}

fn level_key(tid: HeapTid) -> u64 {
    u64::from(tid.block) << 16 | u64::from(tid.offset)
}

/// An insert in progress.
struct Insertion<'a> {
    graph: PageGraph<'a>,
    code: Vec<u8>,
    tid: HeapTid,
}

impl<'a> Insertion<'a> {
    fn index(&self) -> &'a Index {
        self.graph.index()
    }

    /// What `of` keeps of its neighbors and the new one, by Algorithm 4 over codes; none if it is gone.
    fn reselect(
        &mut self,
        of: ElementId,
        old: &[ElementId],
        new: ElementId,
        max: usize,
    ) -> Option<Vec<ElementId>> {
        let codes = Codes::read(&mut self.graph, &[&[of], old].concat());
        let base = codes.query(of)?;
        let codes = codes.with(new, &self.code);
        let candidates = codes.candidates(&base, old.iter().copied().chain([new]));
        Some(
            codes
                .select(&candidates, max)
                .iter()
                .map(|kept| kept.element)
                .collect(),
        )
    }

    fn is_live(&mut self, element: ElementId) -> bool {
        let mut live = false;
        self.graph.visit_elements(&[element], |_, page, slot| {
            live = page.slot(slot)?.is_live();
            Ok(())
        });
        live
    }

    /// Adds the row to an element that has the same code, unless vacuum is taking it away.
    fn add_row(&mut self, element: ElementId) -> bool {
        let index = self.index();
        let (block, slot) = index.geometry().element.split(element);
        let page = Page::lock(index.relation(), block, Access::Exclusive);
        let checked = |result| index.expect(block, result);
        let view = checked(
            ElementPage::view(page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
        );
        if !view.is_live() || view.code() != self.code {
            return false;
        }
        if view.heap_tids().len() == layout::INLINE_TIDS {
            add_overflow_row(index, &page, slot, element, view.overflow(), self.tid);
            return true;
        }
        let mut record = Record::begin(index.relation());
        let image = record.page(&page);
        index.expect(
            block,
            ElementPageMut::view(record.bytes(image), index.geometry())
                .and_then(|mut view| view.slot(slot).map(|mut element| element.add_tid(self.tid))),
        );
        record.commit();
        true
    }
}

/// Adds a row to the chain of an element whose own places are taken. The element's page stays locked meanwhile.
fn add_overflow_row(
    index: &Index,
    element_page: &Page,
    slot: u16,
    element: ElementId,
    first: Option<OverflowId>,
    tid: HeapTid,
) {
    if let Some(first) = first
        && add_to_overflow(index, first, tid)
    {
        return;
    }
    let place = allocate::find(index, PageKind::Overflow, 1);
    let id = index
        .geometry()
        .overflow
        .join(place.block(), place.slot)
        .unwrap_or_else(|| crate::error::index_full());
    let mut record = Record::begin(index.relation());
    let element_image = record.page(element_page);
    let image = place.record(index, &mut record);
    let written =
        OverflowPageMut::view(record.bytes(image), index.geometry()).and_then(|mut page| {
            page.write(place.slot, element, first)?;
            page.slot(place.slot).map(|mut slot| slot.add_tid(tid))
        });
    index.expect(place.block(), written);
    let linked =
        ElementPageMut::view(record.bytes(element_image), index.geometry()).and_then(|mut page| {
            page.slot(slot)
                .map(|mut element| element.set_overflow(Some(id)))
        });
    index.expect(element_page.block(), linked);
    commit_with_places(index, record, &[(&place, image)]);
}

/// Adds a row to the first overflow slot if it has room.
fn add_to_overflow(index: &Index, slot: OverflowId, tid: HeapTid) -> bool {
    let (block, slot) = index.geometry().overflow.split(slot);
    super::rows::check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let added = OverflowPageMut::view(record.bytes(image), index.geometry())
        .and_then(|mut view| view.slot(slot).map(|mut slot| slot.add_tid(tid)));
    if !index.expect(block, added) {
        return false;
    }
    record.commit();
    true
}

/// Commits a record; new pages in it become heads of their lists in the same record.
fn commit_with_places(index: &Index, mut record: Record, places: &[(&Place, Image)]) {
    if !places.iter().any(|(place, _)| place.is_new()) {
        return record.commit();
    }
    let mut metapage = Locked::acquire(index.relation());
    for (place, image) in places {
        place.enlist(&mut record, *image, &mut metapage.contents);
    }
    metapage.write(&mut record);
    record.commit();
}

impl Store for Insertion<'_> {
    type Query = Query;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point()
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        self.graph.neighbors(of, level, into);
    }

    fn measure(&mut self, query: &Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        self.graph.measure(query, elements, into);
    }
}

impl StoreMut for Insertion<'_> {
    fn select(&mut self, candidates: &[Candidate], max: usize) -> Vec<Candidate> {
        let elements: Vec<ElementId> = candidates
            .iter()
            .map(|candidate| candidate.element)
            .collect();
        Codes::read(&mut self.graph, &elements).select(candidates, max)
    }

    fn absorb(&mut self, query: &Query, candidates: &[Candidate]) -> bool {
        // Equal codes have equal distances, to the bit; few others do.
        let own = query.distance(&self.code);
        candidates
            .iter()
            .filter(|candidate| candidate.live && candidate.distance.to_bits() == own.to_bits())
            .any(|candidate| self.add_row(candidate.element))
    }

    fn add(&mut self, _: &Query, neighbors: &[Vec<Candidate>]) -> ElementId {
        let index = self.index();
        let lists: Vec<Vec<ElementId>> = neighbors
            .iter()
            .map(|list| list.iter().map(|neighbor| neighbor.element).collect())
            .collect();
        let level = Level::try_from(lists.len() - 1).expect("levels are capped");
        let place = allocate::find(index, PageKind::Element, 1);
        let element = index
            .geometry()
            .element
            .join(place.block(), place.slot)
            .unwrap_or_else(|| crate::error::index_full());
        let upper_place = (level > 0).then(|| allocate::find(index, PageKind::Upper, level));
        let mut record = Record::begin(index.relation());
        let image = place.record(index, &mut record);
        let mut places = vec![(&place, image)];
        let mut upper = None;
        if let Some(upper_place) = &upper_place {
            let upper_image = upper_place.record(index, &mut record);
            upper = Some(write_upper(
                index,
                &mut record,
                upper_image,
                upper_place,
                element,
                &lists[1..],
            ));
            places.push((upper_place, upper_image));
        }
        let new = NewElement {
            level,
            code: &self.code,
            neighbors: &lists[0],
            tids: &[self.tid],
            upper,
            overflow: None,
        };
        let written = ElementPageMut::view(record.bytes(image), index.geometry())
            .and_then(|mut page| page.write(place.slot, &new));
        index.expect(place.block(), written);
        commit_with_places(index, record, &places);
        element
    }

    fn link(&mut self, of: ElementId, level: Level, new: ElementId, _: f32) -> bool {
        let index = self.index();
        let max = max_neighbors(index.geometry().m.into(), level);
        for _ in 0..LINK_TRIES {
            let mut old = Vec::with_capacity(max);
            self.graph.neighbors(of, level, &mut old);
            if old.contains(&new) {
                return true;
            }
            let mut list = old.clone();
            if old.len() < max {
                list.push(new);
            } else {
                match self.reselect(of, &old, new, max) {
                    Some(kept) if kept.contains(&new) => list = kept,
                    _ => return false,
                }
            }
            if replace_list(index, of, level, &old, &list) {
                return true;
            }
        }
        false
    }

    fn force_link(&mut self, of: ElementId, new: ElementId, _: f32) {
        force_link(&mut self.graph, of, new);
    }

    fn raise_entry_point(&mut self, element: ElementId, level: Level) {
        let relation = self.index().relation();
        let present = super::metapage::read(relation).entry_point;
        if present.is_some_and(|entry| entry.level >= level && self.is_live(entry.element)) {
            return;
        }
        let mut metapage = Locked::acquire(relation);
        let latest = metapage.contents.entry_point;
        if latest == present || latest.is_none_or(|entry| entry.level < level) {
            metapage.contents.entry_point = Some(EntryPoint { element, level });
            metapage.commit();
        }
    }
}

/// Somebody else may change a list between its reading and its writing; then it is read once more.
const LINK_TRIES: usize = 4;

/// Has `of` link to `new` on layer 0, in place of its furthest neighbor if its list is full.
pub(super) fn force_link(graph: &mut PageGraph<'_>, of: ElementId, new: ElementId) {
    let index = graph.index();
    let max = max_neighbors(index.geometry().m.into(), 0);
    for _ in 0..LINK_TRIES {
        let mut old = Vec::with_capacity(max);
        graph.neighbors(of, 0, &mut old);
        let mut list = old.clone();
        if list.len() >= max {
            let codes = Codes::read(graph, &[&[of], old.as_slice()].concat());
            let Some(base) = codes.query(of) else { return };
            list = codes
                .candidates(&base, old.iter().copied())
                .iter()
                .map(|kept| kept.element)
                .collect();
            list.truncate(max - 1);
        }
        list.push(new);
        if replace_list(index, of, 0, &old, &list) {
            return;
        }
    }
}

fn write_upper(
    index: &Index,
    record: &mut Record,
    image: Image,
    place: &Place,
    element: ElementId,
    lists: &[Vec<ElementId>],
) -> UpperId {
    let written = UpperPageMut::view(record.bytes(image), index.geometry()).and_then(|mut page| {
        page.write_run(
            place.slot,
            element,
            Level::try_from(lists.len()).expect("levels are capped"),
        )?;
        lists
            .iter()
            .zip(place.slot..)
            .try_for_each(|(list, slot)| page.slot(slot).map(|mut slot| slot.set_neighbors(list)))
    });
    index.expect(place.block(), written);
    index
        .geometry()
        .upper
        .join(place.block(), place.slot)
        .unwrap_or_else(|| crate::error::index_full())
}

/// Writes a neighbor list if it still is `old`; false if somebody has changed it. A dead element's list is left alone.
pub(super) fn replace_list(
    index: &Index,
    of: ElementId,
    level: Level,
    old: &[ElementId],
    new: &[ElementId],
) -> bool {
    match ListPlace::find(index, of, level) {
        Some(place) => place.replace(index, of, old, new),
        None => true,
    }
}

/// Where a neighbor list is kept.
enum ListPlace {
    Element,
    Upper(UpperId, Level),
}

impl ListPlace {
    fn find(index: &Index, of: ElementId, level: Level) -> Option<Self> {
        if level == 0 {
            return Some(Self::Element);
        }
        let (block, slot) = index.geometry().element.split(of);
        let page = Page::lock(index.relation(), block, Access::Share);
        let element = index.expect(
            block,
            ElementPage::view(page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
        );
        let upper = element
            .upper()
            .filter(|_| element.is_live() && element.level() >= level)?;
        Some(Self::Upper(upper.at(level), level))
    }

    fn replace(self, index: &Index, of: ElementId, old: &[ElementId], new: &[ElementId]) -> bool {
        match self {
            Self::Element => {
                let (block, slot) = index.geometry().element.split(of);
                let page = Page::lock(index.relation(), block, Access::Exclusive);
                let element = index.expect(
                    block,
                    ElementPage::view(page.bytes(), index.geometry())
                        .and_then(|view| view.slot(slot)),
                );
                if !element.is_live() {
                    return true;
                }
                if !element.neighbors().eq(old.iter().copied()) {
                    return false;
                }
                write_list(index, &page, |bytes| {
                    ElementPageMut::view(bytes, index.geometry())?
                        .slot(slot)
                        .map(|mut slot| slot.set_neighbors(new))
                });
            }
            Self::Upper(upper, level) => {
                let (block, slot) = index.geometry().upper.split(upper);
                super::rows::check_block(index, block);
                let page = Page::lock(index.relation(), block, Access::Exclusive);
                let list = index.expect(
                    block,
                    UpperPage::view(page.bytes(), index.geometry())
                        .and_then(|view| view.slot(slot)),
                );
                if !list.is_live() || list.element() != of || list.level() != level {
                    return true;
                }
                if !list.neighbors().eq(old.iter().copied()) {
                    return false;
                }
                write_list(index, &page, |bytes| {
                    UpperPageMut::view(bytes, index.geometry())?
                        .slot(slot)
                        .map(|mut slot| slot.set_neighbors(new))
                });
            }
        }
        true
    }
}

fn write_list(index: &Index, page: &Page, change: impl FnOnce(&mut [u8]) -> Result<(), Corrupt>) {
    let mut record = Record::begin(index.relation());
    let image = record.page(page);
    index.expect(page.block(), change(record.bytes(image)));
    record.commit();
}
