//! The end of pass 2: every live element can be reached from the entry point again, on each of its layers.
//!
//! Lists that lost their tombstones may have lost the only way to a whole part of the graph. What can be reached is found by
//! `hnsw::Reach`, to which each list is shown once, in the order of pages: those of layer 0 as they are repaired, those of a
//! layer above in a sweep of its own. It keeps lists in the memory that a vacuum may use; where that is little it needs further
//! sweeps.

use std::cell::RefCell;

use hnsw::{ElementId, ElementSet, Level, Reach, Search, max_neighbors};
use layout::{ElementPage, PageKind, UpperPage};

use super::relink::Ground;
use super::{Sweep, ids, out_of_memory};
use crate::pg::{compat, setting};
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
/// Lists followed between two looks at whether somebody wants this vacuum to stop.
const STRIDE: usize = 1 << 12;

/// Links what cannot be reached, whatever the cause. Nothing links to the elements of `dead` any more; `ground` is what the lists
/// of layer 0 lead to.
pub(super) fn restore(
    sweep: &mut Sweep<'_>,
    ef_construction: usize,
    dead: &ElementSet,
    ground: Ground,
) {
    let Some(entry) = metapage::read(sweep.index.relation()).entry_point else {
        return;
    };
    let mut search = Search::new();
    // An insert may have become the entry point meanwhile.
    let mut ground = Some(ground).filter(|ground| ground.entry == Some(entry.element));
    // The layers above first: the others are searched from there.
    for level in (0..=entry.level).rev() {
        for _ in 0..ROUNDS {
            let reach = match ground.take_if(|_| level == 0) {
                Some(ground) => ground.reach,
                None => reach_from(sweep, dead, level, entry.element),
            };
            let mut layer = Layer {
                index: sweep.index,
                level,
                reach,
            };
            let lost = layer.reach.take_unreached();
            if lost.is_empty() {
                break;
            }
            for element in lost.iter() {
                layer.link(&mut search, ef_construction, element);
            }
        }
    }
}

/// Starts at an element, if there is one. Nothing that it leads to is reached yet.
pub(super) fn start(index: &Index, level: Level, entry: Option<ElementId>) -> Reach {
    let ids = ids(index);
    let max = max_neighbors(index.geometry().m.into(), level);
    let mut reach =
        Reach::new(ids, max, setting::vacuum_work_mem()).unwrap_or_else(|_| out_of_memory(ids));
    if let Some(entry) = entry {
        reach.start_from(entry);
    }
    reach
}

/// Shows all lists of a layer again, until all is reached that they lead to.
pub(super) fn finish(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, reach: &mut Reach) {
    while reach.needs_another_round() {
        show_layer(sweep, dead, level, reach);
    }
    reach.forget_lists();
}

/// What the lists of a layer lead to.
fn reach_from(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, entry: ElementId) -> Reach {
    let mut reach = start(sweep.index, level, Some(entry));
    show_layer(sweep, dead, level, &mut reach);
    finish(sweep, dead, level, &mut reach);
    reach
}

fn show_layer(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, reach: &mut Reach) {
    let index = sweep.index;
    let reach = RefCell::new(reach);
    let show = |block: u32, _, bytes: &[u8]| {
        let mut reach = reach.borrow_mut();
        for_each_list(index, dead, level, (block, bytes), |element, neighbors| {
            reach.show(element, neighbors);
        });
    };
    sweep.each(&[kind(level)], show, |_, ()| {
        follow(&mut reach.borrow_mut());
    });
}

/// Follows lists that were kept, which may be very many; no lock is held.
pub(super) fn follow(reach: &mut Reach) {
    while reach.follow(STRIDE) {
        compat::vacuum_delay_point();
    }
}

/// A layer, and how much of it has been reached.
struct Layer<'a> {
    index: &'a Index,
    level: Level,
    reach: Reach,
}

impl Layer<'_> {
    /// Has one of the nearest elements that can be reached link to a lost one, which makes a way to all that it leads to.
    fn link(&mut self, search: &mut Search, ef: usize, lost: ElementId) {
        if self.reach.contains(lost) {
            return;
        }
        compat::vacuum_delay_point();
        let index = self.index;
        let mut hints = index.hints().borrow_mut();
        let mut graph = PageGraph::new(index, &mut hints);
        let query = Codes::read(&mut graph, &[lost]).query(lost);
        let Some(query) = query else { return };
        let Some(descent) = search.descend(&mut graph, &query, self.level) else {
            return;
        };
        // The layers above may lead to where no way of this layer leads.
        let mut from = vec![descent.entry_point];
        if self.reach.contains(descent.nearest.element) {
            from.push(descent.nearest);
        }
        let mut near = Vec::new();
        search.layer(&mut graph, &query, &from, self.level, ef, &mut near);
        let near = near.iter().map(|candidate| candidate.element);
        // A way that an insert made since the lists were read is as good as a new link.
        if !near.clone().any(|element| element == lost) {
            let near = near.filter(|&element| self.reach.contains(element));
            neighbors::force_link(&mut graph, near.take(OFFERS), self.level, lost);
        }
        self.follow(&mut graph, lost);
    }

    /// Marks what a way leads to from an element.
    fn follow(&mut self, graph: &mut PageGraph<'_>, from: ElementId) {
        let mut to_expand = vec![from];
        let mut neighbors = Vec::new();
        self.reach.start_from(from);
        while let Some(element) = to_expand.pop() {
            compat::vacuum_delay_point();
            neighbors.clear();
            graph.locked_neighbors(element, self.level, &mut neighbors);
            neighbors.truncate(WAITING.saturating_sub(to_expand.len()));
            to_expand.extend(
                neighbors
                    .iter()
                    .filter(|&&next| self.reach.start_from(next)),
            );
        }
    }
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
