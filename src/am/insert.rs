//! `aminsert`: adds a row to an index.

use pgrx::pg_sys;

use super::options;
use crate::error;
use crate::opclass::OperatorClass;
use crate::pg::{Relation, boundary, heap};
use crate::storage::{self, Index};
use crate::types::indexed::Indexed;

pub(super) unsafe extern "C-unwind" fn aminsert(
    index: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    isnull: *mut bool,
    heap_tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _index_unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    boundary(|| {
        // SAFETY: Postgres passes an open index, one value and one null flag per column, and a valid row pointer.
        let (relation, tid) = unsafe { (Relation::new(index), heap::heap_tid(heap_tid)) };
        let class = OperatorClass::of(relation);
        // SAFETY: as above.
        let value = unsafe {
            if *isnull.add(class.column) {
                return false;
            }
            *values.add(class.column)
        };
        let index = Index::open(relation);
        // SAFETY: the column is of the operator class's type.
        let value = unsafe { Indexed::from_raw(class.kind(), value) };
        error::check_dimensions(index.frozen().dimensions, value.dimensions());
        if let Some(prepared) = class.prepare_row(&value) {
            storage::insert::insert(
                &index,
                options::params(relation).ef_construction,
                &prepared,
                &[],
                tid,
            );
        }
        false
    })
}
