//! A seeded random rotation: it spreads a vector's length evenly over the dimensions, so that few levels suffice.
//!
//! A round flips signs and applies a fast Hadamard transform to a power of two of dimensions: the first ones in even
//! rounds, the last ones in odd rounds. If the power is less than d, the two halves of the vector are mixed afterwards.
//! Every dimension reaches every other without padding, in O(d log d).

use std::f32::consts::FRAC_1_SQRT_2;

use crate::simd::{Loops, Simd};

const ROUNDS: usize = 4;

/// A pseudo-random orthogonal map. A seed gives the same map on every machine and in every release.
#[derive(Clone, Debug)]
pub struct Rotation {
    dimensions: usize,
    /// Per round and dimension a sign, times the factor that makes the transform orthonormal.
    signs: Vec<f32>,
    simd: Simd,
}

impl Rotation {
    /// A rotation of vectors with `dimensions`.
    #[must_use]
    pub fn new(dimensions: usize, seed: u64) -> Rotation {
        Rotation::with_simd(dimensions, seed, Simd::current())
    }

    pub(crate) fn with_simd(dimensions: usize, seed: u64, simd: Simd) -> Rotation {
        let mut random = SplitMix(seed);
        let mut signs = Vec::with_capacity(ROUNDS * dimensions);
        for round in 0..ROUNDS {
            let piece = piece(dimensions, round);
            let factor = 1.0 / (piece.len() as f32).sqrt();
            for dimension in 0..dimensions {
                let size = if piece.contains(&dimension) {
                    factor
                } else {
                    1.0
                };
                signs.push(if random.next() >> 63 == 0 {
                    size
                } else {
                    -size
                });
            }
        }
        Rotation {
            dimensions,
            signs,
            simd,
        }
    }

    /// Dimensions of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Rotates a vector in place. Lengths and angles are preserved.
    pub fn rotate(&self, vector: &mut [f32]) {
        assert_eq!(
            vector.len(),
            self.dimensions,
            "a vector of the rotation's dimensions"
        );
        self.simd.run(Turn {
            rotation: self,
            vector,
        });
    }

    /// Undoes [`Rotation::rotate`], except for rounding.
    ///
    /// # Panics
    /// If the vector is not of the rotation's dimensions.
    pub fn rotate_back(&self, vector: &mut [f32]) {
        assert_eq!(
            vector.len(),
            self.dimensions,
            "a vector of the rotation's dimensions"
        );
        if self.dimensions == 0 {
            return;
        }
        let mut scratch = vec![0.0; piece(self.dimensions, 0).len()];
        let rounds = self.signs.chunks_exact(self.dimensions).enumerate();
        for (round, signs) in rounds.rev() {
            let piece = piece(self.dimensions, round);
            if piece.len() < self.dimensions {
                mix_halves(vector);
            }
            transform_back(&mut vector[piece.clone()], &mut scratch);
            // A sign in the piece has the factor 1 / sqrt(n), and the transform back lacks 1 / n.
            for (value, sign) in vector.iter_mut().zip(signs) {
                *value *= sign;
            }
        }
    }

    /// The loops of `rotate`, for callers compiled for a CPU level.
    #[inline(always)]
    pub(crate) fn turn(&self, vector: &mut [f32]) {
        if self.dimensions == 0 {
            return;
        }
        let mut scratch = vec![0.0; piece(self.dimensions, 0).len()];
        for (round, signs) in self.signs.chunks_exact(self.dimensions).enumerate() {
            for (value, sign) in vector.iter_mut().zip(signs) {
                *value *= sign;
            }
            let piece = piece(self.dimensions, round);
            let is_all = piece.len() == self.dimensions;
            transform(&mut vector[piece], &mut scratch);
            if !is_all {
                mix_halves(vector);
            }
        }
    }
}

struct Turn<'a> {
    rotation: &'a Rotation,
    vector: &'a mut [f32],
}

impl Loops for Turn<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.rotation.turn(self.vector);
    }
}

/// The dimensions of a round's transform: the largest power of two.
#[inline(always)]
fn piece(dimensions: usize, round: usize) -> std::ops::Range<usize> {
    let len = 1 << dimensions.max(1).ilog2();
    let start = if round.is_multiple_of(2) {
        0
    } else {
        dimensions - len
    };
    start..start + len
}

/// The Hadamard transform without its factor and in another order of results: sums and differences over each bit of the
/// index, once. `scratch` has the same length.
#[inline(always)]
fn transform(values: &mut [f32], scratch: &mut [f32]) {
    // Pairs within a register are slow to access. These steps instead move the highest bit of the index to the lowest: after
    // four of them, all other bits are above a register's sixteen lanes.
    let shuffled = 4.min(values.len().ilog2() / 2 * 2);
    for _ in 0..shuffled / 2 {
        cross_halves(values, scratch);
        cross_halves(scratch, values);
    }
    let mut half = 1 << shuffled;
    while half < values.len() {
        for block in values.chunks_exact_mut(2 * half) {
            let (front, back) = block.split_at_mut(half);
            for (a, b) in front.iter_mut().zip(back) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

/// The transpose of `transform`: its inverse times the number of values.
fn transform_back(values: &mut [f32], scratch: &mut [f32]) {
    let shuffled = 4.min(values.len().ilog2() / 2 * 2);
    let mut half = values.len() / 2;
    while half >= 1 << shuffled {
        for block in values.chunks_exact_mut(2 * half) {
            let (front, back) = block.split_at_mut(half);
            for (a, b) in front.iter_mut().zip(back) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
    for _ in 0..shuffled / 2 {
        part_halves(values, scratch);
        part_halves(scratch, values);
    }
}

/// The transpose of `cross_halves`.
fn part_halves(from: &[f32], to: &mut [f32]) {
    let (front, back) = to.split_at_mut(from.len() / 2);
    for ([a, b], (front, back)) in from.as_chunks().0.iter().zip(front.iter_mut().zip(back)) {
        (*front, *back) = (a + b, a - b);
    }
}

/// Sums and differences of the two halves, side by side.
#[inline(always)]
fn cross_halves(from: &[f32], to: &mut [f32]) {
    let (front, back) = from.split_at(from.len() / 2);
    for (pair, (a, b)) in to.as_chunks_mut().0.iter_mut().zip(front.iter().zip(back)) {
        *pair = [a + b, a - b];
    }
}

#[inline(always)]
fn mix_halves(vector: &mut [f32]) {
    // With an odd number of dimensions the middle one is left out here; the transform covers it.
    let middle = vector.len().div_ceil(2);
    let (front, back) = vector.split_at_mut(middle);
    for (a, b) in front.iter_mut().zip(back) {
        (*a, *b) = ((*a + *b) * FRAC_1_SQRT_2, (*a - *b) * FRAC_1_SQRT_2);
    }
}

/// Steele, Lea and Flood's generator: 64 bits of state and no way to seed it badly.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 12] = [1, 2, 3, 7, 16, 31, 100, 128, 384, 768, 1535, 16_000];

    fn wave(dimensions: usize) -> Vec<f32> {
        (0..dimensions)
            .map(|i| ((i * i) as f32 * 0.37).sin())
            .collect()
    }

    fn norm(vector: &[f32]) -> f64 {
        vector
            .iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    #[test]
    fn rotation_keeps_lengths_and_angles() {
        for dimensions in SIZES {
            let rotation = Rotation::new(dimensions, 7);
            let (a, b) = (wave(dimensions), vec![0.25; dimensions]);
            let (mut turned_a, mut turned_b) = (a.clone(), b.clone());
            rotation.rotate(&mut turned_a);
            rotation.rotate(&mut turned_b);
            let between = |a: &[f32], b: &[f32]| {
                norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
            };
            assert!(
                (norm(&turned_a) - norm(&a)).abs() <= 1e-5 * norm(&a),
                "{dimensions}"
            );
            assert!(
                (between(&turned_a, &turned_b) - between(&a, &b)).abs()
                    <= 1e-5 * norm(&a).max(norm(&b))
            );
        }
    }

    #[test]
    fn rotation_gives_the_same_bits_on_every_cpu() {
        for dimensions in SIZES {
            let mut expected = wave(dimensions);
            Rotation::with_simd(dimensions, 3, Simd::Scalar).rotate(&mut expected);
            for simd in Simd::available() {
                let mut turned = wave(dimensions);
                Rotation::with_simd(dimensions, 3, simd).rotate(&mut turned);
                assert!(
                    turned
                        .iter()
                        .zip(&expected)
                        .all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{simd:?} {dimensions}"
                );
            }
        }
    }

    #[test]
    fn one_dimension_is_spread_over_all() {
        for dimensions in [100, 129, 255, 384, 1535] {
            for dimension in [0, dimensions / 2, dimensions - 1] {
                let mut unit = vec![0.0; dimensions];
                unit[dimension] = 1.0;
                Rotation::new(dimensions, 1).rotate(&mut unit);
                let largest = unit
                    .iter()
                    .fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert!(
                    largest * (dimensions as f32).sqrt() < 6.0,
                    "{dimension} of {dimensions}: {largest}"
                );
            }
        }
    }

    #[test]
    fn a_rotation_is_undone() {
        for dimensions in SIZES {
            let rotation = Rotation::new(dimensions, 7);
            let mut turned = wave(dimensions);
            rotation.rotate(&mut turned);
            rotation.rotate_back(&mut turned);
            let expected = wave(dimensions);
            let off = turned.iter().zip(&expected).map(|(a, b)| a - b);
            let off = norm(&off.collect::<Vec<_>>());
            assert!(off <= 1e-5 * norm(&expected), "{dimensions}: {off}");
        }
    }

    #[test]
    fn seeds_differ() {
        let (mut a, mut b) = (wave(64), wave(64));
        Rotation::new(64, 1).rotate(&mut a);
        Rotation::new(64, 2).rotate(&mut b);
        assert_ne!(a, b);
    }
}
