//! Index options: `WITH (m = 16, ef_construction = 64, target_recall = 0.95)` of hnsw, `WITH (lists = 100)` of ivfflat.
#![expect(unsafe_code, reason = "hands a table of options to Postgres")]

use std::ffi::CStr;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use hnsw::Params;
use pgrx::pg_sys;

use crate::pg::setting::{LEAST_TARGET, MOST_TARGET};
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
    target_recall: f64,
}

/// An option: its name, meaning, default and range.
struct IndexOption {
    name: &'static CStr,
    meaning: &'static CStr,
    range: Range,
    offset: usize,
}

/// The default, the least and the greatest value of an option.
enum Range {
    /// Any text, none by default.
    Text,
    Int(i32, i32, i32),
    Real(f64, f64, f64),
}

/// The defaults of `m` and `ef_construction`.
const DEFAULTS: (i32, i32) = (16, 64);

const M: IndexOption = IndexOption {
    name: c"m",
    meaning: c"Max number of connections",
    range: Range::Int(DEFAULTS.0, *opclass::M.start(), *opclass::M.end()),
    offset: offset_of!(Options, m),
};

const EF_CONSTRUCTION: IndexOption = IndexOption {
    name: c"ef_construction",
    meaning: c"Size of the dynamic candidate list for construction",
    range: Range::Int(
        DEFAULTS.1,
        *opclass::EF_CONSTRUCTION.start(),
        *opclass::EF_CONSTRUCTION.end(),
    ),
    offset: offset_of!(Options, ef_construction),
};

/// The default of `omendb.target_recall` for scans of an index.
const TARGET_RECALL: IndexOption = IndexOption {
    name: c"target_recall",
    meaning: c"Share of the nearest rows that scans shall find, 0 for scans by hnsw.ef_search",
    range: Range::Real(0.0, 0.0, MOST_TARGET),
    offset: offset_of!(Options, target_recall),
};

/// Kept for `pg_dump` and for clients that read it back; nothing else uses it.
const LISTS: IndexOption = IndexOption {
    name: c"lists",
    meaning: c"Number of inverted lists",
    range: Range::Int(100, 1, 32_768),
    offset: offset_of!(Options, lists),
};

/// The key column whose values have graphs of their own.
const GRAPHS: IndexOption = IndexOption {
    name: c"graphs",
    meaning: c"Key column whose values have graphs of their own",
    range: Range::Text,
    offset: offset_of!(Options, graphs),
};

/// The options of an access method, and the number Postgres groups them by.
struct Table<const N: usize> {
    options: [IndexOption; N],
    kind: AtomicU32,
}

static HNSW: Table<4> = Table::new([M, EF_CONSTRUCTION, TARGET_RECALL, GRAPHS]);
static IVFFLAT: Table<1> = Table::new([LISTS]);

/// Registers the options; called once, when the library is loaded.
pub(crate) fn init() {
    HNSW.register();
    IVFFLAT.register();
}

impl Range {
    fn kind(&self) -> pg_sys::relopt_type::Type {
        match self {
            Self::Text => pg_sys::relopt_type::RELOPT_TYPE_STRING,
            Self::Int(..) => pg_sys::relopt_type::RELOPT_TYPE_INT,
            Self::Real(..) => pg_sys::relopt_type::RELOPT_TYPE_REAL,
        }
    }
}

impl IndexOption {
    /// # Safety
    /// Called from `_PG_init`.
    unsafe fn register(&self, kind: pg_sys::relopt_kind::Type) {
        let (name, meaning) = (self.name.as_ptr(), self.meaning.as_ptr());
        // SAFETY: the caller's promise; names and meanings live forever. A scan reads the real option when it begins, so that a
        // change of it need not wait for scans.
        unsafe {
            match self.range {
                Range::Text => {
                    let lock = pg_sys::AccessExclusiveLock.cast_signed();
                    let default = std::ptr::null();
                    pg_sys::add_string_reloption(kind, name, meaning, default, None, lock);
                }
                Range::Int(default, min, max) => {
                    let lock = pg_sys::AccessExclusiveLock.cast_signed();
                    pg_sys::add_int_reloption(kind, name, meaning, default, min, max, lock);
                }
                Range::Real(default, min, max) => {
                    let lock = pg_sys::ShareUpdateExclusiveLock.cast_signed();
                    pg_sys::add_real_reloption(kind, name, meaning, default, min, max, lock);
                }
            }
        }
    }
}

impl<const N: usize> Table<N> {
    const fn new(options: [IndexOption; N]) -> Self {
        let kind = AtomicU32::new(0);
        Self { options, kind }
    }

    fn register(&self) {
        // SAFETY: called from _PG_init; names and meanings live forever.
        unsafe {
            let kind = pg_sys::add_reloption_kind();
            self.kind.store(kind, Ordering::Relaxed);
            for option in &self.options {
                option.register(kind);
            }
        }
    }

    /// Parses and checks the options of an index. Fields of options missing in the table are zero.
    ///
    /// # Safety
    /// `options` is what Postgres passes to `amoptions`.
    unsafe fn parse(&self, options: pg_sys::Datum, validate: bool) -> *mut Options {
        let table = self.options.each_ref().map(|option| {
            let offset = i32::try_from(option.offset).expect("a small struct");
            compat::option(option.name, option.range.kind(), offset)
        });
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
pub(crate) unsafe fn of_hnsw(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
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
        if validate
            && let Some(parsed) = parsed.as_ref()
            && parsed.target_recall != 0.0
            && !(LEAST_TARGET..=MOST_TARGET).contains(&parsed.target_recall)
        {
            error::target_recall_out_of_range(parsed.target_recall);
        }
        parsed.cast()
    }
}

/// The options of an ivfflat index, whose graph has the defaults of hnsw.
///
/// # Safety
/// `options` is what Postgres passes to `amoptions`.
pub(crate) unsafe fn of_ivfflat(options: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    // SAFETY: the caller's promise; `parse` returns a struct of its own, or null.
    unsafe {
        let parsed = IVFFLAT.parse(options, validate);
        if let Some(parsed) = parsed.as_mut() {
            (parsed.m, parsed.ef_construction) = DEFAULTS;
        }
        parsed.cast()
    }
}

/// Returns the option `graphs` of an index, if its user set it.
pub(crate) fn graphs(index: Relation) -> Option<String> {
    // SAFETY: `of_hnsw` or `of_ivfflat` filled `Options` for every index of ours; a string follows it.
    unsafe { index.string_option(|options: &Options| options.graphs) }
}

/// Returns the options of an index as its user set them, or the defaults.
pub(crate) fn params(index: Relation) -> Params {
    // SAFETY: `of_hnsw` or `of_ivfflat` filled `Options` for every index of ours.
    let given = unsafe { index.options::<Options>() };
    let (m, ef_construction) =
        given.map_or(DEFAULTS, |options| (options.m, options.ef_construction));
    Params {
        m: m.unsigned_abs() as usize,
        ef_construction: ef_construction.unsigned_abs() as usize,
    }
}

/// Returns the option `target_recall` of an index; 0 for none.
pub(crate) fn target_recall(index: Relation) -> f64 {
    // SAFETY: as above; the field of an ivfflat index is zero.
    let given = unsafe { index.options::<Options>() };
    given.map_or(0.0, |options| options.target_recall)
}
