//! Opening an index that a user names.
#![expect(unsafe_code, reason = "opens relations and reads their descriptors")]

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::{Relation, text};

const LOCK: i32 = pg_sys::AccessShareLock.cast_signed();

/// What kind of relation an oid names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    PartitionedIndex,
    Other,
}

/// The kind of a relation; one that is not there is `Other`.
pub(crate) fn kind(oid: Oid) -> Kind {
    // SAFETY: looks into the catalogs.
    match unsafe { pg_sys::get_rel_relkind(oid) }.cast_unsigned() {
        pg_sys::RELKIND_INDEX => Kind::Index,
        pg_sys::RELKIND_PARTITIONED_INDEX => Kind::PartitionedIndex,
        _ => Kind::Other,
    }
}

/// The name of a relation, or its number if it is not there.
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

/// The table of an index, if it is one.
pub(crate) fn table_of(index: Oid) -> Option<Oid> {
    // SAFETY: looks into the catalogs.
    let table = unsafe { pg_sys::IndexGetRelation(index, true) };
    (table != pg_sys::InvalidOid).then_some(table)
}

/// An index and its table, held open with the weakest lock.
pub(crate) struct OpenIndex {
    pub(crate) index: Relation,
    pub(crate) table: Relation,
}

impl OpenIndex {
    /// Tables are locked before their indexes.
    pub(crate) fn open(index: Oid, table: Oid) -> Self {
        // SAFETY: what is not there, or no longer, is an ERROR.
        unsafe {
            let table = Relation::new(pg_sys::table_open(table, LOCK));
            let index = Relation::new(pg_sys::index_open(index, LOCK));
            Self { index, table }
        }
    }

    /// Whether the index was made by an access method.
    pub(crate) fn is_of(&self, access_method: &CStr) -> bool {
        // SAFETY: the index is open.
        unsafe {
            let wanted = pg_sys::get_index_am_oid(access_method.as_ptr(), true);
            (*(*self.index.raw()).rd_rel).relam == wanted
        }
    }

    /// Whether its pages are in another session's memory.
    pub(crate) fn is_others_temporary(&self) -> bool {
        // SAFETY: the index is open.
        let namespace = unsafe { (*(*self.index.raw()).rd_rel).relnamespace };
        // SAFETY: looks into the catalogs.
        self.index.is_local() && unsafe { !pg_sys::isTempOrTempToastNamespace(namespace) }
    }

    /// Whether it has no pages, being unlogged, until recovery ends.
    pub(crate) fn is_absent_in_recovery(&self) -> bool {
        // SAFETY: the index is open.
        let persistence = unsafe { (*(*self.index.raw()).rd_rel).relpersistence };
        persistence.cast_unsigned() == pg_sys::RELPERSISTENCE_UNLOGGED
            // SAFETY: asks for the state of the server.
            && unsafe { pg_sys::RecoveryInProgress() }
    }

    /// Whether it should hold all rows: a concurrent build has not failed or is not at work.
    pub(crate) fn is_valid(&self) -> bool {
        // SAFETY: the index is open.
        unsafe { (*(*self.index.raw()).rd_index).indisvalid }
    }

    /// Whether older snapshots may see rows that it does not hold.
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
