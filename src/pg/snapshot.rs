//! Which rows count as there.
#![expect(unsafe_code, reason = "registers snapshots")]

use pgrx::pg_sys;

/// A registered snapshot: what it sees is kept until it is released, or the transaction ends.
pub(crate) struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    /// A new one; the transaction's own from REPEATABLE READ on.
    pub(crate) fn register() -> Self {
        // SAFETY: called within a transaction.
        unsafe { Self(pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot())) }
    }

    pub(super) fn raw(&self) -> pg_sys::Snapshot {
        self.0
    }

    pub(crate) fn release(self) {
        // SAFETY: registered by `register` and not used afterwards.
        unsafe { pg_sys::UnregisterSnapshot(self.0) }
    }
}

/// Whether all statements of the transaction share a snapshot, which may be older than an index.
pub(crate) fn is_kept_by_transaction() -> bool {
    // SAFETY: a global of this backend.
    unsafe { pg_sys::XactIsoLevel >= pg_sys::XACT_REPEATABLE_READ.cast_signed() }
}
