use bytemuck::{Pod, Zeroable};
use hnsw::{ElementId, Level, MAX_LEVEL};

use crate::page::PageKind;
use crate::sizes::UPPER_HEAD;
use crate::slots::SlotPage;
use crate::{Corrupt, Geometry, NO_ELEMENT, SlotState, Special, neighbors};

const _: () = assert!(UPPER_HEAD == size_of::<Head>());

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    state: u8,
    level: u8,
    count: u16,
    element: u32,
}

/// A read view of an upper page: an element of level L has L adjacent lists, from level 1 up.
pub struct UpperPage<'a> {
    slots: SlotPage<&'a [u8]>,
    m: u16,
}

impl<'a> UpperPage<'a> {
    /// Checks the page's header and special area.
    ///
    /// # Errors
    /// If the page is not an upper page of this geometry.
    #[inline]
    pub fn view(page: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Ok(Self {
            slots: SlotPage::view(page, PageKind::Upper, &geometry.upper)?,
            m: geometry.m,
        })
    }

    /// Slots in use or freed.
    #[must_use]
    pub fn used(&self) -> u16 {
        self.slots.used()
    }

    /// A list, checked.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    #[inline]
    pub fn slot(&self, slot: u16) -> Result<UpperSlot<'a>, Corrupt> {
        UpperSlot::view(self.slots.borrowed_slot(slot)?, self.m)
    }

    /// The bytes of a slot.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn slot_bytes(&self, slot: u16) -> Result<&'a [u8], Corrupt> {
        self.slots.borrowed_slot(slot)
    }

    /// The first of `levels` consecutive free slots.
    #[must_use]
    pub fn find_free_run(&self, levels: Level) -> Option<u16> {
        self.slots.find_free_run(levels.into())
    }

    /// The page's special area.
    ///
    /// # Errors
    /// If it is corrupt.
    pub fn special(&self) -> Result<Special, Corrupt> {
        self.slots.special()
    }
}

/// A read view of a neighbor list of one level.
#[derive(Clone, Copy)]
pub struct UpperSlot<'a> {
    bytes: &'a [u8],
    head: Head,
    state: SlotState,
}

impl<'a> UpperSlot<'a> {
    /// A list from a copy of its whole slot.
    ///
    /// # Errors
    /// If its head is corrupt.
    ///
    /// # Panics
    /// If there are fewer bytes than a slot.
    #[inline]
    pub fn copied(bytes: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Self::view(bytes, geometry.m)
    }

    #[inline]
    fn view(bytes: &'a [u8], m: u16) -> Result<Self, Corrupt> {
        let head: Head = bytemuck::pod_read_unaligned(&bytes[..UPPER_HEAD]);
        let state = match SlotState::read(head.state)? {
            SlotState::Dead => return Err(Corrupt::State(head.state)),
            state => state,
        };
        let has_level = (1..=MAX_LEVEL).contains(&head.level);
        if has_level != (state == SlotState::Live) {
            return Err(Corrupt::Level(head.level));
        }
        if head.count > m {
            return Err(Corrupt::Count {
                count: head.count,
                capacity: m,
            });
        }
        Ok(Self { bytes, head, state })
    }

    /// True if the slot is in use.
    #[inline]
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state == SlotState::Live
    }

    /// The level of the list; 0 if the slot is free.
    #[inline]
    #[must_use]
    pub fn level(&self) -> Level {
        self.head.level
    }

    /// The owner of the list. A reader that follows an old link may find another owner, or none.
    #[inline]
    #[must_use]
    pub fn element(&self) -> ElementId {
        ElementId(self.head.element)
    }

    /// The neighbors.
    #[inline]
    pub fn neighbors(&self) -> impl ExactSizeIterator<Item = ElementId> + use<'a> {
        neighbors::ids(neighbors::first(&self.bytes[UPPER_HEAD..], self.head.count))
    }
}

/// A write view of an upper page.
pub struct UpperPageMut<'a> {
    slots: SlotPage<&'a mut [u8]>,
    m: u16,
}

impl<'a> UpperPageMut<'a> {
    /// Makes `page` an empty upper page.
    pub fn init(page: &'a mut [u8], geometry: &Geometry) -> Self {
        Self {
            slots: SlotPage::init(page, PageKind::Upper, &geometry.upper),
            m: geometry.m,
        }
    }

    /// As [`UpperPage::view`].
    ///
    /// # Errors
    /// If the page is not an upper page of this geometry.
    pub fn view(page: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Ok(Self {
            slots: SlotPage::view(page, PageKind::Upper, &geometry.upper)?,
            m: geometry.m,
        })
    }

    /// A read view of the page.
    #[must_use]
    pub fn shared(&self) -> UpperPage<'_> {
        UpperPage {
            slots: self.slots.shared(),
            m: self.m,
        }
    }

    /// A checked write view of a list.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn slot(&mut self, slot: u16) -> Result<UpperSlotMut<'_>, Corrupt> {
        let m = self.m;
        UpperSlotMut::view(self.slots.slot_mut(slot)?, m)
    }

    /// Allocates empty lists for levels 1 to `levels` of an element, in the slots from [`UpperPage::find_free_run`].
    ///
    /// # Errors
    /// If one of the slots is not free; the caller must then discard the page.
    ///
    /// # Panics
    /// If `levels` is beyond the highest.
    pub fn write_run(
        &mut self,
        first: u16,
        element: ElementId,
        levels: Level,
    ) -> Result<(), Corrupt> {
        assert!(levels <= MAX_LEVEL, "no element is above the highest level");
        for level in 1..=levels {
            let bytes = self
                .slots
                .take(first.saturating_add(u16::from(level) - 1))?;
            bytes.fill(0);
            let head = Head {
                state: SlotState::Live as u8,
                level,
                count: 0,
                element: element.0,
            };
            bytes[..UPPER_HEAD].copy_from_slice(bytemuck::bytes_of(&head));
        }
        Ok(())
    }

    /// Frees the lists of an element: those of `levels` slots from `first` that the element owns.
    ///
    /// # Errors
    /// If there is no such slot or its head is corrupt.
    pub fn free_run(
        &mut self,
        first: u16,
        element: ElementId,
        levels: Level,
    ) -> Result<(), Corrupt> {
        for slot in first..first.saturating_add(levels.into()) {
            let list = self.slot(slot)?;
            // A free slot has no owner.
            if list.shared().element() != element {
                continue;
            }
            list.clear();
            self.slots.given_back();
        }
        Ok(())
    }
}

/// A write view of a neighbor list of one level.
pub struct UpperSlotMut<'a> {
    bytes: &'a mut [u8],
    head: Head,
    state: SlotState,
}

impl<'a> UpperSlotMut<'a> {
    /// A list in a copy of its whole slot.
    ///
    /// # Errors
    /// If its head is corrupt.
    ///
    /// # Panics
    /// If there are fewer bytes than a slot.
    pub fn copied(bytes: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        Self::view(bytes, geometry.m)
    }

    fn view(bytes: &'a mut [u8], m: u16) -> Result<Self, Corrupt> {
        let UpperSlot { head, state, .. } = UpperSlot::view(bytes, m)?;
        Ok(Self { bytes, head, state })
    }

    /// A read view of the list.
    #[must_use]
    pub fn shared(&self) -> UpperSlot<'_> {
        UpperSlot {
            bytes: self.bytes,
            head: self.head,
            state: self.state,
        }
    }

    /// Replaces the neighbors.
    ///
    /// # Panics
    /// If there are more than `m`.
    pub fn set_neighbors(&mut self, neighbors: &[ElementId]) {
        self.head.count = neighbors::write(&mut self.bytes[UPPER_HEAD..], neighbors);
        self.write_head();
    }

    fn clear(self) {
        self.bytes.fill(0);
        let head = Head {
            state: SlotState::Free as u8,
            level: 0,
            count: 0,
            element: NO_ELEMENT,
        };
        self.bytes[..UPPER_HEAD].copy_from_slice(bytemuck::bytes_of(&head));
    }

    fn write_head(&mut self) {
        self.bytes[..UPPER_HEAD].copy_from_slice(bytemuck::bytes_of(&self.head));
    }
}
