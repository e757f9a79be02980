//! The conditions that an index scan is given: those Postgres has found, less those the index cannot serve.
#![expect(unsafe_code, reason = "reads and changes the planner's structures")]

use std::ptr::null_mut;

use pgrx::pg_sys;

use crate::pg::node;

/// Leaves conditions on the vector column to the filter, unless they are of an operator: rows without a vector are not in the
/// index, and it has no use for lists of distances.
///
/// # Safety
/// The planner is costing this path.
pub(super) unsafe fn keep_served(path: *mut pg_sys::IndexPath) {
    // SAFETY: the caller's promise. Other paths may have the same list, so it is not changed.
    unsafe {
        let Some(vector) = node::integers((*path).indexorderbycols).next() else {
            return;
        };
        let is_served = |clause: &*mut pg_sys::IndexClause| {
            i32::from((**clause).indexcol) != vector
                || node::operator((*(**clause).rinfo).clause.cast()).is_some()
                || (**clause).lossy
        };
        let given = (*path).indexclauses;
        if !node::items(given).all(|clause| is_served(&clause)) {
            (*path).indexclauses = node::items(given)
                .filter(is_served)
                .fold(null_mut(), |list, clause| {
                    pg_sys::lappend(list, clause.cast())
                });
        }
    }
}

/// The conditions on key columns, in a list of their own.
///
/// # Safety
/// The planner is costing this path.
pub(super) unsafe fn on_keys(path: *const pg_sys::IndexPath) -> *mut pg_sys::List {
    // SAFETY: the caller's promise.
    unsafe {
        let vector = node::integers((*path).indexorderbycols).next();
        node::items::<pg_sys::IndexClause>((*path).indexclauses)
            .filter(|clause| Some(i32::from((**clause).indexcol)) != vector)
            .fold(null_mut(), |list, clause| {
                pg_sys::lappend(list, clause.cast())
            })
    }
}
