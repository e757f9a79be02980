//! A build without searches: neighbors by all pairs in small overlapping leaves (PiPNN, arXiv 2602.21247).
//!
//! Insertion finds neighbors by a search that waits for memory at every step. Here the elements are first divided into
//! leaves of a few hundred nearby vectors, each element in several leaves; in a leaf, a kernel computes the distances of
//! all pairs from the cache. In order:
//!
//! 1. `partition`: leaders by k-means, each vector in the leaves of its nearest leaders.
//! 2. `leaf`: all pairs of a leaf, and for each of its vectors Algorithm 4 over the nearest, by looking distances up.
//! 3. `merge`: merges the choices of a vector's leaves and applies Algorithm 4 again.
//!    Then links back: each list gets the elements that chose its owner, and is truncated to its capacity.
//! 4. The layers above by the same steps, over their elements.
//! 5. `mend`: links again what a search would miss.
//! 6. `connect`: links every unreachable element to a reachable one.
//!
//! Tasks write disjoint parts of arrays, so the result is the same for any number of threads. If the codes do not fit in
//! memory, steps 1 to 3 run for one cell at a time (`cells`).

use super::effort::{Effort, LARGEST_LEAF};
use super::leaders::Leaders;
use super::leaf::choose_in_leaves;
use super::mend::mend;
use super::merge::{Lists, Neighbor, choose_forward, link_back};
use super::partition::partition;
use super::{Stopped, Watch, connect};
use crate::memory::write_list;
use crate::{Candidate, ElementId, Level, MemoryGraph, Params, max_neighbors};
use quantize::{AllPairs, CodeSet};
use std::sync::atomic::Ordering;

/// Builds the graph of all vectors of a set, in the rayon pool of the caller. For L2 and inner products.
///
/// # Errors
/// If the watch says stop, or if memory runs out.
pub fn leaves(codes: &CodeSet, params: &Params, watch: &Watch) -> Result<MemoryGraph, Stopped> {
    let before = watch.done.load(Ordering::Relaxed);
    let graph = build(codes, params, codes.len(), watch)?;
    watch
        .done
        .store(before + codes.len() as u64, Ordering::Relaxed);
    Ok(graph)
}

/// Builds the graph of a group of these vectors of a set, in the rayon pool of the caller; `params` are of the index. The watch's
/// count of finished elements stays as it is.
///
/// # Errors
/// If the watch says stop, or if memory runs out.
pub fn leaves_of_group(
    codes: &CodeSet,
    members: &[u32],
    params: &Params,
    watch: &Watch,
) -> Result<MemoryGraph, Stopped> {
    build(&subset(codes, members)?, &params.of_group(), 0, watch)
}

fn build(
    codes: &CodeSet,
    params: &Params,
    share: usize,
    watch: &Watch,
) -> Result<MemoryGraph, Stopped> {
    let mut graph = MemoryGraph::try_new(codes.len(), params.m)?;
    let effort = Effort::new(params);
    let forward = Forward::choose(codes, &effort, share, watch)?;
    let lists = layer_lists(&mut graph, 0, None);
    forward.link_back(codes, &effort, lists, None, 0, watch)?;
    graph.set_order(forward.order);
    let members = upper_members(&graph)?;
    let upper = subset(codes, &members)?;
    build_upper_layers(&upper, &members, &effort, &mut graph, watch)?;
    mend(&mut graph, codes, watch)?;
    connect(&mut graph, codes, watch)?;
    Ok(graph)
}

/// The maximum bytes of a build in this rayon pool, without the codes, with the graph.
#[must_use]
pub fn bytes_needed(n: usize, dimensions: usize, params: &Params) -> usize {
    let upper = n.div_ceil(params.m.max(2) - 1);
    let graph = MemoryGraph::bytes_needed(n, params.m);
    let effort = Effort::new(params);
    let layer0 = bytes_of_layer(n, dimensions, &effort);
    let above =
        CodeSet::bytes_needed(upper, dimensions) + bytes_of_layer(upper, dimensions, &effort);
    graph + layer0.max(above) + bytes_of_threads(n, dimensions, params)
}

/// The maximum bytes of [`leaves_of_group`] for `n` members, with the copy of their codes and with the graph.
#[must_use]
pub fn bytes_of_group(n: usize, dimensions: usize, params: &Params) -> usize {
    CodeSet::bytes_needed(n, dimensions) + bytes_needed(n, dimensions, &params.of_group())
}

/// Bytes for building a layer of `n` elements.
pub(super) fn bytes_of_layer(n: usize, dimensions: usize, effort: &Effort) -> usize {
    let &Effort {
        division,
        choice,
        m,
    } = effort;
    let number = size_of::<u32>();
    // Pooling and repeated division do not add rows.
    let rows = if n > division.largest {
        n * division.fanout
    } else {
        n
    };
    let (order, leaves) = (n * number, rows * number);
    let lists = Lists::bytes_needed(n, effort.width());
    // The leaders of each vector, their groups, the copies leaf by leaf, and the copy into one list.
    let dividing = order + 3 * leaves + Leaders::bytes_needed(rows / division.target, dimensions);
    // The leaves, the choices of each row, and the rows of each vector.
    let choosing = 2 * leaves + rows * choice.kept * size_of::<i16>() + 3 * order + lists;
    // The lists, their links back, and the destination of each list.
    let linking = lists
        + n * m * size_of::<Neighbor>()
        + 3 * order
        + n * size_of::<(usize, &[u32], &[u32])>();
    dividing.max(choosing).max(linking)
}

/// Bytes per thread for the largest leaf.
#[must_use]
pub fn bytes_of_thread(dimensions: usize) -> usize {
    AllPairs::bytes_needed(LARGEST_LEAF, dimensions)
}

/// Bytes for the leaves of all threads of this rayon pool.
pub(super) fn bytes_of_threads(n: usize, dimensions: usize, params: &Params) -> usize {
    let largest = Effort::new(params).division.largest.min(n);
    rayon::current_num_threads() * AllPairs::bytes_needed(largest, dimensions)
}

/// The forward lists of a layer, before links back, by place in the order of the leaves.
pub(super) struct Forward {
    pub(super) order: Vec<u32>,
    pub(super) lists: Lists,
}

impl Forward {
    /// Steps 1 to 3. Adds up to `share` to the watch's count of finished elements.
    pub(super) fn choose(
        codes: &CodeSet,
        effort: &Effort,
        share: usize,
        watch: &Watch,
    ) -> Result<Self, Stopped> {
        let leaves = partition(codes, &effort.division, watch)?;
        let order = leaves.order(codes.len())?;
        // Leaves take about three times as long as the later steps.
        let rows = leaves.ids.len().max(1);
        let chosen = choose_in_leaves(codes, &leaves, &effort.choice, watch, |done| {
            watch.add_done(done * share * 3 / 4 / rows);
        })?;
        let lists = choose_forward(codes, &leaves, &chosen, &order, effort, watch, |done| {
            watch.add_done(done * share / 4 / order.len());
        })?;
        Ok(Self { order, lists })
    }

    /// The end of step 3: `lists` are the graph's, by element.
    fn link_back(
        &self,
        codes: &CodeSet,
        effort: &Effort,
        lists: Vec<&mut [u32]>,
        members: Option<&[u32]>,
        level: Level,
        watch: &Watch,
    ) -> Result<(), Stopped> {
        let mut lists: Vec<Option<&mut [u32]>> = lists.into_iter().map(Some).collect();
        let by_place = |&element: &u32| lists[element as usize].take();
        let by_place: Option<Vec<&mut [u32]>> = self.order.iter().map(by_place).collect();
        let member = |candidate: &Candidate| {
            let element = candidate.element.0;
            members.map_or(element, |members| members[element as usize])
        };
        link_back(
            codes,
            &self.lists,
            &self.order,
            (effort.m, max_neighbors(effort.m, level)),
            by_place.expect("an element is visited once"),
            |list, selected| write_list(list, selected.iter().map(member)),
            watch,
        )
    }
}

/// Builds the layers above 0, from copies of their elements' codes.
fn upper_members(graph: &MemoryGraph) -> Result<Vec<u32>, Stopped> {
    let is_upper = |element: &u32| graph.level(ElementId(*element)) > 0;
    let mut members = Vec::new();
    members.try_reserve_exact((0..graph.len() as u32).filter(is_upper).count())?;
    members.extend((0..graph.len() as u32).filter(is_upper));
    Ok(members)
}

fn subset(codes: &CodeSet, ids: &[u32]) -> Result<CodeSet, Stopped> {
    let mut subset = CodeSet::new(codes.dimensions(), codes.metric());
    subset.try_reserve(ids.len())?;
    ids.iter().for_each(|&id| subset.push_from(codes, id));
    Ok(subset)
}

/// Step 4: `codes` belong to `elements`, all elements of level 1 and above, in ascending order.
fn build_upper_layers(
    codes: &CodeSet,
    elements: &[u32],
    effort: &Effort,
    graph: &mut MemoryGraph,
    watch: &Watch,
) -> Result<(), Stopped> {
    if elements.is_empty() && !graph.is_empty() {
        graph.raise_entry_point(ElementId(0));
    }
    for &element in elements {
        graph.raise_entry_point(ElementId(element));
    }
    let top = graph.entry_point().map_or(0, |(_, level)| level);
    for level in 1..=top {
        let is_member = |place: &u32| graph.level(ElementId(elements[*place as usize])) >= level;
        let places: Vec<u32> = (0..elements.len() as u32).filter(is_member).collect();
        let members: Vec<u32> = places
            .iter()
            .map(|&place| elements[place as usize])
            .collect();
        let subset = subset(codes, &places)?;
        let forward = Forward::choose(&subset, effort, 0, watch)?;
        let lists = layer_lists(graph, level, Some(&members));
        forward.link_back(&subset, effort, lists, Some(&members), level, watch)?;
    }
    Ok(())
}

/// The lists of a layer's elements, for parallel writing.
fn layer_lists<'g>(
    graph: &'g mut MemoryGraph,
    level: Level,
    members: Option<&[u32]>,
) -> Vec<&'g mut [u32]> {
    let capacity = max_neighbors(graph.m(), level);
    let Some(members) = members else {
        return graph.lists_mut(true).chunks_exact_mut(capacity).collect();
    };
    let numbers: Vec<usize> = members
        .iter()
        .map(|&member| graph.list(ElementId(member), level))
        .collect();
    let mut lists = graph.lists_mut(false).chunks_exact_mut(capacity);
    let mut next = 0;
    let take = |number: usize| {
        let list = lists.nth(number - next);
        next = number + 1;
        list.expect("an element has its lists")
    };
    numbers.into_iter().map(take).collect()
}
