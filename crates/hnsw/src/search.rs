//! Algorithms 2 and 5 of the HNSW paper, and the resumable scan.

mod slack;

use crate::visited::Visited;
use crate::{Candidate, ElementId, Level, Store, has_all_elements};
pub(crate) use slack::Few;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub use slack::{Matters, Slack};

/// The extent of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchOptions {
    /// The number of live elements to find: the size of the dynamic list of nearest neighbors.
    pub ef: usize,
    /// Keeps candidates that are not among the nearest, so that the search can resume from them.
    pub keep_discarded: bool,
}

/// The result of a greedy descent.
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// The start of the descent.
    pub entry_point: Candidate,
    /// The level of the entry point.
    pub top: Level,
    /// The end of the descent: the nearest element met.
    pub nearest: Candidate,
}

/// The cost of a search since its last `start`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The number of estimated distances.
    pub evaluations: u64,
    /// The number of elements with their neighbors read.
    pub expansions: u64,
}

/// A search and its scratch memory, which later searches reuse.
///
/// Tombstones are traversed: they neither count towards `ef` nor are they found.
pub struct Search {
    visited: Visited,
    /// Estimated, not yet expanded; nearest on top.
    candidates: BinaryHeap<Reverse<Candidate>>,
    /// The `ef` nearest live elements so far; furthest on top.
    nearest: BinaryHeap<Candidate>,
    /// Estimated and not among the nearest; nearest on top. Filled for iterative scans only.
    discarded: BinaryHeap<Reverse<Candidate>>,
    /// Candidates not yet pushed to `discarded`: most searches end before their order matters.
    aside: Vec<Reverse<Candidate>>,
    /// The widest error of an element set aside, for `extend`.
    widest: f32,
    /// The nearest of the found, for `extend`.
    few: Few,
    /// The distance up to which no element is set aside, for `extend`.
    found_within: f32,
    /// The layer of the last `start`.
    level: Level,
    /// Unvisited neighbors of the expanded element, and their distances.
    neighbors: Vec<ElementId>,
    measured: Vec<Candidate>,
    counters: Counters,
    /// Set where memory for an expansion could not be had: the search has ended there.
    out_of_memory: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self::new()
    }
}

impl Search {
    /// An idle search.
    #[must_use]
    pub fn new() -> Self {
        Self {
            visited: Visited::new(),
            candidates: BinaryHeap::new(),
            nearest: BinaryHeap::new(),
            discarded: BinaryHeap::new(),
            aside: Vec::new(),
            widest: 0.0,
            few: Few::default(),
            found_within: 0.0,
            level: 0,
            neighbors: Vec::new(),
            measured: Vec::new(),
            counters: Counters::default(),
            out_of_memory: false,
        }
    }

    /// Algorithm 5: descends greedily to layer 1, then searches layer 0. Discards the state of an earlier search.
    pub fn start<S: Store>(&mut self, store: &mut S, query: &S::Query, options: &SearchOptions) {
        self.counters = Counters::default();
        let descent = self.descend(store, query, 0);
        self.clear();
        let Some(descent) = descent else {
            return;
        };
        self.enter(&[descent.nearest], options);
        if options.keep_discarded {
            // All elements are reachable from the entry point, but not from every element.
            self.enter(&[descent.entry_point], options);
        }
        self.search_layer(store, query, 0, options);
    }

    /// Algorithm 2 on a layer, from the given elements. Discards the state of an earlier search.
    pub fn start_from<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        (entries, level): (&[ElementId], Level),
        options: &SearchOptions,
    ) {
        self.counters = Counters::default();
        self.clear();
        self.level = level;
        self.measured.clear();
        store.estimate(query, entries, &mut self.measured);
        self.counters.evaluations = self.measured.len() as u64;
        if !self.reserve(self.measured.len()) {
            self.out_of_memory = true;
            return;
        }
        let entries = std::mem::take(&mut self.measured);
        self.enter(&entries, options);
        self.measured = entries;
        self.search_layer(store, query, level, options);
    }

    /// Resumes from the nearest discarded candidates, up to `ef` of them; false if nothing is left.
    ///
    /// Drops elements found by the last `start` or `resume` and not taken.
    pub fn resume<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        options: &SearchOptions,
    ) -> bool {
        self.nearest.clear();
        // A remaining live candidate is among the discarded too; a tombstone may be only here.
        self.candidates.retain(|Reverse(candidate)| !candidate.live);
        while self.nearest.len() < options.ef {
            let Some(candidate) = self.nearest_discarded() else {
                break;
            };
            if !self.reserve(1) {
                self.out_of_memory = true;
                break;
            }
            self.admit(candidate, options);
        }
        self.search_layer(store, query, self.level, options);
        !self.nearest.is_empty()
    }

    /// Moves the live candidates found by the last `start` or `resume` into `into`, nearest first.
    /// Each element is found once per search.
    pub fn take_nearest(&mut self, into: &mut Vec<Candidate>) {
        into.clear();
        into.extend(self.nearest.drain());
        into.sort_unstable();
    }

    /// Returns one live discarded candidate, nearest first (for scans that a limit forbids to resume).
    pub fn pop_discarded(&mut self) -> Option<Candidate> {
        std::iter::from_fn(|| self.nearest_discarded()).find(|candidate| candidate.live)
    }

    fn nearest_discarded(&mut self) -> Option<Candidate> {
        if self.discarded.try_reserve(self.aside.len()).is_err() {
            self.out_of_memory = true;
            return None;
        }
        self.discarded.extend(self.aside.drain(..));
        self.discarded.pop().map(|Reverse(candidate)| candidate)
    }

    /// Algorithm 2 from `entry`, for inserts and repairs: the `ef` nearest live elements of a layer, nearest first.
    pub fn layer<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        entry: &[Candidate],
        level: Level,
        ef: usize,
        into: &mut Vec<Candidate>,
    ) {
        let options = SearchOptions {
            ef,
            keep_discarded: false,
        };
        self.clear();
        self.enter(entry, &options);
        self.search_layer(store, query, level, &options);
        self.take_nearest(into);
    }

    /// The greedy part of Algorithms 1 and 5: from the entry point down to the layer above `level`, moving to the nearest
    /// neighbor. `None` in an empty graph.
    pub fn descend<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        level: Level,
    ) -> Option<Descent> {
        let (entry_point, top) = self.estimate_entry_point(store, query)?;
        let mut nearest = entry_point;
        // Kept from layer to layer: elements visited above are no nearer than the nearest.
        self.visited.clear();
        self.visited.insert(nearest.element);
        for layer in (level + 1..=top).rev() {
            loop {
                self.estimate_neighbors(store, query, nearest.element, layer);
                match self.measured.iter().min() {
                    Some(&candidate) if candidate < nearest => nearest = candidate,
                    _ => break,
                }
            }
        }
        Some(Descent {
            entry_point,
            top,
            nearest,
        })
    }

    /// The maximum bytes for the state since the last `start`, as tables grow by doubling. Memory of an earlier search does
    /// not count: it would make later ones stop early.
    #[must_use]
    pub fn memory(&self) -> usize {
        let discarded = self.discarded.len() + self.aside.len();
        let candidates = self.candidates.len() + self.nearest.len() + discarded;
        self.visited.memory() + 2 * candidates * size_of::<Candidate>()
    }

    /// Allocated bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        let candidates = self.candidates.capacity()
            + self.nearest.capacity()
            + self.discarded.capacity()
            + self.aside.capacity()
            + self.measured.capacity();
        self.visited.capacity() + candidates * size_of::<Candidate>()
    }

    /// True if the search ended early since its last `start` for want of memory.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        self.out_of_memory
    }

    /// The number of elements found by the last `start` or `resume`, and of those set aside.
    #[must_use]
    pub fn found(&self) -> (usize, usize) {
        (self.nearest.len(), self.discarded.len() + self.aside.len())
    }

    /// The cost of the search since its last `start`.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Algorithm 2: expands the nearest candidate until all are further away than the `ef` nearest found.
    fn search_layer<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        level: Level,
        options: &SearchOptions,
    ) {
        while let Some(&Reverse(candidate)) = self.candidates.peek() {
            if self.is_beyond_nearest(&candidate, options.ef) || store.is_over() {
                break;
            }
            self.candidates.pop();
            if has_all_elements(level)
                && let Some(Reverse(next)) = self.candidates.peek()
            {
                store.prepare(next.element);
            }
            self.estimate_neighbors(store, query, candidate.element, level);
            if self.out_of_memory {
                break;
            }
            for i in 0..self.measured.len() {
                let candidate = self.measured[i];
                if self.is_beyond_nearest(&candidate, options.ef) {
                    self.discard(candidate, options);
                    continue;
                }
                self.admit(candidate, options);
            }
        }
    }

    #[inline]
    fn is_beyond_nearest(&self, candidate: &Candidate, ef: usize) -> bool {
        self.nearest.len() >= ef
            && self
                .nearest
                .peek()
                .is_none_or(|furthest| candidate > furthest)
    }

    /// Makes an element a candidate for expansion and, if it is live, for the result.
    #[inline]
    fn admit(&mut self, candidate: Candidate, options: &SearchOptions) {
        self.candidates.push(Reverse(candidate));
        if !candidate.live {
            return;
        }
        if self.nearest.len() < options.ef {
            self.nearest.push(candidate);
            return;
        }
        // Takes the place of the furthest: one way through the heap, not two.
        let mut left_out = candidate;
        if let Some(mut furthest) = self.nearest.peek_mut()
            && left_out < *furthest
        {
            std::mem::swap(&mut left_out, &mut *furthest);
        }
        self.discard(left_out, options);
    }

    #[inline]
    fn discard(&mut self, candidate: Candidate, options: &SearchOptions) {
        if options.keep_discarded {
            self.aside.push(Reverse(candidate));
        }
    }

    /// Estimates the distances of an element's unvisited neighbors in one batch, into `self.measured`.
    #[inline]
    fn estimate_neighbors<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        of: ElementId,
        level: Level,
    ) {
        self.neighbors.clear();
        self.measured.clear();
        store.neighbors(of, level, &mut self.neighbors);
        if !self.reserve(self.neighbors.len()) {
            self.out_of_memory = true;
            return;
        }
        self.visited.retain_new(&mut self.neighbors);
        if !self.neighbors.is_empty() {
            store.estimate(query, &self.neighbors, &mut self.measured);
        }
        self.counters.expansions += 1;
        self.counters.evaluations += self.measured.len() as u64;
    }

    /// Makes room for the elements that an expansion with this number of neighbors adds; false if there is no memory for it.
    #[inline]
    fn reserve(&mut self, neighbors: usize) -> bool {
        // An element that leaves the nearest goes to those set aside, besides the neighbor that takes its place.
        self.visited.reserve(neighbors)
            && self.candidates.try_reserve(neighbors).is_ok()
            && self.nearest.try_reserve(neighbors).is_ok()
            && self.aside.try_reserve(neighbors).is_ok()
    }

    /// The entry point with its distance. Reads the entry point again if it vanished, as vacuum may have moved it.
    fn estimate_entry_point<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
    ) -> Option<(Candidate, Level)> {
        let mut gone = None;
        loop {
            let (element, level) = store.entry_point()?;
            if gone == Some(element) {
                return None;
            }
            self.measured.clear();
            store.estimate(query, &[element], &mut self.measured);
            self.counters.evaluations += 1;
            if let Some(&candidate) = self.measured.first() {
                return Some((candidate, level));
            }
            gone = Some(element);
        }
    }

    fn clear(&mut self) {
        self.visited.clear();
        self.candidates.clear();
        self.nearest.clear();
        self.discarded.clear();
        self.aside.clear();
        self.widest = 0.0;
        self.level = 0;
        self.out_of_memory = false;
    }

    fn enter(&mut self, entry: &[Candidate], options: &SearchOptions) {
        for &candidate in entry {
            if self.visited.insert(candidate.element) {
                self.admit(candidate, options);
            }
        }
    }
}
