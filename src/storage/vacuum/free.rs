//! Pass 3: frees the slots of tombstones, now without incoming links.

use hnsw::{ElementId, ElementSet, Level};
use layout::{OverflowId, SlotState, UpperId};

use crate::pg::compat;
use crate::pg::strategy::Strategy;
use crate::storage::allocate::commit_freed;
use crate::storage::buffer::Access;
use crate::storage::index::Index;
use crate::storage::locked::{self, Elements, LockedPage};
use crate::storage::record::Record;

/// A tombstone and the slots it owns.
struct Tombstone {
    slot: u16,
    element: ElementId,
    level: Level,
    upper: Option<UpperId>,
    overflow: Option<OverflowId>,
}

/// Frees the slots of the tombstones in `dead`. Their upper lists and overflow slots are freed first: a crash in between
/// leaves links to slots whose own owner field names another element or none.
pub(super) fn free(index: &Index, strategy: Strategy, dead: &ElementSet) {
    let mut elements = dead.iter().peekable();
    while let Some(&first) = elements.peek() {
        let block = index.geometry().element.split(first).0;
        let mut slots = Vec::new();
        while let Some(element) =
            elements.next_if(|&element| index.geometry().element.split(element).0 == block)
        {
            slots.push(element);
        }
        compat::vacuum_delay_point();
        free_page(index, strategy, block, &slots);
    }
}

/// Frees the tombstones among elements of one page.
fn free_page(index: &Index, strategy: Strategy, block: u32, elements: &[ElementId]) {
    let tombstones = tombstones(index, strategy, block, elements);
    if tombstones.is_empty() {
        return;
    }
    for tombstone in &tombstones {
        if let Some(upper) = tombstone.upper {
            free_upper(index, tombstone.element, tombstone.level, upper);
        }
        free_overflow(index, tombstone.element, tombstone.overflow);
    }
    free_elements(index, block, &tombstones);
}

/// The tombstones among elements of one page.
fn tombstones(
    index: &Index,
    strategy: Strategy,
    block: u32,
    elements: &[ElementId],
) -> Vec<Tombstone> {
    let page = LockedPage::<Elements>::lock_by(strategy, index, block, Access::Share);
    page.read(|page| {
        let mut tombstones = Vec::new();
        for &element in elements {
            let (_, number) = index.geometry().element.split(element);
            let slot = page.slot(number)?;
            if slot.state() == SlotState::Dead {
                tombstones.push(Tombstone {
                    slot: number,
                    element,
                    level: slot.level(),
                    upper: slot.upper(),
                    overflow: slot.overflow(),
                });
            }
        }
        Ok(tombstones)
    })
}

fn free_elements(index: &Index, block: u32, tombstones: &[Tombstone]) {
    let page = LockedPage::<Elements>::lock(index, block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    page.change(&mut record, |page| {
        let mut slots = tombstones.iter().map(|tombstone| tombstone.slot);
        slots.try_for_each(|slot| page.free(slot))
    });
    commit_freed(record, &page);
}

fn free_upper(index: &Index, element: ElementId, level: Level, upper: UpperId) {
    let (page, slot) = locked::lock(index, upper, Access::Exclusive);
    let is_own = page.read(|page| {
        let list = page.slot(slot)?;
        Ok(list.is_live() && list.element() == element)
    });
    if !is_own {
        return;
    }
    let mut record = Record::begin(index.relation());
    page.change(&mut record, |page| page.free_run(slot, element, level));
    commit_freed(record, &page);
}

fn free_overflow(index: &Index, element: ElementId, first: Option<OverflowId>) {
    let mut next = first;
    while let Some(at) = next {
        compat::vacuum_delay_point();
        let (page, slot) = locked::lock(index, at, Access::Exclusive);
        let rows = page.read(|page| page.slot(slot));
        if !rows.is_live() || rows.element() != element {
            return;
        }
        next = rows.next();
        let mut record = Record::begin(index.relation());
        page.change(&mut record, |page| page.free(slot));
        commit_freed(record, &page);
    }
}
