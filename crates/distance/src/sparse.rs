//! Sparse vectors: the distances of dense ones, over the positions where either vector has a value.
#![expect(
    unsafe_code,
    reason = "the steps of distances are unsafe for the sake of CPU features"
)]

use std::convert::Infallible;
use std::ops::ControlFlow;

use crate::VectorDistance;
use crate::dense::{Cosine, Distance, InnerProduct, L1, L2, L2Squared};

/// A sparse vector: its nonzero values and their positions in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Sparse<'a> {
    /// The positions, strictly ascending.
    pub indices: &'a [i32],
    /// The value at each position.
    pub values: &'a [f32],
}

/// The distance of two sparse vectors; the counterpart of [`crate::Kernel`] for dense vectors.
#[must_use]
pub fn sparse_distance(function: VectorDistance, a: Sparse<'_>, b: Sparse<'_>) -> f64 {
    match function {
        VectorDistance::L2 => distance::<L2>(a, b),
        VectorDistance::L2Squared => distance::<L2Squared>(a, b),
        VectorDistance::InnerProduct => distance::<InnerProduct>(a, b),
        VectorDistance::Cosine => distance::<Cosine>(a, b),
        VectorDistance::L1 => distance::<L1>(a, b),
    }
}

fn distance<D: Distance>(a: Sparse<'_>, b: Sparse<'_>) -> f64 {
    let mut sums = [0.0_f32; 3];
    let all = merge::<Infallible>(a, b, |_, a, b| {
        // SAFETY: `f32` lanes need no CPU features.
        unsafe { D::step::<f32>(&mut sums, a, b) };
        ControlFlow::Continue(())
    });
    debug_assert!(all.is_continue());
    D::finish(sums)
}

/// Merges two sparse vectors in ascending order of position: calls back for each position where either has a value, with
/// both values (zero if missing). Stops when the callback says so.
#[inline(always)]
pub fn merge<B>(
    a: Sparse<'_>,
    b: Sparse<'_>,
    mut visit: impl FnMut(i32, f32, f32) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let (mut at_a, mut at_b) = (0, 0);
    while let (Some(place_a), Some(place_b)) = (a.indices.get(at_a), b.indices.get(at_b)) {
        // No branch depends on the lower position: such a branch is unpredictable.
        let (in_a, in_b) = (place_a <= place_b, place_b <= place_a);
        let value_a = if in_a { a.values[at_a] } else { 0.0 };
        let value_b = if in_b { b.values[at_b] } else { 0.0 };
        visit(*place_a.min(place_b), value_a, value_b)?;
        at_a += usize::from(in_a);
        at_b += usize::from(in_b);
    }
    for (place, value) in a.indices[at_a..].iter().zip(&a.values[at_a..]) {
        visit(*place, *value, 0.0)?;
    }
    for (place, value) in b.indices[at_b..].iter().zip(&b.values[at_b..]) {
        visit(*place, 0.0, *value)?;
    }
    ControlFlow::Continue(())
}
