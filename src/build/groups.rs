//! The graphs of groups: the elements with one value in the column named by the option `graphs` have a graph of their own.

use hnsw::build::{FREE, LARGEST_LEAF, Stopped};
use hnsw::{ElementId, MemoryGraph};
use layout::Group;
use rayon::prelude::*;

use super::format::to_u32;

/// The lists of all elements in the graphs of their groups.
pub(super) struct GroupLists {
    m: usize,
    /// `m` places for each element, the last ones `FREE`.
    lists: Vec<u32>,
}

/// The elements by group, in order within each.
pub(super) fn by_group(groups: &[Group]) -> Result<Vec<u32>, Stopped> {
    let mut order: Vec<u32> = Vec::new();
    order.try_reserve_exact(groups.len())?;
    order.extend(0..to_u32(groups.len()));
    order.par_sort_unstable_by_key(|&element| (groups[element as usize], element));
    Ok(order)
}

/// The elements of every group of more than one, from their order by group.
pub(super) fn of_several<'o>(
    order: &'o [u32],
    groups: &'o [Group],
) -> impl Iterator<Item = &'o [u32]> {
    let same = |a: &u32, b: &u32| groups[*a as usize] == groups[*b as usize];
    order.chunk_by(same).filter(|members| members.len() > 1)
}

impl GroupLists {
    /// Bytes of the lists of `n` elements and of their order by group.
    pub(super) fn bytes_needed(n: usize, m: usize) -> usize {
        n * (m + 1) * size_of::<u32>()
    }

    /// Builds the graph of every group; `graph` makes one of its members. Runs in the pool.
    ///
    /// All threads build one graph of more than a leaf. Smaller graphs are built side by side, as many as have the elements of a
    /// leaf for each thread.
    pub(super) fn build(
        groups: &[Group],
        m: usize,
        graph: impl Fn(&[u32]) -> Result<MemoryGraph, Stopped> + Sync,
    ) -> Result<Self, Stopped> {
        let mut lists = Vec::new();
        lists.try_reserve_exact(groups.len() * m)?;
        lists.resize(groups.len() * m, FREE);
        let mut built = Self { m, lists };
        let order = by_group(groups)?;
        let at_once = LARGEST_LEAF * rayon::current_num_threads();
        let (mut small, mut elements) = (Vec::new(), 0);
        for members in of_several(&order, groups) {
            if members.len() > LARGEST_LEAF {
                built.write(members, &graph(members)?);
                continue;
            }
            small.try_reserve(1)?;
            small.push(members);
            elements += members.len();
            if elements >= at_once {
                built.add_small(&small, &graph)?;
                small.clear();
                elements = 0;
            }
        }
        built.add_small(&small, &graph)?;
        Ok(built)
    }

    /// Builds the graphs of these groups side by side.
    fn add_small(
        &mut self,
        groups: &[&[u32]],
        graph: &(impl Fn(&[u32]) -> Result<MemoryGraph, Stopped> + Sync),
    ) -> Result<(), Stopped> {
        let graphs = groups.par_iter().map(|members| graph(members));
        let graphs: Vec<_> = graphs.collect::<Result<_, _>>()?;
        for (members, graph) in groups.iter().zip(&graphs) {
            self.write(members, graph);
        }
        Ok(())
    }

    fn write(&mut self, members: &[u32], graph: &MemoryGraph) {
        for (local, &element) in (0..).zip(members) {
            let neighbors = graph.neighbors(ElementId(local), 0);
            let list = &mut self.lists[element as usize * self.m..][..self.m];
            for (place, &neighbor) in list.iter_mut().zip(neighbors) {
                *place = members[neighbor as usize];
            }
        }
    }

    /// The neighbors of an element in its group.
    pub(super) fn neighbors(&self, element: u32) -> impl Iterator<Item = u32> {
        let list = &self.lists[element as usize * self.m..][..self.m];
        list.iter()
            .copied()
            .take_while(|&neighbor| neighbor != FREE)
    }
}
