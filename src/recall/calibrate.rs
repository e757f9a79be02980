//! `hnsw_calibrate`: finds the slacks of target recalls again, by elements of the index as its build did, or by queries.

use std::collections::BinaryHeap;

use hnsw::{Calibrator, Candidate, NEIGHBORS, Tracer};
use layout::Calibrated;
use pgrx::pg_sys::Oid;
use quantize::CenteredQuery;

use super::asked::Asked;
use super::budget::Budget;
use super::part::Part;
use super::{queries, with_parts};
use crate::error;
use crate::inspect;
use crate::pg::call::sql_function;
use crate::pg::interrupt;
use crate::pg::open::{self, OpenIndex};
use crate::pg::query::SqlText;
use crate::storage::calibrate::LEAST;
use crate::storage::{calibrate, pass};

/// The most queries of a statement that are traced.
const MOST: usize = 1000;

sql_function!(hnsw_calibrate);
/// The queries traced; NULL if the index has too few elements, or no calibration.
fn hnsw_calibrate(index: Option<Oid>, queries: Option<SqlText>) -> Option<i64> {
    let index = index?;
    open::prevent_if_read_only(c"hnsw_calibrate()");
    let opened = inspect::open_own_parts(index);
    opened.iter().for_each(OpenIndex::lock_for_change);
    let calibrated = with_parts(opened, None, |parts, budget| match &queries {
        None => parts
            .iter()
            .map(|part| calibrate::again(&part.index))
            .collect(),
        Some(queries) => by_queries(parts, queries, budget),
    });
    let traced = calibrated.iter().flatten();
    traced
        .map(|calibrated| i64::from(calibrated.elements))
        .reduce(|a, b| a + b)
}

/// Calibrates each part by the queries of a statement.
fn by_queries(
    parts: &mut [Part],
    statement: &SqlText,
    budget: &mut Budget,
) -> Vec<Option<Calibrated>> {
    let beside = NEIGHBORS * size_of::<Candidate>();
    let asked = queries::ask(parts, Some(statement), MOST, beside, budget);
    if asked.len() < LEAST && !parts.is_empty() {
        error::too_few_queries(asked.len(), LEAST);
    }
    parts.iter().map(|part| by_asked(part, &asked)).collect()
}

fn by_asked(part: &Part, asked: &[Asked]) -> Option<Calibrated> {
    let queries: Vec<CenteredQuery<'static>> =
        asked.iter().map(|asked| part.codes(asked)).collect();
    let (mut calibrator, mut tracer) = (Calibrator::default(), Tracer::default());
    for (query, nearest) in queries.iter().zip(nearest(part, &queries)) {
        interrupt::check();
        let unit = query.unit(&part.index.codecs());
        let nearest = nearest.into_sorted_vec();
        let trace = tracer.trace_query(&mut part.index.graph(), query, unit, &nearest);
        let trace = trace.unwrap_or_else(|| error::out_of_memory(tracer.memory()));
        calibrator.add(&trace);
    }
    calibrate::finish(&part.index, calibrator, true)
}

/// The elements nearest to each query by their codes.
fn nearest(part: &Part, queries: &[CenteredQuery<'static>]) -> Vec<BinaryHeap<Candidate>> {
    let mut nearest: Vec<BinaryHeap<Candidate>> =
        queries.iter().map(|_| BinaryHeap::new()).collect();
    pass::each_code_page(&part.index, |codecs, codes| {
        for (query, nearest) in queries.iter().zip(&mut nearest) {
            for &(element, code) in codes {
                let estimate = query.estimate(codecs, code);
                let (distance, error) = estimate.expect("a pass knows the centers of its codes");
                let is_near = nearest.len() < NEIGHBORS
                    || nearest.peek().is_some_and(|last| distance < last.distance);
                if is_near {
                    nearest.push(Candidate {
                        distance,
                        error,
                        element,
                        live: true,
                    });
                }
                if nearest.len() > NEIGHBORS {
                    nearest.pop();
                }
            }
        }
    });
    nearest
}
