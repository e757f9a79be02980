//! A row as an index sees it: its TID and the values of the index's columns.
#![expect(unsafe_code, reason = "follows pointers of Postgres")]

use layout::HeapTid;
use pgrx::pg_sys;

/// Converts Postgres' item pointer to our TID.
///
/// # Safety
/// `tid` points to a valid item pointer.
pub(crate) unsafe fn heap_tid(tid: pg_sys::ItemPointer) -> HeapTid {
    // SAFETY: the caller vouches for the pointer.
    let tid = unsafe { *tid };
    HeapTid {
        block: u32::from(tid.ip_blkid.bi_hi) << 16 | u32::from(tid.ip_blkid.bi_lo),
        offset: tid.ip_posid,
    }
}

/// Converts our TID to Postgres' item pointer.
pub(crate) fn item_pointer(tid: HeapTid) -> pg_sys::ItemPointerData {
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData {
            bi_hi: (tid.block >> 16) as u16,
            bi_lo: (tid.block & 0xffff) as u16,
        },
        ip_posid: tid.offset,
    }
}

/// The columns of an index for one row, valid only during the callback for the row.
#[derive(Clone, Copy)]
pub(crate) struct IndexRow<'a> {
    pub(super) values: &'a [pg_sys::Datum],
    pub(super) nulls: &'a [bool],
    vector: usize,
}

impl<'a> IndexRow<'a> {
    /// # Safety
    /// Both arrays have an entry for each of `columns` columns, and stay as they are for `'a`. The vector column is one of them,
    /// counted from 0. The row is read by columns of its index only.
    pub(crate) unsafe fn new(
        values: *const pg_sys::Datum,
        nulls: *const bool,
        columns: usize,
        vector: usize,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                values: std::slice::from_raw_parts(values, columns),
                nulls: std::slice::from_raw_parts(nulls, columns),
                vector,
            }
        }
    }

    /// The value of the vector column; `None` for NULL.
    pub(crate) fn vector(self) -> Option<pg_sys::Datum> {
        (!self.nulls[self.vector]).then(|| self.values[self.vector])
    }
}
