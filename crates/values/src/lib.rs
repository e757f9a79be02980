//! Which values: what users write and clients send, read and checked, and written.
//!
//! Nothing here knows Postgres, so that any literal and any message can be tried in a test. What is wrong with one is a
//! [`Problem`]; what users are told of it is for others to say.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod cursor;
pub mod dense;
mod element;
pub mod sparse;

pub use cursor::ReadNumber;
pub use element::{Element, check};

/// Why something is no value of its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A literal that does not start with its bracket, which is this.
    NoBracket(char),
    /// A literal that is malformed anywhere else.
    Syntax,
    /// A literal that ends where more was to come.
    EndOfInput,
    /// A literal with more behind its closing bracket.
    JunkAfterBracket,
    /// A literal with more behind its dimensions.
    JunkAfterDimensions,
    /// A number, as written, that is too large (or, for sparse vectors, too small) to be kept.
    OutOfRange(String),
    /// An element that is NaN.
    Nan,
    /// An element that is infinite.
    Infinite,
    /// A vector without dimensions.
    NoDimensions,
    /// More dimensions than the type allows, which are so many.
    TooManyDimensions(usize),
    /// Other dimensions than the column has.
    WrongDimensions {
        /// What the column has.
        expected: i32,
        /// What the vector has.
        found: usize,
    },
    /// A field that must be zero, with its value.
    Unused(i32),
    /// A message that announces fewer than no elements.
    NegativeCount,
    /// More elements that are not zero than the type allows.
    TooManyNonZero,
    /// More elements than dimensions.
    MoreThanDimensions,
    /// An index below the first or beyond the last dimension.
    IndexOutOfBounds,
    /// An index below the one before it.
    IndexOrder,
    /// An index that is there twice.
    DuplicateIndex,
    /// A message that holds a zero.
    Zero,
}

/// Dimensions that a column's `(n)` asks for; -1 asks for none.
pub fn check_modifier(modifier: i32, dimensions: usize) -> Result<(), Problem> {
    if modifier == -1 || usize::try_from(modifier) == Ok(dimensions) {
        return Ok(());
    }
    Err(Problem::WrongDimensions {
        expected: modifier,
        found: dimensions,
    })
}

/// Dimensions that a type allows.
pub fn check_dimensions(dimensions: usize, max: usize) -> Result<(), Problem> {
    match dimensions {
        0 => Err(Problem::NoDimensions),
        _ if dimensions > max => Err(Problem::TooManyDimensions(max)),
        _ => Ok(()),
    }
}
