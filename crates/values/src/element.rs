//! The element types of dense vectors.

use distance::f16;

use crate::Problem;

/// A float of 2 or 4 bytes.
pub trait Element: Copy + Into<f64> {
    /// Rounds to the nearest; values out of range become infinite.
    fn from_f32(value: f32) -> Self;
    /// Widens, exactly.
    fn to_f32(self) -> f32;
    /// Appends the bytes in network order.
    fn send(self, into: &mut Vec<u8>);
    /// Reads `size_of::<Self>()` bytes in network order.
    fn receive(bytes: &[u8]) -> Self;
}

impl Element for f32 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline]
    fn send(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.to_be_bytes());
    }

    #[inline]
    fn receive(bytes: &[u8]) -> Self {
        f32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }
}

impl Element for f16 {
    #[inline]
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }

    #[inline]
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }

    #[inline]
    fn send(self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.to_be_bytes());
    }

    #[inline]
    fn receive(bytes: &[u8]) -> Self {
        f16::from_be_bytes(bytes.try_into().expect("two bytes"))
    }
}

/// Elements are finite.
#[inline]
pub fn check<T: Element>(value: T) -> Result<T, Problem> {
    let wide = value.to_f32();
    if wide.is_finite() {
        Ok(value)
    } else if wide.is_nan() {
        Err(Problem::Nan)
    } else {
        Err(Problem::Infinite)
    }
}
