//! A search that ends by distance instead of by a number of elements (arXiv 2505.15636): when the nearest candidate left is
//! farther than the distance that matters by more than a slack. An easy query ends early, a hard one goes on.

use super::{Counters, Search, SearchOptions};
use crate::{Candidate, ElementId, FIRST, Store};
use std::cmp::Reverse;

/// The distance that a search goes on beyond the one that matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slack {
    /// The slack in units. A negative one ends a search before the distance that matters itself.
    pub share: f32,
    /// The unit: `None` for the distance that matters, where distances have a least value of 0. Negative inner products have
    /// none; their unit is the length of the query.
    pub unit: Option<f32>,
    /// Elements count as found if their estimate less this many half-widths of its error is within the reach.
    pub bound_scale: f32,
}

/// The distance that matters to the end of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Matters {
    /// The distance of a row about to be handed out.
    Row(f32),
    /// The distance of the element of this rank among all found since the start. Ranks up to `FIRST` may follow each other.
    First(usize),
    /// The distance of the element of this rank among those found and not taken yet.
    Rank(usize),
}

impl Matters {
    fn distance(self, few: &Few) -> f32 {
        match self {
            Self::Row(distance) => distance,
            Self::First(rank) | Self::Rank(rank) => few.distance(rank),
        }
    }

    /// The distance within which elements count as found, whatever the reach: with a negative slack it is nearer than what
    /// matters, and the first `FIRST` belong to the found though the end is decided by one of a lower rank.
    fn found_within(self, few: &Few) -> f32 {
        match self {
            Self::First(_) => few.distance(few.most),
            _ => self.distance(few),
        }
    }
}

impl Slack {
    /// The distance up to which candidates are expanded for a distance that matters.
    #[must_use]
    pub fn reach(&self, distance: f32) -> f32 {
        let unit = self.unit.unwrap_or(distance);
        // An infinite share of nothing is nothing, and beyond infinity is nothing.
        if unit > 0.0 && distance.is_finite() {
            distance + self.share * unit
        } else {
            distance
        }
    }

    /// The distance whose reach is `reach`: no search ended before it.
    #[must_use]
    pub fn distance_of(&self, reach: f32) -> f32 {
        match self.unit {
            Some(unit) if unit > 0.0 => reach - self.share * unit,
            Some(_) => reach,
            None if reach > 0.0 => reach / (1.0 + self.share),
            None => reach,
        }
    }

    /// The share with which the reach for `distance` is `reach`; infinite if there is none.
    #[must_use]
    pub fn share_of(distance: f32, reach: f32, unit: Option<f32>) -> f32 {
        let unit = unit.unwrap_or(distance);
        if unit > 0.0 {
            (reach - distance) / unit
        } else if reach <= distance {
            0.0
        } else {
            f32::INFINITY
        }
    }

    fn lower_bound(&self, candidate: &Candidate) -> f32 {
        candidate.distance - self.bound_scale * candidate.error
    }
}

/// Limits neither the elements found nor those set aside.
const UNLIMITED: SearchOptions = SearchOptions {
    ef: usize::MAX,
    keep_discarded: true,
};

/// The nearest elements found, up to a number, nearest first: the distance of one of them decides about the end.
#[derive(Default)]
pub(crate) struct Few {
    most: usize,
    nearest: Vec<Candidate>,
}

impl Few {
    /// No elements, and room for `most` of them.
    pub(crate) fn of(most: usize) -> Self {
        Self {
            most,
            nearest: Vec::with_capacity(most),
        }
    }

    /// The elements, nearest first.
    pub(crate) fn nearest(&self) -> &[Candidate] {
        &self.nearest
    }

    /// Empties the list; from now on it keeps at most `most` elements.
    fn restart(&mut self, most: usize) {
        self.most = most;
        self.nearest.clear();
    }

    /// The distance of the element of a rank; infinite as long as fewer elements are found.
    fn distance(&self, rank: usize) -> f32 {
        let at = rank.checked_sub(1).and_then(|at| self.nearest.get(at));
        at.map_or(f32::INFINITY, |candidate| candidate.distance)
    }

    /// Adds an element if it is one of the nearest.
    pub(crate) fn add(&mut self, candidate: Candidate) -> bool {
        let is_full = self.nearest.len() >= self.most;
        if is_full && self.nearest.last().is_none_or(|last| candidate >= *last) {
            return false;
        }
        if is_full {
            self.nearest.pop();
        }
        let at = self.nearest.partition_point(|other| *other < candidate);
        self.nearest.insert(at, candidate);
        true
    }
}

impl Search {
    /// Algorithm 5 with `extend` in place of Algorithm 2. Discards the state of an earlier search.
    pub fn start_within<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        slack: &Slack,
        matters: Matters,
        most: u64,
    ) -> f32 {
        self.counters = Counters::default();
        let descent = self.descend(store, query, 0);
        self.clear();
        self.few.restart(0);
        let Some(descent) = descent else {
            return f32::INFINITY;
        };
        // All elements are reachable from the entry point, but not from every element.
        self.enter(&[descent.nearest, descent.entry_point], &UNLIMITED);
        self.extend(store, query, slack, matters, most)
    }

    /// Expands candidates, nearest first, until the nearest one left is beyond the slack's reach for the distance that
    /// matters, or `most` distances have been estimated since the start. Returns the distance up to which no candidate is
    /// left: infinite once there is none at all.
    ///
    /// Elements beyond the reach and the distance, errors included, are set aside until a later call reaches them. Elements found before and
    /// not taken stay among the found.
    pub fn extend<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        slack: &Slack,
        matters: Matters,
        most: u64,
    ) -> f32 {
        let mut few = self.few(matters);
        let mut reach = slack.reach(matters.distance(&few));
        let mut within = reach.max(matters.found_within(&few));
        self.take_up(within, slack);
        let mut end = f32::INFINITY;
        while let Some(&Reverse(candidate)) = self.candidates.peek() {
            if candidate.distance > reach {
                end = candidate.distance.next_down();
                break;
            }
            if self.counters.evaluations >= most || self.out_of_memory {
                end = candidate.distance;
                break;
            }
            self.candidates.pop();
            self.expand(store, query, candidate.element);
            for i in 0..self.measured.len() {
                let candidate = self.measured[i];
                // The first ones are kept while others matter, too.
                if candidate.live && few.add(candidate) {
                    reach = slack.reach(matters.distance(&few));
                    within = reach.max(matters.found_within(&few));
                }
                if slack.lower_bound(&candidate) > within {
                    self.discard(candidate, &UNLIMITED);
                } else {
                    self.admit(candidate, &UNLIMITED);
                }
            }
        }
        self.few = few;
        self.found_within = if self.has_aside() {
            within
        } else {
            f32::INFINITY
        };
        end.min(self.found_within)
    }

    /// The distance up to which no element is set aside, after the last call of `extend`. A row beyond it may have nearer ones
    /// there, however far the search has come.
    #[must_use]
    pub fn found_within(&self) -> f32 {
        self.found_within
    }

    /// The distance that matters for `Matters::First` of a rank, after a call with `First`; infinite as long as fewer are found.
    #[must_use]
    pub fn first_distance(&self, rank: usize) -> f32 {
        self.few.distance(rank)
    }

    /// True if the search has candidates to go on from.
    #[must_use]
    pub fn can_extend(&self) -> bool {
        !self.candidates.is_empty() || self.has_aside()
    }

    /// Expands candidates, nearest first, until `most` distances have been estimated: from an element, or else from the entry
    /// point. Calls `step` with the distance of each candidate expanded and with the elements found by it, until it returns
    /// false.
    pub(crate) fn trace<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        from: Option<ElementId>,
        most: u64,
        mut step: impl FnMut(f32, &[Candidate]) -> bool,
    ) {
        self.counters = Counters::default();
        let start = match from {
            Some(element) => element,
            None => match self.descend(store, query, 0) {
                Some(descent) => descent.nearest.element,
                None => return,
            },
        };
        self.clear();
        self.measured.clear();
        self.visited.insert(start);
        store.estimate(query, &[start], &mut self.measured);
        if self.measured.is_empty() {
            self.expand(store, query, start);
        }
        let mut expanded = f32::NEG_INFINITY;
        while step(expanded, &self.measured) {
            let found = self.measured.iter().copied().map(Reverse);
            self.candidates.extend(found);
            if self.counters.evaluations >= most || self.out_of_memory {
                return;
            }
            let Some(Reverse(candidate)) = self.candidates.pop() else {
                return;
            };
            expanded = candidate.distance;
            self.expand(store, query, candidate.element);
        }
    }

    fn expand<S: Store>(&mut self, store: &mut S, query: &S::Query, element: ElementId) {
        if let Some(Reverse(next)) = self.candidates.peek() {
            store.prepare(next.element);
        }
        self.estimate_neighbors(store, query, element, 0);
    }

    fn has_aside(&self) -> bool {
        !self.aside.is_empty() || !self.discarded.is_empty()
    }

    /// The nearest elements by whose last the end is decided. Starts anew from the elements found and not taken, unless they
    /// are the first ones of the search; if none is left, takes up elements set aside until one is live.
    fn few(&mut self, matters: Matters) -> Few {
        let mut few = std::mem::take(&mut self.few);
        let most = match matters {
            Matters::Row(_) => return few,
            Matters::First(rank) if rank.max(FIRST) == few.most => return few,
            Matters::First(rank) => rank.max(FIRST),
            Matters::Rank(rank) => rank,
        };
        while self.nearest.is_empty() {
            match self.nearest_discarded() {
                Some(candidate) if self.reserve(1) => self.admit(candidate, &UNLIMITED),
                _ => break,
            }
        }
        few.restart(most);
        for &candidate in &self.nearest {
            few.add(candidate);
        }
        few
    }

    /// Takes up the elements set aside whose lower bounds may be within the reach.
    fn take_up(&mut self, reach: f32, slack: &Slack) {
        let errors = self.aside.iter().map(|Reverse(aside)| aside.error);
        self.widest = errors.fold(self.widest, f32::max);
        let reach = reach + slack.bound_scale * self.widest;
        while let Some(candidate) = self.nearest_discarded() {
            if candidate.distance > reach || !self.reserve(1) {
                self.discard(candidate, &UNLIMITED);
                break;
            }
            self.admit(candidate, &UNLIMITED);
        }
    }
}
