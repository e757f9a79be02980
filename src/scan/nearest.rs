//! The nearest elements of many, in limited memory.

use std::cmp::Ordering;

use hnsw::ElementId;

use crate::error;

/// Bytes for an element here and in the rerank queue, whose heaps grow by doubling.
const ELEMENT: usize = 256;

/// An element with the lower bound of its rows' distances. Elements are ordered by it, equal ones by their ids.
pub(super) type Bounded = (f64, ElementId);

fn order(a: &Bounded, b: &Bounded) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Elements in the order of their bounds, from some place on: all, or the nearest if they are too many.
pub(super) struct Nearest {
    elements: Vec<Bounded>,
    /// The number of elements kept.
    most: usize,
    /// Elements before this one are not wanted.
    from: Option<Bounded>,
    /// The nearest element left out: all before it are here.
    left_out: Option<Bounded>,
}

impl Nearest {
    /// Elements from a place on, in up to `memory` bytes.
    pub(super) fn new(from: Option<Bounded>, memory: usize) -> Self {
        Self {
            elements: Vec::new(),
            most: (memory / ELEMENT).max(1),
            from,
            left_out: None,
        }
    }

    /// Adds an element, which may be there already.
    pub(super) fn push(&mut self, element: Bounded) {
        if self.elements.len() >= 2 * self.most {
            self.cut();
        }
        let is_before = |place: &Bounded| order(&element, place).is_lt();
        if self.from.as_ref().is_some_and(is_before)
            || self
                .left_out
                .as_ref()
                .is_some_and(|place| !is_before(place))
        {
            return;
        }
        if self.elements.try_reserve(1).is_err() {
            error::out_of_memory(self.elements.len() * size_of::<Bounded>());
        }
        self.elements.push(element);
    }

    /// The elements, each once, and the nearest one left out.
    pub(super) fn finish(mut self) -> (Vec<Bounded>, Option<Bounded>) {
        self.elements.sort_unstable_by(order);
        self.elements.dedup();
        (self.elements, self.left_out)
    }

    /// Leaves out all elements but the nearest.
    fn cut(&mut self) {
        self.elements.sort_unstable_by(order);
        self.elements.dedup();
        if let Some(&first) = self.elements.get(self.most) {
            self.left_out = Some(first);
            self.elements.truncate(self.most);
        }
    }
}
