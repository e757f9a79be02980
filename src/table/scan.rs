//! Reads all rows of a table, for a build or a check of its index.
#![expect(unsafe_code, reason = "calls the table access method")]

use std::ffi::c_void;

use layout::HeapTid;
use pgrx::pg_sys;

use super::row_context;
use crate::pg::row::{IndexRow, heap_tid};
use crate::pg::snapshot::Snapshot;
use crate::pg::{Relation, boundary};

/// A table being indexed.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    heap: Relation,
    index: Relation,
    info: *mut pg_sys::IndexInfo,
    /// The index's column to read, counted from 0.
    column: usize,
}

impl Table {
    /// # Safety
    /// Postgres passed the first three to `ambuild`, and the index has this column.
    pub(crate) unsafe fn new(
        heap: Relation,
        index: Relation,
        info: *mut pg_sys::IndexInfo,
        column: usize,
    ) -> Self {
        Self {
            heap,
            index,
            info,
            column,
        }
    }

    /// A table and one of its indexes, both open, for a scan with a snapshot that reads the values of a column.
    pub(crate) fn of_index(heap: Relation, index: Relation, column: usize) -> Self {
        assert!(column < index.columns(), "column {column} of an index");
        // SAFETY: the index is open; the info is allocated in the current memory context.
        let info = unsafe { pg_sys::BuildIndexInfo(index.raw()) };
        Self {
            heap,
            index,
            info,
            column,
        }
    }

    pub(crate) fn heap(self) -> Relation {
        self.heap
    }

    pub(crate) fn index(self) -> Relation {
        self.index
    }

    /// Calls `each` with the TID and the index's columns of every row, in the order of the table, so that a build is repeatable.
    /// Returns the number of rows scanned. Progress is reported under `pg_stat_progress_create_index`.
    pub(crate) fn scan(self, each: impl FnMut(HeapTid, IndexRow<'_>)) -> f64 {
        // SAFETY: no scan is passed. Postgres then begins at the table's first page.
        unsafe { self.scan_with(None, each) }
    }

    /// As `scan`, for the rows visible to a snapshot; the scan may begin at any page. `each` gets the TID under which an index
    /// stores the row.
    pub(crate) fn scan_visible(self, snapshot: &Snapshot, each: impl FnMut(HeapTid, IndexRow<'_>)) {
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_STRAT
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let (heap, snapshot) = (self.heap.raw(), snapshot.raw());
        // SAFETY: the relations are open and the snapshot registered. The info is marked concurrent, so that the snapshot
        // decides about visibility; the scan ends with `scan_with`.
        unsafe {
            (*self.info).ii_Concurrent = true;
            let begin = (*(*heap).rd_tableam)
                .scan_begin
                .expect("every table access method has it");
            let scan = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                begin(
                    heap,
                    snapshot,
                    0,
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                    flags,
                )
            });
            self.scan_with(Some(scan), each);
        }
    }

    /// # Safety
    /// The scan, if any, is of this table, with a registered snapshot, and is not used afterwards.
    unsafe fn scan_with(
        self,
        rows: Option<pg_sys::TableScanDesc>,
        mut each: impl FnMut(HeapTid, IndexRow<'_>),
    ) -> f64 {
        // SAFETY: the relations are open and the info belongs to them; `visit` outlives the call.
        unsafe {
            let mut visit = Visit {
                each: &mut each,
                columns: (*self.info).ii_NumIndexAttrs.unsigned_abs() as usize,
                vector: self.column,
                row_context: row_context(),
            };
            let routine = &*(*self.heap.raw()).rd_tableam;
            let scan = routine
                .index_build_range_scan
                .expect("every table access method has it");
            let (heap, index, info) = (self.heap.raw(), self.index.raw(), self.info);
            let state = (&raw mut visit).cast::<c_void>();
            let count = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                scan(
                    heap,
                    index,
                    info,
                    rows.is_some(),
                    false,
                    rows.is_none(),
                    0,
                    pg_sys::InvalidBlockNumber,
                    Some(show_row),
                    state,
                    rows.unwrap_or(std::ptr::null_mut()),
                )
            });
            pg_sys::MemoryContextDelete(visit.row_context);
            count
        }
    }
}

/// State of the callback of a table scan.
struct Visit<'a> {
    each: &'a mut dyn FnMut(HeapTid, IndexRow<'_>),
    /// Columns of the index, and the vector column among them.
    columns: usize,
    vector: usize,
    /// Holds detoasted values; reset after each row.
    row_context: pg_sys::MemoryContext,
}

unsafe extern "C-unwind" fn show_row(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    isnull: *mut bool,
    _alive: bool,
    state: *mut c_void,
) {
    boundary(|| {
        // SAFETY: Postgres passes the values of all columns, and `scan_with` passed `state`.
        unsafe {
            let visit = &mut *state.cast::<Visit<'_>>();
            let row = IndexRow::new(values, isnull, visit.columns, visit.vector);
            let outer = pg_sys::MemoryContextSwitchTo(visit.row_context);
            (visit.each)(heap_tid(tid), row);
            pg_sys::MemoryContextSwitchTo(outer);
            pg_sys::MemoryContextReset(visit.row_context);
        }
    });
}
