//! What Postgres asks of an access method: the handler, and a file per family of callbacks.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

mod build;
mod cost;
mod insert;
mod ivfflat;
mod last_scan;
pub(crate) mod opclass;
pub(crate) mod options;
mod pgvector;
mod scan;
mod vacuum;
mod validate;

use pgrx::{pg_guard, pg_sys};

use crate::pg::compat;

/// Describes the access method to Postgres: the IndexAmRoutine, field by field.
#[pg_guard]
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn hnswhandler_wrapper(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    let routine = new_routine();
    routine.amstrategies = 0;
    routine.amsupport = opclass::SUPPORT_FUNCTIONS;
    routine.amoptsprocnum = 0;
    routine.amcanorder = false;
    routine.amcanorderbyop = true;
    routine.amcanbackward = false;
    routine.amcanunique = false;
    routine.amcanmulticol = false;
    routine.amoptionalkey = true;
    routine.amsearcharray = false;
    routine.amsearchnulls = false;
    routine.amstorage = false;
    routine.amclusterable = false;
    routine.ampredlocks = false;
    routine.amcanparallel = false;
    routine.amcaninclude = false;
    routine.amusemaintenanceworkmem = false;
    routine.amparallelvacuumoptions =
        u8::try_from(pg_sys::VACUUM_OPTION_PARALLEL_BULKDEL).expect("a flag of one byte");
    routine.amkeytype = pg_sys::InvalidOid;
    routine.ambuild = Some(build::ambuild);
    routine.ambuildempty = Some(build::ambuildempty);
    routine.ambuildphasename = Some(build::ambuildphasename);
    routine.aminsert = Some(insert::aminsert);
    routine.ambulkdelete = Some(vacuum::ambulkdelete);
    routine.amvacuumcleanup = Some(vacuum::amvacuumcleanup);
    routine.amcostestimate = Some(cost::amcostestimate);
    routine.amoptions = Some(amoptions);
    routine.amvalidate = Some(validate::amvalidate);
    routine.ambeginscan = Some(scan::ambeginscan);
    routine.amrescan = Some(scan::amrescan);
    routine.amgettuple = Some(scan::amgettuple);
    routine.amendscan = Some(scan::amendscan);
    compat::describe_newer(routine);
    pg_sys::Datum::from(std::ptr::from_mut(routine))
}

/// A description that says nothing yet, in the memory context of the call.
fn new_routine() -> &'static mut pg_sys::IndexAmRoutine {
    // SAFETY: a node of this type is all zeroes but for its tag. Postgres keeps what a handler returns.
    unsafe {
        let node =
            pg_sys::palloc0(size_of::<pg_sys::IndexAmRoutine>()).cast::<pg_sys::IndexAmRoutine>();
        (*node).type_ = pg_sys::NodeTag::T_IndexAmRoutine;
        &mut *node
    }
}

/// The calling convention of `hnswhandler_wrapper`, which Postgres looks for beside the function.
#[unsafe(no_mangle)]
extern "C" fn pg_finfo_hnswhandler_wrapper() -> &'static pg_sys::Pg_finfo_record {
    static VERSION_1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &VERSION_1
}

#[pg_guard]
unsafe extern "C-unwind" fn amoptions(
    options: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    // SAFETY: Postgres passes the stored or the given options.
    unsafe { options::parse(options, validate) }
}
