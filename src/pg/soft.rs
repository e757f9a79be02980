//! Soft errors of input functions: some callers want bad input reported without an ERROR (`pg_input_is_valid`,
//! `COPY ... ON_ERROR ignore`), since PostgreSQL 16.
#![expect(unsafe_code, reason = "fills Postgres' ErrorSaveContext")]

use pgrx::pg_sys::{Datum, FunctionCallInfo};

/// Runs an input function. Saves an error of this library in the caller's `ErrorSaveContext`, if it passed one; an ERROR of
/// Postgres remains an ERROR.
///
/// # Safety
/// The call is that of an input function.
#[cfg(feature = "pg15")]
pub(crate) unsafe fn input(_call: FunctionCallInfo, work: impl FnOnce() -> Datum) -> Datum {
    work()
}

/// Runs an input function. Saves an error of this library in the caller's `ErrorSaveContext`, if it passed one; an ERROR of
/// Postgres remains an ERROR, and so does one that says nothing about the input.
///
/// # Safety
/// The call is that of an input function.
#[cfg(not(feature = "pg15"))]
pub(crate) unsafe fn input(call: FunctionCallInfo, work: impl FnOnce() -> Datum) -> Datum {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use pgrx::pg_sys::panic::ErrorReportWithLevel;

    // SAFETY: a call's context is null or a node.
    let context = unsafe { (*call).context };
    // SAFETY: as above.
    if !unsafe { super::node::has_tag(context, pgrx::pg_sys::NodeTag::T_ErrorSaveContext) } {
        return work();
    }
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        Err(panic) => match panic.downcast::<ErrorReportWithLevel>() {
            Ok(report) if is_hard(&report) => resume_unwind(report),
            Ok(report) => {
                // SAFETY: the context is of this type.
                unsafe { save(context, &report) };
                Datum::from(0)
            }
            Err(panic) => resume_unwind(panic),
        },
    }
}

/// True for an error that another input would have met too.
#[cfg(not(feature = "pg15"))]
fn is_hard(report: &pgrx::pg_sys::panic::ErrorReportWithLevel) -> bool {
    use pgrx::PgSqlErrorCode as Code;

    matches!(
        report.sql_error_code(),
        Code::ERRCODE_OUT_OF_MEMORY | Code::ERRCODE_INTERNAL_ERROR | Code::ERRCODE_DATA_CORRUPTED
    )
}

/// `errsave` and `ereturn`, macros in C (utils/elog.h).
///
/// # Safety
/// The context is an `ErrorSaveContext`.
#[cfg(not(feature = "pg15"))]
unsafe fn save(
    context: *mut pgrx::pg_sys::Node,
    report: &pgrx::pg_sys::panic::ErrorReportWithLevel,
) {
    use std::ffi::{c_char, c_int};

    use pgrx::pg_sys;

    use super::text;

    unsafe extern "C-unwind" {
        fn errcode(code: c_int) -> c_int;
        fn errhint(format: *const c_char, ...) -> c_int;
    }

    let terminated = |text: &str| {
        let mut bytes = text::to_bytes(text);
        bytes.push(0);
        bytes
    };
    let [message, detail, hint] =
        [Some(report.message()), report.detail(), report.hint()].map(|text| text.map(terminated));
    let pointer = |text: &Option<Vec<u8>>| {
        text.as_ref()
            .map_or(c"".as_ptr(), |text| text.as_ptr().cast::<c_char>())
    };
    // SAFETY: the caller's promise; texts are terminated, and Postgres copies them; names of file and function are constants.
    unsafe {
        if !pg_sys::errsave_start(context, std::ptr::null()) {
            return;
        }
        errcode(report.sql_error_code() as c_int);
        pg_sys::errmsg_internal(c"%s".as_ptr(), pointer(&message));
        if detail.is_some() {
            pg_sys::errdetail_internal(c"%s".as_ptr(), pointer(&detail));
        }
        if hint.is_some() {
            errhint(c"%s".as_ptr(), pointer(&hint));
        }
        pg_sys::errsave_finish(context, c"omendb".as_ptr(), 0, c"input".as_ptr());
    }
}
