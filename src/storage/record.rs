//! One WAL record over up to four pages, or over some bytes of one: an atomic change.
#![expect(
    unsafe_code,
    reason = "generic WAL hands out page images as pointers; a patch writes its record itself"
)]

use layout::PAGE_SIZE;
use pgrx::pg_sys;

use super::buffer::Page;
use crate::pg::Relation;

/// An atomic change of pages (generic WAL): replayed as a whole or not at all.
///
/// Nothing is written until [`Record::commit`]; a dropped record leaves the pages unchanged.
pub(crate) struct Record {
    state: *mut pg_sys::GenericXLogState,
    /// The registered pages, by buffer, and their private copies.
    images: Vec<(pg_sys::Buffer, *mut u8)>,
}

/// The position of a page in a record.
#[derive(Clone, Copy)]
pub(crate) struct Image(usize);

impl Record {
    pub(crate) fn begin(index: Relation) -> Self {
        // SAFETY: the relation is open.
        let state = unsafe { pg_sys::GenericXLogStart(index.raw()) };
        Self {
            state,
            images: Vec::with_capacity(2),
        }
    }

    /// Registers a page in the record, or finds it there; it must stay locked until the commit.
    pub(crate) fn page(&mut self, page: &Page) -> Image {
        self.register(page, 0)
    }

    /// Registers a page just added to the index: its image is logged whole.
    pub(crate) fn new_page(&mut self, page: &Page) -> Image {
        self.register(page, pg_sys::GENERIC_XLOG_FULL_IMAGE)
    }

    /// True if the page is registered.
    pub(crate) fn has(&self, page: &Page) -> bool {
        let mut pages = self.images.iter();
        pages.any(|&(buffer, _)| buffer == page.buffer())
    }

    fn register(&mut self, page: &Page, flags: u32) -> Image {
        assert!(
            page.is_exclusive(),
            "only an exclusively locked page may change"
        );
        let known = |&(buffer, _): &(pg_sys::Buffer, _)| buffer == page.buffer();
        if let Some(image) = self.images.iter().position(known) {
            return Image(image);
        }
        // SAFETY: the page is pinned and exclusively locked; Postgres raises an ERROR at a fifth page.
        let image = unsafe {
            pg_sys::GenericXLogRegisterBuffer(self.state, page.buffer(), flags.cast_signed())
        };
        self.images.push((page.buffer(), image.cast()));
        Image(self.images.len() - 1)
    }

    /// The bytes to change: a private copy of the page until the commit.
    pub(crate) fn bytes(&mut self, image: Image) -> &mut [u8] {
        // SAFETY: a private copy of PAGE_SIZE bytes that lives until the record ends, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.images[image.0].1, PAGE_SIZE) }
    }

    /// Writes the change to WAL and to the pages.
    pub(crate) fn commit(self) {
        // SAFETY: the state is live: it ends here or in `drop`, never in both.
        unsafe { pg_sys::GenericXLogFinish(self.state) };
        let mut record = std::mem::ManuallyDrop::new(self);
        drop(std::mem::take(&mut record.images));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: not committed, so the state is live.
            unsafe { pg_sys::GenericXLogAbort(self.state) }
        }
    }
}

/// Writes bytes of a page, from `at` on, in a record of their own: the same record that a [`Record`] would write, without the copy
/// of the page and its comparison byte by byte, which took a quarter of an insert.
///
/// It is what `GenericXLogFinish` does (access/transam/generic_xlog.c); Postgres replays it.
pub(crate) fn patch(index: Relation, page: &Page, at: usize, new: &[u8]) {
    assert!(
        page.is_exclusive(),
        "only an exclusively locked page may change"
    );
    let mut delta = Vec::with_capacity(new.len() + 32);
    layout::write_delta(at, &page.bytes()[at..at + new.len()], new, &mut delta);
    if delta.is_empty() {
        return;
    }
    let delta_len = u32::try_from(delta.len()).expect("a page is shorter");
    let is_logged = index.needs_wal();
    if is_logged {
        // SAFETY: no other record is being made; an ERROR leaves none begun.
        unsafe { pg_sys::XLogBeginInsert() }
    }
    // SAFETY: the page is pinned and exclusively locked, and `at` and the length were checked against it above. An ERROR within
    // the critical section ends the server by a PANIC, so nothing jumps over this frame.
    unsafe {
        let bytes: *mut u8 = pg_sys::BufferGetPage(page.buffer()).cast();
        pg_sys::CritSectionCount += 1;
        bytes
            .add(at)
            .copy_from_nonoverlapping(new.as_ptr(), new.len());
        raw::MarkBufferDirty(page.buffer());
        if is_logged {
            raw::XLogRegisterBuffer(0, page.buffer(), raw::STANDARD);
            raw::XLogRegisterBufData(0, delta.as_ptr(), delta_len);
            let lsn = raw::XLogInsert(raw::GENERIC, 0);
            // PageSetLSN: the upper half comes first.
            let halves = [(lsn >> 32) as u32, lsn as u32];
            bytes.cast::<[u32; 2]>().write(halves);
        }
        pg_sys::CritSectionCount -= 1;
    }
}

/// Calls within a critical section, which need no error boundary: see [`patch`].
mod raw {
    use pgrx::pg_sys;

    /// `REGBUF_STANDARD`: the page has the usual header, and WAL omits its hole.
    pub(super) const STANDARD: u8 = pg_sys::REGBUF_STANDARD as u8;
    pub(super) const GENERIC: u8 = pg_sys::RmgrIds::RM_GENERIC_ID as u8;

    unsafe extern "C-unwind" {
        pub(super) fn MarkBufferDirty(buffer: pg_sys::Buffer);
        pub(super) fn XLogRegisterBuffer(block_id: u8, buffer: pg_sys::Buffer, flags: u8);
        pub(super) fn XLogRegisterBufData(block_id: u8, data: *const u8, len: u32);
        pub(super) fn XLogInsert(manager: u8, info: u8) -> u64;
    }
}
