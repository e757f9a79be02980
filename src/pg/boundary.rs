//! The error boundary between Postgres and this library: every function called by Postgres works inside [`boundary`], and an
//! ERROR leaves the boundary unchanged.
//!
//! Inside a boundary, pgrx turns an ERROR of Postgres into a panic, so that destructors run, and keeps a few of its texts.
//! The rest (SQLSTATEs unknown to pgrx, context, names of constraints and columns, the position in a query, bytes outside
//! UTF-8) would be lost. Postgres collects context before it jumps, by calling every `ErrorContextCallback` from the innermost
//! outwards. Each boundary pushes a callback: the innermost one copies the report, with the context collected inside its
//! boundary. When the panic arrives, the copy is thrown instead, and the callbacks outside add their lines to it.
//!
//! A copy is thrown only if it agrees with the report kept by pgrx, because an ERROR caught inside leaves its copy behind.
//! PL/pgSQL can raise an ERROR again (`RAISE;`) without calling callbacks, perhaps after other ERRORs; so the last few copies
//! are kept.
#![expect(unsafe_code, reason = "copies and throws reports of Postgres")]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::pg_sys::{self, ErrorContextCallback, ErrorData};
use pgrx::{PgLogLevel, PgSqlErrorCode};

use super::text;

/// The number of reports kept.
const COPIES: usize = 4;

const ERROR: c_int = PgLogLevel::ERROR as c_int;

/// Runs the body of a function called by Postgres. An ERROR or panic inside becomes an ERROR of the caller, by a jump.
#[inline]
pub(crate) fn boundary<R>(work: impl FnOnce() -> R) -> R {
    thin_boundary(|| with_reports(work))
}

/// As [`boundary`], for work that calls Postgres only inside [`with_reports`]. The distance of two plain vectors calls nothing.
#[inline]
pub(crate) fn thin_boundary<R>(work: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        // SAFETY: callers are functions that Postgres calls, which own nothing outside of `work`.
        Err(panic) => unsafe { throw(panic) },
    }
}

/// Runs work that may raise an ERROR of Postgres, and keeps a copy of its report.
#[inline]
pub(crate) fn with_reports<R>(work: impl FnOnce() -> R) -> R {
    let mut frame = Frame(ErrorContextCallback {
        previous: ptr::null_mut(),
        callback: Some(keep_copy),
        arg: ptr::null_mut(),
    });
    let this = &raw mut frame.0;
    // SAFETY: Postgres calls us in the main thread. The frame does not move, and is popped before it is gone: panics drop it,
    // and pgrx catches all jumps of Postgres further inside.
    unsafe {
        (*this).previous = pg_sys::error_context_stack;
        (*this).arg = this.cast();
        pg_sys::error_context_stack = this;
    }
    work()
}

/// An entry of Postgres's stack of error context callbacks.
struct Frame(ErrorContextCallback);

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: all frames pushed above this one are gone.
        unsafe { pg_sys::error_context_stack = self.0.previous }
    }
}

/// The message of an ERROR of Postgres caught inside the innermost boundary.
pub(crate) fn message(report: &ErrorReportWithLevel) -> String {
    // SAFETY: a copy is whole, and its texts are terminated.
    unsafe {
        match copy_of(report) {
            Some(copy) if !(*copy).message.is_null() => {
                text::to_string(CStr::from_ptr((*copy).message))
            }
            _ => report.message().to_owned(),
        }
    }
}

thread_local! {
    static CONTEXTS: Cell<[pg_sys::MemoryContext; COPIES]> = const { Cell::new([ptr::null_mut(); COPIES]) };
    /// The copy in the context of the same number, or null.
    static KEPT: Cell<[*mut ErrorData; COPIES]> = const { Cell::new([ptr::null_mut(); COPIES]) };
    /// The number of the oldest copy, the next to be replaced.
    static OLDEST: Cell<usize> = const { Cell::new(0) };
    static COPYING: Cell<bool> = const { Cell::new(false) };
    /// Names of source files and functions in reports: Postgres keeps pointers to them, as to constants.
    static NAMES: RefCell<BTreeSet<&'static CStr>> = const { RefCell::new(BTreeSet::new()) };
}

/// A name as a constant. The number of names is that of places in source code which raise an error.
fn constant(name: &str) -> *const c_char {
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

/// Allocates memory for copies when the library is loaded, so that reports can be copied when memory is short. Each copy has a
/// memory context with a block of its own.
pub(crate) fn init() {
    if !CONTEXTS.get()[0].is_null() {
        return;
    }
    let size = pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize;
    let max_size = pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize;
    // SAFETY: the parent lives as long as the process, and the name is a constant.
    CONTEXTS.set([(); COPIES].map(|()| unsafe {
        let name = c"omendb error".as_ptr();
        pg_sys::AllocSetContextCreateInternal(pg_sys::TopMemoryContext, name, size, size, max_size)
    }));
    // SAFETY: registered once in the life of the process.
    unsafe { pg_sys::RegisterXactCallback(Some(at_end_of_transaction), ptr::null_mut()) }
}

/// Frees copies, which may be large. All ERRORs of the transaction have been handled by now.
unsafe extern "C-unwind" fn at_end_of_transaction(
    _event: pg_sys::XactEvent::Type,
    _argument: *mut c_void,
) {
    if KEPT.get() != [ptr::null_mut(); COPIES] {
        (0..COPIES).for_each(empty);
    }
}

/// Functions without an error boundary of pgrx: an ERROR in them jumps straight to Postgres's handler; the frames in between
/// own nothing.
mod raw {
    use super::{ErrorData, c_char, c_int, c_void, pg_sys};

    unsafe extern "C-unwind" {
        pub(super) fn CopyErrorData() -> *mut ErrorData;
        pub(super) fn ThrowErrorData(report: *mut ErrorData);
        pub(super) fn geterrcode() -> c_int;
        pub(super) fn errhidestmt(hide: bool) -> c_int;
        pub(super) fn errhidecontext(hide: bool) -> c_int;
        pub(super) fn MemoryContextReset(context: pg_sys::MemoryContext);
        pub(super) fn MemoryContextAllocZero(
            context: pg_sys::MemoryContext,
            size: usize,
        ) -> *mut c_void;
        pub(super) fn MemoryContextStrdup(
            context: pg_sys::MemoryContext,
            text: *const c_char,
        ) -> *mut c_char;
    }
}

/// Copies a report. Postgres calls this for every message reported inside a boundary, with `ErrorContext` as the current
/// memory context.
unsafe extern "C-unwind" fn keep_copy(this: *mut c_void) {
    // SAFETY: a report is being made, and the frames on the stack are live. An ERROR of CopyErrorData jumps over nothing.
    unsafe {
        // Outer boundaries copy when the inner one throws. A message without SQLSTATE is no ERROR.
        let this = this.cast::<ErrorContextCallback>().cast_const();
        if !ptr::eq(innermost(), this) || raw::geterrcode() == 0 {
            return;
        }
        // A critical section allocates nothing, and an ERROR in one is a PANIC. From 18 on, reads warn of checksums in one.
        if pg_sys::CritSectionCount > 0 {
            return;
        }
        // Memory ran out while a report was copied, and this is the report of the failed copy.
        if COPYING.replace(true) {
            COPYING.set(false);
            return;
        }
        let number = OLDEST.get();
        empty(number);
        let outer = pg_sys::MemoryContextSwitchTo(CONTEXTS.get()[number]);
        let report = raw::CopyErrorData();
        pg_sys::MemoryContextSwitchTo(outer);
        COPYING.set(false);
        if (*report).elevel == ERROR {
            keep(number, report);
        } else {
            empty(number);
        }
    }
}

/// The innermost boundary on the stack.
fn innermost() -> *const ErrorContextCallback {
    // SAFETY: frames on the stack are live.
    unsafe {
        let mut frame = pg_sys::error_context_stack.cast_const();
        while let Some(callback) = frame.as_ref() {
            let keep_copy: unsafe extern "C-unwind" fn(*mut c_void) = keep_copy;
            if (callback.callback).is_some_and(|callback| ptr::fn_addr_eq(callback, keep_copy)) {
                break;
            }
            frame = callback.previous;
        }
        frame
    }
}

/// Frees the copy of this number.
fn empty(number: usize) {
    let mut kept = KEPT.get();
    kept[number] = ptr::null_mut();
    KEPT.set(kept);
    // SAFETY: made by `init`.
    unsafe { raw::MemoryContextReset(CONTEXTS.get()[number]) };
}

fn keep(number: usize, report: *mut ErrorData) {
    let mut kept = KEPT.get();
    kept[number] = report;
    KEPT.set(kept);
    OLDEST.set((number + 1) % COPIES);
}

/// The most recent copy of a report.
///
/// # Safety
/// No ERROR is raised while the result is used, since an ERROR may free copies.
unsafe fn copy_of(report: &ErrorReportWithLevel) -> Option<*mut ErrorData> {
    let kept = KEPT.get();
    (1..=COPIES)
        .map(|back| kept[(OLDEST.get() + COPIES - back) % COPIES])
        // SAFETY: a copy kept is whole.
        .find(|&copy| unsafe { agrees(copy, report) })
}

/// True if a copy and pgrx's texts are of the same report.
///
/// # Safety
/// The copy is whole, or null.
unsafe fn agrees(copy: *const ErrorData, report: &ErrorReportWithLevel) -> bool {
    let same = |ours: *const c_char, pgrx: Option<&str>| match pgrx {
        None => ours.is_null(),
        // SAFETY: a text of the copy, terminated.
        Some(text) => !ours.is_null() && unsafe { CStr::from_ptr(ours) }.to_string_lossy() == text,
    };
    // SAFETY: the caller's promise.
    let Some(copy) = (unsafe { copy.as_ref() }) else {
        return false;
    };
    PgSqlErrorCode::from(copy.sqlerrcode) == report.sql_error_code()
        && copy.lineno == report.line_number().cast_signed()
        && (copy.message.is_null() || same(copy.message, Some(report.message())))
        && same(copy.detail, report.detail())
        && same(copy.hint, report.hint())
}

/// Raises the ERROR of a panic.
///
/// # Safety
/// Called in the outermost function of this library, when its frames own nothing any more.
#[cold]
#[inline(never)]
unsafe fn throw(panic: Box<dyn Any + Send>) -> ! {
    // SAFETY: the caller's promise; the report lies in a memory context that is not reset before it has been copied.
    unsafe {
        COPYING.set(false);
        match report_of(panic) {
            Ok(report) => throw_report(report),
            Err(panic) => pgrx_extern_c_guard(|| resume_unwind(panic)),
        }
    }
    unreachable!("an ERROR does not return")
}

/// Raises a report. ThrowErrorData copies all of it but the flags that keep the statement or the context out of the log:
/// a callback sets them, and the jump takes it off the stack.
///
/// # Safety
/// As for [`throw`].
unsafe fn throw_report(report: *mut ErrorData) {
    let mut flags = ErrorContextCallback {
        // SAFETY: the main thread's stack of callbacks.
        previous: unsafe { pg_sys::error_context_stack },
        callback: Some(hide),
        arg: report.cast(),
    };
    // SAFETY: the frame lives until the jump, which restores the stack.
    unsafe {
        pg_sys::error_context_stack = &raw mut flags;
        raw::ThrowErrorData(report);
    }
}

/// Gives the report being raised the flags of the one that it is a copy of.
unsafe extern "C-unwind" fn hide(report: *mut c_void) {
    // SAFETY: `throw_report`'s report; the report being raised is on top of Postgres' stack of them.
    unsafe {
        let report = report.cast::<ErrorData>();
        raw::errhidestmt((*report).hide_stmt);
        raw::errhidecontext((*report).hide_ctx);
    }
}

/// The report of a panic; or the panic itself if it is a bug of this library, for pgrx to report.
///
/// # Safety
/// As for [`throw`].
unsafe fn report_of(panic: Box<dyn Any + Send>) -> Result<*mut ErrorData, Box<dyn Any + Send>> {
    let panic = match panic.downcast::<ErrorReportWithLevel>() {
        // SAFETY: the caller's promise, here and below.
        Ok(report) => return Ok(unsafe { new_report(&report) }),
        Err(panic) => panic,
    };
    match *panic.downcast::<CaughtError>()? {
        CaughtError::PostgresError(report) => {
            // SAFETY: as above.
            Ok(unsafe { copy_of(&report).unwrap_or_else(|| new_report(&report)) })
        }
        // SAFETY: as above.
        CaughtError::ErrorReport(report) => Ok(unsafe { new_report(&report) }),
        panic @ CaughtError::RustPanic { .. } => Err(Box::new(panic)),
    }
}

/// Converts a report of pgrx to one of Postgres.
///
/// # Safety
/// A jump may pass all frames of this library: they own nothing. If memory runs out, the jump leaks `from`.
unsafe fn new_report(from: &ErrorReportWithLevel) -> *mut ErrorData {
    let number = OLDEST.get();
    empty(number);
    let context = CONTEXTS.get()[number];
    // SAFETY: made by `init`; texts are terminated, and copied.
    unsafe {
        let copy = |text: &str| {
            let mut bytes = text::to_bytes(text);
            bytes.push(0);
            raw::MemoryContextStrdup(context, bytes.as_ptr().cast())
        };
        let report: *mut ErrorData =
            raw::MemoryContextAllocZero(context, size_of::<ErrorData>()).cast();
        (*report).elevel = ERROR;
        (*report).sqlerrcode = from.sql_error_code() as c_int;
        (*report).message = copy(from.message());
        (*report).detail = from.detail().map_or(ptr::null_mut(), copy);
        (*report).hint = from.hint().map_or(ptr::null_mut(), copy);
        (*report).filename = constant(from.file());
        (*report).lineno = from.line_number().cast_signed();
        let function = from.function_name().filter(|name| !name.is_empty());
        (*report).funcname = function.map_or(ptr::null(), constant);
        keep(number, report);
        report
    }
}
