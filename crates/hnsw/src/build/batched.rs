//! Insertion in batches: no locks, and the same graph for any number of threads.
//!
//! The elements of a batch search the graph of the earlier batches in parallel and choose their neighbors. Then the links
//! back are grouped by target, and one task writes each target's list. Elements of one batch do not find each other: a
//! batch is a small fraction of the graph and a random sample of all elements, so the loss is negligible.

use super::mend::mend;
use super::order::insertion_order;
use super::per_thread::PerThread;
use super::{Stopped, Vectors, Watch, connect};
use crate::insert::find_neighborhood;
use crate::memory::{filled, write_list};
use crate::vectors::{ElementQuery, candidate, choose, cut};
use crate::{Candidate, ElementId, Level, MemoryGraph, Params, Search, View, max_neighbors};
use rayon::prelude::*;
use std::ops::Range;

/// The maximum size of a batch, as a fraction of the elements before it.
const SHARE: usize = 16;

/// Bounds the memory of a batch's links.
const LARGEST: usize = 1 << 14;

/// Builds the graph of all `vectors`, in the rayon pool of the caller.
///
/// # Errors
/// If the watch says stop, or if memory for the graph runs out.
pub fn batched<V: Vectors>(
    vectors: &V,
    params: &Params,
    watch: &Watch,
) -> Result<MemoryGraph, Stopped> {
    build(vectors, params, vectors.len(), watch)
}

/// Builds the graph of a group of all `vectors`; `params` are of the index. The watch's count of finished elements stays as it
/// is.
///
/// # Errors
/// If the watch says stop, or if memory for the graph runs out.
pub fn batched_group<V: Vectors>(
    vectors: &V,
    params: &Params,
    watch: &Watch,
) -> Result<MemoryGraph, Stopped> {
    build(vectors, &params.of_group(), 0, watch)
}

/// The same, adding `share` to the watch's count of finished elements.
pub(super) fn build<V: Vectors>(
    vectors: &V,
    params: &Params,
    share: usize,
    watch: &Watch,
) -> Result<MemoryGraph, Stopped> {
    let mut graph = MemoryGraph::try_new(vectors.len(), params.m)?;
    let order = insertion_order(&graph)?;
    let builder = Builder {
        vectors,
        params,
        watch,
        share,
        scratch: PerThread::new(Scratch::default),
    };
    let mut done = 0;
    while done < order.len() {
        let size = (done / SHARE).clamp(1, LARGEST).min(order.len() - done);
        builder.insert_batch(&mut graph, &order, done..done + size)?;
        done += size;
    }
    mend(&mut graph, vectors, watch)?;
    connect(&mut graph, vectors, watch)?;
    Ok(graph)
}

/// The shared state of a build's tasks.
struct Builder<'a, V> {
    vectors: &'a V,
    params: &'a Params,
    watch: &'a Watch,
    /// The elements that the watch counts for all vectors.
    share: usize,
    scratch: PerThread<Scratch>,
}

#[derive(Default)]
struct Scratch {
    search: Search,
    candidates: Vec<Candidate>,
    selected: Vec<Candidate>,
}

/// A new element's chosen neighbors on one layer.
struct Chosen {
    element: ElementId,
    level: Level,
    neighbors: Vec<Candidate>,
}

/// A link back to a new element, for a list of the graph.
#[derive(Clone, Copy)]
struct Link {
    list: u32,
    of: ElementId,
    new: ElementId,
    distance: f32,
}

impl<V: Vectors> Builder<'_, V> {
    /// Inserts the elements at `places` of the insertion order.
    fn insert_batch(
        &self,
        graph: &mut MemoryGraph,
        order: &[ElementId],
        places: Range<usize>,
    ) -> Result<(), Stopped> {
        let batch = &order[places.clone()];
        let chosen: Vec<Vec<Chosen>> = places
            .into_par_iter()
            .map(|place| {
                let chosen = self.choose_neighbors(graph, order[place])?;
                let share_before = |place: usize| place * self.share / order.len();
                self.watch
                    .add_done(share_before(place + 1) - share_before(place));
                Ok(chosen)
            })
            .collect::<Result<_, Stopped>>()?;
        for Chosen {
            element,
            level,
            neighbors,
        } in chosen.iter().flatten()
        {
            let ids = neighbors.iter().map(|c| c.element.0);
            graph.set_neighbors(*element, *level, ids);
        }
        for on_layer0 in [true, false] {
            let chosen = chosen
                .iter()
                .flatten()
                .filter(|c| (c.level == 0) == on_layer0);
            let mut links: Vec<Link> = chosen.flat_map(|c| links_back(graph, c)).collect();
            links.par_sort_unstable_by(|a, b| {
                let by_distance = || a.distance.total_cmp(&b.distance);
                a.list
                    .cmp(&b.list)
                    .then_with(by_distance)
                    .then(a.new.cmp(&b.new))
            });
            self.link_back(graph, on_layer0, &links)?;
        }
        for &element in batch {
            graph.raise_entry_point(element);
        }
        Ok(())
    }

    fn choose_neighbors(
        &self,
        graph: &MemoryGraph,
        element: ElementId,
    ) -> Result<Vec<Chosen>, Stopped> {
        self.watch.check()?;
        let query = ElementQuery::new(self.vectors, element.0);
        let select = |_: &mut View<'_, _>, _: &_, candidates: &[Candidate], max: usize| {
            let mut chosen = Vec::with_capacity(max);
            choose(self.vectors, element.0, candidates, max, &mut chosen);
            chosen
        };
        let level = graph.level(element);
        let search = &mut self.scratch.mine().search;
        let found = find_neighborhood(
            &mut graph.view(),
            search,
            &query,
            self.params,
            level,
            select,
        );
        let by_level = (0..).zip(found.neighbors);
        let chosen = by_level.map(|(level, neighbors)| Chosen {
            element,
            level,
            neighbors,
        });
        Ok(chosen.collect())
    }

    /// Enters links, sorted by list, into the lists of layer 0 or of the layers above.
    fn link_back(
        &self,
        graph: &mut MemoryGraph,
        on_layer0: bool,
        links: &[Link],
    ) -> Result<(), Stopped> {
        let capacity = max_neighbors(graph.m(), u8::from(!on_layer0));
        let mut lists = graph.lists_mut(on_layer0).chunks_exact_mut(capacity);
        let mut next = 0;
        let tasks: Vec<(&mut [u32], &[Link])> = links
            .chunk_by(|a, b| a.list == b.list)
            .map(|group| {
                let list = lists.nth(group[0].list as usize - next);
                next = group[0].list as usize + 1;
                (list.expect("an element has its lists"), group)
            })
            .collect();
        tasks
            .into_par_iter()
            .try_for_each(|(list, links)| self.enter(list, links))
    }

    /// Adds new neighbors to one list; if they do not all fit, Algorithm 4 keeps the best of old and new.
    fn enter(&self, list: &mut [u32], links: &[Link]) -> Result<(), Stopped> {
        self.watch.check()?;
        let count = filled(list).len();
        if count + links.len() <= list.len() {
            for (place, link) in list[count..].iter_mut().zip(links) {
                *place = link.new.0;
            }
            return Ok(());
        }
        let Scratch {
            candidates,
            selected,
            ..
        } = &mut *self.scratch.mine();
        let base = ElementQuery::new(self.vectors, links[0].of.0);
        candidates.clear();
        candidates.extend(list[..count].iter().map(|&neighbor| base.measure(neighbor)));
        candidates.extend(
            links
                .iter()
                .map(|link| candidate(link.distance, link.new.0)),
        );
        candidates.sort_unstable();
        selected.clear();
        cut(
            self.vectors,
            links[0].of.0,
            candidates,
            list.len(),
            selected,
        );
        write_list(list, selected.iter().map(|c| c.element.0));
        Ok(())
    }
}

fn links_back(graph: &MemoryGraph, chosen: &Chosen) -> impl Iterator<Item = Link> {
    chosen.neighbors.iter().map(|neighbor| Link {
        list: graph.list(neighbor.element, chosen.level) as u32,
        of: neighbor.element,
        new: chosen.element,
        distance: neighbor.distance,
    })
}
