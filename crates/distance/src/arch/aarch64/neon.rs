//! NEON: 4 lanes.

use std::arch::aarch64::*;

use half::f16;

use crate::dense::{self, Distance};
use crate::lanes::{Lanes, Stored, padded};

#[derive(Clone, Copy)]
struct F32x4(float32x4_t);

// The blocks below rely on the contract of `Lanes`: the CPU has the features, the memory is readable.
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
        // SAFETY: as `Lanes` asks, and `count < 4`.
        unsafe { Self(vld1q_f32(padded::<f32, 4>(from, count).as_ptr())) }
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: as `Lanes` asks.
        Self(unsafe { widen(vld1_u16(from.cast())) })
    }

    #[inline(always)]
    unsafe fn load_first_halves(from: *const f16, count: usize) -> Self {
        // SAFETY: as `Lanes` asks, and `count < 4`.
        unsafe { Self::load_halves(padded::<f16, 4>(from, count).as_ptr()) }
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

/// Four 2-byte floats as 4-byte ones. Every NEON has the instruction; its intrinsic needs the unstable type `f16`.
#[inline(always)]
unsafe fn widen(halves: uint16x4_t) -> float32x4_t {
    let widened;
    // SAFETY: as `Lanes` asks; the instruction reads one register and writes another.
    unsafe {
        std::arch::asm!(
            "fcvtl {widened:v}.4s, {halves:v}.4h",
            widened = lateout(vreg) widened,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    widened
}

/// A distance, for [`crate::Cpu::Neon`].
#[target_feature(enable = "neon")]
pub(in crate::arch) fn distance<D: Distance, S: Stored>(a: &[u8], b: &[u8]) -> f64 {
    // SAFETY: this function enables the features.
    unsafe { dense::distance::<D, S, F32x4>(a, b) }
}
