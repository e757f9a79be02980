//! pgvector's access method `ivfflat`, as a database that was pgvector's still has it: its indexes can be dropped, and
//! nothing else. Queries read the table, since there is no scan to plan; whatever would change an index is an error.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use pgrx::{pg_guard, pg_sys};

use super::new_routine;
use crate::error;
use crate::pg::Relation;

/// Describes an access method that refuses.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn handler(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    let routine = new_routine();
    // Of distance, norm and type, each for rows and for centers.
    routine.amsupport = 5;
    routine.amcanorderbyop = true;
    routine.amoptionalkey = true;
    routine.ambuild = Some(ambuild);
    routine.ambuildempty = Some(ambuildempty);
    routine.aminsert = Some(aminsert);
    routine.ambulkdelete = Some(ambulkdelete);
    routine.amvacuumcleanup = Some(amvacuumcleanup);
    routine.amcostestimate = Some(amcostestimate);
    routine.amoptions = Some(amoptions);
    routine.amvalidate = Some(super::validate::amvalidate);
    pg_sys::Datum::from(std::ptr::from_mut(routine))
}

/// # Safety
/// `index` is an open relation.
unsafe fn refuse(index: pg_sys::Relation) -> ! {
    // SAFETY: the caller's promise.
    error::ivfflat_not_supported(&unsafe { Relation::new(index) }.name())
}

#[pg_guard]
unsafe extern "C-unwind" fn ambuild(
    _table: pg_sys::Relation,
    index: pg_sys::Relation,
    _info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: Postgres passes the open index, here and below.
    unsafe { refuse(index) }
}

#[pg_guard]
unsafe extern "C-unwind" fn ambuildempty(index: pg_sys::Relation) {
    // SAFETY: as above.
    unsafe { refuse(index) }
}

#[pg_guard]
#[expect(clippy::too_many_arguments, reason = "Postgres' signature")]
unsafe extern "C-unwind" fn aminsert(
    index: pg_sys::Relation,
    _values: *mut pg_sys::Datum,
    _isnull: *mut bool,
    _heap_tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: as above.
    unsafe { refuse(index) }
}

#[pg_guard]
unsafe extern "C-unwind" fn ambulkdelete(
    info: *mut pg_sys::IndexVacuumInfo,
    _stats: *mut pg_sys::IndexBulkDeleteResult,
    _callback: pg_sys::IndexBulkDeleteCallback,
    _callback_state: *mut std::ffi::c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: as above.
    unsafe { refuse((*info).index) }
}

/// A vacuum that removes nothing has nothing to do.
#[pg_guard]
unsafe extern "C-unwind" fn amvacuumcleanup(
    _info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    stats
}

/// The planner asks before it looks whether there are scans at all.
#[pg_guard]
#[expect(clippy::too_many_arguments, reason = "Postgres' signature")]
unsafe extern "C-unwind" fn amcostestimate(
    _root: *mut pg_sys::PlannerInfo,
    _path: *mut pg_sys::IndexPath,
    _loop_count: f64,
    startup_cost: *mut pg_sys::Cost,
    total_cost: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: Postgres passes room for the results.
    unsafe {
        *startup_cost = f64::INFINITY;
        *total_cost = f64::INFINITY;
        *selectivity = 1.0;
        *correlation = 0.0;
        *pages = 0.0;
    }
}

/// Options of an index that cannot be used mean nothing.
#[pg_guard]
unsafe extern "C-unwind" fn amoptions(
    _options: pg_sys::Datum,
    _validate: bool,
) -> *mut pg_sys::bytea {
    std::ptr::null_mut()
}
