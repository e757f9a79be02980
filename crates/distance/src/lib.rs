//! Exact distance kernels.
//!
//! [`kernel`] is the one table from a [`Kind`] of vector, a [`VectorDistance`] and the [`Cpu`] to a function. Pick a kernel
//! once and call it often. Bit strings have distances and kernels of their own ([`BitDistance`], [`bit_kernel`]); sparse
//! vectors are compared as two sorted lists ([`sparse_distance`]).
#![warn(missing_docs)]

mod arch;
mod bit;
mod cpu;
mod dense;
mod lanes;
mod prefetch;
mod scalar;
mod sparse;
mod tiny;

pub use cpu::Cpu;
pub use dense::{Element, bytes_of, norm};
pub use half::f16;
pub use prefetch::{prefetch, prefetch_at};
pub use sparse::{Sparse, merge, sparse_distance};
pub use tiny::{distance_in_f64, is_tiny};

use bit::{Hamming, Jaccard};
use dense::{Cosine, InnerProduct, L1, L2, L2Squared};
use lanes::Stored;

/// The storage format of a dense vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 4-byte floats in the machine's byte order: `vector`.
    F32,
    /// 2-byte floats: `halfvec`.
    F16,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 2] = [Kind::F32, Kind::F16];
}

/// A distance function of vectors, dense or sparse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorDistance {
    /// Euclidean distance: `<->`.
    L2,
    /// Its square: the same order without a square root.
    L2Squared,
    /// The negative inner product, so that smaller is nearer: `<#>`.
    InnerProduct,
    /// One minus the cosine of the angle: `<=>`; NaN for a zero vector.
    Cosine,
    /// Taxicab distance: `<+>`.
    L1,
}

impl VectorDistance {
    /// Every distance, for tables of kernels, tests and benches.
    pub const ALL: [VectorDistance; 5] = [
        VectorDistance::L2,
        VectorDistance::L2Squared,
        VectorDistance::InnerProduct,
        VectorDistance::Cosine,
        VectorDistance::L1,
    ];
}

/// A distance function of bit strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitDistance {
    /// The number of differing bits: `<~>`.
    Hamming,
    /// One minus (bits set in both / bits set in either): `<%>`; 1 if no bit is set in both.
    Jaccard,
}

impl BitDistance {
    /// Every distance of bit strings.
    pub const ALL: [BitDistance; 2] = [BitDistance::Hamming, BitDistance::Jaccard];
}

/// The code for one distance, one kind of vector and one CPU level.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Distance of two stored vectors, given as bytes that need no alignment. Sums are f32 and the last steps f64,
    /// as the SQL operators promise. The caller ensures equal dimensions; extra elements are ignored.
    pub one: fn(&[u8], &[u8]) -> f64,
}

impl Kernel {
    /// Distance of two vectors of the kernel's kind.
    #[inline]
    #[must_use]
    pub fn between<T: Element>(&self, a: &[T], b: &[T]) -> f64 {
        (self.one)(bytes_of(a), bytes_of(b))
    }
}

/// Picks the kernel of a kind and a distance. A CPU level missing on this machine is lowered.
#[must_use]
pub fn kernel(kind: Kind, function: VectorDistance, cpu: Cpu) -> Kernel {
    let cpu = cpu.or_below();
    let one = match kind {
        Kind::F32 => dense_kernel::<f32>(function, cpu),
        Kind::F16 => dense_kernel::<f16>(function, cpu),
    };
    Kernel { one }
}

fn dense_kernel<S: Stored>(function: VectorDistance, cpu: Cpu) -> fn(&[u8], &[u8]) -> f64 {
    match function {
        VectorDistance::L2 => arch::pick::<L2, S>(cpu),
        VectorDistance::L2Squared => arch::pick::<L2Squared, S>(cpu),
        VectorDistance::InnerProduct => arch::pick::<InnerProduct, S>(cpu),
        VectorDistance::Cosine => arch::pick::<Cosine, S>(cpu),
        VectorDistance::L1 => arch::pick::<L1, S>(cpu),
    }
}

/// Picks the kernel of a distance of bit strings, given as bytes whose unused bits are zero.
#[must_use]
pub fn bit_kernel(function: BitDistance, cpu: Cpu) -> Kernel {
    let cpu = cpu.or_below();
    let one = match function {
        BitDistance::Hamming => arch::pick_bits::<Hamming>(cpu),
        BitDistance::Jaccard => arch::pick_bits::<Jaccard>(cpu),
    };
    Kernel { one }
}
