//! What a scan is expected to cost: the walk before the first row, then its share of further walks for each row.
//!
//! In the planner's units a page of a table that is in memory is about 4 µs, and so is measuring some 20 elements.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use pgrx::{pg_guard, pg_sys};

use super::{demand, options, scan};
use crate::pg::{Relation, compat};
use crate::settings::EF_SEARCH;

/// Elements that a walk measures: so many times `m` for a beam of one, and by this power of the beam for others. Between what
/// text embeddings of 384 and of 768 dimensions take (600 elements for 41 of 117,000, 970 for 50 of 35,000, 11,300 for 1,250).
const MEASURED: f64 = 2.7;
const MEASURED_POWER: f64 = 0.75;
/// Elements measured for each row that a scan hands out beyond its first walk, as long as there are others, and rows read for it.
/// Values out of line are not charged, since the planner does not charge a sort for them either.
const MEASURED_PER_ROW: f64 = 13.0;
const ROWS_PER_ROW: f64 = 1.3;
/// Elements measured on a page: neighbors often lie side by side.
const ELEMENTS_PER_VISIT: f64 = 2.0;
/// Added where all rows may be wanted: more than any other plan takes, and well below what Postgres adds to a plan that an
/// `enable_` setting is against, so that the index is used where it is the only way left.
const ALL_ROWS: f64 = 1e9;
/// Share of the pages visited that is charged as random reads where all of the index is in memory.
const LEAST_COLD: f64 = 0.02;

#[pg_guard]
#[expect(clippy::too_many_arguments, reason = "Postgres' signature")]
pub(super) unsafe extern "C-unwind" fn amcostestimate(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    loop_count: f64,
    startup_cost: *mut pg_sys::Cost,
    total_cost: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: Postgres passes a path over one of our indexes and room for the results.
    unsafe {
        let estimate = if (*path).indexorderbys.is_null() {
            compat::disable_path(path);
            Estimate::UNUSABLE
        } else {
            Estimate::of(root, path, loop_count)
        };
        *startup_cost = estimate.startup;
        *total_cost = estimate.total;
        *selectivity = estimate.selectivity;
        *correlation = 0.0;
        *pages = estimate.pages;
    }
}

struct Estimate {
    startup: f64,
    total: f64,
    selectivity: f64,
    pages: f64,
}

impl Estimate {
    /// An index that is asked for no order has nothing to offer.
    const UNUSABLE: Self = Self {
        startup: f64::INFINITY,
        total: f64::INFINITY,
        selectivity: 0.0,
        pages: 0.0,
    };

    /// # Safety
    /// `path` is a path over one of our indexes.
    unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
        loop_count: f64,
    ) -> Self {
        let mut costs = pg_sys::GenericCosts::default();
        // SAFETY: the caller's promise.
        let (engine, wanted) = unsafe {
            costs.numIndexTuples = (*(*path).indexinfo).tuples;
            pg_sys::genericcostestimate(root, path, loop_count, &raw mut costs);
            let engine = Engine::of((*path).indexinfo, &costs);
            (engine, demand::rows_wanted(root))
        };
        let wanted = wanted.filter(|&rows| rows < engine.tuples);
        let beam = scan::beam_for(EF_SEARCH.get().unsigned_abs() as usize);
        let measured = engine.measured(beam);
        let first = engine.walk(measured) + if wanted.is_some() { 0.0 } else { ALL_ROWS };
        Self {
            startup: first,
            total: first + engine.tuples * engine.further_row(measured),
            selectivity: costs.indexSelectivity,
            pages: costs.numIndexPages,
        }
    }
}

/// What an index and its table say about the work of a scan, in the planner's units.
struct Engine {
    m: f64,
    tuples: f64,
    pages: f64,
    /// Of measuring an element.
    element: f64,
    /// Of a page visited.
    page: f64,
    /// Of reading a row for measuring it, beyond what the planner charges for the rows handed out.
    row: f64,
}

impl Engine {
    /// # Safety
    /// `info` is the planner's of one of our indexes.
    unsafe fn of(info: *const pg_sys::IndexOptInfo, costs: &pg_sys::GenericCosts) -> Self {
        // SAFETY: the planner holds a lock on the index, so that it can be opened; its descriptor is at hand, and no page of
        // it is read. The planner's settings are globals of this backend.
        unsafe {
            let relation = pg_sys::index_open((*info).indexoid, pg_sys::NoLock.cast_signed());
            let m = options::params(Relation::new(relation)).m;
            pg_sys::index_close(relation, pg_sys::NoLock.cast_signed());
            let page = costs.spc_random_page_cost * cold_share(costs.numIndexPages);
            Self {
                #[expect(clippy::cast_precision_loss, reason = "at most 100")]
                m: m as f64,
                tuples: (*info).tuples.max(1.0),
                pages: costs.numIndexPages,
                element: 2.0 * (pg_sys::cpu_index_tuple_cost + pg_sys::cpu_operator_cost),
                page,
                row: pg_sys::cpu_tuple_cost + pg_sys::cpu_operator_cost + page,
            }
        }
    }

    /// Elements that the first walk measures.
    fn measured(&self, beam: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 13,750")]
        let beam = beam as f64;
        (MEASURED * self.m * beam.powf(MEASURED_POWER)).min(self.tuples)
    }

    /// The first walk, which comes before the first row.
    fn walk(&self, measured: f64) -> f64 {
        let pages = (measured / ELEMENTS_PER_VISIT).min(self.pages);
        measured * self.element + pages * self.page
    }

    /// A row, with its share of the walks that go on to what the first has left.
    fn further_row(&self, measured: f64) -> f64 {
        let elements = MEASURED_PER_ROW * (1.0 - measured / self.tuples);
        elements * (self.element + self.page / ELEMENTS_PER_VISIT) + (ROWS_PER_ROW - 1.0) * self.row
    }
}

/// Share of an index's pages that are not in memory.
fn cold_share(pages: f64) -> f64 {
    // SAFETY: a setting, read in the main thread.
    let cache = f64::from(unsafe { pg_sys::effective_cache_size });
    (1.0 - cache / pages.max(1.0)).max(LEAST_COLD)
}
