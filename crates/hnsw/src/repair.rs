//! Repairs neighbor lists for vacuum: replaces neighbors that are gone.

use crate::link::{Lists, candidates, elements};
use crate::{Candidate, ElementId, GROUP, Level, Room, Search, Vectors, least_kept};
use std::collections::BTreeMap;

/// The maximum number of replacements for each dead neighbor.
const PER_DEAD: usize = 3;

/// A search for replacements has this many times the capacity of the list as candidates, if `ef` is less: as `ef_construction` is by
/// default, for few candidates find few of the nearest where most elements are dead.
const EF_PER_CAPACITY: usize = 2;

/// The contents of a list without its dead neighbors: the others, completed from the neighbors of the dead ones. If more than
/// half of the neighbors are dead, or if less than half of the list is filled then, a search with `ef` candidates offers
/// more. `None` if no neighbor is dead, or if the element itself is gone.
pub fn repair<S: Lists>(
    store: &mut S,
    search: &mut Search,
    ef: usize,
    (element, level): (ElementId, Level),
    old: &[ElementId],
    is_dead: impl Fn(ElementId) -> bool,
) -> Option<Vec<ElementId>> {
    let (gone, kept): (Vec<ElementId>, Vec<ElementId>) =
        old.iter().partition(|&&neighbor| is_dead(neighbor));
    if gone.is_empty() {
        return None;
    }
    let max = store.capacity(level);
    let fits = |other: &ElementId| *other != element && !is_dead(*other) && !kept.contains(other);
    let mut offered = Vec::new();
    for &neighbor in &gone {
        store.neighbors(neighbor, level, &mut offered);
    }
    offered.retain(fits);
    let at_hand = max.min(kept.len() + PER_DEAD * gone.len());
    let room = Room {
        max: at_hand,
        least: at_hand.min(old.len()).min(least_kept(max)),
    };
    let new = complete(store, element, &kept, &mut offered, room)?;
    if gone.len() <= kept.len() && new.len() >= max / 2 {
        return Some(new);
    }
    let ef = ef.max(EF_PER_CAPACITY * max);
    let near = find_near(store, search, ef, (element, level), old)?;
    offered.extend(near.into_iter().filter(fits));
    let room = Room {
        max,
        least: least_kept(max),
    };
    complete(store, element, &kept, &mut offered, room)
}

/// Adds to the kept neighbors the offered ones that Algorithm 4 accepts beside them, and the nearest of the rest.
fn complete<S: Lists>(
    store: &mut S,
    element: ElementId,
    kept: &[ElementId],
    offered: &mut Vec<ElementId>,
    room: Room,
) -> Option<Vec<ElementId>> {
    offered.sort_unstable();
    offered.dedup();
    let vectors = store.vectors(&[&[element], kept, offered.as_slice()].concat());
    let kept = candidates(&vectors, element, kept.iter().copied())?;
    let offered = candidates(&vectors, element, offered.iter().copied())?;
    // Caches the bases: the nearest neighbors are compared with nearly all offered elements.
    let mut bases = BTreeMap::new();
    let half_square = vectors.half_square(element.0);
    let between = |offered: &Candidate, neighbor: &Candidate| {
        let neighbor = neighbor.element.0;
        let (base, longer) = bases.entry(neighbor).or_insert_with(|| {
            let longer = vectors.half_square(neighbor) - half_square;
            (vectors.base(neighbor), longer)
        });
        vectors.distance(base, offered.element.0) + *longer
    };
    let completed = repair_neighbors(&kept, &offered, room, between);
    Some(elements(&completed))
}

/// The elements of a layer nearest to an element, by a search from the entry point; in its group, from its neighbors, dead or not.
fn find_near<S: Lists>(
    store: &mut S,
    search: &mut Search,
    ef: usize,
    (element, level): (ElementId, Level),
    neighbors: &[ElementId],
) -> Option<Vec<ElementId>> {
    let query = store.query(element)?;
    let (mut from, mut found) = (Vec::new(), Vec::new());
    match level {
        GROUP => store.estimate(&query, neighbors, &mut from),
        _ => from.push(search.descend(store, &query, level)?.nearest),
    }
    search.layer(store, &query, &from, level, ef, &mut found);
    Some(elements(&found))
}

/// Completes a neighbor list after removal of dead neighbors: keeps the kept ones, adds the offered ones (the neighbors of dead
/// ones) accepted by Algorithm 4 up to `room.max`, and the nearest of the rest up to `room.least`.
///
/// Both are sorted nearest first and disjoint. `between(offered, neighbor)` is the distance between an offered element and
/// one in the list. Returns the list, nearest first.
pub fn repair_neighbors(
    kept: &[Candidate],
    offered: &[Candidate],
    room: Room,
    mut between: impl FnMut(&Candidate, &Candidate) -> f32,
) -> Vec<Candidate> {
    let mut neighbors = kept.to_vec();
    for candidate in offered {
        if neighbors.len() >= room.max {
            break;
        }
        // Only neighbors nearer to the base can reject a candidate; farther ones come after it in Algorithm 4.
        let nearer = neighbors.partition_point(|neighbor| neighbor < candidate);
        let is_diverse = |neighbor: &Candidate| candidate.distance < between(candidate, neighbor);
        if neighbors[..nearer].iter().all(is_diverse) {
            neighbors.insert(nearer, *candidate);
        }
    }
    let lacking = room.least.saturating_sub(neighbors.len());
    let rest: Vec<Candidate> = offered
        .iter()
        .filter(|offered| !neighbors.contains(offered))
        .take(lacking)
        .copied()
        .collect();
    neighbors.extend(rest);
    neighbors.sort_unstable();
    neighbors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::candidate;

    /// Repairs a list of positions on a line, around a base at 0.
    fn repair(kept: &[f32], offered: &[f32], max: usize, least: usize) -> Vec<f32> {
        let places = [kept, offered].concat();
        let candidates: Vec<Candidate> = places
            .iter()
            .zip(0..)
            .map(|(p, i)| candidate(p.abs(), i))
            .collect();
        let place = |c: &Candidate| places[c.element.0 as usize];
        let (kept, offered) = candidates.split_at(kept.len());
        let between = |a: &Candidate, b: &Candidate| (place(a) - place(b)).abs();
        repair_neighbors(kept, offered, Room { max, least }, between)
            .iter()
            .map(place)
            .collect()
    }

    #[test]
    fn what_was_kept_stays_even_beyond_max() {
        assert_eq!(repair(&[1.0, 1.1, 1.2], &[-1.0], 2, 0), [1.0, 1.1, 1.2]);
        assert_eq!(repair(&[1.0, 1.1], &[], 9, 0), [1.0, 1.1]);
    }

    #[test]
    fn an_offer_behind_a_neighbor_is_declined() {
        assert_eq!(repair(&[1.0], &[2.0, -3.0], 9, 0), [1.0, -3.0]);
        assert_eq!(repair(&[], &[1.0, 2.0, -3.0], 9, 0), [1.0, -3.0]);
    }

    #[test]
    fn an_offer_before_a_neighbor_joins() {
        assert_eq!(repair(&[3.0], &[2.0], 9, 0), [2.0, 3.0]);
    }

    #[test]
    fn offers_fill_up_to_max_nearest_first() {
        assert_eq!(repair(&[5.0], &[-1.0, 2.0], 2, 0), [-1.0, 5.0]);
    }

    #[test]
    fn the_nearest_offers_fill_a_short_list() {
        assert_eq!(repair(&[1.0], &[2.0, 4.0, -3.0], 9, 3), [1.0, 2.0, -3.0]);
        assert_eq!(repair(&[1.0], &[2.0], 9, 5), [1.0, 2.0]);
    }
}
