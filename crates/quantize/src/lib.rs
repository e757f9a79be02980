//! In how few bits: codes, estimators and their error bounds.

mod code_set;
mod dot;
mod simd;
mod tile;

pub use code_set::{CodeSet, EncodedRow};
pub use tile::{AllPairs, Columns};

/// Which distance codes estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Squared Euclidean distance; also the cosine's, over normalised vectors.
    L2,
    /// The negative inner product.
    InnerProduct,
    /// The sum of absolute differences.
    L1,
}
