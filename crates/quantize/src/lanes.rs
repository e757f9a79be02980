//! Float sums in one order on every machine: codes are permanent and compared byte by byte, so their bits must not depend
//! on register width.

/// Independent partial sums; the width of the widest registers in use.
pub(crate) const LANES: usize = 16;

/// Adds up the `N` terms of each value, in lanes and then by halves.
#[inline(always)]
pub(crate) fn sums<const N: usize>(values: &[f32], terms: impl Fn(f32) -> [f32; N]) -> [f32; N] {
    let mut lanes = [[0.0; LANES]; N];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let terms = terms(chunk[lane]);
            for n in 0..N {
                lanes[n][lane] += terms[n];
            }
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        let terms = terms(value);
        for n in 0..N {
            lanes[n][lane] += terms[n];
        }
    }
    lanes.map(fold)
}

/// Adds up one term of each pair.
#[inline(always)]
pub(crate) fn sum_pairs<B: Copy>(a: &[f32], b: &[B], term: impl Fn(f32, B) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((chunks_a, rest_a), (chunks_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in chunks_a.iter().zip(chunks_b) {
        for lane in 0..LANES {
            lanes[lane] += term(a[lane], b[lane]);
        }
    }
    for (lane, (&a, &b)) in rest_a.iter().zip(rest_b).enumerate() {
        lanes[lane] += term(a, b);
    }
    fold(lanes)
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest absolute value; the order does not matter.
#[inline(always)]
pub(crate) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = lanes[lane].max(chunk[lane].abs());
        }
    }
    let largest = lanes.into_iter().fold(0.0, f32::max);
    rest.iter()
        .fold(largest, |largest, value| largest.max(value.abs()))
}
