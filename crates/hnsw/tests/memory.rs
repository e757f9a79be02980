//! A build allocates no more memory than announced. (The only test of this binary: it counts all allocations.)
#![expect(unsafe_code, reason = "an allocator that counts")]

mod sets;

use hnsw::Params;
use hnsw::build::{Watch, bytes_of_group, leaves, leaves_bytes_needed, leaves_of_group};
use quantize::{CodeMetric, CodeSet, EncodedRow};
use sets::{Shape, in_pool, made_up};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(
            LIVE.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Fails if a build takes more memory than announced, or less than half.
fn takes_no_more_than(announced: usize, build: impl FnOnce()) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    build();
    let taken = PEAK.load(Relaxed) - before;
    assert!(taken <= announced, "{taken} bytes, {announced} announced");
    assert!(
        taken * 2 >= announced,
        "{taken} bytes, {announced} announced"
    );
}

#[test]
fn a_build_takes_no_more_memory_than_it_announces() {
    for (n, dimensions, m, ef_construction) in [
        (3_000, 16, 16, 64),
        (30_000, 64, 16, 64),
        (30_000, 16, 8, 128),
        (20_000, 16, 32, 200),
    ] {
        let floats = made_up(Shape::Clusters, n, dimensions, 7);
        let mut codes = CodeSet::new(dimensions, CodeMetric::L2);
        let mut row = EncodedRow::new();
        for i in 0..n as u32 {
            row.encode(floats.row(i));
            codes.push(&row);
        }
        let params = Params { m, ef_construction };
        in_pool(2, || {
            let announced = leaves_bytes_needed(n, dimensions, &params);
            takes_no_more_than(announced, || {
                let graph = leaves(&codes, &params, &Watch::default()).unwrap();
                assert_eq!(graph.len(), n);
            });
            let members: Vec<u32> = (0..n as u32).collect();
            let announced = bytes_of_group(n, dimensions, &params);
            takes_no_more_than(announced, || {
                let graph = leaves_of_group(&codes, &members, &params, &Watch::default()).unwrap();
                assert_eq!(graph.len(), n);
            });
        });
    }
}
