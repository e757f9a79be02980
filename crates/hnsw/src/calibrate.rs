//! Finds the slack of a target recall by tracing searches for a sample of elements.
//!
//! A search expands candidates nearest first, whatever its slack: the slack decides only where it ends. So one trace without
//! an end shows for each neighbor the least slack with which a search finds it before it hands out a farther row. The
//! quantiles of these are the slacks of the targets.

use crate::{Candidate, ElementId, Search, Slack, Store};

/// The targets: shares of the nearest rows to be found.
pub const TARGETS: [f64; 6] = [0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

/// The ranks of rows with slacks of their own. Rows before the first rank are handed out together, when the search has ended
/// for that rank: a slack for the nearest row alone would have to be wide, because the nearest is often much nearer.
pub const RANKS: [usize; 3] = [10, 32, 100];

/// The ranks counted for each of `RANKS`.
const COUNTED: [[usize; 5]; 3] = [
    [6, 8, 10, 12, 14],
    [24, 28, 32, 36, 40],
    [80, 85, 90, 95, 100],
];

/// The neighbors of a sample element that are traced.
pub const NEIGHBORS: usize = 100;

/// Estimated distances of the trace that finds an element's neighbors, starting at the element, and of the one that starts at
/// the entry point.
const OF_NEIGHBORS: u64 = 2000;
const OF_SEARCH: u64 = 4000;

/// Slacks beyond these are not believed.
const LIMITS: (f32, f32) = (-0.5, 8.0);

/// The slacks of an index, in shares (`Slack::share`): for each of `TARGETS` one for each of `RANKS`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The shares.
    pub shares: [[f32; RANKS.len()]; TARGETS.len()],
}

impl Calibration {
    /// No share is larger.
    pub const MOST: f32 = LIMITS.1;

    /// The share for a target and the rank of a row, counted from 1. Linear between the targets in the logarithm of the share
    /// of misses, and between the ranks in their logarithm. Targets below the first have its share.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "shares of f32")]
    pub fn share(&self, target: f64, rank: usize) -> f32 {
        let nines = |target: f64| -(1.0 - target).max(1e-9).ln();
        let of_target = |at: usize| f64::from(self.of_rank(at, rank));
        let last = TARGETS.len() - 1;
        let upper = TARGETS[1..last]
            .iter()
            .position(|&listed| target <= listed)
            .map_or(last, |at| at + 1);
        let [from, to] = [TARGETS[upper - 1], TARGETS[upper]].map(nines);
        let way = ((nines(target) - from) / (to - from)).max(0.0);
        let [from, to] = [of_target(upper - 1), of_target(upper)];
        (from + way * (to - from)) as f32
    }

    #[expect(clippy::cast_precision_loss, reason = "small ranks")]
    fn of_rank(&self, target: usize, rank: usize) -> f32 {
        let shares = &self.shares[target];
        let rank = rank.clamp(RANKS[0], RANKS[RANKS.len() - 1]);
        let upper = if rank <= RANKS[1] { 1 } else { 2 };
        let [from, to, at] = [RANKS[upper - 1], RANKS[upper], rank].map(|rank| (rank as f32).ln());
        let way = (at - from) / (to - from);
        shares[upper - 1] + way * (shares[upper] - shares[upper - 1])
    }
}

/// Traces searches for sample elements.
#[derive(Default)]
pub struct Calibrator {
    search: Search,
    steps: Vec<(f32, usize)>,
    found: Vec<Candidate>,
    neighbors: Vec<Candidate>,
    /// The least shares, for each of `RANKS`.
    shares: [Vec<f32>; RANKS.len()],
    sampled: u32,
}

impl Calibrator {
    /// The number of elements traced.
    #[must_use]
    pub fn sampled(&self) -> u32 {
        self.sampled
    }

    /// The maximum bytes of a trace.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.search.memory() + (self.found.len() + self.neighbors.len()) * size_of::<Candidate>()
    }

    /// Traces the searches for an element; `query` is made from its code, `unit` as for `Slack`. False if there is not enough
    /// memory.
    pub fn add<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        own: ElementId,
    ) -> bool {
        self.find_neighbors(store, query, own);
        if self.search.is_out_of_memory() {
            return false;
        }
        // A query from elsewhere has no element of its own, which would lead to its neighbors. Without it the graph also lacks
        // its links, so that targets are rather exceeded than missed (docs/design.md).
        let left_out = (own, f32::INFINITY);
        let (steps, found) = (&mut self.steps, &mut self.found);
        steps.clear();
        found.clear();
        self.search
            .trace(store, query, None, Some(left_out), OF_SEARCH, |at, more| {
                found.extend(
                    more.iter()
                        .filter(|found| found.element != own && found.live),
                );
                steps.push((at, found.len()));
            });
        if self.search.is_out_of_memory() {
            return false;
        }
        self.neighbors.extend_from_slice(found);
        nearest_of(&mut self.neighbors);
        self.replay(unit);
        self.sampled += 1;
        true
    }

    /// As `add`, for a query that is no element: `nearest` are the elements nearest to it by their estimated distances.
    pub fn add_query<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        nearest: &[Candidate],
    ) -> bool {
        self.neighbors.clear();
        self.neighbors.extend_from_slice(nearest);
        let (steps, found) = (&mut self.steps, &mut self.found);
        steps.clear();
        found.clear();
        self.search
            .trace(store, query, None, None, OF_SEARCH, |at, more| {
                found.extend(more.iter().filter(|found| found.live));
                steps.push((at, found.len()));
            });
        if self.search.is_out_of_memory() {
            return false;
        }
        self.neighbors.extend_from_slice(found);
        nearest_of(&mut self.neighbors);
        self.replay(unit);
        self.sampled += 1;
        true
    }

    /// The neighbors as far as they are found from the element itself: no wrong part of the graph hides them.
    fn find_neighbors<S: Store>(&mut self, store: &mut S, query: &S::Query, own: ElementId) {
        let neighbors = &mut self.neighbors;
        neighbors.clear();
        self.search
            .trace(store, query, Some(own), None, OF_NEIGHBORS, |_, more| {
                neighbors.extend(
                    more.iter()
                        .filter(|found| found.element != own && found.live),
                );
            });
        nearest_of(neighbors);
    }

    /// Replays the search: before the neighbor of a rank is found, the row handed out in its place is the nearest of this rank
    /// among those found, and the search must not end for it.
    fn replay(&mut self, unit: Option<f32>) {
        let mut least = COUNTED.map(|ranks| ranks.map(|_| LIMITS.0));
        let mut shares = COUNTED.map(|ranks| ranks.map(|_| None));
        let mut nearest: Vec<f32> = Vec::with_capacity(NEIGHBORS + 1);
        let mut from = 0;
        for &(expanded, to) in &self.steps {
            for (least, &rank) in least
                .as_flattened_mut()
                .iter_mut()
                .zip(COUNTED.as_flattened())
            {
                if let Some(&distance) = nearest.get(rank - 1) {
                    *least = least.max(Slack::share_of(distance, expanded, unit));
                }
            }
            for found in &self.found[from..to] {
                let at = nearest.partition_point(|&distance| distance < found.distance);
                nearest.truncate(NEIGHBORS);
                if at <= nearest.len() {
                    nearest.insert(at, found.distance);
                }
                let Ok(rank) = self.neighbors.binary_search(found) else {
                    continue;
                };
                let counted = COUNTED
                    .as_flattened()
                    .iter()
                    .position(|&counted| counted == rank + 1);
                if let Some(at) = counted {
                    shares.as_flattened_mut()[at] = Some(least.as_flattened()[at]);
                }
            }
            from = to;
        }
        for (at, &rank) in COUNTED.as_flattened().iter().enumerate() {
            if rank <= self.neighbors.len() {
                // A neighbor not found takes more than the whole trace.
                let share = shares.as_flattened()[at].unwrap_or(least.as_flattened()[at]);
                self.shares[at / COUNTED[0].len()].push(share.clamp(LIMITS.0, LIMITS.1));
            }
        }
    }

    /// The slacks; `None` without elements that have enough neighbors.
    #[must_use]
    pub fn finish(mut self) -> Option<Calibration> {
        let mut shares = [[0.0; RANKS.len()]; TARGETS.len()];
        for rank in 0..RANKS.len() {
            if self.shares[rank].is_empty() {
                // A small index: the slacks of the rank before.
                let before = rank.checked_sub(1)?;
                for of_target in &mut shares {
                    of_target[rank] = of_target[before];
                }
                continue;
            }
            self.shares[rank].sort_unstable_by(f32::total_cmp);
            for (of_target, target) in shares.iter_mut().zip(TARGETS) {
                of_target[rank] = quantile(&self.shares[rank], target);
            }
        }
        Some(Calibration { shares })
    }
}

/// Keeps the nearest elements, nearest first, each once.
fn nearest_of(candidates: &mut Vec<Candidate>) {
    candidates.sort_unstable();
    candidates.dedup();
    candidates.truncate(NEIGHBORS);
}

/// The least of the sorted values that a share of them does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count"
)]
fn quantile(sorted: &[f32], share: f64) -> f32 {
    let count = (sorted.len() as f64 * share).ceil() as usize;
    sorted[count.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Calibration = Calibration {
        shares: [
            [0.1, 0.05, 0.0],
            [0.2, 0.1, 0.02],
            [0.3, 0.2, 0.03],
            [0.4, 0.3, 0.04],
            [0.5, 0.4, 0.05],
            [0.6, 0.5, 0.06],
        ],
    };

    #[test]
    fn shares_are_those_listed_for_listed_targets_and_ranks() {
        for (target, listed) in TARGETS.iter().zip(TABLE.shares) {
            for (&rank, share) in RANKS.iter().zip(listed) {
                let found = TABLE.share(*target, rank);
                assert!((found - share).abs() < 1e-5, "{target} {rank} {found}");
            }
        }
    }

    #[test]
    fn a_higher_target_has_no_smaller_share() {
        for rank in [1, 10, 20, 50, 100, 1000] {
            let targets = (500..10_000).map(|target| f64::from(target) / 10_000.0);
            let shares: Vec<f32> = targets.map(|target| TABLE.share(target, rank)).collect();
            assert!(shares.is_sorted(), "{rank}");
            assert_eq!(shares[0], TABLE.share(TARGETS[0], rank));
            assert!(shares[shares.len() - 1] > TABLE.share(0.999, rank));
        }
    }

    #[test]
    fn ranks_outside_the_list_have_the_share_of_the_nearest() {
        assert_eq!(TABLE.share(0.9, 1), TABLE.share(0.9, 10));
        assert_eq!(TABLE.share(0.9, 5000), TABLE.share(0.9, 100));
    }

    #[test]
    fn nothing_sampled_is_no_calibration() {
        assert_eq!(Calibrator::default().finish(), None);
    }
}
