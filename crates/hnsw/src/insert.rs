//! Algorithm 1: inserts an element into the graph.

use crate::link::{Lists, link_back};
use crate::{Candidate, ElementId, Level, Params, Search, Store};

/// A store whose graph can grow.
pub trait StoreMut: Store {
    /// Changes neighbor lists.
    type Lists: Lists;

    /// Chooses up to `max` neighbors for what `query` stands for from the candidates (sorted nearest first): by Algorithm
    /// 4, then the nearest of the rest.
    /// Tombstones are left out: vacuum is about to remove them.
    fn select(
        &mut self,
        query: &Self::Query,
        candidates: &[Candidate],
        max: usize,
    ) -> Vec<Candidate>;

    /// Adds the row of `query` to a candidate with the same code, if there is one.
    fn add_duplicate(&mut self, query: &Self::Query, candidates: &[Candidate]) -> bool;

    /// Adds the element of `query`, with its neighbors from layer 0 up. A store holds the rest of the new element itself: in pages
    /// its code and its row.
    fn add(&mut self, query: &Self::Query, neighbors: &[Vec<Candidate>]) -> ElementId;

    /// The neighbor lists, for the links back to a new element.
    fn lists(&mut self) -> &mut Self::Lists;

    /// Makes the element the entry point if there is none, or one of a lower level.
    fn raise_entry_point(&mut self, element: ElementId, level: Level);
}

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
    for (level, chosen) in (0..).zip(&neighborhood.neighbors) {
        let chosen: Vec<ElementId> = chosen.iter().map(|near| near.element).collect();
        link_back(store.lists(), &chosen, level, element);
    }
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
