//! Inner products of a code's levels with a query's: exact, so the same on every CPU.
//!
//! Levels of b bits lie in planes (see `planes.rs`), unsigned; the query's are i8 between -127 and 127, each plane
//! padded with zeros to whole lines. A kernel reads no byte past the levels.
#![expect(unsafe_code, reason = "kernels for CPU features found at run time")]

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::dot::{LINE, Line};
use crate::simd::Simd;

/// A kernel for this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dot {
    kernel: unsafe fn(&[u8], &[Line]) -> i32,
    planes: usize,
}

impl Dot {
    #[inline]
    pub(crate) fn of(self, levels: &[u8], query: &[Line]) -> i32 {
        assert_eq!(
            query.len(),
            levels.len().div_ceil(LINE) * self.planes,
            "a code of the query's length"
        );
        debug_assert!(levels.len().is_multiple_of(4));
        // SAFETY: `dot` chose a kernel for features that the CPU has, and the lengths fit.
        unsafe { (self.kernel)(levels, query) }
    }
}

/// The kernel for levels of 1, 2, 4 or 8 bits.
pub(crate) fn dot(simd: Simd, bits: u32) -> Dot {
    let kernel = match bits {
        1 => pick::<1>(simd),
        2 => pick::<2>(simd),
        4 => pick::<4>(simd),
        _ => pick::<8>(simd),
    };
    Dot {
        kernel,
        planes: 8 / bits as usize,
    }
}

fn pick<const BITS: u32>(simd: Simd) -> unsafe fn(&[u8], &[Line]) -> i32 {
    match simd {
        Simd::Scalar => scalar::<BITS>,
        #[cfg(target_arch = "aarch64")]
        Simd::Neon => neon::dot::<BITS>,
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => x86_64::avx2::<BITS>,
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => x86_64::avx512::<BITS>,
    }
}

/// The reference implementation.
fn scalar<const BITS: u32>(levels: &[u8], query: &[Line]) -> i32 {
    let mask = u8::MAX >> (8 - BITS);
    let mut sum = 0;
    for (plane, lines) in query
        .chunks_exact(levels.len().div_ceil(LINE).max(1))
        .enumerate()
    {
        let shift = plane as u32 * BITS;
        for (bytes, line) in levels.chunks(LINE).zip(lines) {
            let products = bytes
                .iter()
                .zip(&line.0)
                .map(|(byte, &q)| i32::from((byte >> shift) & mask) * i32::from(q));
            sum += products.sum::<i32>();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(planes: usize, width: usize, level: impl Fn(usize) -> i8) -> Vec<Line> {
        let lines = width.div_ceil(LINE);
        let mut query = vec![Line::ZERO; planes * lines];
        for (plane, of_plane) in query.chunks_exact_mut(lines).enumerate() {
            for k in 0..width {
                of_plane[k / LINE].0[k % LINE] = level(plane * width + k);
            }
        }
        query
    }

    #[test]
    fn every_cpu_gives_the_exact_inner_product() {
        for bits in [1, 2, 4, 8] {
            for width in [
                4, 8, 28, 32, 36, 60, 64, 68, 92, 128, 192, 196, 260, 8000, 16_000,
            ] {
                let codes: [Vec<u8>; 3] = [
                    (0..width).map(|i| (i * 89 + i / 5) as u8).collect(),
                    vec![255; width],
                    vec![0; width],
                ];
                let planes = 8 / bits as usize;
                let queries = [
                    query(planes, width, |i| {
                        (((i * 31 + i / 7) % 255) as i16 - 127) as i8
                    }),
                    query(planes, width, |_| 127),
                    query(planes, width, |_| -127),
                ];
                for code in &codes {
                    for query in &queries {
                        let expected = dot(Simd::Scalar, bits).of(code, query);
                        for simd in Simd::available() {
                            assert_eq!(
                                dot(simd, bits).of(code, query),
                                expected,
                                "{simd:?} {bits} bits {width} bytes"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn scalar_multiplies_each_level_by_its_dimension() {
        // Two bits: byte k holds dimensions k, k + 4, k + 8 and k + 12.
        let code = [0b11_10_01_00, 0, 0, 0b00_00_00_10];
        let query = query(4, 4, |dimension| dimension as i8 + 1);
        assert_eq!(
            dot(Simd::Scalar, 2).of(&code, &query),
            5 + 2 * 9 + 3 * 13 + 2 * 4
        );
    }

    #[test]
    fn no_byte_behind_the_levels_counts() {
        let bytes: Vec<u8> = (0..200).map(|i| (i * 7 + 1) as u8).collect();
        for simd in Simd::available() {
            for width in (4..=128).step_by(4) {
                let query = query(2, width, |i| (i % 100) as i8 - 50);
                let mut other = bytes.clone();
                other[width..].fill(0xFF);
                assert_eq!(
                    dot(simd, 4).of(&bytes[..width], &query),
                    dot(simd, 4).of(&other[..width], &query)
                );
            }
        }
    }
}
