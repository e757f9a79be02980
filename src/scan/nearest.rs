//! The nearest rows of many, in limited memory.

use crate::error;
use crate::storage::keys::Match;

/// Bytes for a row here and in the rerank queue, whose heaps grow by doubling.
const ROW: usize = 256;

/// Rows with lower bounds of their distances: all, or the nearest ones if they are too many.
pub(super) struct Nearest {
    rows: Vec<(f64, Match)>,
    /// The number of rows kept.
    most: usize,
    /// The least bound of a row left out.
    left_out: f64,
}

impl Nearest {
    /// Takes up to `memory` bytes.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            rows: Vec::new(),
            most: (memory / ROW).max(1),
            left_out: f64::INFINITY,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn push(&mut self, bound: f64, row: Match) {
        if self.rows.len() >= 2 * self.most {
            self.cut();
        }
        if self.rows.try_reserve(1).is_err() {
            error::out_of_memory(self.rows.len() * size_of::<(f64, Match)>());
        }
        self.rows.push((bound, row));
    }

    /// Rows up to this distance are all here.
    pub(super) fn horizon(&self) -> f64 {
        self.left_out
    }

    pub(super) fn into_rows(self) -> impl Iterator<Item = (f64, Match)> {
        self.rows.into_iter()
    }

    /// Leaves out all rows but the nearest.
    fn cut(&mut self) {
        let (_, &mut (bound, _), _) = self
            .rows
            .select_nth_unstable_by(self.most, |a, b| a.0.total_cmp(&b.0));
        self.left_out = self.left_out.min(bound);
        self.rows.truncate(self.most);
    }
}
