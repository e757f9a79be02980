//! The list of a group is repaired within the group.

use hnsw::{
    Candidate, Compare, ElementId, GROUP, Level, Link, Lists, Push, Search, Store, Vectors, repair,
};

/// Vectors of one dimension: element `i` lies at `i`.
struct Line(usize);

impl Vectors for Line {
    type Base<'v> = u32;

    fn len(&self) -> usize {
        self.0
    }

    fn base(&self, vector: u32) -> u32 {
        vector
    }

    fn distance(&self, base: &u32, vector: u32) -> f32 {
        base.abs_diff(vector) as f32
    }
}

/// The lists of a group.
struct Group(Vec<Vec<u32>>);

impl Store for Group {
    type Query = u32;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        panic!("a group has no entry point")
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        assert_eq!(level, GROUP);
        into.extend(self.0[of.0 as usize].iter().map(|&other| ElementId(other)));
    }

    fn estimate(&mut self, query: &u32, elements: &[ElementId], into: &mut Vec<Candidate>) {
        into.extend(elements.iter().map(|&element| Candidate {
            distance: query.abs_diff(element.0) as f32,
            error: 0.0,
            element,
            live: true,
        }));
    }
}

impl Compare for Group {
    type Vectors = Line;

    fn capacity(&self, _: Level) -> usize {
        4
    }

    fn vectors(&mut self, _: &[ElementId]) -> Line {
        Line(self.0.len())
    }
}

impl Lists for Group {
    fn push(&mut self, _: ElementId, _: Level, _: &[ElementId]) -> Push {
        unreachable!("a repair only reads")
    }

    fn replace(&mut self, _: ElementId, _: Level, _: &[ElementId], _: &[ElementId]) -> bool {
        unreachable!("a repair only reads")
    }

    fn is_live(&mut self, _: ElementId) -> bool {
        true
    }

    fn links_from(&mut self, _: &[ElementId], _: Level) -> Vec<Link> {
        unreachable!("a repair drops no live neighbor")
    }

    fn query(&mut self, element: ElementId) -> Option<u32> {
        Some(element.0)
    }
}

#[test]
fn the_list_of_a_group_is_completed_by_a_search_from_its_own_neighbors() {
    // The even elements are one group; 8 is dead and links to nothing.
    let mut lists = vec![vec![]; 9];
    lists[0] = vec![2, 8];
    lists[2] = vec![0, 4];
    lists[4] = vec![2, 6];
    lists[6] = vec![4];
    let mut group = Group(lists);
    let old = [ElementId(2), ElementId(8)];
    let repaired = repair(
        &mut group,
        &mut Search::new(),
        16,
        (ElementId(0), GROUP),
        &old,
        |element| element.0 == 8,
    );
    assert_eq!(
        repaired,
        Some(vec![ElementId(2), ElementId(4), ElementId(6)])
    );
}
