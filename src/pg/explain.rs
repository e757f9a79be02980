//! A line of ours below an index scan in EXPLAIN ANALYZE. From PostgreSQL 18 on a library may add one without being preloaded.
#![expect(unsafe_code, reason = "registers a hook with Postgres")]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char};

use pgrx::pg_sys;

use super::{boundary, compat};

/// Describes an index scan that has run; `None` for a scan of another access method, or one that never began.
pub(crate) type Describe = unsafe fn(pg_sys::IndexScanDesc) -> Option<Vec<Property>>;

/// A name, and what it is.
pub(crate) type Property = (&'static CStr, Value);

/// A value of a property.
pub(crate) enum Value {
    Count(u64),
    Number(f64),
    Word(&'static CStr),
}

/// The label of the line.
const LABEL: &CStr = c"HNSW";

thread_local! {
    static DESCRIBE: Cell<Option<Describe>> = const { Cell::new(None) };
    static NEXT: Cell<Option<compat::ExplainNode>> = const { Cell::new(None) };
}

/// Registers `describe`. Before PostgreSQL 18 nothing calls it.
pub(crate) fn on_index_scan(describe: Describe) {
    // Postgres calls _PG_init again after an error: set the hook only once.
    if DESCRIBE.replace(Some(describe)).is_none() {
        NEXT.set(compat::set_explain_hook(explain_node));
    }
}

unsafe extern "C-unwind" fn explain_node(
    node: *mut pg_sys::PlanState,
    ancestors: *mut pg_sys::List,
    relationship: *const c_char,
    plan_name: *const c_char,
    state: *mut pg_sys::ExplainState,
) {
    boundary(|| {
        // SAFETY: Postgres passes a node of the plan being explained; the arguments are passed on unchanged.
        unsafe {
            if let Some(next) = NEXT.get() {
                pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    next(node, ancestors, relationship, plan_name, state);
                });
            }
            if (*state).analyze
                && let Some(scan) = index_scan(node)
                && let Some(properties) = DESCRIBE.get().and_then(|describe| describe(scan))
            {
                if (*state).format == pg_sys::ExplainFormat::EXPLAIN_FORMAT_TEXT {
                    let line = CString::new(line(&properties)).expect("text without zeroes");
                    pg_sys::ExplainPropertyText(LABEL.as_ptr(), line.as_ptr(), state);
                } else {
                    group(&properties, state);
                }
            }
        }
    });
}

/// The index scan of a node that is one and has run.
///
/// # Safety
/// The node is valid.
unsafe fn index_scan(node: *mut pg_sys::PlanState) -> Option<pg_sys::IndexScanDesc> {
    // SAFETY: the caller's promise; the tag says what the node is.
    unsafe {
        if (*node).type_ != pg_sys::NodeTag::T_IndexScanState {
            return None;
        }
        let scan = (*node.cast::<pg_sys::IndexScanState>()).iss_ScanDesc;
        (!scan.is_null()).then_some(scan)
    }
}

/// As Postgres shows buffers: `walks=1 rows=55`.
fn line(properties: &[Property]) -> String {
    let words = properties.iter().map(|(name, value)| {
        let name = name.to_string_lossy();
        match value {
            Value::Count(count) => format!("{name}={count}"),
            Value::Number(number) => format!("{name}={number:.3}"),
            Value::Word(word) => format!("{name}={}", word.to_string_lossy()),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The properties as members of a group, in formats with structure.
///
/// # Safety
/// `state` is that of an EXPLAIN being printed.
unsafe fn group(properties: &[Property], state: *mut pg_sys::ExplainState) {
    // SAFETY: the caller's promise; the texts are constants.
    unsafe {
        pg_sys::ExplainOpenGroup(LABEL.as_ptr(), LABEL.as_ptr(), true, state);
        for (name, value) in properties {
            let name = name.as_ptr();
            match value {
                Value::Count(count) => {
                    let count = i64::try_from(*count).unwrap_or(i64::MAX);
                    pg_sys::ExplainPropertyInteger(name, std::ptr::null(), count, state);
                }
                Value::Number(number) => {
                    pg_sys::ExplainPropertyFloat(name, std::ptr::null(), *number, 3, state);
                }
                Value::Word(word) => pg_sys::ExplainPropertyText(name, word.as_ptr(), state),
            }
        }
        pg_sys::ExplainCloseGroup(LABEL.as_ptr(), LABEL.as_ptr(), true, state);
    }
}
