//! Neighbor lists on pages: `hnsw::Lists` over buffers. A list is written under lock, in a record of its own.

use hnsw::{Compare, ElementId, Level, Link, Lists, Push, has_all_elements, max_neighbors};
use layout::UpperId;
use quantize::CenteredQuery;

use super::buffer::Access;
use super::codes::Codes;
use super::index::Index;
use super::locked::{self, Elements, LockedPage};
use super::page_graph::PageGraph;
use crate::pg::interrupt;

impl Compare for PageGraph<'_> {
    type Vectors = Codes;

    fn capacity(&self, level: Level) -> usize {
        max_neighbors(self.index().geometry().m.into(), level)
    }

    fn vectors(&mut self, elements: &[ElementId]) -> Codes {
        Codes::read(self, elements)
    }
}

impl Lists for PageGraph<'_> {
    fn push(&mut self, of: ElementId, level: Level, new: &[ElementId]) -> Push {
        let max = self.capacity(level);
        let mut pushed = Push::Gone;
        let decide = |list: &[ElementId]| {
            pushed = Push::Done;
            let missing = new.iter().filter(|new| !list.contains(new));
            let longer: Vec<ElementId> = list.iter().chain(missing).copied().collect();
            if longer.len() > max {
                pushed = Push::Full(list.to_vec());
                return None;
            }
            (longer.len() > list.len()).then_some(longer)
        };
        if has_all_elements(level) {
            change_own(self.lock(of), level, decide);
        } else {
            change_upper(self.index(), of, level, decide);
        }
        pushed
    }

    fn replace(
        &mut self,
        of: ElementId,
        level: Level,
        old: &[ElementId],
        new: &[ElementId],
    ) -> bool {
        replace(self.index(), of, level, old, new)
    }

    fn is_live(&mut self, element: ElementId) -> bool {
        PageGraph::is_live(self, element)
    }

    fn links_from(&mut self, elements: &[ElementId], level: Level) -> Vec<Link> {
        PageGraph::links_from(self, elements, level)
    }

    fn query(&mut self, element: ElementId) -> Option<CenteredQuery<'static>> {
        Codes::read(self, &[element]).query(element)
    }

    fn pause(&mut self) {
        interrupt::check();
    }
}

/// Writes a list if it still is `old`; false if another backend has changed it. A dead element's list is left unchanged.
pub(super) fn replace(
    index: &Index,
    of: ElementId,
    level: Level,
    old: &[ElementId],
    new: &[ElementId],
) -> bool {
    let mut same = true;
    let decide = |list: &[ElementId]| {
        same = list == old;
        same.then(|| new.to_vec())
    };
    if has_all_elements(level) {
        change_own(
            locked::lock_known(index, of, Access::Exclusive),
            level,
            decide,
        );
    } else {
        change_upper(index, of, level, decide);
    }
    same
}

/// Calls `decide` with a list in a live element's own slot, exclusively locked, and writes the returned list in a record.
fn change_own(
    (page, slot): (LockedPage<'_, Elements>, u16),
    level: Level,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let element = page.read(|page| page.slot(slot));
    if !element.is_live() {
        return;
    }
    if let Some(new) = decide(&element.list(level).collect::<Vec<_>>()) {
        page.change_slot(slot, |slot| slot.set_list(level, &new));
    }
}

/// Like [`change_own`], of a list on a level above 0.
fn change_upper(
    index: &Index,
    of: ElementId,
    level: Level,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let Some(list) = upper_list(index, of, level) else {
        return;
    };
    let (page, slot) = locked::lock(index, list, Access::Exclusive);
    let list = page.read(|page| page.slot(slot));
    if !list.is_live() || list.element() != of || list.level() != level {
        return;
    }
    if let Some(new) = decide(&list.neighbors().collect::<Vec<_>>()) {
        page.change_slot(slot, |slot| slot.set_neighbors(&new));
    }
}

/// The location of a live element's list at a level above 0.
fn upper_list(index: &Index, of: ElementId, level: Level) -> Option<UpperId> {
    let (page, slot) = locked::lock_known(index, of, Access::Share);
    let element = page.read(|page| page.slot(slot));
    let upper = element
        .upper()
        .filter(|_| element.is_live() && element.level() >= level);
    upper.map(|upper| upper.at(level))
}
