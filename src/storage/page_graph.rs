//! The graph for searches: `hnsw::Store` over buffers.
//!
//! A search copies slots by unlocked reads, without pin or lock, where possible. All other slots, and every copy with odd
//! contents, are read from a locked page; only locked pages can show damage. A copy is a guess (`pg/unlocked_read.rs`).
//! Searches tolerate wrong guesses for these reasons:
//!
//! - **A code** is written, and its page unlocked, before the first link to its element; it changes only when an insert takes a
//!   slot freed by vacuum. A search reading it half written has a snapshot from before the insert's commit: at any position
//!   in the search's results, the new element's rows are invisible. A code wrong for any other reason has the effect of a
//!   wrong bound: a row of this one search is late or missing. Any bytes are a valid code.
//! - **A neighbor list** being written may show old and new neighbors, or ids mixed from bytes of both. Only ids of slots known
//!   from a locked page to be in use are followed, so each leads to an element, and its distance is estimated from its own
//!   code. A link missed for a moment costs no more than a link not yet written.
//! - **Row pointers** are never taken from a copy, except for prefetching. Every returned row was read from its element under
//!   lock, and its exact distance was computed from the table.
//! - **Writes** are decided on locked pages: inserts get near elements from a search, then read these under lock; vacuum must
//!   miss no link and calls `locked_neighbors`.

use std::sync::Arc;

use hnsw::{Candidate, ElementId, Level, Link, Store, has_all_elements};
use layout::{
    Corrupt, ElementPage, ElementSlot, PageKind, SlotState, StoredCode, UpperId, UpperSlot,
};
use quantize::{CenteredQuery, Codecs, Coded};

use super::buffer::{Access, Reader, Scratch};
use super::gate::Gate;
use super::index::Index;
use super::locked::{self, Elements, LockedPage, Upper};
use super::metapage;
use crate::pg::interrupt;

/// The graph in an index's pages.
pub(crate) struct PageGraph<'a> {
    index: &'a Index,
    codecs: Arc<Codecs>,
    reader: Reader<'a>,
    scratch: Scratch,
    /// The metapage's count of removals, as read with the entry point.
    removals: u64,
    gate: Option<&'a Gate<'a>>,
}

impl Index {
    /// The graph, for one search or change at a time: it borrows the hints of the index.
    pub(crate) fn graph(&self) -> PageGraph<'_> {
        PageGraph::new(self)
    }
}

impl Drop for PageGraph<'_> {
    /// Returns the working memory to `Hints` for the next reader.
    fn drop(&mut self) {
        self.reader.hints.scratch = std::mem::take(&mut self.scratch);
    }
}

impl<'a> PageGraph<'a> {
    fn new(index: &'a Index) -> Self {
        let mut hints = index.hints().borrow_mut();
        let scratch = std::mem::take(&mut hints.scratch);
        Self {
            index,
            codecs: index.codecs(),
            reader: Reader::new(index.relation(), hints),
            scratch,
            removals: 0,
            gate: None,
        }
    }

    /// Limits searches to what a gate lets through.
    pub(crate) fn with_gate(mut self, gate: Option<&'a Gate<'a>>) -> Self {
        self.gate = gate;
        self
    }

    /// The count of removals at the start of a search.
    pub(crate) fn removals_at_start(&self) -> u64 {
        self.removals
    }

    /// The current count of removals. If it rose during a search, the search may have met slots freed meanwhile, and with
    /// them the end of a path.
    pub(crate) fn removals(&self) -> u64 {
        metapage::read(self.index.relation()).removals
    }

    /// Notes the count of removals for a search that starts elsewhere than at the entry point: the count before its entries were
    /// read.
    pub(crate) fn start_elsewhere(&mut self, removals: u64) {
        self.removals = removals;
    }

    /// The number of pages pinned so far.
    pub(crate) fn visits(&self) -> u64 {
        self.reader.visits
    }

    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// Calls `visit` with each element, its page and its slot number, elements and pages in ascending order. Errors returned by
    /// `visit` are raised when no lock is held.
    pub(crate) fn visit_elements(
        &mut self,
        elements: &[ElementId],
        mut visit: impl FnMut(ElementId, &ElementPage<'_>, u16) -> Result<(), Corrupt>,
    ) {
        let slots = self.index.geometry().element;
        self.scratch.batch.clear();
        self.scratch.batch.extend_from_slice(elements);
        self.scratch.batch.sort_unstable();
        self.scratch.blocks.clear();
        self.scratch.blocks.extend(
            self.scratch
                .batch
                .iter()
                .map(|&element| slots.split(element).0),
        );
        self.check_blocks();
        self.prefetch();
        let Scratch { batch, blocks, .. } = &self.scratch;
        locked::visit::<Elements>(self.index, &mut self.reader, blocks, |range, page| {
            let mut elements = batch[range].iter();
            elements.try_for_each(|&element| visit(element, page, slots.split(element).1))
        });
    }

    /// Locks the page of an element exclusively; also returns its slot.
    pub(super) fn lock(&mut self, element: ElementId) -> (LockedPage<'a, Elements>, u16) {
        let (block, slot) = self.index.geometry().element.split(element);
        let page = self.reader.lock(block, Access::Exclusive);
        (LockedPage::of(self.index, page), slot)
    }

    /// True if an element has rows.
    pub(crate) fn is_live(&mut self, element: ElementId) -> bool {
        let mut live = false;
        self.visit_elements(&[element], |_, page, slot| {
            live = page.slot(slot)?.is_live();
            Ok(())
        });
        live
    }

    /// The links from the live ones among the elements, on a layer.
    pub(crate) fn links_from(&mut self, elements: &[ElementId], level: Level) -> Vec<Link> {
        let mut links =
            Vec::with_capacity(elements.len() * usize::from(2 * self.index.geometry().m));
        if !has_all_elements(level) {
            let mut list = Vec::new();
            for &from in elements {
                if self.is_live(from) {
                    self.locked_neighbors(from, level, &mut list);
                    links.extend(list.drain(..).map(|to| Link { to, from }));
                }
            }
        } else {
            self.visit_elements(elements, |from, page, slot| {
                let element = page.slot(slot)?;
                if element.is_live() {
                    links.extend(element.list(level).map(|to| Link { to, from }));
                }
                Ok(())
            });
        }
        links
    }

    /// A link to a missing block is damage; report it here, before Postgres raises an error of its own.
    fn check_blocks(&mut self) {
        if let (Some(&first), Some(&last)) =
            (self.scratch.blocks.first(), self.scratch.blocks.last())
            && (first == metapage::METAPAGE || !self.reader.has_block(last))
        {
            let block = if first == metapage::METAPAGE {
                first
            } else {
                last
            };
            self.index.corrupt(block, Corrupt::NoSuchBlock(block));
        }
    }

    /// Prefetches all slots of the batch, with what is checked of their pages, into the processor's cache before the first is read.
    fn prefetch(&self) {
        let slots = self.index.geometry().element;
        for &element in &self.scratch.batch {
            let (block, slot) = slots.split(element);
            self.reader.prefetch_checked(block, slots.range(slot));
        }
    }

    /// Starts to load elements, which are estimated later, into the processor's cache.
    pub(crate) fn load(&self, elements: &[ElementId]) {
        let geometry = self.index.geometry();
        for &element in elements {
            let (block, slot) = geometry.element.split(element);
            self.reader.prefetch(block, geometry.measured_range(slot));
        }
    }

    /// Estimates the distances of elements with unlocked copies, and leaves the others in `missed`. All copies are made before
    /// the first is used, so the wait for memory happens once.
    fn estimate_unlocked(
        &mut self,
        query: &CenteredQuery<'static>,
        elements: &[ElementId],
        into: &mut Vec<Candidate>,
    ) {
        let geometry = self.index.geometry();
        let place = |element| {
            let (block, slot) = geometry.element.split(element);
            ((block, slot), geometry.measured_range(slot))
        };
        self.load(elements);
        let len = geometry.measured_range(0).len();
        self.scratch.room(elements.len() * len);
        let Scratch {
            batch,
            copies,
            missed,
            ..
        } = &mut self.scratch;
        batch.clear();
        missed.clear();
        for &element in elements {
            let (at, bytes) = place(element);
            let copy = &mut copies[batch.len() * len..][..len];
            if self
                .reader
                .read_unlocked(PageKind::Element, at, bytes, copy)
            {
                batch.push(element);
            } else {
                missed.push(element);
            }
        }
        for (&element, copy) in batch.iter().zip(copies.chunks_exact(len)) {
            let code = layout::copied_code(copy, geometry).ok();
            match code.and_then(|code| candidate(query, &self.codecs, element, code)) {
                Some(found) => into.extend(found),
                None => missed.push(element),
            }
        }
    }

    /// Estimates the distances of the elements left in `missed`, from locked pages.
    fn estimate_locked(&mut self, query: &CenteredQuery<'static>, into: &mut Vec<Candidate>) {
        let missed = std::mem::take(&mut self.scratch.missed);
        let codecs = Arc::clone(&self.codecs);
        let mut unknown = Vec::new();
        self.visit_elements(&missed, |element, page, slot| {
            let code = page.code(slot)?;
            match candidate(query, &codecs, element, code) {
                Some(found) => into.extend(found),
                None => unknown.push((element, code.center)),
            }
            Ok(())
        });
        self.scratch.missed = missed;
        if unknown.is_empty() {
            return;
        }
        self.scratch.missed.clear();
        for (element, center) in unknown {
            self.know(element, center);
            self.scratch.missed.push(element);
        }
        self.estimate_locked(query, into);
    }

    /// Makes the center of an element's code known: another backend may have learned it.
    pub(super) fn know(&mut self, element: ElementId, center: u8) {
        if self.codecs.get(center).is_none() {
            self.index.know(element, center);
            self.codecs = self.index.codecs();
        }
    }

    /// Copies an element's slot by an unlocked read.
    pub(super) fn element_unlocked(&mut self, element: ElementId) -> Option<ElementSlot<'_>> {
        let geometry = self.index.geometry();
        let at = geometry.element.split(element);
        let copy = self.scratch.room(geometry.element.len);
        let bytes = geometry.element.range(at.1);
        let copied = self
            .reader
            .read_unlocked(PageKind::Element, at, bytes, copy);
        copied
            .then(|| ElementSlot::copied(copy, geometry).ok())
            .flatten()
    }

    /// Appends the neighbors on layer 0 or in the element's group; false if an unlocked read failed.
    fn neighbors_unlocked(
        &mut self,
        of: ElementId,
        level: Level,
        into: &mut Vec<ElementId>,
    ) -> bool {
        let before = into.len();
        let Some(element) = self.element_unlocked(of) else {
            return false;
        };
        if element.state() != SlotState::Free {
            into.extend(element.list(level));
        }
        self.keep_known(before, into)
    }

    /// Removes the ids appended from a copy, and returns false, if one of them is not known to be an element: it may be a new
    /// element, or damage, or an id never in the list.
    #[inline]
    fn keep_known(&self, before: usize, into: &mut Vec<ElementId>) -> bool {
        let slots = self.index.geometry().element;
        let known = into[before..]
            .iter()
            .all(|&id| self.reader.knows_slot(PageKind::Element, slots.split(id)));
        if !known {
            into.truncate(before);
        }
        known
    }

    /// Appends the neighbors above layer 0; false if an unlocked read failed.
    fn upper_neighbors_unlocked(
        &mut self,
        of: ElementId,
        level: Level,
        into: &mut Vec<ElementId>,
    ) -> bool {
        let before = into.len();
        let element = self.element_unlocked(of);
        let Some(list) = element.and_then(|element| upper_list(element, level)) else {
            return false;
        };
        let geometry = self.index.geometry();
        let at = geometry.upper.split(list);
        let copy = self.scratch.room(geometry.upper.len);
        let bytes = geometry.upper.range(at.1);
        if !self.reader.read_unlocked(PageKind::Upper, at, bytes, copy) {
            return false;
        }
        match UpperSlot::copied(copy, geometry) {
            Ok(list) if is_list_of(list, of, level) => into.extend(list.neighbors()),
            _ => return false,
        }
        self.keep_known(before, into)
    }

    /// Appends the neighbors read from locked pages.
    pub(super) fn locked_neighbors(
        &mut self,
        of: ElementId,
        level: Level,
        into: &mut Vec<ElementId>,
    ) {
        let mut upper = None;
        self.visit_elements(&[of], |_, page, slot| {
            let element = page.slot(slot)?;
            if !has_all_elements(level) {
                upper = upper_list(element, level);
            } else if element.state() != SlotState::Free {
                into.extend(element.list(level));
            }
            Ok(())
        });
        let Some(list) = upper else { return };
        let at = self.index.geometry().upper.split(list);
        self.visit_upper(at, |list| {
            // The slots may belong to another element by now.
            if is_list_of(list, of, level) {
                into.extend(list.neighbors());
            }
        });
    }

    /// Calls `visit` with a slot of an upper page.
    fn visit_upper(&mut self, (block, slot): (u32, u16), mut visit: impl FnMut(UpperSlot<'_>)) {
        if !self.reader.has_block(block) {
            self.index.corrupt(block, Corrupt::NoSuchBlock(block));
        }
        locked::visit::<Upper>(self.index, &mut self.reader, &[block], |_, page| {
            visit(page.slot(slot)?);
            Ok(())
        });
    }
}

/// The location of an element's neighbors at a level above 0; `None` if it is gone or below this level.
fn upper_list(element: ElementSlot<'_>, level: Level) -> Option<UpperId> {
    let has_level = element.state() != SlotState::Free && element.level() >= level;
    let upper = element.upper().filter(|_| has_level)?;
    Some(upper.at(level))
}

fn is_list_of(list: UpperSlot<'_>, element: ElementId, level: Level) -> bool {
    list.is_live() && list.element() == element && list.level() == level
}

/// An element with its estimated distance, or nothing if it is gone; `None` if the center of its code is not known.
#[inline]
fn candidate(
    query: &CenteredQuery<'_>,
    codecs: &Codecs,
    element: ElementId,
    StoredCode {
        state,
        center,
        bytes,
    }: StoredCode<'_>,
) -> Option<Option<Candidate>> {
    if state == SlotState::Free {
        return Some(None);
    }
    let (distance, error) = query.estimate(codecs, Coded { center, bytes })?;
    Some(Some(Candidate {
        distance,
        error,
        element,
        live: state == SlotState::Live,
    }))
}

impl Store for PageGraph<'_> {
    type Query = CenteredQuery<'static>;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        let metapage = metapage::read(self.index.relation());
        self.removals = metapage.removals;
        let entry = metapage.entry_point?;
        Some((entry.element, entry.level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        let copied = if has_all_elements(level) {
            self.neighbors_unlocked(of, level, into)
        } else {
            self.upper_neighbors_unlocked(of, level, into)
        };
        if !copied {
            self.locked_neighbors(of, level, into);
        }
    }

    fn is_over(&self) -> bool {
        self.gate.is_some_and(Gate::is_shut)
    }

    fn prepare(&mut self, next: ElementId) {
        let geometry = self.index.geometry();
        let (block, slot) = geometry.element.split(next);
        self.reader.prefetch(block, geometry.neighbors_range(slot));
    }

    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        interrupt::check();
        let before = into.len();
        self.estimate_unlocked(query, elements, into);
        if !self.scratch.missed.is_empty() {
            self.estimate_locked(query, into);
        }
        if let Some(gate) = self.gate {
            gate.pass(&mut into[before..]);
        }
    }
}
