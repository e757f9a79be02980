//! Parsing, checking and writing of literals and binary messages.
//!
//! Nothing here depends on Postgres, so tests can try any literal and any message. A fault is a [`Problem`]; the caller
//! turns it into an error message.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cursor;
pub mod dense;
mod element;
pub mod sparse;

pub use cursor::ReadNumber;
pub use element::{Element, check};

/// The fault of a literal, a message or a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A literal that does not start with this bracket.
    NoBracket(char),
    /// A literal malformed anywhere else.
    Syntax,
    /// A literal with an unexpected end.
    EndOfInput,
    /// A literal with characters after its closing bracket.
    JunkAfterBracket,
    /// A literal with characters after its dimensions.
    JunkAfterDimensions,
    /// The text of a number too large (or, in sparse vectors, too small) for its type.
    OutOfRange(String),
    /// A NaN element.
    Nan,
    /// An infinite element.
    Infinite,
    /// A vector without dimensions.
    NoDimensions,
    /// More dimensions than this maximum of the type.
    TooManyDimensions(usize),
    /// Dimensions that differ from the column's.
    WrongDimensions {
        /// Dimensions of the column.
        expected: i32,
        /// Dimensions of the vector.
        found: usize,
    },
    /// The value of a field reserved as zero.
    Unused(i32),
    /// A message with a negative number of elements.
    NegativeCount,
    /// More nonzero elements than the type's maximum.
    TooManyNonZero,
    /// More elements than dimensions.
    MoreThanDimensions,
    /// An index below the first or beyond the last dimension.
    IndexOutOfBounds,
    /// An index below the one before it.
    IndexOrder,
    /// A duplicate index.
    DuplicateIndex,
    /// A message with a zero element.
    Zero,
}

/// Checks dimensions against a column's `(n)`; -1 means any.
pub fn check_modifier(modifier: i32, dimensions: usize) -> Result<(), Problem> {
    if modifier == -1 || usize::try_from(modifier) == Ok(dimensions) {
        return Ok(());
    }
    Err(Problem::WrongDimensions {
        expected: modifier,
        found: dimensions,
    })
}

/// Checks dimensions against the type's range.
pub fn check_dimensions(dimensions: usize, max: usize) -> Result<(), Problem> {
    match dimensions {
        0 => Err(Problem::NoDimensions),
        _ if dimensions > max => Err(Problem::TooManyDimensions(max)),
        _ => Ok(()),
    }
}
