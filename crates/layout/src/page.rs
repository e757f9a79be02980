use std::fmt::{Display, Formatter};

use bytemuck::{Pod, Zeroable};

use crate::Corrupt;

/// Bytes of a page.
pub const PAGE_SIZE: usize = 8192;
/// The offset of the contents, after Postgres' page header.
pub(crate) const PAGE_HEADER: usize = 24;
/// The offset of the special area and end of the contents.
pub(crate) const SPECIAL: usize = PAGE_SIZE - size_of::<Special>();
/// Bytes of contents.
pub(crate) const CONTENTS: usize = SPECIAL - PAGE_HEADER;
/// The version of the byte layout of this build.
pub const LAYOUT_VERSION: u32 = 1;
/// The version of the byte layout of an index with key columns.
pub const KEYED_LAYOUT_VERSION: u32 = 2;
/// The version of the byte layout of an index with graphs of the values of a key column.
pub const GROUPED_LAYOUT_VERSION: u32 = 3;
/// What an index with centers learned since its build adds to the version of its byte layout.
pub const LEARNED: u32 = GROUPED_LAYOUT_VERSION;
/// The null block number.
pub(crate) const NO_BLOCK: u32 = u32::MAX;

/// The last two bytes of every page: tools identify the access method by them.
const PAGE_ID: u16 = 0xFF9D;
const SPECIAL_VERSION: u16 = 1;
const LISTED: u8 = 1;

// Offsets in Postgres' PageHeaderData.
const PD_LOWER: usize = 12;
const PD_UPPER: usize = 14;
const PD_SPECIAL: usize = 16;
const PD_PAGESIZE_VERSION: usize = 18;
const PAGESIZE_VERSION: u16 = 8192 | 4;

const _: () = assert!(size_of::<Special>() == 16 && SPECIAL == 8176);

/// The kind of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageKind {
    /// Block 0: options and entry point.
    Meta = 1,
    /// Elements with their codes and neighbors at level 0.
    Element = 2,
    /// Neighbor lists of levels above 0.
    Upper = 3,
    /// Heap TIDs beyond those in their element.
    Overflow = 4,
    /// The vector subtracted before encoding.
    Center = 5,
    /// The key columns of rows.
    Filter = 6,
}

impl TryFrom<u8> for PageKind {
    type Error = Corrupt;

    fn try_from(kind: u8) -> Result<Self, Corrupt> {
        Ok(match kind {
            1 => Self::Meta,
            2 => Self::Element,
            3 => Self::Upper,
            4 => Self::Overflow,
            5 => Self::Center,
            6 => Self::Filter,
            _ => return Err(Corrupt::UnknownPageKind(kind)),
        })
    }
}

impl Display for PageKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Meta => "meta",
            Self::Element => "element",
            Self::Upper => "upper",
            Self::Overflow => "overflow",
            Self::Center => "center",
            Self::Filter => "filter",
        })
    }
}

/// The 16 bytes at a page's end.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Special {
    kind: u8,
    flags: u8,
    free: u16,
    next: u32,
    reserved: u32,
    version: u16,
    page_id: u16,
}

impl Special {
    /// The kind of the page.
    ///
    /// # Errors
    /// If the kind is unknown.
    #[inline]
    pub fn kind(&self) -> Result<PageKind, Corrupt> {
        self.kind.try_into()
    }

    /// The number of free slots: freed ones and slots never used.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.free
    }

    /// True if the page is in its kind's free list.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.flags & LISTED != 0
    }

    /// The next page of the free list, or of the center.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        (self.next != NO_BLOCK).then_some(self.next)
    }
}

/// True for a page of zeros: a crash left it between extending the index and the first write.
#[must_use]
pub fn is_new(page: &[u8]) -> bool {
    page.len() == PAGE_SIZE && read_u16(page, PD_UPPER) == 0
}

/// The special area of a page of any kind, after checking the page.
///
/// # Errors
/// If page size, page id, version, kind, flags or Postgres' header are invalid.
#[inline]
pub fn special(page: &[u8]) -> Result<Special, Corrupt> {
    if page.len() != PAGE_SIZE {
        return Err(Corrupt::PageSize(page.len()));
    }
    let (lower, upper, at) = (
        read_u16(page, PD_LOWER),
        read_u16(page, PD_UPPER),
        read_u16(page, PD_SPECIAL),
    );
    if usize::from(at) != SPECIAL
        || upper != at
        || lower > upper
        || usize::from(lower) < PAGE_HEADER
    {
        return Err(Corrupt::Header {
            lower,
            upper,
            special: at,
        });
    }
    let special = raw_special(page);
    if special.page_id != PAGE_ID {
        return Err(Corrupt::PageId(special.page_id));
    }
    if special.version != SPECIAL_VERSION {
        return Err(Corrupt::LayoutVersion(special.version.into()));
    }
    special.kind()?;
    if special.flags & !LISTED != 0 || special.reserved != 0 {
        return Err(Corrupt::Reserved);
    }
    Ok(special)
}

/// The special area of a page of `expected` kind.
#[inline]
pub(crate) fn special_of(page: &[u8], expected: PageKind) -> Result<Special, Corrupt> {
    let special = special(page)?;
    let found = special.kind()?;
    if found == expected {
        Ok(special)
    } else {
        Err(Corrupt::PageKind { expected, found })
    }
}

/// Makes an empty page of a kind: Postgres' header, zeroes, special area.
///
/// # Panics
/// If `page` is not [`PAGE_SIZE`] long.
pub(crate) fn init_page(page: &mut [u8], kind: PageKind, free: u16) {
    assert_eq!(page.len(), PAGE_SIZE, "a page has one size");
    page.fill(0);
    write_u16(page, PD_LOWER, const_u16(PAGE_HEADER));
    write_u16(page, PD_UPPER, const_u16(SPECIAL));
    write_u16(page, PD_SPECIAL, const_u16(SPECIAL));
    write_u16(page, PD_PAGESIZE_VERSION, PAGESIZE_VERSION);
    let kind = kind as u8;
    let version = SPECIAL_VERSION;
    write_special(
        page,
        Special {
            kind,
            flags: 0,
            free,
            next: NO_BLOCK,
            reserved: 0,
            version,
            page_id: PAGE_ID,
        },
    );
}

/// Marks a page as a member of its kind's free list, followed by `next`.
///
/// # Errors
/// If the page is corrupt.
pub fn list_page(page: &mut [u8], next: Option<u32>) -> Result<(), Corrupt> {
    let special = special(page)?;
    write_special(
        page,
        Special {
            flags: special.flags | LISTED,
            next: next.unwrap_or(NO_BLOCK),
            ..special
        },
    );
    Ok(())
}

/// Removes a page's mark as member of a free list; returns the page that followed it.
///
/// # Errors
/// If the page is corrupt.
pub fn unlist_page(page: &mut [u8]) -> Result<Option<u32>, Corrupt> {
    let special = special(page)?;
    write_special(
        page,
        Special {
            flags: special.flags & !LISTED,
            next: NO_BLOCK,
            ..special
        },
    );
    Ok(special.next())
}

/// Sets the number of free slots.
pub(crate) fn set_free(page: &mut [u8], free: u16) {
    let special = raw_special(page);
    write_special(page, Special { free, ..special });
}

/// Sets the next page.
pub(crate) fn set_next(page: &mut [u8], next: Option<u32>) {
    let special = raw_special(page);
    write_special(
        page,
        Special {
            next: next.unwrap_or(NO_BLOCK),
            ..special
        },
    );
}

#[inline]
fn raw_special(page: &[u8]) -> Special {
    bytemuck::pod_read_unaligned(&page[SPECIAL..PAGE_SIZE])
}

fn write_special(page: &mut [u8], special: Special) {
    page[SPECIAL..PAGE_SIZE].copy_from_slice(bytemuck::bytes_of(&special));
}

/// The end of the used part.
#[inline]
pub(crate) fn lower(page: &[u8]) -> u16 {
    read_u16(page, PD_LOWER)
}

/// Sets the end of the used part.
pub(crate) fn set_lower(page: &mut [u8], lower: usize) {
    write_u16(page, PD_LOWER, const_u16(lower));
}

#[inline]
fn read_u16(page: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([page[at], page[at + 1]])
}

fn write_u16(page: &mut [u8], at: usize, value: u16) {
    page[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

/// Offsets in a page fit in 16 bits.
const fn const_u16(offset: usize) -> u16 {
    assert!(offset <= PAGE_SIZE);
    #[expect(clippy::cast_possible_truncation, reason = "checked above")]
    let offset = offset as u16;
    offset
}
