//! AVX2, FMA and F16C: 8 lanes.

use std::arch::x86_64::*;

use half::f16;

use crate::bit;
use crate::dense::{self, Distance};
use crate::lanes::{Lanes, Stored, padded};

#[derive(Clone, Copy)]
struct F32x8(__m256);

/// Reading from index 8 − n gives a mask of n leading ones.
static LEADING: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// The blocks below rely on the contract of `Lanes`: the CPU has the features, the memory is readable.
impl Lanes for F32x8 {
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: `count < 8`, so eight entries of the table follow; lanes outside the mask are not read.
        unsafe {
            let mask = _mm256_loadu_si256(LEADING.as_ptr().add(8 - count).cast());
            Self(_mm256_maskload_ps(from, mask))
        }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn load_first_halves(from: *const f16, count: usize) -> Self {
        // SAFETY: as `Lanes` asks, and `count < 8`.
        unsafe { Self::load_halves(padded::<f16, 8>(from, count).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_fmadd_ps(self.0, by.0, plus.0) })
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: as `Lanes` asks.
        unsafe {
            let four = _mm_add_ps(
                _mm256_castps256_ps128(self.0),
                _mm256_extractf128_ps::<1>(self.0),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// A distance, for [`crate::Cpu::Avx2`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::arch) fn distance<D: Distance, S: Stored>(a: &[u8], b: &[u8]) -> f64 {
    // SAFETY: this function enables the features.
    unsafe { dense::distance::<D, S, F32x8>(a, b) }
}

/// The distance of bit strings, for [`crate::Cpu::Avx2`].
#[target_feature(enable = "avx2,popcnt")]
pub(in crate::arch) fn bit_distance<D: bit::Distance>(a: &[u8], b: &[u8]) -> f64 {
    bit::distance::<D>(a, b)
}
