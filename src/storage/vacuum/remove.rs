//! Pass 1: dead rows leave their elements.

use std::collections::HashSet;

use hnsw::ElementId;
use layout::{
    Corrupt, ElementPage, ElementPageMut, HeapTid, OverflowId, OverflowPage, OverflowPageMut,
    PageKind, SlotState,
};

use super::{Counts, ElementSet, for_each_page};
use crate::storage::allocate;
use crate::storage::buffer::{Access, Page};
use crate::storage::index::Index;
use crate::storage::record::Record;
use crate::storage::rows::{Descent, with_slot};

/// Drops dead rows and makes tombstones of elements that have none left. Gives all tombstones, those of earlier vacuums too.
pub(super) fn remove(
    index: &Index,
    mut is_dead: impl FnMut(HeapTid) -> bool,
) -> (Counts, ElementSet) {
    let mut counts = Counts::default();
    let mut is_dead = |tid: HeapTid| {
        let dead = is_dead(tid);
        let count = if dead {
            &mut counts.rows_removed
        } else {
            &mut counts.rows_kept
        };
        *count += 1;
        dead
    };
    let owners = remove_from_overflow(index, &mut is_dead);
    let dead = remove_from_elements(index, &owners, &mut is_dead);
    (counts, dead)
}

/// Drops dead rows of overflow slots. Slots left empty stay in their chains until their elements are looked at: gives those
/// elements.
fn remove_from_overflow(
    index: &Index,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
) -> HashSet<ElementId> {
    let mut owners = HashSet::new();
    let find = |block: u32, bytes: &[u8]| {
        let view = index.expect(block, OverflowPage::view(bytes, index.geometry()));
        let mut dead = HashSet::new();
        for number in 0..view.used() {
            let slot = index.expect(block, view.slot(number));
            if slot.is_live() {
                let kept = slot
                    .heap_tids()
                    .filter(|&tid| !is_dead(tid) || !dead.insert(tid))
                    .count();
                owners.extend((kept == 0).then_some(slot.element()));
            }
        }
        dead
    };
    for_each_page(
        index,
        PageKind::Overflow,
        find,
        |block, dead: HashSet<HeapTid>| {
            if !dead.is_empty() {
                remove_from_overflow_page(index, block, &dead);
            }
        },
    );
    owners
}

fn remove_from_overflow_page(index: &Index, block: u32, dead: &HashSet<HeapTid>) {
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let mut view = index.expect(
        block,
        OverflowPageMut::view(record.bytes(image), index.geometry()),
    );
    for slot in 0..view.shared().used() {
        let mut slot = index.expect(block, view.slot(slot));
        if slot.shared().is_live() {
            slot.remove_tids(|tid| dead.contains(&tid));
        }
    }
    record.commit();
}

/// What one page of elements has for pass 1 to do.
#[derive(Default)]
struct Work {
    dead_tids: HashSet<HeapTid>,
    /// Elements that have dead rows, or empty slots in their chains.
    slots: Vec<u16>,
}

/// Drops dead rows of elements, and the empty slots of the chains of `owners`.
fn remove_from_elements(
    index: &Index,
    owners: &HashSet<ElementId>,
    is_dead: &mut impl FnMut(HeapTid) -> bool,
) -> ElementSet {
    let slots = &index.geometry().element;
    let mut tombstones = ElementSet::new(slots, index.relation().blocks());
    let mut old = Vec::new();
    let find = |block: u32, bytes: &[u8]| {
        let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
        let mut work = Work::default();
        for number in 0..view.used() {
            let slot = index.expect(block, view.slot(number));
            match slot.state() {
                SlotState::Live => {
                    let before = work.dead_tids.len();
                    work.dead_tids
                        .extend(slot.heap_tids().filter(|&tid| is_dead(tid)));
                    let owns_empty = slots
                        .join(block, number)
                        .is_some_and(|id| owners.contains(&id));
                    if work.dead_tids.len() > before || owns_empty {
                        work.slots.push(number);
                    }
                }
                SlotState::Dead => old.extend(slots.join(block, number)),
                SlotState::Free => {}
            }
        }
        work
    };
    for_each_page(index, PageKind::Element, find, |block, work: Work| {
        if work.slots.is_empty() {
            return;
        }
        let page = Page::lock(index.relation(), block, Access::Exclusive);
        for &slot in &work.slots {
            if slots
                .join(block, slot)
                .is_some_and(|id| owners.contains(&id))
            {
                unlink_empty_overflow(index, &page, slot);
            }
        }
        for slot in remove_from_page(index, &page, &work) {
            if let Some(element) = slots.join(block, slot) {
                tombstones.insert(element);
            }
        }
    });
    old.into_iter()
        .for_each(|element| tombstones.insert(element));
    tombstones
}

/// Drops the dead rows of a page's elements, in one record; gives the elements that became tombstones.
fn remove_from_page(index: &Index, page: &Page, work: &Work) -> Vec<u16> {
    let block = page.block();
    let mut record = Record::begin(index.relation());
    let image = record.page(page);
    let mut view = index.expect(
        block,
        ElementPageMut::view(record.bytes(image), index.geometry()),
    );
    let (mut emptied, mut changed) = (Vec::new(), false);
    for &number in &work.slots {
        let mut slot = index.expect(block, view.slot(number));
        changed |= slot.remove_tids(|tid| work.dead_tids.contains(&tid)) > 0;
        let element = slot.shared();
        // Chains hold no empty slots at this point.
        if element.is_live() && element.heap_tids().len() == 0 && element.overflow().is_none() {
            slot.set_dead();
            emptied.push(number);
            changed = true;
        }
    }
    if changed {
        record.commit();
    }
    emptied
}

/// Takes the empty slots out of an element's chain of further rows, and frees them. The element's page is locked, so that
/// no insert adds a row meanwhile.
fn unlink_empty_overflow(index: &Index, element_page: &Page, slot: u16) {
    let block = element_page.block();
    let element = index.expect(
        block,
        ElementPage::view(element_page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
    );
    let mut before: Option<OverflowId> = None;
    let mut next = element.overflow();
    let mut descent = Descent::default();
    while let Some(at) = next {
        let (is_empty, after) = with_slot(index, at, |slot| {
            if !descent.goes_on(slot) {
                index.corrupt(
                    index.geometry().overflow.split(at).0,
                    Corrupt::EndlessOverflow,
                );
            }
            (slot.heap_tids().len() == 0, slot.next())
        });
        if is_empty {
            unlink(index, element_page, slot, before, at, after);
        } else {
            before = Some(at);
        }
        next = after;
    }
}

/// Links what comes before an overflow slot (the element itself, if none) to what comes after it, and frees it.
fn unlink(
    index: &Index,
    element_page: &Page,
    slot: u16,
    before: Option<OverflowId>,
    at: OverflowId,
    after: Option<OverflowId>,
) {
    let overflow = &index.geometry().overflow;
    let (block, number) = overflow.split(at);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let before_page = before
        .map(|before| overflow.split(before).0)
        .filter(|&before| before != block)
        .map(|before| Page::lock(index.relation(), before, Access::Exclusive));
    let mut record = Record::begin(index.relation());
    if before.is_none() {
        let link = record.page(element_page);
        let linked =
            ElementPageMut::view(record.bytes(link), index.geometry()).and_then(|mut page| {
                page.slot(slot)
                    .map(|mut element| element.set_overflow(after))
            });
        index.expect(element_page.block(), linked);
    }
    let image = record.page(&page);
    if let Some(before) = before {
        let link = before_page.as_ref().map_or(image, |page| record.page(page));
        let (block, number) = overflow.split(before);
        let linked = OverflowPageMut::view(record.bytes(link), index.geometry())
            .and_then(|mut page| page.slot(number).map(|mut slot| slot.set_next(after)));
        index.expect(block, linked);
    }
    let freed = OverflowPageMut::view(record.bytes(image), index.geometry())
        .and_then(|mut page| page.free(number));
    index.expect(block, freed);
    let listed = allocate::relist(index, PageKind::Overflow, &page, &mut record, image);
    record.commit();
    drop(listed);
}
