//! Finds the slack of a target recall by tracing searches for a sample of elements.
//!
//! A search expands candidates nearest first, whatever its slack: the slack decides only where it ends. So one trace without
//! an end shows for each neighbor the least slack with which a search finds it before it hands out a farther row. The
//! quantiles of these are the slacks of the targets.

mod replay;
mod trace;
mod without;

use replay::Needs;
pub use trace::{Trace, Tracer};

/// The targets: shares of the nearest rows to be found.
pub const TARGETS: [f64; 6] = [0.9, 0.95, 0.98, 0.99, 0.995, 0.999];

/// Rows up to this rank are handed out by the distance of the one of this rank. Their own distances are no measure: a
/// near-duplicate makes the nearest row much nearer than the rest.
pub const FIRST: usize = 10;

/// The nearest row is handed out by the distance of the row of this rank: by that of the tenth it takes a tenth more distances.
pub const NEAR: usize = 4;

/// The rank by whose distance a row up to `FIRST` is handed out.
#[must_use]
pub fn measure_of(rank: usize) -> usize {
    if rank == 1 { NEAR } else { FIRST }
}

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

/// The five ranks counted for an element are taken for this many values: less alike than the first ten, and fewer elements have them.
const ALIKE: usize = 2;

/// The nearest row's share is taken from this many ranks: one alone has too few samples, and the next are little harder.
const LIKE_NEAREST: usize = 2;

/// The neighbors of a sample element that are traced for all the bands; `FIRST` of them for the first two.
pub const NEIGHBORS: usize = 100;

/// The traces after which the next ones may be longer or shorter: those of one batch may run at the same time.
pub const BATCH: usize = 20;

/// The distances by which a trace finds the neighbors of an element, from the element itself: before anything is known, and within
/// these limits, for `FIRST` neighbors and for more.
const OF_NEIGHBORS: [u64; 2] = [3000, 6000];
const LIMITS_OF_NEIGHBORS: (u64, u64) = (500, 8000);

/// Later traces are longer by a quarter where more than one in this many neighbors came in by the second half of the distances, and
/// shorter where fewer than one in the other number did. Neighbors that no trace finds are not missed by the calibration: about half as many as came
/// in by the second half.
const LATE: (u64, u64) = (80, 200);

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

/// Collects traces of searches, and finds the slacks by them.
pub struct Calibrator {
    /// The needs of each element with enough neighbors.
    first: Vec<Needs>,
    /// The least shares for later rows, for each of `RANKS`.
    later: [Vec<f32>; RANKS.len()],
    sampled: u32,
    evaluations: u64,
    /// For `FIRST` neighbors, and for more.
    efforts: [Effort; 2],
}

impl Default for Calibrator {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            later: Default::default(),
            sampled: 0,
            evaluations: 0,
            efforts: OF_NEIGHBORS.map(|distances| Effort {
                distances,
                ..Effort::default()
            }),
        }
    }
}

/// The distances by which traces find neighbors, and what those of the present batch say about them.
#[derive(Clone, Copy, Default)]
struct Effort {
    distances: u64,
    neighbors: u64,
    late: u64,
}

impl Effort {
    /// The effort for the next batch.
    fn next(self) -> Self {
        let distances = if self.late * LATE.0 > self.neighbors {
            self.distances * 5 / 4
        } else if self.late * LATE.1 < self.neighbors {
            self.distances * 4 / 5
        } else {
            self.distances
        };
        let (least, most) = LIMITS_OF_NEIGHBORS;
        Self {
            distances: distances.clamp(least, most),
            ..Self::default()
        }
    }
}

impl Calibrator {
    /// The number of traces.
    #[must_use]
    pub fn sampled(&self) -> u32 {
        self.sampled
    }

    /// The distances estimated by all traces.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// The distances by which traces of the present batch find the nearest `count` elements.
    #[must_use]
    pub fn distances(&self, count: usize) -> u64 {
        self.efforts[usize::from(count > FIRST)].distances
    }

    /// Adds a trace. Traces of one batch count as if they were simultaneous, so whoever traces in several threads finds the same.
    pub fn add(&mut self, trace: &Trace) {
        self.first.extend(trace.first);
        for (later, (ranks, shares)) in (self.later.iter_mut()).zip(COUNTED.iter().zip(trace.later))
        {
            let counted = ranks.iter().zip(shares);
            let counted = counted.filter(|&(&rank, _)| rank <= trace.neighbors);
            later.extend(counted.map(|(_, share)| share));
        }
        if let Some(late) = trace.late {
            let effort = &mut self.efforts[usize::from(trace.neighbors > FIRST)];
            effort.neighbors += trace.neighbors as u64;
            effort.late += late as u64;
        }
        self.evaluations += trace.evaluations;
        self.sampled += 1;
        if self.sampled.is_multiple_of(BATCH as u32) {
            self.efforts = self.efforts.map(Effort::next);
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
            let of_first = of_sample(target, self.first.len());
            let nearest = self.nearest_share(of_first);
            let mut bands = [nearest; BANDS];
            bands[1] = self.first_share(of_first, nearest);
            for rank in 0..RANKS.len() {
                let later = &mut self.later[rank];
                let target = of_sample(target, ALIKE * later.len() / COUNTED[rank].len());
                // A small index: the slack of the rank before.
                bands[2 + rank] = quantile(later, target).unwrap_or(bands[1 + rank]);
            }
            calibration.shares[at] = bands;
            let mut efs: Vec<u16> = self.first.iter().flat_map(|needs| needs.efs).collect();
            efs.sort_unstable();
            calibration.efs[at] = efs[place(efs.len(), of_first)];
        }
        Some(calibration)
    }

    fn nearest_share(&self, target: f64) -> f32 {
        let near = self
            .first
            .iter()
            .flat_map(|needs| &needs.near[..LIKE_NEAREST]);
        quantile(&mut near.copied().collect::<Vec<f32>>(), target).expect("sampled elements")
    }

    /// The share for the rows up to the tenth, after the nearest was handed out by its own: those nearer than it are missed.
    fn first_share(&self, target: f64, nearest: f32) -> f32 {
        let shares = self.first.iter().flat_map(|needs| needs.shares);
        let most = shares.max_by(f32::total_cmp).unwrap_or(nearest);
        let mut shares: Vec<f32> = Vec::with_capacity(self.first.len() * FIRST);
        for needs in &self.first {
            let handed_out = needs.near.iter().position(|&share| share <= nearest);
            let missed = handed_out.unwrap_or(0);
            shares.extend(std::iter::repeat_n(most, missed));
            shares.extend(&needs.shares[missed..]);
        }
        quantile(&mut shares, target).unwrap_or(most)
    }
}

/// The quantile of a sample that further values exceed as seldom as the target says, on average: one value more would lie
/// anywhere among them (split conformal prediction). Values of one element are taken for one, because they are alike.
#[expect(clippy::cast_precision_loss, reason = "a count of elements")]
fn of_sample(target: f64, elements: usize) -> f64 {
    (target * (1.0 + 1.0 / elements.max(1) as f64)).min(1.0)
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
            near: [0.1; FIRST],
            shares: [0.1; FIRST],
            efs: [10; FIRST],
        };
        calibrator.first = vec![easy; 9];
        let mut hard = easy;
        hard.near[0] = 0.3;
        hard.shares[0] = 0.3;
        hard.shares[9] = 0.2;
        calibrator.first.push(hard);
        assert_eq!(calibrator.nearest_share(0.9), 0.1);
        // One of a hundred is missed whatever the share; 99 of them take that of the tenth.
        assert_eq!(calibrator.first_share(0.98, 0.1), 0.1);
        assert_eq!(calibrator.first_share(0.99, 0.1), 0.2);
        assert_eq!(calibrator.first_share(0.99, 0.3), 0.2);
    }

    #[test]
    fn nothing_sampled_is_no_calibration() {
        assert_eq!(Calibrator::default().finish(), None);
    }

    /// A trace by which so many of ten neighbors came in late.
    fn late(late: usize) -> Trace {
        Trace {
            first: None,
            later: [[0.0; 5]; RANKS.len()],
            neighbors: FIRST,
            late: Some(late),
            evaluations: 1,
        }
    }

    #[test]
    fn traces_get_longer_batch_by_batch_where_neighbors_come_in_late() {
        let mut calibrator = Calibrator::default();
        let first = calibrator.distances(FIRST);
        for _ in 1..BATCH {
            calibrator.add(&late(5));
        }
        assert_eq!(calibrator.distances(FIRST), first);
        calibrator.add(&late(0));
        assert_eq!(calibrator.distances(FIRST), first * 5 / 4);
        (0..20 * BATCH).for_each(|_| calibrator.add(&late(1)));
        assert_eq!(calibrator.distances(FIRST), LIMITS_OF_NEIGHBORS.1);
        (0..20 * BATCH).for_each(|_| calibrator.add(&late(0)));
        assert_eq!(calibrator.distances(FIRST), LIMITS_OF_NEIGHBORS.0);
        // Traces for more neighbors have an effort of their own, here without any.
        assert_ne!(calibrator.distances(NEIGHBORS), LIMITS_OF_NEIGHBORS.1);
    }
}
