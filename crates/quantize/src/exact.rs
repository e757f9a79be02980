//! Short vectors: the code is the vector.

use crate::CodeMetric;
use crate::lanes::sum_pairs;
use crate::simd::{Loops, Simd};

/// A query against whole vectors.
#[derive(Clone, Debug)]
pub(crate) struct ExactQuery {
    metric: CodeMetric,
    simd: Simd,
    values: Vec<f32>,
}

pub(crate) fn encode(vector: &[f32], code: &mut [u8]) {
    for (bytes, value) in code.as_chunks_mut().0.iter_mut().zip(vector) {
        // Zeros of both signs are equal, so they share a code.
        *bytes = (value + 0.0).to_ne_bytes();
    }
}

impl ExactQuery {
    pub(crate) fn new(metric: CodeMetric, simd: Simd, vector: &[f32]) -> ExactQuery {
        ExactQuery {
            metric,
            simd,
            values: vector.to_vec(),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a length, saturating")]
    pub(crate) fn unit(&self) -> Option<f32> {
        (self.metric == CodeMetric::InnerProduct).then(|| distance::norm(&self.values) as f32)
    }

    pub(crate) fn from_code(metric: CodeMetric, simd: Simd, code: &[u8]) -> ExactQuery {
        let values = code
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f32::from_ne_bytes(bytes))
            .collect();
        ExactQuery {
            metric,
            simd,
            values,
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        let sum = self.sum(self.metric, code);
        if self.metric == CodeMetric::InnerProduct {
            -sum
        } else {
            sum
        }
    }

    /// The error is the rounding of float sums in another order.
    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let distance = self.distance(code);
        let size = match self.metric {
            CodeMetric::InnerProduct => self.simd.run(Sum {
                query: &self.values,
                code,
                term: |a: f32, b: f32| (a * b).abs(),
            }),
            CodeMetric::L2 | CodeMetric::L1 => distance,
        };
        (distance, size * f32::EPSILON * self.values.len() as f32)
    }

    fn sum(&self, metric: CodeMetric, code: &[u8]) -> f32 {
        let query = &self.values;
        let sum = match metric {
            CodeMetric::L2 => self.simd.run(Sum {
                query,
                code,
                term: |a: f32, b: f32| (a - b) * (a - b),
            }),
            CodeMetric::InnerProduct => self.simd.run(Sum {
                query,
                code,
                term: |a: f32, b: f32| a * b,
            }),
            CodeMetric::L1 => self.simd.run(Sum {
                query,
                code,
                term: |a: f32, b: f32| (a - b).abs(),
            }),
        };
        // Infinite sums of both signs make NaN; NaN has no order.
        if sum.is_nan() {
            f32::MAX
        } else {
            sum.clamp(f32::MIN, f32::MAX)
        }
    }
}

struct Sum<'a, T: Fn(f32, f32) -> f32> {
    query: &'a [f32],
    code: &'a [u8],
    term: T,
}

impl<T: Fn(f32, f32) -> f32> Loops for Sum<'_, T> {
    type Output = f32;

    #[inline(always)]
    fn run(self) -> f32 {
        let values = self.code.as_chunks().0;
        sum_pairs(self.query, values, |a, b| {
            (self.term)(a, f32::from_ne_bytes(b))
        })
    }
}
