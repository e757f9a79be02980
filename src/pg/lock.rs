//! A heavyweight lock on an index's metapage that lets vacuum wait for running inserts.
#![expect(unsafe_code, reason = "calls the lock manager")]

use pgrx::pg_sys;

use super::Relation;

const BLOCK: pg_sys::BlockNumber = 0;

/// The lock, held by an insert from its search to its last link. An ERROR releases it with the transaction.
pub(crate) struct InsertLock {
    index: Relation,
    mode: i32,
}

impl InsertLock {
    /// Locks in share mode: other inserts may run.
    pub(crate) fn share(index: Relation) -> Self {
        Self::acquire(index, pg_sys::ShareLock.cast_signed())
    }

    /// Locks in exclusive mode: waits for running inserts, and blocks new ones until the release.
    pub(crate) fn exclusive(index: Relation) -> Self {
        Self::acquire(index, pg_sys::ExclusiveLock.cast_signed())
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.mode == pg_sys::ExclusiveLock.cast_signed()
    }

    fn acquire(index: Relation, mode: i32) -> Self {
        // SAFETY: the relation is open.
        unsafe { pg_sys::LockPage(index.raw(), BLOCK, mode) };
        Self { index, mode }
    }

    pub(crate) fn release(self) {
        // SAFETY: the lock was taken in this mode.
        unsafe { pg_sys::UnlockPage(self.index.raw(), BLOCK, self.mode) }
    }
}

/// Waits for all running inserts to end. Later inserts see everything written before this call.
pub(crate) fn wait_for_inserts(index: Relation) {
    InsertLock::exclusive(index).release();
}
