//! `ambuild`, `ambuildempty`: an index from a table, and an index without rows.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use layout::Frozen;
use pgrx::pg_sys;
use quantize::Value;

use crate::keys::KeyColumns;
use crate::opclass::{self, OperatorClass};
use crate::options;
use crate::pg::row::IndexRow;
use crate::pg::{Relation, boundary};
use crate::table::readers::Share;
use crate::table::scan::Table;
use crate::types::indexed::Indexed;
use crate::{build, error, storage};

pub(super) unsafe extern "C-unwind" fn ambuild(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    boundary(|| {
        // SAFETY: Postgres passes the open table and index and the IndexInfo that relates them.
        let (heap, index) = unsafe { (Relation::new(heap), Relation::new(index)) };
        storage::index::forget(Some(index.oid().to_u32()));
        let class = OperatorClass::of(index);
        // SAFETY: as above; the index has the column of its class.
        let table = unsafe { Table::new(heap, index, info, class.column) };
        let keys = KeyColumns::of(index);
        let frozen = frozen(index, &class, &keys);
        let built = build::build(
            table,
            frozen,
            options::params(index).ef_construction,
            |row, row_key| prepare(&class, &keys, frozen.dimensions, row, row_key),
        );
        if built.by_cells {
            let ef_construction = options::params(index).ef_construction;
            let built = storage::Index::open(index, opclass::declared);
            storage::vacuum::connect_groups(&built, ef_construction);
        }
        if let Some(calibrator) = built.calibrator {
            let built = storage::Index::open(index, opclass::declared);
            storage::calibrate::finish(&built, calibrator, false);
        } else if built.by_cells {
            storage::calibrate::after_build(&storage::Index::open(index, opclass::declared));
        }
        // SAFETY: memory for a result that Postgres frees.
        unsafe {
            let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>())
                .cast::<pg_sys::IndexBuildResult>();
            (*result).heap_tuples = built.rows;
            (*result).index_tuples = built.indexed;
            result
        }
    })
}

/// In a parallel worker of a build: reads a share of the table (`parallel_worker_main_type`).
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn omendb_read_rows(
    segment: *mut pg_sys::dsm_segment,
    toc: *mut pg_sys::shm_toc,
) {
    boundary(|| {
        // SAFETY: Postgres passes what the leader has prepared.
        let share = unsafe { Share::join(segment, toc) };
        let index = share.table().index();
        let (class, keys) = (OperatorClass::of(index), KeyColumns::of(index));
        let dimensions = check_dimensions(index, class.column);
        build::read_share(share, |row, row_key| {
            prepare(&class, &keys, dimensions, row, row_key)
        });
    });
}

/// The prepared value of a row, and its row key, appended to `row_key`; `None` if the row is not indexed.
fn prepare(
    class: &OperatorClass,
    keys: &KeyColumns,
    dimensions: u32,
    row: IndexRow<'_>,
    row_key: &mut Vec<u8>,
) -> Option<Value> {
    // SAFETY: the column is of the operator class's type.
    let value = unsafe { Indexed::from_raw(class.kind(), row.vector()?) };
    error::check_dimensions(dimensions, value.dimensions());
    let prepared = class.prepare_row(&value)?;
    keys.row_key(row, row_key);
    Some(prepared)
}

pub(super) unsafe extern "C-unwind" fn ambuildempty(index: pg_sys::Relation) {
    boundary(|| {
        // SAFETY: Postgres passes the open index.
        let index = unsafe { Relation::new(index) };
        let frozen = frozen(index, &OperatorClass::of(index), &KeyColumns::of(index));
        build::write_empty(index, &frozen, pg_sys::ForkNumber::INIT_FORKNUM);
    });
}

pub(super) unsafe extern "C-unwind" fn ambuildphasename(phase: i64) -> *mut std::ffi::c_char {
    build::phase_name(phase).map_or(std::ptr::null_mut(), |name| name.as_ptr().cast_mut())
}

/// Returns the dimensions of an index's vector column; an ERROR if it has none.
pub(super) fn check_dimensions(index: Relation, column: usize) -> u32 {
    // Postgres accepts `bit varying` for `bit`, but its values have any length.
    if index.column_type(column) == pg_sys::VARBITOID {
        error::type_not_supported(&index.access_method());
    }
    let Ok(dimensions) = u32::try_from(index.column_typmod(column)) else {
        error::column_without_dimensions()
    };
    dimensions
}

/// The least `m` of an index with groups: an element chooses half as many neighbors in its group.
const LEAST_M_OF_GROUPS: usize = 4;

/// Checks the options of a new index and fixes them for its life.
fn frozen(index: Relation, class: &OperatorClass, keys: &KeyColumns) -> Frozen {
    let dimensions = check_dimensions(index, class.column);
    let mut frozen = class.frozen(dimensions, options::params(index), &index.access_method());
    frozen.geometry = frozen.geometry.with_keys(keys.widths());
    if let Some(column) = options::graphs(index) {
        let column = keys.number_of(index, &column);
        let m = usize::from(frozen.geometry.m);
        if m < LEAST_M_OF_GROUPS {
            error::too_few_neighbors_for_graphs(LEAST_M_OF_GROUPS, m);
        }
        let geometry = frozen.geometry.with_groups(Some(column));
        frozen.geometry = geometry.unwrap_or_else(|_| error::element_too_large(m, dimensions));
    }
    frozen
}
