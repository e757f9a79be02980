//! The first step of a build by leaves: divides vectors into overlapping leaves.
//!
//! A few rounds of k-means over a sample find leaders, and each vector joins the leaves of its `fanout` nearest leaders.
//! Leaves that are too large are divided again, without overlap, and tiny ones are pooled: the memory of a leaf is bounded,
//! and no leaf is too small to be worth its task.

use super::groups::Groups;
use super::{Stopped, Watch, try_filled};
use crate::scramble;
use quantize::{CodeMetric, CodeSet, Columns, EncodedRow};
use rayon::prelude::*;

/// Parameters of the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Division {
    /// Leaves per vector.
    pub(super) fanout: usize,
    /// The average vectors of a leaf.
    pub(super) target: usize,
    /// The maximum vectors of a leaf.
    pub(super) largest: usize,
}

/// Rounds of k-means.
const ROUNDS: usize = 2;

/// Sampled vectors per leader.
const SAMPLE: usize = 30;

/// The minimum sampled vectors, if there are as many.
const SMALLEST_SAMPLE: usize = 4096;

/// The maximum depth of repeated divisions; deeper, vectors count as indistinguishable.
const DEEPEST: usize = 8;

/// Vectors per task of finding leaders.
const TASK: usize = 64;

/// Overlapping leaves, stored contiguously. A row is a vector in a leaf.
pub(super) struct Leaves {
    pub(super) ids: Vec<u32>,
    ends: Vec<u32>,
}

impl Leaves {
    fn new(leaves: &[Vec<u32>]) -> Result<Self, Stopped> {
        let mut ids = Vec::new();
        ids.try_reserve_exact(leaves.iter().map(Vec::len).sum())?;
        let mut ends = Vec::new();
        ends.try_reserve_exact(leaves.len())?;
        for leaf in leaves {
            ids.extend_from_slice(leaf);
            ends.push(ids.len() as u32);
        }
        Ok(Self { ids, ends })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(&self.ends)
            .map(|(&start, &end)| &self.ids[start as usize..end as usize])
    }

    /// Every vector once, in the order of the leaves.
    pub(super) fn order(&self, count: usize) -> Result<Vec<u32>, Stopped> {
        let mut seen = try_filled(count, false)?;
        let mut order = Vec::new();
        order.try_reserve_exact(count)?;
        order.extend(
            self.ids
                .iter()
                .copied()
                .filter(|&id| !std::mem::replace(&mut seen[id as usize], true)),
        );
        Ok(order)
    }
}

/// The maximum number of vectors divided into leaves at once: with more, finding the nearest leaders would cost more than
/// the rest of the build. More vectors are first divided into cells, each vector in two of them.
const AT_ONCE: usize = 1 << 19;

/// Divides all vectors of a set into leaves. Every vector is in at least one, and in none twice.
pub(super) fn partition(
    codes: &CodeSet,
    division: &Division,
    watch: &Watch,
) -> Result<Leaves, Stopped> {
    partition_in_cells(codes, division, AT_ONCE, watch)
}

fn partition_in_cells(
    codes: &CodeSet,
    division: &Division,
    at_once: usize,
    watch: &Watch,
) -> Result<Leaves, Stopped> {
    let mut ids = try_filled(codes.len(), 0)?;
    ids.iter_mut().zip(0..).for_each(|(id, i)| *id = i);
    if ids.len() <= at_once {
        return Leaves::new(&divide(codes, ids, division, 0, watch)?);
    }
    let cells = Division {
        fanout: 2,
        target: at_once / 2,
        largest: at_once,
    };
    let in_cell = Division {
        fanout: division.fanout.div_ceil(cells.fanout),
        ..*division
    };
    let mut leaves = Vec::new();
    for cell in divide(codes, ids, &cells, 0, watch)? {
        leaves.extend(divide(codes, cell, &in_cell, 0, watch)?);
    }
    Leaves::new(&leaves)
}

fn divide(
    codes: &CodeSet,
    ids: Vec<u32>,
    division: &Division,
    depth: usize,
    watch: &Watch,
) -> Result<Vec<Vec<u32>>, Stopped> {
    if ids.len() <= division.largest {
        return Ok(vec![ids]);
    }
    if depth == DEEPEST {
        return Ok(ids.chunks(division.target).map(<[u32]>::to_vec).collect());
    }
    let count = (ids.len() * division.fanout)
        .div_ceil(division.target)
        .max(2);
    let leaders = Leaders::choose(codes, &ids, count, watch)?;
    let leaves = leaders.assign(codes, &ids, division.fanout, watch)?;
    drop(ids);
    let leaves = pool_tiny(leaves, division.target);
    // One level of overlap is enough: below it, each vector follows its nearest leader only.
    let alone = Division {
        fanout: 1,
        ..*division
    };
    let divided: Vec<Vec<Vec<u32>>> = leaves
        .into_par_iter()
        .map(|leaf| divide(codes, leaf, &alone, depth + 1, watch))
        .collect::<Result<_, _>>()?;
    Ok(divided.into_iter().flatten().collect())
}

/// Pools leaves of less than an eighth of the target.
fn pool_tiny(leaves: Vec<Vec<u32>>, target: usize) -> Vec<Vec<u32>> {
    let (tiny, mut leaves): (Vec<_>, Vec<_>) =
        leaves.into_iter().partition(|leaf| leaf.len() < target / 8);
    let mut pool = Vec::new();
    for leaf in tiny {
        pool.extend(leaf);
        if pool.len() >= target {
            leaves.push(without_repeats(std::mem::take(&mut pool)));
        }
    }
    if !pool.is_empty() {
        leaves.push(without_repeats(pool));
    }
    leaves
}

fn without_repeats(mut ids: Vec<u32>) -> Vec<u32> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The centers of the leaves.
#[derive(Debug)]
pub(super) struct Leaders {
    codes: CodeSet,
    columns: Columns,
}

impl Leaders {
    /// Bytes for finding `count` leaders: those of this round and the last, and their sums.
    pub(super) fn bytes_needed(count: usize, dimensions: usize) -> usize {
        let leaders =
            CodeSet::bytes_needed(count, dimensions) + Columns::bytes_needed(count, dimensions);
        let centroids = count * (dimensions * size_of::<f32>() + size_of::<Vec<f32>>());
        let sample = 4 * (count * SAMPLE).max(SMALLEST_SAMPLE) * size_of::<u32>();
        let distances = rayon::current_num_threads() * TASK * count * size_of::<f32>();
        2 * leaders + centroids + sample + distances
    }

    /// Finds `count` leaders for these vectors of a set.
    pub(super) fn choose(
        codes: &CodeSet,
        ids: &[u32],
        count: usize,
        watch: &Watch,
    ) -> Result<Self, Stopped> {
        let sample = sample(ids, (count * SAMPLE).max(SMALLEST_SAMPLE))?;
        let count = count.min(sample.len());
        let first = sample
            .iter()
            .copied()
            .step_by(sample.len() / count)
            .take(count);
        let mut leaders = Self::of(codes, first.map(|id| centroid(codes, &[id])));
        for round in 0..ROUNDS {
            let nearest = leaders.nearest(codes, &sample, 1, watch)?;
            let members: Groups<u32> = Groups::collect(count, || {
                nearest.iter().copied().zip(sample.iter().copied())
            })?;
            let moved: Vec<Vec<f32>> = (0..count)
                .into_par_iter()
                .map(|leader| match members.group(leader) {
                    [] => centroid(
                        codes,
                        &[sample
                            [scramble((round * count + leader) as u64) as usize % sample.len()]],
                    ),
                    members => centroid(codes, members),
                })
                .collect();
            leaders = Self::of(codes, moved.into_iter());
        }
        Ok(leaders)
    }

    fn of(codes: &CodeSet, centroids: impl Iterator<Item = Vec<f32>>) -> Self {
        let mut leaders = CodeSet::new(codes.dimensions(), codes.metric());
        let mut row = EncodedRow::new();
        for centroid in centroids {
            row.encode(&centroid);
            leaders.push(&row);
        }
        let ids: Vec<u32> = (0..leaders.len() as u32).collect();
        let mut columns = Columns::new(codes.metric());
        columns.pack(&leaders, &ids);
        Self {
            codes: leaders,
            columns,
        }
    }

    /// The number of leaders.
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The vectors of each leader: those with the leader among their `fanout` nearest.
    fn assign(
        &self,
        codes: &CodeSet,
        ids: &[u32],
        fanout: usize,
        watch: &Watch,
    ) -> Result<Vec<Vec<u32>>, Stopped> {
        let fanout = fanout.min(self.len());
        let nearest = self.nearest(codes, ids, fanout, watch)?;
        let pairs = || {
            nearest
                .iter()
                .copied()
                .zip(ids.iter().flat_map(|&id| std::iter::repeat_n(id, fanout)))
        };
        let members: Groups<u32> = Groups::collect(self.len(), pairs)?;
        Ok((0..self.len())
            .map(|leader| members.group(leader).to_vec())
            .collect())
    }

    /// The `fanout` leaders nearest to each vector, nearest first.
    pub(super) fn nearest(
        &self,
        codes: &CodeSet,
        ids: &[u32],
        fanout: usize,
        watch: &Watch,
    ) -> Result<Vec<u32>, Stopped> {
        let mut nearest = try_filled(ids.len() * fanout, 0)?;
        let tasks = ids
            .par_chunks(TASK)
            .zip(nearest.par_chunks_mut(TASK * fanout));
        tasks.try_for_each_init(Vec::new, |distances, (ids, nearest)| {
            watch.check()?;
            self.columns.nearest(codes, ids, fanout, distances, nearest);
            Ok::<_, Stopped>(())
        })?;
        Ok(nearest)
    }
}

/// A sample spread over the list, one vector from each of `count` equal parts; all vectors if there are no more.
fn sample(ids: &[u32], count: usize) -> Result<Vec<u32>, Stopped> {
    let count = count.min(ids.len());
    let mut sample = Vec::new();
    sample.try_reserve_exact(count)?;
    sample.extend((0..count).map(|i| {
        let (start, end) = (i * ids.len() / count, (i + 1) * ids.len() / count);
        ids[start + scramble(i as u64) as usize % (end - start)]
    }));
    Ok(sample)
}

/// The mean of some vectors. For inner products only its direction: a leader gathers vectors of one direction, short and
/// long, instead of the longest vectors of all directions.
fn centroid(codes: &CodeSet, ids: &[u32]) -> Vec<f32> {
    let mut sums = vec![0.0; codes.dimensions()];
    for &id in ids {
        codes.add_to(id, &mut sums);
    }
    let scale = match codes.metric() {
        CodeMetric::InnerProduct => sums.iter().map(|sum| sum * sum).sum::<f32>().sqrt(),
        CodeMetric::L2 | CodeMetric::L1 => ids.len() as f32,
    };
    if scale > 0.0 {
        sums.iter_mut().for_each(|sum| *sum /= scale);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIVISION: Division = Division {
        fanout: 3,
        target: 40,
        largest: 80,
    };

    fn set(count: usize, metric: CodeMetric, value: impl Fn(usize, usize) -> f32) -> CodeSet {
        let mut set = CodeSet::new(8, metric);
        let mut row = EncodedRow::new();
        for vector in 0..count {
            row.encode(&(0..8).map(|d| value(vector, d)).collect::<Vec<_>>());
            set.push(&row);
        }
        set
    }

    fn noise(vector: usize, dimension: usize) -> f32 {
        (scramble((vector * 8 + dimension) as u64) % 1000) as f32 / 1000.0
    }

    /// Sets that are easy and hard to divide.
    fn sets() -> Vec<CodeSet> {
        let mut sets = Vec::new();
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            for count in [0, 1, 2, 80, 81, 1000] {
                sets.push(set(count, metric, noise));
            }
            sets.push(set(500, metric, |_, _| 1.0));
            sets.push(set(500, metric, |_, _| 0.0));
            sets.push(set(1000, metric, |vector, dimension| {
                noise(vector % 5, dimension)
            }));
            sets.push(set(1000, metric, |vector, d| {
                noise(vector, d) + if vector < 990 { 0.0 } else { 1000.0 }
            }));
        }
        sets
    }

    #[test]
    fn every_vector_is_in_a_leaf_and_in_none_twice() {
        for codes in sets() {
            let leaves = partition(&codes, &DIVISION, &Watch::default()).unwrap();
            let mut found = vec![false; codes.len()];
            for leaf in leaves.iter() {
                assert_eq!(without_repeats(leaf.to_vec()).len(), leaf.len());
                leaf.iter().for_each(|&id| found[id as usize] = true);
            }
            assert!(found.iter().all(|found| *found));
            let order = leaves.order(codes.len()).unwrap();
            assert_eq!(without_repeats(order.clone()).len(), codes.len());
            assert_eq!(order.len(), codes.len());
        }
    }

    #[test]
    fn cells_leave_no_vector_out() {
        let codes = set(3000, CodeMetric::L2, noise);
        let leaves = partition_in_cells(&codes, &DIVISION, 700, &Watch::default()).unwrap();
        assert_eq!(leaves.order(3000).unwrap().len(), 3000);
        assert!(leaves.iter().all(|leaf| leaf.len() <= DIVISION.largest));
        let rows = leaves.ids.len();
        assert!((2 * 3000..=4 * 3000).contains(&rows), "{rows}");
    }

    #[test]
    fn no_leaf_is_larger_than_the_largest_and_few_are_tiny() {
        for codes in sets() {
            let leaves = partition(&codes, &DIVISION, &Watch::default()).unwrap();
            assert!(leaves.iter().all(|leaf| leaf.len() <= DIVISION.largest));
            let tiny = leaves
                .iter()
                .filter(|leaf| leaf.len() < DIVISION.target / 8)
                .count();
            assert!(tiny <= 1 + leaves.iter().count() / 10, "{tiny}");
        }
    }

    #[test]
    fn vectors_join_as_many_leaves_as_the_fanout_says() {
        let codes = set(2000, CodeMetric::L2, noise);
        let leaves = partition(&codes, &DIVISION, &Watch::default()).unwrap();
        let rows = leaves.ids.len();
        assert!((5500..=6000).contains(&rows), "{rows}");
    }

    #[test]
    fn leaves_are_the_same_for_any_number_of_threads() {
        let codes = set(3000, CodeMetric::L2, noise);
        let ids = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| partition(&codes, &DIVISION, &Watch::default()))
                .unwrap()
                .ids
        };
        assert_eq!(ids(1), ids(2));
        assert_eq!(ids(1), ids(7));
    }

    #[test]
    fn a_division_stops_when_told() {
        let watch = Watch::default();
        watch.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let codes = set(1000, CodeMetric::L2, noise);
        assert_eq!(
            partition(&codes, &DIVISION, &watch).err(),
            Some(Stopped::Cancelled)
        );
    }
}
