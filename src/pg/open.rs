//! Opens an index named by a user.
#![expect(unsafe_code, reason = "opens relations and reads their descriptors")]

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::{Relation, text};

const LOCK: i32 = pg_sys::AccessShareLock.cast_signed();

/// The kind of a relation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    PartitionedIndex,
    Other,
}

/// The kind of a relation; `Other` if it does not exist.
pub(crate) fn kind(oid: Oid) -> Kind {
    // SAFETY: reads the catalogs.
    match unsafe { pg_sys::get_rel_relkind(oid) }.cast_unsigned() {
        pg_sys::RELKIND_INDEX => Kind::Index,
        pg_sys::RELKIND_PARTITIONED_INDEX => Kind::PartitionedIndex,
        _ => Kind::Other,
    }
}

/// The name of a relation, or its oid if it does not exist.
pub(crate) fn name(oid: Oid) -> String {
    // SAFETY: a null-terminated string in the current memory context, or null.
    unsafe {
        let name = pg_sys::get_rel_name(oid);
        if name.is_null() {
            return oid.to_u32().to_string();
        }
        text::to_string(CStr::from_ptr(name))
    }
}

/// The table of an index; `None` if the relation is not an index.
pub(crate) fn table_of(index: Oid) -> Option<Oid> {
    // SAFETY: reads the catalogs.
    let table = unsafe { pg_sys::IndexGetRelation(index, true) };
    (table != pg_sys::InvalidOid).then_some(table)
}

/// The names of a table's indexes by one of these access methods; empty for a relation other than a plain table or a
/// materialized view.
pub(crate) fn indexes_of(table: Oid, methods: &[&CStr]) -> Vec<String> {
    // SAFETY: reads the catalogs.
    let kind = unsafe { pg_sys::get_rel_relkind(table) }.cast_unsigned();
    if kind != pg_sys::RELKIND_RELATION && kind != pg_sys::RELKIND_MATVIEW {
        return Vec::new();
    }
    // SAFETY: a table dropped meanwhile is none; its lock is held until its indexes are closed, so none is dropped first.
    unsafe {
        let open = pg_sys::try_table_open(table, LOCK);
        if open.is_null() {
            return Vec::new();
        }
        let table = Relation::new(open);
        let is_of = |&index: &Oid| {
            let open = OpenIndex {
                index: Relation::new(pg_sys::index_open(index, LOCK)),
                table,
            };
            let found = methods.iter().any(|method| open.is_of(method));
            pg_sys::index_close(open.index.raw(), LOCK);
            found
        };
        let found = index_list(table)
            .into_iter()
            .filter(is_of)
            .map(name)
            .collect();
        pg_sys::table_close(table.raw(), LOCK);
        found
    }
}

/// The oids of an open table's indexes.
fn index_list(table: Relation) -> Vec<Oid> {
    // SAFETY: the list has `length` oids, or is null if empty.
    unsafe {
        let list = pg_sys::RelationGetIndexList(table.raw());
        list.as_ref().map_or_else(Vec::new, |list| {
            let length = usize::try_from(list.length).expect("a list has a length");
            std::slice::from_raw_parts(list.elements, length)
                .iter()
                .map(|cell| cell.oid_value)
                .collect()
        })
    }
}

/// An index and its table, held open with the weakest lock.
pub(crate) struct OpenIndex {
    pub(crate) index: Relation,
    pub(crate) table: Relation,
}

impl OpenIndex {
    /// Opens both: the table first, because tables are locked before their indexes.
    pub(crate) fn open(index: Oid, table: Oid) -> Self {
        // SAFETY: a missing or dropped relation is an ERROR.
        unsafe {
            let table = Relation::new(pg_sys::table_open(table, LOCK));
            let index = Relation::new(pg_sys::index_open(index, LOCK));
            Self { index, table }
        }
    }

    /// True if the index is of this access method.
    pub(crate) fn is_of(&self, access_method: &CStr) -> bool {
        // SAFETY: the index is open.
        unsafe {
            let wanted = pg_sys::get_index_am_oid(access_method.as_ptr(), true);
            (*(*self.index.raw()).rd_rel).relam == wanted
        }
    }

    /// True for an index of another session's temporary table: its pages are in the other session's memory.
    pub(crate) fn is_others_temporary(&self) -> bool {
        // SAFETY: the index is open.
        let namespace = unsafe { (*(*self.index.raw()).rd_rel).relnamespace };
        // SAFETY: reads the catalogs.
        self.index.is_local() && unsafe { !pg_sys::isTempOrTempToastNamespace(namespace) }
    }

    /// True for an unlogged index during recovery: it has no pages until recovery ends.
    pub(crate) fn is_absent_in_recovery(&self) -> bool {
        // SAFETY: the index is open.
        let persistence = unsafe { (*(*self.index.raw()).rd_rel).relpersistence };
        persistence.cast_unsigned() == pg_sys::RELPERSISTENCE_UNLOGGED
            // SAFETY: reads the state of the server.
            && unsafe { pg_sys::RecoveryInProgress() }
    }

    /// True if the index should hold all rows. False during a concurrent build, and after a failed one.
    pub(crate) fn is_valid(&self) -> bool {
        // SAFETY: the index is open.
        unsafe { (*(*self.index.raw()).rd_index).indisvalid }
    }

    /// True if older snapshots may see rows missing from the index.
    pub(crate) fn is_for_newer_snapshots(&self) -> bool {
        // SAFETY: the index is open.
        unsafe { (*(*self.index.raw()).rd_index).indcheckxmin }
    }

    pub(crate) fn close(self) {
        // SAFETY: opened by `open` with this lock.
        unsafe {
            pg_sys::index_close(self.index.raw(), LOCK);
            pg_sys::table_close(self.table.raw(), LOCK);
        }
    }
}
