//! Laws of codes with different centers in one index.

mod drawn;

use drawn::uniform;
use proptest::prelude::*;
use quantize::{CodeBits, CodeMetric, Codec, Codecs, Coded, Value};

const CODED: [CodeBits; 4] = [CodeBits::B8, CodeBits::B4, CodeBits::B2, CodeBits::B1];
const METRICS: [CodeMetric; 2] = [CodeMetric::L2, CodeMetric::InnerProduct];
const DIMENSIONS: usize = 200;

/// Normal values around `mean`, the same on every run.
fn normal(dimensions: usize, seed: u64, mean: f32) -> Vec<f32> {
    let mut uniform = uniform(seed);
    (0..dimensions)
        .map(|_| mean + (0..12).map(|_| uniform()).sum::<f32>())
        .collect()
}

fn codecs(bits: CodeBits, metric: CodeMetric, seed: u64, centers: &[f32]) -> Codecs {
    let mut codecs = Codecs::new(Codec::new(DIMENSIONS, bits, metric, seed, None));
    for &center in centers {
        codecs.add(&[center; DIMENSIONS]);
    }
    codecs
}

/// The code of a vector with a center.
fn code(codecs: &Codecs, center: u8, vector: &[f32]) -> Vec<u8> {
    let codec = codecs.get(center).expect("a center");
    let mut code = vec![0; codec.code_len()];
    codec.encode(vector, &mut code);
    code
}

fn coded(center: u8, bytes: &[u8]) -> Coded<'_> {
    Coded { center, bytes }
}

fn exact(metric: CodeMetric, a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let distance: f64 = match metric {
        CodeMetric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
        CodeMetric::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f64>(),
        CodeMetric::L1 => unreachable!("L1 has no centers"),
    };
    distance as f32
}

#[test]
fn a_value_is_compared_with_each_code_by_its_own_center() {
    for metric in METRICS {
        let codecs = codecs(CodeBits::B4, metric, 3, &[0.5, -2.0]);
        let query = normal(DIMENSIONS, 1, 0.0);
        let asked = codecs.query(Value::Dense(query.clone()));
        for center in 0..3 {
            let code = code(&codecs, center, &normal(DIMENSIONS, 2, 0.5));
            let alone = codecs.get(center).expect("a center").query(&query);
            let found = asked.estimate(&codecs, coded(center, &code));
            assert_eq!(found, Some(alone.estimate(&code)));
        }
        let code = code(&codecs, 0, &query);
        assert_eq!(asked.estimate(&codecs, coded(3, &code)), None);
    }
}

#[test]
fn a_center_added_later_serves_an_older_query() {
    let mut codecs = codecs(CodeBits::B4, CodeMetric::L2, 3, &[]);
    let query = normal(DIMENSIONS, 1, 3.0);
    let asked = codecs.query(Value::Dense(query.clone()));
    codecs.add(&[3.0; DIMENSIONS]);
    let own = code(&codecs, 1, &query);
    let (distance, error) = asked.estimate(&codecs, coded(1, &own)).expect("a center");
    assert!(distance <= error + 1.0, "{distance} {error}");
}

#[test]
fn codes_of_two_centers_are_no_nearer_than_their_bounds_say() {
    for metric in METRICS {
        for bits in CODED {
            for (from, to) in [(0, 1), (1, 0), (1, 2)] {
                let outside = (0..400).filter(|&seed| {
                    let codecs = codecs(bits, metric, seed, &[0.8, 0.4]);
                    let [a, b] = [seed, seed + 1000].map(|seed| normal(DIMENSIONS, seed, 0.8));
                    let [own, other] = [code(&codecs, from, &a), code(&codecs, to, &b)];
                    let asked = codecs.query_from_code(coded(from, &own));
                    let (distance, error) = asked
                        .estimate(&codecs, coded(to, &other))
                        .expect("a center");
                    exact(metric, &a, &b) < distance - error
                });
                let outside = outside.count();
                assert!(
                    outside <= 20,
                    "{metric:?} {bits:?} {from} {to}: {outside} of 400"
                );
            }
        }
    }
}

/// The mean error of distances between codes with these centers.
fn mean_error(bits: CodeBits, metric: CodeMetric, from: u8, to: u8) -> f32 {
    let errors = (0..200).map(|seed| {
        let codecs = codecs(bits, metric, seed, &[0.8, 0.4]);
        let [a, b] = [seed, seed + 1000].map(|seed| normal(DIMENSIONS, seed, 0.8));
        let [own, other] = [code(&codecs, from, &a), code(&codecs, to, &b)];
        let asked = codecs.query_from_code(coded(from, &own));
        let found = asked.distance(&codecs, coded(to, &other));
        (found.expect("a center") - exact(metric, &a, &b)).abs()
    });
    errors.sum::<f32>() / 200.0
}

#[test]
fn a_code_asks_about_codes_of_another_center_as_well_as_about_its_own() {
    for metric in METRICS {
        for bits in CODED {
            // The codes nearest to the mean are the finest; a mixture is no worse than the coarser of both.
            let (coarse, fine) = (
                mean_error(bits, metric, 0, 0),
                mean_error(bits, metric, 1, 1),
            );
            let there = mean_error(bits, metric, 0, 1);
            let back = mean_error(bits, metric, 1, 0);
            let most = 1.1 * coarse.max(fine);
            assert!(
                there <= most && back <= most,
                "{metric:?} {bits:?}: {coarse} {fine}, mixed {there} {back}"
            );
        }
    }
}

#[test]
fn equal_values_have_equal_codes_and_distances() {
    let codecs = codecs(CodeBits::B4, CodeMetric::L2, 3, &[3.0]);
    let value = Value::Dense(normal(DIMENSIONS, 1, 3.0));
    let center = codecs.nearest(&value);
    assert_eq!(center, 1);
    let code = code(&codecs, center, value.dense().expect("dense"));
    let distances = [(); 2].map(|()| {
        let asked = codecs.query(value.clone());
        asked.distance(&codecs, coded(center, &code))
    });
    assert!(distances[0].is_some() && distances[0] == distances[1]);
}

#[test]
fn the_center_near_a_vector_encodes_it() {
    let codecs = codecs(CodeBits::B4, CodeMetric::L2, 3, &[3.0, 3.1]);
    let center = |vector: Vec<f32>| codecs.nearest(&Value::Dense(vector));
    assert_eq!(center(normal(DIMENSIONS, 1, 3.0)), 2, "as good as the last");
    assert_eq!(center(normal(DIMENSIONS, 1, 0.2)), 0, "far from the others");
    assert_eq!(center(vec![0.0; DIMENSIONS]), 0);
    assert_eq!(center(vec![f32::MAX; DIMENSIONS]), 2, "beyond all centers");
}

#[test]
fn the_first_row_alone_encodes_what_is_near_to_it() {
    let codecs = codecs(CodeBits::B4, CodeMetric::L2, 3, &[1.2]);
    let center = |mean| codecs.nearest(&Value::Dense(normal(DIMENSIONS, 1, mean)));
    assert_eq!([center(0.0), center(0.7), center(1.2)], [0, 0, 1]);
}

#[test]
fn codes_without_rotation_have_one_center() {
    let l1 = Codec::new(64, CodeBits::B8, CodeMetric::L1, 1, None);
    let short = Codec::new(3, CodeBits::Exact, CodeMetric::L2, 1, None);
    let bits = Codec::of_bits(64, distance::BitDistance::Hamming, 8);
    for (codec, value) in [
        (l1, Value::Dense(vec![1.0; 64])),
        (short, Value::Dense(vec![1.0; 3])),
        (bits, Value::Bits(vec![1; 8])),
    ] {
        let codecs = Codecs::new(codec);
        assert!(!codecs.may_learn());
        assert_eq!(codecs.nearest(&value), 0);
        let mut code = vec![0; codecs.first().code_len()];
        codecs.first().encode_value(&value, &mut code);
        assert_eq!(codecs.learn([coded(0, &code)].into_iter()), None);
        let asked = codecs.query(value);
        assert_eq!(asked.distance(&codecs, coded(0, &code)), Some(0.0));
    }
}

/// What is learned from vectors, encoded as an index does.
fn learned(codecs: &Codecs, vectors: &[Vec<f32>]) -> Option<Vec<f32>> {
    let codes: Vec<(u8, Vec<u8>)> = vectors
        .iter()
        .map(|vector| {
            let center = codecs.nearest(&Value::Dense(vector.clone()));
            (center, code(codecs, center, vector))
        })
        .collect();
    codecs.learn(codes.iter().map(|(center, code)| coded(*center, code)))
}

#[test]
fn the_mean_is_learned_from_codes() {
    for metric in METRICS {
        for bits in CODED {
            let mut codecs = codecs(bits, metric, 3, &[]);
            let vectors: Vec<_> = (0..100).map(|seed| normal(DIMENSIONS, seed, 3.0)).collect();
            // The first row is the first center.
            codecs.add(&vectors[0]);
            let center = learned(&codecs, &vectors).expect("a mean far from the first row");
            let off = center.iter().map(|x| (x - 3.0).powi(2)).sum::<f32>() / DIMENSIONS as f32;
            // Of 100 vectors with variance 1, and of their codes.
            assert!(off < 0.1, "{metric:?} {bits:?}: {off}");
            codecs.add(&center);
            let others: Vec<_> = (100..400)
                .map(|seed| normal(DIMENSIONS, seed, 3.0))
                .collect();
            assert_eq!(learned(&codecs, &others), None, "nothing new");
        }
    }
}

#[test]
fn a_mean_that_helps_few_codes_is_not_learned() {
    for metric in METRICS {
        let mut codecs = codecs(CodeBits::B4, metric, 3, &[]);
        let mut vectors: Vec<_> = (0..100).map(|seed| normal(DIMENSIONS, seed, 0.0)).collect();
        assert_eq!(learned(&codecs, &vectors), None, "a mean of zero");
        codecs.add(&vectors[0]);
        assert_eq!(learned(&codecs, &vectors), None, "with the first row too");
        vectors[7] = vec![1e6; DIMENSIONS];
        assert_eq!(learned(&codecs, &vectors), None, "one far away");
        vectors[7] = vec![f32::MAX; DIMENSIONS];
        assert_eq!(learned(&codecs, &vectors), None, "one beyond all numbers");
        assert_eq!(codecs.learn(std::iter::empty()), None);
    }
}

#[test]
fn a_center_of_one_kind_of_rows_is_left_for_that_of_all() {
    let mut codecs = codecs(CodeBits::B4, CodeMetric::L2, 3, &[3.0]);
    let vectors: Vec<_> = (0..200)
        .map(|seed| normal(DIMENSIONS, seed, if seed % 4 == 0 { 3.0 } else { -1.5 }))
        .collect();
    let center = learned(&codecs, &vectors).expect("a new mean");
    codecs.add(&center);
    let chosen = |mean| codecs.nearest(&Value::Dense(normal(DIMENSIONS, 1000, mean)));
    assert_eq!([chosen(3.0), chosen(-1.5)], [1, 2]);
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_finite_vectors_have_a_distance_that_is_none(
        (center, a, b) in (1..80_usize).prop_flat_map(|n| (values(n), values(n), values(n))),
        (bits, metric) in (0..CODED.len(), 0..METRICS.len()),
    ) {
        let mut codecs = Codecs::new(Codec::new(a.len(), CODED[bits], METRICS[metric], 5, None));
        codecs.add(&center);
        for (from, to) in [(0, 1), (1, 0)] {
            let (own, other) = (code(&codecs, from, &a), code(&codecs, to, &b));
            let asked = codecs.query_from_code(coded(from, &own));
            let found = asked.estimate(&codecs, coded(to, &other));
            let (distance, error) = found.expect("a center");
            prop_assert!(!distance.is_nan() && error >= 0.0, "{distance} {error}");
            if let Some(center) = learned(&codecs, &[a.clone(), b.clone()]) {
                prop_assert!(center.iter().all(|x| x.is_finite()));
            }
        }
    }
}
