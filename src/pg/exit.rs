//! A callback before the process ends. A FATAL error ends it without unwinding.
#![expect(unsafe_code, reason = "registers a callback with Postgres")]

use std::cell::Cell;

use pgrx::pg_sys;

thread_local! {
    static CALLBACK: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Registers `callback`: Postgres calls it before the process ends, for any reason. The same function may be registered repeatedly.
pub(crate) fn before_exit(callback: fn()) {
    if CALLBACK.replace(Some(callback)).is_none() {
        // SAFETY: registered once in the life of the process.
        unsafe { pg_sys::before_shmem_exit(Some(exiting), pg_sys::Datum::from(0)) }
    }
}

unsafe extern "C-unwind" fn exiting(_code: i32, _argument: pg_sys::Datum) {
    if let Some(callback) = CALLBACK.get() {
        callback();
    }
}
