//! The graph on made-up clustered vectors: a build by batches, and searches over it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hnsw::build::{Watch, batched};
use hnsw::{ElementQuery, Params, Search, SearchOptions};
use quantize::{CodeMetric, CodeSet, EncodedRow};

const DIMENSIONS: usize = 128;
const VECTORS: usize = 20_000;
const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

/// Vectors around a thousand centers.
fn codes() -> CodeSet {
    let value = |a: usize, b: usize| {
        let mixed =
            (a.wrapping_mul(0x9E37_79B9) ^ b.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35);
        ((mixed >> 8) & 0xFFFF) as f32 / 65_536.0 - 0.5
    };
    let mut codes = CodeSet::new(DIMENSIONS, CodeMetric::L2);
    let mut row = EncodedRow::new();
    for i in 0..VECTORS {
        let vector: Vec<f32> = (0..DIMENSIONS)
            .map(|d| value(i % 1000, d) + 0.7 * value(i + 7_000, d))
            .collect();
        row.encode(&vector);
        codes.push(&row);
    }
    codes
}

fn builds(criterion: &mut Criterion) {
    let codes = codes();
    let mut group = criterion.benchmark_group("build");
    group.throughput(Throughput::Elements(VECTORS as u64));
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        group.bench_function(BenchmarkId::new("batched", threads), |bencher| {
            bencher.iter(|| {
                pool.install(|| batched(&codes, &PARAMS, &Watch::default()).expect("a graph"))
            });
        });
    }
}

fn searches(criterion: &mut Criterion) {
    let codes = codes();
    let graph = batched(&codes, &PARAMS, &Watch::default()).expect("a graph");
    let mut group = criterion.benchmark_group("search");
    for ef in [10, 40, 200] {
        for keep_discarded in [false, true] {
            let name = if keep_discarded { "resumable" } else { "once" };
            let options = SearchOptions { ef, keep_discarded };
            let (mut search, mut found, mut element) = (Search::new(), Vec::new(), 0);
            group.bench_function(BenchmarkId::new(name, ef), |bencher| {
                bencher.iter(|| {
                    element = (element + 7919) % VECTORS as u32;
                    let query = ElementQuery::new(&codes, element);
                    search.start(&mut graph.view(), &query, &options);
                    search.take_nearest(&mut found);
                    black_box(found.len())
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = builds, searches
}
criterion_main!(benches);
