//! A search estimates thousands of distances: none of them may allocate.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use distance::BitDistance;
use quantize::{CodeBits, CodeMetric, Codec, Value};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it is the system's allocator, but for a count.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn measure_without_allocation(codec: &Codec, value: &Value) {
    let mut code = vec![0; codec.code_len()];
    codec.encode_value(value, &mut code);
    let queries = [codec.query_value(value), codec.query_from_code(&code)];
    let before = ALLOCATIONS.get();
    let sum: f32 = queries
        .iter()
        .map(|query| query.distance(&code) + query.estimate(&code).1)
        .sum();
    assert_eq!(ALLOCATIONS.get(), before, "{codec:?}");
    assert!(sum.is_finite());
}

#[test]
fn distances_allocate_nothing() {
    let vector: Vec<f32> = (0..384).map(|i| (i % 7) as f32).collect();
    for metric in [CodeMetric::L2, CodeMetric::InnerProduct, CodeMetric::L1] {
        for bits in [
            CodeBits::Exact,
            CodeBits::B8,
            CodeBits::B4,
            CodeBits::B2,
            CodeBits::B1,
        ] {
            let codec = Codec::new(384, bits, metric, 1, None);
            measure_without_allocation(&codec, &Value::Dense(vector.clone()));
        }
        let elements = Value::Sparse {
            indices: (0..384).map(|i| 7 * i).collect(),
            values: vector.iter().map(|x| x + 1.0).collect(),
        };
        measure_without_allocation(&Codec::of_sparse(3000, metric, 1024), &elements);
    }
    for (metric, room) in BitDistance::ALL.into_iter().zip([100, 20]) {
        let codec = Codec::of_bits(384, metric, room);
        measure_without_allocation(&codec, &Value::Bits(vec![0x5A; 48]));
    }
    assert!(ALLOCATIONS.get() > 0, "the count counts");
}
