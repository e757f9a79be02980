//! Changing neighbor lists on pages: a list is read, decided upon with no page locked, and written if it is still the same.

use hnsw::{ElementId, Level, Store, max_neighbors};
use layout::{Corrupt, ElementPage, ElementPageMut, UpperId, UpperPage, UpperPageMut};

use super::buffer::{Access, Page};
use super::codes::Codes;
use super::index::Index;
use super::page_graph::PageGraph;
use super::record::Record;
use crate::pg::interrupt;

/// Somebody else may change a list between its reading and its writing; then it is read once more. A link that is lost in so
/// many rounds is given up: others may take the new element in.
const TRIES: usize = 4;

/// Offers `new`, whose code is given, to a list, which takes it in if it has room or by Algorithm 4. True if it did.
pub(super) fn link(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    new: ElementId,
    code: &[u8],
) -> bool {
    let index = graph.index();
    for _ in 0..TRIES {
        let full = match push(index, of, level, new) {
            Push::Done => return true,
            Push::Gone => return false,
            Push::Full(list) => list,
        };
        match reselect(graph, of, level, &full, new, code) {
            Some(kept) if kept.contains(&new) => {
                if replace(index, of, level, &full, &kept) {
                    return true;
                }
            }
            _ => return false,
        }
    }
    false
}

/// Has one of the chosen elements, nearest first, link to `new` on a layer, or a neighbor of theirs that has room: where
/// nobody wants the new ones they would otherwise drive the good neighbors out of the lists that all searches come by.
/// If all those lists are full an element leaves one of the chosen to which another in that list links. If there is none the furthest from the first leaves, and `new` links to it.
pub(super) fn force_link(
    graph: &mut PageGraph<'_>,
    chosen: impl Iterator<Item = ElementId> + Clone,
    level: Level,
    new: ElementId,
) {
    if push_beside(graph, chosen.clone(), level, new) {
        return;
    }
    for of in chosen.clone() {
        if let Forced::Done = take_in(graph, of, level, new, true) {
            return;
        }
    }
    for of in chosen {
        // Each lost round is another insert's progress. Where all chosen are gone, the vacuum that took them away waits for
        // this insert and links the element itself.
        loop {
            interrupt::check();
            match take_in(graph, of, level, new, false) {
                Forced::Done => return,
                Forced::Gone => break,
                Forced::Changed | Forced::Unwilling => {}
            }
        }
    }
}

/// Adds `new` to the first list with room among those of the chosen and of their neighbors. False if there is none.
fn push_beside(
    graph: &mut PageGraph<'_>,
    chosen: impl Iterator<Item = ElementId>,
    level: Level,
    new: ElementId,
) -> bool {
    let index = graph.index();
    let max = max_neighbors(index.geometry().m.into(), level);
    for of in chosen {
        interrupt::check();
        let full = match push(index, of, level, new) {
            Push::Done => return true,
            Push::Gone => continue,
            Push::Full(full) => full,
        };
        // The latest are the ones that may have room.
        for &member in full.iter().rev().filter(|&&member| member != new) {
            let mut list = Vec::new();
            graph.neighbors(member, level, &mut list);
            if list.len() < max
                && graph.is_live(member)
                && matches!(push(index, member, level, new), Push::Done)
            {
                return true;
            }
        }
    }
    false
}

/// What came of forcing a link.
enum Forced {
    Done,
    Gone,
    /// Somebody else changed the list meanwhile.
    Changed,
    /// Every element in the list may have no other link.
    Unwilling,
}

/// Puts `new` into a list, in place of the furthest element if it is full: one that something else in the list links to, if
/// `kindly`.
fn take_in(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    new: ElementId,
    kindly: bool,
) -> Forced {
    let index = graph.index();
    let full = match push(index, of, level, new) {
        Push::Done => return Forced::Done,
        Push::Gone => return Forced::Gone,
        Push::Full(full) => full,
    };
    let covered = if kindly {
        graph.neighbors_of_all(&full, level)
    } else {
        Vec::new()
    };
    let codes = Codes::read(graph, &[&[of], full.as_slice()].concat());
    let Some(base) = codes.query(of) else {
        return Forced::Gone;
    };
    let by_distance = codes.candidates(&base, full.iter().copied());
    let may_go = |element: &ElementId| !kindly || covered.binary_search(element).is_ok();
    let furthest = by_distance
        .iter()
        .rev()
        .map(|candidate| candidate.element)
        .find(may_go);
    // None of a list is live only while vacuum is at work.
    let Some(furthest) = furthest.or_else(|| full.first().copied().filter(|_| !kindly)) else {
        return Forced::Unwilling;
    };
    let mut list = full.clone();
    list.retain(|&element| element != furthest);
    list.push(new);
    // It may have no other link; from now on the way to it leads over the new element. A tombstone leaves for good: vacuum may
    // have been at the new element's list already.
    if !kindly && graph.is_live(furthest) {
        push_or_displace(index, new, level, furthest);
    }
    if replace(index, of, level, &full, &list) {
        Forced::Done
    } else {
        Forced::Changed
    }
}

/// Writes a list if it still is `old`; false if somebody has changed it. A dead element's list is left alone.
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

/// What came of adding to a list.
enum Push {
    Done,
    Gone,
    Full(Vec<ElementId>),
}

/// Adds to a list if it has room.
fn push(index: &Index, of: ElementId, level: Level, new: ElementId) -> Push {
    let max = max_neighbors(index.geometry().m.into(), level);
    let mut pushed = Push::Gone;
    change(index, of, level, |list| {
        pushed = Push::Done;
        if list.contains(&new) {
            return None;
        }
        if list.len() >= max {
            pushed = Push::Full(list.to_vec());
            return None;
        }
        Some([list, &[new]].concat())
    });
    pushed
}

/// Adds to the list of an element that has just joined. If it is full its first neighbor leaves, which the element chose
/// and which others link to: on the layers above 0 an element chooses as many as its list holds.
fn push_or_displace(index: &Index, of: ElementId, level: Level, new: ElementId) {
    while let Push::Full(full) = push(index, of, level, new) {
        interrupt::check();
        let list = [&full[1..], &[new]].concat();
        if replace(index, of, level, &full, &list) {
            return;
        }
    }
}

/// What `of` keeps of its neighbors and the new one, by Algorithm 4 over codes; none if it is gone, or if it would have to
/// leave out the new one for others.
///
/// A neighbor to which no neighbor that stays links may have no other link, and no search would find it any more. It is
/// kept too where there is room for it; otherwise the new element links to it.
fn reselect(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    full: &[ElementId],
    new: ElementId,
    code: &[u8],
) -> Option<Vec<ElementId>> {
    let index = graph.index();
    let codes = Codes::read(graph, &[&[of], full].concat());
    let base = codes.query(of)?;
    let codes = codes.with(new, code);
    let candidates = codes.candidates(&base, full.iter().copied().chain([new]));
    let mut kept: Vec<ElementId> = codes
        .cut(codes.get(of)?, &candidates, full.len())
        .iter()
        .map(|kept| kept.element)
        .collect();
    if kept.contains(&new) {
        let stays: Vec<ElementId> = kept.iter().copied().filter(|&kept| kept != new).collect();
        let covered = graph.neighbors_of_all(&stays, level);
        let is_lost = |element: &ElementId| {
            !kept.contains(element) && covered.binary_search(element).is_err()
        };
        let lost: Vec<ElementId> = full.iter().copied().filter(is_lost).collect();
        for lost in lost {
            if kept.len() < full.len() {
                kept.push(lost);
            } else if graph.is_live(lost) && !matches!(push(index, new, level, lost), Push::Done) {
                return None;
            }
        }
    }
    Some(kept)
}

/// Shows a live element's list to `decide` under an exclusive lock, and writes what it gives in a record.
fn change(
    index: &Index,
    of: ElementId,
    level: Level,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    if level == 0 {
        change_ground(index, of, decide);
    } else if let Some(list) = upper_list(index, of, level) {
        change_upper(index, of, level, list, decide);
    }
}

fn change_ground(
    index: &Index,
    of: ElementId,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let (block, slot) = index.geometry().element.split(of);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let view = ElementPage::view(page.bytes(), index.geometry());
    let element = index.expect(block, view.and_then(|view| view.slot(slot)));
    if !element.is_live() {
        return;
    }
    if let Some(new) = decide(&element.neighbors().collect::<Vec<_>>()) {
        write(index, &page, |bytes| {
            ElementPageMut::view(bytes, index.geometry())?
                .slot(slot)
                .map(|mut slot| slot.set_neighbors(&new))
        });
    }
}

fn change_upper(
    index: &Index,
    of: ElementId,
    level: Level,
    list: UpperId,
    decide: impl FnOnce(&[ElementId]) -> Option<Vec<ElementId>>,
) {
    let (block, slot) = index.geometry().upper.split(list);
    super::rows::check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let view = UpperPage::view(page.bytes(), index.geometry());
    let list = index.expect(block, view.and_then(|view| view.slot(slot)));
    if !list.is_live() || list.element() != of || list.level() != level {
        return;
    }
    if let Some(new) = decide(&list.neighbors().collect::<Vec<_>>()) {
        write(index, &page, |bytes| {
            UpperPageMut::view(bytes, index.geometry())?
                .slot(slot)
                .map(|mut slot| slot.set_neighbors(&new))
        });
    }
}

/// Where a live element's list of a level above 0 is.
fn upper_list(index: &Index, of: ElementId, level: Level) -> Option<UpperId> {
    let (block, slot) = index.geometry().element.split(of);
    let page = Page::lock(index.relation(), block, Access::Share);
    let view = ElementPage::view(page.bytes(), index.geometry());
    let element = index.expect(block, view.and_then(|view| view.slot(slot)));
    let upper = element
        .upper()
        .filter(|_| element.is_live() && element.level() >= level);
    upper.map(|upper| upper.at(level))
}

fn write(index: &Index, page: &Page, change: impl FnOnce(&mut [u8]) -> Result<(), Corrupt>) {
    let mut record = Record::begin(index.relation());
    let image = record.page(page);
    index.expect(page.block(), change(record.bytes(image)));
    record.commit();
}
