//! Exact neighbors of many queries, by one pass over the codes.
//!
//! A search has found a row at some distance for each query, so only elements whose codes allow a smaller one matter, and
//! their rows are measured. The bounds are much wider than those for ordering rows: a neighbor is lost once in 10^8.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hnsw::ElementId;
use quantize::{CenteredQuery, Codecs, Coded};

use super::asked::Asked;
use super::part::Part;
use crate::opclass::{BOUND_SCALE, OperatorClass};
use crate::pg::interrupt;
use crate::storage::pass;

/// The factor of the codes' own error bounds here.
const EXACT_BOUND_SCALE: f64 = 3.0;

/// Elements that wait for their rows to be measured, for each query; more of them are measured at once.
pub(super) const WAITING: usize = 256;

/// The nearest rows of a query.
pub(super) struct Nearest {
    /// The number of rows wanted.
    wanted: usize,
    /// As many rows as wanted are known within this distance.
    known: f64,
    nearest: BinaryHeap<Distance>,
    waiting: Vec<(f64, ElementId)>,
}

impl Nearest {
    pub(super) fn new(wanted: usize, known: f64) -> Self {
        Self {
            wanted,
            known,
            nearest: BinaryHeap::new(),
            waiting: Vec::new(),
        }
    }

    /// The number of nearest rows, and the distance of the last of them.
    pub(super) fn farthest(&self) -> (usize, f64) {
        if self.known < f64::INFINITY {
            return (self.wanted, self.limit());
        }
        let last = self.nearest.peek();
        (self.nearest.len(), last.map_or(f64::NAN, |last| last.0))
    }

    /// Rows at this distance, or beyond, change nothing.
    fn limit(&self) -> f64 {
        match self.nearest.peek() {
            Some(last) if self.nearest.len() == self.wanted => last.0.min(self.known),
            _ => self.known,
        }
    }

    fn push(&mut self, distance: f64) {
        if distance < self.limit() {
            if self.nearest.len() == self.wanted {
                self.nearest.pop();
            }
            self.nearest.push(Distance(distance));
        }
    }

    /// Keeps the elements of a page whose rows may be near enough; true if many wait now.
    fn keep(
        &mut self,
        class: &OperatorClass,
        query: &CenteredQuery<'static>,
        codecs: &Codecs,
        codes: &[(ElementId, Coded<'_>)],
    ) -> bool {
        let limit = self.limit();
        for &(element, code) in codes {
            let bound = bound(class, query.estimate(codecs, code));
            if bound < limit {
                self.waiting.push((bound, element));
            }
        }
        self.waiting.len() >= WAITING
    }

    /// Measures the rows of the waiting elements, nearest first.
    fn measure(&mut self, part: &mut Part, number: usize, asked: &Asked) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for &(bound, element) in &waiting {
            interrupt::check();
            if bound >= self.limit() {
                break;
            }
            part.each_row(element, asked, |distance, row| {
                if asked.own != Some((number, row)) {
                    self.push(distance);
                }
                bound < self.limit()
            });
        }
        waiting.clear();
        self.waiting = waiting;
    }
}

/// A distance in the order of all numbers.
struct Distance(f64);

impl Ord for Distance {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Distance {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Distance {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Distance {}

/// A lower bound of the distance of an element's rows.
#[expect(clippy::cast_possible_truncation, reason = "a small factor")]
fn bound(class: &OperatorClass, estimate: Option<(f32, f32)>) -> f64 {
    const WIDER: f32 = (EXACT_BOUND_SCALE / BOUND_SCALE) as f32;
    let (estimate, error) = estimate.expect("a pass knows the centers of its codes");
    class.lower_bound(estimate, WIDER * error)
}

/// Finds the nearest rows in a part, in addition to those of other parts.
pub(super) fn add(part: &mut Part, number: usize, asked: &[Asked], nearest: &mut [Nearest]) {
    let class = part.class;
    let index = part.index.clone();
    let queries: Vec<CenteredQuery<'static>> =
        asked.iter().map(|asked| part.codes(asked)).collect();
    pass::each_code_page(&index, |codecs, codes| {
        for ((query, nearest), asked) in queries.iter().zip(&mut *nearest).zip(asked) {
            if nearest.keep(&class, query, codecs, codes) {
                nearest.measure(part, number, asked);
            }
        }
    });
    for (nearest, asked) in nearest.iter_mut().zip(asked) {
        nearest.measure(part, number, asked);
    }
}
