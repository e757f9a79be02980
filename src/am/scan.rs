//! Index scans: search the graph over codes, compute exact distances of the nearest rows from the table, return them in exact
//! order.
#![expect(unsafe_code, reason = "callbacks take raw pointers from Postgres")]

use std::cell::Cell;
use std::collections::HashSet;

use hnsw::{Candidate, Counters, ElementId, RerankQueue, Search, SearchOptions, Step};
use layout::{Corrupt, HeapTid};
use pgrx::{PgMemoryContexts, pg_sys};
use quantize::Query;

use super::last_scan::{self, Cost};
use super::opclass::OperatorClass;
use crate::error;
use crate::pg::heap::{RowFetcher, item_pointer};
use crate::pg::{Relation, boundary, compat, interrupt, setting};
use crate::settings::{
    EF_SEARCH, ITERATIVE_SCAN, IterativeScan, MAX_SCAN_TUPLES, SCAN_MEM_MULTIPLIER,
};
use crate::storage::rows::{self, Chain, Dead, DeadRows, ReadSlot};
use crate::storage::{Index, PageGraph};
use crate::types::indexed::{self, Indexed};

pub(super) unsafe extern "C-unwind" fn ambeginscan(
    index: pg_sys::Relation,
    nkeys: i32,
    norderbys: i32,
) -> pg_sys::IndexScanDesc {
    boundary(|| {
        // SAFETY: Postgres passes an open index. The state lives in the scan's memory context and is dropped with it, so that
        // an error leaks nothing.
        unsafe {
            let scan = pg_sys::RelationGetIndexScan(index, nkeys, norderbys);
            let state = Scan::new(Relation::new(index), pg_sys::CurrentMemoryContext);
            (*scan).opaque = PgMemoryContexts::CurrentMemoryContext
                .leak_and_drop_on_delete(state)
                .cast();
            scan
        }
    })
}

pub(super) unsafe extern "C-unwind" fn amrescan(
    scan: pg_sys::IndexScanDesc,
    keys: pg_sys::ScanKey,
    _nkeys: i32,
    orderbys: pg_sys::ScanKey,
    _norderbys: i32,
) {
    boundary(|| {
        // SAFETY: the scan is ours; Postgres passes as many keys as the scan was begun with, or null for the same ones.
        unsafe {
            if !keys.is_null() && (*scan).numberOfKeys > 0 {
                std::ptr::copy(
                    keys,
                    (*scan).keyData,
                    (*scan).numberOfKeys.unsigned_abs() as usize,
                );
            }
            if !orderbys.is_null() && (*scan).numberOfOrderBys > 0 {
                std::ptr::copy(
                    orderbys,
                    (*scan).orderByData,
                    (*scan).numberOfOrderBys.unsigned_abs() as usize,
                );
            }
            state(scan).restart();
        }
    });
}

pub(super) unsafe extern "C-unwind" fn amgettuple(
    scan: pg_sys::IndexScanDesc,
    _direction: pg_sys::ScanDirection::Type,
) -> bool {
    boundary(|| {
        // SAFETY: the scan is ours and its keys are set; heap and snapshot are set before the first row is asked for.
        unsafe {
            let state = state(scan);
            if state.query.is_none() {
                state.begin(scan);
            }
            let row = state.next();
            compat::check_snapshot_age((*scan).xs_snapshot, (*scan).indexRelation);
            let Some(tid) = row else {
                // A cursor at its end keeps no page of the table pinned.
                state.rows.iter_mut().for_each(RowFetcher::reset);
                return false;
            };
            (*scan).xs_heaptid = item_pointer(tid);
            (*scan).xs_recheck = false;
            (*scan).xs_recheckorderby = false;
            true
        }
    })
}

pub(super) unsafe extern "C-unwind" fn amendscan(scan: pg_sys::IndexScanDesc) {
    boundary(|| {
        // SAFETY: the scan is ours; its state itself is dropped with the memory context.
        let state = unsafe { state(scan) };
        last_scan::set(state.cost);
        state.dead.mark(&state.index);
        // A query over many partitions ends many scans long before their memory contexts are deleted.
        std::mem::take(&mut state.scratch).hand_on();
        if let Some(rows) = state.rows.take() {
            rows.close();
        }
    });
}

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

/// # Safety
/// The scan was begun by `ambeginscan`, and no other reference to its state is live.
unsafe fn state<'a>(scan: pg_sys::IndexScanDesc) -> &'a mut Scan {
    // SAFETY: the caller's promise.
    unsafe { &mut *(*scan).opaque.cast::<Scan>() }
}

/// An item of the rerank queue; its rows have no exact distances yet.
enum Found {
    Element(ElementId),
    /// Further rows of an element, and the exact distances of its rows so far.
    Rows(Chain, Alike),
}

impl Found {
    /// The index block of its next row pointers.
    fn block(&self, index: &Index) -> u32 {
        match *self {
            Self::Element(element) => index.geometry().element.split(element).0,
            Self::Rows(chain, _) => chain.block(index),
        }
    }
}

/// The reranked rows of one element, and their distance as long as all have the same one to the last bit.
#[derive(Clone, Copy, Default)]
struct Alike {
    distance: f64,
    rows: usize,
    /// True if two of the rows have different distances.
    differ: bool,
}

impl Alike {
    /// With this number of equal rows, the element's other rows are taken for equal vectors too.
    const MANY: usize = 64;

    fn with(self, distance: f64) -> Self {
        Self {
            distance,
            rows: self.rows + 1,
            differ: self.differ || self.rows > 0 && self.distance.to_bits() != distance.to_bits(),
        }
    }

    /// The lower bound of the rows not reranked yet. Once many rows are equal, these are returned before any other row of the
    /// element is read, however many remain.
    fn bound(self, of_element: f64) -> f64 {
        if self.rows >= Self::MANY && !self.differ {
            self.distance.max(of_element)
        } else {
            of_element
        }
    }
}

/// Rows prefetched together.
const AHEAD: usize = 12;

/// Bytes of a row to prefetch; the hardware prefetcher loads the following ones.
const ROW_START: usize = 256;

/// After a scan has compared one in this many of the index's elements, it is taken to want all rows.
const SEEN_BEFORE_ALL: u64 = 4;

/// A scan in progress.
struct Scan {
    index: Index,
    class: OperatorClass,
    /// The memory context of everything that lives as long as the scan.
    context: pg_sys::MemoryContext,
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
}

/// The rows a scan has returned, in case it restarts from the entry point.
#[derive(Default)]
struct Returned {
    rows: Vec<HeapTid>,
    /// The rows returned before the last restart.
    passed_over: HashSet<HeapTid>,
}

impl Returned {
    fn clear(&mut self) {
        self.rows.clear();
        self.passed_over.clear();
    }

    fn push(&mut self, row: HeapTid) {
        if self.rows.try_reserve(1).is_err() {
            error::out_of_memory(self.rows.len().saturating_mul(size_of::<HeapTid>()));
        }
        self.rows.push(row);
    }

    fn remember(&mut self) {
        if self.passed_over.try_reserve(self.rows.len()).is_err() {
            error::out_of_memory(self.rows.len().saturating_mul(size_of::<HeapTid>()));
        }
        self.passed_over.extend(&self.rows);
    }

    #[inline]
    fn contains(&self, row: HeapTid) -> bool {
        !self.passed_over.is_empty() && self.passed_over.contains(&row)
    }

    /// The maximum bytes of both collections.
    fn memory(&self) -> usize {
        2 * size_of::<HeapTid>() * (self.rows.len() + self.passed_over.len())
    }
}

/// The query, for codes and for rows.
struct Prepared {
    codes: Query,
    exact: indexed::Query,
    /// True for NULL: all rows are equally near, although distances are computed from zero instead.
    is_null: bool,
}

/// Settings as they were when the scan began.
#[derive(Clone, Copy)]
struct Limits {
    /// `hnsw.ef_search`.
    ef: usize,
    iterative: IterativeScan,
    max_visited: u64,
    max_memory: usize,
}

impl Limits {
    fn now() -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a size in bytes, saturating"
        )]
        let max_memory = (setting::work_mem() as f64 * SCAN_MEM_MULTIPLIER.get()) as usize;
        Self {
            ef: EF_SEARCH.get().unsigned_abs() as usize,
            iterative: ITERATIVE_SCAN.get(),
            max_visited: MAX_SCAN_TUPLES.get().unsigned_abs().into(),
            max_memory,
        }
    }

    fn is_strict(&self) -> bool {
        self.iterative == IterativeScan::StrictOrder
    }
}

/// The `ef` of the first search. Codes are estimates: with three eighths more than `ef`, a search over codes finds as many of
/// the nearest as a search over full vectors.
pub(super) fn first_ef(ef: usize) -> usize {
    ef + (3 * ef).div_ceil(8)
}

impl Scan {
    fn new(index: Relation, context: pg_sys::MemoryContext) -> Self {
        Self {
            index: Index::open(index),
            class: OperatorClass::of(index),
            context,
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
        }
    }

    /// Drops the query and everything found; keeps the memory for the next query.
    fn restart(&mut self) {
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
        if let Some(rows) = &mut self.rows {
            rows.reset();
        }
    }

    /// Reads the query from the scan's keys.
    ///
    /// # Safety
    /// The scan is this one, and Postgres has set its keys, heap and snapshot.
    unsafe fn begin(&mut self, scan: pg_sys::IndexScanDesc) {
        // SAFETY: the caller's promise.
        unsafe {
            if (*scan).numberOfOrderBys == 0 {
                error::scan_without_order(&Relation::new((*scan).indexRelation).access_method());
            }
            if !is_mvcc((*scan).xs_snapshot) {
                error::non_mvcc_snapshot(&Relation::new((*scan).indexRelation).access_method());
            }
            compat::count_index_scan(scan);
            self.limits = Limits::now();
            // A transaction begun on a standby may have a snapshot older than all of the primary, as for btree.
            if (*scan).ignore_killed_tuples {
                self.marked = Dead::PassedOver;
            }
            self.may_mark = !(*scan).xactStartedInRecovery && self.index.relation().needs_wal();
            self.next_ef = first_ef(self.limits.ef);
            self.threshold = threshold(scan);
            let key = &*(*scan).orderByData;
            let null = key.sk_flags & pg_sys::SK_ISNULL.cast_signed() != 0;
            self.query = Some(if null {
                Prepared {
                    is_null: true,
                    ..self.anywhere()
                }
            } else {
                let query = Indexed::from_raw(self.class.kind(), key.sk_argument);
                self.prepare(&query)
            });
            if self.rows.is_none() {
                self.rows = Some(self.open_rows(scan));
            }
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

    /// # Safety
    /// As for `begin`.
    unsafe fn open_rows(&self, scan: pg_sys::IndexScanDesc) -> RowFetcher {
        // SAFETY: heap and snapshot are set and outlive the scan; so does the memory context.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            let heap = Relation::new((*scan).heapRelation);
            let rows = RowFetcher::new(heap, self.index.relation(), (*scan).xs_snapshot);
            pg_sys::MemoryContextSwitchTo(outer);
            rows
        }
    }

    /// Returns the next row in the order of exact distances.
    fn next(&mut self) -> Option<HeapTid> {
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
                Step::Empty => {
                    self.report_end();
                    return None;
                }
            }
        }
    }

    /// Reports why a scan read to its end may have left out rows.
    fn report_end(&self) {
        let limit = self.limits.iterative != IterativeScan::Off && !self.may_walk_on();
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
                (more, None)
            }
            Found::Rows(chain, _) => {
                self.cost.pages += 1;
                let reading = chain.read(&self.index, self.marked, &mut self.scratch.tids);
                (reading.after, reading.from)
            }
        }
    }

    /// Starts or resumes the search; false if it finds nothing more.
    fn find_more(&mut self) -> bool {
        self.scratch.found.clear();
        let before = self.emit_below;
        let walked = self.walk();
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
            // Candidates estimated on the way are returned before the scan ends.
            self.reserve_found(self.scratch.search.found().1);
            self.scratch
                .found
                .extend(std::iter::from_fn(|| self.scratch.search.pop_discarded()));
            return false;
        }
        if !self.search(first, self.next_ef) {
            self.start_again();
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
        let mut graph = PageGraph::new(&self.index, &mut hints);
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
        graph.removals() == self.removals
    }

    /// Searches from the entry point until no vacuum interferes, for as many elements as were found so far plus the next `ef`.
    /// Rows returned before are passed over.
    fn start_again(&mut self) {
        self.scratch.queue.clear();
        self.late = 0;
        self.returned.remember();
        self.emit_below = f64::NEG_INFINITY;
        self.settled = f64::NEG_INFINITY;
        let ef = self.next_ef.saturating_add(self.found);
        self.found = 0;
        while !self.search(true, ef) {}
    }

    /// True if a good part of the index has been seen.
    fn wants_all(&self) -> bool {
        let seen = self.scratch.search.counters().evaluations;
        seen >= self.index.most_elements() / SEEN_BEFORE_ALL
    }

    fn may_walk_on(&self) -> bool {
        let Counters { evaluations, .. } = self.scratch.search.counters();
        evaluations.max(self.cost.rows) < self.limits.max_visited
            && self.scratch.memory() + self.returned.memory() < self.limits.max_memory
    }
}

/// The least distance the scan's conditions allow (`super::threshold`), plus a tolerance for rounding: the filter decides.
///
/// # Safety
/// The scan's keys are set, and all of them are of our operator that takes a `float8`.
unsafe fn threshold(scan: pg_sys::IndexScanDesc) -> f64 {
    // SAFETY: the caller's promise. Without keys there is no array of them.
    let keys = unsafe {
        match (*scan).numberOfKeys.unsigned_abs() as usize {
            0 => &[],
            count => std::slice::from_raw_parts((*scan).keyData, count),
        }
    };
    let threshold = keys.iter().map(distance_of).fold(f64::INFINITY, f64::min);
    if threshold.is_finite() {
        threshold + hnsw::ROUNDING * threshold.abs().max(1.0)
    } else {
        threshold
    }
}

/// The distance a condition allows. Nothing is within NULL, and everything but NaN is less than NaN.
fn distance_of(key: &pg_sys::ScanKeyData) -> f64 {
    if key.sk_flags & pg_sys::SK_ISNULL.cast_signed() != 0 {
        return f64::NEG_INFINITY;
    }
    let distance = f64::from_bits(key.sk_argument.value() as u64);
    if distance.is_nan() {
        f64::INFINITY
    } else {
        distance
    }
}

/// `IsMVCCSnapshot`, a macro in C (utils/snapmgr.h).
///
/// # Safety
/// The snapshot is valid.
unsafe fn is_mvcc(snapshot: pg_sys::Snapshot) -> bool {
    // SAFETY: the caller's promise.
    let kind = unsafe { (*snapshot).snapshot_type };
    kind == pg_sys::SnapshotType::SNAPSHOT_MVCC
        || kind == pg_sys::SnapshotType::SNAPSHOT_HISTORIC_MVCC
}
