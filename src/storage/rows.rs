//! The rows of an element: heap TIDs in its slot, and further ones in a chain of overflow slots.

use hnsw::ElementId;
use layout::{Corrupt, HeapTid, OverflowId, OverflowPage};

use super::buffer::{Access, Page};
use super::index::Index;
use super::page_graph::PageGraph;

/// A reader's place in the chain of an element's further rows.
///
/// Vacuum may take any slot out of the chain that has no rows left. It cannot take the anchor: a row there is visible to
/// the reader's snapshot. So a reader that finds itself on a slot that was taken away goes on behind the anchor, and reads
/// again only rows that it did not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub(crate) element: ElementId,
    anchor: Option<OverflowId>,
    /// The slot read last.
    last: Option<OverflowId>,
    next: OverflowId,
    steps: Steps,
}

/// Slots that a walk along a chain may still visit before it must be a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps(u64);

impl Steps {
    pub(super) fn of(index: &Index) -> Self {
        // Slots can be taken away and given back while the chain is read, so twice as many as there are.
        let pages = u64::from(index.relation().blocks());
        Self(2 * pages * u64::from(index.geometry().overflow.per_page))
    }

    pub(super) fn take(&mut self, index: &Index, block: u32) {
        self.0 = self
            .0
            .checked_sub(1)
            .unwrap_or_else(|| index.corrupt(block, Corrupt::EndlessOverflow));
    }
}

impl Chain {
    /// Says that the snapshot saw a row of the slot read last.
    pub(crate) fn saw_row(self) -> Self {
        Self {
            anchor: self.last.or(self.anchor),
            ..self
        }
    }

    /// Appends the rows of the next slot; gives the place after it.
    pub(crate) fn read(
        mut self,
        graph: &mut PageGraph<'_>,
        into: &mut Vec<HeapTid>,
    ) -> Option<Self> {
        let index = graph.index();
        self.steps
            .take(index, index.geometry().overflow.split(self.next).0);
        let next = match read_slot(index, self.element, self.next, into) {
            Some(next) => {
                self.last = Some(self.next);
                next
            }
            None => self.behind_anchor(graph),
        };
        next.map(|next| Self { next, ..self })
    }

    /// Where the chain goes on behind the anchor, or where it starts.
    fn behind_anchor(&self, graph: &mut PageGraph<'_>) -> Option<OverflowId> {
        match self.anchor {
            Some(anchor) => {
                read_slot(graph.index(), self.element, anchor, &mut Vec::new()).flatten()
            }
            None => first_overflow(graph, self.element, &mut Vec::new()),
        }
    }
}

/// Appends the rows kept in a live element itself; gives where further ones are.
pub(crate) fn inline(
    graph: &mut PageGraph<'_>,
    element: ElementId,
    into: &mut Vec<HeapTid>,
) -> Option<Chain> {
    let next = first_overflow(graph, element, into)?;
    let steps = Steps::of(graph.index());
    Some(Chain {
        element,
        anchor: None,
        last: None,
        next,
        steps,
    })
}

fn first_overflow(
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

/// Appends the rows of a slot; gives where the chain goes on, or none if the slot is not this element's any more.
fn read_slot(
    index: &Index,
    element: ElementId,
    slot: OverflowId,
    into: &mut Vec<HeapTid>,
) -> Option<Option<OverflowId>> {
    let (block, slot) = index.geometry().overflow.split(slot);
    check_block(index, block);
    let page = Page::lock(index.relation(), block, Access::Share);
    let slot = index.expect(
        block,
        OverflowPage::view(page.bytes(), index.geometry()).and_then(|view| view.slot(slot)),
    );
    if !slot.is_live() || slot.element() != element {
        return None;
    }
    into.extend(slot.heap_tids());
    Some(slot.next())
}

/// A link to a block that is not there is damage, to be said before Postgres says it in its own words.
pub(super) fn check_block(index: &Index, block: u32) {
    if block >= index.relation().blocks() {
        index.corrupt(block, Corrupt::NoSuchBlock(block));
    }
}
