//! Algorithm 1: how an element joins the graph.

use crate::{Candidate, ElementId, Level, Params, Search, Store, StoreMut};

/// Algorithm 1 over a store: searches the layers of the new element from above, selects its neighbors, adds it and
/// links back to it. None if an element with the same code took it in.
pub fn insert<S: StoreMut>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    params: &Params,
    level: Level,
) -> Option<ElementId> {
    let place = find_place(store, search, query, params, level, S::select);
    if store.absorb(query, &place.nearest) {
        return None;
    }
    let element = store.add(query, &place.neighbors);
    link_back(store, element, &place.neighbors);
    store.raise_entry_point(element, level);
    Some(element)
}

/// Where a new element belongs.
pub(crate) struct Place {
    /// The neighbors it chooses on each layer, from layer 0 up; none on layers that nothing reached before.
    pub(crate) neighbors: Vec<Vec<Candidate>>,
    /// What is nearest on layer 0.
    pub(crate) nearest: Vec<Candidate>,
}

/// The part of Algorithm 1 that only reads; `select` takes up to so many of the candidates by Algorithm 4.
pub(crate) fn find_place<S: Store>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    params: &Params,
    level: Level,
    mut select: impl FnMut(&mut S, &S::Query, &[Candidate], usize) -> Vec<Candidate>,
) -> Place {
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
            // Where nothing is live, the way down leads on from the same place.
            if !nearest.is_empty() {
                std::mem::swap(&mut entry, &mut nearest);
            }
        }
    }
    Place {
        neighbors,
        nearest: entry,
    }
}

/// Offers the new element to the neighbors it chose, in the order of their ids: on pages, block after block.
/// If none of them wants it on a layer one has to take it, or no search would ever come by it there.
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
