//! What a graph in memory measures its elements by.

use crate::{Candidate, ElementId, fill_with_nearest, select_neighbors};
use quantize::CodeSet;

/// The vectors of a build, named by their place: element `i` has vector `i`.
pub trait Vectors: Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The distance of two vectors; symmetric.
    fn distance(&self, a: u32, b: u32) -> f32;

    /// Says that a vector will be measured soon.
    fn prefetch(&self, _vector: u32) {}
}

impl Vectors for CodeSet {
    fn len(&self) -> usize {
        CodeSet::len(self)
    }

    #[inline]
    fn distance(&self, a: u32, b: u32) -> f32 {
        CodeSet::distance(self, a, b)
    }

    #[inline]
    fn prefetch(&self, vector: u32) {
        CodeSet::prefetch(self, vector);
    }
}

/// What the elements of a graph in memory are measured against.
pub trait Query {
    /// Distance to an element.
    fn distance(&self, element: u32) -> f32;

    /// Says that an element will be measured soon.
    fn prefetch(&self, _element: u32) {}
}

/// A query from outside, as a function of the element.
impl<F: Fn(u32) -> f32> Query for F {
    #[inline]
    fn distance(&self, element: u32) -> f32 {
        self(element)
    }
}

/// An element of the graph as a query.
#[derive(Clone, Copy, Debug)]
pub struct ElementQuery<'v, V> {
    /// Where its vector is.
    pub vectors: &'v V,
    /// The element.
    pub element: u32,
}

impl<V: Vectors> Query for ElementQuery<'_, V> {
    #[inline]
    fn distance(&self, element: u32) -> f32 {
        self.vectors.distance(self.element, element)
    }

    #[inline]
    fn prefetch(&self, element: u32) {
        self.vectors.prefetch(element);
    }
}

impl<V: Vectors> ElementQuery<'_, V> {
    /// An element with its distance. All that a build holds is live, and its distances are taken for exact.
    pub(crate) fn measure(&self, element: u32) -> Candidate {
        candidate(self.distance(element), element)
    }
}

pub(crate) fn candidate(distance: f32, element: u32) -> Candidate {
    Candidate {
        distance,
        error: 0.0,
        element: ElementId(element),
        live: true,
    }
}

/// Algorithm 4 over candidates sorted nearest first.
pub(crate) fn select_among<V: Vectors>(
    vectors: &V,
    candidates: &[Candidate],
    max: usize,
    into: &mut Vec<Candidate>,
) {
    let between =
        |i: usize, j: usize| vectors.distance(candidates[i].element.0, candidates[j].element.0);
    select_neighbors(candidates, max, between, into);
}

/// The neighbors that a new element chooses: Algorithm 4, and where it leaves places free, the nearest of the rest.
///
/// (On 200,000 SIFT descriptors that takes 4 % fewer evaluations to recall .95, 11 % fewer to .99, and 1.2 points of
/// recall more at ef 40; on text embeddings it makes no difference that stands out from chance.)
pub(crate) fn choose_among<V: Vectors>(
    vectors: &V,
    candidates: &[Candidate],
    max: usize,
) -> Vec<Candidate> {
    let mut chosen = Vec::with_capacity(max);
    select_among(vectors, candidates, max, &mut chosen);
    fill_with_nearest(candidates, max, &mut chosen);
    chosen
}
