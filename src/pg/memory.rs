//! The allocator of this library: the system's, with a reserve.
//!
//! Allocations that grow with rows or settings use `try_reserve` and turn a failure into an error. Small ones do not check; a
//! failure there aborts the process, and Postgres restarts the server. The reserve prevents that: when the system has no more
//! memory, the reserve is freed, the allocation succeeds, and the statement fails at the next interrupt check.
//!
//! The reserve is never touched, so it costs no memory, only address space, which counts as committed under
//! `vm.overcommit_memory = 2`. Therefore a session starts with a small one, and keeps a large one from its first build,
//! vacuum or check on.
#![expect(unsafe_code, reason = "implements an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use pgrx::{PgLogLevel, PgSqlErrorCode, ereport};

/// The size of the reserve: the memory an operation may allocate without checking for failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// 4 MB, for functions of types, searches and inserts. Their allocations above half of it are all checked by their
    /// callers: values have at most 16,000 elements or 64,000 bits, and what grows with a search uses `try_reserve`. Only the
    /// message of an ERROR of Postgres may be longer.
    Small,
    /// 32 MB, for builds with all their threads, vacuums and checks.
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

/// True for an allocation of more than half the reserve: it does not use the reserve, because its caller checks for failure.
fn is_checked(size: usize) -> bool {
    size > held().layout().size() / 2
}

/// The number and length of waits for memory, once the reserve is used up. Threads of a build wait here while their
/// statement fails and frees its memory.
const TRIES: usize = 250;
const PATIENCE: Duration = Duration::from_millis(2);

/// The reserve, or null. The lowest bit of the address, zero by its alignment, is set for a large one: whoever takes it knows
/// its size, whatever another thread does.
static RESERVED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// True if the reserve is large, or was large before it was freed.
static IS_LARGE: AtomicBool = AtomicBool::new(false);
const IS_LARGE_BIT: usize = 1;
static RESERVE_IS_USED: AtomicBool = AtomicBool::new(false);

struct WithReserve;

#[global_allocator]
static ALLOCATOR: WithReserve = WithReserve;

// SAFETY: the system's allocator does the work, and its guarantees hold for the result.
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
    free(RESERVED.swap(ptr::null_mut(), Ordering::AcqRel));
}

/// Frees what was taken from `RESERVED`.
fn free(reserved: *mut u8) {
    let size = if reserved.addr() & IS_LARGE_BIT == 0 {
        Reserve::Small
    } else {
        Reserve::Large
    };
    let block = reserved.map_addr(|address| address & !IS_LARGE_BIT);
    if !block.is_null() {
        // SAFETY: allocated with this layout, and nothing else refers to the block.
        unsafe { System.dealloc(block, size.layout()) };
    }
}

fn held() -> Reserve {
    if IS_LARGE.load(Ordering::Relaxed) {
        Reserve::Large
    } else {
        Reserve::Small
    }
}

/// Allocates the reserve unless one of at least this size is held; raises an ERROR if it cannot. Called by the main thread
/// when the library is loaded and at the start of every operation; with `Large`, while no other thread runs.
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
    free(RESERVED.swap(ptr::null_mut(), Ordering::AcqRel));
    let is_large = wanted == Reserve::Large;
    IS_LARGE.store(is_large, Ordering::Relaxed);
    RESERVE_IS_USED.store(false, Ordering::Relaxed);
    let tag = if is_large { IS_LARGE_BIT } else { 0 };
    RESERVED.store(block.map_addr(|address| address | tag), Ordering::Release);
}

/// True if the system can allocate this many bytes now, beside the reserve.
pub(crate) fn can_allocate(bytes: usize) -> bool {
    let Ok(layout) = Layout::from_size_align(bytes.max(1), 1) else {
        return false;
    };
    // A `Vec` would release the reserve. `black_box` stops the optimizer, which may assume success and remove the allocation of
    // an unused block.
    // SAFETY: the layout is of a size above zero.
    let block = std::hint::black_box(unsafe { System.alloc(layout) });
    if !block.is_null() {
        // SAFETY: allocated above with this layout.
        unsafe { System.dealloc(block, layout) };
    }
    !block.is_null()
}

/// True if the reserve was released for an allocation.
#[inline]
pub(crate) fn reserve_is_used() -> bool {
    RESERVE_IS_USED.load(Ordering::Relaxed)
}

/// Raises the ERROR for exhausted memory: the end of the statement frees its memory.
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
