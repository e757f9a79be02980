//! Writes a graph to pages: slots in the page order of the build, page images made by the pool and written sequentially.

use std::collections::VecDeque;

use hnsw::{ElementId, Level};
use layout::{
    CENTER_VALUES, ElementPageMut, EntryPoint, Frozen, Geometry, Group, HeapTid, INLINE_TIDS,
    Metapage, NewElement, OverflowId, OverflowPageMut, SlotId, Slots, UpperId, UpperPageMut,
};
use pgrx::pg_sys::ForkNumber::{self, INIT_FORKNUM};

use super::keys::Keys;
use super::source::{OverflowRows, Source};
use super::workers::{Pending, Workers};
use crate::error;
use crate::pg::progress::{self, Counter};
use crate::pg::{Relation, interrupt};
use crate::storage::buffer::{Page, log_all_pages};
use crate::storage::bulk::{BulkWriter, PageImage};
use crate::storage::metapage::METAPAGE;

/// Writes an index without elements to a fork.
pub(crate) fn write_empty(index: Relation, frozen: &Frozen, fork: ForkNumber::Type) {
    write_metapage(index, fork, &empty(frozen));
    if fork == INIT_FORKNUM || index.needs_wal() {
        log_all_pages(index, fork);
    }
}

/// Pages filled by one task.
const PAGES_OF_A_TASK: usize = 32;

/// Writes all pages of an index; returns the first page of elements.
pub(super) fn write(
    workers: &Workers,
    index: Relation,
    frozen: &Frozen,
    center: Option<&[f32]>,
    source: &mut impl Source,
    mut keys: Option<Keys>,
) -> u32 {
    let center_pages = center.map_or(0, |center| center.len().div_ceil(CENTER_VALUES));
    let first_block = METAPAGE + 1 + u32::try_from(center_pages).expect("a center takes few pages");
    let frozen = Frozen {
        center_block: center.map(|_| METAPAGE + 1),
        ..*frozen
    };
    let plan = Plan::new(&frozen, first_block, source);
    let filter_pages = keys.as_ref().map_or(0, Keys::pages);
    progress::set(Counter::BlocksDone, 0);
    progress::set(
        Counter::BlocksTotal,
        u64::from(plan.overflow_pages.end()) + u64::from(filter_pages),
    );
    let mut writer = BulkWriter::new(index);
    let mut metapage = PageImage::EMPTY;
    plan.metapage(source, keys.as_ref()).init(&mut metapage.0);
    writer.write(std::slice::from_mut(&mut metapage));
    write_center(&mut writer, center.unwrap_or_default(), first_block);
    plan.write_elements(&mut writer, workers, source, keys.as_mut());
    plan.write_upper(&mut writer, source);
    plan.write_overflow(&mut writer, source, keys.as_mut());
    if let Some(keys) = keys {
        keys.write(&mut writer, &frozen.geometry);
    }
    writer.finish();
    first_block
}

fn empty(frozen: &Frozen) -> Metapage {
    Metapage {
        frozen: *frozen,
        entry_point: None,
        element_free: None,
        upper_free: None,
        overflow_free: None,
        filter_first: None,
        filter_free: None,
        removals: 0,
        calibrated: None,
        learned: None,
        looked_at: 0,
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
fn write_center(writer: &mut BulkWriter, center: &[f32], end: u32) {
    for (block, values) in (METAPAGE + 1..end).zip(center.chunks(CENTER_VALUES)) {
        let mut page = PageImage::EMPTY;
        let next = (block + 1 < end).then_some(block + 1);
        layout::init_center_page(&mut page.0, values, next);
        writer.write(std::slice::from_mut(&mut page));
    }
}

/// The assignment of slots: elements in page order, then upper lists, then overflow slots.
struct Plan {
    frozen: Frozen,
    elements: Run<ElementId>,
    /// The elements of upper layers, by position, and the first list of each.
    upper: Vec<Upper>,
    /// The upper pages with room, in order. Not only the last: the lists of an element are adjacent, and the remainder of a
    /// page may have been too small for them.
    upper_with_room: Vec<u32>,
    overflow_pages: Run<OverflowId>,
}

/// Consecutive pages of one kind, and the slots taken in them.
#[derive(Clone, Copy)]
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

    /// Takes consecutive slots of one page; a remainder too small for them stays free.
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

    /// The last page, if it has room: the only page of the free list.
    fn with_room(&self) -> Option<u32> {
        (!self.taken.is_multiple_of(self.per_page())).then(|| self.end() - 1)
    }
}

impl Plan {
    fn new(frozen: &Frozen, first_block: u32, source: &impl Source) -> Self {
        let geometry = &frozen.geometry;
        let mut elements = Run::new(geometry.element, first_block);
        elements.taken = source.len();
        let mut upper_pages = Run::new(geometry.upper, elements.end());
        let upper: Vec<_> = source
            .upper_elements()
            .into_iter()
            .map(|(place, level)| (place, level, upper_pages.take(level.into())))
            .collect();
        let upper_with_room = pages_with_room(&upper, geometry.upper);
        let mut overflow_pages = Run::new(geometry.overflow, upper_pages.end());
        overflow_pages.taken = source.overflow_slots();
        Self {
            frozen: *frozen,
            elements,
            upper,
            upper_with_room,
            overflow_pages,
        }
    }

    fn metapage(&self, source: &impl Source, keys: Option<&Keys>) -> Metapage {
        let first_filter = self.overflow_pages.end();
        let filter_pages = keys.map_or(0, Keys::pages);
        let mut frozen = self.frozen;
        frozen.built_elements = self.elements.taken.into();
        let entry_point = source.entry_point().map(|(place, level)| EntryPoint {
            element: self.elements.id(place),
            level,
        });
        Metapage {
            entry_point,
            element_free: self.elements.with_room(),
            upper_free: self.upper_with_room.first().copied(),
            overflow_free: self.overflow_pages.with_room(),
            filter_first: (filter_pages > 0).then_some(first_filter),
            filter_free: keys
                .filter(|keys| keys.has_room())
                .map(|_| first_filter + filter_pages - 1),
            ..empty(&frozen)
        }
    }

    /// This thread collects the contents of a batch of pages, the pool fills the pages, this thread writes them in order.
    fn write_elements(
        &self,
        writer: &mut BulkWriter,
        workers: &Workers,
        source: &mut impl Source,
        mut keys: Option<&mut Keys>,
    ) {
        let per_task = self.elements.per_page() * PAGES_OF_A_TASK as u32;
        let mut pending = VecDeque::new();
        let mut upper = self.upper.iter().peekable();
        for first in (0..self.elements.taken).step_by(per_task as usize) {
            interrupt::check();
            if pending.len() > workers.threads() {
                write_next(writer, workers, &mut pending);
            }
            let mut batch = Batch::new(first, self);
            for place in first..self.elements.taken.min(first.saturating_add(per_task)) {
                let upper = upper.next_if(|upper| upper.0 == place);
                let tids = batch.take(place, upper.map(|&(_, level, id)| (level, id)), source);
                if let Some(keys) = &mut keys {
                    for &tid in tids {
                        keys.set_element(tid, self.elements.id(place));
                    }
                }
            }
            pending.push_back(workers.submit(move || batch.pages()));
        }
        while !pending.is_empty() {
            write_next(writer, workers, &mut pending);
        }
    }

    fn write_upper(&self, writer: &mut BulkWriter, source: &impl Source) {
        let geometry = &self.frozen.geometry;
        let mut neighbors = Vec::new();
        let mut with_room = self.upper_with_room.as_slice();
        for page_of in by_page(&self.upper, geometry.upper) {
            let mut page = PageImage::EMPTY;
            let mut view = UpperPageMut::init(&mut page.0, geometry);
            for &(place, level, id) in page_of {
                let (_, slot) = geometry.upper.split(id);
                view.write_run(slot, self.elements.id(place), level)
                    .expect("the plan gave these slots to this element");
                for (level, slot) in (1..=level).zip(slot..) {
                    neighbors.clear();
                    source.upper_neighbors(place, level, &mut neighbors);
                    let ids: Vec<_> = neighbors.iter().map(|&n| self.elements.id(n)).collect();
                    view.slot(slot).expect("written above").set_neighbors(&ids);
                }
            }
            if with_room.first() == Some(&writer.next()) {
                with_room = &with_room[1..];
                let next = with_room.first().copied();
                layout::list_page(&mut page.0, next).expect("the page was filled just now");
            }
            writer.write(std::slice::from_mut(&mut page));
        }
    }

    fn write_overflow(
        &self,
        writer: &mut BulkWriter,
        source: &mut impl Source,
        mut keys: Option<&mut Keys>,
    ) {
        let geometry = &self.frozen.geometry;
        let per_page = self.overflow_pages.per_page() as usize;
        let mut rows = OverflowRows::default();
        for first in (0..self.overflow_pages.taken).step_by(per_page) {
            let mut page = PageImage::EMPTY;
            let mut view = OverflowPageMut::init(&mut page.0, geometry);
            for number in (first..self.overflow_pages.taken).take(per_page) {
                source.overflow(number, &mut rows);
                let (_, slot) = geometry.overflow.split(self.overflow_pages.id(number));
                let next = rows.next.map(|next| self.overflow_pages.id(next));
                view.write(slot, self.elements.id(rows.owner), next, rows.serial)
                    .expect("the plan gave this slot to this element");
                let mut written = view.slot(slot).expect("written above");
                for &tid in &rows.tids {
                    let fits = written.add_tid(tid);
                    assert!(fits, "a slot takes as many rows as it was given");
                    if let Some(keys) = &mut keys {
                        keys.set_element(tid, self.elements.id(rows.owner));
                    }
                }
            }
            list_if_roomy(&mut page, writer.next(), self.overflow_pages.with_room());
            writer.write(std::slice::from_mut(&mut page));
        }
    }
}

fn write_next(
    writer: &mut BulkWriter,
    workers: &Workers,
    pending: &mut VecDeque<Pending<Vec<PageImage>>>,
) {
    let first = pending
        .pop_front()
        .expect("asked for only when there is one");
    writer.write(&mut workers.wait(&first, || {}));
    progress::set(Counter::BlocksDone, writer.next().into());
}

/// An element of upper layers: its position, its level, its first list.
type Upper = (u32, Level, UpperId);

/// Groups elements by the page of their upper lists.
fn by_page(upper: &[Upper], slots: Slots<UpperId>) -> impl Iterator<Item = &[Upper]> {
    upper.chunk_by(move |a, b| slots.split(a.2).0 == slots.split(b.2).0)
}

/// The pages with free slots after their last list.
fn pages_with_room(upper: &[Upper], slots: Slots<UpperId>) -> Vec<u32> {
    let last_of_pages = by_page(upper, slots).filter_map(|page| page.last());
    last_of_pages
        .filter_map(|&(_, level, first)| {
            let (block, slot) = slots.split(first);
            (slot + u16::from(level) < slots.per_page).then_some(block)
        })
        .collect()
}

/// Lists the page as free if it is the page with room, the only one of its free list.
fn list_if_roomy(page: &mut PageImage, block: u32, with_room: Option<u32>) {
    if with_room == Some(block) {
        layout::list_page(&mut page.0, None).expect("the page was filled just now");
    }
}

/// Consecutive elements, with the contents of their pages.
struct Batch {
    first: u32,
    run: Run<ElementId>,
    overflow: Run<OverflowId>,
    geometry: Geometry,
    elements: Vec<ElementRows>,
    codes: Vec<u8>,
    /// Positions of the neighbors of all elements, `ElementRows::neighbors` each, then those in its group.
    neighbors: Vec<u32>,
}

/// The contents of an element's slot, except its code and neighbors.
struct ElementRows {
    upper: Option<(Level, UpperId)>,
    neighbors: usize,
    /// The group, and the number of neighbors there.
    group: Option<(Group, usize)>,
    tids: [HeapTid; INLINE_TIDS],
    tid_count: usize,
    overflow: Option<u32>,
}

impl Batch {
    fn new(first: u32, plan: &Plan) -> Self {
        Self {
            first,
            run: plan.elements,
            overflow: plan.overflow_pages,
            geometry: plan.frozen.geometry,
            elements: Vec::new(),
            codes: Vec::new(),
            neighbors: Vec::new(),
        }
    }

    /// Adds the next element; returns the rows in its own slot.
    fn take(
        &mut self,
        place: u32,
        upper: Option<(Level, UpperId)>,
        source: &mut impl Source,
    ) -> &[HeapTid] {
        let before = self.neighbors.len();
        let rows = source.element(place, &mut self.codes, &mut self.neighbors);
        let after = self.neighbors.len();
        let group = source.group(place, &mut self.neighbors);
        self.elements.push(ElementRows {
            upper,
            neighbors: after - before,
            group: group.map(|group| (group, self.neighbors.len() - after)),
            tids: [rows.first, rows.second.unwrap_or(rows.first)],
            tid_count: 1 + usize::from(rows.second.is_some()),
            overflow: rows.overflow,
        });
        let rows = self.elements.last().expect("pushed just now");
        &rows.tids[..rows.tid_count]
    }

    fn pages(self) -> Vec<PageImage> {
        let per_page = usize::from(self.geometry.element.per_page);
        let mut pages = vec![PageImage::EMPTY; self.elements.len().div_ceil(per_page)];
        let block = self.first_block();
        let mut codes = self.codes.chunks_exact(self.geometry.code_len);
        let mut places = self.neighbors.as_slice();
        let (mut neighbors, mut in_group) = (Vec::new(), Vec::new());
        for ((page, elements), block) in pages
            .iter_mut()
            .zip(self.elements.chunks(per_page))
            .zip(block..)
        {
            let mut view = ElementPageMut::init(&mut page.0, &self.geometry);
            for element in elements {
                let mut take = |count, into: &mut Vec<ElementId>| {
                    let mine = places
                        .split_off(..count)
                        .expect("as many as the element says");
                    into.clear();
                    into.extend(mine.iter().map(|&place| self.run.id(place)));
                };
                take(element.neighbors, &mut neighbors);
                take(element.group.map_or(0, |(_, count)| count), &mut in_group);
                view.append(&NewElement {
                    level: element.upper.map_or(0, |(level, _)| level),
                    code: codes.next().expect("every element has its code"),
                    center: 0,
                    neighbors: &neighbors,
                    tids: &element.tids[..element.tid_count],
                    upper: element.upper.map(|(_, id)| id),
                    overflow: element.overflow.map(|number| self.overflow.id(number)),
                    group: element.group.map(|(group, _)| (group, in_group.as_slice())),
                })
                .expect("a page takes as many elements as the geometry says");
            }
            list_if_roomy(page, block, self.run.with_room());
        }
        pages
    }

    fn first_block(&self) -> u32 {
        self.run.first_block + self.first / self.run.per_page()
    }
}
