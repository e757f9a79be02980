//! Tests on the key columns of an index, without their SQL types.
//!
//! An index keeps an *image* of each key value: an unsigned number of 1, 2, 4 or 8 bytes whose order follows that of the
//! values. Equal values have equal images; different values may share one, so a test on images may pass too many rows
//! and never one too few. The packed images of a row are its *row key*; pages keep the same images column by column
//! ([`Entries`]).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod condition;
mod filter;
pub mod image;
mod select;
mod widths;
mod zone;

pub use filter::{Filter, Test};
pub use select::Entries;
pub use widths::{MAX_COLUMNS, Widths};
pub use zone::{ColumnZone, Zone};
