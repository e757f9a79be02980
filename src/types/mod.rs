//! The SQL types and their functions.

mod aggregate;
mod bit;
mod datum;
mod dense;
mod halfvec;
pub(crate) mod indexed;
mod sparse;
mod sparsevec;
mod text;
mod vector;

use crate::error;

/// Returns the value, or raises an ERROR with the reason for its rejection.
fn accept<T>(kind: &str, value: Result<T, values::Problem>) -> T {
    value.unwrap_or_else(|problem| error::rejected(kind, problem))
}
