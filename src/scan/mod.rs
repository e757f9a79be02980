//! Index scans: search the graph over codes, compute exact distances of the nearest rows from the table, return them in exact
//! order.

mod filtered;
mod found;
pub(crate) mod last_scan;
mod limits;
mod nearest;
mod query;
mod returned;
mod target;

use std::cell::Cell;

use filter::{Filter, Widths};
use hnsw::{
    Candidate, Counters, ElementId, FIRST, GROUP, Matters, RerankQueue, Search, SearchOptions,
    Slack, Step, Store,
};
use layout::{Corrupt, HeapTid};
use quantize::Query;

use crate::error;
use crate::opclass::{self, OperatorClass};
use crate::pg::{Relation, interrupt};
use crate::settings::IterativeScan;
use crate::storage::rows::{self, Chain, Dead, DeadRows, ReadSlot};
use crate::storage::{Gate, Index, PageGraph, metapage};
use crate::table::fetch::RowFetcher;
use crate::types::indexed::{Indexed, Kind};
use filtered::{Filtered, GroupGraph, LEFT_TO_EXECUTOR};
use found::{Alike, Found};
use last_scan::{Cost, Ended};
use nearest::{Bounded, Nearest};
use query::Prepared;
use returned::Returned;
use target::{Number, Rule, Target};

pub(crate) use filtered::{CODE, LEAST_EF, measured};
pub(crate) use limits::{Limits, first_ef};
pub(crate) use target::{target, usual_ef};

/// Rows prefetched together.
const AHEAD: usize = 12;

/// Bytes of a row to prefetch; the hardware prefetcher loads the following ones.
const ROW_START: usize = 256;

/// After a scan has compared one in this many of the elements of the index, or of its group, it is taken to want all rows.
const SEEN_BEFORE_ALL: f64 = 4.0;

/// Distances estimated by a search with a target before the limits of the scan are looked at again.
const STEP: u64 = 4096;

/// A scan's buffers; the next scan of this backend reuses them.
#[derive(Default)]
struct Scratch {
    search: Search,
    queue: RerankQueue<Found, HeapTid>,
    found: Vec<Candidate>,
    tids: Vec<HeapTid>,
}

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Returns the buffers of the last scan, or new ones if another scan holds them.
    fn take() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// The maximum bytes for everything the scan has visited so far.
    fn memory(&self) -> usize {
        self.search.memory() + self.queue.memory()
    }

    /// Buffers of more bytes are freed at the end of a scan.
    const MOST: usize = 1 << 20;

    fn hand_on(mut self: Box<Self>) {
        self.queue.clear();
        if self.search.capacity() + self.queue.capacity() < Self::MOST {
            SPARE.set(Some(self));
        }
    }
}

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

/// A query of a scan in progress.
struct Running {
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
    walking: bool,
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
    /// The rows that pass conditions on key columns, if there are conditions.
    filtered: Option<Filtered>,
    /// Conditions left to the executor so far.
    pending: Option<Filter>,
    /// The graph that searches go through in place of the whole one.
    group: Option<GroupGraph>,
    /// True once the codes of all rows that pass are compared: nothing is left to find.
    is_exact: bool,
    /// The nearest element whose code is to be compared again, because the elements with a row that passes were too many for the
    /// scan's memory.
    rest: Option<Bounded>,
    /// True if a gated search was given up.
    is_given_up: bool,
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
            Phase::Running(running) => running.next().map(|row| (running.last, row)),
            Phase::Idle(_) | Phase::Ended => None,
        }
    }

    /// The work since the query was set; `None` without a query.
    pub(crate) fn cost(&self) -> Option<Cost> {
        match &self.phase {
            Phase::Running(running) => Some(running.cost),
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
            running.rows.reset();
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

impl Running {
    fn new(
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
            walking: false,
            rule: Rule::Found(Number::default()),
            next_ef: 0,
            reached: f32::NEG_INFINITY,
            emit_below: f64::NEG_INFINITY,
            settled: f64::NEG_INFINITY,
            last: f64::NEG_INFINITY,
            late: 0,
            threshold: start.threshold,
            limits,
            filtered: None,
            pending: None,
            group: None,
            is_exact: false,
            rest: None,
            is_given_up: false,
        };
        running.choose_rule(start.filter.is_some());
        if let Some(filter) = start.filter {
            running.limits = running.limits.of_filtered();
            running.apply(filter);
        }
        running
    }

    /// Chooses how to find the rows that pass the conditions on key columns.
    fn apply(&mut self, filter: Filter) {
        let pages = &mut self.cost.pages;
        let group = GroupGraph::of(&self.index, &filter, pages);
        let is_alone = group.as_ref().is_some_and(|group| group.is_alone);
        if !is_alone && filtered::passes_most(&self.index, &filter, pages) {
            self.pending = Some(filter);
            return;
        }
        self.group = group;
        if is_alone {
            self.next_ef = GroupGraph::first_ef(self.next_ef);
        } else {
            self.select(filter);
        }
    }

    /// Ends the query; keeps memory and the reader of rows.
    fn into_idle(mut self) -> Idle {
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
            true => target::Query::Plain(self.query.codes.unit()),
        };
        let relation = self.index.relation();
        // Scans of many sessions meet at the metapage: none without a target goes there once more.
        let has_target = self.limits.target.is_some_and(|target| target > 0.0);
        let calibrated = has_target
            .then(|| metapage::read(relation).calibrated)
            .flatten();
        self.rule = Rule::new(&self.limits, &query, calibrated, relation.blocks());
        match self.rule {
            Rule::Found(number) => {
                self.next_ef = number.first;
                self.cost.rule = Ended::Found(number.ef);
                self.cost.recall = number.recall;
            }
            Rule::Target(_) => self.cost.recall = self.limits.target,
        }
    }

    /// Finds the rows that pass the conditions on key columns, and searches from the beginning. Rows returned before are passed
    /// over.
    fn select(&mut self, filter: Filter) {
        let (mut filtered, pages) = Filtered::select(&self.index, filter, self.limits.max_memory);
        if let Some(group) = &self.group {
            filtered.within(group);
        }
        self.cost.pages += pages;
        self.cost.matches = Some(filtered.count() as u64);
        if let Rule::Found(number) = self.rule {
            self.next_ef = match self.group {
                Some(_) => GroupGraph::first_ef(number.first),
                None => filtered.first_ef(number.first),
            };
        }
        self.filtered = Some(filtered);
        self.walking = false;
        self.found = 0;
        self.forget_found();
    }

    /// Applies conditions left to the executor so far; false if there are none.
    fn apply_pending(&mut self) -> bool {
        let Some(filter) = self.pending.take() else {
            return false;
        };
        self.select(filter);
        true
    }

    /// Returns the next row in the order of exact distances.
    fn next(&mut self) -> Option<HeapTid> {
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
                Step::Rerank(found, bound) => self.measure(found, bound),
                Step::Emit(tid, distance) if distance > self.emit_below => {
                    self.scratch.queue.push_exact(tid, distance);
                    self.find_more();
                }
                Step::Emit(tid, distance) if self.is_in_order(distance) => {
                    self.last = distance;
                    self.returned.push(tid);
                    return Some(tid);
                }
                Step::Emit(..) => self.late += 1,
                Step::Empty if self.find_more() => {}
                Step::Empty if !self.may_walk_on() && self.apply_pending() => {}
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
        let limit = !self.is_exact && is_iterative && !self.may_walk_on();
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

    /// Computes exact distances of the rows of `found`, from the table.
    fn measure(&mut self, found: Found, bound: f64) {
        let mut alike = if let Found::Rows(_, alike) = found {
            alike
        } else {
            Alike::default()
        };
        let (more, from) = self.read_rows(&found);
        self.reserve_queue(1, self.scratch.tids.len());
        let (rows, query) = (&mut self.rows, &self.query);
        for &tid in &self.scratch.tids {
            if self.returned.contains(tid) {
                continue;
            }
            if !rows.has_block(tid.block) {
                let damaged = found.block(&self.index);
                self.index.corrupt(damaged, Corrupt::NoSuchRow(tid.block));
            }
            #[expect(
                unsafe_code,
                reason = "the column's type is known to the operator class only"
            )]
            // SAFETY: the indexed column is of the operator class's type.
            let distance = rows.with_value(tid, |value| unsafe {
                let row = Indexed::from_raw(self.class.kind(), value);
                self.class.operator().measure(&query.exact, &row)
            });
            self.cost.rows += 1;
            if let Some(distance) = distance {
                alike = alike.with(distance);
                self.scratch.queue.push_exact(tid, distance);
            } else if let Some(from) = from.filter(|_| self.may_mark && rows.is_dead()) {
                self.dead.push(&self.index, &from, tid);
            }
        }
        if let Some(chain) = more {
            self.scratch
                .queue
                .push_estimate(Found::Rows(chain, alike), alike.bound(bound));
        }
    }

    fn reserve_queue(&mut self, found: usize, measured: usize) {
        if !self.scratch.queue.reserve(found, measured) {
            error::out_of_memory(self.scratch.memory());
        }
    }

    fn reserve_found(&mut self, count: usize) {
        if self.scratch.found.try_reserve(count).is_err() {
            error::out_of_memory(count * size_of::<Candidate>());
        }
    }

    /// Reads row pointers into `self.scratch.tids`. Returns the position of the element's next ones, and for further rows the
    /// slot they were read from.
    fn read_rows(&mut self, found: &Found) -> (Option<Chain>, Option<ReadSlot>) {
        self.scratch.tids.clear();
        match *found {
            Found::Element(element) => {
                // The borrow ends before rows are reranked: an index expression may run a query over this very index.
                let mut graph = self.index.graph();
                let more = rows::inline(&mut graph, element, &mut self.scratch.tids);
                self.cost.pages += graph.visits();
                if let Some(filtered) = &mut self.filtered {
                    filtered.retain(&mut self.scratch.tids, more.is_some());
                }
                (more, None)
            }
            Found::Rows(chain, _) => {
                self.cost.pages += 1;
                let reading = chain.read(&self.index, self.marked, &mut self.scratch.tids);
                if let Some(filtered) = &mut self.filtered {
                    filtered.retain(&mut self.scratch.tids, true);
                }
                (reading.after, reading.from)
            }
        }
    }

    /// Starts or resumes the search; false if it finds nothing more.
    fn find_more(&mut self) -> bool {
        self.scratch.found.clear();
        let before = self.emit_below;
        if self.is_exact {
            return self.rest.is_some() && self.compare_elements();
        }
        let is_few = self.filtered.as_ref().is_some_and(Filtered::is_few);
        if !is_few {
            self.emit_below = match self.rule {
                Rule::Found(_) => self.walk_to_number(),
                Rule::Target(target) => self.walk_to_slack(&target),
            };
        }
        if self.group.is_some() && self.scratch.found.is_empty() {
            self.is_given_up = true;
        }
        if is_few || self.is_given_up {
            self.leave_group();
            return self.compare_all();
        }
        // In relaxed order searches do not grow, and each finds rows the last one missed.
        let is_late = self.limits.iterative == IterativeScan::RelaxedOrder
            && before.is_finite()
            && self.emit_below.is_finite();
        self.settled = if is_late { before } else { self.emit_below };
        self.prefetch_rows();
        self.reserve_queue(self.scratch.found.len(), 0);
        for candidate in &self.scratch.found {
            let bound = self.class.lower_bound(candidate.distance, candidate.error);
            self.scratch
                .queue
                .push_estimate(Found::Element(candidate.element), bound);
        }
        !self.scratch.found.is_empty()
    }

    /// Searches for `next_ef` elements; returns the distance up to which rows may be returned. The last finds may have nearer
    /// neighbors not found yet: they wait until a search has gone well beyond them.
    fn walk_to_number(&mut self) -> f64 {
        let walked = self.walk();
        let settled = (self.scratch.found.len() * 4 / 5).saturating_sub(1);
        match self.scratch.found.get(settled) {
            Some(candidate) if walked && self.limits.iterative != IterativeScan::Off => self
                .emit_below
                .max(self.class.lower_bound(candidate.distance, 0.0)),
            _ => f64::INFINITY,
        }
    }

    /// Searches until the slack of the target is reached for the next row; returns the distance up to which rows may be
    /// returned.
    fn walk_to_slack(&mut self, target: &Target) -> f64 {
        let first = !std::mem::replace(&mut self.walking, true);
        let rank = self.returned.count() + 1;
        if !first && !self.may_walk_on() {
            self.give_up();
            return f64::INFINITY;
        }
        let next = self.scratch.queue.bound().filter(|_| !first);
        let row = next.map(|distance| self.class.estimate(distance));
        let (matters, slack) = self.matters(first, rank, row, target);
        self.cost.rule = Ended::Slack(slack.share);
        if first || !self.is_reached(&slack, matters) {
            self.search_within(first, &slack, matters);
        }
        match (next, matters) {
            // The conversions between distances and estimates round.
            (Some(distance), _) if self.is_reached(&slack, matters) => distance,
            (_, Matters::First(_)) => f64::NEG_INFINITY,
            _ => self.class.lower_bound(slack.distance_of(self.reached), 0.0),
        }
    }

    /// The distance that decides about the end of a search for the row of a rank, and its slack: that of the tenth element for
    /// the first ten rows, unless rows were found to be dead or invisible and the next one is farther; then that of the row.
    fn matters(
        &self,
        first: bool,
        rank: usize,
        row: Option<f32>,
        target: &Target,
    ) -> (Matters, Slack) {
        let of_first = (Matters::First(FIRST), target.slack(rank));
        let Some(row) = row else {
            return match first {
                true => of_first,
                false => (Matters::Rank(FIRST), target.slack(rank)),
            };
        };
        let tenth = self.scratch.search.first_distance();
        if rank <= FIRST && row <= target.slack(FIRST).reach(tenth).max(tenth) {
            return of_first;
        }
        (Matters::Row(row), target.slack(rank.max(FIRST + 1)))
    }

    /// True if the search has come as far as the slack asks for.
    fn is_reached(&self, slack: &Slack, matters: Matters) -> bool {
        let distance = match matters {
            Matters::Row(row) => row,
            Matters::First(_) => self.scratch.search.first_distance(),
            Matters::Rank(_) => return false,
        };
        slack.reach(distance) <= self.reached
    }

    /// Searches within a slack, and takes the found: at least one element, unless none is left or a limit is met.
    fn search_within(&mut self, mut from_entry_point: bool, slack: &Slack, matters: Matters) {
        loop {
            let start = std::mem::take(&mut from_entry_point);
            let before = self.scratch.search.counters().evaluations;
            let mut reached = f32::INFINITY;
            let is_undisturbed = self.search_by(start, 0, |search, graph, query| {
                reached = if start {
                    search.start_within(graph, query, slack, matters, STEP)
                } else {
                    search.extend(graph, query, slack, matters, before + STEP)
                };
            });
            self.reached = reached;
            if !is_undisturbed {
                self.forget_found();
                from_entry_point = true;
                continue;
            }
            let is_empty = self.scratch.search.found().0 == 0;
            let may_go_on = self.scratch.search.can_extend() && self.may_walk_on();
            let is_done = matches!(matters, Matters::Row(_)) || self.is_reached(slack, matters);
            if !is_empty || is_done || !may_go_on {
                break;
            }
        }
        self.take_found();
        if self.scratch.found.is_empty() && !self.may_walk_on() {
            self.give_up();
        }
    }

    fn take_found(&mut self) {
        self.reserve_found(self.scratch.search.found().0);
        self.scratch.search.take_nearest(&mut self.scratch.found);
        self.found += self.scratch.found.len();
    }

    /// Returns candidates estimated on the way before the scan ends.
    fn give_up(&mut self) {
        self.reserve_found(self.scratch.search.found().1);
        self.scratch
            .found
            .extend(std::iter::from_fn(|| self.scratch.search.pop_discarded()));
    }

    /// Prefetches the nearest rows, because most of them will be reranked, one after the other: first all row pointers, then,
    /// once these are loaded, the rows.
    fn prefetch_rows(&mut self) {
        if self.scratch.found.is_empty() {
            return;
        }
        let Scratch { found, tids, .. } = &mut *self.scratch;
        tids.clear();
        {
            let mut graph = self.index.graph();
            let nearest = found.iter().take(AHEAD);
            tids.extend(nearest.filter_map(|found| rows::likely(&mut graph, found.element)));
        }
        let rows = &mut self.rows;
        tids.retain(|&tid| rows.has_block(tid.block));
        let Some(hints) = rows.hints() else { return };
        let mut far = [0; AHEAD];
        let mut count = 0;
        for &tid in &*tids {
            match hints.pointer(tid) {
                Some(pointer) => distance::prefetch_at(pointer, size_of::<u32>()),
                None => {
                    far[count] = tid.block;
                    count += 1;
                }
            }
        }
        rows.prefetch(&far[..count]);
        for row in tids.iter().filter_map(|&tid| hints.row(tid)) {
            distance::prefetch_at(row, ROW_START);
        }
    }

    /// Fills `self.scratch.found`; false if the search ends with it.
    fn walk(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.walking, true);
        let iterative = self.limits.iterative != IterativeScan::Off;
        if !first && !iterative {
            return false;
        }
        if !first && !self.may_walk_on() {
            if self.filtered.is_some() || self.group.is_some() {
                self.is_given_up = true;
                return false;
            }
            self.give_up();
            return false;
        }
        if !self.search(first, self.next_ef) && !self.is_given_up {
            self.start_again();
        }
        if self.is_given_up {
            return false;
        }
        self.take_found();
        if !iterative {
            self.scratch.found.truncate(self.limits.ef);
        }
        // Each search doubles `ef`, so that many rows take few searches, as long as memory suffices for it. Once a good part of
        // the index has been seen, the next search covers all of it, and no row comes too late any more.
        if self.limits.is_strict() && 3 * self.scratch.memory() < self.limits.max_memory {
            self.next_ef = if first || !self.wants_all() {
                self.next_ef.saturating_mul(2)
            } else {
                usize::MAX
            };
        }
        true
    }

    /// Searches from the entry point, or resumes, for a number of elements. False as `search_by`.
    fn search(&mut self, from_entry_point: bool, ef: usize) -> bool {
        let options = SearchOptions {
            ef,
            keep_discarded: self.limits.iterative != IterativeScan::Off,
        };
        let group = self.group.take();
        self.cost.in_group = group.is_some();
        let is_whole = self.search_by(from_entry_point, ef, |search, graph, query| {
            if from_entry_point && let Some(group) = &group {
                graph.start_elsewhere(group.removals);
                search.start_from(graph, query, (&group.entries, GROUP), &options);
            } else if from_entry_point {
                search.start(graph, query, &options);
            } else {
                search.resume(graph, query, &options);
            }
        });
        self.group = group;
        is_whole
    }

    /// Runs a search for a number of elements. False if a vacuum has freed slots of elements since the search started at the
    /// entry point: some of them may have been candidates to resume from, and their paths ended there.
    fn search_by(
        &mut self,
        from_entry_point: bool,
        ef: usize,
        run: impl FnOnce(&mut Search, &mut PageGraph<'_>, &Query),
    ) -> bool {
        let query = &self.query.codes;
        let mut filtered = self.filtered.as_mut();
        let gate = filtered
            .as_mut()
            .map(|filtered| filtered.gate(&self.index, ef, from_entry_point));
        let mut graph = self.index.graph().with_gate(gate.as_ref());
        let before = if from_entry_point {
            Counters::default()
        } else {
            self.scratch.search.counters()
        };
        run(&mut self.scratch.search, &mut graph, query);
        if from_entry_point {
            self.removals = graph.removals_at_start();
        }
        let now = self.scratch.search.counters();
        self.cost.walks += 1;
        self.cost.pages += graph.visits();
        self.cost.evaluations += now.evaluations - before.evaluations;
        self.cost.expansions += now.expansions - before.expansions;
        if self.scratch.search.is_out_of_memory() {
            error::out_of_memory(self.scratch.memory());
        }
        let is_whole = graph.removals() == self.removals;
        drop(graph);
        self.is_given_up = gate.as_ref().is_some_and(Gate::is_shut);
        let compared = gate.map_or(0.0, |gate| gate.found());
        if let Some(filtered) = filtered {
            filtered.spend(now.evaluations - before.evaluations, compared);
        }
        is_whole
    }

    /// Drops everything found and not returned, before a search starts at the entry point again.
    fn forget_found(&mut self) {
        self.scratch.queue.clear();
        self.late = 0;
        self.returned.remember();
        self.emit_below = f64::NEG_INFINITY;
        self.settled = f64::NEG_INFINITY;
    }

    /// Searches from the entry point, or from elements of the group read again, until no vacuum interferes, for as many elements as
    /// were found so far plus the next `ef`.
    /// Rows returned before are passed over.
    fn start_again(&mut self) {
        self.forget_found();
        let ef = self.next_ef.saturating_add(self.found);
        self.found = 0;
        loop {
            if let Some(group) = &mut self.group {
                group.read_entries(&self.index, &mut self.cost.pages);
            }
            if self.search(true, ef) || self.is_given_up {
                return;
            }
        }
    }

    /// Goes on without the graph of a group: its search found no more, and may have missed rows.
    fn leave_group(&mut self) {
        if let Some(filter) = self.group.take().and_then(GroupGraph::into_filter) {
            self.select(filter);
        }
    }

    /// Gives searches up for the codes of all elements with a row that passes the conditions on key columns. Rows returned before
    /// are passed over.
    fn compare_all(&mut self) -> bool {
        self.scratch.queue.clear();
        self.returned.remember();
        self.is_exact = true;
        self.is_given_up = false;
        self.cost.rule = Ended::AllCompared;
        // Rows returned before may have come instead of nearer ones.
        if self.returned.count() == 0 {
            self.cost.recall = Some(1.0);
        }
        self.compare_elements()
    }

    /// Compares the codes of all elements with a row that passes, and takes the nearest of them, those taken before left out.
    fn compare_elements(&mut self) -> bool {
        let filtered = self.filtered.take().expect("only a filtered scan is exact");
        let index = self.index.clone();
        let mut nearest = Nearest::new(self.rest, self.limits.max_memory);
        filtered.each_run(&index, |run| self.compare(run, &mut nearest));
        self.filtered = Some(filtered);
        let (elements, rest) = nearest.finish();
        self.rest = rest;
        self.emit_below = rest.map_or(f64::INFINITY, |(bound, _)| bound);
        self.settled = self.emit_below;
        self.reserve_queue(elements.len(), 0);
        for &(bound, element) in &elements {
            let found = Found::Element(element);
            self.scratch.queue.push_estimate(found, bound);
        }
        !elements.is_empty()
    }

    /// Compares the codes of some elements, each named once, in the order of pages.
    fn compare(&mut self, run: &[ElementId], nearest: &mut Nearest) {
        let found = &mut self.scratch.found;
        found.clear();
        let query = &self.query.codes;
        let mut graph = self.index.graph();
        graph.estimate(query, run, found);
        self.cost.pages += graph.visits();
        self.cost.evaluations += run.len() as u64;
        for candidate in found {
            let bound = self.class.lower_bound(candidate.distance, candidate.error);
            nearest.push((bound, candidate.element));
        }
    }

    /// True if a good part of the index, or of the group, has been seen.
    #[expect(clippy::cast_precision_loss, reason = "counts of elements")]
    fn wants_all(&self) -> bool {
        let seen = self.scratch.search.counters().evaluations as f64;
        let all = self.index.most_elements() as f64;
        let all = self.group.as_ref().map_or(all, |group| group.rows.min(all));
        seen * SEEN_BEFORE_ALL >= all
    }

    /// The maximum bytes for everything found so far.
    fn memory(&self) -> usize {
        let filtered = self.filtered.as_ref().map_or(0, Filtered::memory);
        self.scratch.memory() + self.returned.memory() + filtered
    }

    fn may_walk_on(&self) -> bool {
        self.cost.evaluations.max(self.cost.rows) < self.limits.max_visited
            && self.memory() < self.limits.max_memory
    }
}
