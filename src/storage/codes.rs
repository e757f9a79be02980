//! Codes of some elements, copied from their pages: neighbor selection compares them with no page locked.

use std::collections::BTreeMap;

use hnsw::{
    Candidate, ElementId, fill_with_nearest, least_kept, repair_neighbors, select_neighbors,
};
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
    /// Copies the codes of the live ones among the elements.
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

    /// Adds an element by its code, without reading a page.
    pub(super) fn with(mut self, element: ElementId, code: &[u8]) -> Self {
        if let Err(at) = self.elements.binary_search(&element) {
            self.elements.insert(at, element);
            let at = at * self.codec.code_len();
            self.bytes.splice(at..at, code.iter().copied());
        }
        self
    }

    pub(super) fn get(&self, element: ElementId) -> Option<&[u8]> {
        let at = self.elements.binary_search(&element).ok()?;
        let len = self.codec.code_len();
        Some(&self.bytes[at * len..][..len])
    }

    /// An element as a query; `None` if it is not live.
    pub(super) fn query(&self, element: ElementId) -> Option<Query> {
        self.get(element)
            .map(|code| self.codec.query_from_code(code))
    }

    /// Elements as candidates, nearest to `base` first; elements not live are left out.
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

    /// The neighbors of an element with this code, chosen by a new one or kept when its list ran over: Algorithm 4 over codes,
    /// and the nearest of the rest up to `least_kept`. Candidates not live are left out.
    pub(super) fn select(
        &self,
        base: &[u8],
        candidates: &[Candidate],
        max: usize,
    ) -> Vec<Candidate> {
        let live: Vec<(Candidate, &[u8])> = candidates
            .iter()
            .filter_map(|&candidate| Some((candidate, self.get(candidate.element)?)))
            .collect();
        let (candidates, codes): (Vec<Candidate>, Vec<&[u8]>) = live.into_iter().unzip();
        let measure = self.codec.metric();
        let half_square =
            hnsw::half_square(measure, || self.codec.query_from_code(base).distance(base));
        let mut queries: Vec<Option<(Query, f32)>> = codes.iter().map(|_| None).collect();
        let mut selected = Vec::with_capacity(max);
        let between = |kept: usize, other: usize| {
            let (query, longer) = queries[kept].get_or_insert_with(|| {
                let query = self.codec.query_from_code(codes[kept]);
                let longer =
                    hnsw::half_square(measure, || query.distance(codes[kept])) - half_square;
                (query, longer)
            });
            query.distance(codes[other]) + *longer
        };
        select_neighbors(&candidates, max, between, &mut selected);
        fill_with_nearest(&candidates, least_kept(max), &mut selected);
        selected
    }

    /// The neighbors kept by `base`, completed up to `max` from the offered ones by Algorithm 4, and up to `fill` with the
    /// nearest of the rest. Both inputs are sorted nearest first.
    pub(super) fn complete(
        &self,
        base: &[u8],
        (kept, offered): (&[Candidate], &[Candidate]),
        max: usize,
        fill: usize,
    ) -> Vec<Candidate> {
        let measure = self.codec.metric();
        let half_square =
            hnsw::half_square(measure, || self.codec.query_from_code(base).distance(base));
        // Caches the queries: the nearest neighbors are compared with nearly all offered elements.
        let mut queries = BTreeMap::new();
        let mut completed = repair_neighbors(kept, offered, max, |offered, neighbor| {
            let query = queries.entry(neighbor.element).or_insert_with(|| {
                let code = self.get(neighbor.element)?;
                let query = self.codec.query_from_code(code);
                let longer = hnsw::half_square(measure, || query.distance(code)) - half_square;
                Some((query, longer))
            });
            let codes = query.as_ref().zip(self.get(offered.element));
            codes.map_or(f32::INFINITY, |((query, longer), code)| {
                query.distance(code) + longer
            })
        });
        fill_with_nearest(offered, fill, &mut completed);
        completed
    }
}
