//! Each distance once, over any kind of [`Lanes`] and any [`Stored`] element.
#![expect(
    unsafe_code,
    reason = "the loops load from unaligned bytes with the CPU's own instructions"
)]

use half::f16;

use crate::lanes::{Lanes, Stored};

/// Independent chains of additions: the loop waits for loads, not for additions.
const CHAINS: usize = 4;

/// A distance function: its sums over pairs of elements, and the distance from the sums.
pub(crate) trait Distance {
    /// Adds one pair of registers to the running sums of a chain (unused sums stay zero).
    ///
    /// # Safety
    /// As for [`Lanes`].
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L);
    /// The distance, in f64 from here on.
    fn finish(sums: [f32; 3]) -> f64;
}

/// The distance on a CPU level.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
pub(crate) unsafe fn distance<D: Distance, S: Stored, L: Lanes>(a: &[u8], b: &[u8]) -> f64 {
    let count = a.len().min(b.len()) / size_of::<S>();
    let (a, b) = (a.as_ptr().cast::<S>(), b.as_ptr().cast::<S>());
    let mut at = 0;
    // SAFETY: every read ends at or before element `count` of both slices, and loads need no alignment; the caller
    // vouches for the CPU features.
    unsafe {
        let mut chains = [[L::zero(); 3]; CHAINS];
        while at + CHAINS * L::WIDTH <= count {
            for (chain, sums) in chains.iter_mut().enumerate() {
                let at = at + chain * L::WIDTH;
                D::step(sums, S::load::<L>(a.add(at)), S::load::<L>(b.add(at)));
            }
            at += CHAINS * L::WIDTH;
        }
        while at + L::WIDTH <= count {
            D::step(
                &mut chains[0],
                S::load::<L>(a.add(at)),
                S::load::<L>(b.add(at)),
            );
            at += L::WIDTH;
        }
        if at < count {
            let (a, b) = (
                S::load_first::<L>(a.add(at), count - at),
                S::load_first::<L>(b.add(at), count - at),
            );
            D::step(&mut chains[1], a, b);
        }
        D::finish(fold(chains))
    }
}

/// Adds the chains pairwise, then the lanes.
///
/// # Safety
/// As for [`Lanes`].
#[inline(always)]
unsafe fn fold<L: Lanes>(chains: [[L; 3]; CHAINS]) -> [f32; 3] {
    let mut sums = [0.0; 3];
    for (sum, total) in sums.iter_mut().enumerate() {
        // SAFETY: the caller vouches for the CPU features.
        *total = unsafe {
            let left = chains[0][sum].add(chains[1][sum]);
            let right = chains[2][sum].add(chains[3][sum]);
            left.add(right).sum()
        };
    }
    sums
}

/// Squared Euclidean distance.
pub(crate) struct L2Squared;

impl Distance for L2Squared {
    #[inline(always)]
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L) {
        // SAFETY: the caller vouches for the CPU features.
        unsafe {
            let difference = a.sub(b);
            sums[0] = difference.fma(difference, sums[0]);
        }
    }

    #[inline(always)]
    fn finish(sums: [f32; 3]) -> f64 {
        f64::from(sums[0])
    }
}

/// Euclidean distance: the root is taken in f64.
pub(crate) struct L2;

impl Distance for L2 {
    #[inline(always)]
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L) {
        // SAFETY: the caller vouches for the CPU features.
        unsafe { L2Squared::step(sums, a, b) }
    }

    #[inline(always)]
    fn finish(sums: [f32; 3]) -> f64 {
        L2Squared::finish(sums).sqrt()
    }
}

/// Negative inner product.
pub(crate) struct InnerProduct;

impl Distance for InnerProduct {
    #[inline(always)]
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L) {
        // SAFETY: the caller vouches for the CPU features.
        unsafe { sums[0] = a.fma(b, sums[0]) }
    }

    #[inline(always)]
    fn finish(sums: [f32; 3]) -> f64 {
        -f64::from(sums[0])
    }
}

/// Cosine distance: the inner product and both squared norms in one pass.
pub(crate) struct Cosine;

impl Distance for Cosine {
    #[inline(always)]
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L) {
        // SAFETY: the caller vouches for the CPU features.
        unsafe {
            sums[0] = a.fma(b, sums[0]);
            sums[1] = a.fma(a, sums[1]);
            sums[2] = b.fma(b, sums[2]);
        }
    }

    #[inline(always)]
    fn finish([product, a, b]: [f32; 3]) -> f64 {
        let similarity = f64::from(product) / (f64::from(a) * f64::from(b)).sqrt();
        // Rounding may leave [-1, 1]; a zero vector's NaN stays NaN.
        1.0 - similarity.clamp(-1.0, 1.0)
    }
}

/// Taxicab distance.
pub(crate) struct L1;

impl Distance for L1 {
    #[inline(always)]
    unsafe fn step<L: Lanes>(sums: &mut [L; 3], a: L, b: L) {
        // SAFETY: the caller vouches for the CPU features.
        unsafe { sums[0] = sums[0].add(a.sub(b).abs()) }
    }

    #[inline(always)]
    fn finish(sums: [f32; 3]) -> f64 {
        f64::from(sums[0])
    }
}

/// The Euclidean norm, in f64 throughout: vectors of large or tiny values have one, too.
#[must_use]
pub fn norm<T: Copy + Into<f64>>(values: &[T]) -> f64 {
    let square = |value: &T| -> f64 {
        let value: f64 = (*value).into();
        value * value
    };
    let mut chains = [0.0_f64; 8];
    let (blocks, rest) = values.as_chunks::<8>();
    for block in blocks {
        for (sum, value) in chains.iter_mut().zip(block) {
            *sum += square(value);
        }
    }
    let rest: f64 = rest.iter().map(square).sum();
    (chains.iter().sum::<f64>() + rest).sqrt()
}

/// An element whose bytes are all its own.
pub trait Element: Copy + sealed::Sealed {}

impl Element for f32 {}
impl Element for f16 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

/// The bytes of a dense vector, as kernels take them.
#[inline]
#[must_use]
pub fn bytes_of<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: elements have no padding, and the slice covers exactly `size_of_val` initialised bytes.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
