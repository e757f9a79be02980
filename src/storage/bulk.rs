//! Writes the pages of a new index in sequence, bypassing the shared buffers: each goes to the file once and to WAL once
//! (as in nbtsort.c of PostgreSQL 15).
#![expect(unsafe_code, reason = "writes pages by Postgres' storage manager")]

use layout::PAGE_SIZE;
use pgrx::pg_sys;

use crate::pg::{Relation, compat, interrupt};

/// A page to write, aligned for direct I/O.
#[derive(Clone)]
#[repr(C, align(4096))]
pub(crate) struct PageImage(pub(crate) [u8; PAGE_SIZE]);

impl PageImage {
    pub(crate) const EMPTY: Self = Self([0; PAGE_SIZE]);
}

/// The maximum number of pages logged in one record.
const BATCH: usize = 32;

/// Writes the main fork of an index not yet visible to other backends.
pub(crate) struct BulkWriter {
    index: Relation,
    needs_wal: bool,
    next: u32,
}

impl BulkWriter {
    pub(crate) fn new(index: Relation) -> Self {
        Self {
            index,
            needs_wal: index.needs_wal(),
            next: 0,
        }
    }

    /// The number of the block to be written next.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Logs and writes pages.
    pub(crate) fn write(&mut self, pages: &mut [PageImage]) {
        for batch in pages.chunks_mut(BATCH) {
            interrupt::check();
            if self.needs_wal {
                self.log(batch);
            }
            for page in batch {
                self.extend(page);
            }
        }
    }

    fn log(&self, pages: &mut [PageImage]) {
        let mut blocks: Vec<u32> = (self.next..).take(pages.len()).collect();
        let mut pages: Vec<_> = pages
            .iter_mut()
            .map(|page| page.0.as_mut_ptr().cast())
            .collect();
        let mut locator = self.index.locator();
        let count = i32::try_from(pages.len()).expect("a small batch");
        // SAFETY: as many block numbers as pages; Postgres writes the LSN into each page.
        unsafe {
            pg_sys::log_newpages(
                &raw mut locator,
                pg_sys::ForkNumber::MAIN_FORKNUM,
                count,
                blocks.as_mut_ptr(),
                pages.as_mut_ptr(),
                true,
            );
        }
    }

    fn extend(&mut self, page: &mut PageImage) {
        let bytes = page.0.as_mut_ptr();
        // SAFETY: the relation is open, and the page is whole. Synced by `finish`, so not block by block.
        unsafe {
            pg_sys::PageSetChecksumInplace(bytes.cast(), self.next);
            pg_sys::smgrextend(
                compat::storage(self.index.raw()),
                pg_sys::ForkNumber::MAIN_FORKNUM,
                self.next,
                bytes.cast(),
                true,
            );
        }
        self.next += 1;
    }

    /// Syncs all pages to disk: a checkpoint may have completed meanwhile, without covering pages that bypass the buffers.
    pub(crate) fn finish(self) {
        if !self.index.is_local() {
            // SAFETY: the relation is open.
            unsafe {
                pg_sys::smgrimmedsync(
                    compat::storage(self.index.raw()),
                    pg_sys::ForkNumber::MAIN_FORKNUM,
                );
            }
        }
    }
}
