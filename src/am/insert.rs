//! `aminsert`: adds a row to an index.

use pgrx::pg_sys;

use crate::error;
use crate::keys::KeyColumns;
use crate::opclass::{self, OperatorClass};
use crate::options;
use crate::pg::row::{self, IndexRow};
use crate::pg::{Relation, boundary};
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
        // SAFETY: Postgres passes an open index and a valid row pointer.
        let (relation, tid) = unsafe { (Relation::new(index), row::heap_tid(heap_tid)) };
        let class = OperatorClass::of(relation);
        // SAFETY: Postgres passes a value and a null flag for each column.
        let row = unsafe { IndexRow::new(values, isnull, relation.columns(), class.column) };
        let Some(value) = row.vector() else {
            return false;
        };
        let index = Index::open(relation, opclass::declared);
        // SAFETY: the column is of the operator class's type.
        let value = unsafe { Indexed::from_raw(class.kind(), value) };
        error::check_dimensions(index.frozen().dimensions, value.dimensions());
        if let Some(prepared) = class.prepare_row(&value) {
            let mut row_key = Vec::new();
            if index.geometry().keys.is_some() {
                KeyColumns::of(relation).row_key(row, &mut row_key);
            }
            storage::insert::insert(
                &index,
                options::params(relation).ef_construction,
                prepared,
                &row_key,
                tid,
            );
        }
        false
    })
}
