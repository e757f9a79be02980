//! A callback for new indexes: created, or kept without a rebuild by a change of their column's type.
#![expect(unsafe_code, reason = "registers a hook with Postgres")]

use std::cell::Cell;
use std::ffi::c_void;

use pgrx::pg_sys;

use super::{Relation, boundary};

/// Checks a new index, given its access method's `ambuild`. Raises an ERROR to refuse the index.
pub(crate) type Check = fn(Relation, pg_sys::ambuild_function);

thread_local! {
    static CHECK: Cell<Option<Check>> = const { Cell::new(None) };
    static NEXT: Cell<pg_sys::object_access_hook_type> = const { Cell::new(None) };
}

/// Registers `check`: Postgres calls it for every index, of any access method, as soon as the catalogs hold the index.
pub(crate) fn on_new_index(check: Check) {
    // Postgres calls _PG_init again after an error: set the hook only once.
    if CHECK.replace(Some(check)).is_none() {
        // SAFETY: called from _PG_init; the hook is a global of this backend.
        unsafe { NEXT.set((&raw mut pg_sys::object_access_hook).replace(Some(object_access))) }
    }
}

unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub_object: i32,
    argument: *mut c_void,
) {
    boundary(|| {
        // SAFETY: the arguments are passed on unchanged.
        unsafe {
            if let Some(next) = NEXT.get() {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    next(access, class, object, sub_object, argument);
                });
            }
            if access == pg_sys::ObjectAccessType::OAT_POST_CREATE
                && class == pg_sys::RelationRelationId
                && sub_object == 0
            {
                check_relation(object);
            }
        }
    });
}

/// # Safety
/// The relation has just been created: it is in the relation cache.
unsafe fn check_relation(oid: pg_sys::Oid) {
    // SAFETY: the caller's promise.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(oid);
        if relation.is_null() {
            return;
        }
        if (*(*relation).rd_rel).relkind.cast_unsigned() == pg_sys::RELKIND_INDEX {
            let routine = pg_sys::GetIndexAmRoutineByAmId((*(*relation).rd_rel).relam, true);
            if let (Some(routine), Some(check)) = (routine.as_ref(), CHECK.get()) {
                check(Relation::new(relation), routine.ambuild);
            }
        }
        pg_sys::RelationClose(relation);
    }
}
