//! Nanoseconds per distance, for each distance function and CPU level of this machine.
//!
//! Computes the distance of two thousand vectors in memory to one query, as a scan of a table does.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use distance::{BitDistance, Cpu, Kernel, Kind, VectorDistance, bit_kernel, bytes_of, f16, kernel};

const VECTORS: usize = 2_000;

fn kernels(criterion: &mut Criterion) {
    for dimensions in [128, 384, 768, 1536] {
        let values: Vec<f32> = (0..VECTORS * dimensions)
            .map(|i| ((i * 7919) % 1009) as f32 / 1009.0)
            .collect();
        let halves: Vec<f16> = values.iter().map(|x| f16::from_f32(*x)).collect();
        for function in VectorDistance::ALL {
            let dense = |kind| move |cpu| kernel(kind, function, cpu);
            let name = format!("{function:?}");
            scan(
                criterion,
                &name,
                dimensions,
                bytes_of(&values),
                dense(Kind::F32),
            );
            let name = format!("{function:?}/halves");
            scan(
                criterion,
                &name,
                dimensions,
                bytes_of(&halves),
                dense(Kind::F16),
            );
        }
        let bits = &bytes_of(&values)[..VECTORS * dimensions / 8];
        for function in BitDistance::ALL {
            let name = format!("{function:?}");
            scan(criterion, &name, dimensions, bits, |cpu| {
                bit_kernel(function, cpu)
            });
        }
    }
}

/// Times the distances of all rows to the first, on every CPU level.
fn scan(
    criterion: &mut Criterion,
    name: &str,
    dimensions: usize,
    rows: &[u8],
    kernel: impl Fn(Cpu) -> Kernel,
) {
    let len = rows.len() / VECTORS;
    let query = rows[..len].to_vec();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(VECTORS as u64));
    for cpu in Cpu::available() {
        let kernel = kernel(cpu);
        group.bench_function(BenchmarkId::new(cpu.name(), dimensions), |bencher| {
            bencher.iter(|| {
                rows.chunks_exact(len)
                    .map(|row| (kernel.one)(black_box(&query), row))
                    .sum::<f64>()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kernels
}
criterion_main!(benches);
