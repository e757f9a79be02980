//! The interface between the algorithms and the storage of a graph.

use crate::{Candidate, ElementId, Level};

/// The storage of a graph: a build's memory or an index's pages.
///
/// Methods take `&mut self` because a store on pages keeps hints and buffers of its own.
pub trait Store {
    /// The query of distance estimates.
    type Query;

    /// The entry point and its level; `None` in an empty graph.
    fn entry_point(&mut self) -> Option<(ElementId, Level)>;

    /// Appends the neighbors of an element at a level; nothing if the element is gone.
    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>);

    /// Appends the elements with estimated distances to the query, in any order, without elements that are gone.
    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>);

    /// Prefetches the neighbors of this element.
    #[inline]
    fn prepare(&mut self, _next: ElementId) {}
}

/// A store whose graph can grow.
pub trait StoreMut: Store {
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

    /// Offers `new` as a neighbor of `of`, which keeps at most `max_neighbors` by Algorithm 4. True if it keeps `new`.
    fn link(&mut self, of: ElementId, level: Level, new: ElementId, distance: f32) -> bool;

    /// Forces `new` into the list of one of the chosen neighbors (sorted nearest first), after selection rejected it in all.
    fn force_link(&mut self, chosen: &[Candidate], level: Level, new: ElementId);

    /// Makes the element the entry point if there is none, or one of a lower level.
    fn raise_entry_point(&mut self, element: ElementId, level: Level);
}
