//! Scans with a target recall: each search ends by the distance of the row to be returned next (`hnsw::Slack`).

use hnsw::Slack;
use layout::Calibrated;

use super::limits::{Limits, first_ef};
use crate::opclass::BOUND_SCALE;
use crate::pg::setting::{LEAST_TARGET, MOST_TARGET};
use crate::settings::{EF_SEARCH, EF_SEARCH_DEFAULT, TARGET_RECALL};
use crate::storage::calibrate::is_old;

/// The rule by which a scan's searches end, with the settings it was chosen by.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// A number of elements, by `hnsw.ef_search` or for a target.
    Found(Number),
    /// The slack of a target recall.
    Target(Target),
}

/// A number of elements that ends a search.
#[derive(Clone, Copy, Default)]
pub(crate) struct Number {
    /// The number as settings give it.
    pub(super) ef: usize,
    /// The elements that the first search finds.
    pub(super) first: usize,
    /// The share of the nearest ten rows that such a search finds, if the index is calibrated.
    pub(super) recall: Option<f64>,
}

/// A target recall and what the index knows about it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The recall asked of the calibration: higher than the setting's if the calibration is old.
    recall: f64,
    calibrated: Calibrated,
    /// The unit of the query's distances, as for `Slack`.
    unit: Option<f32>,
}

/// The `ef` of a scan with a target in an index without calibration, unless the setting is higher.
const UNCALIBRATED_EF: usize = 200;

/// The target recall of a scan of an index with this option: that of the session, or else the index's, unless the session has
/// an `hnsw.ef_search` of its own. 0 for none.
pub(crate) fn target(option: f64) -> f64 {
    match TARGET_RECALL.get() {
        session if session >= 0.0 => session,
        _ if EF_SEARCH.get() == EF_SEARCH_DEFAULT => option,
        _ => 0.0,
    }
}

/// The number of elements by which the planner charges a search with a target recall: calibrations of several data sets have
/// half to twice as many.
pub(crate) fn usual_ef(target: f64) -> f64 {
    5.5 * (1.0 - target.clamp(LEAST_TARGET, MOST_TARGET)).powf(-0.55)
}

/// The kind of query that a rule is chosen for.
pub(super) enum Query {
    /// All rows are equally near.
    Undirected,
    /// The rows that pass conditions on key columns. A search through them has distances of its own, so that a number ends it.
    Filtered,
    /// The nearest rows; the unit of their distances is as for `Slack`.
    Plain(Option<f32>),
}

impl Rule {
    /// The rule for a scan with a calibration, if the index has one, and this many blocks.
    pub(super) fn new(
        limits: &Limits,
        query: &Query,
        calibrated: Option<Calibrated>,
        blocks: u32,
    ) -> Self {
        let (ef, target) = (limits.ef, limits.target.unwrap_or(0.0));
        let recall_of = |first| calibrated.and_then(|known| known.calibration.recall_of(first));
        let found = |ef: usize, first: usize| {
            Self::Found(Number {
                ef,
                first,
                recall: recall_of(first),
            })
        };
        if target <= 0.0 || matches!(query, Query::Undirected) {
            return found(ef, first_ef(ef));
        }
        let Some(calibrated) = calibrated else {
            let ef = ef.max(UNCALIBRATED_EF);
            return found(ef, first_ef(ef));
        };
        let recall = if is_old(&calibrated, blocks) {
            (1.0 + target) / 2.0
        } else {
            target
        };
        match *query {
            Query::Plain(unit) => Self::Target(Target {
                recall,
                calibrated,
                unit,
            }),
            _ => {
                let ef = calibrated.calibration.ef(recall);
                found(ef, ef)
            }
        }
    }
}

impl Target {
    /// The slack for the row of a rank, counted from 1.
    pub(super) fn slack(&self, rank: usize) -> Slack {
        #[expect(clippy::cast_possible_truncation, reason = "a small factor")]
        let bound_scale = BOUND_SCALE as f32;
        Slack {
            share: self.calibrated.calibration.share(self.recall, rank),
            unit: self.unit,
            bound_scale,
        }
    }
}
