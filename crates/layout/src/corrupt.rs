use std::error::Error;
use std::fmt::{Display, Formatter, Result};

use crate::page::{GROUPED_LAYOUT_VERSION, LAYOUT_VERSION, LEARNED, PAGE_SIZE, PageKind};

/// A fault of a page. The caller adds the index and the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// Not the length of a page.
    PageSize(usize),
    /// Postgres' page header is not one of this index's pages.
    Header {
        /// `pd_lower`
        lower: u16,
        /// `pd_upper`
        upper: u16,
        /// `pd_special`
        special: u16,
    },
    /// Postgres added the page, and it was never written.
    NeverWritten,
    /// The last two bytes are not the page id of this access method.
    PageId(u16),
    /// Written by another version of the extension. REINDEX helps.
    LayoutVersion(u32),
    /// The metapage of an index of pgvector. REINDEX helps.
    Pgvectors,
    /// An unknown kind of page.
    UnknownPageKind(u8),
    /// A page of another kind than expected.
    PageKind {
        /// The kind according to a link or the block number.
        expected: PageKind,
        /// The kind in the special area.
        found: PageKind,
    },
    /// `pd_lower` is not at the end of a slot, or beyond the last one.
    Used(u16),
    /// The count of free slots exceeds the slots.
    Free {
        /// The stored count.
        free: u16,
        /// Slots in use or freed.
        used: u16,
    },
    /// The page counts free slots, and all are in use.
    NoneFree,
    /// A slack of the calibration is out of range: the bits of a float.
    Share(u32),
    /// Reserved bytes or flags are set.
    Reserved,
    /// The mark of NULL is neither 0 nor 1.
    Null(u8),
    /// A slot beyond the page's last one.
    Slot {
        /// The requested slot.
        slot: u16,
        /// Slots in use or freed.
        used: u16,
    },
    /// A link to a block beyond the end of the index.
    NoSuchBlock(u32),
    /// A heap TID in a block beyond the end of the table.
    NoSuchRow(u32),
    /// An unknown state of a slot.
    State(u8),
    /// A level out of range.
    Level(u8),
    /// More entries in a list than its capacity.
    Count {
        /// The stored count.
        count: u16,
        /// The list's capacity.
        capacity: u16,
    },
    /// An element of level 0 with upper lists, or of a higher level without.
    UpperLink {
        /// The element's level.
        level: u8,
    },
    /// The metapage does not start with its magic number.
    Magic(u32),
    /// An unknown kind of vector.
    VectorKind(u8),
    /// An unknown metric.
    Metric(u8),
    /// An unknown width of a code.
    CodeBits(u8),
    /// A number of dimensions out of range.
    Dimensions(u32),
    /// Contradicting options and sizes in the metapage.
    Geometry {
        /// The stored `m`.
        m: u16,
        /// The stored length of a code.
        code_len: u32,
        /// The stored length of a slot.
        slot_len: u32,
    },
    /// A valid metapage of an index on other vectors or for another metric.
    OtherIndex,
    /// The overflow slots of an element are linked in a ring.
    EndlessOverflow,
    /// The entry point is not the id of an element, or it is missing and has a level.
    EntryPoint(u32),
    /// The widths of key columns in the metapage are not a count and so many widths of 1, 2, 4 or 8.
    KeyWidths([u8; 8]),
    /// The column whose values have graphs is not one of the key columns.
    GroupedBy(u64),
    /// The row key of an entry lies outside the bounds of its filter page.
    Zone {
        /// The entry.
        entry: u16,
    },
    /// The filter pages of an index are linked in a ring.
    EndlessFilter,
    /// The centers of an index are linked in a ring, or to none of its own.
    EndlessCenters,
    /// A code names a center that the index does not have.
    Center {
        /// The number of the center.
        center: u8,
        /// The centers that the index has.
        of: usize,
    },
}

impl Display for Corrupt {
    // A table: a fault in a line.
    #[rustfmt::skip]
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match *self {
            Self::PageSize(len) => write!(f, "page of {len} bytes, not {PAGE_SIZE}"),
            Self::Header { lower, upper, special } => write!(f, "page header has lower {lower}, upper {upper}, special {special}"),
            Self::NeverWritten => write!(f, "page was never written"),
            Self::PageId(found) => write!(f, "page id is {found:#06x}"),
            Self::LayoutVersion(found) => write!(f, "layout version is {found}, not {LAYOUT_VERSION} to {}", GROUPED_LAYOUT_VERSION + LEARNED),
            Self::Pgvectors => write!(f, "index was built by pgvector"),
            Self::UnknownPageKind(found) => write!(f, "page kind is {found}"),
            Self::PageKind { expected, found } => write!(f, "{found} page where {expected} page was expected"),
            Self::Used(lower) => write!(f, "used part ends at {lower}, which is not the end of a slot"),
            Self::Free { free, used } => write!(f, "{free} free slots on a page with {used} slots"),
            Self::NoneFree => write!(f, "free slots are counted, and all are in use"),
            Self::Share(bits) => write!(f, "a calibrated slack of {}", f32::from_bits(bits)),
            Self::Reserved => write!(f, "reserved bytes are not zero"),
            Self::Null(found) => write!(f, "mark of NULL is {found}"),
            Self::Slot { slot, used } => write!(f, "slot {slot} on a page with {used} slots"),
            Self::NoSuchBlock(block) => write!(f, "link to block {block}, which does not exist"),
            Self::NoSuchRow(block) => write!(f, "row in block {block} of the table, which does not exist"),
            Self::OtherIndex => write!(f, "metapage is that of another index"),
            Self::KeyWidths(found) => write!(f, "widths of key columns are {found:?}"),
            Self::GroupedBy(found) => write!(f, "graphs are of key column {found}"),
            Self::Zone { entry } => write!(f, "entry {entry} lies outside the bounds of its filter page"),
            Self::EndlessFilter => write!(f, "filter pages are linked in a ring"),
            Self::EndlessCenters => write!(f, "centers are linked in a ring"),
            Self::Center { center, of } => write!(f, "code names center {center} of {of}"),
            Self::EndlessOverflow => write!(f, "overflow slots are linked in a ring"),
            Self::State(found) => write!(f, "slot state is {found}"),
            Self::Level(found) => write!(f, "level is {found}"),
            Self::Count { count, capacity } => write!(f, "list of {count} entries where {capacity} fit"),
            Self::UpperLink { level: 0 } => write!(f, "element of level 0 has upper neighbors"),
            Self::UpperLink { level } => write!(f, "element of level {level} has no upper neighbors"),
            Self::Magic(found) => write!(f, "magic number is {found:#010x}"),
            Self::VectorKind(found) => write!(f, "vector kind is {found}"),
            Self::Metric(found) => write!(f, "metric is {found}"),
            Self::CodeBits(found) => write!(f, "code bits are {found}"),
            Self::Dimensions(found) => write!(f, "dimensions are {found}"),
            Self::Geometry { m, code_len, slot_len } => write!(f, "slots of {slot_len} bytes do not agree with m {m} and codes of {code_len} bytes"),
            Self::EntryPoint(found) => write!(f, "entry point is {found}"),
        }
    }
}

impl Error for Corrupt {}
