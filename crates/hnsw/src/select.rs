//! Algorithm 4: selects neighbors.

use crate::Candidate;

/// Algorithm 4: keeps a candidate if it is nearer to the base than to every neighbor kept before it, up to `max`.
///
/// `candidates` are sorted nearest first; `between(i, j)` is the distance between two of them, by position.
/// Appends the kept candidates to `into`, nearest first.
pub fn select_neighbors(
    candidates: &[Candidate],
    max: usize,
    mut between: impl FnMut(usize, usize) -> f32,
    into: &mut Vec<Candidate>,
) {
    let mut kept: Vec<usize> = Vec::with_capacity(max.min(candidates.len()));
    for (i, candidate) in candidates.iter().enumerate() {
        if kept.len() == max {
            break;
        }
        if kept.iter().all(|&k| candidate.distance < between(k, i)) {
            kept.push(i);
        }
    }
    into.extend(kept.into_iter().map(|i| candidates[i]));
}

/// Algorithm 4's `keepPrunedConnections`: fills a selection up to `max` with the nearest rejected candidates.
///
/// A new element fills all its places, a list that ran over as many as `least_kept` says. Without that, lists shrink to
/// very few where the nearest of a base are near to everything: long vectors by inner product, short ones by L2.
pub fn fill_with_nearest(candidates: &[Candidate], max: usize, selected: &mut Vec<Candidate>) {
    for candidate in candidates {
        if selected.len() >= max {
            break;
        }
        if !selected.contains(candidate) {
            selected.push(*candidate);
        }
    }
    selected.sort_unstable();
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
        select_neighbors(&on_a_line(places), max, between, &mut selected);
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
    fn a_selection_is_filled_nearest_first_up_to_max() {
        let candidates = on_a_line(&[1.0, 1.5, -2.0, 3.0]);
        let filled = |selected: &[usize], max| {
            let mut selected: Vec<_> = selected.iter().map(|&i| candidates[i]).collect();
            fill_with_nearest(&candidates, max, &mut selected);
            selected.iter().map(|c| c.element.0).collect::<Vec<_>>()
        };
        assert_eq!(filled(&[0, 2], 3), [0, 1, 2]);
        assert_eq!(filled(&[0, 2], 9), [0, 1, 2, 3]);
        assert_eq!(filled(&[0, 2], 1), [0, 2]);
        assert!(filled(&[], 0).is_empty());
    }
}
