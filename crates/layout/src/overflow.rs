use bytemuck::{Pod, Zeroable};
use hnsw::ElementId;

use crate::geometry::{OverflowId, SlotId};
use crate::heap_tid::{TID_LEN, add_tid, remove_tids, tids};
use crate::page::PageKind;
use crate::sizes::{OVERFLOW_CAPACITY, OVERFLOW_HEAD as HEAD, OVERFLOW_TIDS};
use crate::slots::SlotPage;
use crate::{Corrupt, Geometry, HeapTid, NO_ELEMENT, SlotState, Special};

const _: () = assert!(HEAD == size_of::<Head>());

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    state: u8,
    count: u8,
    /// Rows, the first of the list, that are dead to everybody. Zero in pages that earlier versions wrote.
    dead: u16,
    next: u32,
    element: u32,
    serial: u32,
}

/// A read view of an overflow page.
pub struct OverflowPage<'a> {
    slots: SlotPage<&'a [u8]>,
}

impl<'a> OverflowPage<'a> {
    /// Checks the page's header and special area.
    ///
    /// # Errors
    /// If the page is not an overflow page.
    pub fn view(page: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Ok(Self {
            slots: SlotPage::view(page, PageKind::Overflow, &geometry.overflow)?,
        })
    }

    /// Slots in use or freed.
    #[must_use]
    pub fn used(&self) -> u16 {
        self.slots.used()
    }

    /// A slot, checked.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn slot(&self, slot: u16) -> Result<OverflowSlot<'a>, Corrupt> {
        OverflowSlot::view(self.slots.borrowed_slot(slot)?)
    }

    /// A free slot: a freed one, or the first never used.
    #[must_use]
    pub fn find_free(&self) -> Option<u16> {
        self.slots.find_free_run(1)
    }

    /// The page's special area.
    ///
    /// # Errors
    /// If it is corrupt.
    pub fn special(&self) -> Result<Special, Corrupt> {
        self.slots.special()
    }
}

/// A read view of a slot with further rows of an element.
#[derive(Clone, Copy)]
pub struct OverflowSlot<'a> {
    bytes: &'a [u8],
    head: Head,
    state: SlotState,
}

impl<'a> OverflowSlot<'a> {
    fn view(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let head: Head = bytemuck::pod_read_unaligned(&bytes[..HEAD]);
        let state = match SlotState::read(head.state)? {
            SlotState::Dead => return Err(Corrupt::State(head.state)),
            state => state,
        };
        if usize::from(head.count) > OVERFLOW_TIDS {
            return Err(Corrupt::Count {
                count: head.count.into(),
                capacity: OVERFLOW_CAPACITY,
            });
        }
        if head.dead > head.count.into() {
            return Err(Corrupt::Count {
                count: head.dead,
                capacity: head.count.into(),
            });
        }
        Ok(Self { bytes, head, state })
    }

    /// True if the slot is in use.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }

    /// The owner of the rows. A reader that follows an old link may find another owner, or none.
    #[must_use]
    pub fn element(&self) -> ElementId {
        ElementId(self.head.element)
    }

    /// Greater than the serial of every earlier slot in the element's chain: readers locate themselves by it while slots are
    /// removed from the chain and return at its head.
    #[must_use]
    pub fn serial(&self) -> u32 {
        self.head.serial
    }

    /// The next slot of the element's chain.
    #[must_use]
    pub fn next(&self) -> Option<OverflowId> {
        OverflowId::from_link(self.head.next)
    }

    /// Rows, the first of the list, that a search found to be dead to everybody. A standby may still see them.
    #[must_use]
    pub fn dead(&self) -> usize {
        self.head.dead.into()
    }

    /// The rows, those that are dead first.
    pub fn heap_tids(&self) -> impl ExactSizeIterator<Item = HeapTid> + use<'a> {
        tids(&self.bytes[HEAD..HEAD + usize::from(self.head.count) * TID_LEN])
    }
}

/// A write view of an overflow page.
pub struct OverflowPageMut<'a> {
    slots: SlotPage<&'a mut [u8]>,
}

impl<'a> OverflowPageMut<'a> {
    /// Makes `page` an empty overflow page.
    pub fn init(page: &'a mut [u8], geometry: &Geometry) -> Self {
        Self {
            slots: SlotPage::init(page, PageKind::Overflow, &geometry.overflow),
        }
    }

    /// As [`OverflowPage::view`].
    ///
    /// # Errors
    /// If the page is not an overflow page.
    pub fn view(page: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Ok(Self {
            slots: SlotPage::view(page, PageKind::Overflow, &geometry.overflow)?,
        })
    }

    /// A read view of the page.
    #[must_use]
    pub fn shared(&self) -> OverflowPage<'_> {
        OverflowPage {
            slots: self.slots.shared(),
        }
    }

    /// A checked write view of a slot.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn slot(&mut self, slot: u16) -> Result<OverflowSlotMut<'_>, Corrupt> {
        OverflowSlotMut::view(self.slots.slot_mut(slot)?)
    }

    /// Allocates a slot from [`OverflowPage::find_free`] for an element, without rows. Serials descend along an element's
    /// chain.
    ///
    /// # Errors
    /// If the slot is not free.
    pub fn write(
        &mut self,
        slot: u16,
        element: ElementId,
        next: Option<OverflowId>,
        serial: u32,
    ) -> Result<(), Corrupt> {
        let bytes = self.slots.take(slot)?;
        bytes.fill(0);
        let next = OverflowId::to_link(next);
        let head = Head {
            state: SlotState::Live as u8,
            count: 0,
            dead: 0,
            next,
            element: element.0,
            serial,
        };
        bytes[..HEAD].copy_from_slice(bytemuck::bytes_of(&head));
        Ok(())
    }

    /// Frees a slot. A free slot stays unchanged.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn free(&mut self, slot: u16) -> Result<(), Corrupt> {
        let rows = self.slot(slot)?;
        if rows.shared().is_live() {
            rows.clear();
            self.slots.given_back();
        }
        Ok(())
    }
}

/// A write view of a slot with further rows of an element.
pub struct OverflowSlotMut<'a> {
    bytes: &'a mut [u8],
    head: Head,
    state: SlotState,
}

impl<'a> OverflowSlotMut<'a> {
    fn view(bytes: &'a mut [u8]) -> Result<Self, Corrupt> {
        let OverflowSlot { head, state, .. } = OverflowSlot::view(bytes)?;
        Ok(Self { bytes, head, state })
    }

    /// A read view of the slot.
    #[must_use]
    pub fn shared(&self) -> OverflowSlot<'_> {
        OverflowSlot {
            bytes: self.bytes,
            head: self.head,
            state: self.state,
        }
    }

    /// Adds a heap TID; false if the slot is full.
    pub fn add_tid(&mut self, tid: HeapTid) -> bool {
        if !add_tid(&mut self.bytes[HEAD..], self.head.count.into(), tid) {
            return false;
        }
        self.head.count += 1;
        self.write_head();
        true
    }

    /// Removes the rows for which `remove` is true; returns how many.
    pub fn remove_tids(&mut self, mut remove: impl FnMut(HeapTid) -> bool) -> usize {
        let Head { count, dead, .. } = self.head;
        let (mut seen, mut dead_kept) = (0, 0);
        let kept = remove_tids(&mut self.bytes[HEAD..], count.into(), |tid| {
            let removed = remove(tid);
            dead_kept += u16::from(!removed && seen < dead);
            seen += 1;
            removed
        });
        self.head.count = u8::try_from(kept).expect("no more than there were");
        self.head.dead = dead_kept;
        self.write_head();
        usize::from(count) - kept
    }

    /// Marks the rows for which `is_dead` is true as dead to everybody, which brings them to the front; returns how many were
    /// not marked before.
    pub fn mark_dead(&mut self, mut is_dead: impl FnMut(HeapTid) -> bool) -> usize {
        let Head { count, dead, .. } = self.head;
        let tids = &mut self.bytes[HEAD..].as_chunks_mut::<TID_LEN>().0[..count.into()];
        let before = usize::from(dead);
        let mut end = before;
        for at in before..tids.len() {
            if is_dead(HeapTid::from_bytes(tids[at])) {
                tids.swap(at, end);
                end += 1;
            }
        }
        self.head.dead = u16::try_from(end).expect("no more than there are");
        self.write_head();
        end - before
    }

    /// Links the slot where the element's rows go on, or none.
    pub fn set_next(&mut self, next: Option<OverflowId>) {
        self.head.next = OverflowId::to_link(next);
        self.write_head();
    }

    fn clear(self) {
        self.bytes.fill(0);
        let head = Head {
            state: SlotState::Free as u8,
            next: NO_ELEMENT,
            element: NO_ELEMENT,
            ..Head::zeroed()
        };
        self.bytes[..HEAD].copy_from_slice(bytemuck::bytes_of(&head));
    }

    fn write_head(&mut self) {
        self.bytes[..HEAD].copy_from_slice(bytemuck::bytes_of(&self.head));
    }
}
