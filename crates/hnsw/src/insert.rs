//! Algorithm 1: how an element joins the graph.

use crate::{Candidate, ElementId, Level, Params, Search, StoreMut};

/// Algorithm 1 over a store: searches the layers of the new element from above, selects its neighbors, adds it and
/// links back to it. None if an element with the same code took it in.
pub fn insert<S: StoreMut>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    params: &Params,
    level: Level,
) -> Option<ElementId> {
    let mut neighbors = vec![Vec::new(); usize::from(level) + 1];
    if let Some((entry, top)) = search.descend(store, query, level) {
        let mut nearest = vec![entry];
        for layer in (0..=level.min(top)).rev() {
            search_layer(store, search, query, layer, params, &mut nearest);
            neighbors[usize::from(layer)] = store.select(&nearest, params.m);
        }
        if store.absorb(query, &nearest) {
            return None;
        }
    }
    let element = store.add(query, &neighbors);
    link_back(store, element, &neighbors);
    store.raise_entry_point(element, level);
    Some(element)
}

/// Replaces `nearest`, the entry to a layer, by what is nearest on it. Where nothing is live the entry stays.
fn search_layer<S: StoreMut>(
    store: &mut S,
    search: &mut Search,
    query: &S::Query,
    layer: Level,
    params: &Params,
    nearest: &mut Vec<Candidate>,
) {
    let mut found = Vec::new();
    search.layer(
        store,
        query,
        nearest,
        layer,
        params.ef_construction,
        &mut found,
    );
    if !found.is_empty() {
        *nearest = found;
    }
}

/// Offers the new element to the neighbors it chose, in the order of their ids: on pages, block after block.
fn link_back<S: StoreMut>(store: &mut S, element: ElementId, neighbors: &[Vec<Candidate>]) {
    for (level, chosen) in (0..).zip(neighbors) {
        let mut chosen = chosen.clone();
        chosen.sort_unstable_by_key(|candidate| candidate.element);
        for neighbor in chosen {
            store.link(neighbor.element, level, element, neighbor.distance);
        }
    }
}
