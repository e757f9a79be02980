//! A callback for new indexes: created, or kept without a rebuild by a change of their column's type.
#![expect(unsafe_code, reason = "registers a hook with Postgres")]

use std::cell::Cell;
use std::ffi::c_void;

use pgrx::pg_sys;

use super::{Relation, boundary, compat};

/// Checks a new index, given its access method's `ambuild`. Raises an ERROR to refuse the index.
pub(crate) type Check = fn(&NewIndex, pg_sys::ambuild_function);

/// An index that is in the catalogs, while its relation has columns only and no operator classes yet.
pub(crate) struct NewIndex {
    pub(crate) relation: Relation,
}

impl NewIndex {
    /// For each column, the function of this number in its operator class; invalid if the class has none.
    pub(crate) fn support_functions(&self, number: u16) -> Vec<pg_sys::Oid> {
        let number = number.try_into().expect("few functions");
        let classes = classes_of(self.relation.oid());
        let function = |class| {
            // SAFETY: looks the class up in the catalogs, which hold it.
            unsafe {
                let (family, on) = (
                    pg_sys::get_opclass_family(class),
                    pg_sys::get_opclass_input_type(class),
                );
                pg_sys::get_opfamily_proc(family, on, on, number)
            }
        };
        classes.into_iter().map(function).collect()
    }
}

/// The operator classes of an index's columns, by its row in `pg_index`: the command that creates it has written the row, and no
/// cache knows it yet.
fn classes_of(index: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    const SHARE: pg_sys::LOCKMODE = pg_sys::AccessShareLock.cast_signed();
    // SAFETY: a catalog and its index are scanned as Postgres does; the row is used before the scan ends.
    unsafe {
        let catalog = pg_sys::table_open(pg_sys::IndexRelationId, SHARE);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &raw mut key,
            pg_sys::Anum_pg_index_indexrelid
                .try_into()
                .expect("a column"),
            pg_sys::BTEqualStrategyNumber
                .try_into()
                .expect("a strategy"),
            pg_sys::F_OIDEQ.into(),
            index.into(),
        );
        let scan = pg_sys::systable_beginscan(
            catalog,
            pg_sys::IndexRelidIndexId.into(),
            true,
            &raw mut pg_sys::SnapshotSelfData,
            1,
            &raw mut key,
        );
        let row = pg_sys::systable_getnext(scan);
        let classes = if row.is_null() {
            Vec::new()
        } else {
            let mut is_null = false;
            let column = pg_sys::Anum_pg_index_indclass.cast_signed();
            let classes = pg_sys::heap_getattr(row, column, (*catalog).rd_att, &mut is_null);
            let classes = classes.cast_mut_ptr::<pg_sys::oidvector>();
            let count = usize::try_from((*classes).dim1).expect("a count");
            (*classes).values.as_slice(count).to_vec()
        };
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(catalog, SHARE);
        classes
    }
}

thread_local! {
    static CHECK: Cell<Option<Check>> = const { Cell::new(None) };
    static NEXT: Cell<pg_sys::object_access_hook_type> = const { Cell::new(None) };
}

/// Registers `check`: Postgres calls it for every index, of any access method, as soon as the catalogs hold the index.
pub(crate) fn on_new_index(check: Check) {
    // Postgres calls _PG_init again after an error: set the hook only once.
    if CHECK.replace(Some(check)).is_none() {
        // SAFETY: called from _PG_init; the hook is a global of this backend.
        unsafe { NEXT.set((&raw mut pg_sys::object_access_hook).replace(Some(object_access))) }
    }
}

unsafe extern "C-unwind" fn object_access(
    access: pg_sys::ObjectAccessType::Type,
    class: pg_sys::Oid,
    object: pg_sys::Oid,
    sub_object: i32,
    argument: *mut c_void,
) {
    boundary(|| {
        // SAFETY: the arguments are passed on unchanged.
        unsafe {
            if let Some(next) = NEXT.get() {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    next(access, class, object, sub_object, argument);
                });
            }
            if access == pg_sys::ObjectAccessType::OAT_POST_CREATE
                && class == pg_sys::RelationRelationId
                && sub_object == 0
            {
                check_relation(object);
            }
        }
    });
}

/// # Safety
/// The relation has just been created: it is in the relation cache.
unsafe fn check_relation(oid: pg_sys::Oid) {
    // SAFETY: the caller's promise.
    unsafe {
        let relation = pg_sys::RelationIdGetRelation(oid);
        if relation.is_null() {
            return;
        }
        if compat::byte((*(*relation).rd_rel).relkind) == pg_sys::RELKIND_INDEX {
            let routine = pg_sys::GetIndexAmRoutineByAmId((*(*relation).rd_rel).relam, true);
            if let (Some(routine), Some(check)) = (routine.as_ref(), CHECK.get()) {
                let relation = Relation::new(relation);
                check(&NewIndex { relation }, routine.ambuild);
            }
        }
        pg_sys::RelationClose(relation);
    }
}
