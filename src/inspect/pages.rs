//! Reads possibly damaged pages: copies each under a share lock, and shows the copy after releasing it.

use hnsw::{ElementId, Level, has_all_elements};
use layout::{
    Corrupt, ElementPage, ElementSlot, Geometry, OverflowId, OverflowPage, OverflowSlot, PAGE_SIZE,
    SlotState, UpperId, UpperPage, UpperSlot,
};
use pgrx::PgSqlErrorCode as Code;

use crate::pg::subtransaction::attempt;
use crate::pg::{Relation, interrupt};
use crate::storage::buffer::{Access, Page};
use crate::storage::metapage::METAPAGE;

/// A consistent copy of a page.
pub(super) type Copy = Box<[u8; PAGE_SIZE]>;

/// The pages of an index.
pub(super) struct Pages<'a> {
    index: Relation,
    geometry: &'a Geometry,
    /// The number of blocks at the start of the check.
    pub(super) blocks: u32,
    /// Blocks unreadable for Postgres, in ascending order.
    unreadable: Vec<u32>,
}

/// Reads a page for the first time. Returns the message of Postgres if it refuses the page.
pub(super) fn try_copy(index: Relation, block: u32) -> Result<Copy, String> {
    interrupt::check();
    attempt(
        &[
            Code::ERRCODE_DATA_CORRUPTED,
            Code::ERRCODE_INDEX_CORRUPTED,
            Code::ERRCODE_IO_ERROR,
        ],
        || copy(index, block),
    )
}

fn copy(index: Relation, block: u32) -> Copy {
    let page = Page::lock(index, block, Access::Share);
    let mut bytes = Box::new([0; PAGE_SIZE]);
    bytes.copy_from_slice(page.bytes());
    bytes
}

impl<'a> Pages<'a> {
    /// Reads every page once. Calls `refused` for each page refused by Postgres; these are never read again, whatever links
    /// to them.
    pub(super) fn open(
        index: Relation,
        geometry: &'a Geometry,
        mut refused: impl FnMut(u32, String),
    ) -> Self {
        let blocks = index.blocks();
        let mut unreadable = Vec::new();
        for block in METAPAGE + 1..blocks {
            if let Err(message) = try_copy(index, block) {
                refused(block, message);
                unreadable.push(block);
            }
        }
        Self {
            index,
            geometry,
            blocks,
            unreadable,
        }
    }

    pub(super) fn geometry(&self) -> &'a Geometry {
        self.geometry
    }

    pub(super) fn index(&self) -> Relation {
        self.index
    }

    /// Copies the current page. `Ok(None)` if it is unreadable, as already reported.
    pub(super) fn copy(&self, block: u32) -> Result<Option<Copy>, Corrupt> {
        interrupt::check();
        if block == METAPAGE || block >= self.blocks && block >= self.index.blocks() {
            return Err(Corrupt::NoSuchBlock(block));
        }
        if self.unreadable.binary_search(&block).is_ok() {
            return Ok(None);
        }
        let page = copy(self.index, block);
        if layout::is_new(&*page) {
            return Err(Corrupt::NeverWritten);
        }
        Ok(Some(page))
    }

    /// Passes an element's slot to `read`; `Ok(None)` if its page is unreadable.
    pub(super) fn element<R>(
        &self,
        element: ElementId,
        read: impl FnOnce(&ElementSlot<'_>) -> R,
    ) -> Result<Option<R>, Corrupt> {
        let (block, slot) = self.geometry.element.split(element);
        let Some(page) = self.copy(block)? else {
            return Ok(None);
        };
        let slot = ElementPage::view(&*page, self.geometry)?.slot(slot)?;
        Ok(Some(read(&slot)))
    }

    /// Passes an upper list to `read`.
    pub(super) fn upper<R>(
        &self,
        list: UpperId,
        read: impl FnOnce(&UpperSlot<'_>) -> R,
    ) -> Result<Option<R>, Corrupt> {
        let (block, slot) = self.geometry.upper.split(list);
        let Some(page) = self.copy(block)? else {
            return Ok(None);
        };
        let slot = UpperPage::view(&*page, self.geometry)?.slot(slot)?;
        Ok(Some(read(&slot)))
    }

    /// Passes an overflow slot to `read`.
    pub(super) fn overflow<R>(
        &self,
        rows: OverflowId,
        read: impl FnOnce(&OverflowSlot<'_>) -> R,
    ) -> Result<Option<R>, Corrupt> {
        let (block, slot) = self.geometry.overflow.split(rows);
        let Some(page) = self.copy(block)? else {
            return Ok(None);
        };
        let slot = OverflowPage::view(&*page, self.geometry)?.slot(slot)?;
        Ok(Some(read(&slot)))
    }

    /// Appends the neighbors of an element: none if it is unreadable, as the check reports at its own location.
    pub(super) fn neighbors(&self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        let read = self.element(of, |element| {
            if element.state() == SlotState::Free {
                return None;
            }
            if has_all_elements(level) {
                into.extend(element.list(level));
                return None;
            }
            element
                .upper()
                .filter(|_| element.level() >= level)
                .map(|upper| upper.at(level))
        });
        if let Ok(Some(Some(list))) = read {
            let _damage_is_found_elsewhere = self.upper(list, |list| {
                if list.is_live() && list.element() == of && list.level() == level {
                    into.extend(list.neighbors());
                }
            });
        }
    }
}

/// True if the link itself is wrong, not its target.
pub(super) fn is_wrong_link(what: &Corrupt) -> bool {
    matches!(
        what,
        Corrupt::NoSuchBlock(_)
            | Corrupt::NeverWritten
            | Corrupt::PageKind { .. }
            | Corrupt::Slot { .. }
    )
}
