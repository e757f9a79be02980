use bytemuck::{Pod, Zeroable};
use hnsw::{ElementId, Level, MAX_LEVEL};

use crate::geometry::{OverflowId, SlotId, UpperId};
use crate::heap_tid::{RawTid, TID_LEN, add_tid, remove_tids, tids};
use crate::page::PageKind;
use crate::slots::SlotPage;
use crate::{Corrupt, Geometry, HeapTid, NO_ELEMENT, SlotState, Special, neighbors};

/// Heap TIDs kept in the element itself.
pub const INLINE_TIDS: usize = TID_CAPACITY as usize;
const TID_CAPACITY: u16 = 2;
/// Bytes before the code.
pub(crate) const ELEMENT_HEAD: usize = size_of::<Head>();
const TIDS: usize = 8;

const _: () = assert!(ELEMENT_HEAD == 28);

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    state: u8,
    level: u8,
    count: u16,
    version: u16,
    tid_count: u8,
    reserved: u8,
    tids: [RawTid; INLINE_TIDS],
    upper: u32,
    overflow: u32,
}

/// Lengths of a slot's parts.
#[derive(Clone, Copy)]
struct Parts {
    code: usize,
    max_neighbors: u16,
}

impl Parts {
    fn of(geometry: &Geometry) -> Self {
        Self {
            code: geometry.code_len,
            max_neighbors: 2 * geometry.m,
        }
    }
}

/// An element to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewElement<'a> {
    /// The highest layer it is in.
    pub level: Level,
    /// Its code, as long as all codes of the index.
    pub code: &'a [u8],
    /// Its neighbors at level 0, at most `2 * m`.
    pub neighbors: &'a [ElementId],
    /// Its rows, at most [`INLINE_TIDS`].
    pub tids: &'a [HeapTid],
    /// Its neighbors above level 0; none exactly if `level` is 0.
    pub upper: Option<UpperId>,
    /// Its further rows.
    pub overflow: Option<OverflowId>,
}

/// An element page, to be read.
pub struct ElementPage<'a> {
    slots: SlotPage<&'a [u8]>,
    parts: Parts,
}

impl<'a> ElementPage<'a> {
    /// Checks what is said once per page.
    ///
    /// # Errors
    /// If the page is not an element page of this geometry.
    #[inline]
    pub fn view(page: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        let slots = SlotPage::view(page, PageKind::Element, &geometry.element)?;
        Ok(Self {
            slots,
            parts: Parts::of(geometry),
        })
    }

    /// Slots in use or freed.
    #[inline]
    #[must_use]
    pub fn used(&self) -> u16 {
        self.slots.used()
    }

    /// State and code of a slot and no more: what measuring needs, at the price of one bounds check.
    ///
    /// # Errors
    /// If there is no such slot or its state is unknown.
    #[inline]
    pub fn code(&self, slot: u16) -> Result<(SlotState, &'a [u8]), Corrupt> {
        code_of(self.slots.borrowed_slot(slot)?, self.parts.code)
    }

    /// A slot, checked.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    #[inline]
    pub fn slot(&self, slot: u16) -> Result<ElementSlot<'a>, Corrupt> {
        ElementSlot::view(self.slots.borrowed_slot(slot)?, self.parts)
    }

    /// A slot that can be taken: a freed one, or the first never used.
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

/// State and code of an element whose bytes were copied: at least what [`Geometry::measured_range`] says.
///
/// # Errors
/// If the state is unknown.
///
/// # Panics
/// If there are fewer bytes.
#[inline]
pub fn copied_code<'a>(
    bytes: &'a [u8],
    geometry: &Geometry,
) -> Result<(SlotState, &'a [u8]), Corrupt> {
    code_of(bytes, geometry.code_len)
}

#[inline]
fn code_of(slot: &[u8], code_len: usize) -> Result<(SlotState, &[u8]), Corrupt> {
    Ok((
        SlotState::read(slot[0])?,
        &slot[ELEMENT_HEAD..ELEMENT_HEAD + code_len],
    ))
}

/// An element, to be read.
#[derive(Clone, Copy)]
pub struct ElementSlot<'a> {
    bytes: &'a [u8],
    head: Head,
    state: SlotState,
    parts: Parts,
}

impl<'a> ElementSlot<'a> {
    /// An element whose slot was copied as a whole.
    ///
    /// # Errors
    /// If its head is corrupt.
    ///
    /// # Panics
    /// If there are fewer bytes than a slot has.
    #[inline]
    pub fn copied(bytes: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Self::view(bytes, Parts::of(geometry))
    }

    #[inline]
    fn view(bytes: &'a [u8], parts: Parts) -> Result<Self, Corrupt> {
        let head: Head = bytemuck::pod_read_unaligned(&bytes[..ELEMENT_HEAD]);
        let state = SlotState::read(head.state)?;
        if head.level > MAX_LEVEL {
            return Err(Corrupt::Level(head.level));
        }
        if head.count > parts.max_neighbors {
            return Err(Corrupt::Count {
                count: head.count,
                capacity: parts.max_neighbors,
            });
        }
        if usize::from(head.tid_count) > INLINE_TIDS {
            return Err(Corrupt::Count {
                count: head.tid_count.into(),
                capacity: TID_CAPACITY,
            });
        }
        if (head.level == 0) != (head.upper == NO_ELEMENT) {
            return Err(Corrupt::UpperLink { level: head.level });
        }
        if head.reserved != 0 {
            return Err(Corrupt::Reserved);
        }
        Ok(Self {
            bytes,
            head,
            state,
            parts,
        })
    }

    /// What the slot holds.
    #[inline]
    #[must_use]
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// Whether the slot holds an element that has rows.
    #[inline]
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }

    /// The highest layer the element is in.
    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        self.head.level
    }

    /// How often the slot was freed, modulo 2^16.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u16 {
        self.head.version
    }

    /// The element's code. It may lie unaligned.
    #[inline]
    #[must_use]
    pub fn code(&self) -> &'a [u8] {
        &self.bytes[ELEMENT_HEAD..ELEMENT_HEAD + self.parts.code]
    }

    /// Neighbors at level 0.
    #[inline]
    pub fn neighbors(&self) -> impl ExactSizeIterator<Item = ElementId> + use<'a> {
        neighbors::ids(neighbors::first(
            &self.bytes[ELEMENT_HEAD + self.parts.code..],
            self.head.count,
        ))
    }

    /// The rows kept in the element itself.
    pub fn heap_tids(&self) -> impl ExactSizeIterator<Item = HeapTid> + use<'a> {
        tids(&self.bytes[TIDS..TIDS + usize::from(self.head.tid_count) * TID_LEN])
    }

    /// Where the neighbors of level 1 are; the higher levels follow.
    #[inline]
    #[must_use]
    pub fn upper(&self) -> Option<UpperId> {
        UpperId::from_link(self.head.upper)
    }

    /// Where further rows are.
    #[inline]
    #[must_use]
    pub fn overflow(&self) -> Option<OverflowId> {
        OverflowId::from_link(self.head.overflow)
    }
}

/// An element page, to be changed.
pub struct ElementPageMut<'a> {
    slots: SlotPage<&'a mut [u8]>,
    parts: Parts,
}

impl<'a> ElementPageMut<'a> {
    /// Makes `page` an empty element page.
    pub fn init(page: &'a mut [u8], geometry: &Geometry) -> Self {
        let slots = SlotPage::init(page, PageKind::Element, &geometry.element);
        Self {
            slots,
            parts: Parts::of(geometry),
        }
    }

    /// As [`ElementPage::view`].
    ///
    /// # Errors
    /// If the page is not an element page of this geometry.
    pub fn view(page: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        let slots = SlotPage::view(page, PageKind::Element, &geometry.element)?;
        Ok(Self {
            slots,
            parts: Parts::of(geometry),
        })
    }

    /// The page, to be read.
    #[must_use]
    pub fn shared(&self) -> ElementPage<'_> {
        ElementPage {
            slots: self.slots.shared(),
            parts: self.parts,
        }
    }

    /// A slot, checked, to be changed.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn slot(&mut self, slot: u16) -> Result<ElementSlotMut<'_>, Corrupt> {
        let parts = self.parts;
        ElementSlotMut::view(self.slots.slot_mut(slot)?, parts)
    }

    /// Writes an element behind the last one; none if no slot is left there.
    ///
    /// # Panics
    /// If `new` does not keep to the geometry.
    pub fn append(&mut self, new: &NewElement<'_>) -> Option<u16> {
        let slot = self.slots.used();
        self.write(slot, new).ok()?;
        Some(slot)
    }

    /// Writes an element into a slot that [`ElementPage::find_free`] gave. The slot keeps its version.
    ///
    /// # Errors
    /// If the slot cannot be taken.
    ///
    /// # Panics
    /// If `new` does not keep to the geometry.
    pub fn write(&mut self, slot: u16, new: &NewElement<'_>) -> Result<(), Corrupt> {
        let parts = self.parts;
        assert_eq!(
            new.code.len(),
            parts.code,
            "all codes of an index are equally long"
        );
        assert!(
            new.level <= MAX_LEVEL && (new.level == 0) == new.upper.is_none(),
            "upper lists go with the level"
        );
        assert!(
            new.tids.len() <= INLINE_TIDS,
            "further rows go to overflow slots"
        );
        let bytes = self.slots.take(slot)?;
        let old: Head = bytemuck::pod_read_unaligned(&bytes[..ELEMENT_HEAD]);
        let mut raw_tids = [RawTid::zeroed(); INLINE_TIDS];
        for (place, tid) in raw_tids.iter_mut().zip(new.tids) {
            *place = (*tid).into();
        }
        let (head, rest) = bytes.split_at_mut(ELEMENT_HEAD);
        let (code, list) = rest.split_at_mut(parts.code);
        code.copy_from_slice(new.code);
        let count = neighbors::write(list, new.neighbors);
        head.copy_from_slice(bytemuck::bytes_of(&Head {
            state: SlotState::Live as u8,
            level: new.level,
            count,
            version: old.version,
            tid_count: if new.tids.len() > 1 {
                2
            } else {
                u8::from(!new.tids.is_empty())
            },
            reserved: 0,
            tids: raw_tids,
            upper: UpperId::to_link(new.upper),
            overflow: OverflowId::to_link(new.overflow),
        }));
        Ok(())
    }

    /// Gives a slot back: next version, no contents. A slot already free stays as it is.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn free(&mut self, slot: u16) -> Result<(), Corrupt> {
        let element = self.slot(slot)?;
        if element.shared().state() == SlotState::Free {
            return Ok(());
        }
        element.clear();
        self.slots.given_back();
        Ok(())
    }
}

/// An element, to be changed.
pub struct ElementSlotMut<'a> {
    bytes: &'a mut [u8],
    head: Head,
    state: SlotState,
    parts: Parts,
}

impl<'a> ElementSlotMut<'a> {
    fn view(bytes: &'a mut [u8], parts: Parts) -> Result<Self, Corrupt> {
        let ElementSlot { head, state, .. } = ElementSlot::view(bytes, parts)?;
        Ok(Self {
            bytes,
            head,
            state,
            parts,
        })
    }

    /// The element, to be read.
    #[must_use]
    pub fn shared(&self) -> ElementSlot<'_> {
        ElementSlot {
            bytes: self.bytes,
            head: self.head,
            state: self.state,
            parts: self.parts,
        }
    }

    /// Replaces the neighbors at level 0.
    ///
    /// # Panics
    /// If there are more than `2 * m`.
    pub fn set_neighbors(&mut self, neighbors: &[ElementId]) {
        self.head.count = neighbors::write(self.list(), neighbors);
        self.write_head();
    }

    /// Adds a row; false if the element holds [`INLINE_TIDS`] already.
    pub fn add_tid(&mut self, tid: HeapTid) -> bool {
        let count = self.head.tid_count;
        if !add_tid(self.tids(), count.into(), tid) {
            return false;
        }
        self.head.tid_count += 1;
        self.reload_tids();
        true
    }

    /// Removes the rows for which `remove` is true; gives how many.
    pub fn remove_tids(&mut self, remove: impl FnMut(HeapTid) -> bool) -> usize {
        let count = self.head.tid_count;
        let kept = remove_tids(self.tids(), count.into(), remove);
        self.head.tid_count = u8::try_from(kept).expect("no more than there were");
        self.reload_tids();
        usize::from(count) - kept
    }

    /// Links the first slot of further rows, or none.
    pub fn set_overflow(&mut self, overflow: Option<OverflowId>) {
        self.head.overflow = OverflowId::to_link(overflow);
        self.write_head();
    }

    /// Makes the element a tombstone: walked through, never a result.
    pub fn set_dead(&mut self) {
        self.state = SlotState::Dead;
        self.head.state = SlotState::Dead as u8;
        self.write_head();
    }

    fn clear(self) {
        self.bytes.fill(0);
        self.bytes[..ELEMENT_HEAD].copy_from_slice(bytemuck::bytes_of(&Head {
            state: SlotState::Free as u8,
            version: self.head.version.wrapping_add(1),
            upper: NO_ELEMENT,
            overflow: NO_ELEMENT,
            ..Head::zeroed()
        }));
    }

    fn list(&mut self) -> &mut [u8] {
        &mut self.bytes[ELEMENT_HEAD + self.parts.code..]
    }

    fn tids(&mut self) -> &mut [u8] {
        &mut self.bytes[TIDS..TIDS + INLINE_TIDS * TID_LEN]
    }

    fn reload_tids(&mut self) {
        self.head.tids = bytemuck::pod_read_unaligned(self.tids());
        self.write_head();
    }

    fn write_head(&mut self) {
        self.bytes[..ELEMENT_HEAD].copy_from_slice(bytemuck::bytes_of(&self.head));
    }
}
