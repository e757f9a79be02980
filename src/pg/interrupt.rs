//! Checks for cancel and terminate requests, and for exhausted memory.
#![expect(unsafe_code, reason = "reads Postgres' interrupt flags")]

use pgrx::pg_sys;

use super::memory;

/// True if an interrupt of this backend is pending; cheap enough for the hottest loop.
#[inline]
pub(crate) fn pending() -> bool {
    // SAFETY: a flag that signal handlers set; read as C code does.
    unsafe { (&raw const pg_sys::InterruptPending).read_volatile() != 0 }
}

/// `CHECK_FOR_INTERRUPTS()`: raises an ERROR if the query was cancelled or memory has run out.
#[inline]
pub(crate) fn check() {
    if memory::reserve_is_used() {
        memory::fail();
    }
    if pending() {
        // SAFETY: called in the main thread; with a content lock held it returns at once.
        unsafe { pg_sys::ProcessInterrupts() }
    }
}
