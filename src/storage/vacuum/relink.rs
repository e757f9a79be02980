//! Pass 2: nothing may link to tombstones, and something must link to every other element.

use std::collections::HashSet;

use hnsw::{ElementId, Level, Search, Store, max_neighbors};
use layout::{ElementPage, EntryPoint, PageKind, UpperPage, UpperSlot};

use super::{ElementSet, for_each_page};
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
pub(super) fn relink(index: &Index, ef_construction: usize, dead: &ElementSet) {
    let mut relink = Relink {
        index,
        ef: ef_construction,
        dead,
        search: Search::new(),
    };
    let highest = relink.repair_ground();
    relink.replace_entry_point(highest);
    relink.repair_upper();
    relink.link_ground_orphans();
    relink.link_upper_orphans();
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

    /// Repairs the lists of layer 0. Gives the highest live element, which is fit to be the entry point.
    fn repair_ground(&mut self) -> Option<EntryPoint> {
        let (index, dead) = (self.index, self.dead);
        let mut highest: Option<EntryPoint> = None;
        let find = |block: u32, bytes: &[u8]| {
            let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
            let mut broken = Vec::new();
            for number in 0..view.used() {
                let slot = index.expect(block, view.slot(number));
                let Some(element) = index
                    .geometry()
                    .element
                    .join(block, number)
                    .filter(|_| slot.is_live())
                else {
                    continue;
                };
                if slot.neighbors().any(|neighbor| dead.contains(neighbor)) {
                    broken.push(element);
                }
                let level = slot.level();
                if highest.is_none_or(|highest| level > highest.level) {
                    highest = Some(EntryPoint { element, level });
                }
            }
            broken
        };
        for_each_page(index, PageKind::Element, find, |_, broken| {
            broken
                .into_iter()
                .for_each(|element| self.repair(element, 0));
        });
        highest
    }

    /// Repairs the lists of the layers above.
    fn repair_upper(&mut self) {
        let (index, dead) = (self.index, self.dead);
        let find = |block: u32, bytes: &[u8]| {
            lists_that_stay(index, dead, block, bytes)
                .filter(|list| list.neighbors().any(|neighbor| dead.contains(neighbor)))
                .map(|list| (list.element(), list.level()))
                .collect()
        };
        for_each_page(
            index,
            PageKind::Upper,
            find,
            |_, lists: Vec<(ElementId, Level)>| {
                lists
                    .into_iter()
                    .for_each(|(element, level)| self.repair(element, level));
            },
        );
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

    /// Links live elements to which no neighbor list of layer 0 links: their only links were from tombstones, or a crash
    /// came before the first.
    fn link_ground_orphans(&mut self) {
        let index = self.index;
        let mut linked = ElementSet::new(&index.geometry().element, index.relation().blocks());
        let mark = |block: u32, bytes: &[u8]| {
            let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
            let slots = (0..view.used()).map(|slot| index.expect(block, view.slot(slot)));
            slots
                .filter(layout::ElementSlot::is_live)
                .flat_map(|slot| slot.neighbors())
                .for_each(|to| linked.insert(to));
        };
        for_each_page(index, PageKind::Element, mark, |_, ()| ());
        let entry = self.entry_point();
        let find = |block: u32, bytes: &[u8]| {
            let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
            (0..view.used())
                .filter(|&slot| index.expect(block, view.slot(slot)).is_live())
                .filter_map(|slot| index.geometry().element.join(block, slot))
                .filter(|&element| {
                    linked.has_room_for(element)
                        && !linked.contains(element)
                        && Some(element) != entry
                })
                .collect()
        };
        for_each_page(
            index,
            PageKind::Element,
            find,
            |_, orphans: Vec<ElementId>| {
                orphans
                    .into_iter()
                    .for_each(|orphan| self.link_orphan(orphan, 0));
            },
        );
    }

    /// The same for the layers above, whose lists are few: all that is linked there is remembered at once.
    fn link_upper_orphans(&mut self) {
        let (index, dead) = (self.index, self.dead);
        let mut linked = HashSet::new();
        let mark = |block: u32, bytes: &[u8]| {
            for list in lists_that_stay(index, dead, block, bytes) {
                linked.extend(list.neighbors().map(|to| (to, list.level())));
            }
        };
        for_each_page(index, PageKind::Upper, mark, |_, ()| ());
        let entry = self.entry_point();
        let find = |block: u32, bytes: &[u8]| {
            lists_that_stay(index, dead, block, bytes)
                .map(|list| (list.element(), list.level()))
                .filter(|list| !linked.contains(list) && Some(list.0) != entry)
                .collect::<Vec<_>>()
        };
        let mut orphans = Vec::new();
        for_each_page(index, PageKind::Upper, find, |_, found| {
            orphans.extend(found);
        });
        for (orphan, level) in orphans {
            self.link_orphan(orphan, level);
        }
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
