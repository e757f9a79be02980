//! Laws that hold for all vectors.

mod drawn;

use drawn::uniform;
use proptest::prelude::*;
use quantize::{CodeBits, CodeMetric, Codec, Query};

const CODED: [CodeBits; 4] = [CodeBits::B8, CodeBits::B4, CodeBits::B2, CodeBits::B1];

fn code(codec: &Codec, vector: &[f32]) -> Vec<u8> {
    let mut code = vec![0xAA; codec.code_len()];
    codec.encode(vector, &mut code);
    code
}

/// Any finite floats, as the SQL types let them through: small, huge, denormal, zero, of either sign.
fn values(dimensions: usize) -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        4 => -1.0_f32..1.0,
        1 => any::<f32>().prop_map(|value| if value.is_finite() { value } else { f32::MAX }),
        1 => Just(0.0_f32),
    ];
    prop::collection::vec(value, dimensions)
}

fn some_measure() -> impl Strategy<Value = CodeMetric> {
    prop_oneof![
        Just(CodeMetric::L2),
        Just(CodeMetric::InnerProduct),
        Just(CodeMetric::L1)
    ]
}

fn some_bits() -> impl Strategy<Value = CodeBits> {
    prop_oneof![
        Just(CodeBits::Exact),
        Just(CodeBits::B8),
        Just(CodeBits::B4),
        Just(CodeBits::B2),
        Just(CodeBits::B1)
    ]
}

/// A codec and vectors for it, with and without a center.
fn some_codec(vectors: usize) -> impl Strategy<Value = (Codec, Vec<Vec<f32>>)> {
    (
        1..80_usize,
        some_bits(),
        some_measure(),
        any::<u64>(),
        any::<bool>(),
    )
        .prop_flat_map(move |(dimensions, bits, metric, seed, is_centered)| {
            let vectors = prop::collection::vec(values(dimensions), vectors + 1);
            vectors.prop_map(move |mut vectors| {
                let center = vectors.pop().filter(|_| is_centered);
                (
                    Codec::new(dimensions, bits, metric, seed, center.as_deref()),
                    vectors,
                )
            })
        })
}

fn is_sound(query: &Query, code: &[u8]) -> bool {
    let (distance, error) = query.estimate(code);
    !distance.is_nan() && error >= 0.0 && distance.to_bits() == query.distance(code).to_bits()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_vector_has_one_code((codec, vectors) in some_codec(1)) {
        prop_assert_eq!(code(&codec, &vectors[0]), code(&codec.clone(), &vectors[0]));
    }

    #[test]
    fn the_sign_of_a_zero_does_not_count((codec, mut vectors) in some_codec(1)) {
        let plain = code(&codec, &vectors[0]);
        vectors[0].iter_mut().filter(|value| **value == 0.0).for_each(|value| *value = -*value);
        prop_assert_eq!(plain, code(&codec, &vectors[0]));
    }

    #[test]
    fn no_finite_vector_has_a_distance_that_is_none((codec, vectors) in some_codec(2)) {
        let codes: Vec<_> = vectors.iter().map(|vector| code(&codec, vector)).collect();
        for code in &codes {
            prop_assert!(is_sound(&codec.query(&vectors[0]), code));
            prop_assert!(is_sound(&codec.query_from_code(&codes[0]), code));
        }
    }

    #[test]
    fn a_code_may_lie_at_any_address((codec, vectors) in some_codec(2), offset in 0..64_usize) {
        let code = code(&codec, &vectors[0]);
        let mut page = vec![0xFF; offset + code.len() + 64];
        page[offset..offset + code.len()].copy_from_slice(&code);
        let query = codec.query(&vectors[1]);
        prop_assert_eq!(query.distance(&code).to_bits(), query.distance(&page[offset..offset + code.len()]).to_bits());
    }

    #[test]
    fn up_to_four_bits_the_distance_of_two_codes_is_symmetric(
        a in prop::collection::vec(-1.0_f32..1.0, 50),
        b in prop::collection::vec(-100.0_f32..1.0, 50),
        (bits, metric, seed) in (some_bits(), some_measure(), any::<u64>()),
        is_centered in any::<bool>(),
    ) {
        prop_assume!(bits != CodeBits::B8);
        let codec = Codec::new(50, bits, metric, seed, is_centered.then_some(&[0.25; 50]));
        let [a, b] = [a, b].map(|vector| code(&codec, &vector));
        let there = codec.query_from_code(&a).distance(&b);
        prop_assert_eq!(there.to_bits(), codec.query_from_code(&b).distance(&a).to_bits());
    }

    /// Scaling by powers of two is exact, so levels stay and distances follow.
    #[test]
    fn codes_scale_with_their_vectors(
        vector in prop::collection::vec(-1.0_f32..1.0, 50),
        query in prop::collection::vec(-1.0_f32..1.0, 50),
        exponent in -10..10_i32,
    ) {
        let factor = 2.0_f32.powi(exponent);
        let scaled = |vector: &[f32]| vector.iter().map(|value| value * factor).collect::<Vec<_>>();
        for bits in CODED {
            let codec = Codec::new(50, bits, CodeMetric::L2, 5, None);
            let (plain, larger) = (code(&codec, &vector), code(&codec, &scaled(&vector)));
            prop_assert_eq!(&plain[12..], &larger[12..]);
            let distance = codec.query(&query).distance(&plain);
            let scaled_distance = codec.query(&scaled(&query)).distance(&larger);
            prop_assert_eq!(distance * factor * factor, scaled_distance);
        }
    }
}

/// Nearly normal values, the same on every run.
fn normal(dimensions: usize, seed: u64) -> Vec<f32> {
    let mut uniform = uniform(seed);
    (0..dimensions)
        .map(|_| 0.7 + uniform() + uniform() + uniform() + uniform())
        .collect()
}

#[test]
fn a_code_asks_as_its_vector_does() {
    // At eight bits a code equals its vector to a thousandth.
    let center = vec![0.5; 200];
    for metric in [CodeMetric::L2, CodeMetric::InnerProduct, CodeMetric::L1] {
        for bits in [CodeBits::Exact, CodeBits::B8] {
            for center in [None, Some(&center[..])] {
                let codec = Codec::new(200, bits, metric, 9, center);
                for seed in 0..20 {
                    let (a, b) = (normal(200, seed), code(&codec, &normal(200, seed + 100)));
                    let of_vector = codec.query(&a).distance(&b);
                    let of_code = codec.query_from_code(&code(&codec, &a)).distance(&b);
                    assert!(
                        (of_vector - of_code).abs() < 0.01 * of_vector.abs(),
                        "{metric:?} {of_vector} {of_code}"
                    );
                }
            }
        }
    }
}

#[test]
fn two_codes_are_no_nearer_than_their_bounds_say() {
    let center = vec![0.5; 200];
    for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
        for bits in CODED {
            for center in [None, Some(&center[..])] {
                let outside = (0..400).filter(|&seed| {
                    // Vectors on one side have similar errors under one rotation.
                    let codec = Codec::new(200, bits, metric, seed, center);
                    let (a, b) = (normal(200, seed), normal(200, seed + 1000));
                    let (distance, error) = codec
                        .query_from_code(&code(&codec, &a))
                        .estimate(&code(&codec, &b));
                    exact(metric, &a, &b) < distance - error
                });
                let outside = outside.count();
                assert!(
                    outside <= 20,
                    "{metric:?} {bits:?} {}: {outside} of 400",
                    center.is_some()
                );
            }
        }
    }
}

fn exact(metric: CodeMetric, a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let distance: f64 = match metric {
        CodeMetric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
        CodeMetric::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f64>(),
        CodeMetric::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
    };
    distance as f32
}

#[test]
fn huge_and_tiny_vectors_keep_their_order() {
    let at = |size: f32| -> Vec<f32> { normal(100, 1).iter().map(|value| value * size).collect() };
    for bits in CODED {
        let codec = Codec::new(100, bits, CodeMetric::L2, 9, None);
        let zero = codec.query(&[0.0; 100]);
        let lengths: Vec<f32> = [0.0, 1e-15, 1e-5, 1.0, 1e5, 1e15, 1e30]
            .map(|size| zero.distance(&code(&codec, &at(size))))
            .into();
        assert!(lengths.is_sorted(), "{bits:?}: {lengths:?}");
        assert_eq!(lengths[0], 0.0);
        let (_, error) = zero.estimate(&code(&codec, &at(1e30)));
        assert_eq!(
            error,
            f32::INFINITY,
            "what does not fit in f32 has no bound"
        );
    }
}

#[test]
fn a_vector_is_nearest_to_itself() {
    for bits in CODED {
        let codec = Codec::new(128, bits, CodeMetric::L2, 9, None);
        let codes: Vec<_> = (0..50)
            .map(|seed| code(&codec, &normal(128, seed)))
            .collect();
        for (seed, own) in codes.iter().enumerate() {
            let query = codec.query(&normal(128, seed as u64));
            let (to_itself, error) = query.estimate(own);
            assert!(to_itself <= error + 1e-3, "{bits:?}: {to_itself} {error}");
            let nearer = codes.iter().filter(|code| query.distance(code) < to_itself);
            assert_eq!(nearer.count(), 0);
        }
    }
}

#[test]
fn bits_are_chosen_by_dimensions_and_room() {
    assert_eq!(CodeBits::choose(32, 8000), Some(CodeBits::Exact));
    assert_eq!(CodeBits::choose(33, 8000), Some(CodeBits::B4));
    assert_eq!(CodeBits::choose(1536, 780), Some(CodeBits::B4));
    assert_eq!(CodeBits::choose(1536, 779), Some(CodeBits::B2));
    assert_eq!(CodeBits::choose(16_000, 8000), Some(CodeBits::B2));
    assert_eq!(CodeBits::choose(16_000, 2012), Some(CodeBits::B1));
    assert_eq!(CodeBits::choose(16_000, 2011), None);
    assert_eq!(CodeBits::B8.fit(1536, 8000), Some(CodeBits::B8));
    for bits in [
        CodeBits::Exact,
        CodeBits::B8,
        CodeBits::B4,
        CodeBits::B2,
        CodeBits::B1,
    ] {
        assert_eq!(CodeBits::of_number(bits.number()), Some(bits));
        assert_eq!(bits.code_len(101) % 4, 0);
        assert_eq!(
            Codec::new(101, bits, CodeMetric::L2, 1, None).code_len(),
            bits.code_len(101)
        );
    }
    assert_eq!(CodeBits::of_number(3), None);
}
