//! Distances between the elements of a graph in memory.

use crate::select::{Room, least_kept, select_neighbors};
use crate::{Candidate, ElementId};
use quantize::{CodeMetric, CodeSet};

/// The vectors of a build: element `i` has vector `i`.
pub trait Vectors: Sync {
    /// The number of vectors.
    fn len(&self) -> usize;

    /// True if there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A vector prepared for many distances.
    type Base<'v>
    where
        Self: 'v;

    /// Prepares a vector for many distances.
    fn base(&self, vector: u32) -> Self::Base<'_>;

    /// The distance between two vectors, symmetric except for rounding.
    fn distance(&self, base: &Self::Base<'_>, vector: u32) -> f32;

    /// Half the squared length of a vector where distances are negative inner products, otherwise 0. Two such distances
    /// to one vector compare as squared L2 distances do once each has this of its base added.
    fn half_square(&self, _vector: u32) -> f32 {
        0.0
    }

    /// False for a vector that is gone: it has no distances.
    fn holds(&self, _vector: u32) -> bool {
        true
    }

    /// Prefetches a vector.
    fn prefetch(&self, _vector: u32) {}
}

impl<V: Vectors> Vectors for &V {
    type Base<'v>
        = V::Base<'v>
    where
        Self: 'v;

    fn len(&self) -> usize {
        V::len(self)
    }

    fn base(&self, vector: u32) -> V::Base<'_> {
        V::base(self, vector)
    }

    fn distance(&self, base: &V::Base<'_>, vector: u32) -> f32 {
        V::distance(self, base, vector)
    }

    fn half_square(&self, vector: u32) -> f32 {
        V::half_square(self, vector)
    }

    fn holds(&self, vector: u32) -> bool {
        V::holds(self, vector)
    }

    fn prefetch(&self, vector: u32) {
        V::prefetch(self, vector);
    }
}

impl Vectors for CodeSet {
    fn len(&self) -> usize {
        CodeSet::len(self)
    }

    type Base<'v> = u32;

    #[inline]
    fn base(&self, vector: u32) -> u32 {
        vector
    }

    #[inline]
    fn distance(&self, base: &u32, vector: u32) -> f32 {
        CodeSet::distance(self, *base, vector)
    }

    fn half_square(&self, vector: u32) -> f32 {
        half_square(self.metric(), || CodeSet::distance(self, vector, vector))
    }

    #[inline]
    fn prefetch(&self, vector: u32) {
        CodeSet::prefetch(self, vector);
    }
}

/// Half the squared length of a vector by its distance to itself, where that tells it; otherwise 0.
pub fn half_square(metric: CodeMetric, to_itself: impl FnOnce() -> f32) -> f32 {
    match metric {
        CodeMetric::InnerProduct => to_itself() / -2.0,
        CodeMetric::L2 | CodeMetric::L1 => 0.0,
    }
}

/// A query against a graph in memory.
pub trait Query {
    /// Distance to an element.
    fn distance(&self, element: u32) -> f32;

    /// Prefetches the vector of an element.
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
pub struct ElementQuery<'v, V: Vectors> {
    vectors: &'v V,
    base: V::Base<'v>,
}

impl<V: Vectors> Query for ElementQuery<'_, V> {
    #[inline]
    fn distance(&self, element: u32) -> f32 {
        self.vectors.distance(&self.base, element)
    }

    #[inline]
    fn prefetch(&self, element: u32) {
        self.vectors.prefetch(element);
    }
}

impl<'v, V: Vectors> ElementQuery<'v, V> {
    /// An element of these vectors as a query.
    pub fn new(vectors: &'v V, element: u32) -> Self {
        Self {
            vectors,
            base: vectors.base(element),
        }
    }

    /// An element with its distance. All elements of a build are live, and their distances count as exact.
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

/// The neighbors of a new element of this vector: see [`select_neighbors`]. `candidates` are sorted nearest first, as is the result.
pub fn choose<V: Vectors>(
    vectors: &V,
    base: u32,
    candidates: &[Candidate],
    max: usize,
    into: &mut Vec<Candidate>,
) {
    select(vectors, base, candidates, Room { max, least: max }, into);
}

/// The neighbors that a list of this vector keeps when it runs over its capacity: see [`choose`].
pub(crate) fn cut<V: Vectors>(
    vectors: &V,
    base: u32,
    candidates: &[Candidate],
    capacity: usize,
    into: &mut Vec<Candidate>,
) {
    let least = least_kept(capacity);
    let max = capacity;
    select(vectors, base, candidates, Room { max, least }, into);
}

fn select<V: Vectors>(
    vectors: &V,
    base: u32,
    candidates: &[Candidate],
    room: Room,
    into: &mut Vec<Candidate>,
) {
    let between = between(vectors, base, candidates);
    select_neighbors(candidates, room, between, into);
}

/// The distance between a kept candidate and another, by position, to compare with that between the other and the base.
///
/// By inner product a long vector is nearer to all others than they are to each other, and would stand in the way of
/// all. So there, whether a candidate is nearer to a neighbor than to the base is asked of their L2 distances.
pub(crate) fn between<V: Vectors>(
    vectors: &V,
    base: u32,
    candidates: &[Candidate],
) -> impl FnMut(usize, usize) -> f32 {
    let mut bases: Vec<Option<(V::Base<'_>, f32)>> = candidates.iter().map(|_| None).collect();
    let half_square = vectors.half_square(base);
    move |kept, other| {
        let (base, longer) = bases[kept].get_or_insert_with(|| {
            let kept = candidates[kept].element.0;
            (vectors.base(kept), vectors.half_square(kept) - half_square)
        });
        vectors.distance(base, candidates[other].element.0) + *longer
    }
}
