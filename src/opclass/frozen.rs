//! The options of a new index: their ranges, and the choice of code and page geometry that is fixed for its life.

use std::ops::RangeInclusive;

use hnsw::Params;
use layout::{Frozen, Geometry};

use super::OperatorClass;
use crate::error;

/// The range of the option `m`.
pub(crate) const M: RangeInclusive<i32> = 2..=100;
/// The range of the option `ef_construction`.
pub(crate) const EF_CONSTRUCTION: RangeInclusive<i32> = 4..=1000;

/// The seed of the rotation, the same for every index, so that the same rows make the same index.
const SEED: u64 = 0x6f6d_656e_6462_0001;

impl OperatorClass {
    /// Checks the options of a new index on a column of `dimensions` and fixes them for its life. `method` is the access
    /// method's name, for messages.
    pub(crate) fn frozen(&self, dimensions: u32, params: Params, method: &str) -> Frozen {
        if dimensions > self.stored.max_dimensions() {
            error::too_many_column_dimensions(self.stored.max_dimensions(), method);
        }
        if params.ef_construction < 2 * params.m {
            error::ef_construction_too_small();
        }
        let coded = self
            .code(dimensions as usize, params.m)
            .and_then(|(bits, code_len)| Some((bits, Geometry::new(params.m, code_len).ok()?)));
        let Some((bits, geometry)) = coded else {
            error::element_too_large(params.m, dimensions)
        };
        Frozen {
            kind: self.stored,
            metric: self.metric,
            code_bits: bits.number(),
            dimensions,
            seed: SEED,
            geometry,
            center_block: None,
            built_elements: 0,
        }
    }
}
