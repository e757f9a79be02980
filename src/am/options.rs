//! Index options: `WITH (m = 16, ef_construction = 64)` of hnsw, `WITH (lists = 100)` of ivfflat.
#![expect(unsafe_code, reason = "hands a table of options to Postgres")]

use std::ffi::CStr;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use hnsw::Params;
use pgrx::pg_sys;

use crate::pg::{Relation, compat};
use crate::{error, opclass};

/// The struct `amoptions` returns and `rd_options` points to: a varlena of fixed layout, the same for both access methods, so
/// that code reading `m` needs no case for each.
#[repr(C)]
#[derive(Clone, Copy)]
struct Options {
    header: i32,
    m: i32,
    ef_construction: i32,
    lists: i32,
    /// The distance of the string from the start of the struct, or 0.
    graphs: i32,
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

const M: IntOption = IntOption {
    name: c"m",
    meaning: c"Max number of connections",
    default: 16,
    min: *opclass::M.start(),
    max: *opclass::M.end(),
    offset: offset_of!(Options, m),
};

const EF_CONSTRUCTION: IntOption = IntOption {
    name: c"ef_construction",
    meaning: c"Size of the dynamic candidate list for construction",
    default: 64,
    min: *opclass::EF_CONSTRUCTION.start(),
    max: *opclass::EF_CONSTRUCTION.end(),
    offset: offset_of!(Options, ef_construction),
};

/// Kept for `pg_dump` and for clients that read it back; nothing else uses it.
const LISTS: IntOption = IntOption {
    name: c"lists",
    meaning: c"Number of inverted lists",
    default: 100,
    min: 1,
    max: 32_768,
    offset: offset_of!(Options, lists),
};

/// The key column whose values have graphs of their own: a string.
const GRAPHS: (&CStr, &CStr) = (
    c"graphs",
    c"Key column whose values have graphs of their own",
);

/// The options of an access method, and the number Postgres groups them by.
struct Table<const N: usize> {
    options: [IntOption; N],
    /// True if `graphs` is an option too.
    has_graphs: bool,
    kind: AtomicU32,
}

static HNSW: Table<2> = Table::new([M, EF_CONSTRUCTION], true);
static IVFFLAT: Table<1> = Table::new([LISTS], false);

/// Registers the options; called once, when the library is loaded.
pub(crate) fn init() {
    HNSW.register();
    IVFFLAT.register();
}

impl<const N: usize> Table<N> {
    const fn new(options: [IntOption; N], has_graphs: bool) -> Self {
        Self {
            options,
            has_graphs,
            kind: AtomicU32::new(0),
        }
    }

    fn register(&self) {
        // SAFETY: called from _PG_init; names and meanings live forever.
        unsafe {
            let kind = pg_sys::add_reloption_kind();
            self.kind.store(kind, Ordering::Relaxed);
            for option in &self.options {
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
            if self.has_graphs {
                pg_sys::add_string_reloption(
                    kind,
                    GRAPHS.0.as_ptr(),
                    GRAPHS.1.as_ptr(),
                    std::ptr::null(),
                    None,
                    pg_sys::AccessExclusiveLock.cast_signed(),
                );
            }
        }
    }

    /// Parses and checks the options of an index. Fields of options missing in the table are zero.
    ///
    /// # Safety
    /// `options` is what Postgres passes to `amoptions`.
    unsafe fn parse(&self, options: pg_sys::Datum, validate: bool) -> *mut Options {
        let at = |offset| i32::try_from(offset).expect("a small struct");
        let numbers = self.options.iter();
        let mut table: Vec<_> = numbers
            .map(|option| compat::int_option(option.name, at(option.offset)))
            .collect();
        if self.has_graphs {
            table.push(compat::string_option(
                GRAPHS.0,
                at(offset_of!(Options, graphs)),
            ));
        }
        // SAFETY: the table describes `Options`, whose size is given.
        unsafe {
            pg_sys::build_reloptions(
                options,
                validate,
                self.kind.load(Ordering::Relaxed),
                size_of::<Options>(),
                table.as_ptr(),
                i32::try_from(table.len()).expect("a short table"),
            )
            .cast()
        }
    }
}

/// The options of an hnsw index.
///
/// # Safety
/// `options` is what Postgres passes to `amoptions`.
pub(super) unsafe fn of_hnsw(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    // SAFETY: the caller's promise; `parse` returns a struct of its own, or null.
    unsafe {
        let parsed = HNSW.parse(options, validate);
        // Options are checked together when they are set, so that a rewrite of the table never meets a bad pair. An option not
        // given has its default here.
        if validate
            && let Some(parsed) = parsed.as_ref()
            && parsed.ef_construction < 2 * parsed.m
        {
            error::ef_construction_too_small();
        }
        parsed.cast()
    }
}

/// The options of an ivfflat index, whose graph has the defaults of hnsw.
///
/// # Safety
/// `options` is what Postgres passes to `amoptions`.
pub(super) unsafe fn of_ivfflat(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    // SAFETY: the caller's promise; `parse` returns a struct of its own, or null.
    unsafe {
        let parsed = IVFFLAT.parse(options, validate);
        if let Some(parsed) = parsed.as_mut() {
            parsed.m = M.default;
            parsed.ef_construction = EF_CONSTRUCTION.default;
        }
        parsed.cast()
    }
}

/// Returns the option `graphs` of an index, if its user set it.
pub(super) fn graphs(index: Relation) -> Option<String> {
    // SAFETY: `of_hnsw` or `of_ivfflat` filled `Options` for every index of ours; a string follows it.
    unsafe { index.string_option(|options: &Options| options.graphs) }
}

/// Returns the options of an index as its user set them, or the defaults.
pub(super) fn params(index: Relation) -> Params {
    // SAFETY: `of_hnsw` or `of_ivfflat` filled `Options` for every index of ours.
    let given = unsafe { index.options::<Options>() };
    let (m, ef_construction) = given.map_or((M.default, EF_CONSTRUCTION.default), |options| {
        (options.m, options.ef_construction)
    });
    Params {
        m: m.unsigned_abs() as usize,
        ef_construction: ef_construction.unsigned_abs() as usize,
    }
}
