//! Items sorted into groups by counting.

use super::{Stopped, try_filled};
use rayon::prelude::*;
use std::ops::Range;

/// The items of each group, in input order.
pub(super) struct Groups<T> {
    groups_per_part: usize,
    parts: Vec<Part<T>>,
}

/// The groups of a range, made by one task.
struct Part<T> {
    /// The start of each group in `items`, and the end of the last one.
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy + Default + Send + Sync> Groups<T> {
    /// Groups items by number. Each task reads all items and keeps those of its own range of groups: no task waits for another,
    /// and the result is independent of the number of tasks.
    pub(super) fn collect<I: Iterator<Item = (u32, T)>>(
        count: usize,
        items: impl Fn() -> I + Sync,
    ) -> Result<Self, Stopped> {
        let groups_per_part = count.div_ceil(rayon::current_num_threads()).max(1);
        let ranges: Vec<Range<usize>> = (0..count)
            .step_by(groups_per_part)
            .map(|first| first..(first + groups_per_part).min(count))
            .collect();
        let parts = ranges
            .into_par_iter()
            .map(|range| Part::collect(range, &items))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            groups_per_part,
            parts,
        })
    }

    #[inline]
    pub(super) fn group(&self, number: usize) -> &[T] {
        let part = &self.parts[number / self.groups_per_part];
        let group = number % self.groups_per_part;
        &part.items[part.starts[group] as usize..part.starts[group + 1] as usize]
    }
}

impl<T: Copy + Default> Part<T> {
    fn collect<I: Iterator<Item = (u32, T)>>(
        range: Range<usize>,
        items: &impl Fn() -> I,
    ) -> Result<Self, Stopped> {
        let mine = || items().filter(|(group, _)| range.contains(&(*group as usize)));
        let mut starts = try_filled(range.len() + 1, 0_u32)?;
        for (group, _) in mine() {
            starts[group as usize - range.start + 1] += 1;
        }
        for group in 0..range.len() {
            starts[group + 1] += starts[group];
        }
        let mut next = try_filled(range.len(), 0)?;
        next.copy_from_slice(&starts[..range.len()]);
        let mut grouped = try_filled(starts[range.len()] as usize, T::default())?;
        for (group, item) in mine() {
            let next = &mut next[group as usize - range.start];
            grouped[*next as usize] = item;
            *next += 1;
        }
        Ok(Self {
            starts,
            items: grouped,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_within_a_group() {
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let items = || (0..1000_u32).map(|i| (i * i % 7, i));
            let groups = pool.install(|| Groups::collect(7, items)).ok().unwrap();
            for group in 0..7 {
                let expected: Vec<u32> = items()
                    .filter(|(g, _)| *g == group)
                    .map(|(_, i)| i)
                    .collect();
                assert_eq!(groups.group(group as usize), expected);
            }
        }
    }

    #[test]
    fn there_may_be_no_groups_and_empty_ones() {
        let none: Groups<u32> = Groups::collect(0, std::iter::empty).ok().unwrap();
        assert!(none.parts.is_empty());
        let empty: Groups<u32> = Groups::collect(3, std::iter::empty).ok().unwrap();
        assert!(empty.group(2).is_empty());
    }
}
