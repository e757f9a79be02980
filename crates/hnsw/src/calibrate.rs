//! Finds the slack of a target recall by tracing searches for a sample of elements.
//!
//! A search expands candidates nearest first, whatever its slack: the slack decides only where it ends. So one trace without
//! an end shows for each neighbor the least slack with which a search finds it before it hands out a farther row. The
//! quantiles of these are the slacks of the targets.

use crate::search::Few;
use crate::{Candidate, ElementId, Search, Slack, Store};

/// The targets: shares of the nearest rows to be found.
pub const TARGETS: [f64; 6] = [0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

/// Rows up to this rank are handed out by the distance of the one of this rank. Their own distances are no measure: a
/// near-duplicate makes the nearest row much nearer than the rest.
pub const FIRST: usize = 10;

/// The shares of a target: of the nearest row, of the others of the first ten, and at three ranks of later rows, whose measure
/// is their own distance.
pub const BANDS: usize = 2 + RANKS.len();

/// The ranks of later rows with shares of their own.
const RANKS: [usize; 3] = [FIRST, 32, 100];

/// The ranks counted for each of `RANKS`.
const COUNTED: [[usize; 5]; 3] = [
    [11, 12, 13, 14, 15],
    [24, 28, 32, 36, 40],
    [80, 85, 90, 95, 100],
];

/// The nearest row's share is taken from this many ranks: one alone has too few samples, and the next are little harder.
const LIKE_NEAREST: usize = 2;

/// The neighbors of a sample element that are traced for all the bands; `FIRST` of them for the first two.
pub const NEIGHBORS: usize = 100;

/// The trace that finds an element's neighbors, starting at the element, ends once it has estimated this many times the
/// distances that it took to the last neighbor that came in, but no fewer and no more than so many. Neighbors that neither this
/// trace nor the search finds are not missed: with 1,500 distances for every element, searches of 40,000 rows of 96
/// dimensions came out .05 below their targets for 100 rows.
const SETTLED: u64 = 3;
const OF_NEIGHBORS: (u64, u64) = (500, 8000);

/// Estimated distances of the search from the entry point, at most.
const OF_SEARCH: u64 = 10_000;

/// Shares beyond these are not believed; shares of the length of a query are as large as the vectors of the index.
const LIMITS: (f32, f32) = (-0.5, 8.0);
const LIMITS_OF_UNITS: (f32, f32) = (-1e30, 1e30);

/// The slacks of an index, in shares (`Slack::share`), and the `ef` of the same recalls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The shares: for each of `TARGETS` one for each of the bands of ranks.
    pub shares: [[f32; BANDS]; TARGETS.len()],
    /// For each of `TARGETS` the number of elements for which a search finds this share of the nearest ten.
    pub efs: [u16; TARGETS.len()],
}

impl Calibration {
    /// The share for a target and the rank of a row, counted from 1. Linear between the targets in the logarithm of the share
    /// of misses, and between the ranks in their logarithm. Targets below the first have its share.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "shares of f32")]
    pub fn share(&self, target: f64, rank: usize) -> f32 {
        between(target, |at| f64::from(of_rank(&self.shares[at], rank))) as f32
    }

    /// The number of elements for which a search finds this share of the nearest ten, between the targets as `share`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between two of u16"
    )]
    pub fn ef(&self, target: f64) -> usize {
        (between(target, |at| f64::from(self.efs[at])).ceil() as usize).max(1)
    }

    /// The share of the nearest ten found by a search for so many elements: the highest target whose `ef` is no larger, to
    /// three decimals. `None` below the first.
    #[must_use]
    pub fn recall_of(&self, ef: usize) -> Option<f64> {
        let thousandths = 900..=999_u16;
        let targets = thousandths.rev().map(|target| f64::from(target) / 1000.0);
        targets.into_iter().find(|&target| self.ef(target) <= ef)
    }
}

/// The value for a target, from those for `TARGETS`.
fn between(target: f64, of_target: impl Fn(usize) -> f64) -> f64 {
    let nines = |target: f64| -(1.0 - target).max(1e-9).ln();
    let last = TARGETS.len() - 1;
    let upper = TARGETS[1..last]
        .iter()
        .position(|&listed| target <= listed)
        .map_or(last, |at| at + 1);
    let [from, to] = [TARGETS[upper - 1], TARGETS[upper]].map(nines);
    let way = ((nines(target) - from) / (to - from)).max(0.0);
    let [from, to] = [of_target(upper - 1), of_target(upper)];
    from + way * (to - from)
}

#[expect(clippy::cast_precision_loss, reason = "small ranks")]
fn of_rank(bands: &[f32; BANDS], rank: usize) -> f32 {
    if rank <= FIRST {
        return bands[usize::from(rank > 1)];
    }
    let shares = &bands[2..];
    let rank = rank.min(RANKS[RANKS.len() - 1]);
    let upper = if rank <= RANKS[1] { 1 } else { 2 };
    let [from, to, at] = [RANKS[upper - 1], RANKS[upper], rank].map(|rank| (rank as f32).ln());
    let way = (at - from) / (to - from);
    shares[upper - 1] + way * (shares[upper] - shares[upper - 1])
}

/// The least shares, and the least `ef`s, with which a search finds each of an element's first neighbors in time.
#[derive(Clone, Copy)]
struct Needs {
    shares: [f32; FIRST],
    efs: [u16; FIRST],
}

/// Traces searches for sample elements.
#[derive(Default)]
pub struct Calibrator {
    search: Search,
    steps: Vec<(f32, usize)>,
    found: Vec<Candidate>,
    neighbors: Vec<Candidate>,
    /// The needs of each element with enough neighbors.
    first: Vec<Needs>,
    /// The least shares for later rows, for each of `RANKS`.
    later: [Vec<f32>; RANKS.len()],
    sampled: u32,
    evaluations: u64,
}

impl Calibrator {
    /// The number of elements traced.
    #[must_use]
    pub fn sampled(&self) -> u32 {
        self.sampled
    }

    /// The distances estimated so far.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// The maximum bytes of a trace.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.search.memory() + (self.found.len() + self.neighbors.len()) * size_of::<Candidate>()
    }

    /// Traces the search for the nearest `count` elements to an element, `FIRST` or `NEIGHBORS`; `query` is made from its code,
    /// `unit` is as for `Slack`. The store is to leave the element out, for a query from elsewhere has none of its own: `Store::estimate` passes over it, and lists that name it lead on
    /// to some of its neighbors instead. False if there is not enough memory.
    pub fn add<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        (own, count): (ElementId, usize),
    ) -> bool {
        self.find_neighbors(store, query, own, count);
        if self.search.is_out_of_memory() {
            return false;
        }
        self.search_for_neighbors(store, query, unit, count)
    }

    /// Searches for the neighbors, which may become nearer ones by what it finds.
    fn search_for_neighbors<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        unit: Option<f32>,
        count: usize,
    ) -> bool {
        let (steps, found) = (&mut self.steps, &mut self.found);
        steps.clear();
        found.clear();
        let (neighbors, mut missing) = (&self.neighbors, self.neighbors.len());
        self.search
            .trace(store, query, None, OF_SEARCH, |at, more| {
                for found in more {
                    missing -= usize::from(neighbors.binary_search(found).is_ok());
                }
                found.extend(more.iter().filter(|found| found.live));
                steps.push((at, found.len()));
                missing > 0
            });
        self.evaluations += self.search.counters().evaluations;
        if self.search.is_out_of_memory() {
            return false;
        }
        self.neighbors.extend_from_slice(found);
        nearest_of(&mut self.neighbors, count);
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
        self.search_for_neighbors(store, query, unit, NEIGHBORS)
    }

    /// The neighbors as far as they are found from the element itself: no wrong part of the graph hides them.
    fn find_neighbors<S: Store>(
        &mut self,
        store: &mut S,
        query: &S::Query,
        own: ElementId,
        count: usize,
    ) {
        let mut nearest = Few::of(count);
        let (mut estimated, mut settled) = (0, 0);
        let (least, most) = OF_NEIGHBORS;
        self.search.trace(store, query, Some(own), most, |_, more| {
            estimated += more.len() as u64;
            for &found in more.iter().filter(|found| found.live) {
                if nearest.add(found) {
                    settled = estimated;
                }
            }
            estimated < least.max(SETTLED * settled)
        });
        self.evaluations += self.search.counters().evaluations;
        self.neighbors.clear();
        self.neighbors.extend(nearest.into_elements());
        nearest_of(&mut self.neighbors, count);
    }

    /// Replays the search: before the neighbor of a rank is found, the row handed out in its place is the nearest of this rank
    /// among those found, and the search must not end for it.
    fn replay(&mut self, unit: Option<f32>) {
        let mut replay = Replay::new(unit);
        let mut from = 0;
        for &(expanded, to) in &self.steps {
            replay.expand(expanded);
            for found in &self.found[from..to] {
                replay.find(found, &self.neighbors);
            }
            from = to;
        }
        if self.neighbors.len() >= FIRST {
            self.first.push(replay.first());
        }
        for (later, (ranks, shares)) in self
            .later
            .iter_mut()
            .zip(COUNTED.iter().zip(replay.later()))
        {
            let counted = ranks.iter().zip(shares);
            later.extend(
                counted
                    .filter(|&(&rank, _)| rank <= self.neighbors.len())
                    .map(|(_, share)| share),
            );
        }
    }

    /// The slacks; `None` without elements that have enough neighbors.
    #[must_use]
    pub fn finish(mut self) -> Option<Calibration> {
        if self.first.is_empty() {
            return None;
        }
        let mut calibration = Calibration {
            shares: [[0.0; BANDS]; TARGETS.len()],
            efs: [0; TARGETS.len()],
        };
        for (at, target) in TARGETS.into_iter().enumerate() {
            let target = self.of_sample(target);
            let nearest = self.nearest_share(target);
            let mut bands = [nearest; BANDS];
            bands[1] = self.first_share(target, nearest);
            for rank in 0..RANKS.len() {
                // A small index: the slack of the rank before.
                bands[2 + rank] =
                    quantile(&mut self.later[rank], target).unwrap_or(bands[1 + rank]);
            }
            calibration.shares[at] = bands;
            let mut efs: Vec<u16> = self.first.iter().flat_map(|needs| needs.efs).collect();
            efs.sort_unstable();
            calibration.efs[at] = efs[place(efs.len(), target)];
        }
        Some(calibration)
    }

    /// The quantile of a sample that further values exceed as seldom as the target says, on average: one value more would lie
    /// anywhere among them (split conformal prediction). Values of one element are taken for one, because they are alike.
    fn of_sample(&self, target: f64) -> f64 {
        let sampled = f64::from(self.sampled.max(1));
        (target * (1.0 + 1.0 / sampled)).min(1.0)
    }

    fn nearest_share(&self, target: f64) -> f32 {
        let near = self
            .first
            .iter()
            .flat_map(|needs| &needs.shares[..LIKE_NEAREST]);
        quantile(&mut near.copied().collect::<Vec<f32>>(), target).expect("sampled elements")
    }

    /// The share for the rows up to the tenth, after the nearest was handed out by its own: those nearer than it are missed.
    fn first_share(&self, target: f64, nearest: f32) -> f32 {
        let shares = self.first.iter().flat_map(|needs| needs.shares);
        let most = shares.max_by(f32::total_cmp).unwrap_or(nearest);
        let mut shares: Vec<f32> = Vec::with_capacity(self.first.len() * FIRST);
        for needs in &self.first {
            let handed_out = needs.shares.iter().position(|&share| share <= nearest);
            let missed = handed_out.unwrap_or(0);
            shares.extend(std::iter::repeat_n(most, missed));
            shares.extend(&needs.shares[missed..]);
        }
        quantile(&mut shares, target).unwrap_or(most).max(nearest)
    }
}

/// A search as far as it is replayed.
struct Replay {
    unit: Option<f32>,
    limits: (f32, f32),
    /// The distances of the nearest found, nearest first.
    nearest: Vec<f32>,
    /// The distances of the elements expanded, nearest first.
    expanded: Vec<f32>,
    /// The shares and the `ef` that the search has needed to come so far.
    least: f32,
    ef: u16,
    least_later: [[f32; 5]; RANKS.len()],
    /// The shares with which it found the neighbors.
    first: [Option<(f32, u16)>; FIRST],
    later: [[Option<f32>; 5]; RANKS.len()],
}

impl Replay {
    fn new(unit: Option<f32>) -> Self {
        let limits = unit.map_or(LIMITS, |_| LIMITS_OF_UNITS);
        Self {
            unit,
            limits,
            nearest: Vec::with_capacity(NEIGHBORS + 1),
            expanded: Vec::new(),
            least: limits.0,
            ef: 1,
            least_later: [[limits.0; 5]; RANKS.len()],
            first: [None; FIRST],
            later: [[None; 5]; RANKS.len()],
        }
    }

    /// Expands an element at a distance: the search did not end before. Minus infinity stands for the descent.
    fn expand(&mut self, distance: f32) {
        if distance == f32::NEG_INFINITY {
            return;
        }
        let unit = self.unit;
        let least = |least: &mut f32, nearest: Option<&f32>| {
            if let Some(&nearest) = nearest {
                *least = least.max(Slack::share_of(nearest, distance, unit));
            }
        };
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

    fn find(&mut self, found: &Candidate, neighbors: &[Candidate]) {
        let at = self
            .nearest
            .partition_point(|&distance| distance < found.distance);
        self.nearest.truncate(NEIGHBORS);
        if at <= self.nearest.len() {
            self.nearest.insert(at, found.distance);
        }
        let Ok(at) = neighbors.binary_search(found) else {
            return;
        };
        if at < FIRST {
            self.first[at] = Some((self.least, self.ef));
        }
        let counted = COUNTED.as_flattened().iter();
        if let Some(at) = counted.into_iter().position(|&counted| counted == at + 1) {
            self.later.as_flattened_mut()[at] = Some(self.least_later.as_flattened()[at]);
        }
    }

    /// The needs of the first neighbors. One not found takes more than the whole trace.
    fn first(&self) -> Needs {
        let needs = self
            .first
            .map(|found| found.unwrap_or((self.least, self.ef)));
        Needs {
            shares: needs.map(|(share, _)| share.clamp(self.limits.0, self.limits.1)),
            efs: needs.map(|(_, ef)| ef),
        }
    }

    fn later(&self) -> [[f32; 5]; RANKS.len()] {
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

/// Keeps the nearest `count` elements, nearest first, each once.
fn nearest_of(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.sort_unstable();
    candidates.dedup();
    candidates.truncate(count);
}

/// The least of the values that a share of them does not exceed; `None` of none.
fn quantile(values: &mut [f32], share: f64) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len().checked_sub(1)?;
    values.get(place(last + 1, share)).copied()
}

/// The place of a quantile among so many sorted values, at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a count"
)]
fn place(count: usize, share: f64) -> usize {
    ((count as f64 * share).ceil() as usize).clamp(1, count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Calibration = Calibration {
        shares: [
            [0.01, 0.09, 0.1, 0.05, 0.0],
            [0.02, 0.19, 0.2, 0.1, 0.02],
            [0.03, 0.29, 0.3, 0.2, 0.03],
            [0.04, 0.39, 0.4, 0.3, 0.04],
            [0.05, 0.49, 0.5, 0.4, 0.05],
            [0.06, 0.59, 0.6, 0.5, 0.06],
        ],
        efs: [15, 25, 50, 90, 150, 400],
    };

    /// The ranks whose shares are listed.
    const LISTED: [usize; BANDS] = [1, 10, 11, 32, 100];

    #[test]
    fn shares_are_those_listed_for_listed_targets_and_ranks() {
        for (target, listed) in TARGETS.iter().zip(TABLE.shares) {
            for (rank, share) in LISTED.into_iter().zip(listed) {
                // A rank beyond the tenth lies between two that are listed.
                let allowed = if rank == 11 { 0.02 } else { 1e-5 };
                let found = TABLE.share(*target, rank);
                assert!((found - share).abs() < allowed, "{target} {rank} {found}");
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
    fn ranks_beyond_the_list_have_the_share_of_the_last() {
        assert_eq!(TABLE.share(0.9, 2), TABLE.share(0.9, 10));
        assert_eq!(TABLE.share(0.9, 5000), TABLE.share(0.9, 100));
    }

    #[test]
    fn the_ef_of_a_target_has_its_recall() {
        for (target, ef) in TARGETS.into_iter().zip(TABLE.efs) {
            assert_eq!(TABLE.ef(target), usize::from(ef));
            assert!(
                TABLE
                    .recall_of(ef.into())
                    .is_some_and(|recall| recall >= target - 1e-9)
            );
        }
        assert_eq!(TABLE.recall_of(14), None);
        assert_eq!(TABLE.recall_of(10_000), Some(0.999));
    }

    /// One of ten elements misses its nearest with the share of the nearest row, and hands out the second.
    #[test]
    fn rows_nearer_than_the_first_handed_out_are_missed() {
        let mut calibrator = Calibrator::default();
        let easy = Needs {
            shares: [0.1; FIRST],
            efs: [10; FIRST],
        };
        calibrator.first = vec![easy; 9];
        let mut hard = easy;
        hard.shares[0] = 0.3;
        hard.shares[9] = 0.2;
        calibrator.first.push(hard);
        assert_eq!(calibrator.nearest_share(0.9), 0.1);
        // One of a hundred is missed whatever the share; 99 of them take that of the tenth.
        assert_eq!(calibrator.first_share(0.98, 0.1), 0.1);
        assert_eq!(calibrator.first_share(0.99, 0.1), 0.2);
        assert_eq!(calibrator.first_share(0.99, 0.3), 0.3);
    }

    #[test]
    fn nothing_sampled_is_no_calibration() {
        assert_eq!(Calibrator::default().finish(), None);
    }
}
