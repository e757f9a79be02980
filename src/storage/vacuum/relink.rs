//! Pass 2: nothing may link to tombstones, and something must link to every other element.

use std::cell::RefCell;
use std::collections::HashSet;

use hnsw::{ElementId, Level, Search, Store, max_neighbors};
use layout::{ElementPage, ElementSlot, EntryPoint, PageKind, UpperPage, UpperSlot};

use super::{ElementSet, Sweep};
use crate::pg::compat;
use crate::storage::codes::Codes;
use crate::storage::index::Index;
use crate::storage::metapage::{self, Locked};
use crate::storage::neighbors;
use crate::storage::page_graph::PageGraph;

/// Elements that are asked to link to an orphan.
const OFFERS: usize = 8;
/// Replacements offered for each dead neighbor.
const PER_DEAD: usize = 3;

/// Takes the tombstones out of all neighbor lists, and links again what nothing links to.
pub(super) fn relink(sweep: &mut Sweep<'_>, ef_construction: usize, dead: &ElementSet) {
    let index = sweep.index;
    let mut relink = Relink {
        index,
        ef: ef_construction,
        dead,
        search: Search::new(),
    };
    let ground = relink.repair_ground(sweep);
    relink.replace_entry_point(ground.highest);
    let upper = relink.repair_upper(sweep);
    relink.link_orphans(ground.orphans().map(|element| (element, 0)));
    relink.link_orphans(upper.orphans());
}

/// What was seen of layer 0 while its lists were repaired.
struct Ground {
    /// The highest live element, which is fit to be the entry point.
    highest: Option<EntryPoint>,
    live: ElementSet,
    /// Elements that a list has. Inserts that come later let none of them lose its last link.
    linked: ElementSet,
}

impl Ground {
    fn new(index: &Index) -> Self {
        let blocks = index.relation().blocks();
        let empty = || ElementSet::new(&index.geometry().element, blocks);
        Self {
            highest: None,
            live: empty(),
            linked: empty(),
        }
    }

    fn see(&mut self, element: ElementId, slot: &ElementSlot<'_>) {
        self.live.insert(element);
        self.link(slot.neighbors());
        let level = slot.level();
        if self.highest.is_none_or(|highest| level > highest.level) {
            self.highest = Some(EntryPoint { element, level });
        }
    }

    fn link(&mut self, neighbors: impl IntoIterator<Item = ElementId>) {
        for neighbor in neighbors {
            self.linked.insert(neighbor);
        }
    }

    fn orphans(&self) -> impl Iterator<Item = ElementId> {
        let live = self.live.iter();
        live.filter(|&element| !self.linked.contains(element))
    }
}

/// The same of the layers above, whose lists are few.
#[derive(Default)]
struct Upper {
    live: Vec<(ElementId, Level)>,
    linked: HashSet<(ElementId, Level)>,
}

impl Upper {
    fn see(&mut self, list: &UpperSlot<'_>) {
        self.live.push((list.element(), list.level()));
        self.link(list.neighbors(), list.level());
    }

    fn link(&mut self, neighbors: impl IntoIterator<Item = ElementId>, level: Level) {
        let linked = neighbors.into_iter().map(|neighbor| (neighbor, level));
        self.linked.extend(linked);
    }

    fn orphans(&self) -> impl Iterator<Item = (ElementId, Level)> {
        let live = self.live.iter().copied();
        live.filter(|list| !self.linked.contains(list))
    }
}

struct Relink<'a> {
    index: &'a Index,
    ef: usize,
    dead: &'a ElementSet,
    search: Search,
}

impl Relink<'_> {
    /// Moves the entry point away from a tombstone, or up to a higher element: an insert that met a tombstone there made
    /// itself the entry point, whatever its level. The element given stays live: only this vacuum makes tombstones.
    fn replace_entry_point(&self, highest: Option<EntryPoint>) {
        let relation = self.index.relation();
        let stays = |entry: EntryPoint| {
            !self.dead.contains(entry.element)
                && highest.is_none_or(|highest| highest.level <= entry.level)
        };
        let present = metapage::read(relation).entry_point;
        if present.map_or(highest.is_none(), stays) {
            return;
        }
        let mut metapage = Locked::acquire(relation);
        // An insert may have been faster.
        if !metapage.contents.entry_point.is_some_and(stays) {
            metapage.contents.entry_point = highest;
            metapage.commit();
        }
    }

    /// Repairs the lists of layer 0.
    fn repair_ground(&mut self, sweep: &mut Sweep<'_>) -> Ground {
        let (index, dead) = (self.index, self.dead);
        let ground = RefCell::new(Ground::new(index));
        let find = |block: u32, _, bytes: &[u8]| {
            let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
            let mut broken = Vec::new();
            for number in 0..view.used() {
                let slot = index.expect(block, view.slot(number));
                let id = index.geometry().element.join(block, number);
                let Some(element) = id.filter(|_| slot.is_live()) else {
                    continue;
                };
                ground.borrow_mut().see(element, &slot);
                if slot.neighbors().any(|neighbor| dead.contains(neighbor)) {
                    broken.push(element);
                }
            }
            broken
        };
        sweep.each(&[PageKind::Element], find, |_, broken: Vec<ElementId>| {
            for element in broken {
                self.repair(element, 0);
                ground.borrow_mut().link(self.neighbors(element, 0));
            }
        });
        ground.into_inner()
    }

    /// Repairs the lists of the layers above.
    fn repair_upper(&mut self, sweep: &mut Sweep<'_>) -> Upper {
        let (index, dead) = (self.index, self.dead);
        let upper = RefCell::new(Upper::default());
        let find = |block: u32, _, bytes: &[u8]| {
            lists_that_stay(index, dead, block, bytes)
                .inspect(|list| upper.borrow_mut().see(list))
                .filter(|list| list.neighbors().any(|neighbor| dead.contains(neighbor)))
                .map(|list| (list.element(), list.level()))
                .collect()
        };
        let repair = |_, broken: Vec<(ElementId, Level)>| {
            for (element, level) in broken {
                self.repair(element, level);
                let neighbors = self.neighbors(element, level);
                upper.borrow_mut().link(neighbors, level);
            }
        };
        sweep.each(&[PageKind::Upper], find, repair);
        upper.into_inner()
    }

    /// A neighbor list as it is now.
    fn neighbors(&self, element: ElementId, level: Level) -> Vec<ElementId> {
        let mut neighbors = Vec::new();
        let mut hints = self.index.hints().borrow_mut();
        PageGraph::new(self.index, &mut hints).locked_neighbors(element, level, &mut neighbors);
        neighbors
    }

    /// Repairs one list. Each lost round is an insert's progress; a tombstone's slot is freed only when no list has it.
    fn repair(&mut self, element: ElementId, level: Level) {
        loop {
            compat::vacuum_delay_point();
            let mut old = Vec::new();
            let mut hints = self.index.hints().borrow_mut();
            let mut graph = PageGraph::new(self.index, &mut hints);
            graph.locked_neighbors(element, level, &mut old);
            let Some(new) = self.repaired(&mut graph, element, level, &old) else {
                return;
            };
            drop(graph);
            drop(hints);
            if neighbors::replace(self.index, element, level, &old, &new) {
                return;
            }
        }
    }

    /// What a list should be: its live neighbors, completed from the neighbors of the dead ones, or by a search if few are
    /// left. None if the element itself is gone.
    fn repaired(
        &mut self,
        graph: &mut PageGraph<'_>,
        element: ElementId,
        level: Level,
        old: &[ElementId],
    ) -> Option<Vec<ElementId>> {
        let (gone, kept): (Vec<ElementId>, Vec<ElementId>) = old
            .iter()
            .partition(|&&neighbor| self.dead.contains(neighbor));
        if gone.is_empty() {
            return None;
        }
        let max = max_neighbors(self.index.geometry().m.into(), level);
        let mut offered = Vec::new();
        gone.iter()
            .for_each(|&neighbor| graph.neighbors(neighbor, level, &mut offered));
        let new = self.complete(
            graph,
            element,
            &kept,
            offered,
            max.min(kept.len() + PER_DEAD * gone.len()),
        )?;
        if new.len() >= max / 4 {
            return Some(new);
        }
        let found = self.find_near(graph, element, level)?;
        self.complete(graph, element, &new, found, max)
    }

    /// Adds to the neighbors kept those offered that Algorithm 4 accepts beside them.
    fn complete(
        &self,
        graph: &mut PageGraph<'_>,
        element: ElementId,
        kept: &[ElementId],
        mut offered: Vec<ElementId>,
        max: usize,
    ) -> Option<Vec<ElementId>> {
        offered.sort_unstable();
        offered.dedup();
        offered.retain(|&other| {
            other != element && !self.dead.contains(other) && !kept.contains(&other)
        });
        let codes = Codes::read(graph, &[&[element], kept, &offered].concat());
        let base = codes.query(element)?;
        let kept = codes.candidates(&base, kept.iter().copied());
        let offered = codes.candidates(&base, offered.into_iter());
        Some(
            codes
                .complete(&kept, &offered, max)
                .iter()
                .map(|neighbor| neighbor.element)
                .collect(),
        )
    }

    /// The elements of a layer that are nearest to an element, by a search from the entry point.
    fn find_near(
        &mut self,
        graph: &mut PageGraph<'_>,
        element: ElementId,
        level: Level,
    ) -> Option<Vec<ElementId>> {
        let query = Codes::read(graph, &[element]).query(element)?;
        let descent = self.search.descend(graph, &query, level)?;
        let mut found = Vec::new();
        self.search.layer(
            graph,
            &query,
            &[descent.nearest],
            level,
            self.ef,
            &mut found,
        );
        Some(
            found
                .iter()
                .map(|candidate| candidate.element)
                .filter(|&other| other != element)
                .collect(),
        )
    }

    /// Links live elements to which nothing links on a layer: their only links were from tombstones, or a crash came before
    /// the first.
    fn link_orphans(&mut self, orphans: impl Iterator<Item = (ElementId, Level)>) {
        let entry = self.entry_point();
        for (orphan, level) in orphans {
            if entry != Some(orphan) && !self.is_linked_back(orphan, level) {
                self.link_orphan(orphan, level);
            }
        }
    }

    /// Whether a neighbor of an element links to it: it may have been inserted while lists were repaired.
    fn is_linked_back(&self, element: ElementId, level: Level) -> bool {
        compat::vacuum_delay_point();
        let neighbors = self.neighbors(element, level);
        let mut hints = self.index.hints().borrow_mut();
        let theirs = PageGraph::new(self.index, &mut hints).neighbors_of_all(&neighbors, level);
        theirs.binary_search(&element).is_ok()
    }

    fn entry_point(&self) -> Option<ElementId> {
        metapage::read(self.index.relation())
            .entry_point
            .map(|entry| entry.element)
    }

    /// Has one of the nearest elements that a search of the layer reaches link to an orphan.
    fn link_orphan(&mut self, orphan: ElementId, level: Level) {
        compat::vacuum_delay_point();
        let mut hints = self.index.hints().borrow_mut();
        let mut graph = PageGraph::new(self.index, &mut hints);
        let near = self
            .find_near(&mut graph, orphan, level)
            .unwrap_or_default();
        neighbors::force_link(&mut graph, near.into_iter().take(OFFERS), level, orphan);
    }
}

/// The lists on an upper page of elements that stay.
fn lists_that_stay<'p>(
    index: &Index,
    dead: &ElementSet,
    block: u32,
    bytes: &'p [u8],
) -> impl Iterator<Item = UpperSlot<'p>> {
    let view = index.expect(block, UpperPage::view(bytes, index.geometry()));
    (0..view.used())
        .map(move |slot| index.expect(block, view.slot(slot)))
        .filter(|list| list.is_live() && !dead.contains(list.element()))
}
