//! Looking at pages in shared buffers without pin or lock.
//!
//! A buffer's descriptor names the page that the buffer holds. Bytes are copied between two looks at the descriptor, and the
//! copy counts if both find the page named and valid, and the header not locked. Why these bytes are the page's:
//!
//! - **A look reads the name first, then the state.** Whoever gives a buffer another name does so under the header lock and
//!   takes away `BM_VALID` before he lets go of it, with a write barrier in between. So a look that meets a name half written
//!   finds the header locked, or the buffer no longer valid. (Before 16 the name changes while the old state still says valid.)
//! - **Bytes of another page come after another name.** They are written once the descriptor has lost the old name and
//!   validity, by a later owner of the header lock, hence behind full barriers. The acquire fence between copy and second
//!   look makes sure that who has seen one of those bytes also sees the name that came before.
//! - **The page's own bytes come before `BM_VALID`**, which is set under the header lock when they are all there; the first
//!   look loads the state with acquire, ahead of the copy.
//! - **No sequence number tells whether a buffer has had another page in between** and got the first one back. To be deceived,
//!   a reader must be stopped twice within one copy (some 50 ns): first until the buffer has been evicted and is being
//!   filled with another page, then, after reading a few of those bytes, until it has been evicted again, filled with the
//!   first page and used a second time (see `USED_OFTEN`). Nothing excludes that.
//! - **The page's owner may be writing to it**, under a content lock that no look asks about: a copy may mix old and new.
//!
//! So a copy is a good guess, and a caller must bear a wrong one: no error, no undefined behaviour, nothing written on the
//! strength of it. `storage/page_graph.rs` says how searches do.
//!
//! Shared buffers and their descriptors are mapped at fixed addresses as long as a server runs, so a look at any of them
//! is harmless, however old the hint that led there. The name holds tablespace, database and file: a relation that was
//! truncated, rebuilt or dropped has no buffers of its old name (they lose it before the file goes). Local buffers, those of
//! temporary tables, have numbers below 0 and are never looked at. Others' memory is read by atomic and volatile loads only:
//! no reference to it is ever made.
#![expect(unsafe_code, reason = "reads shared memory that others write to")]

use std::mem::offset_of;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use pgrx::pg_sys;

use super::Relation;

/// A page's name, as a buffer's descriptor has it: tablespace, database, file and fork, as words that compare fast, and block.
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    file: [u64; 2],
    block: u32,
}

/// Postgres counts up to five how often a buffer was used lately. One that was used less than this is soon evicted: somebody
/// should use it in the way that counts.
const USED_OFTEN: u32 = 2;

// What is relied on without being named below.
const _: () = assert!(size_of::<pg_sys::BufferDescPadded>() == 64);
const _: () = assert!(size_of::<pg_sys::BufferDesc>() <= 64);
const _: () = assert!(offset_of!(pg_sys::BufferDesc, tag) == 0);
const _: () = assert!(offset_of!(pg_sys::BufferTag, blockNum) == 16);
const _: () = assert!(pg_sys::BM_LOCKED & pg_sys::BM_VALID == 0);
const _: () = assert!(pg_sys::BUF_USAGECOUNT_MASK == 0xF << pg_sys::BUF_USAGECOUNT_SHIFT);

/// Whether this server lays out descriptors as the headers that we were compiled with say. Debugging options of a server
/// make its locks larger, and with them descriptors. A descriptor holds its own number, from the start and for good.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        // SAFETY: set when the server starts, never changed.
        let buffers = unsafe { pg_sys::NBuffers };
        // The last one last: with descriptors of another size it may lie beyond what is mapped.
        [1, 2, buffers].into_iter().all(|buffer| {
            // SAFETY: there are at least 16 buffers, and the first two have shown their descriptors to be of this size.
            unsafe { (&raw const (*descriptor(buffer)).buf_id).read_volatile() == buffer - 1 }
        })
    })
}

impl Tag {
    /// A block of the relation's main fork.
    pub(crate) fn new(relation: Relation, block: u32) -> Self {
        let tag = super::compat::buffer_tag(&relation.locator(), block);
        // SAFETY: a tag is five words without padding, of which the block is the last.
        let words = unsafe { std::mem::transmute::<pg_sys::BufferTag, [u32; 5]>(tag) };
        let pair = |at: usize| {
            let [a, b, c, d] = words[at].to_ne_bytes();
            let [e, f, g, h] = words[at + 1].to_ne_bytes();
            u64::from_ne_bytes([a, b, c, d, e, f, g, h])
        };
        let file = [pair(0), pair(2)];
        Self { file, block }
    }

    #[inline]
    pub(crate) fn with_block(self, block: u32) -> Self {
        Self { block, ..self }
    }

    /// Where a page's descriptor is, to be prefetched.
    #[inline]
    pub(crate) fn descriptor(buffer: pg_sys::Buffer) -> *const u8 {
        descriptor(buffer).cast()
    }

    /// Copies bytes of this page from a buffer that may hold it; false if the buffer does not, or is about to be evicted.
    ///
    /// # Safety
    /// `buffer` is a number of a shared buffer.
    #[inline]
    pub(crate) unsafe fn copy(self, buffer: pg_sys::Buffer, from: usize, into: &mut [u8]) -> bool {
        if from + into.len() > pg_sys::BLCKSZ as usize {
            return false;
        }
        let descriptor = descriptor(buffer);
        // SAFETY: descriptors and pages of shared buffers are always mapped; what others may write to meanwhile is read by
        // atomic and volatile loads only. The bytes lie in the page.
        unsafe {
            if !self.is_in(descriptor) {
                return false;
            }
            copy_volatile(page(buffer).add(from), into);
            fence(Ordering::Acquire);
            self.is_in(descriptor)
        }
    }

    /// Whether a buffer holds this page; 0 is none.
    pub(crate) fn is_held_by(self, buffer: pg_sys::Buffer) -> bool {
        // SAFETY: descriptors of shared buffers are always mapped.
        buffer > 0 && unsafe { self.state_in(descriptor(buffer)).is_some() }
    }

    /// Whether a buffer holds this page and was used often.
    ///
    /// # Safety
    /// It points to the descriptor of a shared buffer.
    #[inline]
    unsafe fn is_in(self, descriptor: *const pg_sys::BufferDesc) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.state_in(descriptor) }.is_some_and(often)
    }

    /// The buffer's state if it holds this page.
    ///
    /// # Safety
    /// As for `is_in`.
    #[inline]
    unsafe fn state_in(self, descriptor: *const pg_sys::BufferDesc) -> Option<u32> {
        // SAFETY: the caller's promise; descriptors are aligned to their 64 bytes.
        unsafe {
            let tag = (&raw const (*descriptor).tag).cast::<u64>();
            let file = [tag.read_volatile(), tag.add(1).read_volatile()];
            let block = (&raw const (*descriptor).tag.blockNum).read_volatile();
            fence(Ordering::Acquire);
            let state = AtomicU32::from_ptr((&raw const (*descriptor).state.value).cast_mut());
            let state = state.load(Ordering::Acquire);
            let valid = state & (pg_sys::BM_VALID | pg_sys::BM_LOCKED) == pg_sys::BM_VALID;
            let held = valid && block == self.block && file == self.file;
            held.then_some(state)
        }
    }
}

/// Whether a shared buffer was used often, whatever it holds.
pub(crate) fn is_used_often(buffer: pg_sys::Buffer) -> bool {
    // SAFETY: descriptors are always mapped.
    let state = unsafe {
        let state = &raw const (*descriptor(buffer)).state.value;
        AtomicU32::from_ptr(state.cast_mut()).load(Ordering::Relaxed)
    };
    often(state)
}

#[inline]
fn often(state: u32) -> bool {
    (state & pg_sys::BUF_USAGECOUNT_MASK) >> pg_sys::BUF_USAGECOUNT_SHIFT >= USED_OFTEN
}

#[inline]
fn descriptor(buffer: pg_sys::Buffer) -> *const pg_sys::BufferDesc {
    let number = (buffer - 1).cast_unsigned() as usize;
    // SAFETY: set when the server starts, never changed. The address is computed, not followed.
    unsafe { pg_sys::BufferDescriptors.wrapping_add(number).cast() }
}

/// Where a shared buffer has its page.
#[inline]
pub(crate) fn page(buffer: pg_sys::Buffer) -> *const u8 {
    let offset = (buffer - 1).cast_unsigned() as usize * pg_sys::BLCKSZ as usize;
    // SAFETY: set when the server starts, never changed. The address is computed, not followed.
    unsafe { pg_sys::BufferBlocks.wrapping_add(offset).cast::<u8>() }
}

/// Eight bytes at any address.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned(u64);

/// # Safety
/// As many bytes as `into` has are mapped at `from`.
#[inline]
unsafe fn copy_volatile(from: *const u8, into: &mut [u8]) {
    let (words, rest) = into.as_chunks_mut::<{ size_of::<u64>() }>();
    let copied = words.len() * size_of::<u64>();
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the caller's promise; the type needs no alignment.
        let Unaligned(value) = unsafe { from.cast::<Unaligned>().add(i).read_volatile() };
        *word = value.to_ne_bytes();
    }
    for (i, byte) in rest.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *byte = unsafe { from.add(copied + i).read_volatile() };
    }
}
