use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use hnsw::{ElementId, GROUP, Level, MAX_LEVEL};

use crate::geometry::{OverflowId, SlotId, UpperId};
use crate::group::{GROUP_HEAD, Group, RawGroup};
use crate::heap_tid::{RawTid, TID_LEN, add_tid, remove_tids, tids};
use crate::page::PageKind;
use crate::sizes::ELEMENT_HEAD;
use crate::slots::SlotPage;
use crate::{Corrupt, Geometry, HeapTid, NO_ELEMENT, SlotState, Special, neighbors};

/// Heap TIDs stored in the element itself.
pub const INLINE_TIDS: usize = TID_CAPACITY as usize;
const TID_CAPACITY: u16 = 2;
const CENTER: usize = 7;
const TIDS: usize = 8;

const _: () = assert!(ELEMENT_HEAD == size_of::<Head>());

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    state: u8,
    level: u8,
    count: u16,
    version: u16,
    tid_count: u8,
    center: u8,
    tids: [RawTid; INLINE_TIDS],
    upper: u32,
    overflow: u32,
}

/// Lengths of a slot's parts.
#[derive(Clone, Copy)]
struct Parts {
    code: usize,
    max_neighbors: u16,
    /// The most neighbors of the same group; `None` for an index without groups.
    max_in_group: Option<u16>,
}

impl Parts {
    fn of(geometry: &Geometry) -> Self {
        Self {
            code: geometry.code_len,
            max_neighbors: 2 * geometry.m,
            max_in_group: geometry.grouped_by.map(|_| geometry.m),
        }
    }

    /// The place of the neighbors at level 0 in a slot.
    fn list(&self) -> Range<usize> {
        let start = ELEMENT_HEAD + self.code;
        start..start + usize::from(self.max_neighbors) * size_of::<u32>()
    }

    /// The place of the group in a slot; its neighbors follow.
    fn group(&self) -> Option<usize> {
        self.max_in_group.map(|_| self.list().end)
    }
}

/// An element to write.
#[derive(Clone, Copy, Debug)]
pub struct NewElement<'a> {
    /// The level: its highest layer.
    pub level: Level,
    /// The code, of the index's code length.
    pub code: &'a [u8],
    /// The number of the code's center.
    pub center: u8,
    /// The neighbors at level 0, at most `2 * m`.
    pub neighbors: &'a [ElementId],
    /// The heap TIDs, at most [`INLINE_TIDS`].
    pub tids: &'a [HeapTid],
    /// The first list of neighbors above level 0; `None` exactly if `level` is 0.
    pub upper: Option<UpperId>,
    /// The first slot of further heap TIDs.
    pub overflow: Option<OverflowId>,
    /// The group and the neighbors there, at most `m`; `None` exactly in an index without groups.
    pub group: Option<(Group, &'a [ElementId])>,
}

/// A read view of an element page.
pub struct ElementPage<'a> {
    slots: SlotPage<&'a [u8]>,
    parts: Parts,
}

impl<'a> ElementPage<'a> {
    /// Checks the page's header and special area.
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

    /// What an estimate needs of a slot, at the price of one bounds check.
    ///
    /// # Errors
    /// If there is no such slot or its state is unknown.
    #[inline]
    pub fn code(&self, slot: u16) -> Result<StoredCode<'a>, Corrupt> {
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

    /// The bytes of a slot.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn slot_bytes(&self, slot: u16) -> Result<&'a [u8], Corrupt> {
        self.slots.borrowed_slot(slot)
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

/// The code of an element, with the state of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCode<'a> {
    /// The state of the slot.
    pub state: SlotState,
    /// The number of the code's center.
    pub center: u8,
    /// The code. It may lie unaligned.
    pub bytes: &'a [u8],
}

/// The code of a copied element: at least the bytes of [`Geometry::measured_range`].
///
/// # Errors
/// If the state is unknown.
///
/// # Panics
/// If there are fewer bytes.
#[inline]
pub fn copied_code<'a>(bytes: &'a [u8], geometry: &Geometry) -> Result<StoredCode<'a>, Corrupt> {
    code_of(bytes, geometry.code_len)
}

#[inline]
fn code_of(slot: &[u8], code_len: usize) -> Result<StoredCode<'_>, Corrupt> {
    Ok(StoredCode {
        state: SlotState::read(slot[0])?,
        center: slot[CENTER],
        bytes: &slot[ELEMENT_HEAD..ELEMENT_HEAD + code_len],
    })
}

/// A read view of an element.
#[derive(Clone, Copy)]
pub struct ElementSlot<'a> {
    bytes: &'a [u8],
    head: Head,
    state: SlotState,
    parts: Parts,
}

impl<'a> ElementSlot<'a> {
    /// An element from a copy of its whole slot.
    ///
    /// # Errors
    /// If its head is corrupt.
    ///
    /// # Panics
    /// If there are fewer bytes than a slot.
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
        let element = Self {
            bytes,
            head,
            state,
            parts,
        };
        element.check_group()?;
        Ok(element)
    }

    #[inline]
    fn check_group(&self) -> Result<(), Corrupt> {
        let (Some(group), Some(capacity)) = (self.raw_group(), self.parts.max_in_group) else {
            return Ok(());
        };
        if group.reserved != 0 {
            return Err(Corrupt::Reserved);
        }
        if group.is_null > 1 {
            return Err(Corrupt::Null(group.is_null));
        }
        let count = group.count;
        if count > capacity {
            return Err(Corrupt::Count { count, capacity });
        }
        Ok(())
    }

    #[inline]
    fn raw_group(&self) -> Option<RawGroup> {
        let at = self.parts.group()?;
        Some(bytemuck::pod_read_unaligned(
            &self.bytes[at..at + GROUP_HEAD],
        ))
    }

    /// The group; `None` in an index without groups.
    #[inline]
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        self.raw_group().map(RawGroup::group)
    }

    /// Neighbors in the graph of the element's group; none in an index without groups.
    #[inline]
    pub fn group_neighbors(&self) -> impl ExactSizeIterator<Item = ElementId> + use<'a> {
        neighbors::ids(self.group_bytes())
    }

    /// The element's list at level 0 or in its group.
    #[inline]
    pub fn list(&self, level: Level) -> impl ExactSizeIterator<Item = ElementId> + use<'a> {
        neighbors::ids(match level {
            GROUP => self.group_bytes(),
            _ => self.list_bytes(),
        })
    }

    #[inline]
    fn list_bytes(&self) -> &'a [u8] {
        neighbors::first(&self.bytes[self.parts.list()], self.head.count)
    }

    #[inline]
    fn group_bytes(&self) -> &'a [u8] {
        let group = self.raw_group().zip(self.parts.group());
        group.map_or(&[], |(group, at)| {
            neighbors::first(&self.bytes[at + GROUP_HEAD..], group.count)
        })
    }

    /// The state of the slot.
    #[inline]
    #[must_use]
    pub fn state(&self) -> SlotState {
        self.state
    }

    /// True if the slot holds an element with rows.
    #[inline]
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }

    /// The element's level.
    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        self.head.level
    }

    /// The number of times the slot was freed, modulo 2^16.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u16 {
        self.head.version
    }

    /// The number of the code's center.
    #[inline]
    #[must_use]
    pub fn center(&self) -> u8 {
        self.head.center
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
        neighbors::ids(self.list_bytes())
    }

    /// The heap TIDs stored in the element itself.
    pub fn heap_tids(&self) -> impl ExactSizeIterator<Item = HeapTid> + use<'a> {
        tids(&self.bytes[TIDS..TIDS + usize::from(self.head.tid_count) * TID_LEN])
    }

    /// The list of level 1; the lists of higher levels follow it.
    #[inline]
    #[must_use]
    pub fn upper(&self) -> Option<UpperId> {
        UpperId::from_link(self.head.upper)
    }

    /// The first slot of further heap TIDs.
    #[inline]
    #[must_use]
    pub fn overflow(&self) -> Option<OverflowId> {
        OverflowId::from_link(self.head.overflow)
    }
}

/// A write view of an element page.
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

    /// A read view of the page.
    #[must_use]
    pub fn shared(&self) -> ElementPage<'_> {
        ElementPage {
            slots: self.slots.shared(),
            parts: self.parts,
        }
    }

    /// A checked write view of a slot.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn slot(&mut self, slot: u16) -> Result<ElementSlotMut<'_>, Corrupt> {
        let parts = self.parts;
        ElementSlotMut::view(self.slots.slot_mut(slot)?, parts)
    }

    /// Writes an element after the last one; `None` if no unused slot is left.
    ///
    /// # Panics
    /// If `new` violates the geometry.
    pub fn append(&mut self, new: &NewElement<'_>) -> Option<u16> {
        let slot = self.slots.used();
        self.write(slot, new).ok()?;
        Some(slot)
    }

    /// Writes an element into a slot from [`ElementPage::find_free`]. The slot keeps its version.
    ///
    /// # Errors
    /// If the slot is not free.
    ///
    /// # Panics
    /// If `new` violates the geometry.
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
        assert_eq!(
            new.group.is_some(),
            parts.max_in_group.is_some(),
            "an index has groups or has none"
        );
        let bytes = self.slots.take(slot)?;
        let old: Head = bytemuck::pod_read_unaligned(&bytes[..ELEMENT_HEAD]);
        let mut raw_tids = [RawTid::zeroed(); INLINE_TIDS];
        for (place, tid) in raw_tids.iter_mut().zip(new.tids) {
            *place = (*tid).into();
        }
        let (head, rest) = bytes.split_at_mut(ELEMENT_HEAD);
        let (code, rest) = rest.split_at_mut(parts.code);
        code.copy_from_slice(new.code);
        let (list, rest) = rest.split_at_mut(parts.list().len());
        let count = neighbors::write(list, new.neighbors);
        if let Some((group, neighbors)) = new.group {
            let (head, list) = rest.split_at_mut(GROUP_HEAD);
            let count = neighbors::write(list, neighbors);
            head.copy_from_slice(bytemuck::bytes_of(&group.raw(count)));
        }
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
            center: new.center,
            tids: raw_tids,
            upper: UpperId::to_link(new.upper),
            overflow: OverflowId::to_link(new.overflow),
        }));
        Ok(())
    }

    /// Frees a slot: increments its version and clears it. A free slot stays unchanged.
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

/// A write view of an element.
pub struct ElementSlotMut<'a> {
    bytes: &'a mut [u8],
    head: Head,
    state: SlotState,
    parts: Parts,
}

impl<'a> ElementSlotMut<'a> {
    /// An element in a copy of its whole slot.
    ///
    /// # Errors
    /// If its head is corrupt.
    ///
    /// # Panics
    /// If there are fewer bytes than a slot.
    pub fn copied(bytes: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Self::view(bytes, Parts::of(geometry))
    }

    fn view(bytes: &'a mut [u8], parts: Parts) -> Result<Self, Corrupt> {
        let ElementSlot { head, state, .. } = ElementSlot::view(bytes, parts)?;
        Ok(Self {
            bytes,
            head,
            state,
            parts,
        })
    }

    /// A read view of the element.
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

    /// Replaces the neighbors in the element's group; there are none in an index without groups.
    ///
    /// # Panics
    /// If there are more than `m`.
    pub fn set_group_neighbors(&mut self, neighbors: &[ElementId]) {
        let Some((group, at)) = self.shared().group().zip(self.parts.group()) else {
            return;
        };
        let (head, list) = self.bytes[at..].split_at_mut(GROUP_HEAD);
        let count = neighbors::write(list, neighbors);
        head.copy_from_slice(bytemuck::bytes_of(&group.raw(count)));
    }

    /// Replaces the element's list at level 0 or in its group.
    ///
    /// # Panics
    /// If there are more than `2 * m`, or `m` in its group.
    pub fn set_list(&mut self, level: Level, neighbors: &[ElementId]) {
        if level == GROUP {
            self.set_group_neighbors(neighbors);
        } else {
            self.set_neighbors(neighbors);
        }
    }

    /// Adds a heap TID; false if the element already holds [`INLINE_TIDS`].
    pub fn add_tid(&mut self, tid: HeapTid) -> bool {
        let count = self.head.tid_count;
        if !add_tid(self.tids(), count.into(), tid) {
            return false;
        }
        self.head.tid_count += 1;
        self.reload_tids();
        true
    }

    /// Removes the heap TIDs selected by `remove`; returns their number.
    pub fn remove_tids(&mut self, remove: impl FnMut(HeapTid) -> bool) -> usize {
        let count = self.head.tid_count;
        let kept = remove_tids(self.tids(), count.into(), remove);
        self.head.tid_count = u8::try_from(kept).expect("no more than there were");
        self.reload_tids();
        usize::from(count) - kept
    }

    /// Links the first slot of further heap TIDs, or clears the link.
    pub fn set_overflow(&mut self, overflow: Option<OverflowId>) {
        self.head.overflow = OverflowId::to_link(overflow);
        self.write_head();
    }

    /// Makes the element a tombstone: searches traverse it but never return it.
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
        &mut self.bytes[self.parts.list()]
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
