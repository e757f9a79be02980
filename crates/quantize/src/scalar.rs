//! Codes for L1: b bits per dimension between a vector's minimum and maximum. No rotation, as none preserves L1.

use crate::head::{HEAD, Head};
use crate::lanes::{LANES, sums};
use crate::planes::Planes;
use crate::simd::{Loops, Simd};

/// Larger values are clamped to this, without an error bound: their differences overflow f32.
const MAX_VALUE: f32 = 1e34;

/// Encodes vectors for L1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar {
    planes: Planes,
    simd: Simd,
}

/// A query against codes for L1.
#[derive(Clone, Debug)]
pub(crate) struct ScalarQuery {
    codec: Scalar,
    values: Vec<f32>,
    /// The query's own rounding error.
    error: f32,
}

impl Scalar {
    pub(crate) fn new(planes: Planes, simd: Simd) -> Scalar {
        Scalar { planes, simd }
    }

    pub(crate) fn encode(&self, vector: &[f32], code: &mut [u8]) {
        // Adding zero turns -0 into +0: equal values must have equal codes.
        let cut = |value: &f32| value.clamp(-MAX_VALUE, MAX_VALUE) + 0.0;
        let values: Vec<f32> = vector.iter().map(cut).collect();
        let least = values.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let max_level = f32::from(self.planes.max_level());
        let scale = (greatest - least) / max_level;
        // If the step underflows f32, all levels are zero.
        let per_unit = if scale > f32::MIN_POSITIVE {
            1.0 / scale
        } else {
            0.0
        };
        let level = |value: f32| ((value - least) * per_unit).round().min(max_level);
        let (head, levels) = code.split_at_mut(HEAD);
        self.planes
            .pack(&values, |value| level(value) as u8, levels);
        let is_cut = values != vector;
        // Triangle inequality: the error of a distance is at most the distance between a vector and its code.
        let [off] = sums(&values, |value| {
            [(value - (least + scale * level(value))).abs()]
        });
        let error = if is_cut { f32::INFINITY } else { off };
        Head {
            scale,
            base: least,
            error_bound: error.to_bits(),
        }
        .write(head);
    }

    pub(crate) fn query(&self, vector: &[f32]) -> ScalarQuery {
        ScalarQuery {
            codec: *self,
            values: vector.to_vec(),
            error: 0.0,
        }
    }

    pub(crate) fn query_from_code(&self, code: &[u8]) -> ScalarQuery {
        let (head, levels) = Head::split(code);
        let mut values = vec![0.0; self.planes.dimensions];
        self.planes
            .unpack(levels, |level| head.value(level), &mut values);
        ScalarQuery {
            codec: *self,
            values,
            error: f32::from_bits(head.error_bound),
        }
    }
}

impl ScalarQuery {
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        let (head, levels) = Head::split(code);
        self.codec.simd.run(CodeMetric {
            planes: self.codec.planes,
            query: &self.values,
            head,
            levels,
        })
    }

    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let (distance, (head, _)) = (self.distance(code), Head::split(code));
        // Covers the rounding of the sum itself.
        (
            distance,
            f32::from_bits(head.error_bound) + self.error + distance * f32::EPSILON * LANES as f32,
        )
    }
}

impl Head {
    #[inline(always)]
    fn value(self, level: u8) -> f32 {
        self.base + self.scale * f32::from(level)
    }
}

struct CodeMetric<'a> {
    planes: Planes,
    query: &'a [f32],
    head: Head,
    levels: &'a [u8],
}

impl Loops for CodeMetric<'_> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        match self.planes.bits {
            1 => self.sum::<1>(),
            2 => self.sum::<2>(),
            4 => self.sum::<4>(),
            _ => self.sum::<8>(),
        }
    }
}

/// Differences are stored before they are added: two loops vectorize, one over bytes and sums does not.
const BLOCK: usize = 256;

impl CodeMetric<'_> {
    #[inline(always)]
    fn sum<const BITS: u32>(&self) -> f32 {
        let mask = u8::MAX >> (8 - BITS);
        let mut differences = [0.0; BLOCK];
        let mut total = 0.0;
        for (shift, dimensions) in self.planes.each() {
            let query = self.query[dimensions].chunks(BLOCK);
            for (query, bytes) in query.zip(self.levels.chunks(BLOCK)) {
                for ((difference, value), byte) in differences.iter_mut().zip(query).zip(bytes) {
                    *difference = (value - self.head.value((byte >> shift) & mask)).abs();
                }
                let [sum] = sums(&differences[..query.len()], |difference| [difference]);
                total += sum;
            }
        }
        total
    }
}
