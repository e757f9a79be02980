//! An index to be searched and read whole: the one that a user named, or one of a partition.

use hnsw::ElementId;
use layout::{Corrupt, HeapTid};
use pgrx::pg_sys;
use quantize::CenteredQuery;

use super::asked::Asked;
use super::budget::Budget;
use crate::error;
use crate::opclass::{self, OperatorClass};
use crate::options;
use crate::pg::open::OpenIndex;
use crate::pg::privilege::AsOwner;
use crate::pg::query::{self, SqlText};
use crate::pg::snapshot::{self, Snapshot};
use crate::scan::{Limits, Scan, Start};
use crate::storage::Index;
use crate::storage::rows::{self, Dead};
use crate::table::fetch::RowFetcher;
use crate::types::indexed::Indexed;

/// An index with its table, both open.
pub(super) struct Part {
    open: OpenIndex,
    pub(super) index: Index,
    pub(super) class: OperatorClass,
    /// Registered until `close`.
    snapshot: pg_sys::Snapshot,
    /// Reads rows that a search does not.
    rows: RowFetcher,
    scan: Scan,
    /// The versions of rows that meet the filter, in order; `None` without a filter.
    passing: Option<Vec<HeapTid>>,
}

/// The rows that a list of those that meet a filter has room for at first.
const FIRST_ROOM: usize = 128;

/// Rows of an element with the same distance, after which its other rows are taken for equal, as by scans.
const ALIKE: usize = 64;

impl Part {
    /// # Safety
    /// The snapshot stays registered until `close`.
    #[expect(unsafe_code, reason = "the snapshot's lifetime is the caller's affair")]
    pub(super) unsafe fn new(
        open: OpenIndex,
        snapshot: &Snapshot,
        filter: Option<&SqlText>,
        budget: &mut Budget,
    ) -> Self {
        let class = OperatorClass::of(open.index);
        let snapshot = snapshot.raw();
        Self {
            index: Index::open(open.index, opclass::declared),
            class,
            snapshot,
            // SAFETY: the caller's promise; the relations are open until `close`.
            rows: unsafe { RowFetcher::new(open.table, open.index, class.column, snapshot) },
            scan: Scan::new(open.index, options::target_recall(open.index)),
            passing: filter.map(|filter| passing(&open, filter, budget)),
            open,
        }
    }

    pub(super) fn close(mut self) {
        self.scan.end();
        self.rows.close();
        self.open.close();
    }

    /// A query for the codes of this part.
    pub(super) fn codes(&self, asked: &Asked) -> CenteredQuery<'static> {
        let prepared = self.class.prepare(&asked.value(self.class.kind()));
        let codecs = self.index.codecs();
        codecs.query(prepared.expect("queries have a direction"))
    }

    /// Begins a search of the index.
    pub(super) fn begin(&mut self, asked: &Asked, limits: Limits) {
        self.scan.restart();
        let start = Start {
            query: Some(asked.value(self.class.kind())),
            threshold: f64::INFINITY,
            filter: None,
            may_pass_over_dead: !snapshot::began_in_recovery(),
            may_mark: false,
        };
        let (table, index, column) = (self.open.table, self.open.index, self.class.column);
        self.scan.begin_within(start, limits, || {
            #[expect(unsafe_code, reason = "relations and snapshot are open until `close`")]
            // SAFETY: the promise of `new`; the scan ends in `close`.
            unsafe {
                RowFetcher::new(table, index, column, self.snapshot)
            }
        });
    }

    /// The next row that meets the filter, with its distance.
    pub(super) fn next(&mut self) -> Option<(f64, HeapTid)> {
        loop {
            let owner = self.owner();
            let found = self.scan.next_with_distance();
            owner.into_iter().for_each(AsOwner::end);
            let (distance, row) = found?;
            if self.passing.is_none() || self.with_row(row, |_| ()).is_some() {
                return Some((distance, row));
            }
        }
    }

    /// The distances that the search has estimated so far.
    pub(super) fn evaluations(&self) -> u64 {
        self.scan.cost().map_or(0, |cost| cost.evaluations)
    }

    /// Calls `read` with the value of a row; `None` if the snapshot does not see it, the value is NULL, or the row does not meet
    /// the filter.
    pub(super) fn with_row<R>(
        &mut self,
        row: HeapTid,
        read: impl FnOnce(pg_sys::Datum) -> R,
    ) -> Option<R> {
        let owner = self.owner();
        let result = self.rows.with_value(row, read);
        owner.into_iter().for_each(AsOwner::end);
        let result = result?;
        let passes = |passing: &Vec<_>| passing.binary_search(&self.rows.version()).is_ok();
        self.passing.as_ref().is_none_or(passes).then_some(result)
    }

    /// Calls `each` with the distance and the TID of an element's rows, until it returns false.
    pub(super) fn each_row(
        &mut self,
        element: ElementId,
        asked: &Asked,
        mut each: impl FnMut(f64, HeapTid) -> bool,
    ) {
        let index = self.index.clone();
        let mut tids = Vec::new();
        let mut more = rows::inline(&mut index.graph(), element, &mut tids);
        let (mut first, mut alike) = (None, 0);
        loop {
            for &tid in &tids {
                let Some(distance) = self.distance(element, tid, asked) else {
                    continue;
                };
                alike +=
                    usize::from(*first.get_or_insert(distance.to_bits()) == distance.to_bits());
                if !each(distance, tid) {
                    return;
                }
            }
            tids.clear();
            let Some(chain) = more.filter(|_| alike < ALIKE) else {
                return;
            };
            more = chain.read(&index, Dead::Read, &mut tids).after;
        }
    }

    /// The exact distance of a row.
    fn distance(&mut self, element: ElementId, row: HeapTid, asked: &Asked) -> Option<f64> {
        if !self.rows.has_block(row.block) {
            let (block, _) = self.index.geometry().element.split(element);
            self.index.corrupt(block, Corrupt::NoSuchRow(row.block));
        }
        let class = self.class;
        self.with_row(row, |value| {
            #[expect(
                unsafe_code,
                reason = "the column's type is known to the operator class only"
            )]
            // SAFETY: the indexed column is of the operator class's type.
            let value = unsafe { Indexed::from_raw(class.kind(), value) };
            class.operator().distance(&asked.exact, &value)
        })
    }

    /// Switches to the table's owner where the index evaluates an expression.
    fn owner(&self) -> Option<AsOwner> {
        self.rows
            .is_computed()
            .then(|| AsOwner::of(self.open.table))
    }
}

/// The versions of a table's rows that meet a filter, in order.
fn passing(open: &OpenIndex, filter: &SqlText, budget: &mut Budget) -> Vec<HeapTid> {
    let mut passing = Vec::new();
    let read = query::rows_where(open.table, filter, |row| {
        if passing.len() == passing.capacity() {
            grow(&mut passing, budget);
        }
        passing.push(row);
    });
    read.unwrap_or_else(|_| error::not_a_filter());
    passing.sort_unstable();
    passing
}

/// Makes room for as many rows again.
fn grow(rows: &mut Vec<HeapTid>, budget: &mut Budget) {
    let more = rows.len().max(FIRST_ROOM);
    budget.take(more * size_of::<HeapTid>());
    if rows.try_reserve_exact(more).is_err() {
        error::out_of_memory((rows.len() + more) * size_of::<HeapTid>());
    }
}
