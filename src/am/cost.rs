//! Estimates the cost of a scan: the search before the first row, then for each row its share of resumed searches.
//!
//! In the planner's units, a page of a table in memory takes about 4 µs, as does comparing the codes of some 20 elements.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use layout::VectorKind;
use pgrx::pg_sys;

use super::clauses::{self, OneValue};
use super::rivals::Rival;
use super::{demand, threshold};
use crate::keys::KeyColumns;
use crate::opclass::OperatorClass;
use crate::options;
use crate::pg::{Relation, boundary, compat};
use crate::scan::{CODE, ENTRIES, first_ef, least_ef, measured, target, usual_ef};
use crate::settings::EF_SEARCH;

/// Elements compared for each row returned beyond the first search, as long as elements are left, and rows read for it.
const MEASURED_PER_ROW: f64 = 13.0;
const ROWS_PER_ROW: f64 = 1.3;
/// Microseconds of a scan with conditions on key columns: to begin, for a page of keys and a row's key in the pass over all, for a
/// code compared by a search, and for a row read in the order of distance and a byte of it.
const BEGIN: f64 = 12.0;
const KEY_PAGE: f64 = 0.08;
const KEY: f64 = 0.000_4;
const EVALUATION: f64 = 0.1;
const NEAREST_ROW: f64 = 0.5;
const NEAREST_BYTE: f64 = 0.000_65;
/// Microseconds for a value out of line, in the order of distance.
const NEAREST_OUT_OF_LINE: f64 = 6.0;
/// Bytes of a row in the pages of keys, beside its keys, and of a key on average.
const ENTRY: f64 = 12.0;
const KEY_LEN: f64 = 5.0;
/// Pages of keys read for elements of a group to start at.
const ENTRY_PAGES: f64 = 16.0;
/// A filter passed by this share of the rows is not applied by the index at first.
const MANY: f64 = 0.5;
/// The cost of a row read in the order of distance, as a multiple of one read by a bitmap heap scan. Measured for filters
/// leaving from half of the rows to one of 10,000, in tables of 128 and 384 dimensions: with it the planner takes the faster
/// plan.
const OUT_OF_PLACE: f64 = 1.8;
/// The cost of reading a value out of line: by a scan, and by a sort of all rows that pass the filter.
const OUT_OF_LINE: f64 = 4.0;
const OUT_OF_LINE_SORTED: f64 = 2.2;
/// Elements compared for each page visited: neighbors often lie on the same page.
const ELEMENTS_PER_VISIT: f64 = 2.0;
/// Cost added if all rows may be wanted: more than any other plan takes, and well below the cost Postgres adds to a plan
/// disabled by an `enable_` setting, so that the index is used if it is the only way left.
const ALL_ROWS: f64 = 1e9;
/// Share of the visited pages charged as random reads if all of the index is in memory.
const LEAST_COLD: f64 = 0.02;

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
    boundary(|| {
        // SAFETY: Postgres passes a path over one of our indexes and room for the results.
        unsafe {
            let estimate = Estimate::of(root, path, loop_count).unwrap_or_else(|| {
                compat::disable_path(path);
                Estimate::UNUSABLE
            });
            *startup_cost = estimate.startup;
            *total_cost = estimate.total;
            *selectivity = estimate.selectivity;
            *correlation = 0.0;
            *pages = estimate.pages;
        }
    });
}

struct Estimate {
    startup: f64,
    total: f64,
    selectivity: f64,
    pages: f64,
}

impl Estimate {
    /// The estimate of a path without an order, for which the index cannot be used.
    const UNUSABLE: Self = Self {
        startup: f64::INFINITY,
        total: f64::INFINITY,
        selectivity: 0.0,
        pages: 0.0,
    };

    /// Returns `None` if the path has no order, or has a condition that is not ours.
    ///
    /// # Safety
    /// `path` is a path over one of our indexes.
    unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
        loop_count: f64,
    ) -> Option<Self> {
        let mut costs = pg_sys::GenericCosts::default();
        // SAFETY: the caller's promise.
        unsafe {
            let info = (*path).indexinfo;
            if (*path).indexorderbys.is_null() {
                return None;
            }
            costs.numIndexTuples = (*info).tuples;
            clauses::complete(root, path);
            // The conditions on the distance are charged apart, and Postgres may cost a path twice.
            let all = std::mem::replace(&mut (*path).indexclauses, clauses::on_keys(path));
            pg_sys::genericcostestimate(root, path, loop_count, &raw mut costs);
            let is_keyed = !(*path).indexclauses.is_null();
            let engine = Engine::of(info, &costs);
            let rival = is_keyed.then(|| Rival::cheapest(root, path, loop_count, engine.value_len));
            let group = engine
                .graphs
                .and_then(|column| clauses::one_value(root, path, column))
                .filter(|of| engine.has_graph(of));
            (*path).indexclauses = all;
            let within = threshold::add_to(root, path)?;
            let selectivity = costs.indexSelectivity * within;
            let table = Table::of(root, info, &costs, within);
            let demand = demand::of_statement(root);
            let wanted = demand.rows().filter(|&rows| rows < table.rows);
            let search = match rival {
                Some(rival) => {
                    let rows = wanted.unwrap_or(table.read);
                    let work = engine.work(costs.indexSelectivity, group, rows);
                    engine.filtered(&work, rival, &table)
                }
                None => {
                    let search = engine.plain(engine.ef);
                    Search {
                        row: search.row + table.further_row(wanted, engine.value_len),
                        ..search
                    }
                }
            };
            let row = search.row;
            let first = search.first + if wanted.is_some() { 0.0 } else { ALL_ROWS };
            Some(Self {
                startup: first,
                total: first + demand.charged(engine.tuples * selectivity) * row.max(0.0),
                selectivity,
                pages: costs.numIndexPages,
            })
        }
    }
}

/// The table a scan reads rows from: their cost beyond the planner's charge for them.
struct Table {
    pages: f64,
    rows: f64,
    random_page: f64,
    sequential_page: f64,
    /// Rows read by a scan to its end, and the number of them that pass the filter.
    read: f64,
    passed: f64,
    /// Rows to sort if no index returns them in order.
    sorted: f64,
    /// The planner's charge for reading a row.
    charged: f64,
}

impl Table {
    /// `within` is the share of rows left by the filter's bounds on the distance, at which a scan ends.
    ///
    /// # Safety
    /// The planner is at work on `root`, and `info` is its of one of our indexes.
    unsafe fn of(
        root: *mut pg_sys::PlannerInfo,
        info: *mut pg_sys::IndexOptInfo,
        costs: &pg_sys::GenericCosts,
        within: f64,
    ) -> Self {
        let (mut random_page, mut sequential_page) = (0.0, 0.0);
        // SAFETY: the caller's promise.
        unsafe {
            let table = (*info).rel;
            pg_sys::get_tablespace_page_costs(
                (*table).reltablespace,
                &raw mut random_page,
                &raw mut sequential_page,
            );
            let read = ((*table).tuples * costs.indexSelectivity * within).max(1.0);
            let passed = (*table).rows.max(1.0);
            let pages =
                pg_sys::index_pages_fetched(read, (*table).pages, costs.numIndexPages, root);
            Self {
                pages: f64::from((*table).pages).max(1.0),
                rows: (*table).tuples.max(1.0),
                random_page,
                sequential_page,
                read,
                passed,
                sorted: passed / within,
                charged: pages * random_page / read,
            }
        }
    }

    /// The cost of each row read until `wanted` rows have passed the filter, all if `None`.
    fn further_row(&self, wanted: Option<f64>, value_len: f64) -> f64 {
        let read = wanted.map_or(self.read, |rows| {
            (rows * self.read / self.passed).clamp(1.0, self.read)
        });
        let value = if self.is_out_of_line(value_len) {
            self.value_out_of_line(read)
        } else {
            0.0
        };
        self.page_of_row(read) + value
    }

    /// True if values of this length are kept out of line.
    fn is_out_of_line(&self, value_len: f64) -> bool {
        self.row_len() < value_len
    }

    /// Bytes of a row in the table's pages.
    fn row_len(&self) -> f64 {
        self.pages * f64::from(pg_sys::BLCKSZ) / self.rows
    }

    /// The planner charges for a row as if all rows were read, each page once. A scan that ends early reads a page for each
    /// row, rejected ones included; its charge is by the formula for bitmap heap scans, the competing plan.
    fn page_of_row(&self, read: f64) -> f64 {
        let pages = (2.0 * self.pages * read / (2.0 * self.pages + read)).min(self.pages);
        let page = self.random_page
            - (self.random_page - self.sequential_page) * (pages / self.pages).sqrt();
        (OUT_OF_PLACE * pages * page / read - self.charged).max(0.0)
    }

    /// The planner charges nothing for values out of line. A scan reads the values of its rows, a sort the values of all rows
    /// that pass the filter: the difference is charged, or taken off.
    fn value_out_of_line(&self, read: f64) -> f64 {
        OUT_OF_LINE - OUT_OF_LINE_SORTED * self.sorted / read
    }
}

/// The cost of finding rows: before the first one, and for each further one.
struct Search {
    first: f64,
    row: f64,
}

/// The work of a scan with conditions on key columns.
struct Work {
    /// Microseconds for passes over keys.
    keys: f64,
    /// Codes compared before the first row, and for each further one.
    compared: f64,
    further: f64,
}

/// The work of a scan by the figures of its index and table, in the planner's units.
struct Engine {
    m: f64,
    /// The elements that the first search finds.
    ef: f64,
    /// Bytes of a value; zero if not known.
    value_len: f64,
    /// Bytes of a row's keys.
    key_len: f64,
    tuples: f64,
    pages: f64,
    /// The cost of comparing an element's code with the query.
    element: f64,
    /// The cost of visiting a page.
    page: f64,
    /// The cost of reading a row for its exact distance, beyond the planner's charge for the rows returned.
    row: f64,
    /// The column whose values have graphs of their own, counted from 0.
    graphs: Option<i32>,
}

impl Engine {
    /// # Safety
    /// `info` is the planner's of one of our indexes.
    unsafe fn of(info: *const pg_sys::IndexOptInfo, costs: &pg_sys::GenericCosts) -> Self {
        // SAFETY: the planner holds a lock on the index, so that it can be opened; its descriptor is cached, and no page of
        // it is read. The planner's settings are globals of this backend.
        unsafe {
            let relation = pg_sys::index_open((*info).indexoid, pg_sys::NoLock.cast_signed());
            let index = Relation::new(relation);
            let m = options::params(index).m;
            let ef = elements_found(target(options::target_recall(index)));
            let value_len = value_len(index);
            let graphs = graphs(index);
            pg_sys::index_close(relation, pg_sys::NoLock.cast_signed());
            let page = costs.spc_random_page_cost * cold_share(costs.numIndexPages);
            Self {
                #[expect(clippy::cast_precision_loss, reason = "at most 100")]
                m: m as f64,
                ef,
                value_len,
                key_len: KEY_LEN * f64::from((*info).nkeycolumns - 1),
                tuples: (*info).tuples.max(1.0),
                pages: costs.numIndexPages,
                element: 2.0 * (pg_sys::cpu_index_tuple_cost + pg_sys::cpu_operator_cost),
                page,
                row: pg_sys::cpu_tuple_cost + pg_sys::cpu_operator_cost + page,
                graphs,
            }
        }
    }

    /// A scan without conditions on key columns.
    fn plain(&self, ef: f64) -> Search {
        let measured = measured(self.m, ef).min(self.tuples);
        let left = 1.0 - measured / self.tuples;
        Search {
            first: self.walk(measured),
            row: self.further_row(MEASURED_PER_ROW * left),
        }
    }

    /// A scan with conditions on key columns. Pages not in memory are charged besides.
    fn filtered(&self, work: &Work, rival: Rival, table: &Table) -> Search {
        let out_of_line = if table.is_out_of_line(self.value_len) {
            NEAREST_OUT_OF_LINE
        } else {
            0.0
        };
        let read = NEAREST_ROW + NEAREST_BYTE * table.row_len() + out_of_line;
        let row = ROWS_PER_ROW * read + work.further * EVALUATION;
        let visited = (work.compared / ELEMENTS_PER_VISIT).min(self.pages);
        let first = BEGIN + work.keys + work.compared * EVALUATION;
        Search {
            first: rival.cost_of(first) + visited * self.page,
            row: rival.cost_of(row) - table.charged,
        }
    }

    /// The work for some rows under conditions on key columns that this share of all rows passes. Those that leave the rows of one value
    /// with a graph of its own are searched for there.
    fn work(&self, share: f64, group: Option<OneValue>, rows: f64) -> Work {
        let share = share.clamp(1.0 / self.tuples, 1.0);
        match group {
            Some(of) if of.is_alone => Work {
                keys: self.pass().min(ENTRY_PAGES * KEY_PAGE),
                compared: measured(self.m, self.ef).min(share * self.tuples),
                further: MEASURED_PER_ROW,
            },
            _ if share >= MANY => Work {
                keys: 0.0,
                compared: (measured(self.m, self.ef) / share).min(self.tuples),
                further: MEASURED_PER_ROW / share,
            },
            Some(of) => self.gated(share, (share / of.share).min(1.0), rows),
            None => self.gated(share, share, rows),
        }
    }

    /// A pass over the rows' keys, then a search among elements of which `share_met` pass, or the codes of all rows that pass, `share`
    /// of the index, where these take less time: for the first row, or for all `rows` wanted.
    fn gated(&self, share: f64, share_met: f64, rows: f64) -> Work {
        let exact = CODE * share * self.tuples;
        let ef = (self.ef * share_met.sqrt()).max(least_ef(self.tuples));
        let search = measured(self.m, ef) / share_met;
        Work {
            keys: self.pass(),
            compared: search.min(exact),
            further: if exact < search {
                0.0
            } else {
                (MEASURED_PER_ROW / share_met).min(exact / rows.max(1.0))
            },
        }
    }

    /// True if the rows of a value are enough for a search of its graph.
    fn has_graph(&self, of: &OneValue) -> bool {
        of.share * self.tuples >= f64::from(ENTRIES)
    }

    /// Microseconds of a pass over the keys of all rows.
    fn pass(&self) -> f64 {
        let pages = self.tuples * (ENTRY + self.key_len) / f64::from(pg_sys::BLCKSZ);
        pages * KEY_PAGE + self.tuples * KEY
    }

    /// The cost of the first search, before the first row.
    fn walk(&self, measured: f64) -> f64 {
        let pages = (measured / ELEMENTS_PER_VISIT).min(self.pages);
        measured * self.element + pages * self.page
    }

    /// The cost of a further row, with this share of the resumed searches for elements left by the first.
    fn further_row(&self, elements: f64) -> f64 {
        elements * (self.element + self.page / ELEMENTS_PER_VISIT) + (ROWS_PER_ROW - 1.0) * self.row
    }
}

/// The elements found by the first search of a scan with a target recall, or by `hnsw.ef_search` with 0.
fn elements_found(target: f64) -> f64 {
    if target > 0.0 {
        return usual_ef(target);
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 13,750")]
    let ef = first_ef(EF_SEARCH.get().unsigned_abs() as usize) as f64;
    ef
}

/// The column whose values have graphs of their own, by the option of the index.
fn graphs(index: Relation) -> Option<i32> {
    let name = options::graphs(index)?;
    let place = KeyColumns::of(index).place_of(index, &name)?;
    Some(i32::try_from(place).expect("few columns"))
}

/// Bytes of an indexed value; zero if not known.
fn value_len(index: Relation) -> f64 {
    let class = OperatorClass::of(index);
    let dimensions = f64::from(index.column_typmod(class.column).max(0));
    match class.stored {
        VectorKind::F32 => 4.0 * dimensions,
        VectorKind::F16 => 2.0 * dimensions,
        VectorKind::Bit => dimensions / 8.0,
        VectorKind::Sparse => 0.0,
    }
}

/// The share of an index's pages not in memory.
fn cold_share(pages: f64) -> f64 {
    // SAFETY: a setting, read in the main thread.
    let cache = f64::from(unsafe { pg_sys::effective_cache_size });
    (1.0 - cache / pages.max(1.0)).max(LEAST_COLD)
}
