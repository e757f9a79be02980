//! Settings: `hnsw.*` and `ivfflat.*` as in pgvector; the prefix `omendb.*` is reserved for our own.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

/// The behaviour of a scan when the executor wants more rows than its first search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
pub(crate) enum IterativeScan {
    /// The scan ends after at most `hnsw.ef_search` elements.
    #[name = c"off"]
    Off,
    /// The search resumes; rows may come slightly out of order.
    #[name = c"relaxed_order"]
    RelaxedOrder,
    /// The search resumes; rows come in the exact order of their distance.
    #[name = c"strict_order"]
    StrictOrder,
}

/// Size of the list of nearest elements kept during a search.
pub(crate) static EF_SEARCH: GucSetting<i32> = GucSetting::<i32>::new(EF_SEARCH_DEFAULT);
/// The size that a session has without setting one.
pub(crate) const EF_SEARCH_DEFAULT: i32 = 40;
/// Resumes scans if filters or a large LIMIT need more rows.
pub(crate) static ITERATIVE_SCAN: GucSetting<IterativeScan> =
    GucSetting::<IterativeScan>::new(IterativeScan::StrictOrder);
/// The most elements compared, or rows fetched, before a scan stops resuming its search.
pub(crate) static MAX_SCAN_TUPLES: GucSetting<i32> = GucSetting::<i32>::new(20_000);
/// The memory of a scan, in multiples of `work_mem`.
pub(crate) static SCAN_MEM_MULTIPLIER: GucSetting<f64> = GucSetting::<f64>::new(1.0);

/// The share of the nearest rows that a scan shall find; 0 for scans by `hnsw.ef_search`, -1 for the option of the index.
pub(crate) static TARGET_RECALL: GucSetting<f64> = GucSetting::<f64>::new(-1.0);

/// The values of `ivfflat.iterative_scan`: without strict order.
#[derive(Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
enum IvfflatIterativeScan {
    #[name = c"off"]
    Off,
    #[name = c"relaxed_order"]
    RelaxedOrder,
}

// Scans ignore these three: a scan of an ivfflat index uses the settings of hnsw, and so is never worse.
static PROBES: GucSetting<i32> = GucSetting::<i32>::new(1);
static IVFFLAT_ITERATIVE_SCAN: GucSetting<IvfflatIterativeScan> =
    GucSetting::<IvfflatIterativeScan>::new(IvfflatIterativeScan::Off);
static MAX_PROBES: GucSetting<i32> = GucSetting::<i32>::new(MAX_LISTS);

/// The most lists of an ivfflat index in pgvector.
const MAX_LISTS: i32 = 32_768;

/// Registers the settings; called once, when the library is loaded.
pub(crate) fn init() {
    define_hnsw();
    define_ivfflat();
    crate::pg::setting::define_target_recall(&TARGET_RECALL);
    crate::pg::reserve_setting_prefix(c"omendb");
}

fn define_hnsw() {
    GucRegistry::define_int_guc(
        c"hnsw.ef_search",
        c"Sets the size of the dynamic candidate list for search",
        c"A higher value gives better recall at the cost of speed.",
        &EF_SEARCH,
        1,
        10_000,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"hnsw.iterative_scan",
        c"Sets the mode for iterative scans",
        c"Whether a scan goes on until enough rows pass the filters and the limit.",
        &ITERATIVE_SCAN,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"hnsw.max_scan_tuples",
        c"Sets the max number of tuples to visit for iterative scans",
        c"Approximate; the initial scan is not limited.",
        &MAX_SCAN_TUPLES,
        1,
        i32::MAX,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_float_guc(
        c"hnsw.scan_mem_multiplier",
        c"Sets the multiple of work_mem to use for iterative scans",
        c"",
        &SCAN_MEM_MULTIPLIER,
        1.0,
        1000.0,
        GucContext::Userset,
        GucFlags::default(),
    );
    crate::pg::reserve_setting_prefix(c"hnsw");
}

fn define_ivfflat() {
    GucRegistry::define_int_guc(
        c"ivfflat.probes",
        c"Sets the number of probes",
        c"Has no effect: scans go by hnsw.ef_search.",
        &PROBES,
        1,
        MAX_LISTS,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_enum_guc(
        c"ivfflat.iterative_scan",
        c"Sets the mode for iterative scans",
        c"Has no effect: scans go by hnsw.iterative_scan.",
        &IVFFLAT_ITERATIVE_SCAN,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"ivfflat.max_probes",
        c"Sets the max number of probes for iterative scans",
        c"Has no effect: scans go by hnsw.max_scan_tuples.",
        &MAX_PROBES,
        1,
        MAX_LISTS,
        GucContext::Userset,
        GucFlags::default(),
    );
    crate::pg::reserve_setting_prefix(c"ivfflat");
}
