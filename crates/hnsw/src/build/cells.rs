//! A build by segments when the codes do not fit in memory: one cell of them at a time.
//!
//! The vectors are divided into cells, each vector in the two cells nearest to it (`Cells`). For each cell its codes
//! are brought into memory and its elements choose their neighbors there (`PiecewiseBuild::build_cell`). What they
//! choose leaves the cell as links, element and neighbor and distance, and from there on no codes are needed: an
//! element's nearest links of both cells are merged, given to the elements at their other ends as well, and the
//! nearest of all make its list. Two passes over ranges of elements do that, so that no more than the links of one
//! range are in memory.
//!
//! Who calls keeps codes and links meanwhile, in memory or in files; nothing here reads or writes any. In order:
//! `build_cell` for each cell; `merge` for each range, with all links `of` its elements that the cells gave out;
//! `enter` for each range, with all links of its elements that `merge` gave out; `finish`.

use super::partition::Leaders;
use super::segments::{
    Effort, Forward, build_upper_layers, bytes_of_layer, bytes_of_threads, upper_members,
};
use super::{Stopped, Watch, connect_by_links, try_filled};
use crate::{ElementId, MemoryGraph, Params, max_neighbors};
use quantize::CodeSet;
use rayon::prelude::*;
use std::sync::atomic::Ordering;

/// Cells that a vector is in.
pub const CELLS_OF_A_VECTOR: usize = 2;

/// Below this a cell would be little more than a few leaves.
const SMALLEST_CELL: usize = 4096;

/// How a build fits into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Cells to divide the vectors into; one when all fit in memory.
    pub cells: usize,
    /// Vectors of a cell at most: one that came out larger has to be divided again.
    pub largest_cell: usize,
}

/// Plans the build of `n` vectors within `budget` bytes, codes and graph included, in this rayon pool.
///
/// The graph itself is always in memory, and a cell has some thousand vectors at least: a budget too small for that is
/// overdrawn by as much.
#[must_use]
pub fn plan(n: usize, dimensions: usize, params: &Params, budget: usize) -> Plan {
    let codes = CodeSet::bytes_needed(n, dimensions);
    if codes + super::segments_bytes_needed(n, dimensions, params) <= budget {
        return Plan {
            cells: 1,
            largest_cell: n,
        };
    }
    let upper = CodeSet::bytes_needed(n.div_ceil(params.m.max(2) - 1), dimensions);
    let fixed =
        MemoryGraph::bytes_needed(n, params.m) + upper + bytes_of_threads(n, dimensions, params);
    let some = 1 << 16;
    let per_vector =
        (CodeSet::bytes_needed(some, dimensions) + bytes_of_layer(some, dimensions, params)) / some
            + 1;
    let largest_cell =
        (budget.saturating_sub(fixed) / per_vector).clamp(SMALLEST_CELL, n.max(SMALLEST_CELL));
    // Cells come out of different sizes: with room for one half more than the average, few have to be divided again.
    let cells = (CELLS_OF_A_VECTOR * n)
        .div_ceil(largest_cell * 2 / 3)
        .max(CELLS_OF_A_VECTOR);
    Plan {
        cells,
        largest_cell,
    }
}

/// What vectors are divided into cells by.
pub struct Cells(Leaders);

impl Cells {
    /// Finds up to `count` cells for vectors like those of this sample; a few hundred a cell will do.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn choose(sample: &CodeSet, count: usize, watch: &Watch) -> Result<Self, Stopped> {
        let ids = all_ids(sample)?;
        Ok(Self(Leaders::choose(sample, &ids, count, watch)?))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The `cells` nearest to each vector (no more than there are), nearest first, one vector after the other.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn nearest(
        &self,
        codes: &CodeSet,
        cells: usize,
        watch: &Watch,
    ) -> Result<Vec<u32>, Stopped> {
        self.0
            .nearest(codes, &all_ids(codes)?, cells.min(self.count()), watch)
    }
}

fn all_ids(codes: &CodeSet) -> Result<Vec<u32>, Stopped> {
    let mut ids = try_filled(codes.len(), 0)?;
    ids.iter_mut().zip(0..).for_each(|(id, i)| *id = i);
    Ok(ids)
}

/// A neighbor of an element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Link {
    /// The element.
    pub of: u32,
    /// Its neighbor.
    pub to: u32,
    /// How far apart they are.
    pub distance: f32,
}

/// A build of one cell after the other.
pub struct PiecewiseBuild<'w> {
    effort: Effort,
    graph: MemoryGraph,
    /// Elements of the cells so far, those of a leaf together.
    order: Vec<u32>,
    placed: Vec<bool>,
    watch: &'w Watch,
    done_before: u64,
}

impl<'w> PiecewiseBuild<'w> {
    /// A build of `n` elements.
    ///
    /// # Errors
    /// When there is no memory for the graph.
    pub fn try_new(n: usize, params: &Params, watch: &'w Watch) -> Result<Self, Stopped> {
        let mut order = Vec::new();
        order.try_reserve_exact(n)?;
        Ok(Self {
            effort: Effort::new(params),
            graph: MemoryGraph::try_new(n, params.m)?,
            order,
            placed: try_filled(n, false)?,
            watch,
            done_before: watch.done.load(Ordering::Relaxed),
        })
    }

    /// Lets the elements of a cell choose neighbors among themselves. `codes` are those of `elements`.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn build_cell(&mut self, elements: &[u32], codes: &CodeSet) -> Result<Vec<Link>, Stopped> {
        assert_eq!(elements.len(), codes.len(), "every element has its code");
        let mut effort = self.effort;
        // Half of its leaves in each of its cells.
        effort.division.fanout = effort.division.fanout.div_ceil(CELLS_OF_A_VECTOR);
        let share = elements.len() / CELLS_OF_A_VECTOR;
        let forward = Forward::choose(codes, &effort, share, self.watch)?;
        let mut links = Vec::new();
        links.try_reserve_exact(
            (0..elements.len())
                .map(|place| forward.lists.list(place).len())
                .sum(),
        )?;
        for (place, &id) in forward.order.iter().enumerate() {
            let of = elements[id as usize];
            if !std::mem::replace(&mut self.placed[of as usize], true) {
                self.order.push(of);
            }
            let near = forward.lists.list(place).iter();
            links.extend(near.map(|near| Link {
                of,
                to: elements[near.element as usize],
                distance: near.distance,
            }));
        }
        Ok(links)
    }

    /// Keeps the nearest links of each element, and gives them out with their reverse.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn merge(&self, mut links: Vec<Link>) -> Result<Vec<Link>, Stopped> {
        let max = self.effort.m * 3 / 2;
        sort(&mut links);
        self.watch.check()?;
        let nearest = || {
            links
                .chunk_by(|a, b| a.of == b.of)
                .flat_map(|links| links.iter().take(max))
        };
        let mut both = Vec::new();
        both.try_reserve_exact(2 * nearest().count())?;
        for &link in nearest() {
            both.push(link);
            both.push(Link {
                of: link.to,
                to: link.of,
                distance: link.distance,
            });
        }
        Ok(both)
    }

    /// Makes the nearest links of each element its list.
    ///
    /// # Errors
    /// When the watch says stop.
    pub fn enter(&mut self, mut links: Vec<Link>) -> Result<(), Stopped> {
        let capacity = max_neighbors(self.effort.m, 0);
        sort(&mut links);
        self.watch.check()?;
        for links in links.chunk_by(|a, b| a.of == b.of) {
            let neighbors = links.iter().take(capacity).map(|link| link.to);
            self.graph
                .set_neighbors(ElementId(links[0].of), 0, neighbors);
        }
        Ok(())
    }

    /// The elements of the layers above the ground, in ascending order: `finish` needs their codes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn upper_elements(&self) -> Result<Vec<u32>, Stopped> {
        upper_members(&self.graph)
    }

    /// Builds the upper layers from the codes of `upper_elements` and connects what cannot be reached.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn finish(mut self, upper_codes: &CodeSet) -> Result<MemoryGraph, Stopped> {
        let elements = self.upper_elements()?;
        assert_eq!(
            elements.len(),
            upper_codes.len(),
            "every upper element has its code"
        );
        // Elements of no cell come last.
        self.order.extend(
            (0..)
                .zip(&self.placed)
                .filter(|(_, placed)| !**placed)
                .map(|(element, _)| element),
        );
        self.graph.set_order(self.order);
        build_upper_layers(
            upper_codes,
            &elements,
            &self.effort,
            &mut self.graph,
            self.watch,
        )?;
        connect_by_links(&mut self.graph, self.watch)?;
        self.watch.done.store(
            self.done_before + self.graph.len() as u64,
            Ordering::Relaxed,
        );
        Ok(self.graph)
    }
}

/// By element, nearest first; a link that came from both cells once.
fn sort(links: &mut Vec<Link>) {
    links.par_sort_unstable_by(|a, b| {
        let by_distance = || a.distance.total_cmp(&b.distance);
        a.of.cmp(&b.of).then_with(by_distance).then(a.to.cmp(&b.to))
    });
    links.dedup_by_key(|link| (link.of, link.to));
}
