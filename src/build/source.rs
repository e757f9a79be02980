//! The input of page writing: a graph and its elements, in memory or in files.
//!
//! Elements are identified by their position in page order, from 0.

use hnsw::{ElementId, Level, MemoryGraph};
use layout::{Group, HeapTid, INLINE_TIDS, OVERFLOW_TIDS};

use super::feed::Elements;
use super::format::to_u32;
use super::groups::GroupLists;
use crate::error;

/// A finished graph, read in the order of its pages.
pub(super) trait Source {
    /// The number of elements.
    fn len(&self) -> u32;

    /// The entry point and its level.
    fn entry_point(&self) -> Option<(u32, Level)>;

    /// Elements with lists above layer 0, in ascending order, and their levels.
    fn upper_elements(&self) -> Vec<(u32, Level)>;

    /// Appends the neighbors of an element on a layer above layer 0.
    fn upper_neighbors(&self, place: u32, level: Level, into: &mut Vec<u32>);

    /// Appends an element's code and its neighbors on layer 0. Called once per element, in ascending order.
    fn element(&mut self, place: u32, code: &mut Vec<u8>, neighbors: &mut Vec<u32>) -> Rows;

    /// Appends an element's neighbors in its group, and returns the group; `None` in an index without groups. Called once
    /// for each element, right after `element`.
    fn group(&mut self, place: u32, neighbors: &mut Vec<u32>) -> Option<Group>;

    /// The number of overflow slots, for rows beyond those in the elements' own slots.
    fn overflow_slots(&self) -> u32;

    /// Returns the contents of an overflow slot in `into`. Called once per slot, in ascending order, after all elements.
    fn overflow(&mut self, number: u32, into: &mut OverflowRows);
}

/// The rows of an element.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) first: HeapTid,
    pub(super) second: Option<HeapTid>,
    /// The first overflow slot, for further rows.
    pub(super) overflow: Option<u32>,
}

const _: () = assert!(INLINE_TIDS == 2);

/// The rows of an overflow slot.
#[derive(Default)]
pub(super) struct OverflowRows {
    pub(super) owner: u32,
    pub(super) next: Option<u32>,
    /// Decreases along the chain, to 0.
    pub(super) serial: u32,
    pub(super) tids: Vec<HeapTid>,
}

/// A graph and elements in memory.
pub(super) struct InMemory<'a> {
    elements: &'a Elements,
    graph: &'a MemoryGraph,
    groups: Option<&'a GroupLists>,
    /// The position of each element in page order.
    places: Vec<u32>,
    chains: Vec<ChainLink>,
}

/// A future overflow slot: a range of `Elements::more`.
struct ChainLink {
    element: u32,
    first: usize,
    count: usize,
    serial: u32,
}

impl<'a> InMemory<'a> {
    pub(super) fn new(
        elements: &'a Elements,
        graph: &'a MemoryGraph,
        groups: Option<&'a GroupLists>,
    ) -> Self {
        let mut places = vec![0; elements.len()];
        for (place, &element) in (0..).zip(graph.order()) {
            places[element as usize] = place;
        }
        let mut chains = Vec::new();
        let mut first = 0;
        for rows in elements.more.chunk_by(|a, b| a.0 == b.0) {
            // The element's own slot holds the first of these rows.
            let beyond = rows.len() - 1;
            let slots = beyond.div_ceil(OVERFLOW_TIDS);
            chains.extend((0..slots).map(|slot| ChainLink {
                element: rows[0].0,
                first: first + 1 + slot * OVERFLOW_TIDS,
                count: (beyond - slot * OVERFLOW_TIDS).min(OVERFLOW_TIDS),
                serial: u32::try_from(slots - 1 - slot).unwrap_or_else(|_| error::index_full()),
            }));
            first += rows.len();
        }
        Self {
            elements,
            graph,
            groups,
            places,
            chains,
        }
    }

    /// The position of each element in page order.
    pub(super) fn into_places(self) -> Vec<u32> {
        self.places
    }

    fn element_at(&self, place: u32) -> u32 {
        self.graph.order()[place as usize]
    }

    fn append_places(&self, element: u32, level: Level, into: &mut Vec<u32>) {
        let neighbors = self.graph.neighbors(ElementId(element), level).iter();
        into.extend(neighbors.map(|&neighbor| self.places[neighbor as usize]));
    }

    fn second_row(&self, element: u32) -> Option<HeapTid> {
        let more = &self.elements.more;
        let row = more.get(more.partition_point(|row| row.0 < element))?;
        (row.0 == element).then_some(row.1)
    }

    fn chain_of(&self, element: u32) -> Option<u32> {
        let number = self.chains.partition_point(|link| link.element < element);
        let link = self.chains.get(number)?;
        (link.element == element).then(|| to_u32(number))
    }
}

impl Source for InMemory<'_> {
    fn len(&self) -> u32 {
        to_u32(self.elements.len())
    }

    fn entry_point(&self) -> Option<(u32, Level)> {
        let (element, level) = self.graph.entry_point()?;
        Some((self.places[element.0 as usize], level))
    }

    fn upper_elements(&self) -> Vec<(u32, Level)> {
        let level = |&element: &u32| self.graph.level(ElementId(element));
        let levels = (0..).zip(self.graph.order().iter().map(level));
        levels.filter(|&(_, level)| level > 0).collect()
    }

    fn upper_neighbors(&self, place: u32, level: Level, into: &mut Vec<u32>) {
        self.append_places(self.element_at(place), level, into);
    }

    fn element(&mut self, place: u32, code: &mut Vec<u8>, neighbors: &mut Vec<u32>) -> Rows {
        let element = self.element_at(place);
        code.extend_from_slice(self.elements.codes.get(element));
        self.append_places(element, 0, neighbors);
        Rows {
            first: self.elements.tids[element as usize],
            second: self.second_row(element),
            overflow: self.chain_of(element),
        }
    }

    fn group(&mut self, place: u32, neighbors: &mut Vec<u32>) -> Option<Group> {
        let element = self.element_at(place);
        let in_group = self.groups?.neighbors(element);
        neighbors.extend(in_group.map(|neighbor| self.places[neighbor as usize]));
        Some(self.elements.groups[element as usize])
    }

    fn overflow_slots(&self) -> u32 {
        to_u32(self.chains.len())
    }

    fn overflow(&mut self, number: u32, into: &mut OverflowRows) {
        let link = &self.chains[number as usize];
        into.owner = self.places[link.element as usize];
        into.next = (link.serial > 0).then_some(number + 1);
        into.serial = link.serial;
        into.tids.clear();
        let rows = &self.elements.more[link.first..link.first + link.count];
        into.tids.extend(rows.iter().map(|row| row.1));
    }
}
