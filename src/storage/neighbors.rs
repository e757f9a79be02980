//! Neighbor lists on pages: `hnsw::Lists` over buffers. A list is written under lock, in a record of its own.

use hnsw::{ElementId, Level, Lists, Push, has_all_elements, max_neighbors};
use layout::UpperId;
use quantize::CenteredQuery;

use super::buffer::Access;
use super::codes::Codes;
use super::index::Index;
use super::locked;
use super::page_graph::PageGraph;
use crate::pg::interrupt;

impl Lists for PageGraph<'_> {
    type Vectors = Codes;

    fn capacity(&self, level: Level) -> usize {
        max_neighbors(self.index().geometry().m.into(), level)
    }

    fn push(&mut self, of: ElementId, level: Level, new: &[ElementId]) -> Push {
        let max = self.capacity(level);
        let mut pushed = Push::Gone;
        change(self.index(), of, level, |list| {
            pushed = Push::Done;
            let missing = new.iter().filter(|new| !list.contains(new));
            let longer: Vec<ElementId> = list.iter().chain(missing).copied().collect();
            if longer.len() > max {
                pushed = Push::Full(list.to_vec());
                return None;
            }
            (longer.len() > list.len()).then_some(longer)
        });
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

    fn neighbors_of_all(&mut self, elements: &[ElementId], level: Level) -> Vec<ElementId> {
        PageGraph::neighbors_of_all(self, elements, level)
    }

    fn query(&mut self, element: ElementId) -> Option<CenteredQuery<'static>> {
        Codes::read(self, &[element]).query(element)
    }

    fn compare<R>(&mut self, elements: &[ElementId], work: impl FnOnce(&Codes) -> R) -> R {
        work(&Codes::read(self, elements))
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
    change(index, of, level, |list| {
        same = list == old;
        same.then(|| new.to_vec())
    });
    same
}

/// Calls `decide` with a live element's list under an exclusive lock, and writes the returned list in a record.
fn change(
    index: &Index,
    of: ElementId,
    level: Level,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    if has_all_elements(level) {
        change_own(index, of, level, decide);
    } else if let Some(list) = upper_list(index, of, level) {
        change_upper(index, of, level, list, decide);
    }
}

/// Changes a list in the element's own slot.
fn change_own(
    index: &Index,
    of: ElementId,
    level: Level,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let (page, slot) = locked::lock_known(index, of, Access::Exclusive);
    let element = page.read(|page| page.slot(slot));
    if !element.is_live() {
        return;
    }
    if let Some(new) = decide(&element.list(level).collect::<Vec<_>>()) {
        page.change_alone(|page| page.slot(slot).map(|mut slot| slot.set_list(level, &new)));
    }
}

fn change_upper(
    index: &Index,
    of: ElementId,
    level: Level,
    list: UpperId,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let (page, slot) = locked::lock(index, list, Access::Exclusive);
    let list = page.read(|page| page.slot(slot));
    if !list.is_live() || list.element() != of || list.level() != level {
        return;
    }
    if let Some(new) = decide(&list.neighbors().collect::<Vec<_>>()) {
        page.change_alone(|page| page.slot(slot).map(|mut slot| slot.set_neighbors(&new)));
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
