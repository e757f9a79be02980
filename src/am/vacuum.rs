//! `ambulkdelete`, `amvacuumcleanup`: removal of dead rows.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use layout::HeapTid;
use pgrx::pg_sys;

use crate::opclass;
use crate::options;
use crate::pg::memory::{self, Reserve};
use crate::pg::row::item_pointer;
use crate::pg::strategy::Strategy;
use crate::pg::{Relation, boundary};
use crate::storage::vacuum::{self, Counts};
use crate::storage::{Index, calibrate};

pub(super) unsafe extern "C-unwind" fn ambulkdelete(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    callback: pg_sys::IndexBulkDeleteCallback,
    callback_state: *mut std::ffi::c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    boundary(|| {
        // SAFETY: Postgres passes an open index, a callback that is never null and a strategy that outlives the call.
        unsafe {
            let relation = Relation::new((*info).index);
            let callback = callback.expect("vacuum passes a callback");
            let is_dead = |tid: HeapTid| {
                let mut tid = item_pointer(tid);
                pg_sys::ffi::pg_guard_ffi_boundary(|| callback(&raw mut tid, callback_state))
            };
            memory::reserve(Reserve::Large);
            let counts = vacuum::remove_rows(
                &Index::open(relation, opclass::declared),
                options::params(relation).ef_construction,
                Strategy::new((*info).strategy),
                is_dead,
            );
            let stats = if stats.is_null() { new_stats() } else { stats };
            report(stats, relation, &counts);
            stats
        }
    })
}

pub(super) unsafe extern "C-unwind" fn amvacuumcleanup(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    boundary(|| {
        // SAFETY: Postgres passes an open index; stats are null if no row was removed.
        unsafe {
            if (*info).analyze_only {
                return stats;
            }
            let index = Relation::new((*info).index);
            let removed = stats.as_ref().map_or(0.0, |stats| stats.tuples_removed);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of rows"
            )]
            calibrate::after_vacuum(index, removed as u64, || {
                Index::open(index, opclass::declared)
            });
            if let Some(stats) = stats.as_mut() {
                stats.num_pages = index.blocks();
            }
            stats
        }
    })
}

/// # Safety
/// Called in the memory context in which vacuum wants its results.
unsafe fn new_stats() -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: a struct of numbers, zeroed.
    unsafe { pg_sys::palloc0(size_of::<pg_sys::IndexBulkDeleteResult>()).cast() }
}

/// # Safety
/// `stats` is valid.
unsafe fn report(stats: *mut pg_sys::IndexBulkDeleteResult, index: Relation, counts: &Counts) {
    #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
    // SAFETY: the caller's promise.
    unsafe {
        (*stats).num_pages = index.blocks();
        (*stats).estimated_count = false;
        (*stats).num_index_tuples = counts.rows_kept as f64;
        (*stats).tuples_removed += counts.rows_removed as f64;
    }
}
