//! How far: exact distance kernels.
//!
//! An operator class is a [`Kind`] of vector and a [`Metric`]; [`kernel`] is the one table that turns them and
//! the [`Cpu`] into a function. Pick a kernel once and call it often. Bit strings have measures and kernels of their own
//! ([`bit_kernel`]); sparse vectors are measured as two lists ([`sparse_distance`]).
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

/// What a dense vector is stored as.
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

/// Which measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Euclidean distance: `<->`.
    L2,
    /// Its square, which orders alike and needs no root.
    L2Squared,
    /// The negative inner product, so that smaller is nearer: `<#>`.
    InnerProduct,
    /// One minus the cosine of the angle: `<=>`; NaN for a zero vector.
    Cosine,
    /// Taxicab distance: `<+>`.
    L1,
}

impl Metric {
    /// Every metric, for tests and benches that cover them all.
    pub const ALL: [Metric; 5] = [
        Metric::L2,
        Metric::L2Squared,
        Metric::InnerProduct,
        Metric::Cosine,
        Metric::L1,
    ];
}

/// Which measure of bit strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitMetric {
    /// How many bits differ: `<~>`.
    Hamming,
    /// One minus the bits set in both as a share of those set in either: `<%>`; 1 where none is set in both.
    Jaccard,
}

impl BitMetric {
    /// Every metric of bit strings.
    pub const ALL: [BitMetric; 2] = [BitMetric::Hamming, BitMetric::Jaccard];
}

/// The function that computes one metric over one kind of vector on one CPU level.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Distance of two stored vectors, given as bytes that need no alignment. Sums are f32 and the last steps f64,
    /// as the SQL operators promise. The caller sees to equal dimensions; extra elements are not looked at.
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

/// Picks the kernel of a kind and metric. A CPU level that this machine lacks is lowered to one that it has.
#[must_use]
pub fn kernel(kind: Kind, metric: Metric, cpu: Cpu) -> Kernel {
    let cpu = cpu.or_below();
    let one = match kind {
        Kind::F32 => dense_kernel::<f32>(metric, cpu),
        Kind::F16 => dense_kernel::<f16>(metric, cpu),
    };
    Kernel { one }
}

fn dense_kernel<S: Stored>(metric: Metric, cpu: Cpu) -> fn(&[u8], &[u8]) -> f64 {
    match metric {
        Metric::L2 => arch::pick::<L2, S>(cpu),
        Metric::L2Squared => arch::pick::<L2Squared, S>(cpu),
        Metric::InnerProduct => arch::pick::<InnerProduct, S>(cpu),
        Metric::Cosine => arch::pick::<Cosine, S>(cpu),
        Metric::L1 => arch::pick::<L1, S>(cpu),
    }
}

/// Picks the kernel of a metric of bit strings, given as bytes whose unused bits are zero.
#[must_use]
pub fn bit_kernel(metric: BitMetric, cpu: Cpu) -> Kernel {
    let cpu = cpu.or_below();
    let one = match metric {
        BitMetric::Hamming => arch::pick_bits::<Hamming>(cpu),
        BitMetric::Jaccard => arch::pick_bits::<Jaccard>(cpu),
    };
    Kernel { one }
}
