//! Signals, which only Postgres' own thread may get.
#![expect(unsafe_code, reason = "changes the thread's signal mask")]

use std::mem::MaybeUninit;

/// Runs `start`, which creates threads, with all signals blocked: threads inherit the mask. The old mask comes back
/// exactly as it was.
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
