//! Keeps signals away from all threads but Postgres' own.
#![expect(unsafe_code, reason = "changes the thread's signal mask")]

use std::mem::MaybeUninit;

/// Runs `start` with all signals blocked: the threads created by it inherit the mask. Restores the old mask afterwards.
pub(crate) fn with_all_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut old = MaybeUninit::uninit();
    // SAFETY: both sets are written before they are read, and the calls cannot fail with these arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
    }
    let result = start();
    // SAFETY: `old` was filled above.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut());
    }
    result
}
