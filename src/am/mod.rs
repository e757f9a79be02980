//! The access methods as Postgres sees them: the handler, and a file per family of callbacks.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

mod build;
mod clauses;
mod cost;
mod demand;
mod insert;
mod ivfflat;
mod rivals;
mod scan;
mod threshold;
mod vacuum;
mod validate;

use pgrx::pg_sys;

use crate::keys;
use crate::opclass;
use crate::options;
use crate::pg::call::describe;
use crate::pg::creation::NewIndex;
use crate::pg::{access_method, boundary, compat};

pub(crate) use scan::explained;

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn hnswhandler_wrapper(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    static PLACE: access_method::Place = access_method::Place::new();
    boundary(|| {
        let routine = describe_method(opclass::SUPPORT_FUNCTIONS, true, amoptions);
        access_method::hand_over(routine, &PLACE)
    })
}

describe!("hnswhandler_wrapper");

unsafe extern "C-unwind" fn amoptions(
    options: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    boundary(|| {
        // SAFETY: Postgres passes the stored or the given options.
        unsafe { options::of_hnsw(options, validate) }
    })
}

/// Refuses an index of ours without a vector column, or with one without dimensions. Postgres keeps an index as it is if a column's type loses its
/// dimensions; later it could not be rebuilt by `REINDEX`, `TRUNCATE` or `VACUUM FULL`.
pub(crate) fn check_new_index(new: &NewIndex, ambuild: pg_sys::ambuild_function) {
    let ours: unsafe extern "C-unwind" fn(_, _, _) -> _ = build::ambuild;
    let is_ours = ambuild.is_some_and(|ambuild| std::ptr::fn_addr_eq(ambuild, ours));
    if !is_ours {
        return;
    }
    let column = keys::check(new);
    // A type without modifiers is not ours: `ambuild` raises the ERROR for it.
    if new.relation.column_has_modifiers(column) {
        build::check_dimensions(new.relation, column);
    }
}

/// Parses the options of an index.
type ParseOptions = unsafe extern "C-unwind" fn(pg_sys::Datum, bool) -> *mut pg_sys::bytea;

/// Describes an access method to Postgres: the IndexAmRoutine, field by field. Both access methods share their callbacks; they
/// differ in the number of support functions of their operator classes, in the options of `WITH (...)`, and in key columns.
fn describe_method(
    support_functions: u16,
    has_keys: bool,
    amoptions: ParseOptions,
) -> pg_sys::IndexAmRoutine {
    let mut routine = access_method::new_routine();
    routine.amstrategies = 0;
    routine.amsupport = support_functions;
    routine.amoptsprocnum = 0;
    routine.amcanorder = false;
    routine.amcanorderbyop = true;
    routine.amcanbackward = false;
    routine.amcanunique = false;
    routine.amcanmulticol = has_keys;
    routine.amoptionalkey = true;
    routine.amsearcharray = has_keys;
    routine.amsearchnulls = has_keys;
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
    compat::describe_newer(&mut routine);
    routine
}
