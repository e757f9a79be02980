//! Reads all rows of a table, for a build or a check of its index.
#![expect(unsafe_code, reason = "calls the table access method")]

use std::ffi::c_void;
use std::ops::Range;

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

    /// The index's column to read, counted from 0.
    pub(crate) fn column(self) -> usize {
        self.column
    }

    /// Calls `each` with the TID and the index's columns of every row, in the order of the table, so that a build is repeatable.
    /// Returns the number of rows scanned. Progress is reported under `pg_stat_progress_create_index`.
    pub(crate) fn scan(self, each: impl FnMut(HeapTid, IndexRow<'_>)) -> f64 {
        // SAFETY: no scan is passed. Postgres then begins at the table's first page.
        unsafe { self.scan_with(None, each) }
    }

    /// True if the index is built beside writers: the scan sees the rows of a snapshot.
    pub(crate) fn is_concurrent(self) -> bool {
        // SAFETY: Postgres passed the info, or it was made in `of_index`.
        unsafe { (*self.info).ii_Concurrent }
    }

    /// Has the scans of this table, which a parallel worker opened, see what the leader's would.
    pub(crate) fn set_concurrent(self, is_concurrent: bool) {
        // SAFETY: as above.
        unsafe { (*self.info).ii_Concurrent = is_concurrent }
    }

    /// True if a scan has met a chain of updates that the index cannot describe to older snapshots.
    pub(crate) fn has_broken_chain(self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.info).ii_BrokenHotChain }
    }

    /// Notes that a scan of a parallel worker has met one.
    pub(crate) fn note_broken_chain(self) {
        // SAFETY: as above.
        unsafe { (*self.info).ii_BrokenHotChain = true }
    }

    /// As `scan`, for consecutive blocks, and without a report of progress. Only for tables of Postgres' own access method. If the
    /// index is built beside writers, the scan sees the rows of the active snapshot.
    pub(crate) fn scan_blocks(
        self,
        blocks: Range<u32>,
        each: impl FnMut(HeapTid, IndexRow<'_>),
    ) -> f64 {
        // SAFETY: the relations are open, and the snapshot is that of the statement or a constant. The scan ends with `scan_with`.
        unsafe {
            let snapshot = match self.is_concurrent() {
                true => pg_sys::GetActiveSnapshot(),
                false => &raw mut pg_sys::SnapshotAnyData,
            };
            let scan = self.begin(snapshot);
            pg_sys::heap_setscanlimits(scan, blocks.start, blocks.end - blocks.start);
            self.scan_with(Some(scan), each)
        }
    }

    /// As `scan`, for the rows visible to a snapshot; the scan may begin at any page. `each` gets the TID under which an index
    /// stores the row.
    pub(crate) fn scan_visible(self, snapshot: &Snapshot, each: impl FnMut(HeapTid, IndexRow<'_>)) {
        // SAFETY: the relations are open and the snapshot registered. The info is marked concurrent, so that the snapshot
        // decides about visibility; the scan ends with `scan_with`.
        unsafe {
            (*self.info).ii_Concurrent = true;
            let scan = self.begin(snapshot.raw());
            self.scan_with(Some(scan), each);
        }
    }

    /// Begins a scan of the table.
    ///
    /// # Safety
    /// The snapshot is registered, or a constant.
    unsafe fn begin(self, snapshot: pg_sys::Snapshot) -> pg_sys::TableScanDesc {
        let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
            | pg_sys::ScanOptions::SO_ALLOW_STRAT
            | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let heap = self.heap.raw();
        let (keys, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the relation is open.
        unsafe {
            let begin = (*(*heap).rd_tableam)
                .scan_begin
                .expect("every table access method has it");
            pg_sys::ffi::pg_guard_ffi_boundary(|| begin(heap, snapshot, 0, keys, none, flags))
        }
    }

    /// # Safety
    /// The scan, if any, is of this table, and is not used afterwards.
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
