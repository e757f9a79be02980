//! The check of a built layer 0: a search for an element's own vector finds it, or the element is linked again.
//!
//! A leaf holds vectors near to each other. So elements of a far group may be linked among each other and from nowhere else, and so
//! may long vectors around many short ones, whose nearest lie in leaves all over. Few searches show that there are such
//! elements. Then all elements are searched for, and each one that is missed is linked from where its search ended: any
//! search that comes there finds it.
//!
//! Elements that are merely hard to find, since all are about as far from each other, are found with a few candidates more. They need no
//! further links, and to search for all takes as long as the build.

use super::effort::LARGEST_LEAF;
use super::order::insertion_order;
use super::per_thread::PerThread;
use super::{Stopped, Vectors, Watch, connect};
use crate::vectors::ElementQuery;
use crate::{Candidate, ElementId, MemoryGraph, Search};
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// The candidates of a search.
const EF: usize = 16;

/// Links to an element that was missed, where lists have room; one always.
const LINKS: usize = 4;

/// Links of an element that was missed to the nearest found, where its list has room.
const LINKS_BACK: usize = 8;

/// The elements searched for at first: a thirty-second of all, within these limits.
const SAMPLE: RangeInclusive<usize> = 256..=1024;

/// The candidates of a search for an element of the sample. 500,000 mixtures of text embeddings miss 1 to 3 % of it with `EF`, and
/// 0.3 to 0.6 % with these; groups miss as many with both.
const SAMPLE_EF: usize = 2 * EF;

/// For each so many elements as many candidates more are taken: the more rows, the harder are these to find. Of a million such mixtures
/// one in 100 was missed with `SAMPLE_EF`.
const MANY: usize = 1 << 18;

/// All elements are searched for if at least one in so many of the sample is missed.
const ONE_IN: usize = 100;

/// Elements searched for before those missed are linked: an eighth of those before, within these limits.
const BATCH: RangeInclusive<usize> = 256..=1 << 14;

/// Links every element that a search for its own vector misses.
pub(super) fn mend<V: Vectors>(
    graph: &mut MemoryGraph,
    vectors: &V,
    watch: &Watch,
) -> Result<(), Stopped> {
    // All of so few have met in one leaf.
    if graph.len() <= LARGEST_LEAF {
        return Ok(());
    }
    let mut order = insertion_order(graph)?;
    // Elements of upper layers come last: the layers lead to them.
    order.reverse();
    let mut batch = clamp(order.len() / 32, &SAMPLE);
    let sample = &order[..batch.min(order.len())];
    let ef = SAMPLE_EF * (order.len() / MANY).max(1);
    let missed = find_missed(graph, vectors, sample, ef, watch)?;
    if missed.len() * ONE_IN < sample.len() {
        return Ok(());
    }
    let mut done = 0;
    while done < order.len() {
        let elements = &order[done..(done + batch).min(order.len())];
        let missed = find_missed(graph, vectors, elements, EF, watch)?;
        for missed in &missed {
            missed.link(graph);
        }
        done += elements.len();
        batch = clamp(done / 8, &BATCH);
    }
    Ok(())
}

fn clamp(count: usize, limits: &RangeInclusive<usize>) -> usize {
    count.clamp(*limits.start(), *limits.end())
}

/// An element that a search missed.
struct Missed {
    element: ElementId,
    /// What the search found instead, nearest first.
    found: Vec<ElementId>,
}

/// Searches for these elements in parallel, with so many candidates.
fn find_missed<V: Vectors>(
    graph: &MemoryGraph,
    vectors: &V,
    elements: &[ElementId],
    ef: usize,
    watch: &Watch,
) -> Result<Vec<Missed>, Stopped> {
    let scratch = PerThread::new(<(Search, Vec<Candidate>)>::default);
    let missed: Vec<Option<Missed>> = elements
        .par_iter()
        .map(|&element| {
            watch.check()?;
            let (search, found) = &mut *scratch.mine();
            let query = ElementQuery::new(vectors, element.0);
            let mut view = graph.view();
            found.clear();
            if let Some(descent) = search.descend(&mut view, &query, 0) {
                search.layer(&mut view, &query, &[descent.nearest], 0, ef, found);
            }
            Ok(is_missed(&query.measure(element.0), found).then(|| Missed {
                element,
                found: found.iter().map(|near| near.element).collect(),
            }))
        })
        .collect::<Result<_, Stopped>>()?;
    Ok(missed.into_iter().flatten().collect())
}

/// True if an element is not among the found and nearer than one of them: by inner product, many may be nearer to it than
/// itself.
fn is_missed(element: &Candidate, found: &[Candidate]) -> bool {
    let is_beyond = |furthest: &Candidate| element.distance >= furthest.distance;
    let is_full_of_nearer = found.len() >= EF && found.last().is_some_and(is_beyond);
    !found.is_empty() && !found.contains(element) && !is_full_of_nearer
}

impl Missed {
    /// Links the element from the nearest found, each of which its search has expanded, and to them.
    fn link(&self, graph: &mut MemoryGraph) {
        let Self { element, found } = self;
        connect::link(graph, found, *element, 0);
        let has_taken = |near: &&ElementId| add(graph, **near, *element);
        found
            .iter()
            .filter(has_taken)
            .take(LINKS - 1)
            .for_each(drop);
        for &near in found.iter().take(LINKS_BACK) {
            add(graph, *element, near);
        }
    }
}

/// Adds a neighbor to a list with room that lacks it; false if it was not added.
fn add(graph: &mut MemoryGraph, of: ElementId, new: ElementId) -> bool {
    let list = graph.neighbors(of, 0);
    let fits = list.len() < graph.capacity(0) && !list.contains(&new.0);
    if fits {
        let longer: Vec<u32> = list.iter().copied().chain([new.0]).collect();
        graph.set_neighbors(of, 0, longer.into_iter());
    }
    fits
}
