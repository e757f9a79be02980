//! Costs of codes: encoding, preparing a query, estimating a distance.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use quantize::{CodeBits, CodeMetric, Codec, Query, Rotation};

const DIMENSIONS: [usize; 4] = [128, 384, 768, 1536];
const CODED: [CodeBits; 4] = [CodeBits::B8, CodeBits::B4, CodeBits::B2, CodeBits::B1];
/// Few enough to stay in the first-level cache: the bench times the kernel, not the memory.
const CODES: usize = 32;

fn vector(dimensions: usize, seed: usize) -> Vec<f32> {
    (0..dimensions)
        .map(|i| ((i * i + 31 * seed * i) as f32 * 0.37).sin())
        .collect()
}

fn codes(codec: &Codec) -> Vec<Vec<u8>> {
    let code = |seed| {
        let mut code = vec![0; codec.code_len()];
        codec.encode(&vector(codec.dimensions(), seed), &mut code);
        code
    };
    (1..=CODES).map(code).collect()
}

fn sum_of_distances(query: &Query, codes: &[Vec<u8>]) -> f32 {
    codes.iter().map(|code| query.distance(code)).sum()
}

fn distances(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("distance");
    group.throughput(Throughput::Elements(CODES as u64));
    for dimensions in DIMENSIONS {
        for (metric, bits) in CODED
            .map(|bits| (CodeMetric::L2, bits))
            .into_iter()
            .chain([(CodeMetric::L1, CodeBits::B8)])
        {
            let codec = Codec::new(dimensions, bits, metric, 1, None);
            let (codes, query) = (codes(&codec), codec.query(&vector(dimensions, 0)));
            let id = BenchmarkId::new(format!("{metric:?} {bits:?}"), dimensions);
            group.bench_function(id, |bencher| {
                bencher.iter(|| sum_of_distances(&query, black_box(&codes)));
            });
        }
    }
    let codec = Codec::new(32, CodeBits::Exact, CodeMetric::L2, 1, None);
    let (codes, query) = (codes(&codec), codec.query(&vector(32, 0)));
    let id = BenchmarkId::new("L2 Exact", 32);
    group.bench_function(id, |bencher| {
        bencher.iter(|| sum_of_distances(&query, black_box(&codes)));
    });
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for dimensions in DIMENSIONS {
        let vector = vector(dimensions, 0);
        let rotation = Rotation::new(dimensions, 1);
        let mut turned = vector.clone();
        group.bench_function(BenchmarkId::new("rotation alone", dimensions), |bencher| {
            bencher.iter(|| rotation.rotate(black_box(&mut turned)));
        });
        for bits in CODED {
            let codec = Codec::new(dimensions, bits, CodeMetric::L2, 1, None);
            let mut code = vec![0; codec.code_len()];
            group.bench_function(
                BenchmarkId::new(format!("{bits:?}"), dimensions),
                |bencher| {
                    bencher.iter(|| codec.encode(black_box(&vector), &mut code));
                },
            );
        }
    }
    group.finish();
}

fn queries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("query");
    for dimensions in DIMENSIONS {
        let codec = Codec::new(dimensions, CodeBits::B4, CodeMetric::L2, 1, None);
        let (vector, code) = (vector(dimensions, 0), codes(&codec).swap_remove(0));
        group.bench_function(BenchmarkId::new("of a vector", dimensions), |bencher| {
            bencher.iter(|| codec.query(black_box(&vector)));
        });
        group.bench_function(BenchmarkId::new("of a code", dimensions), |bencher| {
            bencher.iter(|| codec.query_from_code(black_box(&code)));
        });
    }
    group.finish();
}

criterion_group!(benches, distances, encoding, queries);
criterion_main!(benches);
