use std::error::Error;
use std::fmt::{Display, Formatter};
use std::marker::PhantomData;
use std::ops::Range;

use filter::Widths;
use hnsw::ElementId;

use crate::NO_ELEMENT;
use crate::filter_page::FilterShape;
use crate::group::{GROUP_HEAD, Group};
use crate::page::{
    CONTENTS, GROUPED_LAYOUT_VERSION, KEYED_LAYOUT_VERSION, LAYOUT_VERSION, PAGE_HEADER,
};
use crate::sizes::{ELEMENT_HEAD, OVERFLOW_SLOT, UPPER_HEAD};

/// The minimum of `m`.
pub const MIN_M: usize = 2;
/// The maximum of `m`: the upper lists of an element of the highest level still fit in one page.
pub const MAX_M: usize = 100;

/// Names an element's first upper neighbor list: its level 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpperId(pub u32);

impl UpperId {
    /// The element's list at `level` (at least 1): the lists are adjacent in one page.
    #[must_use]
    pub fn at(self, level: hnsw::Level) -> Self {
        Self(self.0.wrapping_add(u32::from(level).saturating_sub(1)))
    }
}

/// Names a slot of further heap TIDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverflowId(pub u32);

/// An id made of block and slot.
pub trait SlotId: Copy {
    /// The id for a page's `raw` value.
    fn from_raw(raw: u32) -> Self;
    /// The raw value of this id on a page.
    fn raw(self) -> u32;
    /// The id for a page's `raw` value, or `None` for the null id.
    fn from_link(raw: u32) -> Option<Self> {
        (raw != NO_ELEMENT).then(|| Self::from_raw(raw))
    }
    /// The raw value of an optional id on a page.
    fn to_link(id: Option<Self>) -> u32 {
        id.map_or(NO_ELEMENT, Self::raw)
    }
}

macro_rules! slot_ids {
    ($($id:ty),*) => {$(
        impl SlotId for $id {
            #[inline]
            fn from_raw(raw: u32) -> Self {
                Self(raw)
            }
            #[inline]
            fn raw(self) -> u32 {
                self.0
            }
        }
    )*};
}
slot_ids!(ElementId, UpperId, OverflowId);

/// The arrangement of one kind of slots in pages, and the packing of their ids: `block << bits | slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots<Id> {
    /// Bytes of a slot.
    pub len: usize,
    /// Slots per page.
    pub per_page: u16,
    /// Bits of an id for the slot.
    pub bits: u32,
    id: PhantomData<Id>,
}

impl<Id: SlotId> Slots<Id> {
    /// `None` if not even one slot fits.
    fn new(len: usize) -> Option<Self> {
        let per_page = u16::try_from(CONTENTS / len).ok().filter(|&n| n > 0)?;
        Some(Self {
            len,
            per_page,
            bits: per_page.next_power_of_two().trailing_zeros(),
            id: PhantomData,
        })
    }

    /// The block and slot of an id. The slot of an id from a corrupt page may not exist; its page will say so.
    #[inline]
    #[must_use]
    pub fn split(&self, id: Id) -> (u32, u16) {
        #[expect(clippy::cast_possible_truncation, reason = "bits is at most 13")]
        let slot = (id.raw() & ((1 << self.bits) - 1)) as u16;
        (id.raw() >> self.bits, slot)
    }

    /// The byte range of a slot in its page, for prefetching; `None` beyond the last slot.
    #[inline]
    #[must_use]
    pub fn range(&self, slot: u16) -> Range<usize> {
        let from = PAGE_HEADER + usize::from(slot) * self.len;
        from..from + self.len
    }

    /// The id of a slot; `None` if the block is beyond the range of ids.
    #[inline]
    #[must_use]
    pub fn join(&self, block: u32, slot: u16) -> Option<Id> {
        let named = slot < self.per_page && block <= u32::MAX >> self.bits;
        let raw = named.then(|| block << self.bits | u32::from(slot))?;
        Id::from_link(raw)
    }
}

/// Sizes derived from an index's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Neighbors per upper list; twice as many at level 0.
    pub m: u16,
    /// Bytes of a code.
    pub code_len: usize,
    /// Slots of element pages.
    pub element: Slots<ElementId>,
    /// Slots of upper pages.
    pub upper: Slots<UpperId>,
    /// Slots of overflow pages.
    pub overflow: Slots<OverflowId>,
    /// Filter pages; `None` for an index without key columns.
    pub keys: Option<FilterShape>,
    /// The key column whose values have graphs of their own.
    pub grouped_by: Option<u8>,
}

impl Geometry {
    /// The sizes for `m` (in [`MIN_M`]..=[`MAX_M`]) and codes of `code_len` bytes, a multiple of 4.
    ///
    /// # Errors
    /// [`TooLarge`] if an element does not fit in a page, or `m` or `code_len` is invalid.
    pub fn new(m: usize, code_len: usize) -> Result<Self, TooLarge> {
        let too_large = TooLarge { m, code_len };
        if !(MIN_M..=MAX_M).contains(&m)
            || !code_len.is_multiple_of(4)
            || code_len > max_code_len(m)
        {
            return Err(too_large);
        }
        Ok(Self {
            m: u16::try_from(m).map_err(|_| too_large)?,
            code_len,
            element: Slots::new(ELEMENT_HEAD + code_len + 8 * m).ok_or(too_large)?,
            upper: Slots::new(UPPER_HEAD + 4 * m).ok_or(too_large)?,
            overflow: Slots::new(OVERFLOW_SLOT).ok_or(too_large)?,
            keys: None,
            grouped_by: None,
        })
    }

    /// The same sizes, with a group and a list of `m` neighbors of the same group in each element.
    ///
    /// # Errors
    /// [`TooLarge`] if an element no longer fits in a page.
    pub fn with_groups(self, column: Option<u8>) -> Result<Self, TooLarge> {
        let m = usize::from(self.m);
        let too_large = TooLarge {
            m,
            code_len: self.code_len,
        };
        let of_group = column.map_or(0, |_| group_len(m));
        let len = ELEMENT_HEAD + self.code_len + 8 * m + of_group;
        Ok(Self {
            element: Slots::new(len).ok_or(too_large)?,
            grouped_by: column,
            ..self
        })
    }

    /// The same sizes, with filter pages for key columns of these widths.
    #[must_use]
    pub fn with_keys(self, widths: Option<Widths>) -> Self {
        Self {
            keys: widths.map(FilterShape::new),
            ..self
        }
    }

    /// The widths of the key columns' images; `None` without key columns.
    #[must_use]
    pub fn widths(&self) -> Option<Widths> {
        self.keys.map(|keys| keys.widths)
    }

    /// The group of a row with this key; `None` for an index without groups.
    ///
    /// # Panics
    /// If the row key is not of the index's widths.
    #[must_use]
    pub fn group_of(&self, row_key: &[u8]) -> Option<Group> {
        let (widths, column) = self.widths().zip(self.grouped_by)?;
        Some(Group {
            image: widths.image(row_key, column.into()),
        })
    }

    /// The version of the layout of an index of this geometry.
    #[must_use]
    pub fn layout_version(&self) -> u32 {
        match (self.keys, self.grouped_by) {
            (None, _) => LAYOUT_VERSION,
            (Some(_), None) => KEYED_LAYOUT_VERSION,
            (Some(_), Some(_)) => GROUPED_LAYOUT_VERSION,
        }
    }

    /// The byte range for an estimate, within the page: head and code of an element.
    #[inline]
    #[must_use]
    pub fn measured_range(&self, slot: u16) -> Range<usize> {
        let Range { start, .. } = self.element.range(slot);
        start..start + ELEMENT_HEAD + self.code_len
    }

    /// The further byte range for an expansion, within the page: the neighbors at level 0, and those of the same group.
    #[inline]
    #[must_use]
    pub fn neighbors_range(&self, slot: u16) -> Range<usize> {
        let Range { start, end } = self.element.range(slot);
        start + ELEMENT_HEAD + self.code_len..end
    }
}

/// Bytes of an element's group and of its neighbors there.
#[must_use]
pub fn group_len(m: usize) -> usize {
    GROUP_HEAD + 4 * m
}

/// The maximum code length that fits in a page beside `2 * m` neighbors.
#[must_use]
pub fn max_code_len(m: usize) -> usize {
    CONTENTS
        .saturating_sub(ELEMENT_HEAD)
        .saturating_sub(m.saturating_mul(8))
        / 4
        * 4
}

/// The maximum code length, a multiple of 4, with as many slots per page as for `code_len`; `of_group` bytes of each are of a
/// group ([`group_len`], or 0).
#[must_use]
pub fn widest_code_len(m: usize, of_group: usize, code_len: usize) -> usize {
    let beside = ELEMENT_HEAD + m.saturating_mul(8) + of_group;
    let slots = CONTENTS / (beside + code_len);
    match CONTENTS.checked_div(slots) {
        Some(room) => room.saturating_sub(beside) / 4 * 4,
        None => code_len,
    }
}

/// An element with this code and these neighbors does not fit in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The requested `m`.
    pub m: usize,
    /// The requested code length.
    pub code_len: usize,
}

impl Display for TooLarge {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "an element with a code of {} bytes and m = {} does not fit in a page",
            self.code_len, self.m
        )
    }
}

impl Error for TooLarge {}
