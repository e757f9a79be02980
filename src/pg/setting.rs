//! Reads settings of Postgres, and defines those that need a check of their own.
#![expect(unsafe_code, reason = "reads Postgres' settings")]

use std::ffi::{CStr, c_void};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_sys};

use super::Relation;

/// Registers `omendb.target_recall`.
pub(crate) fn define_target_recall(setting: &'static GucSetting<f64>) {
    // SAFETY: called when the library is loaded; the check has the signature of a `GucRealCheckHook`, and raises no ERROR.
    unsafe {
        GucRegistry::define_float_guc_with_hooks(
            c"omendb.target_recall",
            c"Sets the share of the nearest rows that index scans shall find",
            c"-1 means the option target_recall of the index, 0 that scans go by hnsw.ef_search.",
            setting,
            -1.0,
            MOST_TARGET,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_target_recall),
            None,
            None,
        );
    }
}

/// The check of `omendb.target_recall`: -1, 0, or at least 0.5.
unsafe extern "C-unwind" fn check_target_recall(
    new: *mut f64,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: Postgres passes the new value, and reads the detail before the next check.
    unsafe {
        let may_be = [-1.0, 0.0].contains(&*new) || *new >= LEAST_TARGET;
        if !may_be {
            pg_sys::GUC_check_errdetail_string = c"It is -1, 0, or between 0.5 and 0.9999."
                .as_ptr()
                .cast_mut();
        }
        may_be
    }
}

/// The least and the highest target recall.
pub(crate) const LEAST_TARGET: f64 = 0.5;
pub(crate) const MOST_TARGET: f64 = 0.9999;

/// `maintenance_work_mem` in bytes.
pub(crate) fn maintenance_work_mem() -> usize {
    // SAFETY: a setting of at least 1 MB, in kB.
    unsafe { pg_sys::maintenance_work_mem.unsigned_abs() as usize * 1024 }
}

/// The memory limit of a vacuum in bytes: `autovacuum_work_mem`, if set, in an autovacuum worker; else `maintenance_work_mem`.
pub(crate) fn vacuum_work_mem() -> usize {
    // SAFETY: called in the main thread; every version has the setting, and its text is read at once.
    let own = unsafe {
        if pg_sys::MyBackendType != pg_sys::BackendType::B_AUTOVAC_WORKER {
            return maintenance_work_mem();
        }
        let text = pg_sys::GetConfigOption(c"autovacuum_work_mem".as_ptr(), true, false);
        (!text.is_null()).then(|| CStr::from_ptr(text).to_bytes())
    };
    let own = own.and_then(|text| std::str::from_utf8(text).ok()?.parse::<usize>().ok());
    own.map_or_else(maintenance_work_mem, |kilobytes| kilobytes * 1024)
}

/// `work_mem` in bytes.
pub(crate) fn work_mem() -> usize {
    // SAFETY: a setting of at least 64 kB, in kB.
    unsafe { pg_sys::work_mem.unsigned_abs() as usize * 1024 }
}

/// The number of threads for building an index of this table: the workers allowed by the table's option, or else by the
/// setting, plus the backend itself; at most the machine's cores.
pub(crate) fn build_threads(table: Relation) -> usize {
    // SAFETY: the options of a table, if it has any, are of this type; the setting is never negative.
    let allowed = unsafe {
        let of_table = table
            .options::<pg_sys::StdRdOptions>()
            .map(|options| options.parallel_workers);
        of_table
            .filter(|&workers| workers >= 0)
            .unwrap_or(pg_sys::max_parallel_maintenance_workers)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (allowed.unsigned_abs() as usize + 1).min(cores)
}
