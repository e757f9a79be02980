//! Codes of some elements, copied from their pages: neighbor selection compares them with no page locked.

use std::sync::Arc;

use hnsw::{ElementId, Vectors};
use layout::SlotState;
use quantize::{CenteredQuery, Codecs, Coded};

use super::page_graph::PageGraph;

/// Codes of live elements, sorted by element.
pub(crate) struct Codes {
    codecs: Arc<Codecs>,
    elements: Vec<ElementId>,
    centers: Vec<u8>,
    bytes: Vec<u8>,
}

impl Codes {
    /// Copies the codes of the live ones among the elements.
    pub(super) fn read(graph: &mut PageGraph<'_>, elements: &[ElementId]) -> Self {
        let room = elements.len() + 1;
        let mut codes = Self {
            codecs: graph.index().codecs(),
            elements: Vec::with_capacity(room),
            centers: Vec::with_capacity(room),
            bytes: Vec::with_capacity(room * graph.index().geometry().code_len),
        };
        // Elements are visited in ascending order, so the list comes out sorted.
        graph.visit_elements(elements, |element, page, slot| {
            let code = page.code(slot)?;
            if code.state == SlotState::Live && codes.elements.last() != Some(&element) {
                codes.elements.push(element);
                codes.centers.push(code.center);
                codes.bytes.extend_from_slice(code.bytes);
            }
            Ok(())
        });
        for (&element, &center) in codes.elements.iter().zip(&codes.centers) {
            graph.know(element, center);
        }
        codes.codecs = graph.index().codecs();
        codes
    }

    /// Adds an element, not among the others, by its code.
    pub(super) fn with(mut self, element: ElementId, code: Coded<'_>) -> Self {
        let at = self.elements.partition_point(|&other| other < element);
        self.elements.insert(at, element);
        self.centers.insert(at, code.center);
        let at = at * self.codecs.first().code_len();
        self.bytes.splice(at..at, code.bytes.iter().copied());
        self
    }

    fn get(&self, element: ElementId) -> Option<Coded<'_>> {
        let at = self.elements.binary_search(&element).ok()?;
        let len = self.codecs.first().code_len();
        Some(Coded {
            center: self.centers[at],
            bytes: &self.bytes[at * len..][..len],
        })
    }

    fn between(&self, query: &CenteredQuery<'_>, code: Coded<'_>) -> f32 {
        let distance = query.distance(&self.codecs, code);
        distance.expect("the centers of codes read are known")
    }

    fn held(&self, element: u32) -> Coded<'_> {
        self.get(ElementId(element))
            .expect("only elements held have distances")
    }

    /// An element as a query; `None` if it is not live.
    pub(super) fn query(&self, element: ElementId) -> Option<CenteredQuery<'static>> {
        self.get(element)
            .map(|code| self.codecs.query_from_code(code).into_owned())
    }
}

impl Vectors for Codes {
    type Base<'v>
        = CenteredQuery<'v>
    where
        Self: 'v;

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn base(&self, element: u32) -> CenteredQuery<'_> {
        self.codecs.query_from_code(self.held(element))
    }

    fn distance(&self, base: &CenteredQuery<'_>, element: u32) -> f32 {
        self.between(base, self.held(element))
    }

    fn half_square(&self, element: u32) -> f32 {
        hnsw::half_square(self.codecs.first().metric(), || {
            let base = self.base(element);
            self.distance(&base, element)
        })
    }

    fn holds(&self, element: u32) -> bool {
        self.get(ElementId(element)).is_some()
    }
}
