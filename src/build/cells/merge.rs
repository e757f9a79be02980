//! Merges the lists of each element from its cells into one.

use std::ops::Range;

use hnsw::build::cells::join;
use hnsw::build::{FREE, Neighbor, Stopped, Watch};
use hnsw::{GROUP, Level, max_neighbors};
use rayon::prelude::*;

use crate::build::format::{ListRecord, NO_PLACE};

/// Merged lists of consecutive elements; elements are identified by position in page order.
pub(super) struct Merged {
    /// Lists of layer 0, one after the other, `capacity` entries each.
    pub(super) layer0: Vec<u32>,
    /// Lists in groups, `m` entries each; empty without groups.
    pub(super) groups: Vec<u32>,
    /// Lists of upper layers.
    pub(super) upper: Vec<(u32, Level, Vec<u32>)>,
}

/// The offset of a list among the records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    level: Level,
    place: u32,
    offset: usize,
}

/// Merges the lists of the elements in a range of positions. Leaves out neighbors merged into another element.
pub(super) fn merge_lists(
    records: &[u8],
    range: Range<u32>,
    places: &[u32],
    m: usize,
    is_grouped: bool,
    watch: &Watch,
) -> Result<Merged, Stopped> {
    let mut entries = entries(records, places);
    entries.par_sort_unstable();
    watch.check()?;
    let layer0_end = entries.partition_point(|entry| entry.level == 0);
    let upper_end = entries.partition_point(|entry| entry.level < GROUP);
    let of_all = |entries, level| {
        let capacity = max_neighbors(m, level);
        all_lists(records, entries, &range, places, capacity)
    };
    let layer0 = of_all(&entries[..layer0_end], 0)?;
    let groups = match is_grouped {
        true => of_all(&entries[upper_end..], GROUP)?,
        false => Vec::new(),
    };
    let upper = entries[layer0_end..upper_end]
        .chunk_by(|a, b| (a.level, a.place) == (b.level, b.place))
        .map(|entries| {
            let (level, place) = (entries[0].level, entries[0].place);
            let near = merged(records, entries, places, max_neighbors(m, level));
            (place, level, near.iter().map(|near| near.element).collect())
        });
    Ok(Merged {
        upper: upper.collect(),
        layer0,
        groups,
    })
}

/// Merges the lists of every element of a range on one layer.
fn all_lists(
    records: &[u8],
    entries: &[Entry],
    range: &Range<u32>,
    places: &[u32],
    capacity: usize,
) -> Result<Vec<u32>, Stopped> {
    let of_element: Vec<&[Entry]> = entries.chunk_by(|a, b| a.place == b.place).collect();
    let mut all = Vec::new();
    all.try_reserve_exact(range.len() * capacity)?;
    all.resize(range.len() * capacity, FREE);
    let lists: Vec<(&[Entry], &mut [u32])> = pair_up(&of_element, range, &mut all, capacity);
    lists.into_par_iter().for_each(|(entries, list)| {
        for (place, near) in list
            .iter_mut()
            .zip(merged(records, entries, places, capacity))
        {
            *place = near.element;
        }
    });
    Ok(all)
}

/// Pairs the entries of each element with its list of the output.
fn pair_up<'e, 'l>(
    of_element: &[&'e [Entry]],
    range: &Range<u32>,
    layer0: &'l mut [u32],
    capacity: usize,
) -> Vec<(&'e [Entry], &'l mut [u32])> {
    let mut entries = of_element.iter().copied().peekable();
    let lists = range.clone().zip(layer0.chunks_exact_mut(capacity));
    lists
        .filter_map(|(place, list)| {
            let entries = entries.next_if(|entries| entries[0].place == place)?;
            Some((entries, list))
        })
        .collect()
}

fn entries(records: &[u8], places: &[u32]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut offset = 0;
    while offset < records.len() {
        let (list, len) = ListRecord::read(&records[offset..]);
        entries.push(Entry {
            level: list.level,
            place: places[list.row as usize],
            offset,
        });
        offset += len;
    }
    entries
}

fn merged(records: &[u8], entries: &[Entry], places: &[u32], capacity: usize) -> Vec<Neighbor> {
    let mut near = Vec::with_capacity(2 * capacity);
    for entry in entries {
        let (list, _) = ListRecord::read(&records[entry.offset..]);
        near.extend(list.neighbors().map(|(row, distance)| Neighbor {
            element: places[row as usize],
            distance,
        }));
    }
    let own = entries[0].place;
    near.retain(|near| near.element != NO_PLACE && near.element != own);
    join(&mut near, capacity);
    near
}
