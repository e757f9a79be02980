//! What a loop asks of a CPU: a register of f32 lanes.
#![expect(
    unsafe_code,
    reason = "the methods are instructions that a CPU may lack"
)]

/// A register of f32 lanes. The loops of `dense.rs` are written over this trait and compiled once per CPU level.
///
/// # Safety
/// Every method may use the CPU features of its level, so the caller sees to it that the machine has them, and that
/// a load's address can be read. All methods are `#[inline(always)]`: they become instructions only inside a function
/// that enables the features.
pub(crate) trait Lanes: Copy {
    /// How many f32 it holds.
    const WIDTH: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self;
    /// Reads `WIDTH` values from any address.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads `count < WIDTH` values and touches no byte behind them; the other lanes are zero.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`
    unsafe fn sub(self, other: Self) -> Self;
    /// `self * by + plus`
    unsafe fn fma(self, by: Self, plus: Self) -> Self;
    /// The absolute values.
    unsafe fn abs(self) -> Self;
    /// All lanes added up.
    unsafe fn sum(self) -> f32;
}
