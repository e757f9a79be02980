//! The first step of a build by leaves: divides vectors into overlapping leaves.
//!
//! Each vector joins the leaves of its `fanout` nearest leaders, which k-means finds (`leaders`).
//! Leaves that are too large are divided again, without overlap, and tiny ones are pooled: the memory of a leaf is bounded,
//! and no leaf is too small to be worth its task.

use super::leaders::{Leaders, all_ids};
use super::{Stopped, Watch, try_filled};
use quantize::CodeSet;
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

/// The maximum depth of repeated divisions; deeper, vectors count as indistinguishable.
const DEEPEST: usize = 8;

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

/// Divides all vectors of a set into leaves. Every vector is in at least one, and in none twice.
pub(super) fn partition(
    codes: &CodeSet,
    division: &Division,
    watch: &Watch,
) -> Result<Leaves, Stopped> {
    Leaves::new(&divide(codes, all_ids(codes)?, division, 0, watch)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scramble;
    use quantize::{CodeMetric, EncodedRow};

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
