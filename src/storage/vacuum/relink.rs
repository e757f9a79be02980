//! Pass 2: removes all links to tombstones.

use std::cell::RefCell;

use hnsw::{ElementId, ElementSet, GROUP, Level, Search};
use layout::{EntryPoint, PageKind};

use super::Sweep;
use super::reach::{self, Layer0Reach};
use crate::pg::{compat, setting};
use crate::storage::index::Index;
use crate::storage::locked::{AnyPage, Elements, Upper};
use crate::storage::metapage::{self, Locked};
use crate::storage::neighbors;

/// Removes the tombstones from all neighbor lists, and moves the entry point away from them. Returns the elements then
/// reachable from the entry point over the lists of layer 0.
pub(super) fn relink(
    sweep: &mut Sweep<'_>,
    ef_construction: usize,
    dead: &ElementSet,
) -> Layer0Reach {
    let index = sweep.index;
    let mut relink = Relink {
        index,
        ef: ef_construction,
        dead,
        search: Search::new(),
    };
    let (highest, layer0) = relink.repair_layer0(sweep);
    // The entry point comes first. Repairing the layers above before it, beside inserts, left links to freed slots.
    relink.replace_entry_point(highest);
    relink.repair_upper(sweep);
    layer0
}

struct Relink<'a> {
    index: &'a Index,
    ef: usize,
    dead: &'a ElementSet,
    search: Search,
}

impl Relink<'_> {
    /// Moves the entry point away from a tombstone, or up to a higher element: an insert that met a tombstone there has made
    /// itself the entry point, whatever its level. The element `highest` stays live: only this vacuum makes tombstones.
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
        // An insert may have changed it first.
        if !metapage.contents.entry_point.is_some_and(stays) {
            metapage.contents.entry_point = highest;
            metapage.commit();
        }
    }

    /// Repairs the lists of layer 0, and follows the repaired lists from the entry point if it is live. Also returns the
    /// highest live element, a possible entry point.
    fn repair_layer0(&mut self, sweep: &mut Sweep<'_>) -> (Option<EntryPoint>, Layer0Reach) {
        let (index, dead) = (self.index, self.dead);
        let entry = metapage::read(index.relation()).entry_point;
        let entry = entry.map(|entry| entry.element);
        let entry = entry.filter(|&entry| !dead.contains(entry));
        let mut highest: Option<EntryPoint> = None;
        let reach = RefCell::new(reach::start(index, 0, entry, setting::vacuum_work_mem()));
        let find = |page: &AnyPage<'_>| {
            page.read::<Elements, _>(|view| {
                let mut reach = reach.borrow_mut();
                let mut broken = Vec::new();
                for number in 0..view.used() {
                    let slot = view.slot(number)?;
                    let Some(element) = page.id(number).filter(|_| slot.is_live()) else {
                        continue;
                    };
                    let is_dead = |neighbor| dead.contains(neighbor);
                    if slot.group_neighbors().any(is_dead) {
                        broken.push((element, GROUP));
                    }
                    if slot.neighbors().any(is_dead) {
                        broken.push((element, 0));
                    } else {
                        reach.show(element, slot.neighbors());
                    }
                    let level = slot.level();
                    if highest.is_none_or(|highest| level > highest.level) {
                        highest = Some(EntryPoint { element, level });
                    }
                }
                Ok(broken)
            })
        };
        sweep.each(
            &[PageKind::Element],
            find,
            |_, broken: Vec<(ElementId, Level)>| {
                for (element, level) in broken {
                    let list = self.repair(element, level);
                    if level == 0 {
                        reach.borrow_mut().show(element, list.into_iter());
                    }
                }
                reach::follow(&mut reach.borrow_mut());
            },
        );
        let mut reach = reach.into_inner();
        // Without an entry point nothing is reached: `restore` starts again.
        if entry.is_some() {
            reach::finish(sweep, dead, 0, &mut reach);
        }
        reach.forget_lists();
        (highest, Layer0Reach { entry, reach })
    }

    /// Repairs the lists of the layers above.
    fn repair_upper(&mut self, sweep: &mut Sweep<'_>) {
        let dead = self.dead;
        let find = |page: &AnyPage<'_>| {
            page.read::<Upper, _>(|view| {
                let mut broken = Vec::new();
                for number in 0..view.used() {
                    let list = view.slot(number)?;
                    if list.is_live()
                        && !dead.contains(list.element())
                        && list.neighbors().any(|neighbor| dead.contains(neighbor))
                    {
                        broken.push((list.element(), list.level()));
                    }
                }
                Ok(broken)
            })
        };
        let repair = |_, broken: Vec<(ElementId, Level)>| {
            for (element, level) in broken {
                self.repair(element, level);
            }
        };
        sweep.each(&[PageKind::Upper], find, repair);
    }

    /// Repairs one list; returns its new contents. Repeats until it succeeds: each lost round is an insert's progress, and a
    /// tombstone's slot may be freed only when no list contains it.
    fn repair(&mut self, element: ElementId, level: Level) -> Vec<ElementId> {
        loop {
            compat::vacuum_delay_point();
            let mut old = Vec::new();
            let mut graph = self.index.graph();
            graph.locked_neighbors(element, level, &mut old);
            let dead = self.dead;
            let new = hnsw::repair(
                &mut graph,
                &mut self.search,
                self.ef,
                (element, level),
                &old,
                |neighbor| dead.contains(neighbor),
            );
            let Some(new) = new else {
                return old;
            };
            drop(graph);
            if neighbors::replace(self.index, element, level, &old, &new) {
                return new;
            }
        }
    }
}
