//! Rows of the indexed table: a build reads all of them, a search single ones, an estimate some pages.
#![expect(unsafe_code, reason = "allocates in memory contexts")]

mod buffers;
mod chunks;
pub(crate) mod fetch;
pub(crate) mod next_row;
pub(crate) mod readers;
mod row_hints;
pub(crate) mod sample;
pub(crate) mod scan;
pub(crate) mod toast;

use pgrx::pg_sys;

/// Creates a memory context for the allocations of one row.
///
/// # Safety
/// Called in the main thread of a backend.
unsafe fn row_context() -> pg_sys::MemoryContext {
    // SAFETY: the parent is live, and the name lives forever.
    unsafe {
        pg_sys::AllocSetContextCreateInternal(
            pg_sys::CurrentMemoryContext,
            c"omendb row".as_ptr(),
            pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        )
    }
}
