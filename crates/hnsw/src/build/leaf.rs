//! The second step of a build by leaves: neighbors within a leaf, chosen from the distances of all its pairs.
//!
//! One task per leaf; each writes its own part of `Chosen`. A chosen neighbor is stored as the difference between its row
//! and the choosing row: two bytes instead of eight for an id and a distance. `merge` computes the distance again when it
//! merges the choices of a vector's leaves.

use super::partition::Leaves;
use super::per_thread::PerThread;
use super::{Stopped, Watch, try_filled};
use quantize::{AllPairs, CodeSet};
use rayon::prelude::*;

/// The number of neighbors that a leaf considers, and may propose, for each of its vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) nearest: usize,
    pub(super) kept: usize,
}

/// The neighbors chosen by each row, in the order of the rows of all leaves.
pub(super) struct Chosen {
    kept: usize,
    /// Offsets from a row to its neighbors; zero for an unused entry.
    steps: Vec<i16>,
}

impl Chosen {
    /// Prefetches the chosen neighbors of a row.
    #[inline]
    pub(super) fn prefetch(&self, row: u32) {
        let steps = &self.steps[row as usize * self.kept..(row as usize + 1) * self.kept];
        distance::prefetch_at(steps.as_ptr().cast(), size_of_val(steps));
    }

    /// The rows of a row's chosen neighbors.
    #[inline]
    pub(super) fn neighbors(&self, row: u32) -> impl Iterator<Item = u32> {
        let steps = &self.steps[row as usize * self.kept..(row as usize + 1) * self.kept];
        steps
            .iter()
            .take_while(|step| **step != 0)
            .map(move |&step| row.wrapping_add_signed(i32::from(step)))
    }
}

/// Chooses neighbors in every leaf. Calls `done` with the rows of each.
pub(super) fn choose_in_leaves(
    codes: &CodeSet,
    leaves: &Leaves,
    choice: &Choice,
    watch: &Watch,
    done: impl Fn(usize) + Sync,
) -> Result<Chosen, Stopped> {
    let mut steps = try_filled(leaves.ids.len() * choice.kept, 0)?;
    let scratch = PerThread::new(|| Scratch {
        pairs: AllPairs::new(codes.metric()),
        neighbors: Vec::new(),
    });
    let mut tasks = Vec::new();
    let mut rest = steps.as_mut_slice();
    for leaf in leaves.iter() {
        let (mine, others) = rest.split_at_mut(leaf.len() * choice.kept);
        tasks.push((leaf, mine));
        rest = others;
    }
    tasks.into_par_iter().try_for_each(|(leaf, steps)| {
        scratch.mine().choose(codes, leaf, choice, steps, watch)?;
        done(leaf.len());
        Ok::<_, Stopped>(())
    })?;
    Ok(Chosen {
        kept: choice.kept,
        steps,
    })
}

struct Scratch {
    pairs: AllPairs,
    neighbors: Vec<u32>,
}

impl Scratch {
    fn choose(
        &mut self,
        codes: &CodeSet,
        leaf: &[u32],
        choice: &Choice,
        steps: &mut [i16],
        watch: &Watch,
    ) -> Result<(), Stopped> {
        watch.check()?;
        self.pairs.compute(codes, leaf);
        watch.check()?;
        for (row, steps) in steps.chunks_exact_mut(choice.kept).enumerate() {
            self.pairs
                .choose(row, choice.nearest, choice.kept, &mut self.neighbors);
            for (step, &neighbor) in steps.iter_mut().zip(&self.neighbors) {
                *step = (i64::from(neighbor) - row as i64) as i16;
            }
        }
        Ok(())
    }
}
