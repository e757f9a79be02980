//! The links back to an element: how it comes into the lists of others.
//!
//! A list may change between its reading and its writing, so each change is decided without a lock and written if the list
//! is still the same.

use crate::vectors::{ElementQuery, Vectors, cut};
use crate::{Candidate, ElementId, Level, Store};

/// The maximum number of rounds for a link. Another writer may change a list between its reading and writing; then it is read
/// again. After this many rounds the link is given up: other lists may take the new element.
const TRIES: usize = 4;

/// A store whose elements can be compared with each other.
pub trait Compare: Store {
    /// Vectors of some elements.
    type Vectors: Vectors;

    /// The capacity of a list.
    fn capacity(&self, level: Level) -> usize;

    /// The vectors of the live ones among the elements.
    fn vectors(&mut self, elements: &[ElementId]) -> Self::Vectors;
}

/// A store whose neighbor lists can change.
pub trait Lists: Compare {
    /// Adds to a list those elements that it lacks, if it has room for all of them.
    fn push(&mut self, of: ElementId, level: Level, new: &[ElementId]) -> Push;

    /// Writes a list if it still is `old`; false if another writer has changed it. The list of an element that is gone is
    /// left unchanged.
    fn replace(
        &mut self,
        of: ElementId,
        level: Level,
        old: &[ElementId],
        new: &[ElementId],
    ) -> bool;

    /// True if an element has rows.
    fn is_live(&mut self, element: ElementId) -> bool;

    /// The links from the live ones among the elements, in any order.
    fn links_from(&mut self, elements: &[ElementId], level: Level) -> Vec<Link>;

    /// An element as a query; `None` if it is gone.
    fn query(&mut self, element: ElementId) -> Option<Self::Query>;

    /// Called in every loop that may run long.
    fn pause(&mut self) {}
}

/// An element in the list of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The neighbor.
    pub to: ElementId,
    /// The owner of the list.
    pub from: ElementId,
}

/// The result of adding to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Push {
    /// The list has the elements.
    Done,
    /// Its owner is gone.
    Gone,
    /// It has no room; these are its neighbors.
    Full(Vec<ElementId>),
}

/// Offers a new element to the lists of the neighbors it chose on a layer (nearest first), in the order of their ids: on pages,
/// block after block. If none of them keeps it, one is forced to, or no search could find it there.
pub fn link_back<S: Lists>(store: &mut S, chosen: &[ElementId], level: Level, new: ElementId) {
    let mut in_order = chosen.to_vec();
    in_order.sort_unstable();
    let mut linked = false;
    for of in in_order {
        linked |= link(store, of, level, new);
    }
    if !linked {
        force_link(store, chosen.iter().copied(), level, new);
    }
}

/// Offers `new` to a list: it is added if there is room, or by Algorithm 4. True if it was added.
fn link<S: Lists>(store: &mut S, of: ElementId, level: Level, new: ElementId) -> bool {
    for _ in 0..TRIES {
        let full = match store.push(of, level, &[new]) {
            Push::Done => return true,
            Push::Gone => return false,
            Push::Full(list) => list,
        };
        match reselect(store, of, level, &full, new) {
            Some(kept) if kept.contains(&new) => {
                if store.replace(of, level, &full, &kept) {
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
/// If all these lists are full, a chosen element drops a neighbor to which a nearer one in its list links. Otherwise the
/// furthest neighbor in the first list is dropped, and `new` links to it.
pub fn force_link<S: Lists>(
    store: &mut S,
    chosen: impl Iterator<Item = ElementId> + Clone,
    level: Level,
    new: ElementId,
) {
    if push_beside(store, chosen.clone(), level, new) {
        return;
    }
    for of in chosen.clone() {
        if replace_covered(store, of, level, new) {
            return;
        }
    }
    // If all chosen elements are gone, the vacuum that removed them waits for this insert and links the new element itself.
    for of in chosen {
        if replace_furthest(store, of, level, new) {
            return;
        }
    }
}

/// Adds `new` to the first list with room among the lists of the chosen elements and of their neighbors. False if all are full.
fn push_beside<S: Lists>(
    store: &mut S,
    chosen: impl Iterator<Item = ElementId>,
    level: Level,
    new: ElementId,
) -> bool {
    let max = store.capacity(level);
    let mut list = Vec::new();
    for of in chosen {
        store.pause();
        let full = match store.push(of, level, &[new]) {
            Push::Done => return true,
            Push::Gone => continue,
            Push::Full(full) => full,
        };
        // The most recently added members are the likeliest to have room.
        for &member in full.iter().rev().filter(|&&member| member != new) {
            store.pause();
            list.clear();
            store.neighbors(member, level, &mut list);
            if list.len() < max
                && store.is_live(member)
                && store.push(member, level, &[new]) == Push::Done
            {
                return true;
            }
        }
    }
    false
}

/// Puts `new` into a list; a full list drops the furthest of the elements to which a nearer one in the list links. False if
/// there is none, if the element is gone, or if another writer has changed the list.
fn replace_covered<S: Lists>(store: &mut S, of: ElementId, level: Level, new: ElementId) -> bool {
    let full = match store.push(of, level, &[new]) {
        Push::Done => return true,
        Push::Gone => return false,
        Push::Full(full) => full,
    };
    furthest_covered(store, of, level, &full)
        .is_some_and(|furthest| store.replace(of, level, &full, &swap(&full, furthest, new)))
}

/// Puts `new` into a list; a full list drops its furthest element, and `new` links to that one, which may have no other
/// incoming link. False if the element is gone.
fn replace_furthest<S: Lists>(store: &mut S, of: ElementId, level: Level, new: ElementId) -> bool {
    // Kept across rounds: another choice would displace one more neighbor of the new element.
    let mut linked = None;
    // Each lost round is another insert's progress.
    loop {
        store.pause();
        let full = match store.push(of, level, &[new]) {
            Push::Done => return true,
            Push::Gone => return false,
            Push::Full(full) => full,
        };
        let furthest = linked
            .filter(|linked| full.contains(linked))
            // A list without live elements exists only while vacuum is running.
            .or_else(|| furthest(store, of, &full))
            .unwrap_or(full[0]);
        // A tombstone leaves for good, without a new link: vacuum may have repaired the new element's list already.
        if linked != Some(furthest) && store.is_live(furthest) {
            push_or_displace(store, new, level, furthest);
            linked = Some(furthest);
        }
        if store.replace(of, level, &full, &swap(&full, furthest, new)) {
            return true;
        }
    }
}

/// Adds to the list of an element just linked: a new one, or one that vacuum found lost. A full list drops its furthest
/// neighbor to which a nearer one in it links. Without such a one it drops its first: a new element chose that one itself, and
/// others link to it; one that vacuum found lost leads to nothing yet, and vacuum links what it leads to no more.
fn push_or_displace<S: Lists>(store: &mut S, of: ElementId, level: Level, new: ElementId) {
    while let Push::Full(full) = store.push(of, level, &[new]) {
        store.pause();
        let dropped = furthest_covered(store, of, level, &full).unwrap_or(full[0]);
        if store.replace(of, level, &full, &swap(&full, dropped, new)) {
            return;
        }
    }
}

/// The furthest of the neighbors that stay reachable without this list.
fn furthest_covered<S: Lists>(
    store: &mut S,
    of: ElementId,
    level: Level,
    list: &[ElementId],
) -> Option<ElementId> {
    let links = store.links_from(list, level);
    let vectors = store.vectors(&[&[of], list].concat());
    let candidates = candidates(&vectors, of, list.iter().copied())?;
    let uncovered = uncovered(&vectors, of, &candidates, links);
    let covered = elements(&candidates);
    covered.into_iter().rev().find(|e| !uncovered.contains(e))
}

/// The furthest live neighbor.
fn furthest<S: Lists>(store: &mut S, of: ElementId, list: &[ElementId]) -> Option<ElementId> {
    let vectors = store.vectors(&[&[of], list].concat());
    let candidates = candidates(&vectors, of, list.iter().copied())?;
    candidates.last().map(|candidate| candidate.element)
}

/// The `dropped` neighbors to which no link leads from an element nearer to them than `of`: a search would come no nearer on such a
/// link.
fn uncovered<V: Vectors>(
    vectors: &V,
    of: ElementId,
    dropped: &[Candidate],
    mut links: Vec<Link>,
) -> Vec<ElementId> {
    let mut to = elements(dropped);
    to.sort_unstable();
    links.retain(|link| to.binary_search(&link.to).is_ok() && vectors.holds(link.from.0));
    let half_square = vectors.half_square(of.0);
    let is_covered = |dropped: &Candidate| {
        let mut by = links
            .iter()
            .filter(|link| link.to == dropped.element)
            .map(|link| link.from)
            .peekable();
        by.peek().is_some() && {
            let query = ElementQuery::new(vectors, dropped.element.0);
            by.any(|by| {
                let longer = vectors.half_square(by.0) - half_square;
                query.measure(by.0).distance + longer < dropped.distance
            })
        }
    };
    dropped
        .iter()
        .filter(|dropped| !is_covered(dropped))
        .map(|dropped| dropped.element)
        .collect()
}

/// A list with `new` at its end in place of `old`.
fn swap(list: &[ElementId], old: ElementId, new: ElementId) -> Vec<ElementId> {
    let stays = list.iter().copied().filter(|&element| element != old);
    stays.chain([new]).collect()
}

/// Selects from the neighbors of `of` and the new one; `None` if `of` is gone, or if the new one would have to be left out
/// for others.
///
/// A dropped neighbor without a link from a remaining and nearer one may have no other incoming link, and no search would find it
/// any more. It is kept too if there is room; otherwise the new element links to it.
fn reselect<S: Lists>(
    store: &mut S,
    of: ElementId,
    level: Level,
    full: &[ElementId],
    new: ElementId,
) -> Option<Vec<ElementId>> {
    let vectors = store.vectors(&[&[of, new], full].concat());
    let candidates = candidates(&vectors, of, full.iter().copied().chain([new]))?;
    let mut selected = Vec::with_capacity(full.len());
    cut(&vectors, of.0, &candidates, full.len(), &mut selected);
    let mut kept = elements(&selected);
    if kept.contains(&new) {
        let stays: Vec<ElementId> = kept.iter().copied().filter(|&kept| kept != new).collect();
        let links = store.links_from(&stays, level);
        let dropped: Vec<Candidate> = candidates
            .into_iter()
            .filter(|c| !kept.contains(&c.element))
            .collect();
        let mut lost = uncovered(&vectors, of, &dropped, links);
        let unlinked = lost.split_off(lost.len().min(full.len() - kept.len()));
        kept.extend(lost);
        // All of them or none: a change that is given up leaves the new element's list as it was.
        if !unlinked.is_empty() && store.push(new, level, &unlinked) != Push::Done {
            return None;
        }
    }
    Some(kept)
}

/// Elements as candidates, nearest to `base` first; elements that are gone are left out. `None` if `base` is gone.
pub(crate) fn candidates<V: Vectors>(
    vectors: &V,
    base: ElementId,
    elements: impl Iterator<Item = ElementId>,
) -> Option<Vec<Candidate>> {
    if !vectors.holds(base.0) {
        return None;
    }
    let query = ElementQuery::new(vectors, base.0);
    let held = elements.filter(|element| vectors.holds(element.0));
    let mut candidates: Vec<Candidate> = held.map(|element| query.measure(element.0)).collect();
    candidates.sort_unstable();
    Some(candidates)
}

pub(crate) fn elements(candidates: &[Candidate]) -> Vec<ElementId> {
    candidates
        .iter()
        .map(|candidate| candidate.element)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::candidate;

    /// Vectors of one dimension.
    struct Line(Vec<f32>);

    impl Vectors for Line {
        type Base<'v> = f32;

        fn len(&self) -> usize {
            self.0.len()
        }

        fn base(&self, vector: u32) -> f32 {
            self.0[vector as usize]
        }

        fn distance(&self, base: &f32, vector: u32) -> f32 {
            (base - self.0[vector as usize]).abs()
        }
    }

    #[test]
    fn a_neighbor_may_go_if_a_nearer_one_links_to_it() {
        // The owner is 0; 1 lies between it and 2, and 3 on its other side.
        let line = Line(vec![0.0, 1.0, 2.0, -1.0]);
        let lost = |from: &[u32]| {
            let links = from.iter().map(|&from| Link {
                to: ElementId(2),
                from: ElementId(from),
            });
            uncovered(&line, ElementId(0), &[candidate(2.0, 2)], links.collect())
        };
        assert_eq!(lost(&[1]), []);
        assert_eq!(lost(&[3, 1]), []);
        assert_eq!(lost(&[3]), [ElementId(2)]);
        assert_eq!(lost(&[]), [ElementId(2)]);
    }
}
