//! Every distance over every kind on every CPU level of this machine, against an oracle and against known values.

use distance::{
    BitDistance, Cpu, Kind, Sparse, VectorDistance, bit_kernel, bytes_of, f16, kernel, norm,
    prefetch, prefetch_at, sparse_distance,
};
use proptest::prelude::*;

/// The oracle: each distance as its definition reads, in f64.
fn oracle(function: VectorDistance, a: &[f32], b: &[f32]) -> f64 {
    let sum = |term: fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| term(f64::from(*a), f64::from(*b)))
            .sum()
    };
    match function {
        VectorDistance::L2 => sum(|a, b| (a - b).powi(2)).sqrt(),
        VectorDistance::L2Squared => sum(|a, b| (a - b).powi(2)),
        VectorDistance::InnerProduct => -sum(|a, b| a * b),
        VectorDistance::Cosine => {
            1.0 - sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt()
        }
        VectorDistance::L1 => sum(|a, b| (a - b).abs()),
    }
}

/// The error that rounding may cause: the sizes of all terms, times the steps of a sum, in units of f32's precision.
fn tolerance(function: VectorDistance, a: &[f32], b: &[f32]) -> f64 {
    let terms = |term: fn(f64, f64) -> f64| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| term(f64::from(*a), f64::from(*b)).abs())
            .sum()
    };
    let unit = f64::from(f32::EPSILON) * (a.len() as f64 + 4.0);
    match function {
        VectorDistance::L2Squared => unit * terms(|a, b| (a - b) * (a - b)),
        VectorDistance::L2 => unit * terms(|a, b| (a - b) * (a - b)).sqrt(),
        VectorDistance::InnerProduct => unit * terms(|a, b| a * b),
        VectorDistance::L1 => unit * terms(|a, b| a - b),
        VectorDistance::Cosine => 4.0 * unit,
    }
}

/// True if a distance is the oracle's, but for rounding.
fn agrees(function: VectorDistance, a: &[f32], b: &[f32], found: f64) -> bool {
    let expected = oracle(function, a, b);
    (expected.is_nan() && found.is_nan()) || (found - expected).abs() <= tolerance(function, a, b)
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

fn between(kind: Kind, function: VectorDistance, cpu: Cpu, a: &[f32], b: &[f32]) -> f64 {
    (kernel(kind, function, cpu).one)(&shifted(kind, a, 0), &shifted(kind, b, 0))
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

/// Each distance of bit strings as its definition reads, bit by bit.
fn bit_oracle(function: BitDistance, a: &[u8], b: &[u8]) -> f64 {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    let count = |counted: fn(bool, bool) -> bool| {
        (0..8 * a.len())
            .filter(|at| counted(bit(a, *at), bit(b, *at)))
            .count() as f64
    };
    match function {
        BitDistance::Hamming => count(|a, b| a != b),
        BitDistance::Jaccard if count(|a, b| a && b) == 0.0 => 1.0,
        BitDistance::Jaccard => 1.0 - count(|a, b| a && b) / count(|a, b| a || b),
    }
}

proptest! {
    #[test]
    fn every_level_agrees_with_the_oracle((a, b) in vectors(700), shift in 0_usize..4) {
        for kind in Kind::ALL {
            let (left, right) = (shifted(kind, &a, shift), shifted(kind, &b, 3 - shift));
            let (a, b) = (rounded(kind, &a), rounded(kind, &b));
            for function in VectorDistance::ALL {
                for cpu in Cpu::available() {
                    let found = (kernel(kind, function, cpu).one)(&left[shift..], &right[3 - shift..]);
                    prop_assert!(agrees(function, &a, &b, found), "{kind:?} {function:?} {cpu:?}: {found}");
                }
            }
        }
    }

    #[test]
    fn sparse_vectors_are_as_far_as_the_dense_ones_they_stand_for((a, b) in sparse_vectors(300)) {
        let (left, right) = (NonZero::of(&a), NonZero::of(&b));
        for function in VectorDistance::ALL {
            let found = sparse_distance(function, left.view(), right.view());
            prop_assert!(agrees(function, &a, &b, found), "{function:?}: {found}");
        }
    }

    #[test]
    fn bits_are_counted_alike_on_every_level((a, b) in bytes(300), shift in 0_usize..8) {
        let (left, right) = ([vec![0; shift], a.clone()].concat(), [vec![0; 7 - shift], b.clone()].concat());
        for function in BitDistance::ALL {
            for cpu in Cpu::available() {
                let found = (bit_kernel(function, cpu).one)(&left[shift..], &right[7 - shift..]);
                prop_assert_eq!(found, bit_oracle(function, &a, &b), "{:?} {:?}", function, cpu);
            }
        }
    }

    #[test]
    fn a_vector_is_at_distance_zero_from_itself((a, _) in vectors(300)) {
        for cpu in Cpu::available() {
            for function in [VectorDistance::L2, VectorDistance::L2Squared, VectorDistance::L1] {
                prop_assert_eq!(kernel(Kind::F32, function, cpu).between(&a, &a), 0.0);
                let halves = halves(&a);
                prop_assert_eq!(kernel(Kind::F16, function, cpu).between(&halves, &halves), 0.0);
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
                    between(kind, VectorDistance::InnerProduct, cpu, &a, &b),
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
    let rows: [(VectorDistance, &[f32], &[f32], f64); 7] = [
        (VectorDistance::L2, &[0.0, 0.0], &[3.0, 4.0], 5.0),
        (VectorDistance::L2Squared, &[0.0, 0.0], &[3.0, 4.0], 25.0),
        (
            VectorDistance::InnerProduct,
            &[1.0, 2.0],
            &[3.0, 4.0],
            -11.0,
        ),
        (VectorDistance::Cosine, &[1.0, 2.0], &[2.0, 4.0], 0.0),
        (VectorDistance::Cosine, &[1.0, 0.0], &[0.0, 2.0], 1.0),
        (VectorDistance::Cosine, &[1.0, 1.0], &[-1.0, -1.0], 2.0),
        (VectorDistance::L1, &[0.0, 0.0], &[3.0, -4.0], 7.0),
    ];
    for (function, a, b, expected) in rows {
        let (left, right) = (NonZero::of(a), NonZero::of(b));
        assert_eq!(
            sparse_distance(function, left.view(), right.view()),
            expected
        );
        for (kind, cpu) in Kind::ALL
            .into_iter()
            .flat_map(|kind| Cpu::available().into_iter().map(move |cpu| (kind, cpu)))
        {
            assert_eq!(
                between(kind, function, cpu, a, b),
                expected,
                "{kind:?} {function:?} {cpu:?}"
            );
        }
    }
}

#[test]
fn sums_overflow_to_infinity() {
    for cpu in Cpu::available() {
        assert_eq!(
            kernel(Kind::F32, VectorDistance::L2, cpu).between(&[3e38_f32], &[-3e38]),
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
        let l1 = kernel(Kind::F16, VectorDistance::L1, cpu);
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
    let rows: [(BitDistance, &[u8], &[u8], f64); 7] = [
        (BitDistance::Hamming, &[], &[], 0.0),
        (BitDistance::Hamming, &[0b1110_0000], &[0b1010_0000], 1.0),
        (BitDistance::Hamming, &[255; 1000], &[0; 1000], 8000.0),
        (BitDistance::Jaccard, &[], &[], 1.0),
        (BitDistance::Jaccard, &[0; 9], &[0; 9], 1.0),
        (BitDistance::Jaccard, &[0b1111_0000], &[0b1100_0000], 0.5),
        (BitDistance::Jaccard, &[255; 1000], &[255; 1000], 0.0),
    ];
    for (function, a, b, expected) in rows {
        for cpu in Cpu::available() {
            assert_eq!(
                (bit_kernel(function, cpu).one)(a, b),
                expected,
                "{function:?} {cpu:?}"
            );
        }
    }
}

#[test]
fn cosine_of_a_zero_or_overflowing_vector_is_nan() {
    for cpu in Cpu::available() {
        let cosine = kernel(Kind::F32, VectorDistance::Cosine, cpu);
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
            kernel(Kind::F32, VectorDistance::L1, cpu).between(&[1.0_f32, 2.0, 9.0], &[1.0, 1.0]),
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
    for function in VectorDistance::ALL {
        let pairs =
            |a: &[f32], b: &[f32]| a.iter().copied().zip(b.iter().copied()).collect::<Vec<_>>();
        let usual = distance::distance_in_f64(function, pairs(&a, &b).into_iter());
        let of_tiny = distance::distance_in_f64(function, pairs(&tiny_a, &tiny_b).into_iter());
        let expected = usual
            * match function {
                VectorDistance::L2 | VectorDistance::L1 => scale,
                VectorDistance::L2Squared | VectorDistance::InnerProduct => scale * scale,
                VectorDistance::Cosine => 1.0,
            };
        assert!(
            (of_tiny - expected).abs() <= 1e-12 * expected.abs(),
            "{function:?}: {of_tiny} for {expected}"
        );
        let by_kernel = kernel(Kind::F32, function, Cpu::Scalar);
        let by_kernel = (by_kernel.one)(bytes_of(&a), bytes_of(&b));
        assert!(
            (usual - by_kernel).abs() <= 1e-6 * usual.abs(),
            "{function:?}: {usual} by f64, {by_kernel} by kernel"
        );
    }
}
