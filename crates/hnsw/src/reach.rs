//! The reachable elements, found from lists in any order.
//!
//! A list whose element has been reached is followed; another one is kept until its element is, as far as memory allows. So
//! all lists need to be shown once: long before all have been shown, most of the elements shown are connected among each
//! other, their lists need not be kept any more, and far fewer are kept than there are. Where memory does not allow it the
//! lists are shown again.

use std::collections::{HashMap, TryReserveError};
use std::ops::Range;

use crate::{ElementId, ElementSet};

/// Elements of a layer to which ways lead from those it was started with.
pub struct Reach {
    reached: ElementSet,
    /// Elements whose neighbors are reached too.
    followed: ElementSet,
    /// Elements that were shown, and are not reached.
    unreached: ElementSet,
    /// Elements that were shown before they were reached, and whose lists were not kept.
    missed: ElementSet,
    /// Elements followed when the lists began to be shown again.
    followed_before: u64,
    kept: Lists,
    /// Elements reached whose lists were kept, to be followed.
    to_follow: Vec<ElementId>,
}

impl Reach {
    /// For elements with ids below `ids` and lists of at most `max` neighbors; it keeps the lists that fit into `bytes`.
    ///
    /// # Errors
    /// If there is not enough memory to begin with.
    pub fn new(ids: u64, max: usize, bytes: usize) -> Result<Self, TryReserveError> {
        Ok(Self {
            reached: ElementSet::with_room(ids)?,
            followed: ElementSet::with_room(ids)?,
            unreached: ElementSet::with_room(ids)?,
            missed: ElementSet::with_room(ids)?,
            followed_before: 0,
            kept: Lists::new(max, bytes),
            to_follow: Vec::new(),
        })
    }

    /// Starts from an element, or says that something leads to it; false if that was known.
    pub fn start_from(&mut self, element: ElementId) -> bool {
        let is_new = self.reached.insert(element);
        if is_new {
            if self.kept.contains(element) {
                // Room was reserved when the list was kept.
                self.to_follow.push(element);
            } else if self.unreached.contains(element) {
                self.missed.insert(element);
            }
            self.unreached.remove(element);
        }
        is_new
    }

    /// Shows the list of an element. What it leads to by lists kept is followed by [`Reach::follow`].
    pub fn show(&mut self, element: ElementId, neighbors: impl Iterator<Item = ElementId>) {
        if self.reached.contains(element) {
            if self.followed.insert(element) {
                self.missed.remove(element);
                neighbors.for_each(|neighbor| {
                    self.start_from(neighbor);
                });
            }
        } else if self.reached.has_room_for(element) {
            self.unreached.insert(element);
            self.keep(element, neighbors);
        }
    }

    fn keep(&mut self, element: ElementId, neighbors: impl Iterator<Item = ElementId>) {
        let wanted = (self.kept.len() + 1).saturating_sub(self.to_follow.len());
        if self.to_follow.try_reserve(wanted).is_ok() {
            self.kept.insert(element, neighbors);
        }
    }

    /// Follows up to `most` lists that were kept; false if there is none left to follow.
    pub fn follow(&mut self, most: usize) -> bool {
        for _ in 0..most {
            let Some(element) = self.to_follow.pop() else {
                return false;
            };
            self.followed.insert(element);
            for at in self.kept.take(element) {
                self.start_from(ElementId(self.kept.ids[at]));
            }
        }
        true
    }

    /// True if all lists must be shown once more: some were not kept whose elements have been reached since, and showing them
    /// the last time led on.
    #[must_use]
    pub fn needs_another_round(&mut self) -> bool {
        let led_on = self.followed.len() > self.followed_before;
        self.followed_before = self.followed.len();
        led_on && !self.missed.is_empty()
    }

    /// True if a way leads to an element.
    #[must_use]
    pub fn contains(&self, element: ElementId) -> bool {
        self.reached.contains(element)
    }

    /// Gives the memory of lists kept back, when none is shown any more.
    pub fn forget_lists(&mut self) {
        self.kept = Lists::new(self.kept.max, 0);
        self.to_follow = Vec::new();
    }

    /// Elements that were shown, and to which no way leads.
    #[must_use]
    pub fn take_unreached(&mut self) -> ElementSet {
        std::mem::take(&mut self.unreached)
    }
}

/// Neighbor lists, as many as a given memory has room for.
struct Lists {
    max: usize,
    /// Lists that there is room for.
    most: usize,
    places: HashMap<ElementId, u32>,
    /// Places of equal length one after the other: a count, then the ids.
    ids: Vec<u32>,
    free: Vec<u32>,
}

impl Lists {
    /// Bytes that a list takes beside its place: in the map, among the free places, among those to be followed.
    const BESIDE: usize = 32;
    /// Places added together, at least.
    const STEP: usize = 256;

    fn new(max: usize, bytes: usize) -> Self {
        let list = (max + 1) * size_of::<u32>() + Self::BESIDE;
        Self {
            max,
            most: (bytes / list).min(u32::MAX as usize / 2),
            places: HashMap::new(),
            ids: Vec::new(),
            free: Vec::new(),
        }
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    fn contains(&self, element: ElementId) -> bool {
        self.places.contains_key(&element)
    }

    /// Keeps a list if there is room.
    fn insert(&mut self, element: ElementId, neighbors: impl Iterator<Item = ElementId>) {
        if self.contains(element) || self.len() >= self.most || self.places.try_reserve(1).is_err()
        {
            return;
        }
        let Some(place) = self.free.pop().or_else(|| self.add_place()) else {
            return;
        };
        let first = place as usize * (self.max + 1);
        let mut count = 0;
        for (into, neighbor) in self.ids[first + 1..]
            .iter_mut()
            .zip(neighbors.take(self.max))
        {
            *into = neighbor.0;
            count += 1;
        }
        self.ids[first] = count;
        self.places.insert(element, place);
    }

    /// Returns `None` without memory.
    fn add_place(&mut self) -> Option<u32> {
        let stride = self.max + 1;
        let places = self.ids.len() / stride;
        if self.ids.capacity() - self.ids.len() < stride {
            // Not twice as many each time: what is promised is that they keep to the memory given.
            let more = (places / 8).max(Self::STEP).min(self.most);
            self.ids.try_reserve_exact(more * stride).ok()?;
        }
        self.free.try_reserve(places + 1 - self.free.len()).ok()?;
        self.ids.resize(self.ids.len() + stride, 0);
        u32::try_from(places).ok()
    }

    /// Takes a list out; its ids stay where this says until the next is kept.
    fn take(&mut self, element: ElementId) -> Range<usize> {
        let Some(place) = self.places.remove(&element) else {
            return 0..0;
        };
        // Room was reserved with the place.
        self.free.push(place);
        let first = place as usize * (self.max + 1);
        first + 1..first + 1 + self.ids[first] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: u32 = 3000;
    const MAX: usize = 4;

    /// A graph with random lists, of which a part leads nowhere but to itself; by a generator that always makes the same.
    fn graph(seed: u64) -> Vec<Vec<u32>> {
        let mut state = seed;
        let mut random = |below: u32| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            u32::try_from(state >> 33).unwrap() % below
        };
        (0..IDS)
            .map(|element| {
                let apart = element % 10 == 3;
                let neighbor = random(MAX as u32 + 1);
                (0..neighbor)
                    .map(|_| random(IDS / 10) * 10 + if apart { 3 } else { random(10) })
                    .collect()
            })
            .collect()
    }

    /// By the book: breadth first.
    fn reached(graph: &[Vec<u32>], from: u32) -> Vec<bool> {
        let mut reached = vec![false; graph.len()];
        let mut to_follow = vec![from];
        reached[from as usize] = true;
        while let Some(element) = to_follow.pop() {
            for &next in &graph[element as usize] {
                if !std::mem::replace(&mut reached[next as usize], true) {
                    to_follow.push(next);
                }
            }
        }
        reached
    }

    /// Shows all lists until it is done; returns how often.
    fn show(reach: &mut Reach, graph: &[Vec<u32>]) -> usize {
        let mut rounds = 0;
        loop {
            for (element, list) in (0..).zip(graph) {
                reach.show(ElementId(element), list.iter().copied().map(ElementId));
                while reach.follow(7) {}
            }
            rounds += 1;
            if !reach.needs_another_round() {
                return rounds;
            }
        }
    }

    #[test]
    fn all_is_reached_that_a_way_leads_to_whatever_the_memory() {
        for seed in 1..20 {
            let graph = graph(seed);
            for from in [0, 3, 1234] {
                let expected = reached(&graph, from);
                for bytes in [0, 100, 10_000, 1 << 20] {
                    let mut reach = Reach::new(IDS.into(), MAX, bytes).unwrap();
                    reach.start_from(ElementId(from));
                    let rounds = show(&mut reach, &graph);
                    let found: Vec<_> = (0..IDS).map(|id| reach.contains(ElementId(id))).collect();
                    assert_eq!(found, expected, "seed {seed}, from {from}, {bytes} bytes");
                    let unreached: Vec<_> = reach.take_unreached().iter().map(|id| id.0).collect();
                    let missing: Vec<_> = (0..IDS).filter(|&id| !expected[id as usize]).collect();
                    assert_eq!(
                        unreached, missing,
                        "seed {seed}, from {from}, {bytes} bytes"
                    );
                    assert!(
                        rounds == 1 || bytes < 1 << 20,
                        "{rounds} rounds with memory for all"
                    );
                }
            }
        }
    }

    #[test]
    fn lists_kept_keep_to_their_memory() {
        let mut lists = Lists::new(MAX, 10 * ((MAX + 1) * 4 + Lists::BESIDE));
        for element in 0..100 {
            lists.insert(ElementId(element), [ElementId(element + 1)].into_iter());
        }
        assert_eq!(lists.len(), 10);
        let taken = lists.take(ElementId(4));
        assert_eq!(lists.ids[taken], [5]);
        assert!(lists.take(ElementId(4)).is_empty());
        lists.insert(ElementId(70), [].into_iter());
        assert!(lists.contains(ElementId(70)));
        assert_eq!(lists.ids.len(), 10 * (MAX + 1));
    }
}
