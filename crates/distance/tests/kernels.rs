//! Every metric over every kind on every CPU level of this machine, against an oracle and against known values.

use distance::{
    BitMetric, Cpu, Kind, Metric, Sparse, bit_kernel, bytes_of, f16, kernel, norm, prefetch,
    prefetch_at, sparse_distance,
};
use proptest::prelude::*;

/// The oracle: each metric as its definition reads, in f64.
fn oracle(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |term: fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| term(f64::from(*a), f64::from(*b)))
            .sum()
    };
    match metric {
        Metric::L2 => sum(|a, b| (a - b).powi(2)).sqrt(),
        Metric::L2Squared => sum(|a, b| (a - b).powi(2)),
        Metric::InnerProduct => -sum(|a, b| a * b),
        Metric::Cosine => 1.0 - sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt(),
        Metric::L1 => sum(|a, b| (a - b).abs()),
    }
}

/// The error that rounding may cause: the sizes of all terms, times the steps of a sum, in units of f32's precision.
fn tolerance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let terms = |term: fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| term(f64::from(*a), f64::from(*b)).abs())
            .sum()
    };
    let unit = f64::from(f32::EPSILON) * (a.len() as f64 + 4.0);
    match metric {
        Metric::L2Squared => unit * terms(|a, b| (a - b) * (a - b)),
        Metric::L2 => unit * terms(|a, b| (a - b) * (a - b)).sqrt(),
        Metric::InnerProduct => unit * terms(|a, b| a * b),
        Metric::L1 => unit * terms(|a, b| a - b),
        Metric::Cosine => 4.0 * unit,
    }
}

/// Whether a distance is what the oracle says, but for rounding.
fn agrees(metric: Metric, a: &[f32], b: &[f32], found: f64) -> bool {
    let expected = oracle(metric, a, b);
    (expected.is_nan() && found.is_nan()) || (found - expected).abs() <= tolerance(metric, a, b)
}

/// The values as a kind keeps them.
fn rounded(kind: Kind, values: &[f32]) -> Vec<f32> {
    match kind {
        Kind::F32 => values.to_vec(),
        Kind::F16 => halves(values).iter().map(|x| x.to_f32_const()).collect(),
    }
}

fn halves(values: &[f32]) -> Vec<f16> {
    values.iter().map(|x| f16::from_f32_const(*x)).collect()
}

/// A vector of a kind at an address that is a multiple of four plus `shift`.
fn shifted(kind: Kind, values: &[f32], shift: usize) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    match kind {
        Kind::F32 => bytes.extend_from_slice(bytes_of(values)),
        Kind::F16 => bytes.extend_from_slice(bytes_of(&halves(values))),
    }
    bytes
}

fn between(kind: Kind, metric: Metric, cpu: Cpu, a: &[f32], b: &[f32]) -> f64 {
    (kernel(kind, metric, cpu).one)(&shifted(kind, a, 0), &shifted(kind, b, 0))
}

fn vectors(max: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (0..max).prop_flat_map(|len| {
        (
            prop::collection::vec(-100.0_f32..100.0, len),
            prop::collection::vec(-100.0_f32..100.0, len),
        )
    })
}

/// Vectors of which about half the values are zero.
fn sparse_vectors(max: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    let value = || prop_oneof![Just(0.0_f32), -100.0_f32..100.0];
    (0..max).prop_flat_map(move |len| {
        (
            prop::collection::vec(value(), len),
            prop::collection::vec(value(), len),
        )
    })
}

fn bytes(max: usize) -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (0..max).prop_flat_map(|len| {
        (
            prop::collection::vec(any::<u8>(), len),
            prop::collection::vec(any::<u8>(), len),
        )
    })
}

/// The values of a vector that are not zero, and their places.
struct NonZero {
    indices: Vec<i32>,
    values: Vec<f32>,
}

impl NonZero {
    fn of(vector: &[f32]) -> Self {
        let (indices, values) = (0..)
            .zip(vector)
            .filter(|(_, value)| **value != 0.0)
            .unzip();
        Self { indices, values }
    }

    fn view(&self) -> Sparse<'_> {
        Sparse {
            indices: &self.indices,
            values: &self.values,
        }
    }
}

/// Each metric of bit strings as its definition reads, bit by bit.
fn bit_oracle(metric: BitMetric, a: &[u8], b: &[u8]) -> f64 {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    let count = |counted: fn(bool, bool) -> bool| {
        (0..8 * a.len())
            .filter(|at| counted(bit(a, *at), bit(b, *at)))
            .count() as f64
    };
    match metric {
        BitMetric::Hamming => count(|a, b| a != b),
        BitMetric::Jaccard if count(|a, b| a && b) == 0.0 => 1.0,
        BitMetric::Jaccard => 1.0 - count(|a, b| a && b) / count(|a, b| a || b),
    }
}

proptest! {
    #[test]
    fn every_level_agrees_with_the_oracle((a, b) in vectors(700), shift in 0_usize..4) {
        for kind in Kind::ALL {
            let (left, right) = (shifted(kind, &a, shift), shifted(kind, &b, 3 - shift));
            let (a, b) = (rounded(kind, &a), rounded(kind, &b));
            for metric in Metric::ALL {
                for cpu in Cpu::available() {
                    let found = (kernel(kind, metric, cpu).one)(&left[shift..], &right[3 - shift..]);
                    prop_assert!(agrees(metric, &a, &b, found), "{kind:?} {metric:?} {cpu:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn sparse_vectors_are_as_far_as_the_dense_ones_they_stand_for((a, b) in sparse_vectors(300)) {
        let (left, right) = (NonZero::of(&a), NonZero::of(&b));
        for metric in Metric::ALL {
            let found = sparse_distance(metric, left.view(), right.view());
            prop_assert!(agrees(metric, &a, &b, found), "{metric:?}: {found}");
        }
    }

    #[test]
    fn bits_are_counted_alike_on_every_level((a, b) in bytes(300), shift in 0_usize..8) {
        let (left, right) = ([vec![0; shift], a.clone()].concat(), [vec![0; 7 - shift], b.clone()].concat());
        for metric in BitMetric::ALL {
            for cpu in Cpu::available() {
                let found = (bit_kernel(metric, cpu).one)(&left[shift..], &right[7 - shift..]);
                prop_assert_eq!(found, bit_oracle(metric, &a, &b), "{:?} {:?}", metric, cpu);
            }
        }
    }

    #[test]
    fn a_vector_is_at_distance_zero_from_itself((a, _) in vectors(300)) {
        for cpu in Cpu::available() {
            for metric in [Metric::L2, Metric::L2Squared, Metric::L1] {
                prop_assert_eq!(kernel(Kind::F32, metric, cpu).between(&a, &a), 0.0);
                let halves = halves(&a);
                prop_assert_eq!(kernel(Kind::F16, metric, cpu).between(&halves, &halves), 0.0);
            }
        }
    }

    #[test]
    fn norm_is_the_root_of_the_sum_of_squares((a, _) in vectors(300)) {
        let expected = a.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        prop_assert!((norm(&a) - expected).abs() <= 1e-12 * expected);
        let halves = halves(&a);
        let widened: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
        prop_assert_eq!(norm(&halves), norm(&widened));
    }
}

#[test]
fn every_length_reads_each_element_once() {
    for cpu in Cpu::available() {
        for len in 0..=200 {
            let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
            let b = vec![1.0_f32; len];
            let sum: f32 = a.iter().sum();
            for kind in Kind::ALL {
                assert_eq!(
                    between(kind, Metric::InnerProduct, cpu, &a, &b),
                    f64::from(-sum),
                    "{kind:?} {cpu:?} {len}"
                );
            }
        }
    }
}

/// Small whole numbers have exact sums, so all kinds and levels must give one and the same value.
#[test]
fn known_values_are_exact_for_every_kind_and_level() {
    let rows: [(Metric, &[f32], &[f32], f64); 7] = [
        (Metric::L2, &[0.0, 0.0], &[3.0, 4.0], 5.0),
        (Metric::L2Squared, &[0.0, 0.0], &[3.0, 4.0], 25.0),
        (Metric::InnerProduct, &[1.0, 2.0], &[3.0, 4.0], -11.0),
        (Metric::Cosine, &[1.0, 2.0], &[2.0, 4.0], 0.0),
        (Metric::Cosine, &[1.0, 0.0], &[0.0, 2.0], 1.0),
        (Metric::Cosine, &[1.0, 1.0], &[-1.0, -1.0], 2.0),
        (Metric::L1, &[0.0, 0.0], &[3.0, -4.0], 7.0),
    ];
    for (metric, a, b, expected) in rows {
        let (left, right) = (NonZero::of(a), NonZero::of(b));
        assert_eq!(sparse_distance(metric, left.view(), right.view()), expected);
        for (kind, cpu) in Kind::ALL
            .into_iter()
            .flat_map(|kind| Cpu::available().into_iter().map(move |cpu| (kind, cpu)))
        {
            assert_eq!(
                between(kind, metric, cpu, a, b),
                expected,
                "{kind:?} {metric:?} {cpu:?}"
            );
        }
    }
}

#[test]
fn sums_overflow_to_infinity() {
    for cpu in Cpu::available() {
        assert_eq!(
            kernel(Kind::F32, Metric::L2, cpu).between(&[3e38_f32], &[-3e38]),
            f64::INFINITY
        );
    }
}

/// Every 2-byte float, also the tiny ones without a leading one, is widened to the same value on every level.
#[test]
fn every_half_is_widened_exactly_on_every_level() {
    let all: Vec<f16> = (0..=u16::MAX)
        .map(f16::from_bits)
        .filter(|x| x.is_finite())
        .collect();
    for cpu in Cpu::available() {
        let l1 = kernel(Kind::F16, Metric::L1, cpu);
        // Sixteen alike, so that registers are filled, and one, so that they are not.
        for x in &all {
            let expected = f64::from(x.to_f32_const().abs());
            assert_eq!(l1.between(&[*x], &[f16::ZERO]), expected, "{cpu:?} {x}");
            assert_eq!(
                l1.between(&[*x; 16], &[f16::ZERO; 16]),
                16.0 * expected,
                "{cpu:?} {x}"
            );
        }
    }
}

#[test]
fn known_bit_strings_are_as_far_as_they_should_be() {
    let rows: [(BitMetric, &[u8], &[u8], f64); 7] = [
        (BitMetric::Hamming, &[], &[], 0.0),
        (BitMetric::Hamming, &[0b1110_0000], &[0b1010_0000], 1.0),
        (BitMetric::Hamming, &[255; 1000], &[0; 1000], 8000.0),
        (BitMetric::Jaccard, &[], &[], 1.0),
        (BitMetric::Jaccard, &[0; 9], &[0; 9], 1.0),
        (BitMetric::Jaccard, &[0b1111_0000], &[0b1100_0000], 0.5),
        (BitMetric::Jaccard, &[255; 1000], &[255; 1000], 0.0),
    ];
    for (metric, a, b, expected) in rows {
        for cpu in Cpu::available() {
            assert_eq!(
                (bit_kernel(metric, cpu).one)(a, b),
                expected,
                "{metric:?} {cpu:?}"
            );
        }
    }
}

#[test]
fn cosine_of_a_zero_or_overflowing_vector_is_nan() {
    for cpu in Cpu::available() {
        let cosine = kernel(Kind::F32, Metric::Cosine, cpu);
        assert!(cosine.between(&[0.0_f32, 0.0], &[1.0, 2.0]).is_nan());
        assert!(cosine.between(&[3e38_f32], &[3e38]).is_nan());
    }
}

#[test]
fn norm_does_not_overflow_where_f32_would() {
    assert_eq!(norm(&[3e38_f32]), f64::from(3e38_f32));
    assert_eq!(norm::<f32>(&[]), 0.0);
}

#[test]
fn elements_beyond_the_shorter_vector_are_not_looked_at() {
    for cpu in Cpu::available() {
        assert_eq!(
            kernel(Kind::F32, Metric::L1, cpu).between(&[1.0_f32, 2.0, 9.0], &[1.0, 1.0]),
            1.0
        );
    }
}

#[test]
fn prefetch_takes_any_memory() {
    let bytes = vec![7_u8; 1000];
    prefetch(&bytes);
    prefetch(&bytes[3..3]);
    prefetch_at(std::ptr::null(), 4096);
    assert!(bytes.iter().all(|byte| *byte == 7));
}

/// Levels that were not tested are named in the output of `cargo test -- --nocapture`.
#[test]
fn levels_of_this_machine_start_with_scalar() {
    let levels = Cpu::available();
    eprintln!("tested CPU levels: {levels:?}");
    assert_eq!(levels.first(), Some(&Cpu::Scalar));
}

/// Scaling by a power of two is exact, so tiny vectors have the distances of usual ones, scaled.
#[test]
fn distances_of_tiny_vectors_keep_their_digits() {
    let scale = f64::from(f32::from_bits(0x0a80_0000));
    let (a, b): (Vec<f32>, Vec<f32>) = (0..40)
        .map(|i| ((i * 37 % 19) as f32 - 9.0, (i * 23 % 17) as f32 - 8.0))
        .unzip();
    let tiny = |values: &[f32]| values.iter().map(|&v| v * scale as f32).collect::<Vec<_>>();
    let (tiny_a, tiny_b) = (tiny(&a), tiny(&b));
    assert!(distance::is_tiny(&tiny_a) && !distance::is_tiny(&a));
    for metric in Metric::ALL {
        let pairs =
            |a: &[f32], b: &[f32]| a.iter().copied().zip(b.iter().copied()).collect::<Vec<_>>();
        let usual = distance::distance_in_f64(metric, pairs(&a, &b).into_iter());
        let of_tiny = distance::distance_in_f64(metric, pairs(&tiny_a, &tiny_b).into_iter());
        let expected = usual
            * match metric {
                Metric::L2 | Metric::L1 => scale,
                Metric::L2Squared | Metric::InnerProduct => scale * scale,
                Metric::Cosine => 1.0,
            };
        assert!(
            (of_tiny - expected).abs() <= 1e-12 * expected.abs(),
            "{metric:?}: {of_tiny} for {expected}"
        );
        let by_kernel = kernel(Kind::F32, metric, Cpu::Scalar);
        let by_kernel = (by_kernel.one)(bytes_of(&a), bytes_of(&b));
        assert!(
            (usual - by_kernel).abs() <= 1e-6 * usual.abs(),
            "{metric:?}: {usual} by f64, {by_kernel} by kernel"
        );
    }
}
