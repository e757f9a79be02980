//! Leaders: the centers of leaves and of cells, found by k-means over a sample.
//!
//! Many leaders have heads, centers of their own, and a vector is compared with the leaders of its nearest heads only: with
//! all of them, the cost of a vector would grow with the number of vectors.

use super::groups::Groups;
use super::{Stopped, Watch, try_filled};
use crate::scramble;
use quantize::{CodeMetric, CodeSet, Columns, EncodedRow, fill};
use rayon::prelude::*;

/// Rounds of k-means.
const ROUNDS: usize = 2;

/// Sampled vectors per leader.
const SAMPLE: usize = 30;

/// The minimum sampled vectors, if there are as many.
const SMALLEST_SAMPLE: usize = 4096;

/// Vectors compared with columns at a time.
const BATCH: usize = 64;

/// Vectors per task where leaders have heads: enough for full tiles with the leaders of each head.
const TASK: usize = 16 * BATCH;

/// Fewer leaders have no heads: comparing with all of them is as fast.
const FEWEST_WITH_HEADS: usize = 2048;

/// Leaders per head, on average.
const OF_A_HEAD: usize = 64;

/// Heads compared in full, beyond one for each leader wanted.
const MORE_HEADS: usize = 4;

/// The centers of leaves.
#[derive(Debug)]
pub(super) struct Leaders {
    codes: CodeSet,
    levels: Levels,
}

/// The way to the nearest leaders.
#[derive(Debug)]
enum Levels {
    /// By all leaders.
    One(Columns),
    /// By the leaders of the nearest heads.
    Two(Heads),
}

/// Centers of leaders.
#[derive(Debug)]
struct Heads {
    columns: Columns,
    /// The leaders of each head, and the number of the first: they lie side by side.
    leaders: Vec<(u32, Columns)>,
}

impl Leaders {
    /// Bytes for finding `count` leaders: those of this round, in two orders, those of the last, and their sums.
    pub(super) fn bytes_needed(count: usize, dimensions: usize) -> usize {
        let leaders = CodeSet::bytes_needed(count, dimensions);
        let columns = Columns::bytes_needed(count + 32 * count.div_ceil(OF_A_HEAD), dimensions);
        let centroids = count * dimensions * size_of::<f32>();
        let sample = 4 * (count * SAMPLE).max(SMALLEST_SAMPLE) * size_of::<u32>();
        let distances = rayon::current_num_threads() * BATCH * count * size_of::<f32>();
        3 * leaders + 2 * columns + centroids + sample + distances
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
        let dimensions = codes.dimensions();
        let mut centroids = try_filled(count * dimensions, 0.0)?;
        for (id, into) in first.zip(centroids.chunks_exact_mut(dimensions)) {
            centroid(codes, &[id], into);
        }
        let mut leaders = Self::of(codes, &centroids, watch)?;
        for round in 0..ROUNDS {
            let nearest = leaders.nearest(codes, &sample, 1, watch)?;
            let members: Groups<u32> = Groups::collect(count, || {
                nearest.iter().copied().zip(sample.iter().copied())
            })?;
            let each = centroids.par_chunks_exact_mut(dimensions);
            each.enumerate()
                .for_each(|(leader, into)| match members.group(leader) {
                    [] => {
                        let any = scramble((round * count + leader) as u64) as usize;
                        centroid(codes, &[sample[any % sample.len()]], into);
                    }
                    members => centroid(codes, members, into),
                });
            leaders = Self::of(codes, &centroids, watch)?;
        }
        Ok(leaders)
    }

    /// Leaders at these centroids, stored one after the other.
    fn of(codes: &CodeSet, centroids: &[f32], watch: &Watch) -> Result<Self, Stopped> {
        let dimensions = codes.dimensions();
        let mut leaders = encoded(codes, centroids.chunks_exact(dimensions))?;
        let levels = if leaders.len() < FEWEST_WITH_HEADS {
            let mut columns = Columns::new(codes.metric());
            columns.pack(&leaders, &all_ids(&leaders)?);
            Levels::One(columns)
        } else {
            let (heads, order) = Heads::choose(&leaders, watch)?;
            let in_order = order.iter().map(|&leader| {
                let start = leader as usize * dimensions;
                &centroids[start..start + dimensions]
            });
            leaders = encoded(codes, in_order)?;
            Levels::Two(heads)
        };
        Ok(Self {
            codes: leaders,
            levels,
        })
    }

    /// The number of leaders.
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The vectors of each leader: those with the leader among their `fanout` nearest.
    pub(super) fn assign(
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
        let mut of_leaders = Vec::new();
        of_leaders.try_reserve_exact(self.len())?;
        for leader in 0..self.len() {
            let members = members.group(leader);
            let mut of_leader = Vec::new();
            of_leader.try_reserve_exact(members.len())?;
            of_leader.extend_from_slice(members);
            of_leaders.push(of_leader);
        }
        Ok(of_leaders)
    }

    /// The `fanout` leaders nearest to each vector, nearest first; nearly always, where leaders have heads.
    pub(super) fn nearest(
        &self,
        codes: &CodeSet,
        ids: &[u32],
        fanout: usize,
        watch: &Watch,
    ) -> Result<Vec<u32>, Stopped> {
        let mut nearest = try_filled(ids.len() * fanout, 0)?;
        let task = match &self.levels {
            Levels::One(_) => BATCH,
            Levels::Two(_) => TASK,
        };
        let tasks = ids
            .par_chunks(task)
            .zip(nearest.par_chunks_mut(task * fanout));
        tasks.try_for_each_init(Scratch::default, |scratch, (ids, nearest)| {
            watch.check()?;
            match &self.levels {
                Levels::One(columns) => {
                    columns.nearest(codes, ids, fanout, &mut scratch.distances, nearest);
                }
                Levels::Two(heads) => heads.nearest(codes, ids, fanout, scratch, nearest),
            }
            Ok::<_, Stopped>(())
        })?;
        Ok(nearest)
    }
}

/// A task's memory.
#[derive(Default)]
struct Scratch {
    distances: Vec<f32>,
    /// The nearest heads of each vector.
    heads: Vec<u32>,
    /// The vectors of each head, as (head, position in the task).
    visits: Vec<(u32, u32)>,
    /// The vectors of one head, and their positions.
    rows: Vec<u32>,
    slots: Vec<u32>,
    /// The nearest leaders found so far of each vector.
    found: Vec<Vec<(f32, u32)>>,
}

impl Heads {
    /// Finds heads for leaders. Returns them, and the leaders in the order in which they number them.
    fn choose(leaders: &CodeSet, watch: &Watch) -> Result<(Self, Vec<u32>), Stopped> {
        let ids = all_ids(leaders)?;
        let centers = Leaders::choose(leaders, &ids, leaders.len() / OF_A_HEAD, watch)?;
        let members: Vec<Vec<u32>> = centers.assign(leaders, &ids, 1, watch)?;
        let (mut heads, mut order, mut packed) = (Vec::new(), Vec::new(), Vec::new());
        heads.try_reserve_exact(members.len())?;
        order.try_reserve_exact(ids.len())?;
        packed.try_reserve_exact(members.len())?;
        for (head, members) in (0..).zip(&members) {
            if members.is_empty() {
                continue;
            }
            let mut columns = Columns::new(leaders.metric());
            columns.pack(leaders, members);
            packed.push((order.len() as u32, columns));
            order.extend_from_slice(members);
            heads.push(head);
        }
        let mut columns = Columns::new(leaders.metric());
        columns.pack(&centers.codes, &heads);
        Ok((
            Self {
                columns,
                leaders: packed,
            },
            order,
        ))
    }

    /// The `fanout` nearest among the leaders of the nearest heads, of each vector.
    fn nearest(
        &self,
        codes: &CodeSet,
        ids: &[u32],
        fanout: usize,
        scratch: &mut Scratch,
        into: &mut [u32],
    ) {
        let count = (fanout + MORE_HEADS).min(self.columns.len());
        self.visit(codes, ids, count, scratch);
        scratch.found.resize_with(ids.len(), Vec::new);
        scratch.found.iter_mut().for_each(Vec::clear);
        let visits = scratch.visits.chunk_by(|a, b| a.0 == b.0);
        for visits in visits.flat_map(|visits| visits.chunks(BATCH)) {
            let slots = visits.iter().map(|&(_, slot)| slot);
            scratch.slots.clear();
            scratch.slots.extend(slots.clone());
            scratch.rows.clear();
            scratch.rows.extend(slots.map(|slot| ids[slot as usize]));
            let (first, columns) = &self.leaders[visits[0].0 as usize];
            columns.merge_nearest(
                codes,
                &scratch.rows,
                *first,
                fanout,
                &mut scratch.distances,
                &scratch.slots,
                &mut scratch.found,
            );
        }
        for (found, into) in scratch.found.iter().zip(into.chunks_mut(fanout)) {
            fill(found, into);
        }
    }

    /// Finds the `count` nearest heads of each vector, and sorts the vectors by head.
    fn visit(&self, codes: &CodeSet, ids: &[u32], count: usize, scratch: &mut Scratch) {
        scratch.heads.resize(ids.len() * count, 0);
        let batches = ids
            .chunks(BATCH)
            .zip(scratch.heads.chunks_mut(BATCH * count));
        for (ids, heads) in batches {
            self.columns
                .nearest(codes, ids, count, &mut scratch.distances, heads);
        }
        let visits = scratch.heads.chunks(count).zip(0..);
        scratch.visits.clear();
        scratch
            .visits
            .extend(visits.flat_map(|(heads, slot)| heads.iter().map(move |&head| (head, slot))));
        scratch.visits.sort_unstable();
    }
}

/// All vectors of a set.
pub(super) fn all_ids(codes: &CodeSet) -> Result<Vec<u32>, Stopped> {
    let mut ids = try_filled(codes.len(), 0)?;
    ids.iter_mut().zip(0..).for_each(|(id, i)| *id = i);
    Ok(ids)
}

fn encoded<'a>(
    codes: &CodeSet,
    centroids: impl ExactSizeIterator<Item = &'a [f32]>,
) -> Result<CodeSet, Stopped> {
    let mut encoded = CodeSet::new(codes.dimensions(), codes.metric());
    encoded.try_reserve(centroids.len())?;
    let mut row = EncodedRow::new();
    for centroid in centroids {
        row.encode(centroid);
        encoded.push(&row);
    }
    Ok(encoded)
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

/// Overwrites `sums` by the mean of some vectors. For inner products only its direction: a leader gathers vectors of one direction, short and
/// long, instead of the longest vectors of all directions.
fn centroid(codes: &CodeSet, ids: &[u32], sums: &mut [f32]) {
    sums.fill(0.0);
    for &id in ids {
        codes.add_to(id, sums);
    }
    let scale = match codes.metric() {
        CodeMetric::InnerProduct => sums.iter().map(|sum| sum * sum).sum::<f32>().sqrt(),
        CodeMetric::L2 | CodeMetric::L1 => ids.len() as f32,
    };
    if scale > 0.0 {
        sums.iter_mut().for_each(|sum| *sum /= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: usize = 20_000;

    fn set(metric: CodeMetric) -> CodeSet {
        let mut set = CodeSet::new(8, metric);
        let mut row = EncodedRow::new();
        for vector in 0..VECTORS {
            let value = |d: usize| (scramble((vector * 8 + d) as u64) % 1000) as f32 / 1000.0;
            row.encode(&(0..8).map(value).collect::<Vec<_>>());
            set.push(&row);
        }
        set
    }

    fn ids() -> Vec<u32> {
        (0..VECTORS as u32).collect()
    }

    fn choose(codes: &CodeSet, count: usize) -> Leaders {
        Leaders::choose(codes, &ids(), count, &Watch::default()).unwrap()
    }

    /// The nearest leaders of some vectors, by comparing with all.
    fn truly_nearest(leaders: &Leaders, codes: &CodeSet, some: &[u32], fanout: usize) -> Vec<u32> {
        let all: Vec<u32> = (0..leaders.len() as u32).collect();
        let mut columns = Columns::new(codes.metric());
        columns.pack(&leaders.codes, &all);
        let mut nearest = vec![0; some.len() * fanout];
        columns.nearest(codes, some, fanout, &mut Vec::new(), &mut nearest);
        nearest
    }

    #[test]
    fn heads_lead_to_the_nearest_leaders() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            let codes = set(metric);
            let leaders = choose(&codes, FEWEST_WITH_HEADS + 7);
            assert!(matches!(leaders.levels, Levels::Two(_)));
            assert_eq!(leaders.len(), FEWEST_WITH_HEADS + 7);
            let some = &ids()[..1000];
            for fanout in [1, 7] {
                let found = leaders
                    .nearest(&codes, some, fanout, &Watch::default())
                    .unwrap();
                let truth = truly_nearest(&leaders, &codes, some, fanout);
                let pairs = found.chunks(fanout).zip(truth.chunks(fanout));
                let hits: usize = pairs
                    .map(|(found, truth)| truth.iter().filter(|id| found.contains(id)).count())
                    .sum();
                assert!(
                    hits * 100 >= truth.len() * 95,
                    "{metric:?} {fanout}: {hits}"
                );
            }
        }
    }

    #[test]
    fn few_leaders_have_no_heads() {
        let codes = set(CodeMetric::L2);
        let leaders = choose(&codes, FEWEST_WITH_HEADS - 1);
        assert!(matches!(leaders.levels, Levels::One(_)));
    }

    #[test]
    fn leaders_of_a_vector_are_distinct_and_in_order() {
        let codes = set(CodeMetric::L2);
        let leaders = choose(&codes, 2 * FEWEST_WITH_HEADS);
        let found = leaders
            .nearest(&codes, &ids(), 5, &Watch::default())
            .unwrap();
        for (found, id) in found.chunks(5).zip(ids()) {
            let own = truly_nearest(&leaders, &codes, &[id], leaders.len());
            let places: Vec<_> = found
                .iter()
                .map(|f| own.iter().position(|o| o == f))
                .collect();
            assert!(places.is_sorted() && places.windows(2).all(|p| p[0] != p[1]));
            if id == 500 {
                break;
            }
        }
    }

    #[test]
    fn equal_vectors_have_leaders_too() {
        let mut codes = CodeSet::new(8, CodeMetric::L2);
        let mut row = EncodedRow::new();
        row.encode(&[0.5; 8]);
        (0..VECTORS).for_each(|_| codes.push(&row));
        let leaders = choose(&codes, FEWEST_WITH_HEADS);
        let found = leaders
            .nearest(&codes, &ids()[..100], 7, &Watch::default())
            .unwrap();
        for found in found.chunks(7) {
            let distinct: std::collections::BTreeSet<_> = found.iter().collect();
            assert_eq!(distinct.len(), 7);
        }
    }

    #[test]
    fn heads_are_the_same_for_any_number_of_threads() {
        let codes = set(CodeMetric::L2);
        let nearest = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                choose(&codes, FEWEST_WITH_HEADS).nearest(&codes, &ids(), 3, &Watch::default())
            })
            .unwrap()
        };
        assert_eq!(nearest(1), nearest(3));
    }
}
