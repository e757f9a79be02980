//! The error boundary between Postgres and this library: every function called by Postgres works inside [`boundary`], and an
//! ERROR leaves the boundary unchanged.
//!
//! Inside a boundary, pgrx turns an ERROR of Postgres into a panic, so that destructors run. The report itself, with all of its
//! fields, stays on Postgres' stack of errors. When the panic arrives at the boundary, Postgres goes on with that report. An error
//! of this library arrives as a panic with its texts: the boundary makes a report of them, in the encoding of the database.
#![expect(unsafe_code, reason = "throws reports of Postgres")]

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::pg_sys::{self, ErrorData};

use super::text;

/// Runs the body of a function called by Postgres. An ERROR or panic inside becomes an ERROR of the caller, by a jump.
#[inline]
pub(crate) fn boundary<R>(work: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        // SAFETY: callers are functions that Postgres calls, which own nothing outside of `work`.
        Err(panic) => unsafe { throw(panic) },
    }
}

/// Functions without an error boundary of pgrx: an ERROR in them jumps straight to Postgres's handler; the frames in between
/// own nothing.
mod raw {
    use super::{ErrorData, c_char, pg_sys};

    unsafe extern "C-unwind" {
        pub(super) fn pg_re_throw() -> !;
        pub(super) fn ThrowErrorData(report: *mut ErrorData);
        pub(super) fn MemoryContextAllocZero(
            context: pg_sys::MemoryContext,
            size: usize,
        ) -> *mut std::ffi::c_void;
        pub(super) fn MemoryContextStrdup(
            context: pg_sys::MemoryContext,
            text: *const c_char,
        ) -> *mut c_char;
    }
}

/// Raises the ERROR of a panic.
///
/// # Safety
/// Called in the outermost function of this library, when its frames own nothing any more.
#[cold]
#[inline(never)]
unsafe fn throw(panic: Box<dyn Any + Send>) -> ! {
    match cause_of(panic) {
        // SAFETY: the caller's promise. The report is on top of Postgres' stack; handlers run in this memory context.
        Cause::Postgres => unsafe {
            pg_sys::CurrentMemoryContext = pg_sys::ErrorContext;
            raw::pg_re_throw()
        },
        // SAFETY: the caller's promise; if memory runs out, the jump leaks the texts.
        Cause::Omendb(report) => unsafe { raw::ThrowErrorData(new_report(report)) },
        // SAFETY: the caller's promise.
        Cause::Bug(panic) => unsafe { pgrx_extern_c_guard(|| resume_unwind(panic)) },
    }
    unreachable!("an ERROR does not return")
}

/// The cause of a panic.
enum Cause {
    /// An ERROR of Postgres, whose report is on top of Postgres' stack.
    Postgres,
    /// An error of this library.
    Omendb(Box<ErrorReportWithLevel>),
    /// Any other panic: a bug of this library, for pgrx to report.
    Bug(Box<dyn Any + Send>),
}

fn cause_of(panic: Box<dyn Any + Send>) -> Cause {
    let panic = match panic.downcast::<ErrorReportWithLevel>() {
        Ok(report) => return Cause::Omendb(report),
        Err(panic) => panic,
    };
    match panic.downcast::<CaughtError>() {
        Ok(caught) => match *caught {
            CaughtError::PostgresError(_) => Cause::Postgres,
            CaughtError::ErrorReport(report) => Cause::Omendb(Box::new(report)),
            bug @ CaughtError::RustPanic { .. } => Cause::Bug(Box::new(bug)),
        },
        Err(panic) => Cause::Bug(panic),
    }
}

/// Converts a report of pgrx to one of Postgres, in the memory that Postgres reserves for errors.
///
/// # Safety
/// A jump may pass all frames of this library: they own nothing.
unsafe fn new_report(from: Box<ErrorReportWithLevel>) -> *mut ErrorData {
    // SAFETY: the context lives as long as the process; texts are terminated, and copied.
    unsafe {
        let context = pg_sys::ErrorContext;
        let copy = |text: &str| {
            let mut bytes = text::to_bytes(text);
            bytes.push(0);
            raw::MemoryContextStrdup(context, bytes.as_ptr().cast())
        };
        let report: *mut ErrorData =
            raw::MemoryContextAllocZero(context, size_of::<ErrorData>()).cast();
        (*report).elevel = PgLogLevel::ERROR as c_int;
        (*report).sqlerrcode = from.sql_error_code() as c_int;
        (*report).message = copy(from.message());
        (*report).detail = from.detail().map_or(ptr::null_mut(), copy);
        (*report).hint = from.hint().map_or(ptr::null_mut(), copy);
        (*report).filename = constant(from.file());
        (*report).lineno = from.line_number().cast_signed();
        let function = from.function_name().filter(|name| !name.is_empty());
        (*report).funcname = function.map_or(ptr::null(), constant);
        report
    }
}

/// A name of a source file or function as a constant, since Postgres keeps pointers to them. The number of names is that of places
/// in source code which raise an error.
fn constant(name: &str) -> *const c_char {
    thread_local! {
        static NAMES: RefCell<BTreeSet<&'static CStr>> = const { RefCell::new(BTreeSet::new()) };
    }
    let name = CString::new(text::to_bytes(name)).unwrap_or_default();
    NAMES.with_borrow_mut(|names| match names.get(name.as_c_str()) {
        Some(known) => known.as_ptr(),
        None => {
            let name: &'static CStr = Box::leak(name.into_boxed_c_str());
            names.insert(name);
            name.as_ptr()
        }
    })
}
