//! Memory that Rust allocates: the system's, with some put by for bad times.
//!
//! What grows with rows asks before it takes (`try_reserve`), and makes an error of a no. All the rest, a little here and
//! there, does not ask; where there is none Rust ends the process, and Postgres the whole server. So there is a reserve: it is
//! given back to the system when that has no more, and the statement ends with an error at the next opportunity.
#![expect(unsafe_code, reason = "implements an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use pgrx::{PgLogLevel, PgSqlErrorCode, ereport};

/// Bytes put by. They are never touched, so that they cost no memory but only the promise of it.
const RESERVE: Layout = match Layout::from_size_align(32 << 20, 4096) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// Whoever wants more than this can bear a no.
const SMALL: usize = 16 << 20;

/// How often, and how long each time, somebody waits for others to give memory back. Threads of a build do: their statement
/// ends meanwhile.
const TRIES: usize = 250;
const PATIENCE: Duration = Duration::from_millis(2);

static PUT_BY: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static IS_SHORT: AtomicBool = AtomicBool::new(false);

struct WithReserve;

#[global_allocator]
static ALLOCATOR: WithReserve = WithReserve;

// SAFETY: the system's allocator does the work; its promises are passed on.
unsafe impl GlobalAlloc for WithReserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        or_from_reserve(layout.size(), || unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        or_from_reserve(layout.size(), || unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; a block that could not be moved is as it was.
        or_from_reserve(size, || unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

#[inline]
fn or_from_reserve(size: usize, allocate: impl Fn() -> *mut u8) -> *mut u8 {
    let block = allocate();
    if block.is_null() && size <= SMALL {
        return after_giving_back(allocate);
    }
    block
}

#[cold]
fn after_giving_back(allocate: impl Fn() -> *mut u8) -> *mut u8 {
    give_back();
    for _ in 0..TRIES {
        let block = allocate();
        if !block.is_null() {
            return block;
        }
        std::thread::sleep(PATIENCE);
    }
    ptr::null_mut()
}

fn give_back() {
    IS_SHORT.store(true, Ordering::Relaxed);
    let block = PUT_BY.swap(ptr::null_mut(), Ordering::AcqRel);
    if !block.is_null() {
        // SAFETY: allocated with this layout, and nobody else has the pointer any more.
        unsafe { System.dealloc(block, RESERVE) };
    }
}

/// Puts memory by, if that is not so already: when the library is loaded, and at the beginning of every operation, which without
/// it does not begin. In the main thread.
pub(crate) fn put_by() {
    if !PUT_BY.load(Ordering::Acquire).is_null() {
        return;
    }
    // SAFETY: the layout is of a size above zero.
    let block = unsafe { System.alloc(RESERVE) };
    if block.is_null() {
        fail();
    }
    IS_SHORT.store(false, Ordering::Relaxed);
    PUT_BY.store(block, Ordering::Release);
}

/// Whether the system would give so many bytes now, besides what is put by.
pub(crate) fn is_there(bytes: usize) -> bool {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), 1) else {
        return false;
    };
    // Not asked through a `Vec`, for which the reserve would be given back. A block that nobody looks at is not allocated at
    // all by an optimizer that may believe in success.
    // SAFETY: the layout is of a size above zero.
    let block = std::hint::black_box(unsafe { System.alloc(layout) });
    if !block.is_null() {
        // SAFETY: allocated above with this layout.
        unsafe { System.dealloc(block, layout) };
    }
    !block.is_null()
}

/// Whether the reserve was needed.
#[inline]
pub(crate) fn is_short() -> bool {
    IS_SHORT.load(Ordering::Relaxed)
}

/// Ends the statement, which gives its memory back.
#[cold]
pub(crate) fn fail() {
    IS_SHORT.store(false, Ordering::Relaxed);
    ereport!(
        PgLogLevel::ERROR,
        PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        "out of memory",
        "The system gave no more of it."
    );
}
