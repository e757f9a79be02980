//! Rows of single pages of a table, for a sample.
#![expect(unsafe_code, reason = "calls the table access method")]

use layout::HeapTid;
use pgrx::pg_sys;

use super::row_context;
use crate::pg::open::Column;
use crate::pg::row::item_pointer;
use crate::pg::snapshot::Snapshot;
use crate::pg::{Relation, interrupt};

/// Reads a column's values from pages of a table, as a snapshot of the transaction sees them.
pub(crate) struct PageReader {
    table: Relation,
    column: Column,
    snapshot: Snapshot,
    slot: *mut pg_sys::TupleTableSlot,
    /// Holds detoasted values; reset after each row.
    row_context: pg_sys::MemoryContext,
}

impl PageReader {
    /// Allocates in the current memory context. Returns `None` if the table's access method cannot read single pages.
    pub(crate) fn new(table: Relation, column: Column) -> Option<Self> {
        // SAFETY: the table is open and has storage.
        unsafe {
            (*(*table.raw()).rd_tableam).scan_set_tidrange?;
            Some(Self {
                table,
                column,
                snapshot: Snapshot::register(),
                slot: pg_sys::table_slot_create(table.raw(), std::ptr::null_mut()),
                row_context: row_context(),
            })
        }
    }

    /// Calls `each` with the column's value of every visible row of a page, in order. Rows with a null are skipped.
    pub(crate) fn read(&mut self, block: u32, mut each: impl FnMut(pg_sys::Datum)) {
        interrupt::check();
        let tid = |offset| item_pointer(HeapTid { block, offset });
        let (mut first, mut last) = (tid(1), tid(u16::MAX));
        let flags =
            pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let (table, snapshot, slot) = (self.table.raw(), self.snapshot.raw(), self.slot);
        // SAFETY: table, snapshot and slot are open until `close`, and the scan ends here. The access method has the functions
        // for ranges of TIDs together (`new`).
        unsafe {
            let routine = &*(*table).rd_tableam;
            let begin = routine
                .scan_begin
                .expect("every table access method has it");
            let set_range = routine.scan_set_tidrange.expect("checked by `new`");
            let next = routine
                .scan_getnextslot_tidrange
                .expect("it comes with scan_set_tidrange");
            let end = routine.scan_end.expect("every table access method has it");
            let scan = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                let none = std::ptr::null_mut();
                let scan = begin(table, snapshot, 0, none, std::ptr::null_mut(), flags);
                set_range(scan, &raw mut first, &raw mut last);
                scan
            });
            let forward = pg_sys::ScanDirection::ForwardScanDirection;
            while pg_sys::ffi::pg_guard_ffi_boundary(|| next(scan, forward, slot)) {
                if let Some(value) = self.value() {
                    let outer = pg_sys::MemoryContextSwitchTo(self.row_context);
                    each(value);
                    pg_sys::MemoryContextSwitchTo(outer);
                    pg_sys::MemoryContextReset(self.row_context);
                }
            }
            pg_sys::ffi::pg_guard_ffi_boundary(|| end(scan));
        }
    }

    /// The column's value of the row in the slot; `None` for a null.
    ///
    /// # Safety
    /// The slot holds a row.
    unsafe fn value(&self) -> Option<pg_sys::Datum> {
        let number = self.column.number;
        let at = usize::try_from(number - 1).expect("columns count from 1");
        // SAFETY: the caller's promise; values and nulls are valid up to tts_nvalid.
        unsafe {
            if (*self.slot).tts_nvalid < number {
                pg_sys::slot_getsomeattrs_int(self.slot, number.into());
            }
            (!*(*self.slot).tts_isnull.add(at)).then(|| *(*self.slot).tts_values.add(at))
        }
    }

    pub(crate) fn close(self) {
        // SAFETY: nothing is used afterwards.
        unsafe {
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::MemoryContextDelete(self.row_context);
        }
        self.snapshot.release();
    }
}
