//! Index scans: search the graph over codes, compute exact distances of the nearest rows from the table, return them in exact
//! order.

mod filtered;
mod found;
pub(crate) mod last_scan;
mod limits;
mod nearest;
mod returned;

use std::cell::Cell;

use filter::Filter;
use hnsw::{Candidate, Counters, RerankQueue, Search, SearchOptions, Step, Store};
use layout::{Corrupt, HeapTid};
use quantize::Query;

use crate::error;
use crate::opclass::OperatorClass;
use crate::pg::heap::RowFetcher;
use crate::pg::{Relation, interrupt};
use crate::settings::IterativeScan;
use crate::storage::keys::Match;
use crate::storage::rows::{self, Chain, Dead, DeadRows, ReadSlot};
use crate::storage::{Index, PageGraph};
use crate::types::indexed::{self, Indexed, Kind};
use filtered::{Filtered, LEFT_TO_EXECUTOR};
use found::{Alike, Found};
use last_scan::Cost;
use limits::Limits;
use nearest::Nearest;
use returned::Returned;

pub(crate) use filtered::{CODE, LEAST_EF};
pub(crate) use limits::first_ef;

/// Rows prefetched together.
const AHEAD: usize = 12;

/// Bytes of a row to prefetch; the hardware prefetcher loads the following ones.
const ROW_START: usize = 256;

/// The share of a scan's memory for the rows that pass conditions on key columns.
const MATCHES_SHARE: usize = 4;

/// After a scan has compared one in this many of the index's elements, it is taken to want all rows.
const SEEN_BEFORE_ALL: u64 = 4;

/// A scan's buffers; the next scan of this backend reuses them.
#[derive(Default)]
struct Scratch {
    search: Search,
    queue: RerankQueue<Found, HeapTid>,
    found: Vec<Candidate>,
    tids: Vec<HeapTid>,
    run: Vec<Match>,
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

/// A scan in progress.
pub(crate) struct Scan {
    index: Index,
    class: OperatorClass,
    rows: Option<RowFetcher>,
    /// Set by the first call of `amgettuple`.
    query: Option<Prepared>,
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
    /// The `ef` of the next search.
    next_ef: usize,
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
    /// True once the codes of all rows that pass are compared: nothing is left to find.
    is_exact: bool,
    /// True if a gated search was given up.
    is_given_up: bool,
}

/// The query, for codes and for rows.
struct Prepared {
    codes: Query,
    exact: indexed::Query,
    /// True for NULL: all rows are equally near, although distances are computed from zero instead.
    is_null: bool,
}

impl Scan {
    pub(crate) fn new(index: Relation) -> Self {
        Self {
            index: Index::open(index),
            class: OperatorClass::of(index),
            rows: None,
            query: None,
            scratch: Scratch::take(),
            cost: Cost::default(),
            returned: Returned::default(),
            removals: 0,
            found: 0,
            dead: DeadRows::default(),
            marked: Dead::Read,
            may_mark: false,
            walking: false,
            next_ef: 0,
            emit_below: f64::NEG_INFINITY,
            settled: f64::NEG_INFINITY,
            last: f64::NEG_INFINITY,
            late: 0,
            threshold: f64::INFINITY,
            limits: Limits::now(),
            filtered: None,
            pending: None,
            is_exact: false,
            is_given_up: false,
        }
    }

    /// Drops the query and everything found; keeps the memory for the next query.
    pub(crate) fn restart(&mut self) {
        self.query = None;
        self.dead.mark(&self.index);
        self.cost = Cost::default();
        self.returned.clear();
        self.found = 0;
        self.scratch.queue.clear();
        self.walking = false;
        self.emit_below = f64::NEG_INFINITY;
        self.settled = f64::NEG_INFINITY;
        self.last = f64::NEG_INFINITY;
        self.late = 0;
        self.filtered = None;
        self.pending = None;
        self.is_exact = false;
        self.is_given_up = false;
        if let Some(rows) = &mut self.rows {
            rows.reset();
        }
    }

    /// The kind of the scan's query vector.
    pub(crate) fn kind(&self) -> Kind {
        self.class.kind()
    }

    /// True once the query is set.
    pub(crate) fn has_begun(&self) -> bool {
        self.query.is_some()
    }

    /// Sets the query.
    pub(crate) fn begin(&mut self, start: Start<'_>) {
        self.limits = Limits::now();
        // A transaction begun on a standby may have a snapshot older than all of the primary, as for btree.
        if start.may_pass_over_dead {
            self.marked = Dead::PassedOver;
        }
        self.may_mark = start.may_mark && self.index.relation().needs_wal();
        self.next_ef = first_ef(self.limits.ef);
        self.threshold = start.threshold;
        self.query = Some(match &start.query {
            Some(query) => self.prepare(query),
            None => Prepared {
                is_null: true,
                ..self.anywhere()
            },
        });
        if let Some(filter) = start.filter {
            self.limits = self.limits.of_filtered();
            if filtered::passes_most(&self.index, &filter) {
                self.pending = Some(filter);
            } else {
                self.select(filter);
            }
        }
    }

    /// Finds the rows that pass the conditions on key columns, and searches from the beginning. Rows returned before are passed
    /// over.
    fn select(&mut self, filter: Filter) {
        let memory = self.limits.max_memory / MATCHES_SHARE;
        let (filtered, pages) = Filtered::select(&self.index, filter, memory);
        self.cost.pages += pages;
        self.cost.matches = filtered.count() as u64;
        self.next_ef = filtered.first_ef(first_ef(self.limits.ef));
        self.filtered = Some(filtered);
        self.walking = false;
        self.forget_found();
    }

    /// Applies conditions left to the executor so far; false if there are none.
    fn apply_pending(&mut self) -> bool {
        let Some(filter) = self.pending.take() else {
            return false;
        };
        self.limits.most_rows = self.limits.most_rows.saturating_add(self.returned.count());
        self.select(filter);
        true
    }

    /// The reader of the table's rows; `open` makes it for the first query.
    pub(crate) fn open_rows(&mut self, open: impl FnOnce() -> RowFetcher) {
        self.rows.get_or_insert_with(open);
    }

    /// Unpins the table's pages: the scan is at its end.
    pub(crate) fn release_rows(&mut self) {
        self.rows.iter_mut().for_each(RowFetcher::reset);
    }

    /// Ends the scan. Its state itself is dropped with the memory context.
    pub(crate) fn end(&mut self) {
        last_scan::set(self.cost);
        self.dead.mark(&self.index);
        // A query over many partitions ends many scans long before their memory contexts are deleted.
        std::mem::take(&mut self.scratch).hand_on();
        if let Some(rows) = self.rows.take() {
            rows.close();
        }
    }

    /// Zero, in place of a query without a direction or a value.
    fn anywhere(&self) -> Prepared {
        let dimensions = self.index.frozen().dimensions as usize;
        let zero = self.class.zero(dimensions);
        Prepared {
            codes: self.index.codec().query_value(&zero),
            exact: indexed::Query::zero(self.class.kind(), dimensions),
            is_null: false,
        }
    }

    fn prepare(&self, query: &Indexed<'_>) -> Prepared {
        let dimensions = self.index.frozen().dimensions as usize;
        if query.dimensions() != dimensions {
            let operator = self.class.operator();
            operator.reject_dimensions(query.dimensions(), dimensions);
        }
        let exact = indexed::Query::new(query);
        match self.class.prepare(query) {
            Some(prepared) => Prepared {
                codes: self.index.codec().query_value(&prepared),
                exact,
                is_null: false,
            },
            None => Prepared {
                exact,
                ..self.anywhere()
            },
        }
    }

    /// Returns the next row in the order of exact distances.
    pub(crate) fn next(&mut self) -> Option<HeapTid> {
        if self.returned.count() >= LEFT_TO_EXECUTOR {
            self.apply_pending();
        }
        if self.returned.count() >= self.limits.most_rows && self.pending.is_none() {
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

    /// Reports why a scan read to its end may have left out rows.
    fn report_end(&self) {
        let limit =
            self.limits.iterative != IterativeScan::Off && !self.is_exact && !self.may_walk_on();
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
            || self.query.as_ref().is_some_and(|query| query.is_null)
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
        let rows = self.rows.as_mut().expect("opened before the first row");
        let query = self.query.as_ref().expect("set before the first row");
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
                let mut hints = self.index.hints().borrow_mut();
                let mut graph = PageGraph::new(&self.index, &mut hints);
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
            Found::Row(_, row) => {
                self.scratch.tids.push(row);
                (None, None)
            }
        }
    }

    /// Starts or resumes the search; false if it finds nothing more.
    fn find_more(&mut self) -> bool {
        self.scratch.found.clear();
        let before = self.emit_below;
        if self.is_exact {
            return false;
        }
        let is_few = self.filtered.as_ref().is_some_and(Filtered::is_few);
        let walked = !is_few && self.walk();
        if is_few || self.is_given_up {
            return self.compare_all();
        }
        // The last finds may have nearer neighbors not found yet: they wait until a search has gone well beyond them.
        self.emit_below = match self
            .scratch
            .found
            .get((self.scratch.found.len() * 4 / 5).saturating_sub(1))
        {
            Some(candidate) if walked && self.limits.iterative != IterativeScan::Off => self
                .emit_below
                .max(self.class.lower_bound(candidate.distance, 0.0)),
            _ => f64::INFINITY,
        };
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

    /// Prefetches the nearest rows, because most of them will be reranked, one after the other: first all row pointers, then,
    /// once these are loaded, the rows.
    fn prefetch_rows(&mut self) {
        let Scratch { found, tids, .. } = &mut *self.scratch;
        tids.clear();
        {
            let mut hints = self.index.hints().borrow_mut();
            let mut graph = PageGraph::new(&self.index, &mut hints);
            let nearest = found.iter().take(AHEAD);
            tids.extend(nearest.filter_map(|found| rows::likely(&mut graph, found.element)));
        }
        let rows = self.rows.as_mut().expect("opened before the first row");
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
            if self.filtered.is_some() {
                self.is_given_up = true;
                return false;
            }
            // Candidates estimated on the way are returned before the scan ends.
            self.reserve_found(self.scratch.search.found().1);
            self.scratch
                .found
                .extend(std::iter::from_fn(|| self.scratch.search.pop_discarded()));
            return false;
        }
        if !self.search(first, self.next_ef) && !self.is_given_up {
            self.start_again();
        }
        if self.is_given_up {
            return false;
        }
        self.reserve_found(self.scratch.search.found().0);
        self.scratch.search.take_nearest(&mut self.scratch.found);
        self.found += self.scratch.found.len();
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

    /// Searches from the entry point, or resumes. False if a vacuum has freed slots of elements since the search started at the
    /// entry point: some of them may have been candidates to resume from, and their paths ended there.
    fn search(&mut self, from_entry_point: bool, ef: usize) -> bool {
        let query = &self.query.as_ref().expect("set before the first row").codes;
        let mut hints = self.index.hints().borrow_mut();
        let gate = self.filtered.as_ref().map(|filtered| filtered.gate(ef));
        let mut graph = PageGraph::new(&self.index, &mut hints).with_gate(gate.as_ref());
        let options = SearchOptions {
            ef,
            keep_discarded: self.limits.iterative != IterativeScan::Off,
        };
        let before = if from_entry_point {
            self.scratch.search.start(&mut graph, query, &options);
            self.removals = graph.removals_at_start();
            Counters::default()
        } else {
            let before = self.scratch.search.counters();
            self.scratch.search.resume(&mut graph, query, &options);
            before
        };
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
        self.is_given_up = gate.is_some_and(|gate| gate.is_shut());
        if let Some(filtered) = &mut self.filtered {
            filtered.spend(now.evaluations - before.evaluations);
        }
        is_whole
    }

    /// Empties the rerank queue, for a search from the beginning.
    fn forget_found(&mut self) {
        self.scratch.queue.clear();
        self.late = 0;
        self.returned.remember();
        self.emit_below = f64::NEG_INFINITY;
        self.settled = f64::NEG_INFINITY;
    }

    /// Searches from the entry point until no vacuum interferes, for as many elements as were found so far plus the next `ef`.
    /// Rows returned before are passed over.
    fn start_again(&mut self) {
        self.forget_found();
        let ef = self.next_ef.saturating_add(self.found);
        self.found = 0;
        while !self.search(true, ef) && !self.is_given_up {}
    }

    /// Compares the codes of all rows that pass the conditions on key columns. Rows returned before are passed over.
    fn compare_all(&mut self) -> bool {
        self.scratch.queue.clear();
        self.returned.remember();
        self.is_exact = true;
        self.is_given_up = false;
        self.emit_below = f64::INFINITY;
        self.settled = f64::INFINITY;
        let filtered = self.filtered.take().expect("only a filtered scan is exact");
        let index = self.index.clone();
        let mut nearest = Nearest::new(self.limits.max_memory);
        filtered.each_run(&index, |run| self.compare(run, &mut nearest));
        self.reserve_queue(nearest.len(), 0);
        let is_any = nearest.len() > 0;
        self.threshold = self.threshold.min(nearest.horizon());
        for (bound, found) in nearest.into_rows() {
            let found = Found::Row(found.element, found.row);
            self.scratch.queue.push_estimate(found, bound);
        }
        is_any
    }

    /// Compares the codes of some rows.
    fn compare(&mut self, run: &[Match], nearest: &mut Nearest) {
        let Scratch {
            run: rows, found, ..
        } = &mut *self.scratch;
        rows.clear();
        rows.extend_from_slice(run);
        rows.sort_unstable_by_key(|row| row.element);
        let mut elements: Vec<_> = rows.iter().map(|row| row.element).collect();
        elements.dedup();
        found.clear();
        let query = &self.query.as_ref().expect("set before the first row").codes;
        {
            let mut hints = self.index.hints().borrow_mut();
            let mut graph = PageGraph::new(&self.index, &mut hints);
            graph.estimate(query, &elements, found);
            self.cost.pages += graph.visits();
        }
        self.cost.evaluations += elements.len() as u64;
        found.sort_unstable_by_key(|candidate| candidate.element);
        let mut candidates = found.iter().peekable();
        for &row in &*rows {
            while candidates
                .next_if(|next| next.element < row.element)
                .is_some()
            {}
            let Some(candidate) = candidates.peek().filter(|next| next.element == row.element)
            else {
                continue;
            };
            let bound = self.class.lower_bound(candidate.distance, candidate.error);
            nearest.push(bound, row);
        }
    }

    /// True if a good part of the index has been seen.
    fn wants_all(&self) -> bool {
        let seen = self.scratch.search.counters().evaluations;
        seen >= self.index.most_elements() / SEEN_BEFORE_ALL
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
