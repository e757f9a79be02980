//! The allocator of this library: the system's, with a reserve.
//!
//! Allocations that grow with rows or settings use `try_reserve` and turn a failure into an error. Small ones do not check; a
//! failure there aborts the process, and Postgres restarts the server. The reserve prevents that: when the system has no more
//! memory, the reserve is freed, the allocation succeeds, and the statement fails at the next interrupt check.
//!
//! The reserve is never touched, so it costs no memory, only address space, which counts as committed under
//! `vm.overcommit_memory = 2`. Therefore a session starts with a small one, and keeps a large one from its first build, vacuum or
//! check on.
#![expect(unsafe_code, reason = "implements an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use pgrx::{PgLogLevel, PgSqlErrorCode, ereport};

/// How much an operation may allocate without checking.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// Functions of types, searches and inserts.
    Small,
    /// Builds with all their threads, vacuums, checks.
    Large,
}

impl Reserve {
    const fn layout(self) -> Layout {
        let size = match self {
            Self::Small => 4 << 20,
            Self::Large => 32 << 20,
        };
        match Layout::from_size_align(size, 4096) {
            Ok(layout) => layout,
            Err(_) => panic!("the alignment is a power of two"),
        }
    }
}

/// Larger allocations do not use the reserve: their callers check for failure.
fn is_checked(size: usize) -> bool {
    size > held().layout().size() / 2
}

/// How often, and how long each time, somebody waits for others to give memory back. Threads of a build do: their statement
/// ends meanwhile.
const TRIES: usize = 250;
const PATIENCE: Duration = Duration::from_millis(2);

static RESERVED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// Whether the reserve is, or was last, a large one.
static IS_LARGE: AtomicBool = AtomicBool::new(false);
static RESERVE_IS_USED: AtomicBool = AtomicBool::new(false);

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
    if block.is_null() && !is_checked(size) {
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
    RESERVE_IS_USED.store(true, Ordering::Relaxed);
    let block = RESERVED.swap(ptr::null_mut(), Ordering::AcqRel);
    if !block.is_null() {
        // SAFETY: allocated with this layout, and nobody else has the pointer any more.
        unsafe { System.dealloc(block, held().layout()) };
    }
}

fn held() -> Reserve {
    if IS_LARGE.load(Ordering::Relaxed) {
        Reserve::Large
    } else {
        Reserve::Small
    }
}

/// Allocates the reserve unless it is there: when the library is loaded, and at the start of every operation, which fails without
/// it. Called by the main thread; a large one while no other thread runs.
pub(crate) fn reserve(wanted: Reserve) {
    let is_enough = wanted == Reserve::Small || held() == Reserve::Large;
    if is_enough && !RESERVED.load(Ordering::Acquire).is_null() {
        return;
    }
    // SAFETY: the layout is of a size above zero.
    let block = unsafe { System.alloc(wanted.layout()) };
    if block.is_null() {
        fail();
    }
    let old = RESERVED.swap(ptr::null_mut(), Ordering::AcqRel);
    if !old.is_null() {
        // SAFETY: allocated with the layout of the reserve held so far.
        unsafe { System.dealloc(old, held().layout()) };
    }
    IS_LARGE.store(wanted == Reserve::Large, Ordering::Relaxed);
    RESERVE_IS_USED.store(false, Ordering::Relaxed);
    RESERVED.store(block, Ordering::Release);
}

/// Whether the system would give so many bytes now, besides what is put by.
pub(crate) fn can_allocate(bytes: usize) -> bool {
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
pub(crate) fn reserve_is_used() -> bool {
    RESERVE_IS_USED.load(Ordering::Relaxed)
}

/// Ends the statement, which gives its memory back.
#[cold]
pub(crate) fn fail() {
    RESERVE_IS_USED.store(false, Ordering::Relaxed);
    ereport!(
        PgLogLevel::ERROR,
        PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        "out of memory",
        "The system gave no more of it."
    );
}
