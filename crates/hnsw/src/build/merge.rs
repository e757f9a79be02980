//! The third step of a build by leaves: merges the choices of the leaves into one list per element.
//!
//! Elements are visited in the order of their leaves, so that the codes of their neighbors are still in the caches. A place
//! is an element's position in this order.

use super::effort::Effort;
use super::groups::Groups;
use super::leaf::Chosen;
use super::partition::Leaves;
use super::per_thread::PerThread;
use super::{Stopped, Watch, try_filled};
use crate::vectors::{ElementQuery, candidate, choose, cut};
use crate::visited::Visited;
use crate::{Candidate, ElementId, least_kept};
use quantize::CodeSet;
use rayon::prelude::*;

/// A neighbor and its distance.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Neighbor {
    /// The neighbor.
    pub element: u32,
    /// The distance.
    pub distance: f32,
}

/// Lists of neighbors by place, nearest first, `width` entries each.
#[derive(Debug)]
pub(super) struct Lists {
    width: usize,
    entries: Vec<Neighbor>,
    lengths: Vec<u16>,
}

impl Lists {
    pub(super) fn try_new(count: usize, width: usize) -> Result<Self, Stopped> {
        Ok(Self {
            width,
            entries: try_filled(count * width, Neighbor::default())?,
            lengths: try_filled(count, 0)?,
        })
    }

    /// No lists, with memory for `count`.
    pub(super) fn with_capacity(count: usize, width: usize) -> Result<Self, Stopped> {
        let (mut entries, mut lengths) = (Vec::new(), Vec::new());
        entries.try_reserve_exact(count * width)?;
        lengths.try_reserve_exact(count)?;
        Ok(Self {
            width,
            entries,
            lengths,
        })
    }

    /// Appends lists of the same width, with `first` added to each neighbor.
    pub(super) fn append(&mut self, others: &Self, first: u32) {
        assert_eq!(self.width, others.width, "lists of one width");
        self.entries
            .extend(others.entries.iter().map(|near| Neighbor {
                element: first + near.element,
                ..*near
            }));
        self.lengths.extend_from_slice(&others.lengths);
    }

    pub(super) fn bytes_needed(count: usize, width: usize) -> usize {
        count * (width * size_of::<Neighbor>() + size_of::<u16>())
    }

    #[inline]
    pub(super) fn list(&self, place: usize) -> &[Neighbor] {
        &self.entries[place * self.width..][..usize::from(self.lengths[place])]
    }

    /// All lists, for parallel writing.
    pub(super) fn each_mut(&mut self) -> impl Iterator<Item = (&mut [Neighbor], &mut u16)> {
        self.entries
            .chunks_exact_mut(self.width)
            .zip(&mut self.lengths)
    }
}

/// Writes candidates into a list of sufficient capacity.
pub(super) fn fill(entries: &mut [Neighbor], length: &mut u16, candidates: &[Candidate]) {
    for (entry, candidate) in entries.iter_mut().zip(candidates) {
        *entry = Neighbor {
            element: candidate.element.0,
            distance: candidate.distance,
        };
    }
    *length = candidates.len() as u16;
}

/// Elements per task.
const TASK: usize = 64;

struct Scratch {
    seen: Visited,
    ids: Vec<u32>,
    /// The ids of the next element.
    next: Vec<u32>,
    candidates: Vec<Candidate>,
    selected: Vec<Candidate>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            seen: Visited::new(),
            ids: Vec::new(),
            next: Vec::new(),
            candidates: Vec::new(),
            selected: Vec::new(),
        }
    }
}

/// Merges the choices of each element's leaves, and selects up to `m` neighbors from them.
pub(super) fn choose_forward(
    codes: &CodeSet,
    leaves: &Leaves,
    chosen: &Chosen,
    order: &[u32],
    effort: &Effort,
    watch: &Watch,
    done: impl Fn(usize) + Sync,
) -> Result<Lists, Stopped> {
    let choices = Choices {
        leaves,
        chosen,
        rows: Groups::collect(order.len(), || leaves.ids.iter().copied().zip(0..))?,
    };
    let width = effort.width();
    let mut lists = Lists::try_new(order.len(), width)?;
    let scratch = PerThread::new(Scratch::default);
    let tasks = order
        .par_chunks(TASK)
        .zip(lists.entries.par_chunks_mut(TASK * width))
        .zip(lists.lengths.par_chunks_mut(TASK));
    tasks.try_for_each(|((elements, entries), lengths)| {
        watch.check()?;
        let scratch = &mut *scratch.mine();
        let entries = entries.chunks_mut(width).zip(lengths);
        // Everything an element needs lies far apart, so it is fetched while those before it are selected.
        scratch.gather(codes, &choices, elements[0], width);
        for (i, (entries, length)) in entries.enumerate() {
            std::mem::swap(&mut scratch.ids, &mut scratch.next);
            if let Some(&next) = elements.get(i + 1) {
                scratch.gather(codes, &choices, next, width);
            }
            if let Some(&later) = elements.get(i + 2) {
                choices.prefetch_ids(later);
            }
            if let Some(&later) = elements.get(i + 3) {
                choices.prefetch_rows(later);
            }
            scratch.select(codes, elements[i], effort);
            fill(entries, length, &scratch.selected);
        }
        done(elements.len());
        Ok::<_, Stopped>(())
    })?;
    Ok(lists)
}

/// The choices of all leaves.
struct Choices<'a> {
    leaves: &'a Leaves,
    chosen: &'a Chosen,
    /// The rows of each element.
    rows: Groups<u32>,
}

impl Choices<'_> {
    /// The choices of an element, with repeats.
    fn of(&self, element: u32) -> impl Iterator<Item = u32> {
        let rows = self.rows.group(element as usize).iter();
        let neighbors = rows.flat_map(|&row| self.chosen.neighbors(row));
        neighbors.map(|row| self.leaves.ids[row as usize])
    }

    /// Prefetches the choices of an element's rows.
    fn prefetch_rows(&self, element: u32) {
        for &row in self.rows.group(element as usize) {
            self.chosen.prefetch(row);
        }
    }

    /// Prefetches the ids of an element's choices.
    fn prefetch_ids(&self, element: u32) {
        for &row in self.rows.group(element as usize) {
            for neighbor in self.chosen.neighbors(row) {
                let id = &self.leaves.ids[neighbor as usize];
                distance::prefetch_at((&raw const *id).cast(), size_of_val(id));
            }
        }
    }
}

impl Scratch {
    /// Makes the choices of an element, without repeats, the next ids, and prefetches their codes. If they are fewer than `wanted`,
    /// as in a tight group that is together in all its leaves, choices of those are added.
    fn gather(&mut self, codes: &CodeSet, choices: &Choices<'_>, element: u32, wanted: usize) {
        self.next.clear();
        self.seen.clear();
        self.seen.insert(ElementId(element));
        self.add(codes, choices.of(element));
        for near in 0..self.next.len() {
            if self.next.len() >= wanted {
                break;
            }
            self.add(codes, choices.of(self.next[near]));
        }
    }

    /// Adds those of these ids that are new.
    fn add(&mut self, codes: &CodeSet, ids: impl Iterator<Item = u32>) {
        for id in ids {
            if self.seen.insert(ElementId(id)) {
                codes.prefetch(id);
                self.next.push(id);
            }
        }
    }

    /// Chooses among the ids. Sorted by distance and id, they do not depend on the order of the leaves.
    fn select(&mut self, codes: &CodeSet, element: u32, effort: &Effort) {
        let query = ElementQuery::new(codes, element);
        self.candidates.clear();
        self.candidates
            .extend(self.ids.iter().map(|&id| query.measure(id)));
        self.candidates.sort_unstable();
        self.selected.clear();
        choose(
            codes,
            element,
            &self.candidates,
            effort.m,
            &mut self.selected,
        );
        add_spares(&self.candidates, effort, &mut self.selected);
    }
}

/// Appends the nearest of the rest, for a list that few others link back to.
fn add_spares(candidates: &[Candidate], effort: &Effort, selected: &mut Vec<Candidate>) {
    let chosen = selected.len();
    for candidate in candidates {
        if selected.len() == effort.width() {
            return;
        }
        if !selected[..chosen].contains(candidate) {
            selected.push(*candidate);
        }
    }
}

/// Adds to the first `m` of every list the elements that chose its owner, fills it with its spares or cuts it to its capacity, and
/// writes it to `lists`, by place.
pub(super) fn link_back<L: Send>(
    codes: &CodeSet,
    forward: &Lists,
    order: &[u32],
    (m, capacity): (usize, usize),
    lists: Vec<L>,
    write: impl Fn(L, &[Candidate]) + Sync,
    watch: &Watch,
) -> Result<(), Stopped> {
    let mut places = try_filled(order.len(), 0)?;
    for (place, &element) in (0..).zip(order) {
        places[element as usize] = place;
    }
    let places = &places;
    let back = Groups::collect(order.len(), || {
        order.iter().enumerate().flat_map(|(place, &element)| {
            let near = forward.list(place).iter().take(m);
            near.map(move |near| {
                let distance = near.distance;
                (
                    places[near.element as usize],
                    Neighbor { element, distance },
                )
            })
        })
    })?;
    let scratch = PerThread::new(Scratch::default);
    let tasks = lists.into_par_iter().enumerate().with_min_len(TASK);
    tasks.try_for_each(|(place, list)| {
        watch.check()?;
        let scratch = &mut *scratch.mine();
        let forward = forward.list(place);
        let (chosen, spares) = forward.split_at(m.min(forward.len()));
        scratch.join(chosen, back.group(place));
        scratch.add_spares(spares, least_kept(capacity));
        write(list, scratch.cut(codes, order[place], capacity));
        Ok(())
    })
}

impl Scratch {
    /// Candidates from both directions, each once, nearest first.
    fn join(&mut self, forward: &[Neighbor], back: &[Neighbor]) {
        let new = back
            .iter()
            .filter(|back| forward.iter().all(|near| near.element != back.element));
        self.candidates.clear();
        self.candidates.extend(
            forward
                .iter()
                .chain(new)
                .map(|near| candidate(near.distance, near.element)),
        );
        self.candidates.sort_unstable();
    }

    /// Adds spares while there are fewer candidates than `least`.
    fn add_spares(&mut self, spares: &[Neighbor], least: usize) {
        let before = self.candidates.len();
        for spare in spares {
            if self.candidates.len() >= least {
                break;
            }
            let spare = candidate(spare.distance, spare.element);
            if !self.candidates[..before].contains(&spare) {
                self.candidates.push(spare);
            }
        }
        if self.candidates.len() > before {
            self.candidates.sort_unstable();
        }
    }

    fn cut(&mut self, codes: &CodeSet, element: u32, capacity: usize) -> &[Candidate] {
        if self.candidates.len() <= capacity {
            return &self.candidates;
        }
        self.selected.clear();
        cut(
            codes,
            element,
            &self.candidates,
            capacity,
            &mut self.selected,
        );
        &self.selected
    }
}
