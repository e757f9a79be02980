//! One WAL record over up to four pages: an atomic change.
#![expect(unsafe_code, reason = "generic WAL hands out page images as pointers")]

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
