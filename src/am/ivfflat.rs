//! The access method `ivfflat`, for statements and dumps written for pgvector: hnsw by another name. Its indexes are the same
//! graph, built with the default `m` and `ef_construction`, and of one column: pgvector's ivfflat has no second one, and
//! who writes new statements writes hnsw.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use pgrx::pg_sys;

use super::describe_method;
use crate::options;
use crate::pg::call::describe;
use crate::pg::{access_method, boundary};

/// Support functions of pgvector's operator classes: distance, norm, both again for the centers of lists, type. We read only
/// the first two; they have the same meaning for hnsw.
const SUPPORT_FUNCTIONS: u16 = 5;

#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn ivfflathandler_wrapper(
    _call: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    static PLACE: access_method::Place = access_method::Place::new();
    boundary(|| {
        let routine = describe_method(SUPPORT_FUNCTIONS, false, amoptions);
        access_method::hand_over(routine, &PLACE)
    })
}

describe!("ivfflathandler_wrapper");

unsafe extern "C-unwind" fn amoptions(
    options: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    boundary(|| {
        // SAFETY: Postgres passes the stored or the given options.
        unsafe { options::of_ivfflat(options, validate) }
    })
}
