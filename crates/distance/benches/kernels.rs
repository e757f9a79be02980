//! Nanoseconds per distance, for each metric and CPU level of this machine.
//!
//! Two thousand vectors in memory are measured against one query, as a scan of a table would do.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use distance::{Cpu, Kind, Metric, kernel};

const VECTORS: usize = 2_000;

fn kernels(criterion: &mut Criterion) {
    for dimensions in [128, 384, 768, 1536] {
        let values: Vec<f32> = (0..VECTORS * dimensions)
            .map(|i| ((i * 7919) % 1009) as f32 / 1009.0)
            .collect();
        let query = values[..dimensions].to_vec();
        for metric in Metric::ALL {
            let mut group = criterion.benchmark_group(format!("{metric:?}"));
            group.throughput(Throughput::Elements(VECTORS as u64));
            for cpu in Cpu::available() {
                let kernel = kernel(Kind::F32, metric, cpu);
                group.bench_function(BenchmarkId::new(cpu.name(), dimensions), |bencher| {
                    bencher.iter(|| {
                        values
                            .chunks_exact(dimensions)
                            .map(|row| kernel.between(black_box(&query), row))
                            .sum::<f64>()
                    });
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kernels
}
criterion_main!(benches);
