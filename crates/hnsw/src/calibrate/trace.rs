//! Traces of searches for the neighbors of one element, or of a query.

use super::replay::{Needs, Replay};
use super::without::Without;
use super::{FIRST, NEIGHBORS, RANKS};
use crate::search::Few;
use crate::{Candidate, Compare, ElementId, Search, Store};

/// Estimated distances of the search from the entry point, at most.
const OF_SEARCH: u64 = 10_000;

/// What searches for the neighbors of one element, or of a query, need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace {
    /// `None` with fewer than `FIRST` neighbors.
    pub(super) first: Option<Needs>,
    pub(super) later: [[f32; 5]; RANKS.len()],
    pub(super) neighbors: usize,
    /// The neighbors that came in by the second half of the distances by which they were found; `None` where they were known.
    pub(super) late: Option<usize>,
    pub(super) evaluations: u64,
}

/// Traces searches, one after the other.
#[derive(Default)]
pub struct Tracer {
    search: Search,
    /// For each expanded candidate its distance, and the number of elements found by then.
    steps: Vec<(f32, usize)>,
    found: Vec<Candidate>,
    neighbors: Vec<Candidate>,
}

impl Tracer {
    /// The maximum bytes of the last trace.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.search.memory() + (self.found.len() + self.neighbors.len()) * size_of::<Candidate>()
    }

    /// Traces the search for the nearest `count` elements to an element, `FIRST` or `NEIGHBORS`, as if it were no element; `query` is
    /// made from its code, `unit` is as for `Slack`, `distances` are those of `Calibrator::distances`. `None` if there is not enough memory.
    pub fn trace<S: Compare>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        (own, count): (ElementId, usize),
        distances: u64,
    ) -> Option<Trace> {
        let store = &mut Without::new(store, own);
        let late = self.find_neighbors(store, query, (own, count), distances);
        let evaluations = self.search.counters().evaluations;
        if self.search.is_out_of_memory() {
            return None;
        }
        let trace = self.search_for_neighbors(store, query, unit, count)?;
        Some(Trace {
            late: Some(late),
            evaluations: trace.evaluations + evaluations,
            ..trace
        })
    }

    /// As `trace`, for a query that is no element: `nearest` are the elements nearest to it by their estimated distances.
    pub fn trace_query<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        nearest: &[Candidate],
    ) -> Option<Trace> {
        self.neighbors.clear();
        self.neighbors.extend_from_slice(nearest);
        self.search_for_neighbors(store, query, unit, NEIGHBORS)
    }

    /// The neighbors as far as they are found from the element itself, by so many distances: no wrong part of the graph hides
    /// them. Returns how many of them came in by the second half.
    fn find_neighbors<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        (own, count): (ElementId, usize),
        distances: u64,
    ) -> usize {
        let mut nearest = Few::of(count);
        let (mut estimated, mut early) = (0, None);
        self.search
            .trace(store, query, Some(own), distances, |_, more| {
                if early.is_none() && 2 * estimated >= distances {
                    early = Some(nearest.nearest().to_vec());
                }
                estimated += more.len() as u64;
                for &found in more.iter().filter(|found| found.live) {
                    nearest.add(found);
                }
                true
            });
        self.neighbors.clear();
        self.neighbors.extend_from_slice(nearest.nearest());
        let is_late = |found: &&Candidate| {
            early
                .as_ref()
                .is_some_and(|early| early.binary_search(found).is_err())
        };
        self.neighbors.iter().filter(is_late).count()
    }

    /// Searches for the neighbors, which may become nearer ones by what it finds.
    fn search_for_neighbors<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        count: usize,
    ) -> Option<Trace> {
        let (steps, found) = (&mut self.steps, &mut self.found);
        steps.clear();
        found.clear();
        let (neighbors, mut missing) = (&self.neighbors, self.neighbors.len());
        self.search
            .trace(store, query, None, OF_SEARCH, |at, more| {
                let neighbors = more.iter().filter(|found| is_among(neighbors, found));
                missing -= neighbors.count();
                found.extend(more.iter().filter(|found| found.live));
                steps.push((at, found.len()));
                missing > 0
            });
        if self.search.is_out_of_memory() {
            return None;
        }
        self.neighbors.extend_from_slice(found);
        nearest_of(&mut self.neighbors, count);
        let replay = self.replay(unit);
        Some(Trace {
            first: (self.neighbors.len() >= FIRST).then(|| replay.first()),
            later: replay.later(),
            neighbors: self.neighbors.len(),
            late: None,
            evaluations: self.search.counters().evaluations,
        })
    }

    /// Replays the search: before the neighbor of a rank is found, the row handed out in its place is the nearest of this rank
    /// among those found, and the search must not end for it.
    fn replay(&self, unit: Option<f32>) -> Replay {
        let mut replay = Replay::new(unit, self.neighbors.len().max(FIRST));
        let mut from = 0;
        for &(expanded, to) in &self.steps {
            replay.expand(expanded);
            for found in &self.found[from..to] {
                replay.find(found, &self.neighbors);
            }
            from = to;
        }
        replay
    }
}

/// True if an element is one of the neighbors, which are sorted.
fn is_among(neighbors: &[Candidate], found: &Candidate) -> bool {
    neighbors.last().is_some_and(|last| found <= last) && neighbors.binary_search(found).is_ok()
}

/// Keeps the nearest `count` elements, nearest first, each once.
fn nearest_of(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.sort_unstable();
    candidates.dedup();
    candidates.truncate(count);
}
