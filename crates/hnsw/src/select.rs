//! Algorithm 4: selects neighbors.

use crate::Candidate;

/// How many neighbors a selection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The maximum.
    pub max: usize,
    /// The minimum, if there are as many candidates.
    pub least: usize,
}

/// The factors of distances between neighbors by which later rounds of a selection are less strict. Distances below zero, of
/// inner products, make them no less strict; there the nearest of the rest follow at once.
const WIDER: [f32; 2] = [1.5, 2.25];

/// Selects neighbors: the one rule for the lists of builds, inserts and vacuum.
///
/// Algorithm 4 keeps a candidate if it is nearer to the base than to every neighbor kept before it, up to `max`. If it keeps
/// fewer than `least`, two more rounds ask the same with longer distances between neighbors (as DiskANN does by its alpha), and
/// the nearest of the rest follow (Algorithm 4's `keepPrunedConnections`). Without that, lists shrink to very few where the
/// nearest of a base are near to everything: long vectors by inner product, short ones by L2.
///
/// `candidates` are sorted nearest first; `between(i, j)` is the distance between two of them, by position.
/// Appends the kept candidates to `into`, nearest first.
pub fn select_neighbors(
    candidates: &[Candidate],
    room: Room,
    mut between: impl FnMut(usize, usize) -> f32,
    into: &mut Vec<Candidate>,
) {
    let mut kept: Vec<usize> = Vec::with_capacity(room.max.min(candidates.len()));
    // The rejected ones, each with its distance from the neighbor that rejected it: mostly that one rejects it again.
    let mut rest: Vec<(usize, f32)> = Vec::with_capacity(candidates.len());
    for (i, candidate) in candidates.iter().enumerate() {
        if kept.len() >= room.max {
            break;
        }
        let is_near = |between: &f32| !is_nearer(candidate, *between);
        match kept.iter().map(|&k| between(k, i)).find(is_near) {
            Some(near) => rest.push((i, near)),
            None => kept.push(i),
        }
    }
    for wider in WIDER {
        rest.retain_mut(|(i, near)| {
            let is_near = |between: &f32| !is_nearer(&candidates[*i], wider * between);
            if kept.len() >= room.least || is_near(near) {
                return true;
            }
            let before = kept.iter().filter(|&k| k < i);
            let again = before.map(|&k| between(k, *i)).find(is_near);
            match again {
                Some(again) => *near = again,
                None => kept.push(*i),
            }
            again.is_some()
        });
    }
    let lacking = room.least.saturating_sub(kept.len());
    kept.extend(rest.into_iter().take(lacking).map(|(i, _)| i));
    kept.sort_unstable();
    into.extend(kept.into_iter().map(|i| candidates[i]));
}

/// True if a candidate is nearer to the base than it is to a neighbor.
fn is_nearer(candidate: &Candidate, to_neighbor: f32) -> bool {
    candidate.distance < to_neighbor
}

/// How many neighbors a list of this capacity keeps at least when it runs over: a quarter of it stays free for those
/// that come next, or every one of them would have the whole list selected anew.
#[must_use]
pub fn least_kept(capacity: usize) -> usize {
    capacity - capacity / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ElementId;

    /// Candidates on a line around a base at 0, nearest first.
    fn on_a_line(places: &[f32]) -> Vec<Candidate> {
        places
            .iter()
            .enumerate()
            .map(|(i, place)| Candidate {
                distance: place.abs(),
                error: 0.0,
                element: ElementId(i as u32),
                live: true,
            })
            .collect()
    }

    fn select(places: &[f32], max: usize) -> Vec<u32> {
        let mut selected = Vec::new();
        let between = |i: usize, j: usize| (places[i] - places[j]).abs();
        let room = Room { max, least: 0 };
        select_neighbors(&on_a_line(places), room, between, &mut selected);
        selected.iter().map(|c| c.element.0).collect()
    }

    #[test]
    fn a_candidate_behind_a_kept_neighbor_is_left_out() {
        assert_eq!(select(&[1.0, 1.5, -2.0, 3.0], 4), [0, 2]);
    }

    #[test]
    fn the_nearest_is_always_kept() {
        assert_eq!(select(&[0.0, 0.0, 0.0], 2), [0]);
        assert_eq!(select(&[5.0], 1), [0]);
    }

    #[test]
    fn no_more_than_max_are_kept() {
        assert_eq!(select(&[1.0, -1.0], 1), [0]);
        assert!(select(&[1.0, -1.0], 0).is_empty());
        assert!(select(&[], 3).is_empty());
    }

    #[test]
    fn a_selection_is_filled_by_distance_from_others_then_nearest_first() {
        let places = [1.0_f32, 1.1, 1.5, -2.0, 3.0];
        let filled = |least| {
            let mut selected = Vec::new();
            let between = |i: usize, j: usize| (places[i] - places[j]).abs();
            let room = Room { max: 9, least };
            select_neighbors(&on_a_line(&places), room, between, &mut selected);
            selected.iter().map(|c| c.element.0).collect::<Vec<_>>()
        };
        assert_eq!(filled(2), [0, 3]);
        // 3.0 is nearer to the base than to 1.0, if the distance between these is taken 2.25 times.
        assert_eq!(filled(3), [0, 3, 4]);
        assert_eq!(filled(4), [0, 1, 3, 4]);
        assert_eq!(filled(9), [0, 1, 2, 3, 4]);
    }
}
