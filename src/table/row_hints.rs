//! A cache of buffer numbers: the buffer of each table page when a scan of this backend last read it. An entry is right most of
//! the time, and always verified.
//!
//! Index scans fetch single rows all over a table. A hint saves the look-up in the shared buffer table, and makes it possible
//! to prefetch a row into the processor's cache.

use std::cell::RefCell;

use layout::HeapTid;
use pgrx::pg_sys;

use crate::pg::unlocked_read::{self, Tag};
use crate::pg::{Relation, compat};

/// Entries of the cache. Many pages share an entry: it remembers the page read last.
const PLACES: usize = 1 << 16;

thread_local! {
    static BUFFERS: RefCell<Vec<pg_sys::Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Hints about the pages of one table.
#[derive(Clone, Copy)]
pub(crate) struct RowHints {
    tag: Tag,
    file: u32,
}

impl RowHints {
    pub(crate) fn new(table: Relation) -> Self {
        Self {
            tag: Tag::new(table, 0),
            file: compat::file_number(&table.locator()),
        }
    }

    /// The buffer of a block, if it still holds the block.
    pub(crate) fn buffer_of(self, block: u32) -> Option<pg_sys::Buffer> {
        let buffer = BUFFERS.with_borrow(|buffers| buffers.get(self.place(block)).copied());
        buffer.filter(|&buffer| self.tag.with_block(block).is_held_by(buffer))
    }

    /// Remembers the buffer of a block; ignores local buffers.
    pub(crate) fn remember(self, block: u32, buffer: pg_sys::Buffer) {
        if buffer <= 0 {
            return;
        }
        BUFFERS.with_borrow_mut(|buffers| {
            if buffers.is_empty()
                && unlocked_read::is_possible()
                && buffers.try_reserve_exact(PLACES).is_ok()
            {
                buffers.resize(PLACES, 0);
            }
            if let Some(place) = buffers.get_mut(self.place(block)) {
                *place = buffer;
            }
        });
    }

    /// The address of a row's line pointer, if the page has a hint.
    pub(crate) fn pointer(self, row: HeapTid) -> Option<*const u8> {
        let buffer = self.buffer_of(row.block)?;
        Some(unlocked_read::page(buffer).wrapping_add(pointer_offset(row)))
    }

    /// The address of a row, as read from its line pointer without pin or lock: a guess, only good for prefetching.
    pub(crate) fn row(self, row: HeapTid) -> Option<*const u8> {
        let buffer = self.buffer_of(row.block)?;
        let pointer = unlocked_read::word(buffer, pointer_offset(row))?;
        Some(unlocked_read::page(buffer).wrapping_add(offset_in(pointer)))
    }

    /// The tag of a block.
    pub(super) fn tag(self, block: u32) -> Tag {
        self.tag.with_block(block)
    }

    /// The entry of a block: Fibonacci hashing over file and block.
    fn place(self, block: u32) -> usize {
        let key = block ^ self.file.rotate_left(16);
        (key.wrapping_mul(0x9E37_79B1) >> (u32::BITS - PLACES.trailing_zeros())) as usize
    }
}

/// The offset in its page of what a line pointer (`ItemIdData`) points to.
pub(super) fn offset_in(pointer: u32) -> usize {
    // The offset's 15 bits come first.
    let offset = if cfg!(target_endian = "little") {
        pointer & 0x7FFF
    } else {
        pointer >> 17
    };
    offset as usize % pg_sys::BLCKSZ as usize
}

/// The offset of a row's line pointer in its page.
fn pointer_offset(row: HeapTid) -> usize {
    std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp)
        + size_of::<pg_sys::ItemIdData>() * usize::from(row.offset.saturating_sub(1))
}
