//! Pass 3: frees the slots of tombstones, now without incoming links.

use hnsw::{ElementId, ElementSet, Level};
use layout::{
    ElementPage, ElementPageMut, OverflowId, OverflowPage, OverflowPageMut, PageKind, SlotState,
    UpperId, UpperPage, UpperPageMut,
};

use crate::pg::compat;
use crate::pg::strategy::Strategy;
use crate::storage::allocate;
use crate::storage::buffer::{Access, Page};
use crate::storage::index::Index;
use crate::storage::record::Record;
use crate::storage::rows::check_block;

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
    let page = Page::lock_by(strategy, index.relation(), block, Access::Share);
    let view = index.expect(block, ElementPage::view(page.bytes(), index.geometry()));
    let mut tombstones = Vec::new();
    for &element in elements {
        let (_, number) = index.geometry().element.split(element);
        let slot = index.expect(block, view.slot(number));
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
    drop(page);
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

fn free_elements(index: &Index, block: u32, tombstones: &[Tombstone]) {
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let mut view = index.expect(
        block,
        ElementPageMut::view(record.bytes(image), index.geometry()),
    );
    for tombstone in tombstones {
        index.expect(block, view.free(tombstone.slot));
    }
    let listed = allocate::relist(index, PageKind::Element, &page, &mut record, image);
    record.commit();
    drop(listed);
}

fn free_upper(index: &Index, element: ElementId, level: Level, upper: UpperId) {
    let (block, slot) = index.geometry().upper.split(upper);
    check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Exclusive);
    let list = index.expect(
        block,
        UpperPage::view(page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
    );
    if !list.is_live() || list.element() != element {
        return;
    }
    let mut record = Record::begin(index.relation());
    let image = record.page(&page);
    let freed = UpperPageMut::view(record.bytes(image), index.geometry())
        .and_then(|mut view| view.free_run(slot, element, level));
    index.expect(block, freed);
    let listed = allocate::relist(index, PageKind::Upper, &page, &mut record, image);
    record.commit();
    drop(listed);
}

fn free_overflow(index: &Index, element: ElementId, first: Option<OverflowId>) {
    let mut next = first;
    while let Some(at) = next {
        compat::vacuum_delay_point();
        let (block, slot) = index.geometry().overflow.split(at);
        check_block(index, block);
        let page = Page::lock(index.relation(), block, Access::Exclusive);
        let rows = index.expect(
            block,
            OverflowPage::view(page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
        );
        if !rows.is_live() || rows.element() != element {
            return;
        }
        next = rows.next();
        let mut record = Record::begin(index.relation());
        let image = record.page(&page);
        let freed = OverflowPageMut::view(record.bytes(image), index.geometry())
            .and_then(|mut view| view.free(slot));
        index.expect(block, freed);
        let listed = allocate::relist(index, PageKind::Overflow, &page, &mut record, image);
        record.commit();
        drop(listed);
    }
}
