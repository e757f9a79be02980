//! Index scans: search the graph over codes, compute exact distances of the nearest rows from the table, return them in exact
//! order.

mod filtered;
mod found;
pub(crate) mod last_scan;
mod limits;
mod nearest;
mod query;
mod returned;
mod running;
mod scratch;
mod target;

use filter::{Filter, Widths};
use layout::HeapTid;

use crate::opclass::{self, OperatorClass};
use crate::pg::Relation;
use crate::storage::Index;
use crate::table::fetch::RowFetcher;
use crate::types::indexed::{Indexed, Kind};
use last_scan::Cost;
use returned::Returned;
use running::Running;
use scratch::Scratch;

pub(crate) use filtered::{CODE, ENTRIES, least_ef, measured};
pub(crate) use limits::{Limits, first_ef};
pub(crate) use target::{target, usual_ef};

/// The facts a scan starts with, from Postgres' description of it.
pub(crate) struct Start<'a> {
    /// The query vector; `None` for NULL.
    pub(crate) query: Option<Indexed<'a>>,
    /// Rows beyond this distance are not wanted.
    pub(crate) threshold: f64,
    /// The conditions on key columns.
    pub(crate) filter: Option<Filter>,
    /// True if rows marked as dead are invisible to the snapshot.
    pub(crate) may_pass_over_dead: bool,
    /// True if rows found dead to everybody may be marked.
    pub(crate) may_mark: bool,
}

/// An index scan: between queries, or with one running.
pub(crate) struct Scan {
    index: Index,
    class: OperatorClass,
    /// The index's option `target_recall`; 0 for none.
    target: f64,
    phase: Phase,
    /// The work of all queries before the present one.
    before: Cost,
}

enum Phase {
    Idle(Box<Idle>),
    Running(Box<Running>),
    Ended,
}

/// Memory and resources that a scan keeps from one query to the next.
struct Idle {
    scratch: Box<Scratch>,
    returned: Returned,
    /// The reader of the table's rows, once a query has opened it.
    rows: Option<RowFetcher>,
}

impl Scan {
    /// A scan of an index with this option `target_recall`, 0 for none.
    pub(crate) fn new(index: Relation, target: f64) -> Self {
        Self {
            index: Index::open(index, opclass::declared),
            class: OperatorClass::of(index),
            target,
            phase: Phase::Idle(Box::new(Idle::new())),
            before: Cost::default(),
        }
    }

    /// The kind of the scan's query vector.
    pub(crate) fn kind(&self) -> Kind {
        self.class.kind()
    }

    /// The shape of the index's row keys; `None` without key columns.
    pub(crate) fn key_widths(&self) -> Option<Widths> {
        self.index.geometry().widths()
    }

    /// True once the query is set.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Sets the query, with the limits of the settings. `open` makes the reader of the table's rows for the first query.
    pub(crate) fn begin(&mut self, start: Start<'_>, open: impl FnOnce() -> RowFetcher) {
        self.begin_within(start, Limits::now(), open);
    }

    /// Sets the query, with these limits; the settings and the index give a target where they have none.
    pub(crate) fn begin_within(
        &mut self,
        start: Start<'_>,
        limits: Limits,
        open: impl FnOnce() -> RowFetcher,
    ) {
        let limits = Limits {
            target: limits.target.or_else(|| Some(target(self.target))),
            ..limits
        };
        let mut idle = self.take_idle().unwrap_or_else(Idle::new);
        let rows = idle.rows.take().unwrap_or_else(open);
        let running = Running::new(&self.index, &self.class, idle, rows, start, limits);
        self.phase = Phase::Running(Box::new(running));
    }

    /// Returns the next row in the order of exact distances; `None` without a query.
    pub(crate) fn next(&mut self) -> Option<HeapTid> {
        self.next_with_distance().map(|(_, row)| row)
    }

    /// As `next`, with the exact distance of the row.
    pub(crate) fn next_with_distance(&mut self) -> Option<(f64, HeapTid)> {
        match &mut self.phase {
            Phase::Running(running) => running.next(),
            Phase::Idle(_) | Phase::Ended => None,
        }
    }

    /// The work since the query was set; `None` without a query.
    pub(crate) fn cost(&self) -> Option<Cost> {
        match &self.phase {
            Phase::Running(running) => Some(running.cost()),
            Phase::Idle(_) | Phase::Ended => None,
        }
    }

    /// The work of all queries so far.
    pub(crate) fn work(&self) -> Cost {
        self.before.and(self.cost().unwrap_or_default())
    }

    /// Drops the query and everything found; keeps the memory for the next query.
    pub(crate) fn restart(&mut self) {
        self.before = self.work();
        self.phase = self
            .take_idle()
            .map_or(Phase::Ended, |idle| Phase::Idle(Box::new(idle)));
    }

    /// Ends the query, if there is one, and the scan, until its phase is set again.
    fn take_idle(&mut self) -> Option<Idle> {
        match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Idle(idle) => Some(*idle),
            Phase::Running(running) => Some(running.into_idle()),
            Phase::Ended => None,
        }
    }

    /// Unpins the table's pages: the scan is at its end.
    pub(crate) fn release_rows(&mut self) {
        if let Phase::Running(running) = &mut self.phase {
            running.release_rows();
        }
    }

    /// Ends the scan. Its state itself is dropped with the memory context.
    pub(crate) fn end(&mut self) {
        // A query over many partitions ends many scans long before their memory contexts are deleted.
        if let Some(idle) = self.take_idle() {
            idle.scratch.hand_on();
            if let Some(rows) = idle.rows {
                rows.close();
            }
        }
    }
}

impl Idle {
    fn new() -> Self {
        Self {
            scratch: Scratch::take(),
            returned: Returned::default(),
            rows: None,
        }
    }
}
