//! Where next: the graph, its search, its build.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod search;
mod select;
mod store;

pub use search::{Search, SearchOptions};
pub use select::select_neighbors;
pub use store::{Store, StoreMut};

/// Layer of the hierarchy an element reaches; 0 holds all elements.
pub type Level = u8;

/// No element is drawn above this level, so an element's upper neighbor lists always fit in one page.
pub const MAX_LEVEL: Level = 15;

/// Names an element: its place in a build's memory, or its packed block and slot in an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId(pub u32);

/// What a user chooses when creating an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Neighbors an element chooses; layer 0 keeps up to `2 * m`.
    pub m: usize,
    /// Effort of construction: candidates considered per element.
    pub ef_construction: usize,
}

/// An element with its distance, during a search.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Distance to the query, estimated from the element's code.
    pub distance: f32,
    /// Half-width of the estimate's bound: the true distance is at least `distance - error`.
    pub error: f32,
    /// The element measured.
    pub element: ElementId,
    /// False for an element whose rows are all gone: walked through, never a result.
    pub live: bool,
}

impl Candidate {
    /// Nearest first, ties by element, so that every order is total and repeatable.
    #[inline]
    #[must_use]
    pub fn nearest_first(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.element.cmp(&other.element))
    }
}

/// Capacity of a neighbor list at a level (the paper's Mmax0 and Mmax).
#[inline]
#[must_use]
pub fn max_neighbors(m: usize, level: Level) -> usize {
    if level == 0 { 2 * m } else { m }
}
