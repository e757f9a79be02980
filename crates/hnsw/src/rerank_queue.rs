//! Turns estimates into exact order with as few exact distances as possible.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Returns the finds of a search in exact order. Each find has a lower bound of its distance; its exact distance is
/// computed only if the bound does not exceed the nearest exact distance.
#[derive(Debug)]
pub struct RerankQueue<F, R> {
    found: BinaryHeap<Reverse<At<F>>>,
    measured: BinaryHeap<Reverse<At<R>>>,
    pushed: u64,
}

/// The caller's next step.
#[derive(Debug, PartialEq)]
pub enum Step<F, R> {
    /// Compute exact distances of this find, which are at least the bound, and push its rows.
    Rerank(F, f64),
    /// This row, at this distance, is the nearest of all.
    Emit(R, f64),
    /// The queue is empty.
    Empty,
}

/// An item at a distance; ties in the order of pushing.
#[derive(Debug)]
struct At<T> {
    distance: f64,
    sequence: u64,
    what: T,
}

impl<T> Ord for At<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance
            .total_cmp(&other.distance)
            .then(self.sequence.cmp(&other.sequence))
    }
}

impl<T> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for At<T> {}

impl<F, R> Default for RerankQueue<F, R> {
    fn default() -> Self {
        Self {
            found: BinaryHeap::new(),
            measured: BinaryHeap::new(),
            pushed: 0,
        }
    }
}

impl<F, R> RerankQueue<F, R> {
    /// Empties the queue and keeps its memory.
    pub fn clear(&mut self) {
        self.found.clear();
        self.measured.clear();
        self.pushed = 0;
    }

    /// Makes room for more finds and rows; false if there is no memory for them.
    #[must_use]
    pub fn reserve(&mut self, found: usize, measured: usize) -> bool {
        self.found.try_reserve(found).is_ok() && self.measured.try_reserve(measured).is_ok()
    }

    /// Adds a find whose distance is at least `bound`.
    pub fn push_estimate(&mut self, what: F, bound: f64) {
        let at = self.at(what, bound);
        self.found.push(Reverse(at));
    }

    /// Adds a row at its exact distance. NaN comes last.
    pub fn push_exact(&mut self, what: R, distance: f64) {
        let at = self.at(what, distance);
        self.measured.push(Reverse(at));
    }

    /// No row that comes from what is in it is nearer than this.
    #[must_use]
    pub fn bound(&self) -> Option<f64> {
        let found = self.found.peek().map(|Reverse(found)| found.distance);
        let measured = self.measured.peek().map(|Reverse(row)| row.distance);
        found.into_iter().chain(measured).min_by(f64::total_cmp)
    }

    /// The caller's next step.
    pub fn step(&mut self) -> Step<F, R> {
        let bound = self.found.peek().map(|Reverse(found)| found.distance);
        if let Some(Reverse(nearest)) = self.measured.peek()
            && bound.is_none_or(|bound| nearest.distance <= bound)
        {
            let Reverse(row) = self.measured.pop().expect("peeked just now");
            return Step::Emit(row.what, row.distance);
        }
        match self.found.pop() {
            Some(Reverse(found)) => Step::Rerank(found.what, found.distance),
            None => Step::Empty,
        }
    }

    /// The maximum bytes for the current contents, as heaps grow by doubling.
    #[must_use]
    pub fn memory(&self) -> usize {
        2 * (self.found.len() * size_of::<At<F>>() + self.measured.len() * size_of::<At<R>>())
    }

    /// Allocated bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.found.capacity() * size_of::<At<F>>() + self.measured.capacity() * size_of::<At<R>>()
    }

    fn at<T>(&mut self, what: T, distance: f64) -> At<T> {
        // A negative NaN would sort first.
        let distance = if distance.is_nan() {
            f64::NAN.abs()
        } else {
            distance
        };
        self.pushed += 1;
        At {
            distance,
            sequence: self.pushed,
            what,
        }
    }
}

/// Distances that differ by less, in relation to themselves, are taken for equal.
pub const ROUNDING: f64 = 1e-12;

/// True if a row may follow one at distance `last`: it is as far or farther, but for a matter of rounding. NaN follows everything.
#[must_use]
pub fn is_in_order(last: f64, distance: f64) -> bool {
    // Compared before anything is subtracted: the difference of infinities is a NaN, whose sign depends on the machine.
    distance.is_nan()
        || distance >= last
        || last.is_finite() && distance >= last - ROUNDING * last.abs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a queue over rows with bounds; returns the order and the number of exact distances.
    fn run(rows: &[(f64, f64)]) -> (Vec<usize>, usize) {
        let mut queue = RerankQueue::default();
        for (row, &(bound, _)) in rows.iter().enumerate() {
            queue.push_estimate(row, bound);
        }
        let (mut order, mut measured) = (Vec::new(), 0);
        loop {
            match queue.step() {
                Step::Rerank(row, _) => {
                    measured += 1;
                    queue.push_exact(row, rows[row].1);
                }
                Step::Emit(row, _) => order.push(row),
                Step::Empty => return (order, measured),
            }
        }
    }

    #[test]
    fn rows_come_in_exact_order_though_their_bounds_are_not() {
        assert_eq!(
            run(&[(1.0, 5.0), (2.0, 3.0), (2.5, 2.6), (4.0, 4.0)]).0,
            [2, 1, 3, 0]
        );
    }

    #[test]
    fn a_row_is_emitted_before_one_that_cannot_be_nearer_is_measured() {
        let mut queue = RerankQueue::<_, ()>::default();
        queue.push_estimate("far", 9.0);
        queue.push_exact((), 9.0);
        assert_eq!(queue.step(), Step::Emit((), 9.0));
        assert_eq!(queue.step(), Step::Rerank("far", 9.0));
    }

    #[test]
    fn bound_is_that_of_the_nearest_measured_or_not() {
        let mut queue = RerankQueue::default();
        assert_eq!(queue.bound(), None);
        queue.push_estimate("found", 3.0);
        assert_eq!(queue.bound(), Some(3.0));
        queue.push_exact("measured", 2.0);
        assert_eq!(queue.bound(), Some(2.0));
        assert_eq!(queue.step(), Step::Emit("measured", 2.0));
        assert_eq!(queue.bound(), Some(3.0));
    }

    #[test]
    fn nan_comes_last_whatever_its_sign() {
        assert_eq!(
            run(&[(0.0, -f64::NAN), (1.0, 7.0), (2.0, f64::INFINITY)]).0,
            [1, 2, 0]
        );
    }

    #[test]
    fn order_holds_for_infinities_and_both_signs_of_nan() {
        let nans = [f64::NAN.copysign(1.0), f64::NAN.copysign(-1.0)];
        let ascending = [
            f64::NEG_INFINITY,
            -1.0,
            -0.0,
            0.0,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        for (i, &last) in ascending.iter().enumerate() {
            assert!(
                ascending[i..]
                    .iter()
                    .all(|&distance| is_in_order(last, distance))
            );
            assert!(nans.iter().all(|&nan| is_in_order(last, nan)));
            let nearer = ascending[..i].iter().filter(|&&distance| distance != last);
            assert!(nearer.clone().all(|&distance| !is_in_order(last, distance)));
        }
        for nan in nans {
            assert!(nans.iter().all(|&other| is_in_order(nan, other)));
            assert!(!is_in_order(nan, f64::INFINITY));
        }
    }

    #[test]
    fn order_bears_rounding_and_no_more() {
        for last in [1.0, -1.0, 1e300, 1e-300] {
            assert!(is_in_order(last, last - 1e-13 * f64::abs(last)));
            assert!(!is_in_order(last, last - 1e-11 * f64::abs(last)));
        }
    }

    #[test]
    fn memory_is_of_what_is_in_it() {
        let mut queue = RerankQueue::<u32, u32>::default();
        for i in 0..1000 {
            queue.push_estimate(i, f64::from(i));
        }
        assert!(queue.memory() >= 1000 * size_of::<At<u32>>());
        queue.clear();
        assert_eq!(queue.memory(), 0);
        assert!(queue.capacity() >= 1000 * size_of::<At<u32>>());
    }

    proptest! {
        #[test]
        fn every_row_is_emitted_once_in_order(gaps in prop::collection::vec((0.0..10.0, 0.0..5.0), 0..50)) {
            let rows: Vec<(f64, f64)> = gaps.iter().map(|&(bound, gap)| (bound, bound + gap)).collect();
            let (order, measured) = run(&rows);
            prop_assert_eq!(measured, rows.len());
            prop_assert!(order.is_sorted_by(|&a, &b| rows[a].1 <= rows[b].1));
            let mut ids = order;
            ids.sort_unstable();
            prop_assert!(ids.into_iter().eq(0..rows.len()));
        }
    }
}
