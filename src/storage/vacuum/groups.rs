//! The end of pass 2 in an index with groups: makes every live element reachable in the graph of its group.
//!
//! A group has no entry point. Its *start* is its first live element in the order of pages, with links or without; what the start
//! does not lead to is linked. Starts take memory: with more groups than there is room for, each pass over the element pages
//! looks after a part of the groups, by their hashes.

use std::cell::RefCell;

use filter::image;
use hnsw::{ElementId, ElementSet, GROUP, Lists, Reach, Search, Starts, Store};
use layout::{ElementSlot, Group, PageKind};

use super::reach::{OFFERS, ROUNDS, finish, follow, follow_from, start};
use super::{Sweep, no_elements};
use crate::error;
use crate::pg::{compat, setting};
use crate::storage::buffer::Access;
use crate::storage::codes::Codes;
use crate::storage::index::Index;
use crate::storage::locked::{self, AnyPage, Elements};

/// Links the elements of each group that its start does not lead to.
pub(super) fn restore(sweep: &mut Sweep<'_>, ef_construction: usize, dead: &ElementSet) {
    if sweep.index.geometry().grouped_by.is_none() {
        return;
    }
    let mut starts = Starts::new(setting::vacuum_work_mem() / STARTS_SHARE, hash_of);
    loop {
        restore_part(sweep, ef_construction, dead, &mut starts);
        if !starts.next_part() {
            return;
        }
    }
}

/// Links the elements of the groups of a part.
fn restore_part(sweep: &mut Sweep<'_>, ef: usize, dead: &ElementSet, starts: &mut Starts<Group>) {
    for _ in 0..ROUNDS {
        starts.forget();
        let (reach, lost) = find_lost(sweep, dead, starts);
        if lost.is_empty() {
            return;
        }
        let mut groups = Groups {
            index: sweep.index,
            starts,
            reach,
            search: Search::new(),
            ef,
        };
        for element in lost.iter() {
            groups.link(element);
        }
    }
}

/// The share of a vacuum's memory for the starts of groups.
const STARTS_SHARE: usize = 2;

fn hash_of(group: Group) -> u64 {
    image::hash(&group.to_bytes())
}

/// Follows the groups of a part from their starts. Also returns the elements to link: those that are not reached, and those
/// without neighbors that are not the start.
fn find_lost(
    sweep: &mut Sweep<'_>,
    dead: &ElementSet,
    starts: &mut Starts<Group>,
) -> (Reach, ElementSet) {
    let index = sweep.index;
    let memory = setting::vacuum_work_mem() / STARTS_SHARE;
    let reach = RefCell::new(start(index, GROUP, None, memory));
    let mut lost = no_elements(index);
    let mut show = |element: ElementId, slot: &ElementSlot<'_>| {
        let start = slot.group().and_then(|group| {
            let start = starts.show(group, element);
            start.unwrap_or_else(|_| error::out_of_memory(memory))
        });
        let Some(start) = start else { return };
        let mut reach = reach.borrow_mut();
        if start == element {
            reach.start_from(element);
        } else if slot.group_neighbors().len() == 0 {
            lost.insert(element);
        }
        reach.show(element, slot.group_neighbors());
    };
    let show_page = |page: &AnyPage<'_>| {
        page.read::<Elements, _>(|view| {
            for number in 0..view.used() {
                let slot = view.slot(number)?;
                if let Some(element) = page.id(number).filter(|_| slot.is_live()) {
                    show(element, &slot);
                }
            }
            Ok(())
        });
    };
    sweep.each(&[PageKind::Element], show_page, |_, ()| {
        follow(&mut reach.borrow_mut());
    });
    let mut reach = reach.into_inner();
    finish(sweep, dead, GROUP, &mut reach);
    for element in reach.take_unreached().iter() {
        lost.insert(element);
    }
    (reach, lost)
}

/// The groups of a part, and their reached elements.
struct Groups<'a> {
    index: &'a Index,
    starts: &'a Starts<Group>,
    reach: Reach,
    search: Search,
    ef: usize,
}

impl Groups<'_> {
    /// Gives neighbors to an element without any, and links to it from one of the nearest elements that its group's start leads
    /// to, unless it is reached.
    fn link(&mut self, element: ElementId) {
        compat::vacuum_delay_point();
        let Some((start, has_neighbors)) = self.place_of(element) else {
            return;
        };
        if has_neighbors && self.reach.contains(element) {
            return;
        }
        let mut graph = self.index.graph();
        let Some(query) = Codes::read(&mut graph, &[element]).query(element) else {
            return;
        };
        let (mut from, mut found) = (Vec::new(), Vec::new());
        graph.estimate(&query, &[start], &mut from);
        self.search
            .layer(&mut graph, &query, &from, GROUP, self.ef, &mut found);
        let found = found.iter().map(|candidate| candidate.element);
        // An insert may have linked it since.
        let is_reached =
            self.reach.contains(element) || found.clone().any(|other| other == element);
        let near: Vec<ElementId> = found
            .filter(|&other| other != element)
            .take(OFFERS)
            .collect();
        if near.is_empty() {
            return;
        }
        if !has_neighbors {
            let most = usize::from(self.index.geometry().m) / 2;
            graph.push(element, GROUP, &near[..near.len().min(most)]);
        }
        if !is_reached {
            hnsw::force_link(&mut graph, near.into_iter(), GROUP, element);
        }
        follow_from(&mut self.reach, &mut graph, GROUP, element);
    }

    /// The start of a live element's group, and whether the element has neighbors in it; `None` for the start itself, and in
    /// another part.
    fn place_of(&self, element: ElementId) -> Option<(ElementId, bool)> {
        let (page, slot) = locked::lock_known(self.index, element, Access::Share);
        let (group, has_neighbors) = page.read(|page| {
            let slot = page.slot(slot)?;
            let group = slot.group().filter(|_| slot.is_live());
            Ok((group, slot.group_neighbors().len() > 0))
        });
        let start = self.starts.of(group?)?;
        (start != element).then_some((start, has_neighbors))
    }
}
