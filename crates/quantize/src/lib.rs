//! Quantization: codes, distance estimators and their error bounds.

mod all_pairs;
mod bits;
mod centers;
mod code_set;
mod codec;
mod dot;
mod error_bound;
mod exact;
mod head;
mod kernels;
mod lanes;
mod levels;
mod planes;
mod rotated;
mod rotation;
mod scalar;
mod simd;
mod sparse;
mod tile;
mod value;

pub use all_pairs::AllPairs;
pub use centers::{CenteredQuery, Codecs, Coded};
pub use code_set::{CodeSet, EncodedRow};
pub use codec::{CodeBits, Codec, Query};
pub use rotation::Rotation;
pub use tile::{Columns, fill};
pub use value::Value;

/// The distance estimated by codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeMetric {
    /// Squared Euclidean distance; also the cosine's, over normalised vectors.
    L2,
    /// The negative inner product.
    InnerProduct,
    /// The sum of absolute differences.
    L1,
}
