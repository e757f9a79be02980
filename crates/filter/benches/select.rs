//! The pass over the entries of a page: nanoseconds a value by width and test.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use filter::{Entries, Filter, MAX_COLUMNS, Test, Widths};

/// The entries of a page with two columns of 4 bytes.
const ENTRIES: usize = 400;

fn tests(max: u64) -> [(&'static str, Test); 6] {
    let part = |part: u64| max / 1000 * part;
    [
        (
            "equal",
            Test::Range {
                lo: part(7),
                hi: part(7),
            },
        ),
        (
            "range",
            Test::Range {
                lo: part(3),
                hi: part(13),
            },
        ),
        (
            "half",
            Test::Range {
                lo: 0,
                hi: part(500),
            },
        ),
        (
            "among 5",
            Test::Among((0..5).map(|i| part(100 * i + 1)).collect()),
        ),
        (
            "among 100",
            Test::Among((0..100).map(|i| part(10 * i + 1)).collect()),
        ),
        ("all", Test::All(0x81)),
    ]
}

fn select(criterion: &mut Criterion) {
    for width in [1_u8, 2, 4, 8] {
        let mut group = criterion.benchmark_group(format!("{width} bytes"));
        group.throughput(Throughput::Elements(ENTRIES as u64));
        let widths = Widths::new(&[width]).expect("a valid width");
        let max = widths.max_image(0);
        let images: Vec<u8> = (0..ENTRIES as u64)
            .flat_map(|i| {
                let image = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & max;
                image.to_le_bytes().into_iter().take(width.into())
            })
            .collect();
        let mut arrays: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        arrays[0] = &images;
        let entries = Entries {
            used: &[1; ENTRIES],
            nulls: &[0; ENTRIES],
            images: arrays,
        };
        for (name, test) in tests(max) {
            let filter = Filter::new(widths).and(0, test);
            let mut found = Vec::with_capacity(ENTRIES);
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    found.clear();
                    filter.select(black_box(&entries), &mut found);
                    found.len()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, select);
criterion_main!(benches);
