//! The end of pass 2: makes every live element reachable from the entry point again, on each of its layers.
//!
//! Removing tombstones from lists may remove the only path to a whole part of the graph. `hnsw::Reach` finds the reachable
//! elements. Each list is shown to it once, in page order: lists of layer 0 as they are repaired, lists of a layer above in a
//! separate sweep. It keeps lists in the memory allowed to a vacuum; with little memory it needs further sweeps.

use std::cell::RefCell;

use hnsw::{ElementId, ElementSet, Level, Reach, Search, has_all_elements, max_neighbors};
use layout::PageKind;

use super::{Sweep, ids, out_of_memory};
use crate::pg::{compat, setting};
use crate::storage::codes::Codes;
use crate::storage::index::Index;
use crate::storage::locked::{AnyPage, Elements, Upper};
use crate::storage::metapage;
use crate::storage::page_graph::PageGraph;

/// The maximum number of elements asked to link to a lost one.
pub(super) const OFFERS: usize = 8;
/// The maximum number of rounds of a layer: new links may displace others, and elements lost by this need another round.
pub(super) const ROUNDS: usize = 4;
/// The maximum number of elements of a lost part waiting to be followed; elements beyond them are linked separately.
const WAITING: usize = 1 << 16;
/// The number of lists followed between two interrupt checks.
const STRIDE: usize = 1 << 12;

/// The elements reachable over the lists of layer 0 after their repair.
pub(super) struct Layer0Reach {
    /// The starting element; `None` if the entry point was a tombstone.
    pub(super) entry: Option<ElementId>,
    pub(super) reach: Reach,
}

/// Links unreachable elements, whatever the cause. Nothing links to the elements of `dead` any more; `layer0` holds the
/// elements reachable over the lists of layer 0.
pub(super) fn restore(
    sweep: &mut Sweep<'_>,
    ef_construction: usize,
    dead: &ElementSet,
    layer0: Layer0Reach,
) {
    let Some(entry) = metapage::read(sweep.index.relation()).entry_point else {
        return;
    };
    let mut search = Search::new();
    // An insert may have changed the entry point meanwhile.
    let mut layer0 = Some(layer0).filter(|layer0| layer0.entry == Some(entry.element));
    // The layers above come first: searches of the lower ones start there.
    for level in (0..=entry.level).rev() {
        for _ in 0..ROUNDS {
            let reach = match layer0.take_if(|_| level == 0) {
                Some(layer0) => layer0.reach,
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

/// Starts at the entry point, if any, with `bytes` for lists. Follows no links yet.
pub(super) fn start(index: &Index, level: Level, entry: Option<ElementId>, bytes: usize) -> Reach {
    let ids = ids(index);
    let max = max_neighbors(index.geometry().m.into(), level);
    let mut reach = Reach::new(ids, max, bytes).unwrap_or_else(|_| out_of_memory(ids));
    if let Some(entry) = entry {
        reach.start_from(entry);
    }
    reach
}

/// Shows all lists of a layer again, until everything they lead to is reached.
pub(super) fn finish(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, reach: &mut Reach) {
    while reach.needs_another_round() {
        show_layer(sweep, dead, level, reach);
    }
    reach.forget_lists();
}

/// The elements reachable over the lists of a layer.
fn reach_from(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, entry: ElementId) -> Reach {
    let mut reach = start(sweep.index, level, Some(entry), setting::vacuum_work_mem());
    show_layer(sweep, dead, level, &mut reach);
    finish(sweep, dead, level, &mut reach);
    reach
}

fn show_layer(sweep: &mut Sweep<'_>, dead: &ElementSet, level: Level, reach: &mut Reach) {
    let reach = RefCell::new(reach);
    let show = |page: &AnyPage<'_>| {
        let mut reach = reach.borrow_mut();
        for_each_list(page, dead, level, |element, neighbors| {
            reach.show(element, neighbors);
        });
    };
    sweep.each(&[kind(level)], show, |_, ()| {
        follow(&mut reach.borrow_mut());
    });
}

/// Follows the kept lists, possibly very many; no lock is held.
pub(super) fn follow(reach: &mut Reach) {
    while reach.follow(STRIDE) {
        compat::vacuum_delay_point();
    }
}

/// A layer and its reached elements.
struct Layer<'a> {
    index: &'a Index,
    level: Level,
    reach: Reach,
}

impl Layer<'_> {
    /// Links to a lost element from one of the nearest reachable ones, so that everything it leads to becomes reachable too.
    fn link(&mut self, search: &mut Search, ef: usize, lost: ElementId) {
        if self.reach.contains(lost) {
            return;
        }
        compat::vacuum_delay_point();
        let index = self.index;
        let mut graph = index.graph();
        let query = Codes::read(&mut graph, &[lost]).query(lost);
        let Some(query) = query else { return };
        let Some(descent) = search.descend(&mut graph, &query, self.level) else {
            return;
        };
        // The layers above may lead to an element unreachable on this layer.
        let mut from = vec![descent.entry_point];
        if self.reach.contains(descent.nearest.element) {
            from.push(descent.nearest);
        }
        let mut near = Vec::new();
        search.layer(&mut graph, &query, &from, self.level, ef, &mut near);
        let near = near.iter().map(|candidate| candidate.element);
        // If an insert has made a path since the lists were read, no new link is needed.
        if !near.clone().any(|element| element == lost) {
            let near = near.filter(|&element| self.reach.contains(element));
            // Without anything to link from it stays lost, until the next round.
            if near.clone().next().is_none() {
                return;
            }
            hnsw::force_link(&mut graph, near.take(OFFERS), self.level, lost);
        }
        follow_from(&mut self.reach, &mut graph, self.level, lost);
    }
}

/// Marks all elements reachable from an element.
pub(super) fn follow_from(
    reach: &mut Reach,
    graph: &mut PageGraph<'_>,
    level: Level,
    from: ElementId,
) {
    let mut to_expand = vec![from];
    let mut neighbors = Vec::new();
    reach.start_from(from);
    while let Some(element) = to_expand.pop() {
        compat::vacuum_delay_point();
        neighbors.clear();
        graph.locked_neighbors(element, level, &mut neighbors);
        neighbors.truncate(WAITING.saturating_sub(to_expand.len()));
        to_expand.extend(neighbors.iter().filter(|&&next| reach.start_from(next)));
    }
}

/// The kind of the pages with a layer's lists.
fn kind(level: Level) -> PageKind {
    if has_all_elements(level) {
        PageKind::Element
    } else {
        PageKind::Upper
    }
}

/// Calls `show` with each of a page's lists of a layer, except lists of dead elements.
fn for_each_list(
    page: &AnyPage<'_>,
    dead: &ElementSet,
    level: Level,
    mut show: impl FnMut(ElementId, &mut dyn Iterator<Item = ElementId>),
) {
    if !has_all_elements(level) {
        return page.read::<Upper, _>(|view| {
            for number in 0..view.used() {
                let list = view.slot(number)?;
                if list.is_live() && list.level() == level && !dead.contains(list.element()) {
                    show(list.element(), &mut list.neighbors());
                }
            }
            Ok(())
        });
    }
    page.read::<Elements, _>(|view| {
        for number in 0..view.used() {
            let slot = view.slot(number)?;
            if let Some(element) = page.id(number)
                && slot.is_live()
            {
                show(element, &mut slot.list(level));
            }
        }
        Ok(())
    });
}
