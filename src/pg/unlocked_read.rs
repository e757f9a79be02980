//! Reads pages in shared buffers without pin or lock.
//!
//! A buffer's descriptor holds the tag of the buffer's page. A read checks the descriptor, copies bytes and checks again. The
//! copy counts if both checks find the page's tag, `BM_VALID` set and the header unlocked (`crates/unlocked`, whose tests try
//! every order of loads and stores). The bytes are the page's because:
//!
//! - **A check reads the tag first, then the state.** A backend changes a buffer's tag under the header lock, and clears
//!   `BM_VALID` before it releases the lock, with a write barrier in between. So a check of a half-written tag finds the header
//!   locked, or the buffer no longer valid. (Before 16 the tag changes while the old state still says valid. There 64-bit ARM may
//!   show the new tag before the lock: a reader who sees both checks in that moment, of a few stores, takes old bytes.)
//! - **Bytes of another page come after another tag.** They are written once the descriptor has lost the old tag and validity,
//!   by a later owner of the header lock, hence behind full barriers. The acquire fence between the copy and the second check
//!   ensures: a reader that has seen one of these bytes also sees the tag written before them.
//! - **The page's own bytes come before `BM_VALID`**, set under the header lock when all of them are read; the first check
//!   loads the state with acquire, ahead of the copy.
//! - **No sequence number shows that a buffer held another page in between** and then the first one again. To be deceived, a
//!   reader must be stopped twice within one copy (some 50 ns): first until the buffer has been evicted and is being filled
//!   with another page, then, after reading a few bytes of it, until it has been evicted again, filled with the first page and
//!   used a second time (see `USED_OFTEN`). Nothing excludes this.
//! - **A backend may be writing to the page**, under a content lock that checks ignore: a copy may mix old and new bytes.
//!
//! So a copy is a good guess, and callers must tolerate a wrong one: it may cause no error and no undefined behaviour, and
//! nothing may be written because of it. `storage/page_graph.rs` explains how searches do so.
//!
//! Shared buffers and their descriptors are mapped at fixed addresses as long as a server runs, so reading any of them is
//! harmless, however old the hint. The tag holds tablespace, database and file: a truncated, rebuilt or dropped relation has no
//! buffers with its old tag (they lose it before the file is removed). Local buffers, used for temporary tables, have numbers
//! below 0 and are never read. Memory written by other processes is read by atomic and volatile loads only: no reference to it
//! is ever made.
#![expect(unsafe_code, reason = "reads shared memory that others write to")]

use std::mem::offset_of;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

use pgrx::pg_sys;

use super::compat::buffer_state;
use super::{Relation, races};

/// A page's tag, as in a buffer's descriptor: tablespace, database, file and fork, as words that compare fast, and block.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Tag {
    file: [u64; 2],
    block: u32,
}

/// The minimum usage count for an unlocked read. Postgres counts the recent uses of a buffer, up to five, and soon evicts one
/// with fewer than this; such a page should be read through a pin, because only a pin increases the count.
const USED_OFTEN: u32 = 2;

// Facts of Postgres' headers assumed by the code below.
const _: () = assert!(size_of::<pg_sys::BufferDescPadded>() == 64);
const _: () = assert!(size_of::<pg_sys::BufferDesc>() <= 64);
const _: () = assert!(offset_of!(pg_sys::BufferDesc, tag) == 0);
const _: () = assert!(offset_of!(pg_sys::BufferTag, blockNum) == 16);
const _: () = assert!(buffer_state::BM_LOCKED & buffer_state::BM_VALID == 0);
const _: () = assert!(buffer_state::BUF_USAGECOUNT_MASK == 0xF << pg_sys::BUF_USAGECOUNT_SHIFT);

/// True if this server's descriptors have the layout of the headers used by our build. Debugging options of a server make its
/// locks larger, and its descriptors with them. A descriptor holds its own number, which never changes.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        // SAFETY: set when the server starts, never changed.
        let buffers = unsafe { pg_sys::NBuffers };
        // The last buffer comes last: with descriptors of another size it may lie beyond the mapped memory.
        [1, 2, buffers].into_iter().all(|buffer| {
            // SAFETY: a server has at least 16 buffers, and the first two show that descriptors are of this size.
            unsafe { (&raw const (*descriptor(buffer)).buf_id).read_volatile() == buffer - 1 }
        })
    })
}

impl Tag {
    /// The tag of a block of the relation's main fork.
    pub(crate) fn new(relation: Relation, block: u32) -> Self {
        let tag = super::compat::buffer_tag(&relation.locator(), block);
        // SAFETY: a tag is five words without padding; the block is the last.
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

    /// The address of a buffer's descriptor, to be prefetched.
    #[inline]
    pub(crate) fn descriptor(buffer: pg_sys::Buffer) -> *const u8 {
        descriptor(buffer).cast()
    }

    /// Copies bytes of this page from a buffer that may hold it; false if the buffer holds another page or may be evicted soon.
    ///
    /// # Safety
    /// `buffer` is a number of a shared buffer.
    #[inline]
    pub(crate) unsafe fn copy(self, buffer: pg_sys::Buffer, from: usize, into: &mut [u8]) -> bool {
        if from + into.len() > pg_sys::BLCKSZ as usize {
            return false;
        }
        // SAFETY: the caller's promise.
        let descriptor = unsafe { Descriptor::of(buffer) };
        // SAFETY: pages of shared buffers are always mapped, and the bytes lie in the page.
        let copy = || unsafe { copy_volatile(page(buffer).add(from), into) };
        let is_held = self.read(&descriptor, copy);
        if is_held {
            races::copied(|| (self.words(), from), into);
        }
        is_held
    }

    /// Calls `copy` if a buffer that is used often holds this page; true if it did so before and after.
    #[inline]
    fn read(&self, descriptor: &Descriptor, copy: impl FnOnce()) -> bool {
        races::begin();
        let is_held = unlocked::read(descriptor, self, often, copy);
        races::end(is_held, || unlocked::state_of(descriptor, self).is_some());
        is_held
    }

    /// Calls `read` with this page in a buffer that may hold it; `None` if the buffer holds another page or may be evicted soon.
    ///
    /// What `read` finds is a guess, as a copy is.
    #[inline]
    pub(crate) fn peek<R>(
        self,
        buffer: pg_sys::Buffer,
        read: impl FnOnce(Peek) -> Option<R>,
    ) -> Option<R> {
        if buffer <= 0 {
            return None;
        }
        // SAFETY: numbers above 0 are those of shared buffers.
        let descriptor = unsafe { Descriptor::of(buffer) };
        let mut found = None;
        let is_held = self.read(&descriptor, || found = read(Peek(page(buffer))));
        found.filter(|_| is_held)
    }

    /// True if a buffer holds this page; false for 0, which is no buffer.
    pub(crate) fn is_held_by(self, buffer: pg_sys::Buffer) -> bool {
        buffer > 0 && {
            // SAFETY: numbers above 0 are those of shared buffers.
            let descriptor = unsafe { Descriptor::of(buffer) };
            let holds = || unlocked::state_of(&descriptor, &self).is_some();
            let is_held = holds();
            if is_held {
                races::found(holds);
            }
            is_held
        }
    }

    /// The words of the tag, in their order in a descriptor.
    fn words(self) -> [u32; 5] {
        let [first, second] = self.file.map(|pair| {
            let [a, b, c, d, e, f, g, h] = pair.to_ne_bytes();
            [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes)
        });
        [first[0], first[1], second[0], second[1], self.block]
    }
}

/// A page in a shared buffer, read in place.
#[derive(Clone, Copy)]
pub(crate) struct Peek(*const u8);

impl Peek {
    /// The number at an offset; `None` if it does not lie in the page.
    #[inline]
    pub(crate) fn u16(self, at: usize) -> Option<u16> {
        self.read(at)
    }

    /// As `u16`.
    #[inline]
    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        self.read(at)
    }

    #[inline]
    fn read<N: Copy>(self, at: usize) -> Option<N> {
        let end = at.checked_add(size_of::<N>())?;
        if end > pg_sys::BLCKSZ as usize {
            return None;
        }
        races::load();
        // SAFETY: within a page of shared buffers, which are always mapped; the type needs no alignment, and any bytes are a
        // number.
        let Unaligned(number) = unsafe { self.0.add(at).cast::<Unaligned<N>>().read_volatile() };
        Some(number)
    }
}

/// The descriptor of a shared buffer.
struct Descriptor(*const pg_sys::BufferDesc);

impl Descriptor {
    /// # Safety
    /// `buffer` is a number of a shared buffer.
    #[inline]
    unsafe fn of(buffer: pg_sys::Buffer) -> Self {
        Self(descriptor(buffer))
    }
}

impl unlocked::Buffer for Descriptor {
    type Tag = Tag;
    const VALID: u32 = buffer_state::BM_VALID;
    const LOCKED: u32 = buffer_state::BM_LOCKED;

    #[inline]
    fn tag(&self) -> Tag {
        // SAFETY: descriptors of shared buffers are always mapped, and aligned to their 64 bytes.
        unsafe {
            let tag = (&raw const (*self.0).tag).cast::<u64>();
            let file = [tag.read_volatile(), tag.add(1).read_volatile()];
            let block = (&raw const (*self.0).tag.blockNum).read_volatile();
            Tag { file, block }
        }
    }

    #[inline]
    fn state(&self) -> u32 {
        // SAFETY: as for `tag`.
        unsafe { buffer_state::load(self.0, Ordering::Acquire) }
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::Acquire);
    }
}

/// True if a shared buffer was used often, whichever page it holds.
pub(crate) fn is_used_often(buffer: pg_sys::Buffer) -> bool {
    // SAFETY: descriptors are always mapped.
    often(unsafe { buffer_state::load(descriptor(buffer), Ordering::Relaxed) })
}

#[inline]
fn often(state: u32) -> bool {
    (state & buffer_state::BUF_USAGECOUNT_MASK) >> pg_sys::BUF_USAGECOUNT_SHIFT >= USED_OFTEN
}

#[inline]
fn descriptor(buffer: pg_sys::Buffer) -> *const pg_sys::BufferDesc {
    let number = (buffer - 1).cast_unsigned() as usize;
    // SAFETY: set when the server starts, never changed. The address is computed, not followed.
    unsafe { pg_sys::BufferDescriptors.wrapping_add(number).cast() }
}

/// The address of a shared buffer's page.
#[inline]
pub(crate) fn page(buffer: pg_sys::Buffer) -> *const u8 {
    let offset = (buffer - 1).cast_unsigned() as usize * pg_sys::BLCKSZ as usize;
    // SAFETY: set when the server starts, never changed. The address is computed, not followed.
    unsafe { pg_sys::BufferBlocks.wrapping_add(offset).cast::<u8>() }
}

/// Four bytes of a shared buffer's page, whichever it holds: a guess. `None` if they do not lie in the page.
#[inline]
pub(crate) fn word(buffer: pg_sys::Buffer, at: usize) -> Option<u32> {
    Peek(page(buffer)).u32(at)
}

/// A number at any address.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Unaligned<N>(N);

/// The widest number that every processor of its kind loads at once.
#[cfg(target_arch = "x86_64")]
type Wide = std::arch::x86_64::__m128i;
#[cfg(target_arch = "aarch64")]
type Wide = std::arch::aarch64::uint8x16_t;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
type Wide = u64;

/// # Safety
/// `into.len()` bytes are mapped at `from`.
#[inline]
unsafe fn copy_volatile(from: *const u8, into: &mut [u8]) {
    // SAFETY: the caller's promise.
    unsafe {
        let wide = copy_by::<Wide>(from, into, 0);
        let words = copy_by::<u32>(from, into, wide);
        copy_by::<u8>(from, into, words);
    }
}

/// Copies numbers from an offset on, as long as whole ones are left; returns the offset behind them.
///
/// # Safety
/// As for `copy_volatile`. Any bytes are a number.
#[inline]
unsafe fn copy_by<N: Copy>(from: *const u8, into: &mut [u8], mut at: usize) -> usize {
    while let Some(place) = into.get_mut(at..at + size_of::<N>()) {
        races::load();
        // SAFETY: the caller's promise; the type needs no alignment.
        unsafe {
            let number = from.add(at).cast::<Unaligned<N>>().read_volatile();
            place.as_mut_ptr().cast::<Unaligned<N>>().write(number);
        }
        at += size_of::<N>();
    }
    at
}
