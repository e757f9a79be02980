//! Every metric on every CPU level of this machine, against an oracle and against known values.

use distance::{Cpu, Kind, Metric, bytes_of, kernel, norm, prefetch, prefetch_at};
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

/// What rounding may change: the sizes of all terms, times the steps of a sum, in units of f32's precision.
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

/// A vector at an address that is a multiple of four plus `shift`.
fn shifted(values: &[f32], shift: usize) -> Vec<u8> {
    let mut bytes = vec![0; shift];
    bytes.extend_from_slice(bytes_of(values));
    bytes
}

fn vectors(max: usize) -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (0..max).prop_flat_map(|len| {
        (
            prop::collection::vec(-100.0_f32..100.0, len),
            prop::collection::vec(-100.0_f32..100.0, len),
        )
    })
}

proptest! {
    #[test]
    fn every_level_agrees_with_the_oracle((a, b) in vectors(700), shift in 0_usize..4) {
        let (left, right) = (shifted(&a, shift), shifted(&b, 3 - shift));
        for metric in Metric::ALL {
            let expected = oracle(metric, &a, &b);
            for cpu in Cpu::available() {
                let found = (kernel(Kind::F32, metric, cpu).one)(&left[shift..], &right[3 - shift..]);
                if expected.is_nan() {
                    prop_assert!(found.is_nan(), "{metric:?} {cpu:?}: {found}");
                } else {
                    let allowed = tolerance(metric, &a, &b);
                    prop_assert!((found - expected).abs() <= allowed, "{metric:?} {cpu:?}: {found}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn a_vector_is_at_distance_zero_from_itself((a, _) in vectors(300)) {
        for cpu in Cpu::available() {
            for metric in [Metric::L2, Metric::L2Squared, Metric::L1] {
                prop_assert_eq!(kernel(Kind::F32, metric, cpu).between(&a, &a), 0.0);
            }
        }
    }

    #[test]
    fn norm_is_the_root_of_the_sum_of_squares((a, _) in vectors(300)) {
        let expected = a.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        prop_assert!((norm(&a) - expected).abs() <= 1e-12 * expected);
    }
}

#[test]
fn every_length_reads_each_element_once() {
    for cpu in Cpu::available() {
        for len in 0..=200 {
            let a: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
            let b = vec![1.0_f32; len];
            let sum: f32 = a.iter().sum();
            assert_eq!(
                kernel(Kind::F32, Metric::InnerProduct, cpu).between(&a, &b),
                f64::from(-sum),
                "{cpu:?} {len}"
            );
        }
    }
}

/// Small whole numbers have exact sums, so all levels must give one and the same value.
#[test]
fn known_values_are_exact_on_every_level() {
    let rows: [(Metric, &[f32], &[f32], f64); 8] = [
        (Metric::L2, &[0.0, 0.0], &[3.0, 4.0], 5.0),
        (Metric::L2Squared, &[0.0, 0.0], &[3.0, 4.0], 25.0),
        (Metric::L2, &[3e38], &[-3e38], f64::INFINITY),
        (Metric::InnerProduct, &[1.0, 2.0], &[3.0, 4.0], -11.0),
        (Metric::Cosine, &[1.0, 2.0], &[2.0, 4.0], 0.0),
        (Metric::Cosine, &[1.0, 0.0], &[0.0, 2.0], 1.0),
        (Metric::Cosine, &[1.0, 1.0], &[-1.0, -1.0], 2.0),
        (Metric::L1, &[0.0, 0.0], &[3.0, -4.0], 7.0),
    ];
    for (metric, a, b, expected) in rows {
        for cpu in Cpu::available() {
            assert_eq!(
                kernel(Kind::F32, metric, cpu).between(a, b),
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
        assert!(cosine.between(&[0.0, 0.0], &[1.0, 2.0]).is_nan());
        assert!(cosine.between(&[3e38], &[3e38]).is_nan());
    }
}

#[test]
fn norm_does_not_overflow_where_f32_would() {
    assert_eq!(norm(&[3e38]), f64::from(3e38_f32));
    assert_eq!(norm(&[]), 0.0);
}

#[test]
fn elements_beyond_the_shorter_vector_are_not_looked_at() {
    for cpu in Cpu::available() {
        assert_eq!(
            kernel(Kind::F32, Metric::L1, cpu).between(&[1.0, 2.0, 9.0], &[1.0, 1.0]),
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
