//! The graphs of groups: the elements with one value in the column named by the option `graphs` have a graph of their own.

use hnsw::build::{FREE, Stopped};
use hnsw::{ElementId, MemoryGraph};
use layout::Group;
use rayon::prelude::*;

use super::format::to_u32;

/// Groups of more elements are built one after the other, each by all threads.
const LARGE: usize = 4096;

/// The lists of all elements in the graphs of their groups.
pub(super) struct GroupLists {
    m: usize,
    /// `m` places for each element, the last ones `FREE`.
    lists: Vec<u32>,
}

/// `m` of the graph of a group: a list keeps up to twice as many neighbors as an element chooses, `m` of the index.
pub(super) fn chosen(m: usize) -> usize {
    m / 2
}

/// Calls `each` with the elements of every group of more than one, in order.
pub(super) fn of_elements(groups: &[Group]) -> Result<Vec<Vec<u32>>, Stopped> {
    let mut order: Vec<u32> = Vec::new();
    order.try_reserve_exact(groups.len())?;
    order.extend(0..to_u32(groups.len()));
    order.par_sort_unstable_by_key(|&element| (groups[element as usize], element));
    let same = |a: &u32, b: &u32| groups[*a as usize] == groups[*b as usize];
    let several = order.chunk_by(same).filter(|members| members.len() > 1);
    Ok(several.map(<[u32]>::to_vec).collect())
}

impl GroupLists {
    /// Bytes of an element in a build.
    pub(super) fn bytes_of_element(m: usize) -> usize {
        m * size_of::<u32>() + size_of::<Group>() + 2 * size_of::<u32>()
    }

    /// Builds the graph of every group; `graph` makes one of its members. Runs in the pool.
    pub(super) fn build(
        groups: &[Group],
        m: usize,
        graph: impl Fn(&[u32]) -> Result<MemoryGraph, Stopped> + Sync,
    ) -> Result<Self, Stopped> {
        let mut lists = Vec::new();
        lists.try_reserve_exact(groups.len() * m)?;
        lists.resize(groups.len() * m, FREE);
        let mut built = Self { m, lists };
        let (large, small): (Vec<_>, Vec<_>) = of_elements(groups)?
            .into_iter()
            .partition(|members| members.len() > LARGE);
        for members in &large {
            built.write(members, &graph(members)?);
        }
        for some in small.chunks(LARGE) {
            let graphs: Result<Vec<_>, Stopped> =
                some.par_iter().map(|members| graph(members)).collect();
            for (members, graph) in some.iter().zip(graphs?) {
                built.write(members, &graph);
            }
        }
        Ok(built)
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
