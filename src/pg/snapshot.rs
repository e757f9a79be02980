//! Registered snapshots, and the lifetime of a transaction's snapshot.
#![expect(unsafe_code, reason = "registers snapshots")]

use pgrx::pg_sys;

/// A registered snapshot: vacuum keeps the rows it sees until its release or the end of the transaction.
pub(crate) struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    /// Registers a new snapshot; from REPEATABLE READ on, the transaction's own.
    pub(crate) fn register() -> Self {
        // SAFETY: called within a transaction.
        unsafe { Self(pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot())) }
    }

    /// Registers the snapshot of the statement being executed.
    pub(crate) fn of_statement() -> Self {
        // SAFETY: called while a statement is executed, whose snapshot is active.
        unsafe { Self(pg_sys::RegisterSnapshot(pg_sys::GetActiveSnapshot())) }
    }

    pub(crate) fn raw(&self) -> pg_sys::Snapshot {
        self.0
    }

    pub(crate) fn release(self) {
        // SAFETY: registered by `register` and not used afterwards.
        unsafe { pg_sys::UnregisterSnapshot(self.0) }
    }
}

/// True if all statements of the transaction share a snapshot. It may be older than an index.
pub(crate) fn is_kept_by_transaction() -> bool {
    // SAFETY: a global of this backend.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ.cast_signed() }
}

/// `IsMVCCSnapshot`, a macro in C (utils/snapmgr.h).
///
/// # Safety
/// The snapshot is valid.
pub(crate) unsafe fn is_mvcc(snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: the caller's promise.
    let kind = unsafe { (*snapshot).snapshot_type };
    kind == pg_sys::SnapshotType::SNAPSHOT_MVCC
        || kind == pg_sys::SnapshotType::SNAPSHOT_HISTORIC_MVCC
}

/// True if the transaction began on a standby: its snapshot may be older than all of the primary.
pub(crate) fn began_in_recovery() -> bool {
    // SAFETY: reads the state of the transaction.
    unsafe { pg_sys::TransactionStartedDuringRecovery() }
}
