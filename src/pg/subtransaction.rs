//! Runs work that may raise an ERROR, and continues after it.
#![expect(unsafe_code, reason = "begins and ends subtransactions")]

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};

use super::{compat, text};

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
    // Behind a handler, pgrx takes the report off Postgres' stack.
    let result = PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|caught| Err(Failure::of(caught, context)))
        .catch_rust_panic(|caught| Err(Failure::of(caught, context)))
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
    result.map_err(|failure| failure.message(expected))
}

/// The end of work that failed.
enum Failure {
    /// A copy of the report of an ERROR of Postgres.
    Postgres(*mut pg_sys::ErrorData),
    Omendb(Box<CaughtError>),
}

impl Failure {
    /// Copies the report on top of Postgres' stack, if the ERROR is one of Postgres, to a context that outlives the work.
    fn of(caught: CaughtError, context: pg_sys::MemoryContext) -> Self {
        match caught {
            // SAFETY: the report stays on the stack as long as the handler of an ERROR runs.
            CaughtError::PostgresError(_) => unsafe {
                pg_sys::MemoryContextSwitchTo(context);
                Self::Postgres(pg_sys::CopyErrorData())
            },
            other => Self::Omendb(Box::new(other)),
        }
    }

    /// The message of an ERROR of Postgres with an expected code; raises other failures again.
    fn message(self, expected: &[PgSqlErrorCode]) -> String {
        match self {
            Self::Omendb(caught) => caught.rethrow(),
            // SAFETY: the copy is whole, its message terminated, and nothing refers to it afterwards.
            Self::Postgres(report) => unsafe {
                if !expected.contains(&(*report).sqlerrcode.into()) {
                    compat::rethrow(report);
                }
                let message = (*report).message;
                let message =
                    (!message.is_null()).then(|| text::to_string(CStr::from_ptr(message)));
                pg_sys::FreeErrorData(report);
                message.unwrap_or_default()
            },
        }
    }
}
