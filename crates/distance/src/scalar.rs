//! One lane: the fallback of every machine.
#![expect(
    unsafe_code,
    reason = "the trait's methods are unsafe for the sake of other levels"
)]

use half::f16;

use crate::lanes::Lanes;

impl Lanes for f32 {
    const WIDTH: usize = 1;

    #[inline(always)]
    unsafe fn zero() -> Self {
        0.0
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as `Lanes` asks.
        unsafe { from.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_first(_from: *const f32, _count: usize) -> Self {
        // Fewer values than one lane: zero values.
        0.0
    }

    #[inline(always)]
    unsafe fn load_halves(from: *const f16) -> Self {
        // SAFETY: as `Lanes` asks. `to_f32` would look for the instruction at every element.
        unsafe { from.read_unaligned().to_f32_const() }
    }

    #[inline(always)]
    unsafe fn load_first_halves(_from: *const f16, _count: usize) -> Self {
        0.0
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    unsafe fn fma(self, by: Self, plus: Self) -> Self {
        // Not `mul_add`: without the instruction that is a slow call.
        self * by + plus
    }

    #[inline(always)]
    unsafe fn abs(self) -> Self {
        f32::abs(self)
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        self
    }
}
