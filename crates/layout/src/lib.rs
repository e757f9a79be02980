//! The on-disk format: checked views over index pages.
//!
//! A page is 8192 bytes: 24 of Postgres' own header, contents, and 16 of special area with the page's kind ([`Special`]).
//! The metapage holds the frozen options and the entry point ([`Metapage`]). Element, upper and overflow pages hold slots
//! of fixed size ([`Geometry`]); `pd_lower` ends the used ones, so WAL skips the rest. Center pages hold plain floats. Filter
//! pages hold the key columns of rows in arrays ([`FilterPage`]).
//!
//! Integers are in native byte order, as in all of Postgres' pages. Reserved bytes are zero. Every byte is checked before
//! use: any contents give a value or [`Corrupt`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::cast_possible_truncation)]

mod center;
mod corrupt;
mod delta;
mod element;
mod filter_page;
mod geometry;
mod group;
mod heap_tid;
mod metapage;
mod neighbors;
mod overflow;
mod page;
mod sizes;
mod slots;
mod upper;

pub use center::{CENTER_VALUES, CenterPage, init_center_page};
pub use corrupt::Corrupt;
pub use delta::write_delta;
pub use element::{
    ElementPage, ElementPageMut, ElementSlot, ElementSlotMut, INLINE_TIDS, NewElement, StoredCode,
    copied_code,
};
pub use filter_page::{FilterPage, FilterPageMut, FilterShape};
pub use geometry::{
    Geometry, MAX_M, MIN_M, OverflowId, SlotId, Slots, TooLarge, UpperId, group_len, max_code_len,
    widest_code_len,
};
pub use group::{GROUP_BYTES, Group};
pub use heap_tid::HeapTid;
pub use metapage::{Calibrated, EntryPoint, Frozen, Metapage, Metric, VectorKind};
pub use overflow::{OverflowPage, OverflowPageMut, OverflowSlot, OverflowSlotMut};
pub use page::{
    GROUPED_LAYOUT_VERSION, KEYED_LAYOUT_VERSION, LAYOUT_VERSION, LEARNED, PAGE_SIZE, PageKind,
    Special, is_new, list_page, special, unlist_page,
};
pub use sizes::OVERFLOW_TIDS;
pub use slots::SlotState;
pub use upper::{UpperPage, UpperPageMut, UpperSlot, UpperSlotMut};

/// The null id.
const NO_ELEMENT: u32 = u32::MAX;
