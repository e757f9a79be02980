//! From a graph in memory to pages: slots in the order that the build chose, pages one after the other, WAL at the end.

use hnsw::{ElementId, Level, MemoryGraph};
use layout::{
    CENTER_VALUES, ElementPageMut, EntryPoint, Frozen, HeapTid, INLINE_TIDS, Metapage, NewElement,
    OVERFLOW_TIDS, OverflowId, OverflowPageMut, SlotId, Slots, UpperId, UpperPageMut,
};
use pgrx::pg_sys::ForkNumber::{self, INIT_FORKNUM, MAIN_FORKNUM};

use super::feed::Elements;
use crate::error;
use crate::pg::{Relation, interrupt};
use crate::storage::buffer::{Page, log_all_pages};
use crate::storage::metapage::METAPAGE;

/// Writes an index without elements to a fork.
pub(crate) fn write_empty(index: Relation, frozen: &Frozen, fork: ForkNumber::Type) {
    write_metapage(index, fork, &empty(frozen));
    if fork == INIT_FORKNUM || index.needs_wal() {
        log_all_pages(index, fork);
    }
}

/// Writes all pages of an index.
pub(super) fn write(
    index: Relation,
    frozen: &Frozen,
    center: Option<&[f32]>,
    elements: &Elements,
    graph: &MemoryGraph,
) {
    let center_pages = center.map_or(0, |center| center.len().div_ceil(CENTER_VALUES));
    let first_block = METAPAGE + 1 + u32::try_from(center_pages).expect("a center takes few pages");
    let frozen = Frozen {
        center_block: center.map(|_| METAPAGE + 1),
        ..*frozen
    };
    let plan = Plan::new(&frozen, first_block, elements, graph);
    write_metapage(index, MAIN_FORKNUM, &plan.metapage());
    write_center(index, center.unwrap_or_default(), first_block);
    plan.write_elements(index);
    plan.write_upper(index);
    plan.write_overflow(index);
    if index.needs_wal() {
        log_all_pages(index, MAIN_FORKNUM);
    }
}

fn empty(frozen: &Frozen) -> Metapage {
    Metapage {
        frozen: *frozen,
        entry_point: None,
        element_free: None,
        upper_free: None,
        overflow_free: None,
    }
}

fn write_metapage(index: Relation, fork: ForkNumber::Type, metapage: &Metapage) {
    let mut page = Page::extend(index, fork);
    assert_eq!(
        page.block(),
        METAPAGE,
        "the metapage is the first of a new index"
    );
    metapage.init(page.bytes_mut());
    page.mark_dirty();
}

/// Writes the center in a chain of pages that ends before `end`.
fn write_center(index: Relation, center: &[f32], end: u32) {
    for (block, values) in (METAPAGE + 1..end).zip(center.chunks(CENTER_VALUES)) {
        let mut page = extend(index, block);
        layout::init_center_page(
            page.bytes_mut(),
            values,
            (block + 1 < end).then_some(block + 1),
        );
        page.mark_dirty();
    }
}

/// Which element goes where. Elements lie in the graph's page order, then upper lists, then overflow slots.
struct Plan<'a> {
    frozen: &'a Frozen,
    elements: &'a Elements,
    graph: &'a MemoryGraph,
    /// Place of each element in the page order.
    position: Vec<u32>,
    element_pages: Run<ElementId>,
    /// By element: its first upper list.
    upper: Vec<Option<UpperId>>,
    upper_pages: Run<UpperId>,
    overflow_pages: Run<OverflowId>,
}

/// Consecutive pages of one kind, and the slots taken in them.
struct Run<Id> {
    slots: Slots<Id>,
    first_block: u32,
    taken: u32,
}

impl<Id: SlotId> Run<Id> {
    fn new(slots: Slots<Id>, first_block: u32) -> Self {
        Self {
            slots,
            first_block,
            taken: 0,
        }
    }

    fn per_page(&self) -> u32 {
        self.slots.per_page.into()
    }

    /// Takes consecutive slots of one page, leaving free what is too narrow.
    fn take(&mut self, slots: u32) -> Id {
        let room = self.per_page() - self.taken % self.per_page();
        if room < slots {
            self.taken += room;
        }
        let id = self.id(self.taken);
        self.taken += slots;
        id
    }

    fn id(&self, slot: u32) -> Id {
        let within = u16::try_from(slot % self.per_page()).expect("less than a page has");
        self.slots
            .join(self.first_block + slot / self.per_page(), within)
            .unwrap_or_else(|| error::index_full())
    }

    fn pages(&self) -> u32 {
        self.taken.div_ceil(self.per_page())
    }

    fn end(&self) -> u32 {
        self.first_block + self.pages()
    }

    /// The last page, if it has room: the head of the free list.
    fn with_room(&self) -> Option<u32> {
        (!self.taken.is_multiple_of(self.per_page())).then(|| self.end() - 1)
    }
}

impl<'a> Plan<'a> {
    fn new(
        frozen: &'a Frozen,
        first_block: u32,
        elements: &'a Elements,
        graph: &'a MemoryGraph,
    ) -> Self {
        let geometry = &frozen.geometry;
        let mut element_pages = Run::new(geometry.element, first_block);
        element_pages.taken = u32::try_from(elements.len()).unwrap_or_else(|_| error::index_full());
        let mut position = vec![0; elements.len()];
        for (place, &element) in (0..).zip(graph.order()) {
            position[element as usize] = place;
        }
        let mut upper_pages = Run::new(geometry.upper, element_pages.end());
        let mut upper = vec![None; elements.len()];
        for &element in graph.order() {
            let level = graph.level(ElementId(element));
            upper[element as usize] = (level > 0).then(|| upper_pages.take(level.into()));
        }
        let mut overflow_pages = Run::new(geometry.overflow, upper_pages.end());
        for rows in elements.more.chunk_by(|a, b| a.0 == b.0) {
            let slots = (rows.len() + 1)
                .saturating_sub(INLINE_TIDS)
                .div_ceil(OVERFLOW_TIDS);
            overflow_pages.taken += u32::try_from(slots).unwrap_or_else(|_| error::index_full());
        }
        Self {
            frozen,
            elements,
            graph,
            position,
            element_pages,
            upper,
            upper_pages,
            overflow_pages,
        }
    }

    fn metapage(&self) -> Metapage {
        let mut frozen = *self.frozen;
        frozen.built_elements = self.elements.len() as u64;
        let entry_point = self.graph.entry_point().map(|(element, level)| EntryPoint {
            element: self.id(element.0),
            level,
        });
        Metapage {
            entry_point,
            element_free: self.element_pages.with_room(),
            upper_free: self.upper_pages.with_room(),
            overflow_free: self.overflow_pages.with_room(),
            ..empty(&frozen)
        }
    }

    /// The id on pages of an element of the build.
    fn id(&self, element: u32) -> ElementId {
        self.element_pages.id(self.position[element as usize])
    }

    fn neighbors(&self, element: u32, level: Level, into: &mut Vec<ElementId>) {
        into.clear();
        into.extend(
            self.graph
                .neighbors(ElementId(element), level)
                .iter()
                .map(|&neighbor| self.id(neighbor)),
        );
    }

    fn write_elements(&self, index: Relation) {
        let geometry = &self.frozen.geometry;
        // Overflow slots are taken in the order of the elements' numbers, as the plan counted them.
        let overflow = self.overflow_heads();
        let mut neighbors = Vec::new();
        for (block, page) in (self.element_pages.first_block..)
            .zip(self.graph.order().chunks(geometry.element.per_page.into()))
        {
            interrupt::check();
            let mut buffer = extend(index, block);
            let mut view = ElementPageMut::init(buffer.bytes_mut(), geometry);
            for &element in page {
                self.neighbors(element, 0, &mut neighbors);
                let rows = self.more(element);
                let first = self.elements.tids[element as usize];
                let tids = [first, rows.first().map_or(first, |row| row.1)];
                view.append(&NewElement {
                    level: self.graph.level(ElementId(element)),
                    code: self.elements.codes.get(element),
                    neighbors: &neighbors,
                    tids: &tids[..1 + usize::from(!rows.is_empty())],
                    upper: self.upper[element as usize],
                    overflow: overflow
                        .binary_search_by_key(&element, |head| head.0)
                        .ok()
                        .map(|at| overflow[at].1),
                })
                .expect("a page takes as many elements as the geometry says");
            }
            finish(buffer, self.element_pages.with_room());
        }
    }

    /// Rows of an element beyond the first.
    fn more(&self, element: u32) -> &[(u32, HeapTid)] {
        let more = &self.elements.more;
        let start = more.partition_point(|row| row.0 < element);
        let end = start + more[start..].partition_point(|row| row.0 == element);
        &more[start..end]
    }

    /// Elements with more rows than they hold themselves, and the head of the chain of each.
    fn overflow_heads(&self) -> Vec<(u32, OverflowId)> {
        self.overflow_slots()
            .filter(|slot| slot.is_first)
            .map(|slot| (slot.element, slot.id))
            .collect()
    }

    fn overflow_slots(&self) -> impl Iterator<Item = OverflowSlotPlan<'_>> {
        let lists = self
            .elements
            .more
            .chunk_by(|a, b| a.0 == b.0)
            .flat_map(|rows| {
                let beyond = rows.get(INLINE_TIDS - 1..).unwrap_or_default();
                let last = beyond.len().div_ceil(OVERFLOW_TIDS).saturating_sub(1);
                beyond
                    .chunks(OVERFLOW_TIDS)
                    .enumerate()
                    .map(move |(at, rows)| (at == 0, last - at, rows))
            });
        lists
            .zip(0..)
            .map(|((is_first, serial, rows), slot)| OverflowSlotPlan {
                element: rows[0].0,
                id: self.overflow_pages.id(slot),
                is_first,
                next: (serial > 0).then(|| self.overflow_pages.id(slot + 1)),
                serial: u32::try_from(serial).unwrap_or_else(|_| error::index_full()),
                rows,
            })
    }

    fn write_upper(&self, index: Relation) {
        let geometry = &self.frozen.geometry;
        let mut neighbors = Vec::new();
        let mut open: Option<(u32, Page)> = None;
        for &element in self.graph.order() {
            let Some(upper) = self.upper[element as usize] else {
                continue;
            };
            let (block, slot) = geometry.upper.split(upper);
            if open.as_ref().is_none_or(|(opened, _)| *opened != block) {
                if let Some((_, page)) = open.take() {
                    finish(page, self.upper_pages.with_room());
                }
                interrupt::check();
                let mut page = extend(index, block);
                UpperPageMut::init(page.bytes_mut(), geometry);
                open = Some((block, page));
            }
            let (_, page) = open.as_mut().expect("opened above");
            let mut view =
                UpperPageMut::view(page.bytes_mut(), geometry).expect("initialised above");
            let level = self.graph.level(ElementId(element));
            view.write_run(slot, self.id(element), level)
                .expect("the plan gave these slots to this element");
            for (level, slot) in (1..=level).zip(slot..) {
                self.neighbors(element, level, &mut neighbors);
                view.slot(slot)
                    .expect("written above")
                    .set_neighbors(&neighbors);
            }
        }
        if let Some((_, page)) = open {
            finish(page, self.upper_pages.with_room());
        }
    }

    fn write_overflow(&self, index: Relation) {
        let geometry = &self.frozen.geometry;
        let mut slots = self.overflow_slots().peekable();
        for block in self.overflow_pages.first_block..self.overflow_pages.end() {
            interrupt::check();
            let mut page = extend(index, block);
            let mut view = OverflowPageMut::init(page.bytes_mut(), geometry);
            while let Some(plan) = slots.next_if(|plan| geometry.overflow.split(plan.id).0 == block)
            {
                let slot = geometry.overflow.split(plan.id).1;
                view.write(slot, plan.element_id(self), plan.next, plan.serial)
                    .expect("the plan gave this slot to this element");
                let mut written = view.slot(slot).expect("written above");
                for &(_, tid) in plan.rows {
                    assert!(
                        written.add_tid(tid),
                        "a slot takes as many rows as it was given"
                    );
                }
            }
            finish(page, self.overflow_pages.with_room());
        }
    }
}

/// An overflow slot to be written.
struct OverflowSlotPlan<'a> {
    element: u32,
    id: OverflowId,
    is_first: bool,
    next: Option<OverflowId>,
    /// Goes down along the chain, to 0.
    serial: u32,
    rows: &'a [(u32, HeapTid)],
}

impl OverflowSlotPlan<'_> {
    fn element_id(&self, plan: &Plan<'_>) -> ElementId {
        plan.id(self.element)
    }
}

/// Adds the next page, which has to be the block that the plan says.
fn extend(index: Relation, block: u32) -> Page {
    let page = Page::extend(index, MAIN_FORKNUM);
    assert_eq!(
        page.block(),
        block,
        "nobody else adds pages to an index that is being built"
    );
    page
}

/// A page with room is the only one in its free list.
fn finish(mut page: Page, with_room: Option<u32>) {
    if with_room == Some(page.block()) {
        layout::list_page(page.bytes_mut(), None).expect("the page was written just now");
    }
    page.mark_dirty();
}
