//! What users write: the SQL types.

mod aggregate;
mod bit;
mod datum;
mod dense;
mod text;
pub(crate) mod vector;
