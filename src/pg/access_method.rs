//! The description of an access method.
#![expect(unsafe_code, reason = "allocates a node")]

use pgrx::pg_sys;

/// Allocates an empty description in the memory context of the call.
pub(crate) fn new_routine() -> &'static mut pg_sys::IndexAmRoutine {
    // SAFETY: a node of this type is all zeroes but for its tag. Postgres keeps what a handler returns.
    unsafe {
        let node =
            pg_sys::palloc0(size_of::<pg_sys::IndexAmRoutine>()).cast::<pg_sys::IndexAmRoutine>();
        (*node).type_ = pg_sys::NodeTag::T_IndexAmRoutine;
        &mut *node
    }
}
