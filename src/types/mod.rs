//! What users write: the SQL types.

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

/// A value of a type, or the ERROR that says why it is none.
fn accept<T>(kind: &str, value: Result<T, values::Problem>) -> T {
    value.unwrap_or_else(|problem| error::rejected(kind, problem))
}
