//! The end of pass 2: every live element can be reached from the entry point again, on each of its layers.
//!
//! Lists that lost their tombstones may have lost the only way to a whole part of the graph. What can be reached is found
//! without holding lists in memory: pages are read in their order, each list adds its neighbors if its element has been
//! reached, and that is done again until nothing is added. It takes a few rounds, and three bits for an element.

use hnsw::{ElementId, Level, Search};
use layout::{ElementPage, PageKind, UpperPage};

use super::{ElementSet, Sweep};
use crate::pg::compat;
use crate::storage::codes::Codes;
use crate::storage::index::Index;
use crate::storage::metapage;
use crate::storage::neighbors;
use crate::storage::page_graph::PageGraph;

/// Elements that are asked to link to a lost one.
const OFFERS: usize = 8;
/// Links made may displace others; so often at most is looked for what that lost.
const ROUNDS: usize = 4;
/// Elements of a lost part that wait to be followed, at most: what lies beyond them is linked by itself.
const WAITING: usize = 1 << 16;

/// Links what cannot be reached, whatever the cause. Nothing links to the elements of `dead` any more.
pub(super) fn restore(sweep: &mut Sweep<'_>, ef_construction: usize, dead: &ElementSet) {
    let Some(entry) = metapage::read(sweep.index.relation()).entry_point else {
        return;
    };
    let mut search = Search::new();
    // The layers above first: the others are searched from there.
    for level in (0..=entry.level).rev() {
        for _ in 0..ROUNDS {
            let mut layer = Layer::new(sweep, dead, level);
            layer.reach_from(entry.element);
            let lost = layer.lost();
            if lost.is_empty() {
                break;
            }
            for element in lost.iter() {
                layer.link(&mut search, ef_construction, element);
            }
        }
    }
}

/// A layer, and how much of it has been reached.
struct Layer<'a, 's> {
    sweep: &'a mut Sweep<'s>,
    dead: &'a ElementSet,
    level: Level,
    reached: ElementSet,
    /// Elements whose neighbors have been reached.
    expanded: ElementSet,
}

impl<'a, 's> Layer<'a, 's> {
    fn new(sweep: &'a mut Sweep<'s>, dead: &'a ElementSet, level: Level) -> Self {
        let (reached, expanded) = (no_elements(sweep.index), no_elements(sweep.index));
        Self {
            sweep,
            dead,
            level,
            reached,
            expanded,
        }
    }

    /// Marks all to which a way leads.
    fn reach_from(&mut self, entry: ElementId) {
        self.reached.insert(entry);
        let mut before = 0;
        while self.reached.len > before {
            before = self.reached.len;
            let (reached, expanded) = (&mut self.reached, &mut self.expanded);
            let (index, dead, level) = (self.sweep.index, self.dead, self.level);
            let spread = |block: u32, _, bytes: &[u8]| {
                for_each_list(index, dead, level, (block, bytes), |element, neighbors| {
                    if reached.contains(element) && expanded.insert(element) {
                        neighbors.for_each(|neighbor| {
                            reached.insert(neighbor);
                        });
                    }
                });
            };
            self.sweep.each(&[kind(level)], spread, |_, ()| ());
        }
    }

    /// Elements to which no way leads. Those that were added meanwhile are not among them.
    fn lost(&mut self) -> ElementSet {
        let (index, dead, level) = (self.sweep.index, self.dead, self.level);
        let mut lost = no_elements(index);
        let reached = &self.reached;
        let find = |block: u32, _, bytes: &[u8]| {
            for_each_list(index, dead, level, (block, bytes), |element, _| {
                if reached.has_room_for(element) && !reached.contains(element) {
                    lost.insert(element);
                }
            });
        };
        self.sweep.each(&[kind(level)], find, |_, ()| ());
        lost
    }

    /// Has one of the nearest elements that can be reached link to a lost one, which makes a way to all that it leads to.
    fn link(&mut self, search: &mut Search, ef: usize, lost: ElementId) {
        if self.reached.contains(lost) {
            return;
        }
        compat::vacuum_delay_point();
        let index = self.sweep.index;
        let mut hints = index.hints().borrow_mut();
        let mut graph = PageGraph::new(index, &mut hints);
        let query = Codes::read(&mut graph, &[lost]).query(lost);
        let Some(query) = query else { return };
        let Some(descent) = search.descend(&mut graph, &query, self.level) else {
            return;
        };
        // The layers above may lead to where no way of this layer leads.
        let mut from = vec![descent.entry_point];
        if self.reached.contains(descent.nearest.element) {
            from.push(descent.nearest);
        }
        let mut near = Vec::new();
        search.layer(&mut graph, &query, &from, self.level, ef, &mut near);
        let near = near.iter().map(|candidate| candidate.element);
        let near = near.filter(|&element| self.reached.contains(element));
        neighbors::force_link(&mut graph, near.take(OFFERS), self.level, lost);
        self.follow(&mut graph, lost);
    }

    /// Marks what a way leads to from an element.
    fn follow(&mut self, graph: &mut PageGraph<'_>, from: ElementId) {
        let mut to_expand = vec![from];
        let mut neighbors = Vec::new();
        self.reached.insert(from);
        while let Some(element) = to_expand.pop() {
            compat::vacuum_delay_point();
            neighbors.clear();
            graph.locked_neighbors(element, self.level, &mut neighbors);
            neighbors.truncate(WAITING.saturating_sub(to_expand.len()));
            to_expand.extend(neighbors.iter().filter(|&&next| self.reached.insert(next)));
        }
    }
}

/// With room for those of the index as it is now.
fn no_elements(index: &Index) -> ElementSet {
    ElementSet::new(&index.geometry().element, index.relation().blocks())
}

/// Where the lists of a layer are.
fn kind(level: Level) -> PageKind {
    if level == 0 {
        PageKind::Element
    } else {
        PageKind::Upper
    }
}

/// Shows the lists of a layer that a page has, but for those of dead elements.
fn for_each_list(
    index: &Index,
    dead: &ElementSet,
    level: Level,
    (block, bytes): (u32, &[u8]),
    mut show: impl FnMut(ElementId, &mut dyn Iterator<Item = ElementId>),
) {
    if level > 0 {
        let view = index.expect(block, UpperPage::view(bytes, index.geometry()));
        for number in 0..view.used() {
            let list = index.expect(block, view.slot(number));
            if list.is_live() && list.level() == level && !dead.contains(list.element()) {
                show(list.element(), &mut list.neighbors());
            }
        }
        return;
    }
    let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
    for number in 0..view.used() {
        let slot = index.expect(block, view.slot(number));
        if let Some(element) = index.geometry().element.join(block, number)
            && slot.is_live()
        {
            show(element, &mut slot.neighbors());
        }
    }
}
