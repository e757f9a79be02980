//! Pages of an index: pinned, locked, handed out as bytes.
//!
//! The module has two interfaces. [`Page`] is a guard for code that changes pages and needs one page at a time. [`Reader`] is for
//! searches: it caches the buffer number of each block. Most slots are therefore copied by an unlocked read, without pin or
//! lock; the others are visited under one error boundary and without a lookup in the shared buffer table.
//!
//! Guards do nothing while unwinding: transaction abort releases locks and pins.
#![expect(
    unsafe_code,
    reason = "page pointers of locked buffers become slices here"
)]

use std::cell::RefMut;
use std::ops::Range;

use hnsw::ElementId;
use layout::{PAGE_SIZE, PageKind};
use pgrx::pg_sys;

use crate::pg::strategy::Strategy;
use crate::pg::unlocked_read::{self, Tag};
use crate::pg::{Relation, compat, interrupt};

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// The lock mode of a page.
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
        Self::lock_by(Strategy::NONE, index, block, access)
    }

    /// Like [`Page::lock`]; if the block is in no buffer, the strategy chooses one.
    pub(crate) fn lock_by(strategy: Strategy, index: Relation, block: u32, access: Access) -> Self {
        let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
        // SAFETY: the relation is open; an ERROR is raised for a block that is not there.
        let buffer =
            unsafe { pg_sys::ReadBufferExtended(index.raw(), MAIN, block, mode, strategy.raw()) };
        // SAFETY: the buffer was pinned just now.
        unsafe { compat::lock_buffer(buffer, access.mode()) };
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
            compat::lock_buffer(buffer, Access::Exclusive.mode());
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

    /// The LSN of the last record that changed the page, as raw bytes. It never changes in an index without WAL.
    pub(super) fn lsn(&self) -> [u8; 8] {
        let (lsn, _) = self.bytes().split_first_chunk().expect("a page is longer");
        *lsn
    }

    /// The page's bytes, for a build: it logs whole pages at its end. All other code changes pages through a `Record`.
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

/// The maximum number of blocks with hints: 32 MB of hints cover 32 GB of index.
const MAX_HINTS: usize = 1 << 22;

/// The readahead window: adjacent blocks requested from the disk together.
const READAHEAD: u32 = 32;

/// This backend's cached data about an index's blocks: usually right, always verified.
#[derive(Default)]
pub(crate) struct Hints {
    blocks: Vec<Hint>,
    /// For each readahead window: true if it was requested from the disk.
    asked: Vec<bool>,
    /// The number of blocks in the index when last asked; the index never shrinks.
    known: u32,
    /// Memory reused from one reader to the next.
    pub(super) scratch: Scratch,
}

/// Working memory for visits of a batch of elements.
#[derive(Default)]
pub(super) struct Scratch {
    /// Elements of the batch in page order, and the block of each.
    pub(super) batch: Vec<ElementId>,
    pub(super) blocks: Vec<u32>,
    /// Slots copied by unlocked reads, and the elements of a batch without such a copy.
    pub(super) copies: Vec<u8>,
    pub(super) missed: Vec<ElementId>,
}

impl Scratch {
    /// Returns space for copies of `bytes` bytes in all. Never shrunk: growing it again would zero it.
    pub(super) fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.copies.len() < bytes {
            self.copies.resize(bytes, 0);
        }
        &mut self.copies[..bytes]
    }
}

/// The buffer last known to hold a block (0: none), and the result of checking the whole page. A page never changes its
/// kind, and used slots stay used.
#[derive(Clone, Copy, Default)]
struct Hint {
    buffer: pg_sys::Buffer,
    checked: Option<Checked>,
}

impl Hint {
    #[inline]
    fn has_slot(self, kind: PageKind, slot: u16) -> bool {
        self.checked
            .is_some_and(|page| page.kind == kind && slot < page.used)
    }
}

/// A page checked and found valid: its kind and the number of its used slots.
#[derive(Clone, Copy)]
pub(crate) struct Checked {
    pub(crate) kind: PageKind,
    pub(crate) used: u16,
}

impl Hints {
    #[inline]
    fn of(&self, block: u32) -> Hint {
        self.blocks.get(block as usize).copied().unwrap_or_default()
    }

    fn remember(&mut self, block: u32, buffer: pg_sys::Buffer) {
        if let Some(hint) = self.blocks.get_mut(block as usize) {
            hint.buffer = buffer;
        }
    }

    fn remember_checked(&mut self, block: u32, checked: Checked) {
        if let Some(hint) = self.blocks.get_mut(block as usize) {
            hint.checked = Some(checked);
        }
    }

    /// Makes room for hints of `blocks` blocks.
    fn grow(&mut self, blocks: u32) {
        let wanted = (blocks as usize).min(MAX_HINTS);
        let more = wanted.saturating_sub(self.blocks.len());
        if more > 0 && unlocked_read::is_possible() && self.blocks.try_reserve(more).is_ok() {
            self.blocks.resize(wanted, Hint::default());
        }
        let windows = wanted.div_ceil(READAHEAD as usize);
        let more = windows.saturating_sub(self.asked.len());
        if more > 0 && self.asked.try_reserve(more).is_ok() {
            self.asked.resize(windows, false);
        }
    }

    /// Returns the readahead window around a block the first time, afterwards an empty range.
    fn new_readahead(&mut self, block: u32) -> Range<u32> {
        let first = block - block % READAHEAD;
        let asked = self.asked.get_mut((block / READAHEAD) as usize);
        let is_new = asked.is_some_and(|asked| !std::mem::replace(asked, true));
        let end = if is_new { first + READAHEAD } else { first };
        first..self.known.min(end)
    }
}

/// Reads pages of one index for a search or an insert.
pub(crate) struct Reader<'h> {
    index: Relation,
    locator: compat::FileLocator,
    tag: Tag,
    pub(super) hints: RefMut<'h, Hints>,
    /// The number of pages pinned.
    pub(super) visits: u64,
}

impl<'h> Reader<'h> {
    pub(crate) fn new(index: Relation, hints: RefMut<'h, Hints>) -> Self {
        Self {
            index,
            locator: index.locator(),
            tag: Tag::new(index, 0),
            hints,
            visits: 0,
        }
    }

    /// True if the index has this block; reads the index's size again before returning false.
    pub(crate) fn has_block(&mut self, block: u32) -> bool {
        if block >= self.hints.known {
            let known = self.index.blocks();
            self.hints.known = known;
            self.hints.grow(known);
        }
        block < self.hints.known
    }

    /// Prefetches bytes of a block from memory, not from disk, into the processor's cache, along with the buffer's descriptor,
    /// if there is a hint for the block.
    ///
    /// A stale hint prefetches another page's bytes: harmless.
    #[inline]
    pub(crate) fn prefetch(&self, block: u32, bytes: Range<usize>) {
        let Hint { buffer, .. } = self.hints.of(block);
        if buffer > 0 {
            distance::prefetch_at(Tag::descriptor(buffer), 1);
            distance::prefetch_at(
                unlocked_read::page(buffer).wrapping_add(bytes.start),
                bytes.len(),
            );
        }
    }

    /// Like [`Reader::prefetch`], with what a check of the page reads: the header and the special area.
    #[inline]
    pub(crate) fn prefetch_checked(&self, block: u32, bytes: Range<usize>) {
        self.prefetch(block, 0..1);
        self.prefetch(block, PAGE_SIZE - 1..PAGE_SIZE);
        self.prefetch(block, bytes);
    }

    /// Where a block's page probably lies in memory, to be prefetched; null without a hint.
    #[inline]
    pub(crate) fn likely_page(&self, block: u32) -> *const u8 {
        match self.hints.of(block).buffer {
            buffer if buffer > 0 => unlocked_read::page(buffer),
            _ => std::ptr::null(),
        }
    }

    /// Copies bytes of a slot without pin or lock, if the hinted buffer holds the page and the page was found valid before.
    ///
    /// The copy is a guess: see `unlocked_read.rs`.
    #[inline]
    pub(crate) fn read_unlocked(
        &self,
        kind: PageKind,
        (block, slot): (u32, u16),
        bytes: Range<usize>,
        into: &mut [u8],
    ) -> bool {
        let hint = self.hints.of(block);
        // SAFETY: a hint above 0 was a shared buffer.
        hint.has_slot(kind, slot)
            && hint.buffer > 0
            && unsafe {
                self.tag
                    .with_block(block)
                    .copy(hint.buffer, bytes.start, into)
            }
    }

    /// Pins a block that exists, by its hint if that is still right, and locks it.
    pub(super) fn lock(&mut self, block: u32, access: Access) -> Page {
        let (relation, locator, hints) = (self.index.raw(), &self.locator, &mut *self.hints);
        let mut buffer = 0;
        let mut run = || {
            // SAFETY: within the error boundary below; the relation is open.
            unsafe {
                buffer = raw::pin(relation, locator, block, hints);
                compat::raw::LockBuffer(buffer, access.mode());
            }
        };
        self.visits += 1;
        let _stacks = ErrorStacks::save();
        // SAFETY: the closure owns nothing with a destructor.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(&mut run) };
        Page { buffer, access }
    }

    /// True if a slot is known, from a locked page, to be of this kind and in use.
    #[inline]
    pub(crate) fn knows_slot(&self, kind: PageKind, (block, slot): (u32, u16)) -> bool {
        self.hints.of(block).has_slot(kind, slot)
    }

    /// Calls `visit` for each group of equal blocks in `blocks`, with the range of positions and the page, share-locked.
    /// `visit` returns the page's kind and used slots if it found the page valid.
    ///
    /// `visit` runs inside an error boundary: it must not panic, call Postgres or own anything that needs dropping.
    pub(crate) fn visit(
        &mut self,
        blocks: &[u32],
        mut visit: impl FnMut(Range<usize>, &[u8]) -> Option<Checked>,
    ) {
        interrupt::check();
        let (relation, locator, hints) = (self.index.raw(), &self.locator, &mut *self.hints);
        let (tag, visits) = (self.tag, &mut self.visits);
        let mut run = || {
            // SAFETY: within the error boundary below.
            unsafe { raw::prefetch(relation, tag, blocks, hints) };
            let mut start = 0;
            while start < blocks.len() {
                let block = blocks[start];
                let end = start + blocks[start..].iter().take_while(|&&b| b == block).count();
                *visits += 1;
                // SAFETY: within the error boundary below; the page is pinned and share-locked while `visit` runs.
                unsafe {
                    let buffer = raw::pin(relation, locator, block, hints);
                    compat::raw::LockBuffer(buffer, Access::Share.mode());
                    let page = pg_sys::BufferGetBlock(buffer).cast::<u8>();
                    let checked = visit(start..end, std::slice::from_raw_parts(page, PAGE_SIZE));
                    raw::UnlockReleaseBuffer(buffer);
                    if let Some(checked) = checked {
                        hints.remember_checked(block, checked);
                    }
                }
                start = end;
            }
        };
        let _stacks = ErrorStacks::save();
        // SAFETY: the closure owns nothing with a destructor, and one boundary for the group replaces three per page.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(&mut run) }
    }
}

/// The targets to which Postgres jumps on an ERROR. Restored on drop in case a panic, which should never happen, leaves an
/// error boundary without restoring them.
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

/// Buffer calls without a separate error boundary: the caller has one around the whole group.
mod raw {
    use super::{Hint, Hints, MAIN, Tag, pg_sys, unlocked_read};
    use crate::pg::compat::FileLocator;

    unsafe extern "C-unwind" {
        fn ReadRecentBuffer(
            file: FileLocator,
            fork: pg_sys::ForkNumber::Type,
            block: u32,
            recent: pg_sys::Buffer,
        ) -> bool;
        fn ReadBuffer(relation: pg_sys::Relation, block: u32) -> pg_sys::Buffer;
        fn PrefetchBuffer(
            relation: pg_sys::Relation,
            fork: pg_sys::ForkNumber::Type,
            block: u32,
        ) -> pg_sys::PrefetchBufferResult;
        pub(super) fn UnlockReleaseBuffer(buffer: pg_sys::Buffer);
    }

    /// Starts disk reads of all blocks of a group not in memory, before waiting for the first. Then starts reads of their
    /// readahead windows, each once, if the machine's memory has room for the whole index: a search touches all parts of it,
    /// and the disk would idle while the backend waits for a few blocks.
    ///
    /// # Safety
    /// The relation is open and the caller runs inside an error boundary.
    pub(super) unsafe fn prefetch(
        relation: pg_sys::Relation,
        tag: Tag,
        blocks: &[u32],
        hints: &mut Hints,
    ) {
        // SAFETY: a setting of this backend, read in its main thread.
        let wanted = unsafe { pg_sys::effective_io_concurrency > 0 };
        if !wanted || blocks.first() == blocks.last() {
            return;
        }
        let mut reads = false;
        for group in blocks.chunk_by(|a, b| a == b) {
            // SAFETY: the caller's promise.
            reads |= unsafe { prefetch_block(relation, tag, group[0], hints) };
        }
        // SAFETY: a setting of this backend, read in its main thread: a number of pages.
        let cached = unsafe { pg_sys::effective_cache_size }.cast_unsigned() / 4;
        if reads && hints.known <= cached {
            for &block in blocks {
                for near in hints.new_readahead(block) {
                    // SAFETY: the caller's promise.
                    unsafe { prefetch_block(relation, tag, near, hints) };
                }
            }
        }
    }

    /// Starts a disk read of a block not in memory; true if one was started.
    ///
    /// # Safety
    /// As for [`prefetch`].
    unsafe fn prefetch_block(
        relation: pg_sys::Relation,
        tag: Tag,
        block: u32,
        hints: &mut Hints,
    ) -> bool {
        let Hint { buffer, .. } = hints.of(block);
        if buffer < 0 || tag.with_block(block).is_held_by(buffer) {
            return false;
        }
        // SAFETY: the caller's promise.
        let found = unsafe { PrefetchBuffer(relation, MAIN, block) };
        hints.remember(block, found.recent_buffer);
        found.initiated_io
    }

    /// Pins a block, by its hint if still right. `ReadRecentBuffer` does not raise the usage count, so a page with a low count
    /// is pinned by `ReadBuffer` instead; otherwise pages visited by hints alone would be evicted first.
    ///
    /// # Safety
    /// The relation is open and the caller runs inside an error boundary.
    pub(super) unsafe fn pin(
        relation: pg_sys::Relation,
        locator: &FileLocator,
        block: u32,
        hints: &mut Hints,
    ) -> pg_sys::Buffer {
        let hint = hints.of(block).buffer;
        let trusted = hint < 0 || hint > 0 && unlocked_read::is_used_often(hint);
        // SAFETY: ReadRecentBuffer checks under the buffer's header lock that the buffer holds this block.
        unsafe {
            if trusted && ReadRecentBuffer(*locator, MAIN, block, hint) {
                return hint;
            }
            let buffer = ReadBuffer(relation, block);
            hints.remember(block, buffer);
            buffer
        }
    }
}
