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

    /// True if a search of a layer is to end with what it has found.
    #[inline]
    fn is_over(&self) -> bool {
        false
    }

    /// Prefetches the neighbors of this element.
    #[inline]
    fn prepare(&mut self, _next: ElementId) {}
}
