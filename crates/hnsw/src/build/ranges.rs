//! Reachability if not even the neighbor lists fit in memory: reads one range of lists at a time.
//!
//! Memory holds two bits per element. A pass over all ranges extends reachability as far as possible within each; passes
//! repeat until nothing changes. They are few, since elements are stored near their neighbors. Then each unreachable
//! element is assigned a reachable neighbor. If this neighbor's list is in an earlier range, the link is pending until
//! the next pass.

use super::{Stopped, Watch, try_filled};
use std::collections::BTreeSet;

/// External storage of a layer's neighbor lists, all of the same capacity.
pub trait ListRanges {
    /// Reads lists from `first` on into the whole buffer.
    fn read(&mut self, first: u32, lists: &mut [u32]);

    /// Writes lists back.
    fn write(&mut self, first: u32, lists: &[u32]);
}

/// An unused entry of a list. Unused entries are at its end.
pub const FREE: u32 = u32::MAX;

/// The number of preceding elements examined for a neighbor.
const FAR: u32 = 256;

/// The layer to connect.
#[derive(Clone, Copy, Debug)]
pub struct LayerExtent {
    /// The number of elements.
    pub n: u32,
    /// The capacity of a list.
    pub capacity: usize,
    /// The entry point.
    pub entry_point: u32,
    /// Lists per range.
    pub lists_per_range: usize,
}

/// Makes every element reachable from the entry point; returns the number of unreachable ones. Calls `check` regularly.
///
/// # Errors
/// If memory runs out, or if the watch says stop.
pub fn connect_ranges<S: ListRanges>(
    store: &mut S,
    extent: &LayerExtent,
    watch: &Watch,
    mut check: impl FnMut(),
) -> Result<usize, Stopped> {
    if extent.n == 0 {
        return Ok(0);
    }
    let mut connect = Connect::try_new(extent)?;
    let mut settled = false;
    loop {
        let before = (connect.count, connect.lost);
        let promises = connect.take_promises();
        let last = settled && promises.is_empty();
        for first in (0..extent.n).step_by(extent.lists_per_range) {
            check();
            watch.check()?;
            let mut range = ListRange::read(store, extent, first, &mut connect.buffer);
            connect.keep(&promises, &mut range);
            connect.walk_on(&range);
            if settled {
                connect.promise_links(&mut range);
            }
            connect.buffer = range.write(store);
        }
        if last && connect.promises.is_empty() {
            return Ok(connect.lost);
        }
        settled = before == (connect.count, connect.lost);
    }
}

/// A pending link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Promise {
    by: u32,
    to: u32,
}

struct Connect {
    entry_point: u32,
    reached: Bits,
    /// Elements whose neighbors are reached too.
    expanded: Bits,
    count: usize,
    /// The number of elements linked here.
    lost: usize,
    promises: Vec<Promise>,
    /// Elements with an entry reserved for the neighbor that a pending link to them may displace.
    reserved: BTreeSet<u32>,
    to_expand: Vec<u32>,
    buffer: Vec<u32>,
}

impl Connect {
    fn try_new(extent: &LayerExtent) -> Result<Self, Stopped> {
        let mut connect = Self {
            entry_point: extent.entry_point,
            reached: Bits::try_new(extent.n)?,
            expanded: Bits::try_new(extent.n)?,
            count: 0,
            lost: 0,
            promises: Vec::new(),
            reserved: BTreeSet::new(),
            to_expand: Vec::new(),
            buffer: try_filled(
                extent.lists_per_range.min(extent.n as usize) * extent.capacity,
                FREE,
            )?,
        };
        connect.reach(extent.entry_point);
        Ok(connect)
    }

    /// The pending links, by list.
    fn take_promises(&mut self) -> Vec<Promise> {
        let mut promises = std::mem::take(&mut self.promises);
        promises.sort_unstable();
        promises
    }

    fn reach(&mut self, element: u32) -> bool {
        let is_new = self.reached.insert(element);
        self.count += usize::from(is_new);
        is_new
    }

    /// Writes the pending links of this range. A full list drops its last neighbor, which is then reachable through the new
    /// one.
    fn keep(&mut self, promises: &[Promise], range: &mut ListRange) {
        let start = promises.partition_point(|promise| promise.by < range.first);
        for promise in &promises[start..] {
            if !range.contains(promise.by) {
                break;
            }
            if let Some(displaced) = range.enter(promise.by, promise.to) {
                self.promises.push(Promise {
                    by: promise.to,
                    to: displaced,
                });
            } else {
                self.reserved.remove(&promise.to);
            }
            self.reserved.remove(&promise.by);
        }
    }

    /// Extends reachability within a range, and to the first elements outside of it.
    fn walk_on(&mut self, range: &ListRange) {
        for element in range.elements() {
            if self.reached.contains(element) {
                self.walk(range, element);
            }
        }
    }

    fn walk(&mut self, range: &ListRange, from: u32) {
        self.to_expand.push(from);
        while let Some(element) = self.to_expand.pop() {
            if !self.expanded.insert(element) {
                continue;
            }
            for &neighbor in range.neighbors(element) {
                if self.reach(neighbor) && range.contains(neighbor) {
                    self.to_expand.push(neighbor);
                }
            }
        }
    }

    /// Adds a pending link to each unreachable element of a range, and marks it reached.
    fn promise_links(&mut self, range: &mut ListRange) {
        for element in range.elements() {
            if self.reached.contains(element) {
                continue;
            }
            let by = self.nearest_reached(range, element);
            // Its list has not extended reachability yet.
            range.make_room(element);
            self.reserved.insert(element);
            self.promises.push(Promise { by, to: element });
            self.lost += 1;
            self.reach(element);
            self.walk(range, element);
        }
    }

    /// A reached neighbor of an element, else a reached preceding element, else the entry point.
    fn nearest_reached(&self, range: &ListRange, element: u32) -> u32 {
        let may_link =
            |other: &u32| self.reached.contains(*other) && !self.reserved.contains(other);
        let before = (range.first..element).rev().take(FAR as usize);
        let near = range.neighbors(element).iter().copied().chain(before);
        near.filter(|&other| other != element)
            .find(may_link)
            .unwrap_or(self.entry_point)
    }
}

/// A range of consecutive lists.
struct ListRange {
    first: u32,
    capacity: usize,
    lists: Vec<u32>,
    changed: bool,
}

impl ListRange {
    fn read<S: ListRanges>(
        store: &mut S,
        extent: &LayerExtent,
        first: u32,
        buffer: &mut Vec<u32>,
    ) -> Self {
        let mut lists = std::mem::take(buffer);
        let count = extent.lists_per_range.min((extent.n - first) as usize);
        lists.resize(count * extent.capacity, FREE);
        store.read(first, &mut lists);
        Self {
            first,
            capacity: extent.capacity,
            lists,
            changed: false,
        }
    }

    /// Writes the range back if it changed; returns its memory for the next.
    fn write<S: ListRanges>(self, store: &mut S) -> Vec<u32> {
        if self.changed {
            store.write(self.first, &self.lists);
        }
        self.lists
    }

    fn elements(&self) -> std::ops::Range<u32> {
        self.first..self.first + (self.lists.len() / self.capacity) as u32
    }

    fn contains(&self, element: u32) -> bool {
        self.elements().contains(&element)
    }

    fn list(&mut self, of: u32) -> &mut [u32] {
        let start = (of - self.first) as usize * self.capacity;
        &mut self.lists[start..start + self.capacity]
    }

    fn neighbors(&self, of: u32) -> &[u32] {
        let start = (of - self.first) as usize * self.capacity;
        crate::memory::filled(&self.lists[start..start + self.capacity])
    }

    /// Adds a neighbor; returns the displaced one.
    fn enter(&mut self, of: u32, new: u32) -> Option<u32> {
        let (count, is_linked) = (self.neighbors(of).len(), self.neighbors(of).contains(&new));
        if is_linked {
            return None;
        }
        self.changed = true;
        let list = self.list(of);
        if let Some(free) = list.get_mut(count) {
            *free = new;
            return None;
        }
        let last = list.last_mut().expect("a list has places");
        Some(std::mem::replace(last, new))
    }

    /// Clears the last entry of a list.
    fn make_room(&mut self, of: u32) {
        let last = self.list(of).last_mut().expect("a list has places");
        if std::mem::replace(last, FREE) != FREE {
            self.changed = true;
        }
    }
}

/// A bit set of elements.
struct Bits(Vec<u64>);

impl Bits {
    fn try_new(n: u32) -> Result<Self, Stopped> {
        Ok(Self(try_filled((n as usize).div_ceil(64), 0)?))
    }

    fn contains(&self, element: u32) -> bool {
        self.0[element as usize / 64] & (1 << (element % 64)) != 0
    }

    /// Inserts an element; false if it was present.
    fn insert(&mut self, element: u32) -> bool {
        let is_new = !self.contains(element);
        self.0[element as usize / 64] |= 1 << (element % 64);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scramble;

    struct Memory {
        capacity: usize,
        lists: Vec<u32>,
    }

    impl ListRanges for Memory {
        fn read(&mut self, first: u32, lists: &mut [u32]) {
            let start = first as usize * self.capacity;
            lists.copy_from_slice(&self.lists[start..start + lists.len()]);
        }

        fn write(&mut self, first: u32, lists: &[u32]) {
            let start = first as usize * self.capacity;
            self.lists[start..start + lists.len()].copy_from_slice(lists);
        }
    }

    impl Memory {
        /// Lists of up to `capacity` distinct neighbors from `neighbor(element, place)`.
        fn new(n: u32, capacity: usize, neighbor: impl Fn(u32, u32) -> Option<u32>) -> Self {
            let mut lists = Vec::new();
            for element in 0..n {
                let mut list: Vec<u32> = (0..capacity as u32)
                    .filter_map(|place| neighbor(element, place))
                    .filter(|&other| other != element)
                    .collect();
                list.sort_unstable();
                list.dedup();
                list.resize(capacity, FREE);
                lists.extend(list);
            }
            Self { capacity, lists }
        }

        fn unreached(&self, from: u32) -> usize {
            let n = self.lists.len() / self.capacity;
            let mut reached = vec![false; n];
            let mut to_expand = vec![from];
            while let Some(element) = to_expand.pop() {
                if !std::mem::replace(&mut reached[element as usize], true) {
                    let list = &self.lists[element as usize * self.capacity..][..self.capacity];
                    to_expand.extend(list.iter().filter(|&&neighbor| neighbor != FREE));
                }
            }
            reached.iter().filter(|reached| !**reached).count()
        }

        fn is_sound(&self) -> bool {
            self.lists.chunks(self.capacity).zip(0..).all(|(list, of)| {
                let used = list.partition_point(|&neighbor| neighbor != FREE);
                let list = &list[..used];
                let unique: BTreeSet<_> = list.iter().collect();
                unique.len() == used && !list.contains(&of) && !list.contains(&FREE)
            })
        }
    }

    fn connect(memory: &mut Memory, entry_point: u32, lists_per_range: usize) -> usize {
        let extent = LayerExtent {
            n: (memory.lists.len() / memory.capacity) as u32,
            capacity: memory.capacity,
            entry_point,
            lists_per_range,
        };
        connect_ranges(memory, &extent, &Watch::default(), || {}).unwrap()
    }

    /// Connected and disconnected graphs, with empty, partly filled and full lists.
    fn graphs() -> Vec<Memory> {
        let n = 300;
        let random = |seed: u32| {
            move |e: u32, p: u32| Some((scramble(u64::from(e * 64 + p + seed)) % 300) as u32)
        };
        vec![
            Memory::new(n, 4, |e, _| Some((e + 1) % 300)),
            Memory::new(n, 4, |e, _| e.checked_sub(1)),
            Memory::new(n, 4, |_, _| None),
            Memory::new(n, 8, random(1)),
            Memory::new(n, 2, random(7)),
            // Isolated cliques of five, with full lists.
            Memory::new(n, 4, |e, p| Some(e / 5 * 5 + p)),
            Memory::new(n, 4, |e, p| Some(e / 5 * 5 + (e + p + 1) % 5)),
            // Cliques with distant members.
            Memory::new(n, 4, |e, p| Some((e + 60 * (p + 1)) % 300)),
            // All link to the first four, which link to no others.
            Memory::new(n, 4, |_, p| Some(p)),
        ]
    }

    #[test]
    fn everything_is_reached_whatever_the_range() {
        for range in [1, 7, 100, 1000] {
            for (number, mut memory) in graphs().into_iter().enumerate() {
                connect(&mut memory, 4, range);
                assert_eq!(memory.unreached(4), 0, "graph {number}, range {range}");
                assert!(memory.is_sound(), "graph {number}, range {range}");
            }
        }
    }

    #[test]
    fn what_is_connected_stays_as_it_is() {
        let mut memory = Memory::new(300, 4, |e, _| Some((e + 1) % 300));
        let before = memory.lists.clone();
        assert_eq!(connect(&mut memory, 17, 10), 0);
        assert_eq!(memory.lists, before);
    }

    #[test]
    fn one_element_and_none_need_no_links() {
        for n in [0, 1] {
            assert_eq!(connect(&mut Memory::new(n, 2, |_, _| None), 0, 10), 0);
        }
    }
}
