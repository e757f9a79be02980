//! The boundary between Postgres and us: whatever it calls does its work inside [`boundary`], and an ERROR leaves that as it was
//! raised.
//!
//! Within, pgrx turns an ERROR of Postgres into a panic, so that destructors run, and keeps a few of its texts. The rest (SQLSTATEs
//! that it has no name for, context, names of constraints and columns, the position in a query, bytes that are not UTF-8) would
//! be lost. Postgres collects context before it jumps, by calling every `ErrorContextCallback` from the innermost outwards. We
//! have one on that stack for each boundary: the innermost of them takes a copy of the report, with the context of what happened
//! inside of it. When the panic arrives, the copy is thrown instead, and the callbacks outside add their lines to it.
//!
//! A copy must agree with the report that pgrx kept: an ERROR that was caught inside leaves its copy behind. One that PL/pgSQL
//! raises again (`RAISE;`) comes without a call of callbacks, perhaps after others; so the last few copies are kept.
#![expect(unsafe_code, reason = "copies and throws reports of Postgres")]

use std::any::Any;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use pgrx::pg_sys::panic::{CaughtError, ErrorReportWithLevel};
use pgrx::pg_sys::submodules::panic::pgrx_extern_c_guard;
use pgrx::pg_sys::{self, ErrorContextCallback, ErrorData};
use pgrx::{PgLogLevel, PgSqlErrorCode};

use super::text;

/// Copies that are kept.
const COPIES: usize = 4;

const ERROR: c_int = PgLogLevel::ERROR as c_int;

/// Does what Postgres called us for. An ERROR or panic inside becomes an ERROR of the caller, by a jump.
#[inline]
pub(crate) fn boundary<R>(work: impl FnOnce() -> R) -> R {
    thin_boundary(|| with_reports(work))
}

/// The same for work that asks Postgres for something only inside [`with_reports`]. A distance of two plain vectors does not ask.
#[inline]
pub(crate) fn thin_boundary<R>(work: impl FnOnce() -> R) -> R {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => value,
        // SAFETY: callers are functions that Postgres calls, which own nothing outside of `work`.
        Err(panic) => unsafe { throw(panic) },
    }
}

/// Does something in which Postgres may raise an ERROR, of whose report a copy is kept.
#[inline]
pub(crate) fn with_reports<R>(work: impl FnOnce() -> R) -> R {
    let mut frame = Frame(ErrorContextCallback {
        previous: ptr::null_mut(),
        callback: Some(keep_copy),
        arg: ptr::null_mut(),
    });
    let this = &raw mut frame.0;
    // SAFETY: Postgres calls us in the main thread. The frame does not move, and is taken off the stack before it is gone: panics
    // drop it, and pgrx catches all jumps of Postgres further inside.
    unsafe {
        (*this).previous = pg_sys::error_context_stack;
        (*this).arg = this.cast();
        pg_sys::error_context_stack = this;
    }
    work()
}

/// What is on Postgres's stack of error contexts.
struct Frame(ErrorContextCallback);

impl Drop for Frame {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: whatever was put on the stack above this frame is gone.
        unsafe { pg_sys::error_context_stack = self.0.previous }
    }
}

/// The message of an ERROR of Postgres that was caught inside the innermost boundary.
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
    /// What is in the context of the same number: a copy, or null.
    static KEPT: Cell<[*mut ErrorData; COPIES]> = const { Cell::new([ptr::null_mut(); COPIES]) };
    /// The oldest copy, which the next one takes the place of.
    static OLDEST: Cell<usize> = const { Cell::new(0) };
    static COPYING: Cell<bool> = const { Cell::new(false) };
}

/// Makes room for copies when the library is loaded, so that there is some when memory is short. Each has a block to itself.
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

/// Frees copies, which may be large. Whoever handles an ERROR has it by now.
unsafe extern "C-unwind" fn at_end_of_transaction(
    _event: pg_sys::XactEvent::Type,
    _argument: *mut c_void,
) {
    if KEPT.get() != [ptr::null_mut(); COPIES] {
        (0..COPIES).for_each(empty);
    }
}

/// Functions without an error boundary of pgrx: an ERROR in them is Postgres's to handle, by a jump over frames that own nothing.
mod raw {
    use super::{ErrorData, c_char, c_int, c_void, pg_sys};

    unsafe extern "C-unwind" {
        pub(super) fn CopyErrorData() -> *mut ErrorData;
        pub(super) fn ThrowErrorData(report: *mut ErrorData);
        pub(super) fn geterrcode() -> c_int;
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

/// Called by Postgres for every message that is reported inside a boundary, with `ErrorContext` as the current one.
unsafe extern "C-unwind" fn keep_copy(this: *mut c_void) {
    // SAFETY: a report is being made, and the frames on the stack are live. What CopyErrorData raises jumps over nothing.
    unsafe {
        // Not for outer boundaries, whose turn comes when the inner one throws; nor for what has no SQLSTATE, and so is no ERROR.
        let this = this.cast::<ErrorContextCallback>().cast_const();
        if !ptr::eq(innermost(), this) || raw::geterrcode() == 0 {
            return;
        }
        // Memory ran out when the report was copied, and this is the report of that.
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
        }
    }
}

/// The innermost boundary that we are in.
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

/// Frees a copy.
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

/// The last copy of a report.
///
/// # Safety
/// Copies are not freed as long as the result is used: no ERROR is raised meanwhile.
unsafe fn copy_of(report: &ErrorReportWithLevel) -> Option<*mut ErrorData> {
    let kept = KEPT.get();
    (1..=COPIES)
        .map(|back| kept[(OLDEST.get() + COPIES - back) % COPIES])
        // SAFETY: what is kept is whole.
        .find(|&copy| unsafe { agrees(copy, report) })
}

/// Whether a copy is of the report of which pgrx kept some texts.
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

/// Makes an ERROR of a panic.
///
/// # Safety
/// Called in an outermost function of ours, whose frames own nothing any more.
#[cold]
#[inline(never)]
unsafe fn throw(panic: Box<dyn Any + Send>) -> ! {
    // SAFETY: the caller's promise; the report lies in a memory context that is not reset before it has been copied.
    unsafe {
        COPYING.set(false);
        match report_of(panic) {
            Ok(report) => raw::ThrowErrorData(report),
            Err(panic) => pgrx_extern_c_guard(|| resume_unwind(panic)),
        }
    }
    unreachable!("an ERROR does not return")
}

/// What a panic reports, or the panic itself if it is a fault of ours, of which pgrx makes a report.
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

/// A report of Postgres's kind.
///
/// # Safety
/// The frames of our functions own nothing that a jump may not pass by, but for this report, which it leaks if memory runs out.
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
        (*report).filename = copy(from.file());
        (*report).lineno = from.line_number().cast_signed();
        let function = from.function_name().filter(|name| !name.is_empty());
        (*report).funcname = function.map_or(ptr::null(), |name| copy(name).cast_const());
        keep(number, report);
        report
    }
}
