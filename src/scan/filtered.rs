//! Conditions on key columns: the rows that pass, and the choice between a search of the graph and their codes.
//!
//! A pass over the filter pages finds all rows that pass. If these are few, their codes are compared one by one (*exact*).
//! Otherwise a search of the graph finds the nearest of them: it goes through all elements and counts only those with a row
//! that passes (*gated*). Its budget is the price of the codes of all rows that pass: a search that uses it up, or is going to, is
//! given up for them, so a scan costs at most about twice the better of both. A filter that most rows pass is left to the executor
//! for the first rows.

use std::collections::HashSet;

use filter::Filter;
use hnsw::ElementSet;
use layout::HeapTid;

use crate::error;
use crate::storage::keys::{self, Match};
use crate::storage::{Gate, Index};

/// The price of comparing a code known beforehand, in those of a search, which waits for memory.
pub(crate) const CODE: f64 = 0.6;

/// Codes of all rows that pass are compared without a search if their price is at most this.
const FEW: f64 = 800.0;

/// The least `ef` of a gated search.
pub(crate) const LEAST_EF: f64 = 20.0;

/// Rows kept from the pass over all.
const MOST_KEPT: usize = 1 << 14;

/// A filter passed by this share of the rows is left to the executor at first: half of the nearest rows pass it, unless it has to
/// do with the distance.
const MANY: f64 = 0.5;

/// Rows returned before a filter left to the executor is applied after all.
pub(super) const LEFT_TO_EXECUTOR: usize = 64;

/// True if most rows pass, by a sample.
pub(super) fn passes_most(index: &Index, filter: &Filter) -> bool {
    keys::sampled_share(index, filter) >= MANY
}

/// The rows that pass a filter.
pub(super) struct Filtered {
    filter: Filter,
    /// The number of rows that pass.
    count: usize,
    /// The share of the index's rows that pass.
    share: f64,
    /// Elements with a row that passes.
    elements: ElementSet,
    /// The rows that pass; empty if they take too much memory.
    matches: Vec<Match>,
    /// The rows of `matches`, once an element with several rows is met.
    rows: HashSet<HeapTid>,
    /// Evaluations that gated searches may still spend.
    budget: f64,
}

impl Filtered {
    /// Finds the rows of an index that pass. Keeps them if they take at most `memory` bytes. Also returns the number of filter
    /// pages read.
    pub(super) fn select(index: &Index, filter: Filter, memory: usize) -> (Self, u64) {
        let ids = u64::from(index.relation().blocks()) << index.geometry().element.bits;
        let elements = ElementSet::with_room(ids);
        let mut elements = elements.unwrap_or_else(|_| error::out_of_memory(ids as usize / 8));
        let most = (memory / size_of::<Match>()).min(MOST_KEPT);
        let (mut count, mut matches) = (0, Vec::new());
        let selected = keys::select(index, &filter, |found| {
            for found in found {
                elements.insert(found.element);
            }
            count += found.len();
            if count > most {
                matches = Vec::new();
            } else if matches.try_reserve(found.len()).is_ok() {
                matches.extend_from_slice(found);
            } else {
                error::out_of_memory(count * size_of::<Match>());
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "counts of rows")]
        let filtered = Self {
            filter,
            count,
            share: count as f64 / selected.rows.max(1) as f64,
            elements,
            matches,
            rows: HashSet::new(),
            budget: count as f64 * CODE,
        };
        (filtered, selected.pages)
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
        ((ef as f64 * self.share.sqrt()).max(LEAST_EF).ceil() as usize).min(ef.max(1))
    }

    /// The gate of a search that wants `ef` elements.
    pub(super) fn gate(&self, ef: usize) -> Gate<'_> {
        Gate::new(&self.elements, self.share, ef, self.budget)
    }

    /// Takes what a gated search has spent off the budget.
    pub(super) fn spend(&mut self, evaluations: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a count of evaluations")]
        let spent = evaluations as f64;
        self.budget -= spent;
    }

    /// Passes all rows to `each`, in runs.
    pub(super) fn each_run(&self, index: &Index, mut each: impl FnMut(&[Match])) {
        if self.matches.len() == self.count {
            self.matches.chunks(RUN).for_each(each);
            return;
        }
        keys::select(index, &self.filter, |found| {
            found.chunks(RUN).for_each(&mut each);
        });
    }

    /// Keeps those of an element's rows that pass, as far as they are known.
    pub(super) fn retain(&mut self, rows: &mut Vec<HeapTid>, has_more: bool) {
        if self.matches.is_empty() || rows.len() < 2 && !has_more {
            return;
        }
        if self.rows.is_empty() {
            if self.rows.try_reserve(self.matches.len()).is_err() {
                error::out_of_memory(self.matches.len() * size_of::<HeapTid>());
            }
            self.rows.extend(self.matches.iter().map(|found| found.row));
        }
        rows.retain(|row| self.rows.contains(row));
    }

    /// Allocated bytes that grow with the rows that pass. The set of elements has a size of its own, by that of the index: if it
    /// counted, a large index would never be searched.
    pub(super) fn memory(&self) -> usize {
        self.matches.capacity() * size_of::<Match>()
            + 2 * self.rows.capacity() * size_of::<HeapTid>()
    }
}

/// Codes compared in one run.
pub(super) const RUN: usize = 64;
