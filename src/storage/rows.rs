//! The rows of an element: heap TIDs in its slot, and further ones in a chain of overflow slots.
//!
//! The chain grows at its head; vacuum removes empty slots, and these may come back at the head. Serials decrease along the
//! chain. A reader that releases all locks between two slots therefore finds its position again by the serial of the last
//! slot it read.

use hnsw::ElementId;
use layout::{Corrupt, Group, HeapTid, INLINE_TIDS, OverflowId, OverflowSlot};
use quantize::Coded;

use super::allocate;
use super::buffer::Access;
use super::index::Index;
use super::locked::{self, Elements, LockedPage, Overflow};
use super::page_graph::PageGraph;
use super::record::Record;
use crate::pg::interrupt;

/// A reader's position in the chain of an element's further rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    element: ElementId,
    next: OverflowId,
    /// The serial of the last slot read: slots with this serial or a higher one were read, or were added later.
    below: u64,
}

/// Appends the rows in a live element's own slot; returns the start of its chain.
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

/// A row of an element, or `None`, from an unlocked read: good enough for prefetching, for nothing else.
pub(crate) fn likely(graph: &mut PageGraph<'_>, element: ElementId) -> Option<HeapTid> {
    graph.element_unlocked(element)?.heap_tids().next()
}

impl Chain {
    /// The block of the next slot.
    pub(crate) fn block(self, index: &Index) -> u32 {
        index.geometry().overflow.split(self.next).0
    }

    /// Appends the rows of the next slot. Skips slots of the same page with only dead rows, so it may append no rows.
    pub(crate) fn read(self, index: &Index, dead: Dead, into: &mut Vec<HeapTid>) -> Reading {
        let (block, _) = index.geometry().overflow.split(self.next);
        index.check_block(block);
        let page = LockedPage::<Overflow>::lock(index, block, Access::Share);
        let before = into.len();
        let mut position = self;
        loop {
            let (of, number) = index.geometry().overflow.split(position.next);
            if of != block {
                return Reading::of_nothing(Some(position));
            }
            let slot = page.read(|page| page.slot(number));
            let mut after = None;
            if !position.take(&slot, dead, &mut after, into) {
                break;
            }
            match after {
                Some(next) if into.len() == before => position = next,
                _ => {
                    let lsn = page.page().lsn();
                    return Reading {
                        after,
                        from: Some(ReadSlot { block, number, lsn }),
                    };
                }
            }
        }
        drop(page);
        let mut after = None;
        position.find_position(index, dead, &mut after, into);
        Reading::of_nothing(after)
    }

    /// Appends the rows of a slot if it belongs to the element and comes after this position; false if not.
    fn take(
        self,
        slot: &OverflowSlot<'_>,
        dead: Dead,
        after: &mut Option<Self>,
        into: &mut Vec<HeapTid>,
    ) -> bool {
        let below = u64::from(slot.serial());
        if !slot.is_live() || slot.element() != self.element || below >= self.below {
            return false;
        }
        let passed = match dead {
            Dead::PassedOver => slot.dead(),
            Dead::Read => 0,
        };
        into.extend(slot.heap_tids().skip(passed));
        *after = slot.next().map(|next| Self {
            next,
            below,
            ..self
        });
        true
    }

    /// Walks the chain from its head to the first slot after this position, and appends its rows. No two pages are locked at a
    /// time, so the walk starts again when it meets a slot removed from the chain meanwhile.
    fn find_position(
        self,
        index: &Index,
        dead: Dead,
        after: &mut Option<Self>,
        into: &mut Vec<HeapTid>,
    ) {
        for _ in 0..WALKS {
            let mut next = first_slot(index, self.element);
            let mut descent = Descent::default();
            let mut unbroken = true;
            while let Some(at) = next.take().filter(|_| unbroken) {
                interrupt::check();
                let found = with_slot(index, at, |slot| {
                    unbroken =
                        slot.is_live() && slot.element() == self.element && descent.goes_on(slot);
                    next = slot.next();
                    unbroken && self.take(slot, dead, after, into)
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

/// The treatment of rows marked as dead to everybody. On a standby they may be visible.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dead {
    PassedOver,
    Read,
}

/// The result of reading on in a chain.
pub(crate) struct Reading {
    /// The position after the slots read.
    pub(crate) after: Option<Chain>,
    /// The slot of the rows, if it was at the expected location.
    pub(crate) from: Option<ReadSlot>,
}

impl Reading {
    fn of_nothing(after: Option<Chain>) -> Self {
        Self { after, from: None }
    }
}

/// An overflow slot, and its page's LSN when it was read.
#[derive(Clone, Copy)]
pub(crate) struct ReadSlot {
    block: u32,
    number: u16,
    lsn: [u8; 8],
}

/// Rows of one overflow page, found dead to everybody by a scan, to be marked together.
///
/// The marks are logged like every change: `wal_consistency_checking` compares them too. A standby ignores them: its
/// snapshots may be older than the primary's. An unchanged LSN of the page proves that a row is still the one read, so
/// nothing is marked in an index without LSNs.
#[derive(Default)]
pub(crate) struct DeadRows {
    page: Option<(u32, [u8; 8])>,
    /// Slot numbers and rows.
    rows: Vec<(u16, HeapTid)>,
}

impl DeadRows {
    /// The minimum number of rows worth a record.
    const FEWEST: usize = 10;

    /// Adds a dead row. Marks the rows added before if they are of another page.
    pub(crate) fn push(&mut self, index: &Index, from: &ReadSlot, row: HeapTid) {
        let page = Some((from.block, from.lsn));
        if self.page != page {
            self.mark(index);
            self.page = page;
        }
        if self.rows.try_reserve(1).is_ok() {
            self.rows.push((from.number, row));
        }
    }

    /// Forgets the rows not marked yet.
    pub(crate) fn clear(&mut self) {
        self.page = None;
        self.rows.clear();
    }

    /// Marks the added rows, unless the page has changed since: vacuum may have removed them, and a new row may have the TID of
    /// an old one.
    pub(crate) fn mark(&mut self, index: &Index) {
        if let Some((block, lsn)) = self.page
            && self.rows.len() >= Self::FEWEST
        {
            let page = LockedPage::<Overflow>::lock(index, block, Access::Exclusive);
            if page.page().lsn() == lsn {
                self.write(&page);
            }
        }
        self.clear();
    }

    fn write(&self, page: &LockedPage<'_, Overflow>) {
        page.change_alone(|page| {
            for rows in self.rows.chunk_by(|(a, _), (b, _)| a == b) {
                let mut slot = page.slot(rows[0].0)?;
                slot.mark_dead(|tid| rows.iter().any(|&(_, row)| row == tid));
            }
            Ok(())
        });
    }
}

/// The maximum number of broken walks along a chain before it is reported as damaged.
const WALKS: usize = 1000;

/// Checks that serials decrease along a chain; if they do not, it has changed meanwhile or is a ring.
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
    let (page, slot) = locked::lock_known(index, element, Access::Share);
    let element = page.read(|page| page.slot(slot));
    element.overflow().filter(|_| element.is_live())
}

/// Calls `read` with an overflow slot, share-locked.
pub(super) fn with_slot<R>(
    index: &Index,
    at: OverflowId,
    read: impl FnOnce(&OverflowSlot<'_>) -> R,
) -> R {
    let (page, slot) = locked::lock(index, at, Access::Share);
    read(&page.read(|page| page.slot(slot)))
}

/// Adds a row to an element, unless its code or group differs or vacuum is removing it. True if the row was added.
pub(super) fn add(
    index: &Index,
    element: ElementId,
    (code, group): (Coded<'_>, Option<Group>),
    tid: HeapTid,
) -> bool {
    let (page, slot) = locked::lock_known(index, element, Access::Exclusive);
    let present = page.read(|page| page.slot(slot));
    let own = Coded {
        center: present.center(),
        bytes: present.code(),
    };
    if !present.is_live() || own != code || present.group() != group {
        return false;
    }
    if present.heap_tids().len() == INLINE_TIDS {
        add_to_chain(index, &page, slot, element, present.overflow(), tid);
        return true;
    }
    page.change_slot(slot, |element| element.add_tid(tid));
    true
}

/// Adds a row to the chain of an element without room in its own slot. The element's page stays locked meanwhile.
fn add_to_chain(
    index: &Index,
    element_page: &LockedPage<'_, Elements>,
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
    let free = allocate::find::<Overflow>(index, 1);
    let id = free.id();
    let mut record = Record::begin(index.relation());
    element_page.change(&mut record, |page| {
        page.slot(slot)
            .map(|mut element| element.set_overflow(Some(id)))
    });
    free.change(&mut record, |page| {
        page.write(free.slot, element, first, serial)?;
        page.slot(free.slot).map(|mut slot| slot.add_tid(tid))
    });
    allocate::commit(index, record, &[&free]);
}

/// The result of adding a row to an overflow slot.
enum Added {
    Yes,
    Full { serial: u32 },
}

/// Adds a row to an overflow slot if it has room.
fn add_to_slot(index: &Index, at: OverflowId, tid: HeapTid) -> Added {
    let (page, slot) = locked::lock(index, at, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    let (is_added, serial) = page.change(&mut record, |page| {
        let mut slot = page.slot(slot)?;
        Ok((slot.add_tid(tid), slot.shared().serial()))
    });
    if !is_added {
        return Added::Full { serial };
    }
    record.commit();
    Added::Yes
}
