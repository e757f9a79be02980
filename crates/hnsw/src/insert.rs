//! Algorithm 1: inserts an element into the graph.

use crate::{Candidate, ElementId, Level, Params, Search, Store, StoreMut};

/// Algorithm 1 over a store: searches the layers of the new element from above, selects its neighbors, adds it and
/// links back to it. `None` if an existing element has the same code and takes over the row.
pub fn insert<S: StoreMut>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    params: &Params,
    level: Level,
) -> Option<ElementId> {
    let neighborhood = find_neighborhood(store, search, query, params, level, S::select);
    if store.add_duplicate(query, &neighborhood.nearest) {
        return None;
    }
    let element = store.add(query, &neighborhood.neighbors);
    link_back(store, element, &neighborhood.neighbors);
    store.raise_entry_point(element, level);
    Some(element)
}

/// The neighborhood of a new element.
pub(crate) struct Neighborhood {
    /// The chosen neighbors on each layer, from layer 0 up; empty on new layers.
    pub(crate) neighbors: Vec<Vec<Candidate>>,
    /// The nearest elements on layer 0.
    pub(crate) nearest: Vec<Candidate>,
}

/// The read-only part of Algorithm 1; `select` selects candidates by Algorithm 4, up to a maximum.
pub(crate) fn find_neighborhood<S: Store>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    params: &Params,
    level: Level,
    mut select: impl FnMut(&mut S, &S::Query, &[Candidate], usize) -> Vec<Candidate>,
) -> Neighborhood {
    let mut neighbors = vec![Vec::new(); usize::from(level) + 1];
    let mut entry = Vec::new();
    let mut nearest = Vec::new();
    if let Some(descent) = search.descend(store, query, level) {
        entry.push(descent.nearest);
        for layer in (0..=level.min(descent.top)).rev() {
            search.layer(
                store,
                query,
                &entry,
                layer,
                params.ef_construction,
                &mut nearest,
            );
            neighbors[usize::from(layer)] = select(store, query, &nearest, params.m);
            // If nothing is live on this layer, the descent continues from the same element.
            if !nearest.is_empty() {
                std::mem::swap(&mut entry, &mut nearest);
            }
        }
    }
    Neighborhood {
        neighbors,
        nearest: entry,
    }
}

/// Offers the new element to the neighbors it chose, in the order of their ids: on pages, block after block.
/// If none of them keeps it on a layer, one is forced to, or no search could find it there.
fn link_back<S: StoreMut>(store: &mut S, element: ElementId, neighbors: &[Vec<Candidate>]) {
    for (level, chosen) in (0..).zip(neighbors) {
        let mut in_order = chosen.clone();
        in_order.sort_unstable_by_key(|candidate| candidate.element);
        let mut linked = false;
        for neighbor in in_order {
            linked |= store.link(neighbor.element, level, element, neighbor.distance);
        }
        if !linked {
            store.force_link(chosen, level, element);
        }
    }
}
