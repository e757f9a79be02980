//! Checks privileges and switches roles.
#![expect(unsafe_code, reason = "asks for and switches roles")]

use std::ffi::c_int;

use pgrx::pg_sys::{self, Oid};

use super::{Relation, compat};

/// True if the current user owns one of the relations, or is a superuser or a member of `pg_stat_scan_tables`.
pub(crate) fn may_inspect(relations: impl IntoIterator<Item = Oid>) -> bool {
    // SAFETY: reads the catalogs.
    let (user, may_scan) = unsafe {
        let user = pg_sys::GetUserId();
        let role = Oid::from(pg_sys::ROLE_PG_STAT_SCAN_TABLES);
        (user, pg_sys::has_privs_of_role(user, role))
    };
    may_scan
        || relations
            .into_iter()
            .any(|relation| compat::owns_relation(user, relation))
}

/// True if the current user owns one of the relations, or is a superuser.
pub(crate) fn may_change(relations: impl IntoIterator<Item = Oid>) -> bool {
    // SAFETY: reads a variable of the session.
    let user = unsafe { pg_sys::GetUserId() };
    relations
        .into_iter()
        .any(|relation| compat::owns_relation(user, relation))
}

/// Makes a table's owner the current user, to evaluate expressions of an index: their author must not gain the privileges of
/// another user. An ERROR ends the switch with the (sub)transaction.
pub(crate) struct AsOwner {
    user: Oid,
    context: c_int,
    settings: c_int,
}

impl AsOwner {
    pub(crate) fn of(table: Relation) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: the relation is open; `end` or the abort of the transaction restores user, context and settings.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let restricted = context | pg_sys::SECURITY_RESTRICTED_OPERATION.cast_signed();
            pg_sys::SetUserIdAndSecContext((*(*table.raw()).rd_rel).relowner, restricted);
            let settings = pg_sys::NewGUCNestLevel();
            compat::restrict_search_path();
            Self {
                user,
                context,
                settings,
            }
        }
    }

    pub(crate) fn end(self) {
        // SAFETY: the values are those saved by `of`.
        unsafe {
            pg_sys::AtEOXact_GUC(false, self.settings);
            pg_sys::SetUserIdAndSecContext(self.user, self.context);
        }
    }
}
