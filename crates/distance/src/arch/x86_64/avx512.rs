//! AVX-512: 16 lanes.

use std::arch::x86_64::*;

use half::f16;

use crate::bit;
use crate::dense::{self, Distance};
use crate::lanes::{Lanes, Stored, padded};

#[derive(Clone, Copy)]
struct F32x16(__m512);

// The blocks below rely on the contract of `Lanes`: the CPU has the features, the memory is readable.
impl Lanes for F32x16 {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        // SAFETY: as `Lanes` asks; lanes outside the mask are not read.
        Self(unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) })
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    unsafe fn load_first_halves(from: *const f16, count: usize) -> Self {
        // SAFETY: as `Lanes` asks, and `count < 16`.
        unsafe { Self::load_halves(padded::<f16, 16>(from, count).as_ptr()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_sub_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_fmadd_ps(self.0, by.0, plus.0) })
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { _mm512_abs_ps(self.0) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: as `Lanes` asks.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }
}

/// A distance, for [`crate::Cpu::Avx512`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(in crate::arch) fn distance<D: Distance, S: Stored>(a: &[u8], b: &[u8]) -> f64 {
    // SAFETY: this function enables the features.
    unsafe { dense::distance::<D, S, F32x16>(a, b) }
}

/// The distance of bit strings, for CPUs of [`crate::Cpu::Avx512`] with VPOPCNTDQ.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq,popcnt")]
pub(in crate::arch) fn bit_distance<D: bit::Distance>(a: &[u8], b: &[u8]) -> f64 {
    bit::distance::<D>(a, b)
}
