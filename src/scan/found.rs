//! Items of the rerank queue.

use hnsw::ElementId;

use crate::storage::Index;
use crate::storage::rows::Chain;

/// An item of the rerank queue; its rows have no exact distances yet.
pub(super) enum Found {
    Element(ElementId),
    /// Further rows of an element, and the exact distances of its rows so far.
    Rows(Chain, Alike),
}

impl Found {
    /// The index block of its next row pointers.
    pub(super) fn block(&self, index: &Index) -> u32 {
        match *self {
            Self::Element(element) => index.geometry().element.split(element).0,
            Self::Rows(chain, _) => chain.block(index),
        }
    }
}

/// The reranked rows of one element, and their distance as long as all have the same one to the last bit.
#[derive(Clone, Copy, Default)]
pub(super) struct Alike {
    distance: f64,
    rows: usize,
    /// True if two of the rows have different distances.
    differ: bool,
}

impl Alike {
    /// With this number of equal rows, the element's other rows are taken for equal vectors too.
    const MANY: usize = 64;

    pub(super) fn with(self, distance: f64) -> Self {
        Self {
            distance,
            rows: self.rows + 1,
            differ: self.differ || self.rows > 0 && self.distance.to_bits() != distance.to_bits(),
        }
    }

    /// The lower bound of the rows not reranked yet. Once many rows are equal, these are returned before any other row of the
    /// element is read, however many remain.
    pub(super) fn bound(self, of_element: f64) -> f64 {
        if self.rows >= Self::MANY && !self.differ {
            self.distance.max(of_element)
        } else {
            of_element
        }
    }
}
