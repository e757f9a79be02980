//! Recall of an index on its present rows: `hnsw_recall`, `hnsw_recall_curve`, and `hnsw_calibrate` for targets.
//!
//! Queries are rows of the index or those of a statement. Each is searched through the index as by a scan, with the limits of the
//! settings and of the index, and its exact neighbors are found by one pass over the codes for all queries (`exact`). Both see the
//! rows that the calling statement sees. Pages are copied under share locks, and a measurement writes nothing: it works beside all
//! other use, and on standbys. `hnsw_calibrate` traces searches beside inserts, holds off vacuum, and writes the metapage.

mod asked;
mod budget;
mod calibrate;
mod exact;
mod part;
mod queries;

use std::time::{Duration, Instant};

use hnsw::Recall;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_sys::Oid;

use self::asked::Asked;
use self::budget::Budget;
use self::exact::Nearest;
use self::part::Part;
use crate::error;
use crate::inspect;
use crate::pg::array::{Array, Number};
use crate::pg::call::sql_function;
use crate::pg::open::OpenIndex;
use crate::pg::query::SqlText;
use crate::pg::snapshot::{self, Snapshot};
use crate::pg::{interrupt, setting};
use crate::scan::Limits;

/// The rows that a query may want, and the queries of a measurement.
const MOST: i32 = 10_000;

sql_function!(hnsw_recall);
#[expect(clippy::type_complexity, reason = "a list of columns")]
fn hnsw_recall(
    index: Option<Oid>,
    k: Option<i32>,
    sample: Option<i32>,
    queries: Option<SqlText>,
    filter: Option<SqlText>,
    target_recall: Option<f64>,
    ef_search: Option<i32>,
) -> TableIterator<
    'static,
    (
        name!(recall, Option<f64>),
        name!(low, Option<f64>),
        name!(high, Option<f64>),
        name!(worst, Option<f64>),
        name!(below_half, Option<f64>),
        name!(asked, i64),
        name!(evaluations, Option<f64>),
        name!(milliseconds, Option<f64>),
        name!(exact_milliseconds, Option<f64>),
    ),
> {
    let request = Request::new(index, k, sample, queries, filter);
    let measured = request.map(|request| request.measure(&[limits(target_recall, ef_search)]));
    TableIterator::new(measured.unwrap_or_default().into_iter().map(|measured| {
        let Measured {
            recall,
            queries,
            evaluations,
            milliseconds,
            exact_milliseconds,
        } = measured;
        let some = |value: f64| recall.map(|_| value);
        (
            recall.map(|recall| recall.mean),
            recall.map(|recall| recall.low),
            recall.map(|recall| recall.high),
            recall.map(|recall| recall.worst),
            recall.map(|recall| recall.below_half),
            queries,
            some(evaluations),
            some(milliseconds),
            some(exact_milliseconds),
        )
    }))
}

sql_function!(hnsw_recall_curve);
#[expect(clippy::type_complexity, reason = "a list of columns")]
fn hnsw_recall_curve(
    index: Option<Oid>,
    k: Option<i32>,
    sample: Option<i32>,
    queries: Option<SqlText>,
    filter: Option<SqlText>,
    ef_search: Option<Array<'_>>,
    target_recall: Option<Array<'_>>,
) -> TableIterator<
    'static,
    (
        name!(setting, &'static str),
        name!(value, f64),
        name!(recall, Option<f64>),
        name!(low, Option<f64>),
        name!(high, Option<f64>),
        name!(worst, Option<f64>),
        name!(worst_percent, Option<f64>),
        name!(evaluations, Option<f64>),
        name!(milliseconds, Option<f64>),
    ),
> {
    let mut settings = Vec::new();
    for ef in numbers::<i32>(ef_search) {
        settings.push(("hnsw.ef_search", f64::from(ef), limits(None, Some(ef))));
    }
    for target in numbers::<f64>(target_recall) {
        settings.push(("omendb.target_recall", target, limits(Some(target), None)));
    }
    let all: Vec<Limits> = settings.iter().map(|&(.., limits)| limits).collect();
    let request = Request::new(index, k, sample, queries, filter);
    let measured = request.map(|request| request.measure(&all));
    let rows = settings.into_iter().zip(measured.unwrap_or_default());
    TableIterator::new(rows.map(|((setting, value, _), measured)| {
        let Measured {
            recall,
            evaluations,
            milliseconds,
            ..
        } = measured;
        (
            setting,
            value,
            recall.map(|recall| recall.mean),
            recall.map(|recall| recall.low),
            recall.map(|recall| recall.high),
            recall.map(|recall| recall.worst),
            recall.map(|recall| recall.worst_percent),
            recall.map(|_| evaluations),
            recall.map(|_| milliseconds),
        )
    }))
}

/// The numbers of an array, none for NULL.
fn numbers<T: Number>(array: Option<Array<'_>>) -> Vec<T> {
    let Some(array) = array else {
        return Vec::new();
    };
    if array.has_nulls() {
        error::array_with_nulls();
    }
    let numbers = array.numbers();
    numbers.expect("declared with this type").to_vec()
}

/// The session's limits of scans, with a target or an `ef` in place of the session's and the index's.
fn limits(target: Option<f64>, ef: Option<i32>) -> Limits {
    let mut limits = Limits::now();
    if let Some(target) = target {
        let may_be =
            target == 0.0 || (setting::LEAST_TARGET..=setting::MOST_TARGET).contains(&target);
        if !may_be {
            error::target_out_of_range(target, setting::LEAST_TARGET, setting::MOST_TARGET);
        }
        limits.target = Some(target);
    }
    if let Some(ef) = ef {
        limits.ef = checked("ef_search", ef);
        match target {
            Some(target) if target > 0.0 => error::target_and_ef(),
            _ => limits.target = Some(0.0),
        }
    }
    limits
}

/// Checks a number of up to `MOST`.
fn checked(name: &str, value: i32) -> usize {
    let range = 1..=MOST;
    if !range.contains(&value) {
        error::option_out_of_range(name, value, &range);
    }
    value.unsigned_abs() as usize
}

/// The recall asked for.
struct Request {
    index: Oid,
    k: usize,
    sample: usize,
    queries: Option<SqlText>,
    filter: Option<SqlText>,
}

/// The recall with some settings. Means over the queries, meaningless without any.
struct Measured {
    recall: Option<Recall>,
    queries: i64,
    evaluations: f64,
    milliseconds: f64,
    exact_milliseconds: f64,
}

/// The result of a search.
struct Found {
    /// The distances of the rows found, nearest first.
    distances: Vec<f64>,
    evaluations: u64,
    time: Duration,
}

impl Request {
    /// `None` if the index or a number is NULL.
    fn new(
        index: Option<Oid>,
        k: Option<i32>,
        sample: Option<i32>,
        queries: Option<SqlText>,
        filter: Option<SqlText>,
    ) -> Option<Self> {
        Some(Self {
            index: index?,
            k: checked("k", k?),
            sample: checked("sample", sample?),
            queries,
            filter,
        })
    }

    /// Measures the recall with each of some settings.
    fn measure(&self, settings: &[Limits]) -> Vec<Measured> {
        let opened = inspect::open_parts(self.index);
        with_parts(opened, self.filter.as_ref(), |parts, budget| {
            self.measure_parts(parts, settings, budget)
        })
    }

    fn measure_parts(
        &self,
        parts: &mut [Part],
        settings: &[Limits],
        budget: &mut Budget,
    ) -> Vec<Measured> {
        let beside = (settings.len() + 1) * self.k * size_of::<f64>()
            + exact::WAITING * size_of::<(f64, u32)>();
        let asked = queries::ask(parts, self.queries.as_ref(), self.sample, beside, budget);
        let mut search_all = |limits: &Limits| -> Vec<Found> {
            let search = |asked| search(parts, asked, *limits, self.k);
            asked.iter().map(search).collect()
        };
        // The first searches wait for pages that are not in memory.
        settings.first().map(&mut search_all);
        let found: Vec<Vec<Found>> = settings.iter().map(&mut search_all).collect();
        let start = Instant::now();
        let exact = self.exact(parts, &asked, &found);
        let time = start.elapsed();
        found
            .iter()
            .map(|found| summarize(found, &exact, time))
            .collect()
    }

    /// The number of nearest rows of each query, and the distance of the last of them.
    fn exact(
        &self,
        parts: &mut [Part],
        asked: &[Asked],
        found: &[Vec<Found>],
    ) -> Vec<(usize, f64)> {
        let last_of = |query: usize| {
            let last = found
                .iter()
                .filter_map(|found| found[query].distances.get(self.k - 1));
            last.copied().fold(f64::INFINITY, f64::min)
        };
        let mut nearest: Vec<Nearest> = (0..asked.len())
            .map(|query| Nearest::new(self.k, last_of(query)))
            .collect();
        for (number, part) in parts.iter_mut().enumerate() {
            exact::add(part, number, asked, &mut nearest);
        }
        nearest.iter().map(Nearest::farthest).collect()
    }
}

/// Calls `work` with open indexes as parts and with the memory that they leave, and closes them.
fn with_parts<R>(
    opened: Vec<OpenIndex>,
    filter: Option<&SqlText>,
    work: impl FnOnce(&mut [Part], &mut Budget) -> R,
) -> R {
    opened.iter().for_each(check_usable);
    let snapshot = Snapshot::of_statement();
    let mut budget = Budget::new();
    let mut parts: Vec<Part> = opened
        .into_iter()
        .map(|open| {
            #[expect(unsafe_code, reason = "promises to release the snapshot last")]
            // SAFETY: the snapshot is released after the parts are closed.
            unsafe {
                Part::new(open, &snapshot, filter, &mut budget)
            }
        })
        .collect();
    let result = work(&mut parts, &mut budget);
    parts.into_iter().for_each(Part::close);
    snapshot.release();
    result
}

/// An index that need not hold all rows has no recall.
fn check_usable(open: &OpenIndex) {
    if !open.is_valid() {
        error::index_not_valid(&open.index.name());
    }
    if snapshot::is_kept_by_transaction() && open.is_for_newer_snapshots() {
        error::snapshot_too_old_for_index(&open.index.name());
    }
}

/// Searches all parts for the `k` nearest rows, as `MergeAppend` does for the partitions of a table: the next row is taken from the
/// part whose next row is the nearest.
fn search(parts: &mut [Part], asked: &Asked, limits: Limits, k: usize) -> Found {
    let start = Instant::now();
    let mut next: Vec<Option<f64>> = Vec::with_capacity(parts.len());
    for (number, part) in parts.iter_mut().enumerate() {
        part.begin(asked, limits);
        next.push(other_than_own(part, number, asked));
    }
    let mut distances = Vec::with_capacity(k.min(1000));
    while distances.len() < k {
        interrupt::check();
        let heads = next.iter().enumerate();
        let heads = heads.filter_map(|(number, distance)| Some((number, (*distance)?)));
        let Some((number, distance)) = heads.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        distances.push(distance);
        if distances.len() < k {
            next[number] = other_than_own(&mut parts[number], number, asked);
        }
    }
    Found {
        distances,
        time: start.elapsed(),
        evaluations: parts.iter().map(Part::evaluations).sum(),
    }
}

/// The distance of the next row of a part that is not the query's own.
fn other_than_own(part: &mut Part, number: usize, asked: &Asked) -> Option<f64> {
    loop {
        let (distance, row) = part.next()?;
        if asked.own != Some((number, row)) {
            return Some(distance);
        }
    }
}

/// Compares what searches have found with the exact neighbors. Queries for which there is nothing to be found do not count.
#[expect(clippy::cast_precision_loss, reason = "counts")]
fn summarize(found: &[Found], exact: &[(usize, f64)], exact_time: Duration) -> Measured {
    let mut shares = Vec::with_capacity(found.len());
    let (mut evaluations, mut time, mut most) = (0, Duration::ZERO, 0);
    for (found, &(rows, last)) in found.iter().zip(exact) {
        if rows == 0 {
            continue;
        }
        let right = found.distances.iter().filter(|&&row| row <= last).count();
        shares.push(right.min(rows) as f64 / rows as f64);
        evaluations += found.evaluations;
        time += found.time;
        most = most.max(rows);
    }
    let count = shares.len() as f64;
    Measured {
        recall: Recall::of(&shares, most),
        queries: i64::try_from(shares.len()).unwrap_or(i64::MAX),
        evaluations: evaluations as f64 / count,
        milliseconds: 1000.0 * time.as_secs_f64() / count,
        exact_milliseconds: 1000.0 * exact_time.as_secs_f64() / found.len() as f64,
    }
}
