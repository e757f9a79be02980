//! How far: exact distance kernels.
//!
//! An operator class is a [`Kind`] of vector and a [`Metric`]; [`kernel`] is the one table that turns them and
//! the [`Cpu`] into a function. Pick a kernel once and call it often.
#![warn(missing_docs)]

mod arch;
mod cpu;
mod dense;
mod lanes;
mod prefetch;
mod scalar;

pub use cpu::Cpu;
pub use dense::{bytes_of, norm};
pub use prefetch::{prefetch, prefetch_at};

use dense::{Cosine, InnerProduct, L1, L2, L2Squared};

/// What a vector is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 4-byte floats in the machine's byte order: `vector`.
    F32,
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

/// The function that computes one metric over one kind of vector on one CPU level.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Distance of two stored vectors, given as bytes that need no alignment. Sums are f32 and the last steps f64,
    /// as the SQL operators promise. The caller sees to equal dimensions; extra elements are not looked at.
    pub one: fn(&[u8], &[u8]) -> f64,
}

impl Kernel {
    /// Distance of two vectors of f32, for a kernel of [`Kind::F32`].
    #[inline]
    #[must_use]
    pub fn between(&self, a: &[f32], b: &[f32]) -> f64 {
        (self.one)(bytes_of(a), bytes_of(b))
    }
}

/// Picks the kernel of a kind and metric. A CPU level that this machine lacks is lowered to one that it has.
#[must_use]
pub fn kernel(kind: Kind, metric: Metric, cpu: Cpu) -> Kernel {
    let cpu = cpu.or_below();
    let one = match (kind, metric) {
        (Kind::F32, Metric::L2) => arch::pick::<L2>(cpu),
        (Kind::F32, Metric::L2Squared) => arch::pick::<L2Squared>(cpu),
        (Kind::F32, Metric::InnerProduct) => arch::pick::<InnerProduct>(cpu),
        (Kind::F32, Metric::Cosine) => arch::pick::<Cosine>(cpu),
        (Kind::F32, Metric::L1) => arch::pick::<L1>(cpu),
    };
    Kernel { one }
}
