//! Changes neighbor lists on pages: reads a list, decides with no page locked, and writes it if it is still the same.

use hnsw::{ElementId, Level, Store, has_all_elements, max_neighbors};
use layout::UpperId;

use super::buffer::Access;
use super::codes::Codes;
use super::index::Index;
use super::locked;
use super::page_graph::PageGraph;
use crate::pg::interrupt;

/// The maximum number of rounds for a link. Another backend may change a list between its reading and writing; then it is read
/// again. After this many rounds the link is given up: other lists may take the new element.
const TRIES: usize = 4;

/// Offers `new`, with its code, to a list: it is added if there is room, or by Algorithm 4. True if it was added.
pub(super) fn link(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    new: ElementId,
    code: &[u8],
) -> bool {
    let index = graph.index();
    for _ in 0..TRIES {
        let full = match push(index, of, level, &[new]) {
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

/// Forces a link to `new` on a layer: from one of the chosen elements, nearest first, or from one of their neighbors with room.
/// In regions with many new elements rejected by Algorithm 4, forced links in the chosen lists alone would displace good
/// neighbors from the lists that all searches pass through.
/// If all these lists are full, a chosen element drops a neighbor to which another neighbor in its list links. Otherwise the
/// furthest neighbor in the first list is dropped, and `new` links to it.
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
        if replace_covered(graph, of, level, new) {
            return;
        }
    }
    // If all chosen elements are gone, the vacuum that removed them waits for this insert and links the new element itself.
    for of in chosen {
        if replace_furthest(graph, of, level, new) {
            return;
        }
    }
}

/// Adds `new` to the first list with room among the lists of the chosen elements and of their neighbors. False if all are full.
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
        let full = match push(index, of, level, &[new]) {
            Push::Done => return true,
            Push::Gone => continue,
            Push::Full(full) => full,
        };
        // The most recently added members are the likeliest to have room.
        for &member in full.iter().rev().filter(|&&member| member != new) {
            interrupt::check();
            let mut list = Vec::new();
            graph.neighbors(member, level, &mut list);
            if list.len() < max
                && graph.is_live(member)
                && matches!(push(index, member, level, &[new]), Push::Done)
            {
                return true;
            }
        }
    }
    false
}

/// Puts `new` into a list; a full list drops the furthest of the elements to which another one in the list links. False if
/// there is none, if the element is gone, or if another backend has changed the list.
fn replace_covered(graph: &mut PageGraph<'_>, of: ElementId, level: Level, new: ElementId) -> bool {
    let index = graph.index();
    let full = match push(index, of, level, &[new]) {
        Push::Done => return true,
        Push::Gone => return false,
        Push::Full(full) => full,
    };
    furthest_covered(graph, of, level, &full)
        .is_some_and(|furthest| replace(index, of, level, &full, &swap(&full, furthest, new)))
}

/// Puts `new` into a list; a full list drops its furthest element, and `new` links to that one, which may have no other
/// incoming link. False if the element is gone.
fn replace_furthest(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    new: ElementId,
) -> bool {
    let index = graph.index();
    // Kept across rounds: another choice would displace one more neighbor of the new element.
    let mut linked = None;
    // Each lost round is another insert's progress.
    loop {
        interrupt::check();
        let full = match push(index, of, level, &[new]) {
            Push::Done => return true,
            Push::Gone => return false,
            Push::Full(full) => full,
        };
        let furthest = linked
            .filter(|linked| full.contains(linked))
            // A list without live elements exists only while vacuum is running.
            .or_else(|| furthest(graph, of, &full, |_| true))
            .unwrap_or(full[0]);
        // A tombstone leaves for good, without a new link: vacuum may have repaired the new element's list already.
        if linked != Some(furthest) && graph.is_live(furthest) {
            push_or_displace(graph, new, level, furthest);
            linked = Some(furthest);
        }
        if replace(index, of, level, &full, &swap(&full, furthest, new)) {
            return true;
        }
    }
}

/// The furthest of the neighbors to which another one in the list links, so that it stays reachable without this list.
fn furthest_covered(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    level: Level,
    list: &[ElementId],
) -> Option<ElementId> {
    let covered = graph.neighbors_of_all(list, level);
    furthest(graph, of, list, |element| {
        covered.binary_search(&element).is_ok()
    })
}

/// The furthest live neighbor that may go.
fn furthest(
    graph: &mut PageGraph<'_>,
    of: ElementId,
    list: &[ElementId],
    may_go: impl Fn(ElementId) -> bool,
) -> Option<ElementId> {
    let codes = Codes::read(graph, &[&[of], list].concat());
    let base = codes.query(of)?;
    let may_go = list.iter().copied().filter(|&element| may_go(element));
    codes
        .candidates(&base, may_go)
        .last()
        .map(|candidate| candidate.element)
}

/// A list with `new` at its end in place of `old`.
fn swap(list: &[ElementId], old: ElementId, new: ElementId) -> Vec<ElementId> {
    let stays = list.iter().copied().filter(|&element| element != old);
    stays.chain([new]).collect()
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

/// Adds to a list those elements that it lacks, if it has room for all of them.
pub(super) fn add(index: &Index, of: ElementId, level: Level, new: &[ElementId]) {
    push(index, of, level, new);
}

/// The result of adding to a list.
enum Push {
    Done,
    Gone,
    Full(Vec<ElementId>),
}

/// Adds to a list those elements that it lacks, if it has room for all of them.
fn push(index: &Index, of: ElementId, level: Level, new: &[ElementId]) -> Push {
    let max = max_neighbors(index.geometry().m.into(), level);
    let mut pushed = Push::Gone;
    change(index, of, level, |list| {
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

/// Adds to the list of an element just linked: a new one, or one that vacuum found lost. A full list drops its furthest
/// neighbor to which another one in it links. Without such a one it drops its first: a new element chose that one itself, and
/// others link to it; one that vacuum found lost leads to nothing yet, and vacuum links what it leads to no more.
fn push_or_displace(graph: &mut PageGraph<'_>, of: ElementId, level: Level, new: ElementId) {
    let index = graph.index();
    while let Push::Full(full) = push(index, of, level, &[new]) {
        interrupt::check();
        let dropped = furthest_covered(graph, of, level, &full).unwrap_or(full[0]);
        if replace(index, of, level, &full, &swap(&full, dropped, new)) {
            return;
        }
    }
}

/// Selects from the neighbors of `of` and the new one by Algorithm 4 over codes; `None` if `of` is gone, or if the new one
/// would have to be left out for others.
///
/// A dropped neighbor without a link from a remaining neighbor may have no other incoming link, and no search would find it
/// any more. It is kept too if there is room; otherwise the new element links to it.
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
        .select(codes.get(of)?, &candidates, full.len())
        .iter()
        .map(|kept| kept.element)
        .collect();
    if kept.contains(&new) {
        let stays: Vec<ElementId> = kept.iter().copied().filter(|&kept| kept != new).collect();
        let covered = graph.neighbors_of_all(&stays, level);
        let is_lost = |element: &ElementId| {
            !kept.contains(element) && covered.binary_search(element).is_err()
        };
        let mut lost: Vec<ElementId> = full.iter().copied().filter(is_lost).collect();
        let homeless = lost.split_off(lost.len().min(full.len() - kept.len()));
        kept.extend(lost);
        let homeless: Vec<ElementId> = homeless
            .into_iter()
            .filter(|&lost| graph.is_live(lost))
            .collect();
        // All of them or none: a change that is given up leaves the new element's list as it was.
        if !homeless.is_empty() && !matches!(push(index, new, level, &homeless), Push::Done) {
            return None;
        }
    }
    Some(kept)
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
