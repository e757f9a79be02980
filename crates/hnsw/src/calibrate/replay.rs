//! A search traced without an end, replayed to see what it takes to find each neighbor in time.

use super::{COUNTED, FIRST, LIMITS, LIMITS_OF_UNITS, NEAR, RANKS};
use crate::{Candidate, Slack};

/// The least shares, and the least `ef`s, with which a search finds each of an element's first neighbors in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Needs {
    /// By the distance of the row `NEAR`: for the row handed out first.
    pub(super) near: [f32; FIRST],
    /// By the distance of the row `FIRST`.
    pub(super) shares: [f32; FIRST],
    pub(super) efs: [u16; FIRST],
}

/// A search as far as it is replayed.
pub(super) struct Replay {
    unit: Option<f32>,
    limits: (f32, f32),
    /// The distances of the nearest found, nearest first, and their number at most.
    nearest: Vec<f32>,
    most: usize,
    /// The distances of the elements expanded, nearest first.
    expanded: Vec<f32>,
    /// The shares and the `ef` that the search has needed to come so far.
    least_near: f32,
    least: f32,
    ef: u16,
    least_later: [[f32; 5]; RANKS.len()],
    /// The shares with which it found the neighbors.
    first: [Option<(f32, f32, u16)>; FIRST],
    later: [[Option<f32>; 5]; RANKS.len()],
}

impl Replay {
    pub(super) fn new(unit: Option<f32>, most: usize) -> Self {
        let limits = unit.map_or(LIMITS, |_| LIMITS_OF_UNITS);
        Self {
            unit,
            limits,
            nearest: Vec::with_capacity(most + 1),
            most,
            expanded: Vec::new(),
            least_near: limits.0,
            least: limits.0,
            ef: 1,
            least_later: [[limits.0; 5]; RANKS.len()],
            first: [None; FIRST],
            later: [[None; 5]; RANKS.len()],
        }
    }

    /// Expands an element at a distance: the search did not end before. Minus infinity stands for the descent.
    pub(super) fn expand(&mut self, distance: f32) {
        if distance == f32::NEG_INFINITY {
            return;
        }
        let unit = self.unit;
        let least = |least: &mut f32, nearest: Option<&f32>| {
            if let Some(&nearest) = nearest {
                *least = least.max(Slack::share_of(nearest, distance, unit));
            }
        };
        least(&mut self.least_near, self.nearest.get(NEAR - 1));
        least(&mut self.least, self.nearest.get(FIRST - 1));
        let later = self.least_later.as_flattened_mut();
        for (share, &rank) in later.iter_mut().zip(COUNTED.as_flattened()) {
            least(share, self.nearest.get(rank - 1));
        }
        // All found elements nearer than the nearest candidate are expanded.
        let nearer = self.expanded.partition_point(|&other| other < distance);
        self.expanded.insert(nearer, distance);
        let nearer = u16::try_from(nearer).unwrap_or(u16::MAX);
        self.ef = self.ef.max(nearer.saturating_add(1));
    }

    pub(super) fn find(&mut self, found: &Candidate, neighbors: &[Candidate]) {
        // Most elements are none of the nearest, and the neighbors are the nearest of all.
        let last = self.nearest.get(self.most - 1);
        if last.is_some_and(|&last| last < found.distance) {
            return;
        }
        let at = self
            .nearest
            .partition_point(|&distance| distance < found.distance);
        self.nearest.truncate(self.most - 1);
        if at <= self.nearest.len() {
            self.nearest.insert(at, found.distance);
        }
        let Ok(at) = neighbors.binary_search(found) else {
            return;
        };
        if at < FIRST {
            self.first[at] = Some((self.least_near, self.least, self.ef));
        }
        let counted = COUNTED.as_flattened().iter();
        if let Some(at) = counted.into_iter().position(|&counted| counted == at + 1) {
            self.later.as_flattened_mut()[at] = Some(self.least_later.as_flattened()[at]);
        }
    }

    /// The needs of the first neighbors. One not found takes more than the whole trace.
    pub(super) fn first(&self) -> Needs {
        let all = (self.least_near, self.least, self.ef);
        let needs = self.first.map(|found| found.unwrap_or(all));
        let within = |share: f32| share.clamp(self.limits.0, self.limits.1);
        Needs {
            near: needs.map(|(near, ..)| within(near)),
            shares: needs.map(|(_, share, _)| within(share)),
            efs: needs.map(|(.., ef)| ef),
        }
    }

    pub(super) fn later(&self) -> [[f32; 5]; RANKS.len()] {
        let mut later = self.least_later;
        for (share, found) in later
            .as_flattened_mut()
            .iter_mut()
            .zip(self.later.as_flattened())
        {
            *share = found.unwrap_or(*share).clamp(self.limits.0, self.limits.1);
        }
        later
    }
}
