//! Pass 3: slots of tombstones, to which nothing links any more, are freed.

use hnsw::{ElementId, Level};
use layout::{
    ElementPage, ElementPageMut, OverflowId, OverflowPage, OverflowPageMut, PageKind, SlotState,
    UpperId, UpperPage, UpperPageMut,
};

use super::{ElementSet, for_each_page};
use crate::storage::allocate;
use crate::storage::buffer::{Access, Page};
use crate::storage::index::Index;
use crate::storage::record::Record;
use crate::storage::rows::check_block;

/// A tombstone and what belongs to it.
struct Tombstone {
    slot: u16,
    element: ElementId,
    level: Level,
    upper: Option<UpperId>,
    overflow: Option<OverflowId>,
}

/// Frees the slots of the tombstones in `dead`. First what belongs to them: a crash in between leaves links to slots that
/// say themselves that they are another element's or none's.
pub(super) fn free(index: &Index, dead: &ElementSet) {
    let find = |block: u32, bytes: &[u8]| {
        let view = index.expect(block, ElementPage::view(bytes, index.geometry()));
        let slots = (0..view.used()).map(|slot| (slot, index.expect(block, view.slot(slot))));
        slots
            .filter(|(_, slot)| slot.state() == SlotState::Dead)
            .filter_map(|(slot, tombstone)| {
                let element = index
                    .geometry()
                    .element
                    .join(block, slot)
                    .filter(|&element| dead.contains(element))?;
                let (level, upper, overflow) =
                    (tombstone.level(), tombstone.upper(), tombstone.overflow());
                Some(Tombstone {
                    slot,
                    element,
                    level,
                    upper,
                    overflow,
                })
            })
            .collect()
    };
    for_each_page(
        index,
        PageKind::Element,
        find,
        |block, tombstones: Vec<Tombstone>| {
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
        },
    );
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
