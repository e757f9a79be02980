//! Index options: `WITH (m = 16, ef_construction = 64)`.
#![expect(unsafe_code, reason = "hands a table of options to Postgres")]

use std::ffi::CStr;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use hnsw::Params;
use pgrx::pg_sys;

use crate::pg::{Relation, compat};

/// What `amoptions` fills and `rd_options` points to: a varlena of fixed layout.
#[repr(C)]
#[derive(Clone, Copy)]
struct Options {
    header: i32,
    m: i32,
    ef_construction: i32,
}

/// An integer option: its name, meaning, default and range.
struct IntOption {
    name: &'static CStr,
    meaning: &'static CStr,
    default: i32,
    min: i32,
    max: i32,
    offset: usize,
}

const OPTIONS: [IntOption; 2] = [
    IntOption {
        name: c"m",
        meaning: c"Max number of connections",
        default: 16,
        min: 2,
        max: 100,
        offset: offset_of!(Options, m),
    },
    IntOption {
        name: c"ef_construction",
        meaning: c"Size of the dynamic candidate list for construction",
        default: 64,
        min: 4,
        max: 1000,
        offset: offset_of!(Options, ef_construction),
    },
];

static KIND: AtomicU32 = AtomicU32::new(0);

/// Registers the options; called once, when the library is loaded.
pub(crate) fn init() {
    // SAFETY: called from _PG_init; names and meanings live forever.
    unsafe {
        let kind = pg_sys::add_reloption_kind();
        KIND.store(kind, Ordering::Relaxed);
        for option in &OPTIONS {
            pg_sys::add_int_reloption(
                kind,
                option.name.as_ptr(),
                option.meaning.as_ptr(),
                option.default,
                option.min,
                option.max,
                pg_sys::AccessExclusiveLock.cast_signed(),
            );
        }
    }
}

/// Parses and checks the options of an index.
///
/// # Safety
/// `options` is what Postgres passes to `amoptions`.
pub(super) unsafe fn parse(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    let table = OPTIONS.map(|option| {
        let offset = i32::try_from(option.offset).expect("a small struct");
        compat::int_option(option.name, offset)
    });
    // SAFETY: the table describes `Options`, whose size is given.
    unsafe {
        pg_sys::build_reloptions(
            options,
            validate,
            KIND.load(Ordering::Relaxed),
            size_of::<Options>(),
            table.as_ptr(),
            i32::try_from(table.len()).expect("a short table"),
        )
        .cast()
    }
}

/// The options of an index as its user gave them, or the defaults.
pub(super) fn params(index: Relation) -> Params {
    // SAFETY: `parse` fills `Options` for every hnsw index.
    let given = unsafe { index.options::<Options>() };
    let [m, ef_construction] = given.map_or_else(
        || OPTIONS.map(|option| option.default),
        |options| [options.m, options.ef_construction],
    );
    Params {
        m: m.unsigned_abs() as usize,
        ef_construction: ef_construction.unsigned_abs() as usize,
    }
}
