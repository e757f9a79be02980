//! Pass 1: removes dead rows from their elements.

use std::collections::{BTreeSet, HashSet};

use hnsw::{ElementId, ElementSet};
use layout::{Corrupt, HeapTid, OverflowId, PageKind, SlotState};

use super::{Counts, Sweep, no_elements};
use crate::pg::compat;
use crate::storage::allocate::commit_freed;
use crate::storage::buffer::Access;
use crate::storage::index::Index;
use crate::storage::locked::{self, AnyPage, Elements, Filters, LockedPage, Overflow};
use crate::storage::record::Record;
use crate::storage::rows::{Descent, with_slot};

/// Drops dead rows and makes tombstones of elements left without rows. Returns all tombstones, including earlier vacuums'.
///
/// Pages are read once, in their order, so an element's overflow slots may be emptied after the element was processed:
/// owners of emptied slots are processed once more at the end.
pub(super) fn remove(
    sweep: &mut Sweep<'_>,
    mut is_dead: impl FnMut(HeapTid) -> bool,
) -> (Counts, ElementSet) {
    let index = sweep.index;
    let mut counts = Counts::default();
    let mut removal = Removal {
        index,
        tombstones: no_elements(index),
        owners: BTreeSet::new(),
    };
    sweep.each(
        &[PageKind::Element, PageKind::Overflow, PageKind::Filter],
        |page| match page.kind() {
            PageKind::Filter => find_in_filter(page, &mut is_dead),
            PageKind::Overflow => find_in_overflow(page, &mut |tid| counts.add(is_dead(tid))),
            _ => find_in_elements(page, &mut |tid| counts.add(is_dead(tid))),
        },
        |block, found| removal.apply(block, found),
    );
    let tombstones = removal.finish();
    (counts, tombstones)
}

/// The work of pass 1 on one page.
enum Found {
    Elements {
        dead_tids: HashSet<HeapTid>,
        /// Elements with dead rows.
        slots: Vec<u16>,
        /// Tombstones of earlier vacuums.
        old: Vec<ElementId>,
    },
    Overflow {
        dead_tids: HashSet<HeapTid>,
        /// The owners of slots left empty.
        owners: Vec<ElementId>,
    },
    Filter {
        dead_tids: HashSet<HeapTid>,
    },
}

fn find_in_elements(page: &AnyPage<'_>, is_dead: &mut impl FnMut(HeapTid) -> bool) -> Found {
    page.read::<Elements, _>(|view| {
        let (mut dead_tids, mut slots, mut old) = (HashSet::new(), Vec::new(), Vec::new());
        for number in 0..view.used() {
            let slot = view.slot(number)?;
            match slot.state() {
                SlotState::Live => {
                    let before = dead_tids.len();
                    dead_tids.extend(slot.heap_tids().filter(|&tid| is_dead(tid)));
                    slots.extend((dead_tids.len() > before).then_some(number));
                }
                SlotState::Dead => old.extend(page.id::<ElementId>(number)),
                SlotState::Free => {}
            }
        }
        Ok(Found::Elements {
            dead_tids,
            slots,
            old,
        })
    })
}

/// Emptied slots stay in their chains until their elements are processed.
fn find_in_overflow(page: &AnyPage<'_>, is_dead: &mut impl FnMut(HeapTid) -> bool) -> Found {
    page.read::<Overflow, _>(|view| {
        let (mut dead_tids, mut owners) = (HashSet::new(), Vec::new());
        for number in 0..view.used() {
            let slot = view.slot(number)?;
            if slot.is_live() {
                let kept = slot
                    .heap_tids()
                    .filter(|&tid| !is_dead(tid) || !dead_tids.insert(tid))
                    .count();
                owners.extend((kept == 0).then_some(slot.element()));
            }
        }
        Ok(Found::Overflow { dead_tids, owners })
    })
}

/// An entry's row is also in an element, which counts it.
fn find_in_filter(page: &AnyPage<'_>, is_dead: &mut impl FnMut(HeapTid) -> bool) -> Found {
    page.read::<Filters, _>(|view| {
        let dead_tids = view.heap_tids().filter(|&tid| is_dead(tid)).collect();
        Ok(Found::Filter { dead_tids })
    })
}

/// Pass 1 in progress.
struct Removal<'a> {
    index: &'a Index,
    tombstones: ElementSet,
    /// Elements with empty slots in their chains.
    owners: BTreeSet<ElementId>,
}

impl Removal<'_> {
    fn apply(&mut self, block: u32, found: Found) {
        match found {
            Found::Elements {
                dead_tids,
                slots,
                old,
            } => {
                for element in old {
                    self.tombstones.insert(element);
                }
                if !slots.is_empty() {
                    let page = LockedPage::lock(self.index, block, Access::Exclusive);
                    self.remove_from_page(&page, &slots, &dead_tids);
                }
            }
            Found::Overflow { dead_tids, owners } => {
                self.owners.extend(owners);
                if !dead_tids.is_empty() {
                    remove_from_overflow_page(self.index, block, &dead_tids);
                }
            }
            Found::Filter { dead_tids } if dead_tids.is_empty() => {}
            Found::Filter { dead_tids } => {
                remove_from_filter_page(self.index, block, &dead_tids);
            }
        }
    }

    /// Frees the emptied overflow slots; returns the tombstones.
    fn finish(mut self) -> ElementSet {
        for owner in std::mem::take(&mut self.owners) {
            if let Some(head) = self.unlink_empty_heads(owner) {
                unlink_empty_behind(self.index, head);
            }
        }
        self.tombstones
    }

    /// Unlinks empty slots at the head of an element's chain, up to the first with rows, which it returns; without one the
    /// element may become a tombstone. The element's page is locked for one slot at a time: an insert adds rows to the head,
    /// or a new head, under the same lock.
    fn unlink_empty_heads(&mut self, owner: ElementId) -> Option<OverflowId> {
        let index = self.index;
        loop {
            compat::vacuum_delay_point();
            let (page, slot) = locked::lock(index, owner, Access::Exclusive);
            let head = page.read(|page| page.slot(slot).map(|element| element.overflow()));
            let Some(head) = head else {
                self.remove_from_page(&page, &[slot], &HashSet::new());
                return None;
            };
            let (is_empty, after) = with_slot(index, head, |slot| {
                (slot.heap_tids().len() == 0, slot.next())
            });
            if !is_empty {
                return Some(head);
            }
            unlink(index, Link::Element(&page, slot), head, after);
        }
    }

    /// Drops dead rows of a page's elements, in one record. Elements left without rows become tombstones.
    fn remove_from_page(
        &mut self,
        page: &LockedPage<'_, Elements>,
        slots: &[u16],
        dead_tids: &HashSet<HeapTid>,
    ) {
        let (index, block) = (self.index, page.block());
        let mut record = Record::begin(index.relation());
        let mut changed = false;
        page.change(&mut record, |page| {
            for &number in slots {
                let mut slot = page.slot(number)?;
                changed |= slot.remove_tids(|tid| dead_tids.contains(&tid)) > 0;
                let element = slot.shared();
                let has_rows = element.heap_tids().len() > 0 || element.overflow().is_some();
                if element.is_live() && !has_rows {
                    slot.set_dead();
                    changed = true;
                    if let Some(id) = index.geometry().element.join(block, number) {
                        self.tombstones.insert(id);
                    }
                }
            }
            Ok(())
        });
        if changed {
            record.commit();
        }
    }
}

fn remove_from_overflow_page(index: &Index, block: u32, dead: &HashSet<HeapTid>) {
    let page = LockedPage::<Overflow>::lock(index, block, Access::Exclusive);
    page.change_alone(|page| {
        for slot in 0..page.shared().used() {
            let mut slot = page.slot(slot)?;
            if slot.shared().is_live() {
                slot.remove_tids(|tid| dead.contains(&tid));
            }
        }
        Ok(())
    });
}

fn remove_from_filter_page(index: &Index, block: u32, dead: &HashSet<HeapTid>) {
    let page = LockedPage::<Filters>::lock(index, block, Access::Exclusive);
    let mut record = Record::begin(index.relation());
    page.change(&mut record, |page| {
        page.remove(|tid| dead.contains(&tid));
        Ok(())
    });
    commit_freed(record, &page);
}

/// Unlinks the empty slots behind a slot of a chain. Inserts change only the head and the element, so no page stays locked
/// between two slots.
fn unlink_empty_behind(index: &Index, head: OverflowId) {
    let mut before = head;
    let mut descent = Descent::default();
    let mut next = with_slot(index, head, |slot| {
        descent.goes_on(slot);
        slot.next()
    });
    while let Some(at) = next {
        compat::vacuum_delay_point();
        let (is_empty, after) = with_slot(index, at, |slot| {
            if !descent.goes_on(slot) {
                let (block, _) = index.geometry().overflow.split(at);
                index.corrupt(block, Corrupt::EndlessOverflow);
            }
            (slot.heap_tids().len() == 0, slot.next())
        });
        if is_empty {
            unlink(index, Link::Overflow(before), at, after);
        } else {
            before = at;
        }
        next = after;
    }
}

/// The predecessor of an overflow slot in its chain.
enum Link<'a, 'i> {
    /// The element in this slot of a page locked exclusively.
    Element(&'a LockedPage<'i, Elements>, u16),
    Overflow(OverflowId),
}

/// Links the predecessor of an overflow slot to its successor, and frees the slot.
fn unlink(index: &Index, before: Link<'_, '_>, at: OverflowId, after: Option<OverflowId>) {
    let overflow = &index.geometry().overflow;
    let (block, number) = overflow.split(at);
    let page = LockedPage::<Overflow>::lock(index, block, Access::Exclusive);
    let mut before_page = None;
    let mut record = Record::begin(index.relation());
    match before {
        Link::Element(element_page, slot) => element_page.change(&mut record, |page| {
            page.slot(slot).map(|mut slot| slot.set_overflow(after))
        }),
        Link::Overflow(before) => {
            let (before_block, slot) = overflow.split(before);
            record.page(page.page());
            let before_page = if before_block == block {
                &page
            } else {
                before_page.insert(LockedPage::lock(index, before_block, Access::Exclusive))
            };
            before_page.change(&mut record, |page| {
                page.slot(slot).map(|mut slot| slot.set_next(after))
            });
        }
    }
    page.change(&mut record, |page| page.free(number));
    commit_freed(record, &page);
}
