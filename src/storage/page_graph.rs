//! The graph as searches see it: `hnsw::Store` over buffers.
//!
//! What a search reads is copied at a glance where that can be, without pin or lock; the rest, and whatever looks odd in a
//! copy, is read from a locked page, which alone tells damage. A copy is a guess (`pg/unlocked_read.rs`). Why a search can live on
//! guesses:
//!
//! - **A code** is written, and its page unlocked, before the first link to its element; it changes only when an insert takes a
//!   slot that vacuum has freed. Who meets it half written has a snapshot from before that insert's commit: wherever the walk
//!   puts the new element, its rows are not seen. A code that is wrong for any other reason does what a wrong bound does: a
//!   row of this one search is late or missing. Any bytes are a code.
//! - **A neighbor list** being written may show neighbors of before and after, or ids mixed of both. Only ids of slots that a
//!   locked page has shown to be in use are followed, so each leads to an element, which is measured by its own code. A link
//!   missed for a moment costs what a link not yet written does.
//! - **Row pointers** are never taken from a copy, but for prefetching. A row handed out was read from its element under lock
//!   and measured from the table.
//! - **What is written** is decided by locked pages: inserts take from a search which elements are near, then read these
//!   under lock; vacuum, which must miss no link, asks for `locked_neighbors`.

use hnsw::{Candidate, ElementId, Level, Store};
use layout::{
    Corrupt, ElementPage, ElementSlot, PageKind, SlotState, UpperId, UpperPage, UpperSlot,
};
use quantize::Query;

use super::buffer::{Checked, Hints, Reader, Scratch};
use super::index::Index;
use super::metapage;
use crate::pg::interrupt;

/// The graph in an index's pages.
pub(crate) struct PageGraph<'a> {
    index: &'a Index,
    reader: Reader<'a>,
    scratch: Scratch,
    /// The metapage's count of removals, as read with the entry point.
    removals: u64,
}

impl Drop for PageGraph<'_> {
    /// Leaves its memory to the next.
    fn drop(&mut self) {
        self.reader.hints.scratch = std::mem::take(&mut self.scratch);
    }
}

impl<'a> PageGraph<'a> {
    pub(crate) fn new(index: &'a Index, hints: &'a mut Hints) -> Self {
        let scratch = std::mem::take(&mut hints.scratch);
        Self {
            index,
            reader: Reader::new(index.relation(), hints),
            scratch,
            removals: 0,
        }
    }

    /// The count of removals at the start of a search.
    pub(crate) fn removals_at_start(&self) -> u64 {
        self.removals
    }

    /// The count of removals now. A search that finds it raised may have come to slots that were freed under its feet, and
    /// with them to the end of a way.
    pub(crate) fn removals(&self) -> u64 {
        metapage::read(self.index.relation()).removals
    }

    /// Pages pinned so far.
    pub(crate) fn visits(&self) -> u64 {
        self.reader.visits
    }

    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// Shows each element's page to `visit`, pages in ascending order, with the element's slot in it.
    /// Elements come in page order too. What `visit` finds wrong is raised when no lock is held.
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
        let geometry = self.index.geometry();
        let batch = &self.scratch.batch;
        let mut wrong = None;
        self.reader.visit(&self.scratch.blocks, |range, page| {
            if wrong.is_some() {
                return None;
            }
            let block = slots.split(batch[range.start]).0;
            let visited = ElementPage::view(page, geometry).and_then(|view| {
                batch[range]
                    .iter()
                    .try_for_each(|&element| visit(element, &view, slots.split(element).1))?;
                Ok(Checked {
                    kind: PageKind::Element,
                    used: view.used(),
                })
            });
            visited.map_err(|what| wrong = Some((block, what))).ok()
        });
        if let Some((block, what)) = wrong {
            self.index.corrupt(block, what);
        }
    }

    /// Whether an element has rows.
    pub(crate) fn is_live(&mut self, element: ElementId) -> bool {
        let mut live = false;
        self.visit_elements(&[element], |_, page, slot| {
            live = page.slot(slot)?.is_live();
            Ok(())
        });
        live
    }

    /// The neighbors of elements that are not tombstones on a layer, sorted, each once.
    pub(crate) fn neighbors_of_all(
        &mut self,
        elements: &[ElementId],
        level: Level,
    ) -> Vec<ElementId> {
        let mut all = Vec::with_capacity(elements.len() * usize::from(2 * self.index.geometry().m));
        if level > 0 {
            for &element in elements {
                if self.is_live(element) {
                    self.locked_neighbors(element, level, &mut all);
                }
            }
        } else {
            self.visit_elements(elements, |_, page, slot| {
                let element = page.slot(slot)?;
                if element.is_live() {
                    all.extend(element.neighbors());
                }
                Ok(())
            });
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A link to a block that is not there is damage, to be said before Postgres says it in its own words.
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

    /// Brings all slots of the batch near before the first is read.
    fn prefetch(&self) {
        let slots = self.index.geometry().element;
        for &element in &self.scratch.batch {
            let (block, slot) = slots.split(element);
            self.reader.prefetch(block, slots.range(slot));
        }
    }

    /// Measures what can be copied at a glance, leaving the others in `missed`. All copies are made before the first is
    /// looked at, so that the memory is waited for once.
    fn estimate_unlocked(
        &mut self,
        query: &Query,
        elements: &[ElementId],
        into: &mut Vec<Candidate>,
    ) {
        let geometry = self.index.geometry();
        let place = |element| {
            let (block, slot) = geometry.element.split(element);
            ((block, slot), geometry.measured_range(slot))
        };
        for &element in elements {
            let ((block, _), bytes) = place(element);
            self.reader.prefetch(block, bytes);
        }
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
            match layout::copied_code(copy, geometry) {
                Ok((state, code)) => into.extend(candidate(query, element, state, code)),
                Err(_) => missed.push(element),
            }
        }
    }

    /// Copies an element's slot at a glance.
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

    /// Appends the neighbors on layer 0; false if they could not be had at a glance.
    fn neighbors_unlocked(&mut self, of: ElementId, into: &mut Vec<ElementId>) -> bool {
        let before = into.len();
        let Some(element) = self.element_unlocked(of) else {
            return false;
        };
        if element.state() != SlotState::Free {
            into.extend(element.neighbors());
        }
        self.keep_known(before, into)
    }

    /// Takes back what was appended from a copy if it names anything not known to be an element: that may be a new one, or
    /// damage, or what never was in the list.
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

    /// Appends the neighbors above layer 0; false if they could not be had at a glance.
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

    /// Appends the neighbors as locked pages have them.
    pub(super) fn locked_neighbors(
        &mut self,
        of: ElementId,
        level: Level,
        into: &mut Vec<ElementId>,
    ) {
        let mut upper = None;
        self.visit_elements(&[of], |_, page, slot| {
            let element = page.slot(slot)?;
            if level > 0 {
                upper = upper_list(element, level);
            } else if element.state() != SlotState::Free {
                into.extend(element.neighbors());
            }
            Ok(())
        });
        let Some(list) = upper else { return };
        let at = self.index.geometry().upper.split(list);
        self.visit_upper(at, |list| {
            // The run may have been given to another element since.
            if is_list_of(list, of, level) {
                into.extend(list.neighbors());
            }
        });
    }

    /// Shows a slot of an upper page to `visit`.
    fn visit_upper(&mut self, (block, slot): (u32, u16), mut visit: impl FnMut(UpperSlot<'_>)) {
        if !self.reader.has_block(block) {
            self.index.corrupt(block, Corrupt::NoSuchBlock(block));
        }
        let geometry = self.index.geometry();
        let mut wrong = None;
        self.reader.visit(&[block], |_, page| {
            let visited = UpperPage::view(page, geometry).and_then(|view| {
                visit(view.slot(slot)?);
                Ok(Checked {
                    kind: PageKind::Upper,
                    used: view.used(),
                })
            });
            visited.map_err(|what| wrong = Some(what)).ok()
        });
        if let Some(what) = wrong {
            self.index.corrupt(block, what);
        }
    }
}

/// Where the neighbors of an element at a level above 0 are; none if it is gone or has no such level.
fn upper_list(element: ElementSlot<'_>, level: Level) -> Option<UpperId> {
    let has_level = element.state() != SlotState::Free && element.level() >= level;
    let upper = element.upper().filter(|_| has_level)?;
    Some(upper.at(level))
}

fn is_list_of(list: UpperSlot<'_>, element: ElementId, level: Level) -> bool {
    list.is_live() && list.element() == element && list.level() == level
}

/// An element measured; none if it is gone.
#[inline]
fn candidate(
    query: &Query,
    element: ElementId,
    state: SlotState,
    code: &[u8],
) -> Option<Candidate> {
    if state == SlotState::Free {
        return None;
    }
    let (distance, error) = query.estimate(code);
    Some(Candidate {
        distance,
        error,
        element,
        live: state == SlotState::Live,
    })
}

impl Store for PageGraph<'_> {
    type Query = Query;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        let metapage = metapage::read(self.index.relation());
        self.removals = metapage.removals;
        let entry = metapage.entry_point?;
        Some((entry.element, entry.level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        let copied = if level > 0 {
            self.upper_neighbors_unlocked(of, level, into)
        } else {
            self.neighbors_unlocked(of, into)
        };
        if !copied {
            self.locked_neighbors(of, level, into);
        }
    }

    fn prepare(&mut self, next: ElementId) {
        let geometry = self.index.geometry();
        let (block, slot) = geometry.element.split(next);
        self.reader.prefetch(block, geometry.neighbors_range(slot));
    }

    fn estimate(&mut self, query: &Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        interrupt::check();
        self.estimate_unlocked(query, elements, into);
        if self.scratch.missed.is_empty() {
            return;
        }
        let missed = std::mem::take(&mut self.scratch.missed);
        self.visit_elements(&missed, |element, page, slot| {
            let (state, code) = page.code(slot)?;
            into.extend(candidate(query, element, state, code));
            Ok(())
        });
        self.scratch.missed = missed;
    }
}
