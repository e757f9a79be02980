//! NEON: 4 lanes.

use std::arch::aarch64::*;

use crate::dense::{self, Measure};
use crate::lanes::Lanes;

#[derive(Clone, Copy)]
struct F32x4(float32x4_t);

// The blocks below rely on what `Lanes` asks of its callers: the CPU has the features, the memory can be read.
impl Lanes for F32x4 {
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vdupq_n_f32(0.0) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut values = [0.0_f32; 4];
        // SAFETY: `count < 4`; bytes are copied, since the source may be unaligned.
        unsafe {
            let bytes = count * size_of::<f32>();
            std::ptr::copy_nonoverlapping(
                from.cast::<u8>(),
                values.as_mut_ptr().cast::<u8>(),
                bytes,
            );
            Self(vld1q_f32(values.as_ptr()))
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vsubq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vfmaq_f32(plus.0, self.0, by.0) })
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { vabsq_f32(self.0) })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: as `Lanes` asks.
        unsafe { vaddvq_f32(self.0) }
    }
}

/// The distance by a metric, for [`crate::Cpu::Neon`].
#[target_feature(enable = "neon")]
pub(in crate::arch) fn measure<M: Measure>(a: &[u8], b: &[u8]) -> f64 {
    // SAFETY: this function enables the features.
    unsafe { dense::measure::<M, F32x4>(a, b) }
}
