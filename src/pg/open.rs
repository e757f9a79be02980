//! Opens an index or a table named by a user.
#![expect(unsafe_code, reason = "opens relations and reads their descriptors")]

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::{Relation, compat, text};

const LOCK: i32 = pg_sys::AccessShareLock.cast_signed();

/// The lock for changing an index beside reads and writes of its table: VACUUM and ANALYZE take it too.
const CHANGE_LOCK: i32 = pg_sys::ShareUpdateExclusiveLock.cast_signed();

/// The locks of a build on its table and its index (`_bt_parallel_build_main`, access/nbtree/nbtsort.c).
fn build_locks(is_concurrent: bool) -> (i32, i32) {
    let (of_table, of_index) = match is_concurrent {
        true => (pg_sys::ShareUpdateExclusiveLock, pg_sys::RowExclusiveLock),
        false => (pg_sys::ShareLock, pg_sys::AccessExclusiveLock),
    };
    (of_table.cast_signed(), of_index.cast_signed())
}

/// The kind of a relation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Index,
    PartitionedIndex,
    /// A plain table or a materialized view.
    Table,
    PartitionedTable,
    Other,
}

/// The kind of a relation; `Other` if it does not exist.
pub(crate) fn kind(oid: Oid) -> Kind {
    // SAFETY: reads the catalogs.
    match compat::byte(unsafe { pg_sys::get_rel_relkind(oid) }) {
        pg_sys::RELKIND_INDEX => Kind::Index,
        pg_sys::RELKIND_PARTITIONED_INDEX => Kind::PartitionedIndex,
        pg_sys::RELKIND_RELATION | pg_sys::RELKIND_MATVIEW => Kind::Table,
        pg_sys::RELKIND_PARTITIONED_TABLE => Kind::PartitionedTable,
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
    if kind(table) != Kind::Table {
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

/// An ERROR in a read-only transaction and on a standby, for a command of this name.
pub(crate) fn prevent_if_read_only(command: &CStr) {
    // SAFETY: the name is terminated.
    unsafe {
        pg_sys::PreventCommandDuringRecovery(command.as_ptr());
        pg_sys::PreventCommandIfReadOnly(command.as_ptr());
    }
}

/// The oids of an open table's indexes.
fn index_list(table: Relation) -> Vec<Oid> {
    // SAFETY: the table is open.
    unsafe { oids(pg_sys::RelationGetIndexList(table.raw())) }
}

/// The oids in a list.
///
/// # Safety
/// The list is `NIL`, or a valid list of oids.
unsafe fn oids(list: *mut pg_sys::List) -> Vec<Oid> {
    // SAFETY: the caller's promise: the list has `length` oids, or is null if empty.
    unsafe {
        list.as_ref().map_or_else(Vec::new, |list| {
            let length = usize::try_from(list.length).expect("a list has a length");
            std::slice::from_raw_parts(list.elements, length)
                .iter()
                .map(|cell| cell.oid_value)
                .collect()
        })
    }
}

/// The indexes of all partitions of a partitioned index, in the order of their oids.
pub(crate) fn partitions_of(index: Oid) -> Vec<Oid> {
    let no_lock = pg_sys::NoLock.cast_signed();
    // SAFETY: returns a list of oids. An index dropped meanwhile is an ERROR when it is opened.
    let all = unsafe {
        oids(pg_sys::ffi::pg_guard_ffi_boundary(|| {
            raw::find_all_inheritors(index, no_lock, std::ptr::null_mut())
        }))
    };
    all.into_iter()
        .filter(|&oid| kind(oid) == Kind::Index)
        .collect()
}

/// Calls without an error boundary of their own (catalog/pg_inherits.h).
mod raw {
    use super::{Oid, pg_sys};

    unsafe extern "C-unwind" {
        pub(super) fn find_all_inheritors(
            parent: Oid,
            lock: i32,
            parents: *mut *mut pg_sys::List,
        ) -> *mut pg_sys::List;
    }
}

/// Calls `read` with an index, opened alone with the weakest lock; `None` if it does not exist, or was dropped meanwhile.
pub(crate) fn with_index<T>(oid: Oid, read: impl FnOnce(Relation) -> T) -> Option<T> {
    if kind(oid) != Kind::Index {
        return None;
    }
    // SAFETY: the relation stays open until it is closed here; an ERROR closes it, too.
    unsafe {
        let open = pg_sys::try_relation_open(oid, LOCK);
        if open.is_null() {
            return None;
        }
        let found = read(Relation::new(open));
        pg_sys::relation_close(open, LOCK);
        Some(found)
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

    /// Opens both in a parallel worker of a build, under the locks that the leader has at least.
    pub(crate) fn open_for_build(index: Oid, table: Oid, is_concurrent: bool) -> Self {
        let (of_table, of_index) = build_locks(is_concurrent);
        // SAFETY: both exist, as the leader has them open.
        unsafe {
            let table = Relation::new(pg_sys::table_open(table, of_table));
            let index = Relation::new(pg_sys::index_open(index, of_index));
            Self { index, table }
        }
    }

    /// Closes what `open_for_build` opened.
    pub(crate) fn close_for_build(self, is_concurrent: bool) {
        let (of_table, of_index) = build_locks(is_concurrent);
        // SAFETY: both are open, under these locks.
        unsafe {
            pg_sys::index_close(self.index.raw(), of_index);
            pg_sys::table_close(self.table.raw(), of_table);
        }
    }

    /// Locks the table against VACUUM, and against other changes than of rows, to the end of the transaction.
    pub(crate) fn lock_for_change(&self) {
        // SAFETY: the table is open.
        unsafe { pg_sys::LockRelationOid(self.table.oid(), CHANGE_LOCK) }
    }

    /// True if the index is of this access method.
    pub(crate) fn is_of(&self, access_method: &CStr) -> bool {
        is_of(self.index, access_method)
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

/// A plain table or a materialized view, held open with the weakest lock.
pub(crate) struct OpenTable(pub(crate) Relation);

/// A column of a table.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// Counted from 1.
    pub(crate) number: i16,
    /// Its type; for a domain, the base type.
    pub(crate) type_oid: Oid,
    pub(crate) type_modifier: i32,
}

impl OpenTable {
    pub(crate) fn open(oid: Oid) -> Self {
        // SAFETY: a missing or dropped relation is an ERROR.
        unsafe { Self(Relation::new(pg_sys::table_open(oid, LOCK))) }
    }

    /// Finds a column by its name; `None` for a missing, dropped or system column.
    pub(crate) fn column(&self, name: &CStr) -> Option<Column> {
        // SAFETY: the table is open, the name terminated, and a column of this number is in the descriptor.
        unsafe {
            let number = pg_sys::get_attnum(self.0.oid(), name.as_ptr());
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            let attribute = &*compat::attribute((*self.0.raw()).rd_att, at);
            let mut type_modifier = attribute.atttypmod;
            let base = pg_sys::getBaseTypeAndTypmod(attribute.atttypid, &raw mut type_modifier);
            Some(Column {
                number,
                type_oid: base,
                type_modifier,
            })
        }
    }

    pub(crate) fn close(self) {
        // SAFETY: opened by `open` with this lock.
        unsafe { pg_sys::table_close(self.0.raw(), LOCK) }
    }
}

/// True if an index is of this access method.
pub(crate) fn is_of(index: Relation, access_method: &CStr) -> bool {
    // SAFETY: the index is open.
    unsafe {
        let wanted = pg_sys::get_index_am_oid(access_method.as_ptr(), true);
        (*(*index.raw()).rd_rel).relam == wanted
    }
}

/// True for a temporary relation of another session: its pages are in the other session's memory.
pub(crate) fn is_others_temporary(relation: Relation) -> bool {
    // SAFETY: the relation is open, and its schema in the catalogs.
    unsafe {
        let namespace = (*(*relation.raw()).rd_rel).relnamespace;
        relation.is_local() && !pg_sys::isTempOrTempToastNamespace(namespace)
    }
}

/// True for an unlogged relation during recovery: it has no pages until recovery ends.
pub(crate) fn is_absent_in_recovery(relation: Relation) -> bool {
    // SAFETY: the relation is open; reads the state of the server.
    unsafe {
        let persistence = (*(*relation.raw()).rd_rel).relpersistence;
        compat::byte(persistence) == pg_sys::RELPERSISTENCE_UNLOGGED && pg_sys::RecoveryInProgress()
    }
}
