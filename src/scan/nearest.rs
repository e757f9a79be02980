//! The nearest elements of many, in limited memory.

use std::cmp::Ordering;

use hnsw::ElementId;

use crate::error;

/// Bytes for an element here and in the rerank queue, whose heaps grow by doubling.
const ELEMENT: usize = 256;

/// Elements taken at first: enough for most queries. The next ones are as many as all before.
const FIRST: usize = 64;

/// An element with the lower bound of its rows' distances. Elements are ordered by it, equal ones by their ids.
pub(super) type Bounded = (f64, ElementId);

fn order(a: &Bounded, b: &Bounded) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Elements in the order of their bounds, from some place on: all, or the nearest if they are too many.
///
/// They are sorted only as far as they are taken.
#[derive(Default)]
pub(super) struct Nearest {
    elements: Vec<Bounded>,
    /// The number of elements kept.
    most: usize,
    /// Elements before this one are not wanted.
    from: Option<Bounded>,
    /// The nearest element left out: all before it are here.
    left_out: Option<Bounded>,
    /// True if elements may be added more than once.
    may_repeat: bool,
    taken: usize,
}

impl Nearest {
    /// Empties it for up to `memory` bytes of elements, and keeps its buffer.
    pub(super) fn begin(&mut self, memory: usize, may_repeat: bool) {
        *self = Self {
            elements: std::mem::take(&mut self.elements),
            most: (memory / ELEMENT).max(1),
            may_repeat,
            ..Self::default()
        };
        self.elements.clear();
    }

    /// Makes room for the elements from the nearest one left out on; false if none was.
    pub(super) fn go_on(&mut self) -> bool {
        self.elements.clear();
        self.from = self.left_out.take();
        self.from.is_some()
    }

    /// Adds an element.
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

    /// Ends the adding of elements: each is there once.
    pub(super) fn finish(&mut self) {
        if self.may_repeat {
            self.sort();
        }
    }

    /// Passes the next elements to `each`, in order. Returns the bound of those that follow: infinity if none does.
    pub(super) fn take(&mut self, mut each: impl FnMut(Bounded)) -> f64 {
        let count = self.next_count();
        let rest = self.elements.len() - count;
        let mut next = self.left_out;
        if let Some(last) = rest.checked_sub(1) {
            let (_, &mut of_rest, _) = self
                .elements
                .select_nth_unstable_by(last, |a, b| order(b, a));
            next = Some(of_rest);
        }
        self.elements[rest..].sort_unstable_by(order);
        self.elements.drain(rest..).for_each(&mut each);
        self.taken += count;
        next.map_or(f64::INFINITY, |(bound, _)| bound)
    }

    /// The number of elements that are taken next.
    pub(super) fn next_count(&self) -> usize {
        self.taken.max(FIRST).min(self.elements.len())
    }

    /// Allocated bytes.
    pub(super) fn memory(&self) -> usize {
        self.elements.capacity() * size_of::<Bounded>()
    }

    fn sort(&mut self) {
        self.elements.sort_unstable_by(order);
        self.elements.dedup();
    }

    /// Leaves out all elements but the nearest.
    fn cut(&mut self) {
        if self.may_repeat {
            self.sort();
        }
        if self.elements.len() > self.most {
            let (_, &mut first, _) = self.elements.select_nth_unstable_by(self.most, order);
            self.left_out = Some(first);
            self.elements.truncate(self.most);
        }
    }
}
