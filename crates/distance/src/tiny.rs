//! Vectors of tiny values: their squares are too small for f32, so their distances are computed in f64.

use crate::VectorDistance;

/// Squares of values below this lose digits in f32, or are zero.
const TINY: f32 = 1e-15;

/// True if all values are so small that distances need f64. Of an ordinary vector only the first values are looked at.
#[must_use]
pub fn is_tiny(values: &[f32]) -> bool {
    values.iter().all(|value| value.abs() < TINY)
}

/// The distance of two vectors, given as pairs of values, in f64 throughout.
#[must_use]
pub fn distance_in_f64(function: VectorDistance, pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (mut sum, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in pairs {
        let (a, b) = (f64::from(a), f64::from(b));
        match function {
            VectorDistance::L2 | VectorDistance::L2Squared => sum += (a - b) * (a - b),
            VectorDistance::InnerProduct => sum += a * b,
            VectorDistance::Cosine => {
                sum += a * b;
                of_a += a * a;
                of_b += b * b;
            }
            VectorDistance::L1 => sum += (a - b).abs(),
        }
    }
    match function {
        VectorDistance::L2 => sum.sqrt(),
        VectorDistance::L2Squared | VectorDistance::L1 => sum,
        VectorDistance::InnerProduct => -sum,
        // The root of each: their product may be too small for f64.
        VectorDistance::Cosine => 1.0 - (sum / (of_a.sqrt() * of_b.sqrt())).clamp(-1.0, 1.0),
    }
}
