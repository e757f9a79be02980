use std::error::Error;
use std::fmt::{Display, Formatter, Result};

use crate::page::{LAYOUT_VERSION, PAGE_SIZE, PageKind};

/// What is wrong with a page. The caller knows index and block and adds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// Not the length of a page.
    PageSize(usize),
    /// Postgres' header does not describe a page of ours.
    Header {
        /// `pd_lower`
        lower: u16,
        /// `pd_upper`
        upper: u16,
        /// `pd_special`
        special: u16,
    },
    /// Postgres added the page and nobody has written to it.
    NeverWritten,
    /// The last two bytes are not this index's page id.
    PageId(u16),
    /// Written by another version of the extension: intact perhaps, but unreadable. REINDEX helps.
    LayoutVersion(u32),
    /// The metapage of an index that pgvector built. REINDEX helps.
    Pgvectors,
    /// No such kind of page.
    UnknownPageKind(u8),
    /// A page of one kind where another was expected.
    PageKind {
        /// What a link or the block number promised.
        expected: PageKind,
        /// What the special area says.
        found: PageKind,
    },
    /// `pd_lower` is not at the end of a slot, or beyond the last one.
    Used(u16),
    /// The count of free slots cannot be right.
    Free {
        /// The stored count.
        free: u16,
        /// Slots in use or freed.
        used: u16,
    },
    /// Reserved bytes or flags are set.
    Reserved,
    /// A slot that the page does not have.
    Slot {
        /// The slot asked for.
        slot: u16,
        /// Slots in use or freed.
        used: u16,
    },
    /// A link to a block that the index does not have.
    NoSuchBlock(u32),
    /// A row in a block that the table does not have.
    NoSuchRow(u32),
    /// No such state of a slot.
    State(u8),
    /// A level out of range.
    Level(u8),
    /// More entries in a list than it can hold.
    Count {
        /// The stored count.
        count: u16,
        /// The list's capacity.
        capacity: u16,
    },
    /// An element of level 0 with upper lists, or of a higher one without.
    UpperLink {
        /// The element's level.
        level: u8,
    },
    /// The metapage does not start with its magic number.
    Magic(u32),
    /// No such kind of vector.
    VectorKind(u8),
    /// No such measure.
    IndexMetric(u8),
    /// No such width of a code.
    CodeBits(u8),
    /// A number of dimensions out of range.
    Dimensions(u32),
    /// Options and sizes of the metapage that contradict each other.
    Geometry {
        /// The stored `m`.
        m: u16,
        /// The stored length of a code.
        code_len: u32,
        /// The stored length of a slot.
        slot_len: u32,
    },
    /// The metapage is in order, and that of an index on other vectors or for another measure.
    OtherIndex,
    /// The overflow slots of an element are linked in a ring.
    EndlessOverflow,
    /// The entry point is no element's id, or has a level without being there.
    EntryPoint(u32),
}

impl Display for Corrupt {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match *self {
            Self::PageSize(len) => write!(f, "page of {len} bytes, not {PAGE_SIZE}"),
            Self::Header {
                lower,
                upper,
                special,
            } => {
                write!(
                    f,
                    "page header has lower {lower}, upper {upper}, special {special}"
                )
            }
            Self::NeverWritten => write!(f, "page was never written"),
            Self::PageId(found) => write!(f, "page id is {found:#06x}"),
            Self::LayoutVersion(found) => {
                write!(f, "layout version is {found}, not {LAYOUT_VERSION}")
            }
            Self::Pgvectors => write!(f, "index was built by pgvector"),
            Self::UnknownPageKind(found) => write!(f, "page kind is {found}"),
            Self::PageKind { expected, found } => {
                write!(f, "{found} page where {expected} page was expected")
            }
            Self::Used(lower) => write!(
                f,
                "used part ends at {lower}, which is not the end of a slot"
            ),
            Self::Free { free, used } => write!(f, "{free} free slots on a page with {used} slots"),
            Self::Reserved => write!(f, "reserved bytes are not zero"),
            Self::Slot { slot, used } => write!(f, "slot {slot} on a page with {used} slots"),
            Self::NoSuchBlock(block) => write!(f, "link to block {block}, which does not exist"),
            Self::NoSuchRow(block) => {
                write!(f, "row in block {block} of the table, which does not exist")
            }
            Self::OtherIndex => write!(f, "metapage is that of another index"),
            Self::EndlessOverflow => write!(f, "overflow slots are linked in a ring"),
            Self::State(found) => write!(f, "slot state is {found}"),
            Self::Level(found) => write!(f, "level is {found}"),
            Self::Count { count, capacity } => {
                write!(f, "list of {count} entries where {capacity} fit")
            }
            Self::UpperLink { level: 0 } => write!(f, "element of level 0 has upper neighbors"),
            Self::UpperLink { level } => {
                write!(f, "element of level {level} has no upper neighbors")
            }
            Self::Magic(found) => write!(f, "magic number is {found:#010x}"),
            Self::VectorKind(found) => write!(f, "vector kind is {found}"),
            Self::IndexMetric(found) => write!(f, "measure is {found}"),
            Self::CodeBits(found) => write!(f, "code bits are {found}"),
            Self::Dimensions(found) => write!(f, "dimensions are {found}"),
            Self::Geometry {
                m,
                code_len,
                slot_len,
            } => {
                write!(
                    f,
                    "slots of {slot_len} bytes do not agree with m {m} and codes of {code_len} bytes"
                )
            }
            Self::EntryPoint(found) => write!(f, "entry point is {found}"),
        }
    }
}

impl Error for Corrupt {}
