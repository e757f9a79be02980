//! Reports progress under `pg_stat_progress_create_index`.
#![expect(unsafe_code, reason = "writes Postgres' progress counters")]

use pgrx::pg_sys;

/// A counter of `pg_stat_progress_create_index`.
#[derive(Clone, Copy)]
pub(crate) enum Counter {
    /// Phase of the access method; `ambuildphasename` names it.
    Phase,
    TuplesTotal,
    TuplesDone,
    BlocksTotal,
    BlocksDone,
}

/// Sets a counter of this backend.
pub(crate) fn set(counter: Counter, value: u64) {
    let index = match counter {
        Counter::Phase => pg_sys::PROGRESS_CREATEIDX_SUBPHASE,
        Counter::TuplesTotal => pg_sys::PROGRESS_CREATEIDX_TUPLES_TOTAL,
        Counter::TuplesDone => pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE,
        Counter::BlocksTotal => pg_sys::PROGRESS_SCAN_BLOCKS_TOTAL,
        Counter::BlocksDone => pg_sys::PROGRESS_SCAN_BLOCKS_DONE,
    };
    // SAFETY: writes this backend's own status entry.
    unsafe { pg_sys::pgstat_progress_update_param(index.cast_signed(), value.cast_signed()) }
}
