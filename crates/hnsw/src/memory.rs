//! The store of a build: u32 ids, never pointers.

use crate::link::{Compare, Link, Lists, Push};
use crate::vectors::{ElementQuery, Query, Vectors, candidate, choose};
use crate::{Candidate, ElementId, Level, Store, StoreMut, level_of, max_neighbors};
use std::collections::TryReserveError;
use std::marker::PhantomData;

/// An unused entry of a neighbor list. Unused entries are at its end.
const NONE: u32 = u32::MAX;

/// A graph in memory. Elements are numbered from 0, and the number determines an element's level.
///
/// Lists are stored in flat arrays, so that a builder can write many of them in parallel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryGraph {
    m: usize,
    /// The capacity of a list of layer 0: `2 * m`, unless the graph is a part of another.
    layer0_capacity: usize,
    levels: Vec<Level>,
    /// The lists of layer 0.
    layer0: Vec<u32>,
    /// The lists of the layers above, `m` entries each: an element's lists are adjacent, from layer 1 up.
    upper: Vec<u32>,
    /// The number of an element's first list in `upper`.
    upper_start: Vec<u32>,
    entry_point: Option<(ElementId, Level)>,
    order: Vec<u32>,
}

impl MemoryGraph {
    /// Bytes of a graph of `n` elements.
    #[must_use]
    pub fn bytes_needed(n: usize, m: usize) -> usize {
        Self::bytes_needed_with(n, m, max_neighbors(m, 0))
    }

    pub(crate) fn bytes_needed_with(n: usize, m: usize, layer0_capacity: usize) -> usize {
        let per_element = size_of::<Level>() + (layer0_capacity + 2) * size_of::<u32>();
        n * per_element + upper_lists(n, m) * m * size_of::<u32>()
    }

    /// A graph of `n` unlinked elements, in the order of their numbers.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn try_new(n: usize, m: usize) -> Result<Self, TryReserveError> {
        let mut levels = Vec::new();
        levels.try_reserve_exact(n)?;
        levels.extend((0..n).map(|i| level_of(i as u64, m)));
        Self::try_with_levels(levels, m, max_neighbors(m, 0))
    }

    /// A graph of elements of these levels.
    pub(crate) fn try_with_levels(
        levels: Vec<Level>,
        m: usize,
        layer0_capacity: usize,
    ) -> Result<Self, TryReserveError> {
        let n = levels.len();
        let upper_lists: usize = levels.iter().copied().map(usize::from).sum();
        let mut graph = Self {
            m,
            layer0_capacity,
            levels,
            layer0: Vec::new(),
            upper: Vec::new(),
            upper_start: Vec::new(),
            entry_point: None,
            order: Vec::new(),
        };
        graph.layer0.try_reserve_exact(n * layer0_capacity)?;
        graph.upper.try_reserve_exact(upper_lists * m)?;
        graph.upper_start.try_reserve_exact(n)?;
        graph.order.try_reserve_exact(n)?;
        graph.lay_out();
        Ok(graph)
    }

    fn lay_out(&mut self) {
        self.layer0
            .resize(self.levels.len() * self.layer0_capacity, NONE);
        let mut lists = 0;
        for &level in &self.levels {
            self.upper_start.push(lists);
            lists += u32::from(level);
        }
        self.upper.resize(lists as usize * self.m, NONE);
        self.order.extend(0..self.levels.len() as u32);
    }

    /// The capacity of a layer's lists.
    #[inline]
    pub(crate) fn capacity(&self, level: Level) -> usize {
        if level == 0 {
            self.layer0_capacity
        } else {
            self.m
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// True for a graph of no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Neighbors an element chooses; layer 0 keeps up to twice as many.
    #[must_use]
    pub fn m(&self) -> usize {
        self.m
    }

    /// The level of an element.
    #[inline]
    #[must_use]
    pub fn level(&self, element: ElementId) -> Level {
        self.levels[element.0 as usize]
    }

    /// The neighbors of an element on one of its layers.
    #[inline]
    #[must_use]
    pub fn neighbors(&self, of: ElementId, level: Level) -> &[u32] {
        let capacity = self.capacity(level);
        let start = self.list(of, level) * capacity;
        let list = match level {
            0 => &self.layer0[start..start + capacity],
            _ => &self.upper[start..start + capacity],
        };
        filled(list)
    }

    /// The entry point; `None` while no element is linked.
    #[must_use]
    pub fn entry_point(&self) -> Option<(ElementId, Level)> {
        self.entry_point
    }

    /// The elements in page order: neighbors near each other, if the build knows them.
    #[must_use]
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let numbers = self.layer0.capacity()
            + self.upper.capacity()
            + self.upper_start.capacity()
            + self.order.capacity();
        self.levels.capacity() * size_of::<Level>() + numbers * size_of::<u32>()
    }

    /// The graph as a store, for one type of query.
    pub fn view<Q: Query>(&self) -> View<'_, Q> {
        View {
            graph: self,
            query: PhantomData,
        }
    }

    /// The index of an element's list among the lists of layer 0, or of all layers above.
    #[inline]
    pub(crate) fn list(&self, of: ElementId, level: Level) -> usize {
        if level == 0 {
            return of.0 as usize;
        }
        assert!(
            level <= self.level(of),
            "an element has lists up to its level"
        );
        self.upper_start[of.0 as usize] as usize + usize::from(level) - 1
    }

    /// The entries of all lists of layer 0, or of the layers above, for parallel writing.
    pub(crate) fn lists_mut(&mut self, layer0: bool) -> &mut [u32] {
        if layer0 {
            &mut self.layer0
        } else {
            &mut self.upper
        }
    }

    /// Replaces the neighbors of an element.
    pub(crate) fn set_neighbors(
        &mut self,
        of: ElementId,
        level: Level,
        neighbors: impl Iterator<Item = u32>,
    ) {
        let capacity = self.capacity(level);
        let start = self.list(of, level) * capacity;
        let lists = self.lists_mut(level == 0);
        write_list(&mut lists[start..start + capacity], neighbors);
    }

    /// Sets the page order: every element once.
    pub(crate) fn set_order(&mut self, order: Vec<u32>) {
        debug_assert_eq!(order.len(), self.len());
        self.order = order;
    }

    pub(crate) fn raise_entry_point(&mut self, element: ElementId) {
        let level = self.level(element);
        if self.entry_point.is_none_or(|(_, highest)| level > highest) {
            self.entry_point = Some((element, level));
        }
    }
}

fn upper_lists(n: usize, m: usize) -> usize {
    (0..n).map(|i| usize::from(level_of(i as u64, m))).sum()
}

/// The used part of a list.
#[inline]
pub(crate) fn filled(list: &[u32]) -> &[u32] {
    &list[..list.partition_point(|&neighbor| neighbor != NONE)]
}

/// Writes neighbors into a list of sufficient capacity, and clears its remaining entries.
pub(crate) fn write_list(list: &mut [u32], neighbors: impl Iterator<Item = u32>) {
    let mut count = 0;
    for neighbor in neighbors {
        list[count] = neighbor;
        count += 1;
    }
    list[count..].fill(NONE);
}

/// A graph in memory as a searchable store.
#[derive(Debug)]
pub struct View<'g, Q> {
    graph: &'g MemoryGraph,
    query: PhantomData<fn(&Q)>,
}

impl<'g, Q> View<'g, Q> {
    /// The graph.
    #[must_use]
    pub fn graph(&self) -> &'g MemoryGraph {
        self.graph
    }
}

impl<Q: Query> Store for View<'_, Q> {
    type Query = Q;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point
    }

    #[inline]
    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        into.extend(
            self.graph
                .neighbors(of, level)
                .iter()
                .map(|&n| ElementId(n)),
        );
    }

    #[inline]
    fn estimate(&mut self, query: &Q, elements: &[ElementId], into: &mut Vec<Candidate>) {
        for element in elements {
            query.prefetch(element.0);
        }
        into.extend(elements.iter().map(|e| candidate(query.distance(e.0), e.0)));
    }
}

/// A graph in memory to which elements are added one by one, each under its own number: the oracle of the builders.
#[derive(Debug)]
pub struct Insertion<'a, V> {
    /// The graph that grows.
    pub graph: &'a mut MemoryGraph,
    /// The vectors of its elements.
    pub vectors: &'a V,
}

impl<V: Vectors> Store for Insertion<'_, V> {
    type Query = ElementId;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        into.extend(
            self.graph
                .neighbors(of, level)
                .iter()
                .map(|&n| ElementId(n)),
        );
    }

    fn estimate(&mut self, query: &ElementId, elements: &[ElementId], into: &mut Vec<Candidate>) {
        let query = self.element_query(*query);
        self.graph.view().estimate(&query, elements, into);
    }
}

impl<'a, V: Vectors> Insertion<'a, V> {
    fn element_query(&self, element: ElementId) -> ElementQuery<'a, V> {
        ElementQuery::new(self.vectors, element.0)
    }
}

impl<V: Vectors> StoreMut for Insertion<'_, V> {
    type Lists = Self;

    fn select(
        &mut self,
        query: &ElementId,
        candidates: &[Candidate],
        max: usize,
    ) -> Vec<Candidate> {
        let mut chosen = Vec::with_capacity(max);
        choose(self.vectors, query.0, candidates, max, &mut chosen);
        chosen
    }

    /// Equal vectors are merged before a build, not here.
    fn add_duplicate(&mut self, _query: &ElementId, _candidates: &[Candidate]) -> bool {
        false
    }

    fn add(&mut self, query: &ElementId, neighbors: &[Vec<Candidate>]) -> ElementId {
        for (level, chosen) in (0..).zip(neighbors) {
            let ids = chosen.iter().map(|c| c.element.0);
            self.graph.set_neighbors(*query, level, ids);
        }
        *query
    }

    fn lists(&mut self) -> &mut Self {
        self
    }

    fn raise_entry_point(&mut self, element: ElementId, _level: Level) {
        self.graph.raise_entry_point(element);
    }
}

impl<'a, V: Vectors> Compare for Insertion<'a, V> {
    type Vectors = &'a V;

    fn capacity(&self, level: Level) -> usize {
        self.graph.capacity(level)
    }

    fn vectors(&mut self, _elements: &[ElementId]) -> &'a V {
        self.vectors
    }
}

impl<V: Vectors> Lists for Insertion<'_, V> {
    fn push(&mut self, of: ElementId, level: Level, new: &[ElementId]) -> Push {
        let list = self.graph.neighbors(of, level);
        let missing = new
            .iter()
            .map(|new| new.0)
            .filter(|new| !list.contains(new));
        let longer: Vec<u32> = list.iter().copied().chain(missing).collect();
        if longer.len() > self.graph.capacity(level) {
            return Push::Full(list.iter().map(|&n| ElementId(n)).collect());
        }
        self.graph.set_neighbors(of, level, longer.into_iter());
        Push::Done
    }

    fn replace(
        &mut self,
        of: ElementId,
        level: Level,
        _old: &[ElementId],
        new: &[ElementId],
    ) -> bool {
        self.graph
            .set_neighbors(of, level, new.iter().map(|new| new.0));
        true
    }

    fn is_live(&mut self, _element: ElementId) -> bool {
        true
    }

    fn links_from(&mut self, elements: &[ElementId], level: Level) -> Vec<Link> {
        let links_of = |&from: &ElementId| {
            let list = self.graph.neighbors(from, level).iter();
            list.map(move |&to| Link {
                to: ElementId(to),
                from,
            })
        };
        elements.iter().flat_map(links_of).collect()
    }

    fn query(&mut self, element: ElementId) -> Option<ElementId> {
        Some(element)
    }
}
