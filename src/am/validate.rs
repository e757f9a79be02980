//! Validates operator classes.

use pgrx::pg_sys;

/// Returns true always: a class without a distance function is an ERROR when an index is made with it.
pub(super) unsafe extern "C-unwind" fn amvalidate(_opclass: pg_sys::Oid) -> bool {
    true
}
