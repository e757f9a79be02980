//! The rows of an element: heap TIDs in its slot, and further ones in a chain of overflow slots.
//!
//! The chain grows at its head; vacuum takes out slots that are empty, which may come back at the head. Serials go down along
//! the chain, so that a reader who lets go of all locks between two slots finds its place again by the serial of the slot
//! that it read last.

use hnsw::ElementId;
use layout::{
    Corrupt, ElementPage, ElementPageMut, HeapTid, INLINE_TIDS, OverflowId, OverflowPage,
    OverflowPageMut, OverflowSlot, PageKind,
};

use super::allocate;
use super::buffer::{Access, Page};
use super::index::Index;
use super::page_graph::PageGraph;
use super::record::Record;

/// A reader's place in the chain of an element's further rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    element: ElementId,
    next: OverflowId,
    /// The serial of the slot read last: what has this one or a higher was read, or came later.
    below: u64,
}

/// Appends the rows kept in a live element itself; gives where further ones are.
pub(crate) fn inline(
    graph: &mut PageGraph<'_>,
    element: ElementId,
    into: &mut Vec<HeapTid>,
) -> Option<Chain> {
    let mut first = None;
    graph.visit_elements(&[element], |_, page, slot| {
        let element = page.slot(slot)?;
        if element.is_live() {
            into.extend(element.heap_tids());
            first = element.overflow();
        }
        Ok(())
    });
    first.map(|next| Chain {
        element,
        next,
        below: u64::MAX,
    })
}

/// A row of an element, or none, read at a glance: good for prefetching it, no more.
pub(crate) fn likely(graph: &mut PageGraph<'_>, element: ElementId) -> Option<HeapTid> {
    graph.element_at_a_glance(element)?.heap_tids().next()
}

impl Chain {
    /// The block of the next slot.
    pub(crate) fn block(self, index: &Index) -> u32 {
        index.geometry().overflow.split(self.next).0
    }

    /// Appends the rows of the next slot; gives the place after it.
    pub(crate) fn read(self, index: &Index, into: &mut Vec<HeapTid>) -> Option<Self> {
        let mut after = None;
        let found = with_slot(index, self.next, |slot| self.take(slot, &mut after, into));
        if !found {
            self.find_place(index, &mut after, into);
        }
        after
    }

    /// Takes the rows of a slot if it is the element's and lies behind the place; false if not.
    fn take(
        self,
        slot: &OverflowSlot<'_>,
        after: &mut Option<Self>,
        into: &mut Vec<HeapTid>,
    ) -> bool {
        let below = u64::from(slot.serial());
        if !slot.is_live() || slot.element() != self.element || below >= self.below {
            return false;
        }
        into.extend(slot.heap_tids());
        *after = slot.next().map(|next| Self {
            next,
            below,
            ..self
        });
        true
    }

    /// Walks the chain from its head to the first slot behind the place, and takes its rows. No two pages are locked at a
    /// time, so the walk starts again when it comes to a slot that has left the chain under its feet.
    fn find_place(self, index: &Index, after: &mut Option<Self>, into: &mut Vec<HeapTid>) {
        for _ in 0..WALKS {
            let mut next = first_slot(index, self.element);
            let mut descent = Descent::default();
            let mut unbroken = true;
            while let Some(at) = next.take().filter(|_| unbroken) {
                let found = with_slot(index, at, |slot| {
                    unbroken =
                        slot.is_live() && slot.element() == self.element && descent.goes_on(slot);
                    next = slot.next();
                    unbroken && self.take(slot, after, into)
                });
                if found {
                    return;
                }
            }
            if unbroken {
                return;
            }
        }
        index.corrupt(
            index.geometry().element.split(self.element).0,
            Corrupt::EndlessOverflow,
        );
    }
}

/// Walks along a chain that come to grief before it must be damaged.
const WALKS: usize = 1000;

/// Serials go down along a chain; if they do not, it has changed meanwhile, or is a ring.
pub(super) struct Descent(u64);

impl Default for Descent {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

impl Descent {
    pub(super) fn goes_on(&mut self, slot: &OverflowSlot<'_>) -> bool {
        let serial = u64::from(slot.serial());
        let lower = serial < self.0;
        self.0 = serial;
        lower
    }
}

/// The head of a live element's chain.
fn first_slot(index: &Index, element: ElementId) -> Option<OverflowId> {
    let (block, slot) = index.geometry().element.split(element);
    let page = Page::lock(index.relation(), block, Access::Share);
    let view = ElementPage::view(page.bytes(), index.geometry());
    let element = index.expect(block, view.and_then(|view| view.slot(slot)));
    element.overflow().filter(|_| element.is_live())
}

/// Shows an overflow slot to `read`, share-locked.
pub(super) fn with_slot<R>(
    index: &Index,
    at: OverflowId,
    read: impl FnOnce(&OverflowSlot<'_>) -> R,
) -> R {
    let (block, slot) = index.geometry().overflow.split(at);
    check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Share);
    let view = OverflowPage::view(page.bytes(), index.geometry());
    read(&index.expect(block, view.and_then(|view| view.slot(slot))))
}

/// Adds a row to an element, unless its code is another or vacuum is taking it away. True if it was added.
pub(super) fn add(index: &Index, element: ElementId, code: &[u8], tid: HeapTid) -> bool {
    let (block, slot) = index.geometry().element.split(element);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let view = ElementPage::view(page.bytes(), index.geometry());
    let present = index.expect(block, view.and_then(|view| view.slot(slot)));
    if !present.is_live() || present.code() != code {
        return false;
    }
    if present.heap_tids().len() == INLINE_TIDS {
        add_to_chain(index, &page, slot, element, present.overflow(), tid);
        return true;
    }
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let added = ElementPageMut::view(record.bytes(image), index.geometry())
        .and_then(|mut view| view.slot(slot).map(|mut element| element.add_tid(tid)));
    index.expect(block, added);
    record.commit();
    true
}

/// Adds a row to the chain of an element whose own places are taken. The element's page stays locked meanwhile.
fn add_to_chain(
    index: &Index,
    element_page: &Page,
    slot: u16,
    element: ElementId,
    first: Option<OverflowId>,
    tid: HeapTid,
) {
    let serial = match first.map(|first| add_to_slot(index, first, tid)) {
        Some(Added::Yes) => return,
        Some(Added::Full { serial }) => serial
            .checked_add(1)
            .unwrap_or_else(|| crate::error::index_full()),
        None => 0,
    };
    let place = allocate::find(index, PageKind::Overflow, 1);
    let id = place.id(&index.geometry().overflow);
    let mut record = Record::begin(index.relation());
    let element_image = record.page(element_page);
    let image = place.record(index, &mut record);
    let written =
        OverflowPageMut::view(record.bytes(image), index.geometry()).and_then(|mut page| {
            page.write(place.slot, element, first, serial)?;
            page.slot(place.slot).map(|mut slot| slot.add_tid(tid))
        });
    index.expect(place.block(), written);
    let linked =
        ElementPageMut::view(record.bytes(element_image), index.geometry()).and_then(|mut page| {
            page.slot(slot)
                .map(|mut element| element.set_overflow(Some(id)))
        });
    index.expect(element_page.block(), linked);
    allocate::commit(index, record, &[(&place, image)]);
}

/// What came of adding a row to an overflow slot.
enum Added {
    Yes,
    Full { serial: u32 },
}

/// Adds a row to an overflow slot if it has room.
fn add_to_slot(index: &Index, at: OverflowId, tid: HeapTid) -> Added {
    let (block, slot) = index.geometry().overflow.split(at);
    check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let added =
        OverflowPageMut::view(record.bytes(image), index.geometry()).and_then(|mut view| {
            let mut slot = view.slot(slot)?;
            Ok((slot.add_tid(tid), slot.shared().serial()))
        });
    match index.expect(block, added) {
        (true, _) => {
            record.commit();
            Added::Yes
        }
        (false, serial) => Added::Full { serial },
    }
}

/// A link to a block that is not there is damage, to be said before Postgres says it in its own words.
pub(super) fn check_block(index: &Index, block: u32) {
    if block >= index.relation().blocks() {
        index.corrupt(block, Corrupt::NoSuchBlock(block));
    }
}
