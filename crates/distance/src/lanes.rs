//! The interface between loops and CPUs: a register of f32 lanes, filled with elements of any kind.
#![expect(
    unsafe_code,
    reason = "the methods are instructions that a CPU may lack"
)]

use half::f16;

/// A register of f32 lanes. The loops of `dense.rs` are written over this trait and compiled once per CPU level.
///
/// # Safety
/// Every method may use the CPU features of its level: the caller ensures that the machine has them and that loads read
/// valid memory. All methods are `#[inline(always)]`: they compile to the level's instructions only inside a function
/// with these features enabled.
pub(crate) trait Lanes: Copy {
    /// The number of f32 lanes.
    const WIDTH: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self;
    /// Reads `WIDTH` values from any address.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads `count < WIDTH` values and no byte past them; the other lanes are zero.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// As `load`, widening 2-byte floats.
    unsafe fn load_halves(from: *const f16) -> Self;
    /// As `load_first`, widening 2-byte floats.
    unsafe fn load_first_halves(from: *const f16, count: usize) -> Self;
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

/// A stored element and its loads.
///
/// # Safety
/// As for [`Lanes`].
pub(crate) trait Stored: Copy {
    /// `Lanes::WIDTH` elements from any address.
    unsafe fn load<L: Lanes>(from: *const Self) -> L;
    /// `count < Lanes::WIDTH` elements; the other lanes are zero.
    unsafe fn load_first<L: Lanes>(from: *const Self, count: usize) -> L;
}

impl Stored for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: as `Lanes` asks.
        unsafe { L::load(from) }
    }

    #[inline(always)]
    unsafe fn load_first<L: Lanes>(from: *const Self, count: usize) -> L {
        // SAFETY: as `Lanes` asks.
        unsafe { L::load_first(from, count) }
    }
}

impl Stored for f16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(from: *const Self) -> L {
        // SAFETY: as `Lanes` asks.
        unsafe { L::load_halves(from) }
    }

    #[inline(always)]
    unsafe fn load_first<L: Lanes>(from: *const Self, count: usize) -> L {
        // SAFETY: as `Lanes` asks.
        unsafe { L::load_first_halves(from, count) }
    }
}

/// Fewer than `N` elements, padded with zeros.
///
/// # Safety
/// `count <= N` elements can be read from the address, which need not be aligned.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(crate) unsafe fn padded<T: Copy + Default, const N: usize>(
    from: *const T,
    count: usize,
) -> [T; N] {
    let mut values = [T::default(); N];
    // SAFETY: the caller vouches for `count`; bytes are copied, since the source may be unaligned.
    unsafe {
        let bytes = count * size_of::<T>();
        std::ptr::copy_nonoverlapping(from.cast::<u8>(), values.as_mut_ptr().cast::<u8>(), bytes);
    }
    values
}
