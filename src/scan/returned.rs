//! The rows a scan has returned.

use std::collections::HashSet;

use layout::HeapTid;

use crate::error;

/// The rows a scan has returned, in case it restarts from the entry point.
#[derive(Default)]
pub(super) struct Returned {
    rows: Vec<HeapTid>,
    /// The rows returned before the last restart.
    passed_over: HashSet<HeapTid>,
}

impl Returned {
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.passed_over.clear();
    }

    pub(super) fn push(&mut self, row: HeapTid) {
        if self.rows.try_reserve(1).is_err() {
            error::out_of_memory(self.rows.len().saturating_mul(size_of::<HeapTid>()));
        }
        self.rows.push(row);
    }

    pub(super) fn remember(&mut self) {
        if self.passed_over.try_reserve(self.rows.len()).is_err() {
            error::out_of_memory(self.rows.len().saturating_mul(size_of::<HeapTid>()));
        }
        self.passed_over.extend(&self.rows);
    }

    /// The number of rows returned.
    pub(super) fn count(&self) -> usize {
        self.rows.len()
    }

    #[inline]
    pub(super) fn contains(&self, row: HeapTid) -> bool {
        !self.passed_over.is_empty() && self.passed_over.contains(&row)
    }

    /// The maximum bytes of both collections.
    pub(super) fn memory(&self) -> usize {
        2 * size_of::<HeapTid>() * (self.rows.len() + self.passed_over.len())
    }
}
