//! Limits a search of the graph to some elements, and its evaluations.

use std::cell::Cell;

use hnsw::{Candidate, ElementSet};

/// Evaluations before a search is judged by the share of elements found: the upper layers and the way down take some two hundred,
/// far from the query.
const PATIENCE: f64 = 250.0;
/// The evaluations that the share known beforehand counts for, against those made.
const PRIOR: f64 = 200.0;
/// A search is given up if it is going to exceed its budget by this factor.
const EXCESS: f64 = 1.2;

/// A gate: a search counts and finds only the elements of a set, and goes through all others.
///
/// The search ends early once it has spent its budget, or is going to, by the share of elements found so far.
pub(crate) struct Gate<'a> {
    /// `None` if the set does not fit in memory: all elements pass.
    elements: Option<&'a ElementSet>,
    /// The share of all rows in the set.
    share: f64,
    /// Elements of the set that the search is going to evaluate.
    wanted: f64,
    /// Evaluations allowed.
    budget: f64,
    evaluations: Cell<f64>,
    found: Cell<f64>,
}

impl<'a> Gate<'a> {
    pub(crate) fn new(
        elements: Option<&'a ElementSet>,
        share: f64,
        wanted: f64,
        budget: f64,
    ) -> Self {
        Self {
            elements,
            share,
            wanted,
            budget,
            evaluations: Cell::new(0.0),
            found: Cell::new(0.0),
        }
    }

    /// Closes the gate to candidates outside the set, and counts all.
    pub(super) fn pass(&self, candidates: &mut [Candidate]) {
        #[expect(clippy::cast_precision_loss, reason = "some candidates")]
        let evaluations = candidates.len() as f64;
        self.evaluations.set(self.evaluations.get() + evaluations);
        let Some(elements) = self.elements else {
            return;
        };
        let mut found = 0.0;
        for candidate in candidates {
            candidate.live &= elements.contains(candidate.element);
            found += f64::from(u8::from(candidate.live));
        }
        self.found.set(self.found.get() + found);
    }

    /// Elements of the set evaluated so far.
    pub(crate) fn found(&self) -> f64 {
        self.found.get()
    }

    /// True if the search is to be given up.
    pub(crate) fn is_shut(&self) -> bool {
        let (spent, found) = (self.evaluations.get(), self.found.get());
        if spent > self.budget {
            return true;
        }
        if self.elements.is_none() || spent < PATIENCE || found >= self.wanted {
            return false;
        }
        let share = (found + PRIOR * self.share) / (spent + PRIOR);
        (self.wanted - found) > EXCESS * self.budget * share
    }
}
