//! What a scan is expected to cost: the walk before the first row, then a little for each row.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use pgrx::{pg_guard, pg_sys};

use super::options;
use crate::pg::{Relation, compat};
use crate::settings::EF_SEARCH;

/// Share of the pages visited by a walk that is charged as random reads: upper layers and hubs stay in memory.
const COLD_PAGES: f64 = 0.1;
/// Elements per page that a walk measures: neighbors often lie side by side.
const ELEMENTS_PER_VISIT: f64 = 2.0;

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
        // SAFETY: the caller's promise; the planner holds a lock on the index, so that it can be opened.
        let (m, tuples, page_cost, tuple_cost) = unsafe {
            let info = (*path).indexinfo;
            costs.numIndexTuples = (*info).tuples;
            pg_sys::genericcostestimate(root, path, loop_count, &raw mut costs);
            let index = pg_sys::index_open((*info).indexoid, pg_sys::NoLock.cast_signed());
            let m = options::params(Relation::new(index)).m;
            pg_sys::index_close(index, pg_sys::NoLock.cast_signed());
            let tuple_cost = pg_sys::cpu_index_tuple_cost + pg_sys::cpu_operator_cost;
            (
                m,
                (*info).tuples.max(1.0),
                costs.spc_random_page_cost,
                tuple_cost,
            )
        };
        let cost_of = |elements: f64| {
            let visited = (elements / ELEMENTS_PER_VISIT).min(costs.numIndexPages);
            elements * tuple_cost + visited * COLD_PAGES * page_cost
        };
        let first = measured(m, EF_SEARCH.get()).min(tuples);
        Self {
            startup: cost_of(first),
            total: cost_of(first) + cost_of(tuples),
            selectivity: costs.indexSelectivity,
            pages: costs.numIndexPages,
        }
    }
}

/// Elements that the first walk measures: about m new neighbors for each of the ef elements that it expands.
fn measured(m: usize, ef: i32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most 100")]
    let m = m as f64;
    m * f64::from(ef)
}
