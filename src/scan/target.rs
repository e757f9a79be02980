//! Scans with a target recall: each search ends by the distance of the row to be returned next (`hnsw::Slack`).

use hnsw::{RANKS, Slack};
use layout::Calibrated;

use crate::opclass::BOUND_SCALE;

/// The rule by which a scan's searches end, with the settings it was chosen by.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    /// A number of elements: `hnsw.ef_search`, or more where a target is set and the index is not calibrated.
    Found(usize),
    /// The slack of a target recall.
    Target(Target),
}

/// A target recall and what the index knows about it.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// The recall asked of the calibration: higher than the setting's if the calibration is old.
    recall: f64,
    calibrated: Calibrated,
}

/// The `ef` of a scan with a target in an index without calibration or by inner product, unless the setting is higher.
const UNCALIBRATED_EF: usize = 200;

/// A calibration is old once the index has grown by one in this many of its blocks.
const GROWN: u32 = 3;

impl Rule {
    /// The rule for a target recall (0 for none), `hnsw.ef_search`, and an index of this size.
    pub(super) fn new(target: f64, ef: usize, calibrated: Option<Calibrated>, blocks: u32) -> Self {
        match calibrated {
            _ if target <= 0.0 => Self::Found(ef),
            None => Self::Found(ef.max(UNCALIBRATED_EF)),
            Some(calibrated) => Self::Target(Target {
                recall: if is_old(&calibrated, blocks) {
                    (1.0 + target) / 2.0
                } else {
                    target
                },
                calibrated,
            }),
        }
    }
}

/// True if an index has grown so much since its calibration that a target needs a margin.
pub(crate) fn is_old(calibrated: &Calibrated, blocks: u32) -> bool {
    blocks.saturating_sub(calibrated.blocks) > calibrated.blocks / GROWN
}

impl Target {
    /// The rank whose slack ends the first search: the rows before it are returned together.
    pub(super) const FIRST: usize = RANKS[0];

    /// The slack for the row of a rank, counted from 1.
    pub(super) fn slack(&self, rank: usize) -> Slack {
        #[expect(clippy::cast_possible_truncation, reason = "a small factor")]
        let bound_scale = BOUND_SCALE as f32;
        Slack {
            share: self.calibrated.calibration.share(self.recall, rank),
            unit: None,
            bound_scale,
        }
    }
}
