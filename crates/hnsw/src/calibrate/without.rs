//! A graph without one of its elements, as a query from elsewhere meets it.

use crate::link::{candidates, elements};
use crate::{Candidate, Compare, ElementId, Level, Room, Store, Vectors, repair_neighbors};
use std::collections::BTreeMap;

/// A graph without one of its elements. The lists of layer 0 that name it have those of its neighbors in its place that it alone kept
/// out of them by Algorithm 4: had it never been there, these would know each other. With none a target of .90 is exceeded by .04,
/// with one or two for every list it is missed by .04 where no element has near ones (docs/design.md).
pub(super) struct Without<'s, S> {
    store: &'s mut S,
    element: ElementId,
    /// Its neighbors.
    own: Vec<ElementId>,
    /// The lists that named it, as they are without it: those of its neighbors, and others once they are asked for.
    lists: BTreeMap<ElementId, Vec<ElementId>>,
}

impl<'s, S: Compare> Without<'s, S> {
    pub(super) fn new(store: &'s mut S, element: ElementId) -> Self {
        let mut own = Vec::new();
        store.neighbors(element, 0, &mut own);
        let mut lists = BTreeMap::new();
        for &of in &own {
            let mut list = Vec::new();
            store.neighbors(of, 0, &mut list);
            if remove(&mut list, element) {
                lists.insert(of, list);
            }
        }
        complete(store, element, &own, &mut lists);
        Self {
            store,
            element,
            own,
            lists,
        }
    }
}

/// Removes an element from a list; false if the list does not name it.
fn remove(list: &mut Vec<ElementId>, element: ElementId) -> bool {
    let at = list.iter().position(|&other| other == element);
    at.map(|at| list.swap_remove(at)).is_some()
}

/// Adds to lists, from which an element was taken, what it alone kept out. `own` are its neighbors.
fn complete<S: Compare>(
    store: &mut S,
    element: ElementId,
    own: &[ElementId],
    lists: &mut BTreeMap<ElementId, Vec<ElementId>>,
) {
    let max = store.capacity(0);
    let mut held: Vec<ElementId> = lists.values().flatten().copied().collect();
    held.extend(lists.keys().chain(own).chain(&[element]));
    held.sort_unstable();
    held.dedup();
    let vectors = store.vectors(&held);
    if let Some(kept_out) = KeptOut::new(&vectors, element, own) {
        for (&of, list) in lists {
            kept_out.complete(of, list, max);
        }
    }
}

impl<S: Compare> Store for Without<'_, S> {
    type Query = S::Query;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.store.entry_point()
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        if level > 0 || of == self.element {
            self.store.neighbors(of, level, into);
            into.retain(|&neighbor| neighbor != self.element);
            return;
        }
        if let Some(list) = self.lists.get(&of) {
            into.extend(list);
            return;
        }
        let mut list = Vec::new();
        self.store.neighbors(of, level, &mut list);
        if remove(&mut list, self.element) {
            let mut lists = BTreeMap::from([(of, list)]);
            complete(self.store, self.element, &self.own, &mut lists);
            into.extend(lists.values().flatten());
            self.lists.append(&mut lists);
        } else {
            into.extend(list);
        }
    }

    fn estimate(&mut self, query: &S::Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        if elements != [self.element] {
            self.store.estimate(query, elements, into);
        }
    }

    fn prepare(&mut self, next: ElementId) {
        self.store.prepare(next);
    }
}

/// Finds the elements that one keeps out of the lists of its neighbors.
struct KeptOut<'v, V: Vectors> {
    vectors: &'v V,
    element: ElementId,
    to_itself: V::Base<'v>,
    /// Its neighbors, sorted.
    own: Vec<(ElementId, V::Base<'v>)>,
}

impl<'v, V: Vectors> KeptOut<'v, V> {
    /// `None` if the element is gone.
    fn new(vectors: &'v V, element: ElementId, own: &[ElementId]) -> Option<Self> {
        let held = own.iter().filter(|own| vectors.holds(own.0));
        let mut own: Vec<_> = held.map(|&own| (own, vectors.base(own.0))).collect();
        own.sort_unstable_by_key(|&(own, ..)| own);
        vectors.holds(element.0).then(|| Self {
            vectors,
            element,
            to_itself: vectors.base(element.0),
            own,
        })
    }

    /// Adds to a list, from which the element was taken, what it alone kept out: candidates farther than itself and
    /// nearer to it than to the list's owner, no farther than the last of the list.
    fn complete(&self, of: ElementId, list: &mut Vec<ElementId>, max: usize) {
        let vectors = self.vectors;
        if !vectors.holds(of.0) {
            return;
        }
        let (base, half_square) = (vectors.base(of.0), vectors.half_square(of.0));
        let longer = |other: ElementId| vectors.half_square(other.0) - half_square;
        let (place, longer_itself) = (
            vectors.distance(&base, self.element.0),
            longer(self.element),
        );
        let is_kept_out = |other: &ElementId| {
            let distance = vectors.distance(&base, other.0);
            distance > place
                && vectors.distance(&self.to_itself, other.0) + longer_itself <= distance
        };
        let others = self.own.iter().map(|&(own, ..)| own);
        let mut offered = others
            .filter(|other| *other != of && !list.contains(other))
            .filter(is_kept_out)
            .peekable();
        if offered.peek().is_none() {
            return;
        }
        let Some(kept) = candidates(vectors, of, list.iter().copied()) else {
            return;
        };
        let mut offered = candidates(vectors, of, offered).unwrap_or_default();
        offered.retain(|offered| kept.last().is_none_or(|last| offered <= last));
        let room = Room { max, least: 0 };
        let completed = repair_neighbors(&kept, &offered, room, |offered, neighbor| {
            let to = self
                .at(offered.element)
                .expect("only own neighbors are offered");
            vectors.distance(&to.1, neighbor.element.0) + longer(neighbor.element)
        });
        *list = elements(&completed);
    }

    fn at(&self, own: ElementId) -> Option<&(ElementId, V::Base<'v>)> {
        let at = self.own.binary_search_by_key(&own, |&(own, ..)| own).ok()?;
        self.own.get(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Insertion, MemoryGraph};

    /// Vectors in the plane.
    struct Plane(Vec<(f32, f32)>);

    impl Vectors for Plane {
        type Base<'v> = u32;

        fn len(&self) -> usize {
            self.0.len()
        }

        fn base(&self, vector: u32) -> u32 {
            vector
        }

        fn distance(&self, base: &u32, vector: u32) -> f32 {
            let (a, b) = (self.0[*base as usize], self.0[vector as usize]);
            (a.0 - b.0).hypot(a.1 - b.1)
        }
    }

    /// The list of element 0 without element 1, which it names beside `others`; element 1 names all.
    fn list_without(places: &[(f32, f32)], others: &[u32]) -> Vec<u32> {
        let plane = Plane(places.to_vec());
        let mut graph = MemoryGraph::try_new(places.len(), 8).expect("memory");
        let named = [1].into_iter().chain(others.iter().copied());
        graph.set_neighbors(ElementId(0), 0, named);
        let all = (0..plane.len() as u32).filter(|&other| other != 1);
        graph.set_neighbors(ElementId(1), 0, all);
        let mut store = Insertion {
            graph: &mut graph,
            vectors: &plane,
        };
        let mut list = Vec::new();
        Without::new(&mut store, ElementId(1)).neighbors(ElementId(0), 0, &mut list);
        list.sort_unstable();
        list.into_iter().map(|other| other.0).collect()
    }

    const OWNER: (f32, f32) = (0.0, 0.0);
    const LEFT_OUT: (f32, f32) = (2.0, 0.0);
    const FAR: (f32, f32) = (0.0, 5.0);

    #[test]
    fn what_it_alone_kept_out_takes_its_place() {
        assert_eq!(
            list_without(&[OWNER, LEFT_OUT, FAR, (3.0, 0.0)], &[2]),
            [2, 3]
        );
    }

    #[test]
    fn what_another_keeps_out_as_well_does_not() {
        let places = [OWNER, LEFT_OUT, FAR, (3.0, 0.0), (2.0, 1.0)];
        assert_eq!(list_without(&places, &[2, 4]), [2, 4]);
    }

    #[test]
    fn nor_what_is_nearer_than_itself_or_farther_than_the_last() {
        let places = [OWNER, LEFT_OUT, FAR, (1.0, -1.0), (5.5, 0.0)];
        assert_eq!(list_without(&places, &[2]), [2]);
    }

    #[test]
    fn nor_what_it_did_not_keep_out() {
        assert_eq!(
            list_without(&[OWNER, LEFT_OUT, FAR, (-3.0, 0.0)], &[2]),
            [2]
        );
    }

    #[test]
    fn only_the_nearest_of_those_kept_out_joins() {
        let places = [OWNER, LEFT_OUT, FAR, (3.0, 0.0), (4.0, 0.0)];
        assert_eq!(list_without(&places, &[2]), [2, 3]);
    }
}
