//! Sparse vectors: the metrics of dense ones, over the positions where either vector has a value.
#![expect(
    unsafe_code,
    reason = "the metrics' steps are unsafe for the sake of CPU features"
)]

use crate::Metric;
use crate::dense::{Cosine, InnerProduct, L1, L2, L2Squared, Measure};

/// What a sparse vector stores: its values that are not zero, and their places in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Sparse<'a> {
    /// The places, each once.
    pub indices: &'a [i32],
    /// A value for each place.
    pub values: &'a [f32],
}

/// The distance of two sparse vectors by a metric, as a [`crate::Kernel`] gives that of dense ones.
#[must_use]
pub fn sparse_distance(metric: Metric, a: Sparse<'_>, b: Sparse<'_>) -> f64 {
    match metric {
        Metric::L2 => measure::<L2>(a, b),
        Metric::L2Squared => measure::<L2Squared>(a, b),
        Metric::InnerProduct => measure::<InnerProduct>(a, b),
        Metric::Cosine => measure::<Cosine>(a, b),
        Metric::L1 => measure::<L1>(a, b),
    }
}

/// Walks both vectors at once. A step takes the lower of two places, or both where they are equal; what a vector lacks
/// counts as zero. No branch depends on which: that could not be foreseen.
fn measure<M: Measure>(a: Sparse<'_>, b: Sparse<'_>) -> f64 {
    let mut sums = [0.0_f32; 3];
    // SAFETY: `f32` lanes need no CPU features.
    let mut step = |a: f32, b: f32| unsafe { M::step::<f32>(&mut sums, a, b) };
    let (mut at_a, mut at_b) = (0, 0);
    while let (Some(place_a), Some(place_b)) = (a.indices.get(at_a), b.indices.get(at_b)) {
        let (in_a, in_b) = (place_a <= place_b, place_b <= place_a);
        step(
            if in_a { a.values[at_a] } else { 0.0 },
            if in_b { b.values[at_b] } else { 0.0 },
        );
        at_a += usize::from(in_a);
        at_b += usize::from(in_b);
    }
    a.values[at_a..].iter().for_each(|value| step(*value, 0.0));
    b.values[at_b..].iter().for_each(|value| step(0.0, *value));
    M::finish(sums)
}
