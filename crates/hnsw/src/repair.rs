//! Repairs neighbor lists for vacuum: replaces neighbors that are gone.

use crate::Candidate;

/// Completes a neighbor list after removal of dead neighbors, up to `max`: keeps the kept ones, and adds the offered ones
/// (the neighbors of dead ones) accepted by Algorithm 4.
///
/// Both are sorted nearest first and disjoint. `between(offered, neighbor)` is the distance between an offered element and
/// one in the list. Returns the list, nearest first.
pub fn repair_neighbors(
    kept: &[Candidate],
    offered: &[Candidate],
    max: usize,
    mut between: impl FnMut(&Candidate, &Candidate) -> f32,
) -> Vec<Candidate> {
    let mut neighbors = kept.to_vec();
    for candidate in offered {
        if neighbors.len() >= max {
            break;
        }
        // Only neighbors nearer to the base can reject a candidate; farther ones come after it in Algorithm 4.
        let nearer = neighbors.partition_point(|neighbor| neighbor < candidate);
        let is_diverse = |neighbor: &Candidate| candidate.distance < between(candidate, neighbor);
        if neighbors[..nearer].iter().all(is_diverse) {
            neighbors.insert(nearer, *candidate);
        }
    }
    neighbors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::candidate;

    /// Repairs a list of positions on a line, around a base at 0.
    fn repair(kept: &[f32], offered: &[f32], max: usize) -> Vec<f32> {
        let places = [kept, offered].concat();
        let candidates: Vec<Candidate> = places
            .iter()
            .zip(0..)
            .map(|(p, i)| candidate(p.abs(), i))
            .collect();
        let place = |c: &Candidate| places[c.element.0 as usize];
        let (kept, offered) = candidates.split_at(kept.len());
        let between = |a: &Candidate, b: &Candidate| (place(a) - place(b)).abs();
        repair_neighbors(kept, offered, max, between)
            .iter()
            .map(place)
            .collect()
    }

    #[test]
    fn what_was_kept_stays_even_beyond_max() {
        assert_eq!(repair(&[1.0, 1.1, 1.2], &[-1.0], 2), [1.0, 1.1, 1.2]);
        assert_eq!(repair(&[1.0, 1.1], &[], 9), [1.0, 1.1]);
    }

    #[test]
    fn an_offer_behind_a_neighbor_is_declined() {
        assert_eq!(repair(&[1.0], &[2.0, -3.0], 9), [1.0, -3.0]);
        assert_eq!(repair(&[], &[1.0, 2.0, -3.0], 9), [1.0, -3.0]);
    }

    #[test]
    fn an_offer_before_a_neighbor_joins() {
        assert_eq!(repair(&[3.0], &[2.0], 9), [2.0, 3.0]);
    }

    #[test]
    fn offers_fill_up_to_max_nearest_first() {
        assert_eq!(repair(&[5.0], &[-1.0, 2.0], 2), [-1.0, 5.0]);
    }
}
