//! What the last scan of this session took: for tests, and for whoever wonders why a query is slow.

use std::cell::Cell;

use pgrx::iter::TableIterator;
use pgrx::name;

use crate::pg::call::sql_function;

/// What a scan did for its last query.
#[derive(Clone, Copy, Default)]
pub(super) struct Cost {
    /// Walks through the graph: the first, and those that went on.
    pub(super) walks: u64,
    /// Elements whose neighbors were read.
    pub(super) expansions: u64,
    /// Elements whose codes were compared with the query.
    pub(super) evaluations: u64,
    /// Pages of the index that were pinned and locked; what was read at a glance does not count.
    pub(super) pages: u64,
    /// Rows of the table that were asked for.
    pub(super) rows: u64,
}

thread_local! {
    static LAST: Cell<Cost> = Cell::default();
}

/// Called when a scan ends.
pub(super) fn set(cost: Cost) {
    LAST.set(cost);
}

sql_function!(hnsw_last_scan);
fn hnsw_last_scan() -> TableIterator<
    'static,
    (
        name!(walks, i64),
        name!(expansions, i64),
        name!(evaluations, i64),
        name!(pages, i64),
        name!(rows, i64),
    ),
> {
    let cost = LAST.get();
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TableIterator::once((
        number(cost.walks),
        number(cost.expansions),
        number(cost.evaluations),
        number(cost.pages),
        number(cost.rows),
    ))
}
