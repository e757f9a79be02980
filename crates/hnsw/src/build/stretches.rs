//! Reachability when not even the neighbor lists fit in memory: a stretch of them is read at a time.
//!
//! In memory are two bits for each element. A pass over all stretches carries reachability on as far as it goes within
//! each; passes follow until nothing changes. They are few, since elements lie near their neighbors. Then whatever was
//! not reached gets a link from something that was. Such a link may have to be entered in a stretch that has gone by:
//! it is a promise, kept in the next pass.

use super::{Stopped, Watch, try_filled};
use std::collections::BTreeSet;

/// Neighbor lists of a layer that lie elsewhere, each of the same number of places.
pub trait Stretches {
    /// Reads lists from that of `first` on, as many as there is room for.
    fn read(&mut self, first: u32, lists: &mut [u32]);

    /// Writes lists back.
    fn write(&mut self, first: u32, lists: &[u32]);
}

/// No neighbor: a place of a list that is free. All of them are at its end.
pub const FREE: u32 = u32::MAX;

/// How far back a neighbor is looked for among the elements before.
const FAR: u32 = 256;

/// What is to be connected.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// Elements.
    pub n: u32,
    /// Places of a list.
    pub capacity: usize,
    /// From where all are to be reached.
    pub entry_point: u32,
    /// Lists that are read at a time.
    pub stretch: usize,
}

/// Makes every element reachable from the entry point; gives how many had not been. `check` is called now and then.
///
/// # Errors
/// When there is no memory, or when the watch says stop.
pub fn connect_stretches<S: Stretches>(
    store: &mut S,
    extent: &Ground,
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
        for first in (0..extent.n).step_by(extent.stretch) {
            check();
            watch.check()?;
            let mut stretch = Stretch::read(store, extent, first, &mut connect.buffer);
            connect.keep(&promises, &mut stretch);
            connect.walk_on(&stretch);
            if settled {
                connect.promise_links(&mut stretch);
            }
            connect.buffer = stretch.write(store);
        }
        if last && connect.promises.is_empty() {
            return Ok(connect.lost);
        }
        settled = before == (connect.count, connect.lost);
    }
}

/// A link to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Promise {
    by: u32,
    to: u32,
}

struct Connect {
    entry_point: u32,
    reached: Bits,
    /// Whose neighbors have been reached too.
    expanded: Bits,
    count: usize,
    /// Elements that had to be linked.
    lost: usize,
    promises: Vec<Promise>,
    /// Elements with a place kept free for what the promised link to them may displace.
    reserved: BTreeSet<u32>,
    to_expand: Vec<u32>,
    buffer: Vec<u32>,
}

impl Connect {
    fn try_new(extent: &Ground) -> Result<Self, Stopped> {
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
                extent.stretch.min(extent.n as usize) * extent.capacity,
                FREE,
            )?,
        };
        connect.reach(extent.entry_point);
        Ok(connect)
    }

    /// The promises so far, by list.
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

    /// Enters the links that were promised to come from this stretch. A full list gives up its last neighbor, which is
    /// reached by way of the new one from then on.
    fn keep(&mut self, promises: &[Promise], stretch: &mut Stretch) {
        let start = promises.partition_point(|promise| promise.by < stretch.first);
        for promise in &promises[start..] {
            if !stretch.contains(promise.by) {
                break;
            }
            if let Some(displaced) = stretch.enter(promise.by, promise.to) {
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

    /// Reaches what can be reached within a stretch, and the first elements outside of it.
    fn walk_on(&mut self, stretch: &Stretch) {
        for element in stretch.elements() {
            if self.reached.contains(element) {
                self.walk(stretch, element);
            }
        }
    }

    fn walk(&mut self, stretch: &Stretch, from: u32) {
        self.to_expand.push(from);
        while let Some(element) = self.to_expand.pop() {
            if !self.expanded.insert(element) {
                continue;
            }
            for &neighbor in stretch.neighbors(element) {
                if self.reach(neighbor) && stretch.contains(neighbor) {
                    self.to_expand.push(neighbor);
                }
            }
        }
    }

    /// Promises a link to each element of a stretch that was not reached, and reaches it.
    fn promise_links(&mut self, stretch: &mut Stretch) {
        for element in stretch.elements() {
            if self.reached.contains(element) {
                continue;
            }
            let by = self.nearest_reached(stretch, element);
            // Nothing is reached over its list yet.
            stretch.make_room(element);
            self.reserved.insert(element);
            self.promises.push(Promise { by, to: element });
            self.lost += 1;
            self.reach(element);
            self.walk(stretch, element);
        }
    }

    /// A neighbor of an element, else one that lies before it, else the entry point.
    fn nearest_reached(&self, stretch: &Stretch, element: u32) -> u32 {
        let may_link =
            |other: &u32| self.reached.contains(*other) && !self.reserved.contains(other);
        let before = (stretch.first..element).rev().take(FAR as usize);
        let near = stretch.neighbors(element).iter().copied().chain(before);
        near.filter(|&other| other != element)
            .find(may_link)
            .unwrap_or(self.entry_point)
    }
}

/// Consecutive lists.
struct Stretch {
    first: u32,
    capacity: usize,
    lists: Vec<u32>,
    changed: bool,
}

impl Stretch {
    fn read<S: Stretches>(
        store: &mut S,
        extent: &Ground,
        first: u32,
        buffer: &mut Vec<u32>,
    ) -> Self {
        let mut lists = std::mem::take(buffer);
        let count = extent.stretch.min((extent.n - first) as usize);
        lists.resize(count * extent.capacity, FREE);
        store.read(first, &mut lists);
        Self {
            first,
            capacity: extent.capacity,
            lists,
            changed: false,
        }
    }

    /// Writes it back if it has changed; gives its memory for the next.
    fn write<S: Stretches>(self, store: &mut S) -> Vec<u32> {
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

    /// Adds a neighbor; gives the one that had to make room for it.
    fn enter(&mut self, of: u32, new: u32) -> Option<u32> {
        let (count, is_there) = (self.neighbors(of).len(), self.neighbors(of).contains(&new));
        if is_there {
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

    /// Frees the last place of a list.
    fn make_room(&mut self, of: u32) {
        let last = self.list(of).last_mut().expect("a list has places");
        if std::mem::replace(last, FREE) != FREE {
            self.changed = true;
        }
    }
}

/// A set of elements, a bit for each.
struct Bits(Vec<u64>);

impl Bits {
    fn try_new(n: u32) -> Result<Self, Stopped> {
        Ok(Self(try_filled((n as usize).div_ceil(64), 0)?))
    }

    fn contains(&self, element: u32) -> bool {
        self.0[element as usize / 64] & (1 << (element % 64)) != 0
    }

    /// False if it was there.
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

    impl Stretches for Memory {
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
        /// Lists of up to `capacity` neighbors, each as `neighbor(element, place)` says, none twice.
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

    fn connect(memory: &mut Memory, entry_point: u32, stretch: usize) -> usize {
        let extent = Ground {
            n: (memory.lists.len() / memory.capacity) as u32,
            capacity: memory.capacity,
            entry_point,
            stretch,
        };
        connect_stretches(memory, &extent, &Watch::default(), || {}).unwrap()
    }

    /// Graphs that are connected, or not at all, with lists that are empty, part filled or full.
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
            // Cliques of five that know nobody else, with full lists.
            Memory::new(n, 4, |e, p| Some(e / 5 * 5 + p)),
            Memory::new(n, 4, |e, p| Some(e / 5 * 5 + (e + p + 1) % 5)),
            // Cliques whose members lie far apart.
            Memory::new(n, 4, |e, p| Some((e + 60 * (p + 1)) % 300)),
            // All link to the first four, to which nobody else is linked.
            Memory::new(n, 4, |_, p| Some(p)),
        ]
    }

    #[test]
    fn everything_is_reached_whatever_the_stretch() {
        for stretch in [1, 7, 100, 1000] {
            for (number, mut memory) in graphs().into_iter().enumerate() {
                connect(&mut memory, 4, stretch);
                assert_eq!(memory.unreached(4), 0, "graph {number}, stretch {stretch}");
                assert!(memory.is_sound(), "graph {number}, stretch {stretch}");
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
