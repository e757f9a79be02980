//! The invariants of a graph, as a function.

use crate::{ElementId, GROUP, Level, MemoryGraph, Query, Store, View, max_neighbors};

/// A store that can enumerate its elements.
pub trait Inspect: Store {
    /// Neighbors an element chooses; layer 0 keeps up to twice as many.
    fn m(&self) -> usize;

    /// True if elements have lists in groups.
    fn is_grouped(&self) -> bool {
        false
    }

    /// Appends all elements, in any order.
    fn members(&mut self, into: &mut Vec<Member>);
}

/// An element of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The element's id.
    pub element: ElementId,
    /// The element's level.
    pub level: Level,
    /// False for a tombstone.
    pub live: bool,
    /// A fingerprint of the element's group; any number in a store without groups.
    pub group: u32,
}

/// The kinds of flaws of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The entry point is not a member of the right level, though elements are live.
    EntryPoint,
    /// A list exceeds its capacity.
    Overfull,
    /// An element is its own neighbor.
    SelfLink,
    /// An element has a neighbor twice.
    Repeated,
    /// A neighbor is not a member.
    Dangling,
    /// A neighbor is not on this layer.
    TooLow,
    /// A neighbor in the element's group is of another group.
    OtherGroup,
    /// This live element has no neighbors in its group, which has another live element: the one named.
    Lonely,
    /// A neighbor is not live. This is normal until the next vacuum.
    Dead,
    /// This live element is unreachable from the entry point over the links of this layer.
    Unreachable,
}

/// A flaw and its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of flaw.
    pub flaw: Flaw,
    /// The element.
    pub element: ElementId,
    /// The layer.
    pub level: Level,
    /// The neighbor, if the flaw is of a link.
    pub neighbor: Option<ElementId>,
}

/// The extent of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Members, live or not.
    pub elements: u64,
    /// Members that are not live.
    pub dead: u64,
    /// Links of all layers.
    pub links: u64,
    /// Links of live members on layer 0.
    pub live_links: u64,
}

/// Graphs of fewer elements are never sparse: a list cannot have more neighbors than there are elements.
const FEWEST: u64 = 1000;

impl Extent {
    /// Members that are live.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.elements - self.dead
    }

    /// The neighbors of a live member on layer 0, on average.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn mean_degree(&self) -> f64 {
        self.live_links as f64 / self.live().max(1) as f64
    }

    /// True if a graph of some size has fewer than half of the neighbors that an element chooses. Builds, inserts and vacuum
    /// leave `m` and more; inserts of early versions did not, where a few elements are near to all others.
    #[must_use]
    pub fn is_sparse(&self, m: usize) -> bool {
        self.live() >= FEWEST && 2 * self.live_links < self.live() * m as u64
    }
}

/// Checks all elements and links of a graph, and calls `found` with every flaw.
pub fn check<S: Inspect>(store: &mut S, mut found: impl FnMut(Finding)) -> Extent {
    let mut members = Vec::new();
    store.members(&mut members);
    members.sort_unstable_by_key(|member| member.element);
    let mut check = Check {
        members: &members,
        of_groups: of_groups(store, &members),
        reached: vec![false; members.len()],
        found: &mut found,
    };
    check.check_entry_point(store);
    let mut extent = Extent::default();
    for member in &members {
        check.check_links(store, member, &mut extent);
    }
    check.check_reachability(store);
    extent
}

/// The live members sorted by group, with its fingerprint; none in a store without groups.
fn of_groups<S: Inspect>(store: &S, members: &[Member]) -> Vec<(u32, ElementId)> {
    if !store.is_grouped() {
        return Vec::new();
    }
    let live = members.iter().filter(|member| member.live);
    let mut of_groups: Vec<_> = live.map(|member| (member.group, member.element)).collect();
    of_groups.sort_unstable();
    of_groups
}

struct Check<'a, F> {
    /// The members, sorted by element.
    members: &'a [Member],
    /// The live members sorted by group.
    of_groups: Vec<(u32, ElementId)>,
    /// The members reachable on the current layer.
    reached: Vec<bool>,
    found: &'a mut F,
}

impl<F: FnMut(Finding)> Check<'_, F> {
    fn place_of(&self, element: ElementId) -> Option<usize> {
        self.members
            .binary_search_by_key(&element, |member| member.element)
            .ok()
    }

    fn report(&mut self, flaw: Flaw, of: &Member, level: Level, neighbor: Option<ElementId>) {
        let element = of.element;
        (self.found)(Finding {
            flaw,
            element,
            level,
            neighbor,
        });
    }

    /// Checks that the entry point is a member of at least the level of every live member.
    fn check_entry_point<S: Inspect>(&mut self, store: &mut S) {
        let live = self.members.iter().filter(|member| member.live);
        let Some(&highest) = live.max_by_key(|member| member.level) else {
            return;
        };
        let is_sound = store.entry_point().is_some_and(|(element, level)| {
            let place = self.place_of(element);
            place.is_some_and(|place| self.members[place].level == level) && level >= highest.level
        });
        if !is_sound {
            self.report(Flaw::EntryPoint, &highest, highest.level, None);
        }
    }

    /// Checks the lists of one member, and counts it with its links.
    fn check_links<S: Inspect>(&mut self, store: &mut S, of: &Member, extent: &mut Extent) {
        extent.elements += 1;
        extent.dead += u64::from(!of.live);
        let mut neighbors = Vec::new();
        let in_group = store.is_grouped().then_some(GROUP);
        for level in (0..=of.level).chain(in_group) {
            neighbors.clear();
            store.neighbors(of.element, level, &mut neighbors);
            extent.links += neighbors.len() as u64;
            if level == 0 && of.live {
                extent.live_links += neighbors.len() as u64;
            }
            if neighbors.len() > max_neighbors(store.m(), level) {
                self.report(Flaw::Overfull, of, level, None);
            }
            neighbors.sort_unstable();
            for (i, &neighbor) in neighbors.iter().enumerate() {
                if i > 0 && neighbors[i - 1] == neighbor {
                    self.report(Flaw::Repeated, of, level, Some(neighbor));
                } else if let Some(flaw) = self.flaw_of_link(of, level, neighbor) {
                    self.report(flaw, of, level, Some(neighbor));
                }
            }
            if level == GROUP
                && neighbors.is_empty()
                && let Some(other) = self.other_of_group(of)
            {
                self.report(Flaw::Lonely, of, level, Some(other));
            }
        }
    }

    /// Another live member of a live member's group.
    fn other_of_group(&self, of: &Member) -> Option<ElementId> {
        let first = self.of_groups.partition_point(|other| other.0 < of.group);
        let mut same = self.of_groups[first..]
            .iter()
            .take_while(|other| of.live && other.0 == of.group);
        same.find(|other| other.1 != of.element)
            .map(|other| other.1)
    }

    fn flaw_of_link(&self, of: &Member, level: Level, neighbor: ElementId) -> Option<Flaw> {
        if neighbor == of.element {
            return Some(Flaw::SelfLink);
        }
        match self.place_of(neighbor).map(|place| &self.members[place]) {
            None => Some(Flaw::Dangling),
            Some(member) if level != GROUP && member.level < level => Some(Flaw::TooLow),
            Some(member) if !member.live && of.live => Some(Flaw::Dead),
            Some(member) if level == GROUP && of.live && member.group != of.group => {
                Some(Flaw::OtherGroup)
            }
            Some(_) => None,
        }
    }

    /// Checks that all live elements of each layer are reachable from the entry point, over live elements and tombstones.
    fn check_reachability<S: Inspect>(&mut self, store: &mut S) {
        let Some((entry_point, top)) = store.entry_point() else {
            return;
        };
        for level in 0..=top {
            self.reached.fill(false);
            self.walk(store, entry_point, level);
            for (i, member) in self.members.iter().enumerate() {
                if member.live && member.level >= level && !self.reached[i] {
                    self.report(Flaw::Unreachable, member, level, None);
                }
            }
        }
    }

    /// Follows all links from an element, which need not be a member: a concurrent insert may have added it after the
    /// enumeration.
    fn walk<S: Inspect>(&mut self, store: &mut S, from: ElementId, level: Level) {
        let mut to_expand = vec![from];
        let mut neighbors = Vec::new();
        self.reach(from, level);
        while let Some(element) = to_expand.pop() {
            neighbors.clear();
            store.neighbors(element, level, &mut neighbors);
            // An element is marked before it is queued, so that none is queued twice.
            to_expand.extend(
                neighbors
                    .iter()
                    .filter(|&&element| self.reach(element, level)),
            );
        }
    }

    /// Marks a member that is on the layer; false if it was marked before.
    fn reach(&mut self, element: ElementId, level: Level) -> bool {
        self.place_of(element).is_some_and(|place| {
            self.members[place].level >= level && !std::mem::replace(&mut self.reached[place], true)
        })
    }
}

impl<Q: Query> Inspect for View<'_, Q> {
    fn m(&self) -> usize {
        self.graph().m()
    }

    fn members(&mut self, into: &mut Vec<Member>) {
        let elements = (0..self.graph().len() as u32).map(ElementId);
        into.extend(elements.map(|element| Member {
            element,
            level: self.graph().level(element),
            live: true,
            group: 0,
        }));
    }
}

impl MemoryGraph {
    /// All flaws of the graph; empty if its builder is correct.
    #[must_use]
    pub fn flaws(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        check(&mut self.view::<fn(u32) -> f32>(), |finding| {
            findings.push(finding);
        });
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::Candidate;

    /// A graph written down by hand.
    #[derive(Clone)]
    struct Drawn {
        entry_point: Option<(ElementId, Level)>,
        levels: Vec<(Level, bool)>,
        /// The group of each element; none for a store without groups.
        groups: Vec<u32>,
        lists: BTreeMap<(u32, Level), Vec<u32>>,
    }

    impl Store for Drawn {
        type Query = ();

        fn entry_point(&mut self) -> Option<(ElementId, Level)> {
            self.entry_point
        }

        fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
            into.extend(
                self.lists
                    .get(&(of.0, level))
                    .into_iter()
                    .flatten()
                    .copied()
                    .map(ElementId),
            );
        }

        fn estimate(&mut self, (): &(), _: &[ElementId], _: &mut Vec<Candidate>) {}
    }

    impl Inspect for Drawn {
        fn m(&self) -> usize {
            2
        }

        fn is_grouped(&self) -> bool {
            !self.groups.is_empty()
        }

        fn members(&mut self, into: &mut Vec<Member>) {
            into.extend(
                self.levels
                    .iter()
                    .zip(0..)
                    .map(|(&(level, live), id)| Member {
                        element: ElementId(id),
                        level,
                        live,
                        group: self.groups.get(id as usize).copied().unwrap_or_default(),
                    }),
            );
        }
    }

    /// Six elements in a ring; 0 and 3 are on layer 1 too, 5 is not live and has been unlinked.
    fn sound() -> Drawn {
        let layer0 = [[1, 4], [2, 0], [3, 1], [4, 2], [0, 3], [0, 4]];
        let mut lists: BTreeMap<_, _> = (0..)
            .zip(layer0)
            .map(|(e, list)| ((e, 0), list.to_vec()))
            .collect();
        lists.insert((0, 1), vec![3]);
        lists.insert((3, 1), vec![0]);
        Drawn {
            entry_point: Some((ElementId(0), 1)),
            levels: vec![
                (1, true),
                (0, true),
                (0, true),
                (1, true),
                (0, true),
                (0, false),
            ],
            groups: Vec::new(),
            lists,
        }
    }

    fn flaws(mut graph: Drawn) -> Vec<(Flaw, u32, Level)> {
        let mut flaws = Vec::new();
        check(&mut graph, |finding| {
            flaws.push((finding.flaw, finding.element.0, finding.level));
        });
        flaws
    }

    /// The flaws after replacing one list.
    fn flaws_with(element: u32, level: Level, list: &[u32]) -> Vec<(Flaw, u32, Level)> {
        let mut graph = sound();
        graph.lists.insert((element, level), list.to_vec());
        flaws(graph)
    }

    #[test]
    fn many_elements_with_few_neighbors_are_sparse() {
        let extent = |elements: u64, live_links| Extent {
            elements: elements + 50,
            dead: 50,
            links: 100_000,
            live_links,
        };
        assert!(extent(1000, 7_999).is_sparse(16));
        assert!(!extent(1000, 8_000).is_sparse(16));
        assert!(!extent(999, 0).is_sparse(16));
        assert!(!Extent::default().is_sparse(16));
    }

    #[test]
    fn a_sound_graph_has_no_flaws() {
        let extent = check(&mut sound(), |finding| panic!("{finding:?}"));
        assert_eq!(
            extent,
            Extent {
                elements: 6,
                dead: 1,
                links: 14,
                live_links: 10
            }
        );
    }

    #[test]
    fn every_flaw_of_a_list_is_found() {
        assert_eq!(
            flaws_with(1, 0, &[2, 0, 3, 4, 5]),
            [(Flaw::Overfull, 1, 0), (Flaw::Dead, 1, 0)]
        );
        assert_eq!(flaws_with(1, 0, &[2, 0, 1]), [(Flaw::SelfLink, 1, 0)]);
        assert_eq!(flaws_with(1, 0, &[2, 0, 2]), [(Flaw::Repeated, 1, 0)]);
        assert_eq!(flaws_with(1, 0, &[2, 0, 77]), [(Flaw::Dangling, 1, 0)]);
        assert_eq!(flaws_with(0, 1, &[3, 2]), [(Flaw::TooLow, 0, 1)]);
        assert_eq!(flaws_with(1, 0, &[2, 5]), [(Flaw::Dead, 1, 0)]);
    }

    #[test]
    fn links_in_groups_stay_there_and_elements_are_not_lonely() {
        let mut graph = sound();
        // 5 is not live; 4 is alone in its group.
        graph.groups = vec![7, 7, 7, 9, 8, 9];
        graph.lists.insert((0, GROUP), vec![1]);
        graph.lists.insert((1, GROUP), vec![0, 2]);
        graph.lists.insert((2, GROUP), vec![1]);
        assert_eq!(flaws(graph.clone()), []);
        graph.lists.insert((2, GROUP), vec![1, 4]);
        assert_eq!(flaws(graph.clone()), [(Flaw::OtherGroup, 2, GROUP)]);
        graph.lists.remove(&(2, GROUP));
        assert_eq!(flaws(graph), [(Flaw::Lonely, 2, GROUP)]);
    }

    #[test]
    fn what_cannot_be_reached_is_found_on_its_layer() {
        assert_eq!(flaws_with(0, 1, &[]), [(Flaw::Unreachable, 3, 1)]);
        let mut graph = sound();
        graph.lists.insert((0, 0), vec![1]);
        graph.lists.insert((2, 0), vec![1]);
        assert_eq!(
            flaws(graph),
            [(Flaw::Unreachable, 3, 0), (Flaw::Unreachable, 4, 0)]
        );
    }

    #[test]
    fn ways_may_begin_at_an_element_that_came_after_the_members_were_named() {
        let mut graph = sound();
        graph.entry_point = Some((ElementId(9), 1));
        graph.lists.insert((9, 0), vec![1]);
        graph.lists.insert((9, 1), vec![3]);
        let flaws = flaws(graph);
        assert!(flaws.iter().all(|flaw| flaw.0 != Flaw::Unreachable));
    }

    #[test]
    fn the_entry_point_must_be_a_highest_member() {
        for entry_point in [
            None,
            Some((ElementId(1), 0)),
            Some((ElementId(3), 2)),
            Some((ElementId(9), 1)),
        ] {
            let mut graph = sound();
            graph.entry_point = entry_point;
            assert_eq!(flaws(graph)[0].0, Flaw::EntryPoint);
        }
        let empty = Drawn {
            entry_point: None,
            levels: vec![(0, false)],
            groups: Vec::new(),
            lists: BTreeMap::new(),
        };
        assert!(flaws(empty).is_empty());
    }
}
