//! What the algorithm asks of a place where a graph is kept.

use crate::{Candidate, ElementId, Level};

/// A place where a graph is kept: a build's memory or an index's pages.
///
/// Methods take `&mut self` because a store on pages keeps hints and buffers of its own.
pub trait Store {
    /// What elements are measured against.
    type Query;

    /// The element where every search starts and its level; none in an empty graph.
    fn entry_point(&mut self) -> Option<(ElementId, Level)>;

    /// Appends the neighbors of an element at a level; nothing if the element is gone.
    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>);

    /// Appends the elements measured against the query, in any order; elements that are gone are left out.
    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>);

    /// Says that the neighbors of this element may be wanted soon.
    #[inline]
    fn prepare(&mut self, _next: ElementId) {}
}

/// A store whose graph can grow.
pub trait StoreMut: Store {
    /// Chooses up to `max` neighbors for what `query` stands for from the candidates (sorted nearest first): by Algorithm
    /// 4, then the nearest of the rest.
    /// Those that are not live are left out: vacuum is about to take them away.
    fn select(
        &mut self,
        query: &Self::Query,
        candidates: &[Candidate],
        max: usize,
    ) -> Vec<Candidate>;

    /// Gives what `query` stands for to an element that has the same code, if one of the candidates has.
    fn absorb(&mut self, query: &Self::Query, candidates: &[Candidate]) -> bool;

    /// Adds the element that `query` stands for, with its neighbors from layer 0 up.
    fn add(&mut self, query: &Self::Query, neighbors: &[Vec<Candidate>]) -> ElementId;

    /// Offers `new` as a neighbor of `of`, which keeps at most `max_neighbors` by Algorithm 4. True if it keeps `new`.
    fn link(&mut self, of: ElementId, level: Level, new: ElementId, distance: f32) -> bool;

    /// Has one of the chosen, sorted nearest first, link to `new` on a layer, though none of them wants to.
    fn force_link(&mut self, chosen: &[Candidate], level: Level, new: ElementId);

    /// Makes the element the entry point if there is none, or one of a lower level.
    fn raise_entry_point(&mut self, element: ElementId, level: Level);
}
