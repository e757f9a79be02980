//! Codes of some elements, copied from their pages: neighbor selection compares them with no page locked.

use std::collections::BTreeMap;

use hnsw::{Candidate, ElementId, repair_neighbors, select_neighbors};
use layout::SlotState;
use quantize::{Codec, Query};

use super::page_graph::PageGraph;

/// Codes of live elements, sorted by element.
pub(super) struct Codes<'a> {
    codec: &'a Codec,
    elements: Vec<ElementId>,
    bytes: Vec<u8>,
}

impl<'a> Codes<'a> {
    /// Copies the codes of those elements that are live.
    pub(super) fn read(graph: &mut PageGraph<'a>, elements: &[ElementId]) -> Self {
        let codec = graph.index().codec();
        let mut codes = Self {
            codec,
            elements: Vec::with_capacity(elements.len() + 1),
            bytes: Vec::with_capacity((elements.len() + 1) * codec.code_len()),
        };
        // Elements are visited in ascending order, so the list comes out sorted.
        graph.visit_elements(elements, |element, page, slot| {
            let (state, code) = page.code(slot)?;
            if state == SlotState::Live && codes.elements.last() != Some(&element) {
                codes.elements.push(element);
                codes.bytes.extend_from_slice(code);
            }
            Ok(())
        });
        codes
    }

    /// Adds an element whose code is at hand.
    pub(super) fn with(mut self, element: ElementId, code: &[u8]) -> Self {
        if let Err(at) = self.elements.binary_search(&element) {
            self.elements.insert(at, element);
            let at = at * self.codec.code_len();
            self.bytes.splice(at..at, code.iter().copied());
        }
        self
    }

    fn get(&self, element: ElementId) -> Option<&[u8]> {
        let at = self.elements.binary_search(&element).ok()?;
        let len = self.codec.code_len();
        Some(&self.bytes[at * len..][..len])
    }

    /// An element as a query; none if it is not live.
    pub(super) fn query(&self, element: ElementId) -> Option<Query> {
        self.get(element)
            .map(|code| self.codec.query_from_code(code))
    }

    /// Elements as candidates, nearest to `base` first; those that are not live are left out.
    pub(super) fn candidates(
        &self,
        base: &Query,
        elements: impl Iterator<Item = ElementId>,
    ) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = elements
            .filter_map(|element| {
                let distance = base.distance(self.get(element)?);
                Some(Candidate {
                    distance,
                    error: 0.0,
                    element,
                    live: true,
                })
            })
            .collect();
        candidates.sort_unstable();
        candidates
    }

    /// Algorithm 4 over codes; candidates that are not live are left out.
    pub(super) fn select(&self, candidates: &[Candidate], max: usize) -> Vec<Candidate> {
        let live: Vec<(Candidate, &[u8])> = candidates
            .iter()
            .filter_map(|&candidate| Some((candidate, self.get(candidate.element)?)))
            .collect();
        let (candidates, codes): (Vec<Candidate>, Vec<&[u8]>) = live.into_iter().unzip();
        let mut queries: Vec<Option<Query>> = codes.iter().map(|_| None).collect();
        let mut selected = Vec::with_capacity(max);
        let between = |kept: usize, other: usize| {
            queries[kept]
                .get_or_insert_with(|| self.codec.query_from_code(codes[kept]))
                .distance(codes[other])
        };
        select_neighbors(&candidates, max, between, &mut selected);
        selected
    }

    /// The neighbors kept, completed up to `max` from those offered. Both are sorted nearest first.
    pub(super) fn complete(
        &self,
        kept: &[Candidate],
        offered: &[Candidate],
        max: usize,
    ) -> Vec<Candidate> {
        // The nearest neighbors are compared with nearly all that is offered.
        let mut queries = BTreeMap::new();
        repair_neighbors(kept, offered, max, |offered, neighbor| {
            let query = queries
                .entry(neighbor.element)
                .or_insert_with(|| self.query(neighbor.element));
            let codes = query.as_ref().zip(self.get(offered.element));
            codes.map_or(f32::INFINITY, |(query, code)| query.distance(code))
        })
    }
}
