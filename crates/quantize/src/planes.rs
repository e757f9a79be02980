//! The bit layout of levels: a code of b bits per dimension has `width` bytes, and byte k holds the levels of dimensions
//! k, k + width, k + 2 width and so on, the first in its lowest bits.
//!
//! One shift and mask extracts the levels of consecutive dimensions (a plane) from consecutive bytes, and the query is
//! stored plane by plane: one loop serves every b. Bits beyond the last dimension are zero.

use crate::dot::{LINE, Line};

/// The sizes of this layout.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub(crate) dimensions: usize,
    pub(crate) bits: u32,
    /// Bytes of a code's levels, a multiple of 4.
    pub(crate) width: usize,
}

impl Planes {
    pub(crate) fn new(dimensions: usize, bits: u32) -> Planes {
        let width = (dimensions * bits as usize).div_ceil(8).next_multiple_of(4);
        Planes {
            dimensions,
            bits,
            width,
        }
    }

    /// The highest level.
    pub(crate) fn max_level(self) -> u8 {
        u8::MAX >> (8 - self.bits)
    }

    /// Cache lines a plane of a query takes.
    pub(crate) fn lines(self) -> usize {
        self.width.div_ceil(LINE)
    }

    /// Each plane's shift and dimensions; the last planes may have few or none.
    #[inline(always)]
    pub(crate) fn each(self) -> impl Iterator<Item = (u32, std::ops::Range<usize>)> {
        (0..8 / self.bits as usize).map(move |plane| {
            let start = (plane * self.width).min(self.dimensions);
            let end = (start + self.width).min(self.dimensions);
            (plane as u32 * self.bits, start..end)
        })
    }

    /// Writes the level of every value.
    #[inline(always)]
    pub(crate) fn pack(self, values: &[f32], level: impl Fn(f32) -> u8, bytes: &mut [u8]) {
        bytes.fill(0);
        for (shift, dimensions) in self.each() {
            for (byte, &value) in bytes.iter_mut().zip(&values[dimensions]) {
                *byte |= level(value) << shift;
            }
        }
    }

    /// Maps every level to a value.
    #[inline(always)]
    pub(crate) fn unpack(self, bytes: &[u8], value: impl Fn(u8) -> f32, values: &mut [f32]) {
        let mask = self.max_level();
        for (shift, dimensions) in self.each() {
            for (&byte, to) in bytes.iter().zip(&mut values[dimensions]) {
                *to = value((byte >> shift) & mask);
            }
        }
    }

    /// A query's levels, arranged for the kernels.
    #[inline(always)]
    pub(crate) fn query_of_values(
        self,
        values: &[f32],
        level: impl Fn(f32) -> i8,
        query: &mut [Line],
    ) {
        for (plane, (_, dimensions)) in query.chunks_exact_mut(self.lines().max(1)).zip(self.each())
        {
            for (line, values) in plane.iter_mut().zip(values[dimensions].chunks(LINE)) {
                for (to, &value) in line.0.iter_mut().zip(values) {
                    *to = level(value);
                }
            }
        }
    }

    /// The same from the levels of a code.
    #[inline(always)]
    pub(crate) fn query_of_code(self, bytes: &[u8], level: impl Fn(u8) -> i8, query: &mut [Line]) {
        let mask = self.max_level();
        for (plane, (shift, dimensions)) in
            query.chunks_exact_mut(self.lines().max(1)).zip(self.each())
        {
            for (line, bytes) in plane.iter_mut().zip(bytes[..dimensions.len()].chunks(LINE)) {
                for (to, &byte) in line.0.iter_mut().zip(bytes) {
                    *to = level((byte >> shift) & mask);
                }
            }
        }
    }

    /// Memory for a query, all zeros.
    pub(crate) fn query(self) -> Vec<Line> {
        vec![Line::ZERO; self.lines() * (8 / self.bits as usize)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_come_back_from_their_bytes() {
        for bits in [1, 2, 4, 8] {
            for dimensions in [1, 2, 5, 31, 32, 33, 100, 384, 1535] {
                let planes = Planes::new(dimensions, bits);
                let max = usize::from(planes.max_level());
                let levels: Vec<f32> = (0..dimensions)
                    .map(|i| ((i * 7 + i / 3) % (max + 1)) as f32)
                    .collect();
                let mut bytes = vec![0xAA; planes.width];
                planes.pack(&levels, |value| value as u8, &mut bytes);
                let mut back = vec![-1.0; dimensions];
                planes.unpack(&bytes, f32::from, &mut back);
                assert_eq!(back, levels, "{dimensions} dimensions, {bits} bits");
            }
        }
    }

    #[test]
    fn both_ways_to_a_query_agree() {
        for bits in [1, 2, 4] {
            let planes = Planes::new(300, bits);
            let levels: Vec<f32> = (0..300)
                .map(|i| (i % (usize::from(planes.max_level()) + 1)) as f32)
                .collect();
            let mut bytes = vec![0; planes.width];
            planes.pack(&levels, |value| value as u8, &mut bytes);
            let (mut of_values, mut of_code) = (planes.query(), planes.query());
            planes.query_of_values(&levels, |value| value as i8 + 1, &mut of_values);
            planes.query_of_code(&bytes, |level| level as i8 + 1, &mut of_code);
            assert_eq!(of_values, of_code);
        }
    }
}
