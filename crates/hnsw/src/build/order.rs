//! The order of elements in which a build inserts or checks them.

use super::Stopped;
use crate::{ElementId, MemoryGraph, scramble};
use rayon::prelude::*;
use std::cmp::Reverse;

/// Highest levels first, so that the upper layers are complete before most searches descend through them. Random within a
/// level: sorted input would put an element's nearest into its own batch, where it misses them.
pub(super) fn insertion_order(graph: &MemoryGraph) -> Result<Vec<ElementId>, Stopped> {
    let mut order = Vec::new();
    order.try_reserve_exact(graph.len())?;
    order.extend((0..graph.len() as u32).map(ElementId));
    order.par_sort_unstable_by_key(|&e| (Reverse(graph.level(e)), scramble(u64::from(e.0)), e));
    Ok(order)
}
