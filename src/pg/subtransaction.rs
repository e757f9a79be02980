//! Runs work that may raise an ERROR, and continues after it.
#![expect(unsafe_code, reason = "begins and ends subtransactions")]

use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};

use super::boundary;

/// Runs `work` in a subtransaction. Returns the message of an ERROR with one of the expected codes; raises other ERRORs
/// again, for example a cancelled statement.
pub(crate) fn attempt<R>(
    expected: &[PgSqlErrorCode],
    work: impl FnOnce() -> R,
) -> Result<R, String> {
    // SAFETY: the subtransaction ends below, whatever `work` does; context and owner are saved before it begins.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|caught| Err(Box::new(caught)))
        .catch_rust_panic(|caught| Err(Box::new(caught)))
        .execute();
    // SAFETY: as above.
    unsafe {
        if result.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    result.map_err(|caught| match *caught {
        CaughtError::PostgresError(ref report) if expected.contains(&report.sql_error_code()) => {
            boundary::message(report)
        }
        other => other.rethrow(),
    })
}
