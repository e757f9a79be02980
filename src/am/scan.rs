//! Callbacks of index scans: pass Postgres' scan keys to `crate::scan` and its rows back.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use filter::Filter;
use pgrx::{PgMemoryContexts, pg_sys};

use crate::error;
use crate::keys;
use crate::options;
use crate::pg::explain::Property;
use crate::pg::row::item_pointer;
use crate::pg::scalar::Condition;
use crate::pg::{Relation, boundary, compat, snapshot};
use crate::scan::{Scan, Start, last_scan};
use crate::table::fetch::RowFetcher;
use crate::types::indexed::Indexed;

pub(super) unsafe extern "C-unwind" fn ambeginscan(
    index: pg_sys::Relation,
    nkeys: i32,
    norderbys: i32,
) -> pg_sys::IndexScanDesc {
    boundary(|| {
        // SAFETY: Postgres passes an open index. The state lives in the scan's memory context and is dropped with it, so that
        // an error leaks nothing.
        unsafe {
            let scan = pg_sys::RelationGetIndexScan(index, nkeys, norderbys);
            let relation = Relation::new(index);
            let state = Opened {
                scan: Scan::new(relation, options::target_recall(relation)),
                context: pg_sys::CurrentMemoryContext,
                rechecks: false,
                finds_nothing: false,
            };
            (*scan).opaque = PgMemoryContexts::CurrentMemoryContext
                .leak_and_drop_on_delete(state)
                .cast();
            scan
        }
    })
}

pub(super) unsafe extern "C-unwind" fn amrescan(
    scan: pg_sys::IndexScanDesc,
    keys: pg_sys::ScanKey,
    _nkeys: i32,
    orderbys: pg_sys::ScanKey,
    _norderbys: i32,
) {
    boundary(|| {
        // SAFETY: the scan is ours; Postgres passes as many keys as the scan was begun with, or null for the same ones.
        unsafe {
            if !keys.is_null() && (*scan).numberOfKeys > 0 {
                std::ptr::copy(
                    keys,
                    (*scan).keyData,
                    (*scan).numberOfKeys.unsigned_abs() as usize,
                );
            }
            if !orderbys.is_null() && (*scan).numberOfOrderBys > 0 {
                std::ptr::copy(
                    orderbys,
                    (*scan).orderByData,
                    (*scan).numberOfOrderBys.unsigned_abs() as usize,
                );
            }
            let state = state(scan);
            state.finds_nothing = false;
            state.scan.cost().into_iter().for_each(last_scan::set);
            state.scan.restart();
        }
    });
}

pub(super) unsafe extern "C-unwind" fn amgettuple(
    scan: pg_sys::IndexScanDesc,
    _direction: pg_sys::ScanDirection::Type,
) -> bool {
    boundary(|| {
        // SAFETY: the scan is ours and its keys are set; heap and snapshot are set before the first row is asked for.
        unsafe {
            let state = state(scan);
            if !state.scan.has_begun() && !state.finds_nothing {
                state.begin(scan);
            }
            if state.finds_nothing {
                return false;
            }
            let row = state.scan.next();
            compat::check_snapshot_age((*scan).xs_snapshot, (*scan).indexRelation);
            let Some(tid) = row else {
                state.scan.release_rows();
                return false;
            };
            (*scan).xs_heaptid = item_pointer(tid);
            (*scan).xs_recheck = state.rechecks;
            (*scan).xs_recheckorderby = false;
            true
        }
    })
}

pub(super) unsafe extern "C-unwind" fn amendscan(scan: pg_sys::IndexScanDesc) {
    boundary(|| {
        // SAFETY: the scan is ours.
        let scan = &mut unsafe { state(scan) }.scan;
        scan.cost().into_iter().for_each(last_scan::set);
        scan.end();
    });
}

/// The work of a scan, for EXPLAIN; `None` for a scan of another access method, or one that did nothing.
///
/// # Safety
/// The scan is open.
pub(crate) unsafe fn explained(scan: pg_sys::IndexScanDesc) -> Option<Vec<Property>> {
    let ours: unsafe extern "C-unwind" fn(_, _) -> _ = amgettuple;
    // SAFETY: the caller's promise; the state is ours if the callback is.
    unsafe {
        let routine = (*(*scan).indexRelation).rd_indam;
        let is_ours = |next| std::ptr::fn_addr_eq(next, ours);
        (*routine).amgettuple.filter(|&next| is_ours(next))?;
        state(scan).scan.work().described()
    }
}

/// A scan, with the memory context of everything that lives as long as it.
struct Opened {
    scan: Scan,
    context: pg_sys::MemoryContext,
    /// True if the scan has conditions on key columns.
    rechecks: bool,
    /// True if no row can meet them.
    finds_nothing: bool,
}

impl Opened {
    /// Reads the query from the scan's keys.
    ///
    /// # Safety
    /// The scan is this one, and Postgres has set its keys, heap and snapshot.
    unsafe fn begin(&mut self, scan: pg_sys::IndexScanDesc) {
        // SAFETY: the caller's promise.
        unsafe {
            let index = Relation::new((*scan).indexRelation);
            if (*scan).numberOfOrderBys == 0 {
                error::scan_without_order(&index.access_method());
            }
            if !snapshot::is_mvcc((*scan).xs_snapshot) {
                error::non_mvcc_snapshot(&index.access_method());
            }
            compat::count_index_scan(scan);
            let key = &*(*scan).orderByData;
            let vector = key.sk_attno;
            self.rechecks = conditions(scan).iter().any(|key| key.sk_attno != vector);
            let widths = self.scan.key_widths().filter(|_| self.rechecks);
            let filter = widths.map(|widths| {
                let conditions = conditions(scan).iter().map(|key| Condition::new(key));
                keys::filter(index, widths, conditions)
            });
            self.finds_nothing = filter.as_ref().is_some_and(Filter::is_impossible);
            if self.finds_nothing {
                return;
            }
            let is_null = key.sk_flags & pg_sys::SK_ISNULL.cast_signed() != 0;
            let start = Start {
                query: (!is_null).then(|| Indexed::from_raw(self.scan.kind(), key.sk_argument)),
                threshold: threshold(conditions(scan), vector),
                filter,
                may_pass_over_dead: (*scan).ignore_killed_tuples,
                may_mark: !(*scan).xactStartedInRecovery,
            };
            let context = self.context;
            self.scan.begin(start, || open_rows(scan, index, context));
        }
    }
}

/// Opens the reader of the table's rows, in the memory context of the scan.
///
/// # Safety
/// The scan's heap and snapshot are set and outlive it.
unsafe fn open_rows(
    scan: pg_sys::IndexScanDesc,
    index: Relation,
    context: pg_sys::MemoryContext,
) -> RowFetcher {
    // SAFETY: the caller's promise; the memory context outlives the scan.
    unsafe {
        let outer = pg_sys::MemoryContextSwitchTo(context);
        let rows = RowFetcher::new(
            Relation::new((*scan).heapRelation),
            index,
            keys::vector_column(index),
            (*scan).xs_snapshot,
        );
        pg_sys::MemoryContextSwitchTo(outer);
        rows
    }
}

/// # Safety
/// The scan was begun by `ambeginscan`, and no other reference to its state is live.
unsafe fn state<'a>(scan: pg_sys::IndexScanDesc) -> &'a mut Opened {
    // SAFETY: the caller's promise.
    unsafe { &mut *(*scan).opaque.cast::<Opened>() }
}

/// The scan's conditions.
///
/// # Safety
/// The scan's keys are set and stay as they are.
unsafe fn conditions<'a>(scan: pg_sys::IndexScanDesc) -> &'a [pg_sys::ScanKeyData] {
    // SAFETY: the caller's promise. Without keys there is no array of them.
    unsafe {
        match (*scan).numberOfKeys.unsigned_abs() as usize {
            0 => &[],
            count => std::slice::from_raw_parts((*scan).keyData, count),
        }
    }
}

/// The least distance that the conditions on the vector column allow (`super::threshold`), plus a tolerance for rounding: the
/// filter decides. These conditions are all of our operator that takes a `float8`.
fn threshold(conditions: &[pg_sys::ScanKeyData], vector: pg_sys::AttrNumber) -> f64 {
    let of_vector = conditions.iter().filter(|key| key.sk_attno == vector);
    let threshold = of_vector.map(distance_of).fold(f64::INFINITY, f64::min);
    if threshold.is_finite() {
        threshold + hnsw::ROUNDING * threshold.abs().max(1.0)
    } else {
        threshold
    }
}

/// The distance a condition allows. Nothing is within NULL, and everything but NaN is less than NaN.
fn distance_of(key: &pg_sys::ScanKeyData) -> f64 {
    if key.sk_flags & pg_sys::SK_ISNULL.cast_signed() != 0 {
        return f64::NEG_INFINITY;
    }
    let distance = f64::from_bits(key.sk_argument.value() as u64);
    if distance.is_nan() {
        f64::INFINITY
    } else {
        distance
    }
}
