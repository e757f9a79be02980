//! Codes of some elements, copied from their pages: neighbor selection compares them with no page locked.

use hnsw::{ElementId, Vectors};
use layout::SlotState;
use quantize::{Codec, Query};

use super::page_graph::PageGraph;

/// Codes of live elements, sorted by element.
pub(crate) struct Codes<'a> {
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

    /// Adds an element, not among the others, by its code.
    pub(super) fn with(mut self, element: ElementId, code: &[u8]) -> Self {
        let at = self.elements.partition_point(|&other| other < element);
        self.elements.insert(at, element);
        let at = at * self.codec.code_len();
        self.bytes.splice(at..at, code.iter().copied());
        self
    }

    fn get(&self, element: ElementId) -> Option<&[u8]> {
        let at = self.elements.binary_search(&element).ok()?;
        let len = self.codec.code_len();
        Some(&self.bytes[at * len..][..len])
    }

    fn held(&self, element: u32) -> &[u8] {
        self.get(ElementId(element))
            .expect("only elements held have distances")
    }

    /// An element as a query; `None` if it is not live.
    pub(super) fn query(&self, element: ElementId) -> Option<Query> {
        self.get(element)
            .map(|code| self.codec.query_from_code(code))
    }

    /// The live ones among the elements, nearest to a query first.
    pub(super) fn nearest(
        &self,
        query: &Query,
        elements: impl Iterator<Item = ElementId>,
    ) -> Vec<ElementId> {
        let held =
            elements.filter_map(|element| Some((query.distance(self.get(element)?), element)));
        let mut nearest: Vec<(f32, ElementId)> = held.collect();
        nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        nearest.into_iter().map(|(_, element)| element).collect()
    }
}

impl Vectors for Codes<'_> {
    type Base<'v>
        = Query
    where
        Self: 'v;

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn base(&self, element: u32) -> Query {
        self.codec.query_from_code(self.held(element))
    }

    fn distance(&self, base: &Query, element: u32) -> f32 {
        base.distance(self.held(element))
    }

    fn half_square(&self, element: u32) -> f32 {
        hnsw::half_square(self.codec.metric(), || {
            let base = self.base(element);
            self.distance(&base, element)
        })
    }

    fn holds(&self, element: u32) -> bool {
        self.get(ElementId(element)).is_some()
    }
}
