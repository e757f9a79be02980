//! The effort of a build by leaves.

use super::leaf::Choice;
use super::partition::Division;
use crate::{Params, least_kept, max_neighbors};

/// The effort of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) division: Division,
    pub(super) choice: Choice,
    pub(super) m: usize,
}

/// The maximum vectors of a leaf.
pub const LARGEST_LEAF: usize = 1536;

impl Effort {
    /// `ef_construction` sets the number of leaves per element: 7 at 64, 11 at 128.
    pub(super) fn new(params: &Params) -> Self {
        let kept = params.m.max(16);
        let fanout = 3 + params.ef_construction / 16;
        Self {
            division: Division {
                fanout,
                target: 768,
                largest: LARGEST_LEAF,
            },
            choice: Choice {
                nearest: 3 * kept,
                kept,
            },
            m: params.m,
        }
    }

    /// The length of a forward list: the neighbors that an element links to, and the spares of a list of layer 0.
    pub(super) fn width(&self) -> usize {
        self.m.max(least_kept(max_neighbors(self.m, 0)))
    }

    /// Divides the fanout among the cells of an element.
    pub(super) fn divided(mut self, cells: usize) -> Self {
        self.division.fanout = self.division.fanout.div_ceil(cells);
        self
    }
}
