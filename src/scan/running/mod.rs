//! A query of a scan in progress: takes rows from the rerank queue in the order of their exact distances.
//!
//! The queue asks for exact distances ([`rerank`]) and, when it runs dry, for more elements: by another round of the search
//! ([`search`], or [`slack`] for a target recall), or by the codes of all rows that pass the conditions ([`conditions`]).

mod conditions;
mod rerank;
mod search;
mod slack;

use hnsw::Step;
use layout::HeapTid;

use super::filtered::LEFT_TO_EXECUTOR;
use super::last_scan::{Cost, Ended};
use super::limits::Limits;
use super::query::Prepared;
use super::returned::Returned;
use super::scratch::Scratch;
use super::target::{self, Number, Rule};
use super::{Idle, Start};
use crate::error;
use crate::opclass::OperatorClass;
use crate::pg::interrupt;
use crate::settings::IterativeScan;
use crate::storage::rows::{Dead, DeadRows};
use crate::storage::{Index, metapage};
use crate::table::fetch::RowFetcher;
use conditions::Conditions;

/// A query of a scan in progress.
pub(super) struct Running {
    index: Index,
    class: OperatorClass,
    rows: RowFetcher,
    query: Prepared,
    scratch: Box<Scratch>,
    /// Counts of work since the query was set.
    cost: Cost,
    returned: Returned,
    /// The index's count of removals when the search started.
    removals: u64,
    /// Elements found since the query was set.
    found: usize,
    /// Rows found to be dead, not marked yet.
    dead: DeadRows,
    /// Read rows marked as dead, or pass over them.
    marked: Dead,
    /// True if the scan may mark rows it finds dead.
    may_mark: bool,
    /// True once the first search has begun.
    has_searched: bool,
    /// The rule that ends a search.
    rule: Rule,
    /// The `ef` of the next search.
    next_ef: usize,
    /// The estimate up to which a search with a target has expanded all candidates.
    reached: f32,
    /// Rows up to this distance may be returned before the search resumes.
    emit_below: f64,
    /// Resumed searches find nothing more up to this distance.
    settled: f64,
    /// Distance of the last row returned.
    last: f64,
    /// Rows left out because a farther one was returned before them.
    late: u64,
    /// Rows beyond this distance are not wanted.
    threshold: f64,
    limits: Limits,
    conditions: Conditions,
}

impl Running {
    pub(super) fn new(
        index: &Index,
        class: &OperatorClass,
        idle: Idle,
        rows: RowFetcher,
        start: Start<'_>,
        limits: Limits,
    ) -> Self {
        let mut running = Self {
            index: index.clone(),
            class: *class,
            rows,
            query: Prepared::new(index, class, start.query.as_ref()),
            scratch: idle.scratch,
            cost: Cost::default(),
            returned: idle.returned,
            removals: 0,
            found: 0,
            dead: DeadRows::default(),
            // A transaction begun on a standby may have a snapshot older than all of the primary, as for btree.
            marked: match start.may_pass_over_dead {
                true => Dead::PassedOver,
                false => Dead::Read,
            },
            may_mark: start.may_mark && index.relation().needs_wal(),
            has_searched: false,
            rule: Rule::Found(Number::default()),
            next_ef: 0,
            reached: f32::NEG_INFINITY,
            emit_below: f64::NEG_INFINITY,
            settled: f64::NEG_INFINITY,
            last: f64::NEG_INFINITY,
            late: 0,
            threshold: start.threshold,
            limits,
            conditions: Conditions::default(),
        };
        running.choose_rule(start.filter.is_some());
        if let Some(filter) = start.filter {
            running.limits = running.limits.of_filtered();
            running.apply(filter);
        }
        running
    }

    /// Ends the query; keeps memory and the reader of rows.
    pub(super) fn into_idle(mut self) -> Idle {
        self.dead.mark(&self.index);
        self.returned.clear();
        self.scratch.queue.clear();
        self.rows.reset();
        Idle {
            scratch: self.scratch,
            returned: self.returned,
            rows: Some(self.rows),
        }
    }

    /// Chooses the rule that ends searches.
    fn choose_rule(&mut self, is_filtered: bool) {
        let query = match self.query.is_directed {
            false => target::Query::Undirected,
            true if is_filtered => target::Query::Filtered,
            true => target::Query::Plain(self.query.codes.unit(&self.index.codecs())),
        };
        let relation = self.index.relation();
        // Scans of many sessions meet at the metapage: none without a target goes there once more.
        let has_target = self.limits.target.is_some_and(|target| target > 0.0);
        let calibrated = has_target
            .then(|| metapage::read(relation).calibrated)
            .flatten();
        // The size of the index takes a system call.
        let blocks = calibrated.map_or(0, |_| relation.blocks());
        self.rule = Rule::new(&self.limits, &query, calibrated, blocks);
        match self.rule {
            Rule::Found(number) => {
                self.next_ef = number.first;
                self.cost.rule = Ended::Found(number.ef);
                self.cost.recall = number.recall;
            }
            Rule::Target(_) => self.cost.recall = self.limits.target,
        }
    }

    /// The work since the query was set.
    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    /// Unpins the table's pages.
    pub(super) fn release_rows(&mut self) {
        self.rows.reset();
    }

    /// Returns the next row in the order of exact distances, with its distance.
    pub(super) fn next(&mut self) -> Option<(f64, HeapTid)> {
        if self.returned.count() >= LEFT_TO_EXECUTOR {
            self.apply_pending();
        }
        if self.is_complete() {
            return None;
        }
        loop {
            interrupt::check();
            if self.is_beyond_threshold() {
                if self.settled > self.threshold {
                    return None;
                }
                self.find_more();
                continue;
            }
            match self.scratch.queue.step() {
                Step::Rerank(found, bound) => self.rerank(found, bound),
                Step::Emit(tid, distance) if distance > self.emit_below => {
                    self.scratch.queue.push_exact(tid, distance);
                    self.find_more();
                }
                Step::Emit(tid, distance) if self.is_in_order(distance) => {
                    self.last = distance;
                    self.returned.push(tid);
                    return Some((distance, tid));
                }
                Step::Emit(..) => self.late += 1,
                Step::Empty if self.find_more() => {}
                Step::Empty if !self.may_continue() && self.apply_pending() => {}
                Step::Empty => {
                    self.report_end();
                    return None;
                }
            }
        }
    }

    /// True if a scan by a target has returned as many rows as one that does not continue may.
    fn is_complete(&self) -> bool {
        matches!(self.rule, Rule::Target(_))
            && self.limits.iterative == IterativeScan::Off
            && self.returned.count() >= self.limits.ef
    }

    /// Reports why a scan read to its end may have left out rows.
    fn report_end(&self) {
        let is_iterative = self.limits.iterative != IterativeScan::Off;
        let limit = !self.conditions.is_exact && is_iterative && !self.may_continue();
        if self.late > 0 || limit {
            error::debug_rows_left_out(&self.index.relation().name(), self.late, limit);
        }
    }

    /// True if no row in the queue can be within the threshold. Nothing is beyond infinity, NaN included.
    fn is_beyond_threshold(&self) -> bool {
        self.threshold < f64::INFINITY
            && self
                .scratch
                .queue
                .bound()
                .is_some_and(|bound| bound > self.threshold || bound.is_nan())
    }

    /// True if a row may still be returned: it is no nearer than the last one, within rounding, or order may be relaxed. Other
    /// rows are left out, as in pgvector.
    fn is_in_order(&self, distance: f64) -> bool {
        self.limits.iterative == IterativeScan::RelaxedOrder
            || self.query.is_null
            || hnsw::is_in_order(self.last, distance)
    }

    fn reserve_queue(&mut self, found: usize, measured: usize) {
        if !self.scratch.queue.reserve(found, measured) {
            error::out_of_memory(self.scratch.memory());
        }
    }
}
