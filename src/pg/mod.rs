//! Safe wrappers for the few Postgres calls in use.

pub(crate) mod access_method;
pub(crate) mod array;
pub(crate) mod boundary;
pub(crate) mod call;
pub(crate) mod compat;
pub(crate) mod creation;
pub(crate) mod exit;
pub(crate) mod explain;
pub(crate) mod interrupt;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod node;
pub(crate) mod number;
pub(crate) mod open;
pub(crate) mod output;
pub(crate) mod parallel;
pub(crate) mod privilege;
pub(crate) mod progress;
pub(crate) mod query;
mod races;
pub(crate) mod relation;
pub(crate) mod relcache;
pub(crate) mod row;
pub(crate) mod scalar;
pub(crate) mod setting;
pub(crate) mod signal;
pub(crate) mod snapshot;
pub(crate) mod soft;
pub(crate) mod strategy;
pub(crate) mod subtransaction;
pub(crate) mod temp_file;
pub(crate) mod text;
pub(crate) mod unlocked_read;
pub(crate) mod varlena;

pub(crate) use boundary::boundary;
pub(crate) use relation::Relation;

/// Makes unknown settings under a prefix an error (`MarkGUCPrefixReserved`).
#[expect(unsafe_code, reason = "calls Postgres")]
pub(crate) fn reserve_setting_prefix(prefix: &'static std::ffi::CStr) {
    // SAFETY: a null-terminated name that lives forever.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
}

/// True if a function was called to advance an aggregate; nothing else reads the aggregate's state.
#[expect(unsafe_code, reason = "calls Postgres")]
pub(crate) fn is_aggregate_call(call: pgrx::pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: the call is running; a null pointer requests no memory context.
    unsafe { pgrx::pg_sys::AggCheckCallContext(call, std::ptr::null_mut()) != 0 }
}

/// True if a function was called to advance an aggregate outside a window. In a window, results returned earlier are states,
/// too, and must not change.
#[expect(unsafe_code, reason = "calls Postgres")]
pub(crate) fn is_state_of_aggregate(call: pgrx::pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: as above.
    let context = unsafe { pgrx::pg_sys::AggCheckCallContext(call, std::ptr::null_mut()) };
    context == pgrx::pg_sys::AGG_CONTEXT_AGGREGATE.cast_signed()
}
