//! Conditions on key columns: the rows that pass, and the choice between a search of the graph and their codes.
//!
//! A pass over the filter pages finds all rows that pass. If these are few, their codes are compared one by one (*exact*).
//! Otherwise a search of the graph finds the nearest of them: it goes through all elements and counts only those with a row
//! that passes (*gated*). Its budget is the price of the codes of all rows that pass: a search that uses it up, or is going to, is
//! given up for them, so a scan costs at most about twice the better of both. A filter that most rows pass is left to the executor
//! for the first rows.

use std::collections::HashSet;

use filter::Filter;
use hnsw::{ElementId, ElementSet};
use layout::HeapTid;

use crate::error;
use crate::storage::keys;
use crate::storage::{Gate, Index, metapage};

/// The price of comparing a code known beforehand, in those of a search, which waits for memory.
pub(crate) const CODE: f64 = 0.6;

/// Codes of all rows that pass are compared without a search if their price is at most this.
const FEW: f64 = 800.0;

/// The least `ef` of a gated search in an index of this many rows, and the power of their number by which it grows. Recall of ten at
/// 10 %: .989 in 117,000 rows with 18, .977 in a million with 26 (.963 with 18).
const LEAST_EF: f64 = 18.0;
const LEAST_EF_ROWS: f64 = 100_000.0;
const LEAST_EF_POWER: f64 = 0.15;

/// Rows that are kept, once an element with many rows is met.
const MOST_KEPT: usize = 1 << 14;

/// The share of a scan's memory for the rows that pass, and for the set of their elements.
const ROWS_SHARE: usize = 4;
const SET_SHARE: usize = 2;
/// Bytes of a row kept: a set of rows is half full.
const ROW: usize = 2 * size_of::<HeapTid>();

/// A filter passed by this share of the rows is left to the executor at first: half of the nearest rows pass it, unless it has to
/// do with the distance.
const MANY: f64 = 0.5;

/// Rows returned before a filter left to the executor is applied after all.
pub(super) const LEFT_TO_EXECUTOR: usize = 64;

/// Elements with a row that passes that a gated search compares, as a share of those that a search without a filter compares for
/// as many: 2,990 compared at 10 % of `wordnet`, 299 of them in the set, for an `ef` of 20 (408).
const GATED: f64 = 0.75;

/// Codes compared in one run.
pub(super) const RUN: usize = 64;

/// Elements compared with the query by a search: this number times `m`, times this power of `ef`. Between the figures of text
/// embeddings of 384 and of 768 dimensions (600 elements for 41 of 117,000, 970 for 50 of 35,000, 11,300 for 1,250).
const MEASURED: f64 = 2.7;
const MEASURED_POWER: f64 = 0.75;

/// The number of elements that a search without a filter compares with the query.
pub(crate) fn measured(m: f64, ef: f64) -> f64 {
    MEASURED * m * ef.powf(MEASURED_POWER)
}

/// The least `ef` of a gated search in an index of this many rows.
pub(crate) fn least_ef(rows: f64) -> f64 {
    LEAST_EF * (rows / LEAST_EF_ROWS).max(1.0).powf(LEAST_EF_POWER)
}

/// True if most rows pass, by a sample. Adds the pages read to `pages`.
pub(super) fn passes_most(index: &Index, filter: &Filter, pages: &mut u64) -> bool {
    sampled_share(index, filter, pages) >= MANY
}

/// The share of rows that pass, by a sample. Adds the pages read to `pages`.
fn sampled_share(index: &Index, filter: &Filter, pages: &mut u64) -> f64 {
    let (share, read) = keys::sampled_share(index, filter);
    *pages += read;
    share
}

/// Elements to start a search of a group at. A group of fewer is compared as a whole.
pub(crate) const ENTRIES: u16 = 64;

/// The `ef` of a search of a group, as a multiple of that of a search without conditions: its lists are half as long as those of
/// layer 0, and it starts at some element.
const EF_IN_GROUP: f64 = 2.0;

/// The graph of a group: all rows that pass have one value in the column whose values have graphs.
pub(super) struct GroupGraph {
    /// Elements of rows that pass, to start at.
    pub(super) entries: Vec<ElementId>,
    /// The index's count of removals before these were read: none of their slots has been freed if it is still the same.
    pub(super) removals: u64,
    filter: Filter,
    /// True if the filter tests nothing else; nothing has been read for it yet.
    pub(super) is_alone: bool,
    /// The number of rows of the group that pass, judged by the pages of the entries.
    pub(super) rows: f64,
    /// The share of the group that passes.
    share: f64,
}

impl GroupGraph {
    /// The `ef` of the first search, in place of that of a search without a filter.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small number"
    )]
    pub(super) fn first_ef(ef: usize) -> usize {
        (ef as f64 * EF_IN_GROUP).ceil() as usize
    }

    /// The graph for a filter; `None` if it leaves more than one value, or too few rows. Adds the pages read to `pages`.
    pub(super) fn of(index: &Index, filter: &Filter, pages: &mut u64) -> Option<Self> {
        let column = usize::from(index.geometry().grouped_by?);
        let image = filter.value_of(column)?;
        let mut group = Self {
            entries: Vec::new(),
            removals: 0,
            filter: filter.clone(),
            is_alone: filter.tests_only(column),
            rows: 0.0,
            share: 1.0,
        };
        group.read_entries(index, pages);
        if group.entries.len() < ENTRIES.into() {
            return None;
        }
        if !group.is_alone {
            let of_group = keys::filter_of_group(index, image)?;
            let of_group = sampled_share(index, &of_group, pages);
            let passing = sampled_share(index, filter, pages);
            group.share = (passing / of_group).clamp(f64::MIN_POSITIVE, 1.0);
        }
        Some(group)
    }

    /// Reads the elements to start at, the count of removals first. Adds the pages read to `pages`.
    pub(super) fn read_entries(&mut self, index: &Index, pages: &mut u64) {
        self.removals = metapage::read(index.relation()).removals;
        let found = keys::some(index, &self.filter, ENTRIES.into(), usize::MAX);
        *pages += found.pages;
        (self.entries, self.rows) = (found.elements, found.passing);
    }

    /// The filter, if it tests nothing else.
    pub(super) fn into_filter(self) -> Option<Filter> {
        self.is_alone.then_some(self.filter)
    }
}

/// The rows that pass a filter.
pub(super) struct Filtered {
    filter: Filter,
    /// The number of rows that pass.
    count: usize,
    /// The share of the index's rows that pass.
    share: f64,
    /// The least `ef` of a search.
    least_ef: f64,
    /// Elements with a row that passes; `None` if the set takes too much memory.
    elements: Option<ElementSet>,
    /// The rows that pass, once an element with many rows is met.
    rows: HashSet<HeapTid>,
    /// The most rows kept.
    most_rows: usize,
    /// Evaluations that gated searches may still spend.
    budget: f64,
    /// Elements with a row that passes that the present search has compared.
    compared: f64,
}

impl Filtered {
    /// Finds the rows of an index that pass, with a scan's memory of this many bytes. Also returns the number of filter pages
    /// read.
    pub(super) fn select(index: &Index, filter: Filter, memory: usize) -> (Self, u64) {
        let mut elements = element_set(index, memory / SET_SHARE);
        let selected = keys::select_elements(index, &filter, elements.as_mut());
        let count = usize::try_from(selected.passing).expect("fewer rows than bytes");
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let filtered = Self {
            filter,
            count,
            share: count as f64 / selected.rows.max(1) as f64,
            least_ef: least_ef(selected.rows as f64),
            elements,
            rows: HashSet::new(),
            most_rows: (memory / ROWS_SHARE / ROW).min(MOST_KEPT),
            budget: count as f64 * CODE,
            compared: 0.0,
        };
        (filtered, selected.pages)
    }

    /// Searches go through the rows of a group only.
    pub(super) fn within(&mut self, group: &GroupGraph) {
        self.share = group.share.max(self.share);
    }

    /// The number of rows that pass.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// True if the codes of all rows that pass cost less than any search.
    pub(super) fn is_few(&self) -> bool {
        self.price() <= FEW
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    fn price(&self) -> f64 {
        self.count as f64 * CODE
    }

    /// The `ef` of the first gated search, in place of that of a search without a filter: the fewer rows pass, the farther a
    /// search goes for each of them.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most the ef given"
    )]
    pub(super) fn first_ef(&self, ef: usize) -> usize {
        if self.elements.is_none() {
            return ef;
        }
        ((ef as f64 * self.share.sqrt()).max(self.least_ef).ceil() as usize).min(ef.max(1))
    }

    /// The gate of a search that wants `ef` elements, and of which this is the beginning or the continuation.
    #[expect(clippy::cast_precision_loss, reason = "an ef")]
    pub(super) fn gate(&mut self, index: &Index, ef: usize, begins: bool) -> Gate<'_> {
        if begins {
            self.compared = 0.0;
        }
        let wanted = GATED * measured(index.geometry().m.into(), ef as f64) - self.compared;
        Gate::new(
            self.elements.as_ref(),
            self.share,
            wanted.max(0.0),
            self.budget,
        )
    }

    /// Takes what a gated search has spent off the budget, and counts the elements with a row that passes that it has compared.
    pub(super) fn spend(&mut self, evaluations: u64, compared: f64) {
        #[expect(clippy::cast_precision_loss, reason = "a count of evaluations")]
        let spent = evaluations as f64;
        self.budget -= spent;
        self.compared += compared;
    }

    /// Passes all elements with a row that passes to `each`, in runs, each run in the order of the pages. Without a set of them an
    /// element with several rows may come again.
    pub(super) fn each_run(&self, index: &Index, mut each: impl FnMut(&[ElementId])) {
        let mut run = Vec::with_capacity(RUN);
        if let Some(elements) = &self.elements {
            for element in elements.iter() {
                run.push(element);
                if run.len() == RUN {
                    each(&run);
                    run.clear();
                }
            }
            return each(&run);
        }
        keys::select(index, &self.filter, |found| {
            for found in found.chunks(RUN) {
                run.clear();
                run.extend(found.iter().map(|row| row.element));
                run.sort_unstable();
                run.dedup();
                each(&run);
            }
        });
    }

    /// True if an element may come twice in `each_run`.
    pub(super) fn may_repeat(&self) -> bool {
        self.elements.is_none()
    }

    /// Keeps those of an element's many rows that pass, as far as they can be known. Finds all rows that pass at first: it borrows
    /// the hints of the index.
    pub(super) fn retain(&mut self, index: &Index, rows: &mut Vec<HeapTid>) {
        if self.count > self.most_rows {
            return;
        }
        if self.rows.is_empty() {
            if self.rows.try_reserve(self.count).is_err() {
                error::out_of_memory(self.count * ROW);
            }
            let kept = &mut self.rows;
            keys::select(index, &self.filter, |found| {
                kept.extend(found.iter().map(|found| found.row));
            });
        }
        rows.retain(|row| self.rows.contains(row));
    }

    /// Allocated bytes.
    pub(super) fn memory(&self) -> usize {
        self.elements.as_ref().map_or(0, ElementSet::memory) + self.rows.capacity() * ROW
    }
}

/// An empty set with room for the elements of an index; `None` if it takes more than `memory` bytes.
fn element_set(index: &Index, memory: usize) -> Option<ElementSet> {
    let ids = u64::from(index.relation().blocks()) << index.geometry().element.bits;
    let bytes = usize::try_from(ids / 8).unwrap_or(usize::MAX);
    if bytes > memory {
        return None;
    }
    Some(ElementSet::with_room(ids).unwrap_or_else(|_| error::out_of_memory(bytes)))
}
