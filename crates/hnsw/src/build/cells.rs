//! A build with little memory: one cell of the vectors at a time.
//!
//! Each vector joins the two nearest cells (`Cells`). One cell at a time is read into memory, and its graph is built alone
//! (`by_leaves`, `by_insertion`). The output is a list with distances for each element, so later steps need no codes:
//! `join` merges the lists of a vector's cells and keeps the nearest. `connect_ranges` then makes every element
//! reachable, reading a range of lists at a time. Upper layers are built in the same way, but as a whole from the lowest
//! layer that fits in memory (`Plan::whole_from`); their lists are always in memory (`UpperLayers`).
//!
//! The caller stores codes and lists, in memory or in files; nothing here reads or writes files.

use super::connect::connect_by_links;
use super::effort::Effort;
use super::leaders::{Leaders, all_ids};
use super::leaves::{Forward, bytes_of_layer, bytes_of_threads};
use super::merge::{Lists, Neighbor, fill, link_back};
use super::{Stopped, Vectors, Watch, batched};
use crate::vectors::{ElementQuery, candidate};
use crate::{Candidate, ElementId, GROUP, Level, MAX_LEVEL, MemoryGraph, Params, max_neighbors};
use quantize::CodeSet;
use rayon::prelude::*;

/// The number of cells per vector.
pub const CELLS_OF_A_VECTOR: usize = 2;

/// The minimum vectors of a cell: a smaller cell would hold only a few leaves.
const SMALLEST_CELL: usize = 4096;

/// The minimum bytes of a cell, even if memory is smaller. (With 384 dimensions, cells of 16 MB lower recall at 40
/// candidates by .01 compared with a build in memory, cells of 4 MB by .02.)
const SMALLEST_CELL_BYTES: usize = 24 << 20;

/// The sample for choosing cells: vectors per cell, and a minimum.
const SAMPLE_OF_A_CELL: usize = 64;
const SMALLEST_SAMPLE: usize = 4096;

/// The method of building a cell's graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By all pairs of leaves, over the codes of a build.
    Leaves,
    /// By insertion in batches, for any metric.
    Insertion,
}

/// A plan for a build within its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Cells to divide the vectors into.
    pub cells: usize,
    /// The maximum vectors of a cell: a larger one is divided again.
    pub largest_cell: usize,
    /// The lowest layer built as a whole, at least 1.
    pub whole_from: Level,
    /// Bytes left for one cell, or for the steps before and after.
    pub room: usize,
}

/// The input of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Vectors.
    pub n: usize,
    /// Dimensions of each vector.
    pub dimensions: usize,
    /// The method of building a cell's graph.
    pub method: Method,
    /// Bytes of a cell's vector in memory, codes and bookkeeping included.
    pub bytes_of_vector: usize,
    /// Options of the index.
    pub params: Params,
    /// True if elements have lists in their groups.
    pub is_grouped: bool,
}

impl Task {
    /// Plans the build within `budget` bytes, in this rayon pool.
    ///
    /// The minimum is four bytes per vector, the lists of the upper layers and one minimal cell; a smaller budget is exceeded.
    #[must_use]
    pub fn plan(&self, budget: usize) -> Plan {
        let fixed = self.n * size_of::<u32>() + UpperLayers::bytes_needed(self.n, self.params.m);
        let room = budget.saturating_sub(fixed);
        let for_cell = room.saturating_sub(self.bytes_of_threads());
        let bytes = for_cell.max(SMALLEST_CELL_BYTES);
        let largest_cell =
            (bytes / self.bytes_of_cell_vector()).clamp(SMALLEST_CELL, self.n.max(SMALLEST_CELL));
        // Cell sizes vary: with room for one half more than the average, few cells are divided again.
        let cells = (CELLS_OF_A_VECTOR * self.n).div_ceil(largest_cell * 2 / 3);
        let share_of_layer = |level: u8| self.params.m.max(2).saturating_pow(level.into());
        let fits = |level: &u8| self.n / share_of_layer(*level) <= largest_cell;
        Plan {
            cells: cells.max(CELLS_OF_A_VECTOR),
            largest_cell,
            whole_from: (1..MAX_LEVEL).find(fits).unwrap_or(MAX_LEVEL),
            room,
        }
    }

    fn bytes_of_threads(&self) -> usize {
        match self.method {
            Method::Leaves => bytes_of_threads(self.n, self.dimensions, &self.params),
            Method::Insertion => 0,
        }
    }

    fn bytes_of_cell_vector(&self) -> usize {
        let lists = Self::bytes_of_lists(max_neighbors(self.params.m, 0));
        let building = self.bytes_of_building(&self.params);
        let in_groups = match self.is_grouped {
            true => self.bytes_of_groups(),
            false => 0,
        };
        self.bytes_of_vector + lists + building.max(in_groups)
    }

    /// Bytes of a vector in the groups of a cell, while one with all vectors is built: the vectors by group, twice, the lists of
    /// all groups, and of this one the codes and the lists.
    fn bytes_of_groups(&self) -> usize {
        let some = 1 << 16;
        let lists = Self::bytes_of_lists(max_neighbors(self.params.m, GROUP));
        let codes = match self.method {
            Method::Leaves => CodeSet::bytes_needed(some, self.dimensions).div_ceil(some),
            Method::Insertion => 0,
        };
        2 * size_of::<u32>() + 2 * lists + codes + self.bytes_of_building(&self.params.of_group())
    }

    /// Bytes of a vector in the order and the lists of a layer.
    fn bytes_of_lists(capacity: usize) -> usize {
        Lists::bytes_needed(1, capacity) + size_of::<u32>()
    }

    /// Bytes of a vector while a layer is built.
    fn bytes_of_building(&self, params: &Params) -> usize {
        let some = 1 << 16;
        let bytes = match self.method {
            Method::Leaves => {
                let effort = Effort::new(params).divided(CELLS_OF_A_VECTOR);
                bytes_of_layer(some, self.dimensions, &effort)
            }
            Method::Insertion => MemoryGraph::bytes_needed(some, params.m),
        };
        bytes / some + 1
    }
}

/// The centers of the cells.
#[derive(Debug)]
pub struct Cells(Leaders);

impl Cells {
    /// The size of the sample for `count` cells.
    #[must_use]
    pub fn sample_size(cells: usize) -> usize {
        (cells * SAMPLE_OF_A_CELL).max(SMALLEST_SAMPLE)
    }

    /// Finds up to `count` cells for vectors like those of this sample.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn choose(sample: &CodeSet, count: usize, watch: &Watch) -> Result<Self, Stopped> {
        let ids = all_ids(sample)?;
        Ok(Self(Leaders::choose(sample, &ids, count, watch)?))
    }

    /// The number of cells.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The `cells` nearest to each vector (or all, if fewer), nearest first, one vector after the other.
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

/// A layer of a cell: its elements, ordered so that near ones are adjacent, and their lists.
#[derive(Debug)]
pub struct Layer {
    order: Vec<u32>,
    lists: Lists,
}

impl Layer {
    /// The lists of no group yet, with memory for groups of `count` elements in all.
    ///
    /// # Errors
    /// If memory runs out.
    pub fn of_groups(count: usize, m: usize) -> Result<Self, Stopped> {
        let mut order = Vec::new();
        order.try_reserve_exact(count)?;
        Ok(Self {
            order,
            lists: Lists::with_capacity(count, max_neighbors(m, GROUP))?,
        })
    }

    /// Appends the lists of a group; its elements get the numbers after those of the groups before it.
    pub fn add_group(&mut self, group: &Self) {
        let first = self.order.len() as u32;
        self.order
            .extend(group.order.iter().map(|element| first + element));
        self.lists.append(&group.lists, first);
    }

    /// Elements, by position in the cell, with their neighbors, nearest first.
    pub fn lists(&self) -> impl Iterator<Item = (u32, &[Neighbor])> {
        (0..)
            .zip(&self.order)
            .map(|(place, &element)| (element, self.lists.list(place)))
    }
}

/// The graph of one layer of a cell, of a group in it, or of a whole layer, by leaves. For L2 and inner products.
///
/// # Errors
/// When the watch says stop, or when there is no memory.
pub fn by_leaves(
    codes: &CodeSet,
    params: &Params,
    level: Level,
    whole: bool,
    watch: &Watch,
) -> Result<Layer, Stopped> {
    let effort =
        Effort::new(&params_at(params, level)).divided(if whole { 1 } else { CELLS_OF_A_VECTOR });
    let share = share_of_cell(codes.len(), level);
    let forward = Forward::choose(codes, &effort, share, watch)?;
    let capacity = max_neighbors(params.m, level);
    let mut lists = Lists::try_new(codes.len(), capacity)?;
    link_back(
        codes,
        &forward.lists,
        &forward.order,
        (params.m, capacity),
        lists.each_mut().collect(),
        |(entries, length), selected| fill(entries, length, selected),
        watch,
    )?;
    Ok(Layer {
        order: forward.order,
        lists,
    })
}

/// The options for building a layer, or a group.
fn params_at(params: &Params, level: Level) -> Params {
    match level {
        GROUP => params.of_group(),
        _ => *params,
    }
}

/// The finished elements that a layer of `n` vectors counts for: a vector is on layer 0 of several cells.
fn share_of_cell(n: usize, level: Level) -> usize {
    match level {
        0 => n / CELLS_OF_A_VECTOR,
        _ => 0,
    }
}

/// The same by insertion, for any metric.
///
/// # Errors
/// When the watch says stop, or when there is no memory.
pub fn by_insertion<V: Vectors>(
    vectors: &V,
    params: &Params,
    level: Level,
    watch: &Watch,
) -> Result<Layer, Stopped> {
    let share = share_of_cell(vectors.len(), level);
    let graph = batched::build(vectors, &params_at(params, level), share, watch)?;
    let capacity = max_neighbors(params.m, level);
    let mut lists = Lists::try_new(graph.len(), capacity)?;
    let elements: Vec<_> = lists.each_mut().zip(0..).collect();
    elements
        .into_par_iter()
        .for_each(|((entries, length), element)| {
            let query = ElementQuery::new(vectors, element);
            let neighbors = graph.neighbors(ElementId(element), 0).iter();
            let mut near: Vec<Candidate> = neighbors.map(|&n| query.measure(n)).collect();
            near.sort_unstable();
            near.truncate(capacity);
            fill(entries, length, &near);
        });
    Ok(Layer {
        order: graph.order().to_vec(),
        lists,
    })
}

/// Merges an element's lists from its cells: the nearest of all, without duplicates.
pub fn join(near: &mut Vec<Neighbor>, capacity: usize) {
    near.sort_unstable_by_key(|near| candidate(near.distance, near.element));
    near.dedup_by_key(|near| near.element);
    near.truncate(capacity);
}

/// The lists of all layers above 0, for the few elements there.
#[derive(Debug)]
pub struct UpperLayers {
    /// The elements, in ascending order.
    elements: Vec<u32>,
    /// A graph whose lowest layer is layer 1.
    graph: MemoryGraph,
}

impl UpperLayers {
    /// The approximate bytes for a build of `n` elements.
    #[must_use]
    pub fn bytes_needed(n: usize, m: usize) -> usize {
        let elements = n.div_ceil(m.max(2));
        elements * (size_of::<u32>() + size_of::<Level>())
            + MemoryGraph::bytes_needed_with(elements, m, m)
    }

    /// Empty lists for these elements (in ascending order) and their levels (at least 1).
    ///
    /// # Errors
    /// If memory runs out.
    pub fn try_new(elements: Vec<u32>, levels: &[Level], m: usize) -> Result<Self, Stopped> {
        let mut below = Vec::new();
        below.try_reserve_exact(levels.len())?;
        below.extend(levels.iter().map(|level| level - 1));
        let mut graph = MemoryGraph::try_with_levels(below, m, m)?;
        for element in 0..elements.len() as u32 {
            graph.raise_entry_point(ElementId(element));
        }
        Ok(Self { elements, graph })
    }

    /// The elements and their levels.
    pub fn elements(&self) -> impl Iterator<Item = (u32, Level)> {
        let level = |place: u32| self.graph.level(ElementId(place)) + 1;
        self.elements
            .iter()
            .zip(0..)
            .map(move |(&element, place)| (element, level(place)))
    }

    /// The level of an element, 0 if it is not an upper element.
    #[must_use]
    pub fn level(&self, element: u32) -> Level {
        self.place(element)
            .map_or(0, |place| self.graph.level(place) + 1)
    }

    /// The neighbors of an element on one of its layers.
    pub fn neighbors(&self, element: u32, level: Level) -> impl Iterator<Item = u32> {
        let place = self.place(element).expect("an element of this layer");
        let places = self.graph.neighbors(place, level - 1).iter();
        places.map(|&place| self.elements[place as usize])
    }

    /// Sets the neighbors of an element on one of its layers, without those not on this layer.
    pub fn set_neighbors(
        &mut self,
        element: u32,
        level: Level,
        neighbors: impl Iterator<Item = u32>,
    ) {
        let place = self.place(element).expect("an element of this layer");
        let is_member = |&neighbor: &ElementId| self.graph.level(neighbor) + 1 >= level;
        let places: Vec<u32> = neighbors
            .filter_map(|neighbor| self.place(neighbor).filter(is_member))
            .map(|place| place.0)
            .collect();
        self.graph
            .set_neighbors(place, level - 1, places.into_iter());
    }

    /// Makes every element of every layer reachable from the entry point.
    ///
    /// # Errors
    /// When the watch says stop, or when there is no memory.
    pub fn connect(&mut self, watch: &Watch) -> Result<(), Stopped> {
        connect_by_links(&mut self.graph, watch)
    }

    /// The entry point, an element of the highest level, and its level.
    #[must_use]
    pub fn entry_point(&self) -> Option<(u32, Level)> {
        let (place, level) = self.graph.entry_point()?;
        Some((self.elements[place.0 as usize], level + 1))
    }

    fn place(&self, element: u32) -> Option<ElementId> {
        let place = self.elements.binary_search(&element).ok()?;
        Some(ElementId(place as u32))
    }
}
