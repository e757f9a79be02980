//! Settings that limit a scan.

use crate::pg::setting;
use crate::settings::{
    EF_SEARCH, ITERATIVE_SCAN, IterativeScan, MAX_SCAN_TUPLES, SCAN_MEM_MULTIPLIER,
};

/// Settings as they were when the scan began.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// `hnsw.ef_search`.
    pub(crate) ef: usize,
    /// The target recall: 0 for scans by `ef`, `None` until the index's option is known.
    pub(crate) target: Option<f64>,
    pub(crate) iterative: IterativeScan,
    pub(crate) max_visited: u64,
    pub(crate) max_memory: usize,
}

impl Limits {
    pub(crate) fn now() -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a size in bytes, saturating"
        )]
        let max_memory = (setting::work_mem() as f64 * SCAN_MEM_MULTIPLIER.get()) as usize;
        Self {
            ef: EF_SEARCH.get().unsigned_abs() as usize,
            target: None,
            iterative: ITERATIVE_SCAN.get(),
            max_visited: MAX_SCAN_TUPLES.get().unsigned_abs().into(),
            max_memory,
        }
    }

    /// The limits of a scan with conditions on key columns. It goes on even where iterative scans are off: the executor checks the
    /// rows once more, and a number of rows returned would not say how many of them it keeps.
    pub(crate) fn of_filtered(self) -> Self {
        match self.iterative {
            IterativeScan::Off => Self {
                iterative: IterativeScan::StrictOrder,
                ..self
            },
            _ => self,
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.iterative == IterativeScan::StrictOrder
    }
}

/// The `ef` of the first search. Codes are estimates: with three eighths more than `ef`, a search over codes finds as many of
/// the nearest as a search over full vectors.
pub(crate) fn first_ef(ef: usize) -> usize {
    ef + (3 * ef).div_ceil(8)
}
