//! Looking at pages in shared buffers without pin or lock.
//!
//! A buffer's descriptor names the page that the buffer holds. What is copied from a buffer between two looks at the
//! descriptor, both of which find the same page named and valid, belongs to that page:
//!
//! - Before a buffer gets another page its descriptor loses name and validity, under the header lock, whose release orders
//!   that before the new page's bytes; and it is valid again only when they are all there. The acquire load before the copy and
//!   the acquire fence behind it keep the copy between the two looks. So bytes of another page show in one of the looks, unless
//!   the buffer has changed hands twice in between and holds the first page again.
//! - A writer with the page's exclusive lock may be at work, and no look tells. The copy may then be a mixture of old and new.
//!
//! So a caller copies only what it can bear to be wrong about: what is written once before anybody is told of it, or what
//! takes it to places that are checked again. Shared buffers are never unmapped, so that a look at any buffer is harmless.
#![expect(unsafe_code, reason = "reads shared memory that others write to")]

use std::mem::offset_of;
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

const REFERENCE_BITS: u32 = 18;
const USAGE_MASK: u32 = 0xF;

const _: () = assert!(size_of::<pg_sys::BufferDescPadded>() == 64);
const _: () = assert!(offset_of!(pg_sys::BufferDesc, state) == 24);
const _: () = assert!(offset_of!(pg_sys::BufferDesc, tag) == 0);
const _: () = assert!(offset_of!(pg_sys::BufferTag, blockNum) == 16);

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
        debug_assert!(buffer > 0 && from + into.len() <= pg_sys::BLCKSZ as usize);
        let descriptor = descriptor(buffer);
        // SAFETY: descriptors and pages of shared buffers are always mapped; what others may write to meanwhile is read by
        // atomic and volatile loads only. `from` lies in the page.
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
            let state = AtomicU32::from_ptr((&raw const (*descriptor).state.value).cast_mut());
            let state = state.load(Ordering::Acquire);
            let tag = (&raw const (*descriptor).tag).cast::<u64>();
            let file = [tag.read_volatile(), tag.add(1).read_volatile()];
            let block = (&raw const (*descriptor).tag.blockNum).read_volatile();
            let held = state & pg_sys::BM_VALID != 0 && block == self.block && file == self.file;
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
    state >> REFERENCE_BITS & USAGE_MASK >= USED_OFTEN
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
