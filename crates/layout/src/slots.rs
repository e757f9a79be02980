use crate::geometry::{SlotId, Slots};
use crate::page::{PAGE_HEADER, PageKind, init_page, lower, set_free, set_lower, special_of};
use crate::{Corrupt, Special};

/// The state of a slot: the first byte of every slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotState {
    /// In use.
    Live = 1,
    /// A tombstone: an element without rows, until no list links to it.
    Dead = 2,
    /// Free for a new element.
    Free = 3,
}

impl SlotState {
    #[inline]
    pub(crate) fn read(byte: u8) -> Result<Self, Corrupt> {
        Ok(match byte {
            1 => Self::Live,
            2 => Self::Dead,
            3 => Self::Free,
            _ => return Err(Corrupt::State(byte)),
        })
    }
}

/// A page of slots, borrowed for reading or writing.
pub(crate) struct SlotPage<B> {
    page: B,
    len: usize,
    per_page: u16,
    used: u16,
}

impl<B: AsRef<[u8]>> SlotPage<B> {
    /// Checks the page's header and special area.
    #[inline]
    pub(crate) fn view<Id: SlotId>(
        page: B,
        kind: PageKind,
        slots: &Slots<Id>,
    ) -> Result<Self, Corrupt> {
        let special = special_of(page.as_ref(), kind)?;
        let lower = lower(page.as_ref());
        // `special_of` has checked that lower lies between header and special area.
        let filled = usize::from(lower) - PAGE_HEADER;
        let used = u16::try_from(filled / slots.len).map_err(|_| Corrupt::Used(lower))?;
        if usize::from(used) * slots.len != filled {
            return Err(Corrupt::Used(lower));
        }
        if special.free() < slots.per_page - used || special.free() > slots.per_page {
            return Err(Corrupt::Free {
                free: special.free(),
                used,
            });
        }
        Ok(Self {
            page,
            len: slots.len,
            per_page: slots.per_page,
            used,
        })
    }

    #[inline]
    pub(crate) fn used(&self) -> u16 {
        self.used
    }

    #[inline]
    pub(crate) fn slot(&self, slot: u16) -> Result<&[u8], Corrupt> {
        slot_bytes(self.page.as_ref(), self.len, self.used, slot)
    }

    pub(crate) fn state(&self, slot: u16) -> Result<SlotState, Corrupt> {
        SlotState::read(self.slot(slot)?[0])
    }

    pub(crate) fn special(&self) -> Result<Special, Corrupt> {
        crate::special(self.page.as_ref())
    }

    fn free(&self) -> u16 {
        // The special area was checked when the view was made.
        self.special().map_or(0, |special| special.free())
    }

    fn end_of(&self, slots: u16) -> usize {
        PAGE_HEADER + usize::from(slots) * self.len
    }

    /// The first of `run` consecutive free slots; the last ones may be unused so far.
    pub(crate) fn find_free_run(&self, run: u16) -> Option<u16> {
        if self.free() < run || run == 0 {
            return None;
        }
        // Without freed slots, all free slots are at the end.
        let none_freed = self.free() == self.per_page - self.used;
        let begin = if none_freed { self.used } else { 0 };
        let mut first = begin;
        for slot in begin..self.used {
            if slot - first == run {
                return Some(first);
            }
            if self.state(slot) != Ok(SlotState::Free) {
                first = slot + 1;
            }
        }
        (run <= self.per_page - first).then_some(first)
    }
}

impl<'a> SlotPage<&'a [u8]> {
    /// As `slot`, with the lifetime of the page.
    #[inline]
    pub(crate) fn borrowed_slot(&self, slot: u16) -> Result<&'a [u8], Corrupt> {
        slot_bytes(self.page, self.len, self.used, slot)
    }
}

impl<'a> SlotPage<&'a mut [u8]> {
    /// Makes an empty page.
    pub(crate) fn init<Id: SlotId>(page: &'a mut [u8], kind: PageKind, slots: &Slots<Id>) -> Self {
        init_page(page, kind, slots.per_page);
        Self {
            page,
            len: slots.len,
            per_page: slots.per_page,
            used: 0,
        }
    }

    pub(crate) fn slot_mut(&mut self, slot: u16) -> Result<&mut [u8], Corrupt> {
        self.slot(slot)?;
        let (from, to) = (self.end_of(slot), self.end_of(slot + 1));
        Ok(&mut self.page[from..to])
    }

    /// Allocates a free slot, or the first one never used, and returns its bytes.
    pub(crate) fn take(&mut self, slot: u16) -> Result<&mut [u8], Corrupt> {
        if slot == self.used && slot < self.per_page {
            self.used += 1;
            let end = self.end_of(self.used);
            set_lower(self.page, end);
            // Bytes past the used part are undefined: WAL omits them, so replay does too.
            self.slot_mut(slot)?.fill(0);
        } else if self.state(slot)? != SlotState::Free {
            return Err(Corrupt::State(self.slot(slot)?[0]));
        }
        set_free(self.page, self.free().saturating_sub(1));
        self.slot_mut(slot)
    }

    /// Increments the count of free slots, after the caller marked a slot as free.
    pub(crate) fn given_back(&mut self) {
        let free = self.free().saturating_add(1).min(self.per_page);
        set_free(self.page, free);
    }

    pub(crate) fn shared(&self) -> SlotPage<&[u8]> {
        SlotPage {
            page: self.page,
            len: self.len,
            per_page: self.per_page,
            used: self.used,
        }
    }
}

#[inline]
fn slot_bytes(page: &[u8], len: usize, used: u16, slot: u16) -> Result<&[u8], Corrupt> {
    if slot >= used {
        return Err(Corrupt::Slot { slot, used });
    }
    let from = PAGE_HEADER + usize::from(slot) * len;
    Ok(&page[from..from + len])
}
