//! The HNSW graph: search, insertion, builds.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod build;
mod calibrate;
mod check;
mod element_set;
mod insert;
mod link;
mod memory;
mod reach;
mod recall;
mod repair;
mod rerank_queue;
mod search;
mod select;
mod starts;
mod store;
mod vectors;
mod visited;

pub use calibrate::{
    BANDS, BATCH, Calibration, Calibrator, FIRST, NEAR, NEIGHBORS, TARGETS, Trace, Tracer,
    measure_of,
};
pub use check::{Extent, Finding, Flaw, Inspect, Member, check};
pub use element_set::ElementSet;
pub use insert::{StoreMut, insert};
pub use link::{Compare, Link, Lists, Push, force_link, link_back};
pub use memory::{Insertion, MemoryGraph, View};
pub use reach::Reach;
pub use recall::Recall;
pub use repair::{repair, repair_neighbors};
pub use rerank_queue::{ROUNDING, RerankQueue, Step, is_in_order};
pub use search::{Counters, Descent, Matters, Search, SearchOptions, Slack};
pub use select::{Room, least_kept, select_neighbors};
pub use starts::Starts;
pub use store::Store;
pub use vectors::{ElementQuery, Query, Vectors, choose, half_square};

/// The highest layer of an element; layer 0 holds all elements.
pub type Level = u8;

/// No element is drawn above this level, so an element's upper neighbor lists always fit in one page.
pub const MAX_LEVEL: Level = 15;

/// The list of an element in the graph of its group, beside its layers.
pub const GROUP: Level = Level::MAX;

/// True if every element has a list at this level: layer 0, and the graphs of groups.
#[inline]
#[must_use]
pub fn has_all_elements(level: Level) -> bool {
    matches!(level, 0 | GROUP)
}

/// The id of an element: its position in a build's memory, or its packed block and slot in an index.
/// `u32::MAX` is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementId(pub u32);

/// The options of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Neighbors an element chooses; layer 0 keeps up to `2 * m`.
    pub m: usize,
    /// Effort of construction: candidates considered per element.
    pub ef_construction: usize,
}

impl Params {
    /// The options of the graph of a group: a list keeps up to twice as many neighbors as an element chooses, `m` of the index.
    #[must_use]
    pub fn of_group(self) -> Self {
        Self {
            m: self.m / 2,
            ..self
        }
    }
}

/// An element with its distance, during a search. Candidates order nearest first, ties by element:
/// a total and deterministic order.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Distance to the query, estimated from the element's code.
    pub distance: f32,
    /// Half-width of the estimate's bound: the true distance is at least `distance - error`.
    pub error: f32,
    /// The element.
    pub element: ElementId,
    /// False for a tombstone: searches traverse it but never return it.
    pub live: bool,
}

impl Candidate {
    /// Distance and element as one number with the same order: one comparison instead of two and a branch.
    #[inline]
    fn key(&self) -> u64 {
        // As in `f32::total_cmp`: inverts the other bits of a negative number, then the sign, for an unsigned comparison.
        let bits = self.distance.to_bits().cast_signed();
        let ordered = (bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()).cast_unsigned();
        u64::from(ordered ^ 1 << 31) << 32 | u64::from(self.element.0)
    }
}

impl Ord for Candidate {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Candidate {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// Capacity of a neighbor list at a level (the paper's Mmax0 and Mmax).
#[inline]
#[must_use]
pub fn max_neighbors(m: usize, level: Level) -> usize {
    if level == 0 { 2 * m } else { m }
}

/// Draws a level from a key: geometric, one element in `m` reaches the next level.
/// The same key always gives the same level, so builds are deterministic.
#[must_use]
pub fn level_of(key: u64, m: usize) -> Level {
    let share = 1.0 / m.max(2) as f64;
    let drawn = (scramble(key) >> 11) as f64 / (1u64 << 53) as f64;
    let mut level = 0;
    let mut threshold = share;
    while drawn < threshold && level < MAX_LEVEL {
        level += 1;
        threshold *= share;
    }
    level
}

/// Spreads a key over all 64 bits (the finisher of splitmix64).
fn scramble(key: u64) -> u64 {
    let mut z = key.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_element_in_m_goes_on_to_the_next_level() {
        let levels: Vec<Level> = (0..100_000).map(|key| level_of(key, 16)).collect();
        let at_least = |level| levels.iter().filter(|&&l| l >= level).count();
        assert!((5_900..6_600).contains(&at_least(1)));
        assert!((320..460).contains(&at_least(2)));
    }

    #[test]
    fn levels_are_capped_and_repeatable() {
        for key in 0..100_000 {
            let level = level_of(key, 2);
            assert!(level <= MAX_LEVEL);
            assert_eq!(level, level_of(key, 2));
        }
    }

    #[test]
    fn candidates_order_as_their_distances_do_whatever_these_are() {
        let distances = [
            -f32::NAN,
            f32::NEG_INFINITY,
            -1.5,
            -f32::MIN_POSITIVE,
            -0.0,
            0.0,
            1e-40,
            2.5,
            f32::INFINITY,
            f32::NAN,
        ];
        let candidate = |distance| Candidate {
            distance,
            error: 0.0,
            element: ElementId(7),
            live: true,
        };
        for a in distances {
            for b in distances {
                assert_eq!(candidate(a).cmp(&candidate(b)), a.total_cmp(&b), "{a} {b}");
            }
        }
    }

    #[test]
    fn candidates_order_nearest_first_then_by_element() {
        let candidate = |distance, element| Candidate {
            distance,
            error: 0.0,
            element: ElementId(element),
            live: true,
        };
        let mut candidates = [candidate(2.0, 1), candidate(1.0, 7), candidate(1.0, 3)];
        candidates.sort();
        assert_eq!(candidates.map(|c| c.element.0), [3, 7, 1]);
    }
}
