//! Limits a search of the graph to some elements, and its evaluations.

use std::cell::Cell;

use hnsw::{Candidate, ElementSet};

/// Evaluations before a search is judged by the share of elements found.
const PATIENCE: f64 = 400.0;
/// The evaluations that the share known beforehand counts for, against those made.
const PRIOR: f64 = 200.0;
/// A search is given up if it is going to exceed its budget by this factor.
const EXCESS: f64 = 1.2;

/// A gate: a search counts and finds only the elements of a set, and goes through all others.
///
/// The search ends early once it has spent its budget, or is going to, by the share of elements found so far.
pub(crate) struct Gate<'a> {
    elements: &'a ElementSet,
    /// The share of all rows in the set.
    share: f64,
    /// The number of elements wanted.
    wanted: f64,
    /// Evaluations allowed.
    budget: f64,
    evaluations: Cell<f64>,
    found: Cell<f64>,
}

impl<'a> Gate<'a> {
    #[expect(clippy::cast_precision_loss, reason = "a number of elements")]
    pub(crate) fn new(elements: &'a ElementSet, share: f64, wanted: usize, budget: f64) -> Self {
        Self {
            elements,
            share,
            wanted: wanted as f64,
            budget,
            evaluations: Cell::new(0.0),
            found: Cell::new(0.0),
        }
    }

    /// Closes the gate to candidates outside the set, and counts all.
    pub(super) fn pass(&self, candidates: &mut [Candidate]) {
        let mut found = 0.0;
        for candidate in &mut *candidates {
            candidate.live &= self.elements.contains(candidate.element);
            found += f64::from(u8::from(candidate.live));
        }
        #[expect(clippy::cast_precision_loss, reason = "some candidates")]
        let evaluations = candidates.len() as f64;
        self.evaluations.set(self.evaluations.get() + evaluations);
        self.found.set(self.found.get() + found);
    }

    /// True if the search is to be given up.
    pub(crate) fn is_shut(&self) -> bool {
        let (spent, found) = (self.evaluations.get(), self.found.get());
        if spent > self.budget {
            return true;
        }
        if spent < PATIENCE || found >= self.wanted {
            return false;
        }
        let share = (found + PRIOR * self.share) / (spent + PRIOR);
        (self.wanted - found) > EXCESS * self.budget * share
    }
}
