//! Pages of an index: pinned, locked, handed out as bytes.
//!
//! Two ways in. [`Page`] is a guard for code that changes things and wants one page at a time. [`Reader`] is for
//! searches: it remembers which buffer held which block, so that a visit skips the shared buffer table, and it
//! visits many slots under one error boundary.
//!
//! Guards do nothing while unwinding: transaction abort releases locks and pins.
#![expect(
    unsafe_code,
    reason = "page pointers of locked buffers become slices here"
)]

use std::ops::Range;

use layout::PAGE_SIZE;
use pgrx::pg_sys;

use crate::pg::{Relation, interrupt};

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// How a page is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Share,
    Exclusive,
}

impl Access {
    fn mode(self) -> i32 {
        match self {
            Self::Share => pg_sys::BUFFER_LOCK_SHARE.cast_signed(),
            Self::Exclusive => pg_sys::BUFFER_LOCK_EXCLUSIVE.cast_signed(),
        }
    }
}

/// A pinned and locked page.
pub(crate) struct Page {
    buffer: pg_sys::Buffer,
    access: Access,
}

impl Page {
    /// Pins and locks a block of the main fork.
    pub(crate) fn lock(index: Relation, block: u32, access: Access) -> Self {
        // SAFETY: the relation is open; ReadBuffer raises an ERROR for a block that is not there.
        let buffer = unsafe { pg_sys::ReadBuffer(index.raw(), block) };
        // SAFETY: the buffer was pinned just now.
        unsafe { pg_sys::LockBuffer(buffer, access.mode()) };
        Self { buffer, access }
    }

    /// Appends a zeroed block to a fork, exclusively locked.
    ///
    /// Only the new page is locked on return; concurrent callers get different blocks.
    pub(crate) fn extend(index: Relation, fork: pg_sys::ForkNumber::Type) -> Self {
        let shared = !index.is_local();
        // SAFETY: the relation is open; the extension lock keeps two backends from taking one block.
        unsafe {
            if shared {
                pg_sys::LockRelationForExtension(index.raw(), pg_sys::ExclusiveLock.cast_signed());
            }
            let buffer = pg_sys::ReadBufferExtended(
                index.raw(),
                fork,
                pg_sys::InvalidBlockNumber,
                pg_sys::ReadBufferMode::RBM_NORMAL,
                std::ptr::null_mut(),
            );
            pg_sys::LockBuffer(buffer, Access::Exclusive.mode());
            if shared {
                pg_sys::UnlockRelationForExtension(
                    index.raw(),
                    pg_sys::ExclusiveLock.cast_signed(),
                );
            }
            Self {
                buffer,
                access: Access::Exclusive,
            }
        }
    }

    pub(crate) fn block(&self) -> u32 {
        // SAFETY: the buffer is pinned.
        unsafe { pg_sys::BufferGetBlockNumber(self.buffer) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer is locked, so its bytes do not change until the guard drops.
        unsafe { std::slice::from_raw_parts(pg_sys::BufferGetPage(self.buffer).cast(), PAGE_SIZE) }
    }

    /// The page's bytes for a build, which logs whole pages when it is done. Others change pages through a `Record`.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(
            self.access == Access::Exclusive,
            "only an exclusively locked page may change"
        );
        // SAFETY: the buffer is exclusively locked, and `self` is borrowed exclusively.
        unsafe {
            std::slice::from_raw_parts_mut(pg_sys::BufferGetPage(self.buffer).cast(), PAGE_SIZE)
        }
    }

    /// Marks the page as changed outside of a `Record`.
    pub(crate) fn mark_dirty(&mut self) {
        // SAFETY: the buffer is pinned and exclusively locked.
        unsafe { pg_sys::MarkBufferDirty(self.buffer) }
    }

    pub(crate) fn is_exclusive(&self) -> bool {
        self.access == Access::Exclusive
    }

    pub(super) fn buffer(&self) -> pg_sys::Buffer {
        self.buffer
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pinned and locked by this guard; not unwinding, so Postgres has not released it.
            unsafe { pg_sys::UnlockReleaseBuffer(self.buffer) }
        }
    }
}

/// WAL-logs every page of a fork as a whole (`log_newpage_range`): the end of a build.
pub(crate) fn log_all_pages(index: Relation, fork: pg_sys::ForkNumber::Type) {
    let blocks = index.fork_blocks(fork);
    // SAFETY: the relation is open and no page of it is locked.
    unsafe { pg_sys::log_newpage_range(index.raw(), fork, 0, blocks, true) }
}

/// Above this block no hints are kept: 16 MB of them address 32 GB of index.
const MAX_HINTS: usize = 1 << 22;

/// One visit in so many goes through the shared buffer table though its hint is right: only that way does Postgres count
/// how often a page is used, and keeps it in memory.
const COUNTED: u32 = 16;

/// Which buffer held which block when last seen: right most of the time, verified always.
#[derive(Default)]
pub(crate) struct Hints {
    buffers: Vec<pg_sys::Buffer>,
    visits: u32,
}

impl Hints {
    fn of(&self, block: u32) -> pg_sys::Buffer {
        self.buffers.get(block as usize).copied().unwrap_or(0)
    }

    fn remember(&mut self, block: u32, buffer: pg_sys::Buffer) {
        if let Some(hint) = self.buffers.get_mut(block as usize) {
            *hint = buffer;
        }
    }

    /// Makes room for hints of so many blocks.
    fn grow(&mut self, blocks: u32) {
        let wanted = (blocks as usize).min(MAX_HINTS);
        if wanted > self.buffers.len()
            && self
                .buffers
                .try_reserve(wanted - self.buffers.len())
                .is_ok()
        {
            self.buffers.resize(wanted, 0);
        }
    }
}

/// Reads pages of one index for a search or an insert.
pub(crate) struct Reader<'h> {
    index: Relation,
    locator: crate::pg::compat::FileLocator,
    hints: &'h mut Hints,
    blocks: u32,
}

impl<'h> Reader<'h> {
    pub(crate) fn new(index: Relation, hints: &'h mut Hints) -> Self {
        Self {
            index,
            locator: index.locator(),
            hints,
            blocks: 0,
        }
    }

    /// Whether the index has this block, asking for its size again before saying no.
    pub(crate) fn has_block(&mut self, block: u32) -> bool {
        if block >= self.blocks {
            self.blocks = self.index.blocks();
            self.hints.grow(self.blocks);
        }
        block < self.blocks
    }

    /// Asks the memory, not the disk: brings bytes of a block near if a hint says where they may be.
    ///
    /// The hint may be stale; then another page's bytes are brought near, which is harmless.
    #[inline]
    pub(crate) fn prefetch(&self, block: u32, bytes: Range<usize>) {
        let hint = self.hints.of(block);
        if hint == 0 {
            return;
        }
        // SAFETY: the hint was a valid buffer of this backend or of shared memory, neither of which is ever unmapped;
        // a prefetch reads nothing into the program.
        unsafe {
            let page = pg_sys::BufferGetBlock(hint).cast::<u8>();
            if !page.is_null() {
                distance::prefetch_at(page.wrapping_add(bytes.start), bytes.len());
            }
        }
    }

    /// Calls `visit` with each group of equal blocks in `blocks`, given the range of positions and the page, share-locked.
    ///
    /// `visit` runs inside an error boundary: it must not panic, call Postgres or own anything that needs dropping.
    pub(crate) fn visit(&mut self, blocks: &[u32], mut visit: impl FnMut(Range<usize>, &[u8])) {
        interrupt::check();
        let (relation, locator, hints) = (self.index.raw(), &self.locator, &mut *self.hints);
        let mut run = || {
            let mut start = 0;
            while start < blocks.len() {
                let block = blocks[start];
                let mut end = start + 1;
                while end < blocks.len() && blocks[end] == block {
                    end += 1;
                }
                // SAFETY: within the error boundary below; the page is pinned and share-locked while `visit` runs.
                unsafe {
                    let buffer = raw::pin(relation, locator, block, hints);
                    raw::LockBuffer(buffer, Access::Share.mode());
                    let page = pg_sys::BufferGetBlock(buffer).cast::<u8>();
                    visit(start..end, std::slice::from_raw_parts(page, PAGE_SIZE));
                    raw::UnlockReleaseBuffer(buffer);
                }
                start = end;
            }
        };
        let _stacks = ErrorStacks::save();
        // SAFETY: the closure owns nothing with a destructor, and one boundary for the group replaces three per page.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(&mut run) }
    }
}

/// Where Postgres jumps to on an ERROR. Put back when a panic, which never should be, leaves an error boundary in a way that
/// does not put them back itself.
struct ErrorStacks(*mut pg_sys::sigjmp_buf, *mut pg_sys::ErrorContextCallback);

impl ErrorStacks {
    fn save() -> Self {
        // SAFETY: globals of this backend, read in its main thread.
        unsafe { Self(pg_sys::PG_exception_stack, pg_sys::error_context_stack) }
    }
}

impl Drop for ErrorStacks {
    fn drop(&mut self) {
        // SAFETY: globals of this backend; the frames they point to are below this one.
        unsafe { (pg_sys::PG_exception_stack, pg_sys::error_context_stack) = (self.0, self.1) }
    }
}

/// Buffer calls without an error boundary of their own: the caller has one around the whole group.
mod raw {
    use super::{COUNTED, Hints, MAIN, pg_sys};
    use crate::pg::compat::FileLocator;

    unsafe extern "C-unwind" {
        fn ReadRecentBuffer(
            file: FileLocator,
            fork: pg_sys::ForkNumber::Type,
            block: u32,
            recent: pg_sys::Buffer,
        ) -> bool;
        fn ReadBuffer(relation: pg_sys::Relation, block: u32) -> pg_sys::Buffer;
        pub(super) fn LockBuffer(buffer: pg_sys::Buffer, mode: i32);
        pub(super) fn UnlockReleaseBuffer(buffer: pg_sys::Buffer);
    }

    /// Pins a block, by its hint if that still holds.
    ///
    /// # Safety
    /// The relation is open and the caller runs inside an error boundary.
    pub(super) unsafe fn pin(
        relation: pg_sys::Relation,
        locator: &FileLocator,
        block: u32,
        hints: &mut Hints,
    ) -> pg_sys::Buffer {
        let hint = hints.of(block);
        hints.visits = hints.visits.wrapping_add(1);
        let counted = hints.visits.is_multiple_of(COUNTED);
        // SAFETY: ReadRecentBuffer checks under the buffer's header lock that the buffer holds this block.
        unsafe {
            if hint != 0 && !counted && ReadRecentBuffer(*locator, MAIN, block, hint) {
                return hint;
            }
            let buffer = ReadBuffer(relation, block);
            hints.remember(block, buffer);
            buffer
        }
    }
}
