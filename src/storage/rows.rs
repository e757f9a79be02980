//! The rows of an element: heap TIDs in its slot, and further ones in a chain of overflow slots.

use hnsw::ElementId;
use layout::{Corrupt, HeapTid, OverflowId, OverflowPage};

use super::buffer::{Access, Page};
use super::index::Index;
use super::page_graph::PageGraph;

/// Appends the rows kept in a live element itself; gives where further ones are.
pub(crate) fn inline(
    graph: &mut PageGraph<'_>,
    element: ElementId,
    into: &mut Vec<HeapTid>,
) -> Option<OverflowId> {
    let mut overflow = None;
    graph.visit_elements(&[element], |_, page, slot| {
        let element = page.slot(slot)?;
        if element.is_live() {
            into.extend(element.heap_tids());
            overflow = element.overflow();
        }
        Ok(())
    });
    overflow
}

/// Appends the rows of one overflow slot of an element; gives where further ones are.
/// The slot may have been given to another element since it was linked; then the chain ends.
pub(crate) fn overflow(
    index: &Index,
    element: ElementId,
    slot: OverflowId,
    into: &mut Vec<HeapTid>,
) -> Option<OverflowId> {
    let (block, slot) = index.geometry().overflow.split(slot);
    check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Share);
    let slot = OverflowPage::view(page.bytes(), index.geometry())
        .and_then(|view| view.slot(slot))
        .unwrap_or_else(|what| index.corrupt(block, what));
    if !slot.is_live() || slot.element() != element {
        return None;
    }
    into.extend(slot.heap_tids());
    slot.next()
}

/// A link to a block that is not there is damage, to be said before Postgres says it in its own words.
pub(super) fn check_block(index: &Index, block: u32) {
    if block >= index.relation().blocks() {
        index.corrupt(block, Corrupt::NoSuchBlock(block));
    }
}
