//! A build without searching: neighbors by all pairs in small overlapping segments (PiPNN, arXiv 2602.21247).
//!
//! Insertion finds the neighbors of an element by a walk that waits for memory at every step. Here the elements are
//! first divided into leaves of some hundred vectors that are near each other, each element in several of them; in a
//! leaf the distances of all pairs are computed by a kernel that waits for nothing. In order:
//!
//! 1. `partition`: leaders by k-means, each vector in the leaves of its nearest leaders.
//! 2. `leaf`: all pairs of a leaf, and for each of its vectors Algorithm 4 over the nearest, by looking distances up.
//! 3. `merge`: what the leaves of a vector have chosen comes together and goes through Algorithm 4 again.
//!    Then links back: each list takes those in who chose it, and is cut to its capacity.
//! 4. The layers above by the same steps, over the elements that reach them.
//! 5. `connect`: whatever cannot be reached from the entry point is linked to something that can.
//!
//! Tasks share nothing that is written: each writes a part of an array that is cut up before. The result is the same
//! for any number of threads.

use super::leaf::{Choice, choose_in_leaves};
use super::merge::{choose_forward, link_back};
use super::partition::{Division, partition};
use super::{Stopped, Watch, connect};
use crate::{ElementId, Level, MemoryGraph, Params, max_neighbors};
use quantize::CodeSet;

/// How much work is put into a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effort {
    pub(super) division: Division,
    pub(super) choice: Choice,
    pub(super) m: usize,
}

impl Effort {
    fn new(params: &Params) -> Self {
        let kept = params.m.max(16);
        Self {
            division: Division {
                fanout: 2 + params.ef_construction / 16,
                target: 768,
                largest: 1536,
            },
            choice: Choice {
                nearest: 3 * kept,
                kept,
            },
            m: params.m,
        }
    }
}

/// Builds the graph of all vectors of a set, in the rayon pool of the caller. For L2 and inner products.
///
/// # Errors
/// When the watch says stop, or when there is no memory.
pub fn segments(codes: &CodeSet, params: &Params, watch: &Watch) -> Result<MemoryGraph, Stopped> {
    let mut graph = MemoryGraph::try_new(codes.len(), params.m)?;
    let effort = Effort::new(params);
    let order = build_layer(codes, &effort, &mut graph, 0, None, watch)?;
    graph.set_order(order);
    build_upper_layers(codes, &effort, &mut graph, watch)?;
    connect(&mut graph, codes, watch)?;
    Ok(graph)
}

fn build_upper_layers(
    codes: &CodeSet,
    effort: &Effort,
    graph: &mut MemoryGraph,
    watch: &Watch,
) -> Result<(), Stopped> {
    for element in (0..graph.len() as u32).map(ElementId) {
        graph.raise_entry_point(element);
    }
    let top = graph.entry_point().map_or(0, |(_, level)| level);
    for level in 1..=top {
        let members: Vec<u32> = (0..graph.len() as u32)
            .filter(|&e| graph.level(ElementId(e)) >= level)
            .collect();
        let mut subset = CodeSet::new(codes.dimensions(), codes.measure());
        subset.try_reserve(members.len())?;
        members
            .iter()
            .for_each(|&member| subset.push_from(codes, member));
        build_layer(&subset, effort, graph, level, Some(&members), watch)?;
    }
    Ok(())
}

/// Builds one layer: all elements, or `members`, whose codes these are. Returns them in the order of their leaves.
fn build_layer(
    codes: &CodeSet,
    effort: &Effort,
    graph: &mut MemoryGraph,
    level: Level,
    members: Option<&[u32]>,
    watch: &Watch,
) -> Result<Vec<u32>, Stopped> {
    let leaves = partition(codes, &effort.division, watch)?;
    let order = leaves.order(codes.len())?;
    let chosen = choose_in_leaves(codes, &leaves, &effort.choice, watch, |_| ())?;
    let forward = choose_forward(codes, &leaves, &chosen, &order, effort, watch)?;
    drop((leaves, chosen));
    let capacity = max_neighbors(effort.m, level);
    let lists = layer_lists(graph, level, members);
    link_back(codes, &forward, &order, members, lists, capacity, watch)?;
    Ok(order)
}

/// The lists of a layer's elements, to be written side by side.
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
