//! Reads a page in a shared buffer without pin or lock: the order of loads, apart from PostgreSQL.
//!
//! A buffer's descriptor holds the tag of the buffer's page, and a state with flags. A read checks the descriptor, copies bytes
//! and checks again. The copy counts if both checks find the page's tag, the valid flag set and the descriptor unlocked.
//! `tests/model.rs` runs this code beside PostgreSQL's steps of an eviction in every order that processors allow.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// A buffer whose descriptor and page others change meanwhile.
pub trait Buffer {
    /// A page's name.
    type Tag: PartialEq;

    /// The flag of a state: the page's bytes are in the buffer (`BM_VALID`).
    const VALID: u32;

    /// The flag of a state: somebody is changing the descriptor (`BM_LOCKED`).
    const LOCKED: u32;

    /// Loads the tag, word by word in any order: it may be half written.
    fn tag(&self) -> Self::Tag;

    /// Loads the state, with acquire.
    fn state(&self) -> u32;

    /// An acquire fence: loads before it come before loads after it.
    fn fence(&self);
}

/// The buffer's state if it holds this page.
#[inline]
pub fn state_of<B: Buffer>(buffer: &B, page: &B::Tag) -> Option<u32> {
    let tag = buffer.tag();
    buffer.fence();
    let state = buffer.state();
    let valid = state & (B::VALID | B::LOCKED) == B::VALID;
    (valid && tag == *page).then_some(state)
}

/// Copies bytes by `copy` if the buffer holds this page and its state pleases `accept`; true if that was so before and after.
#[inline]
pub fn read<B: Buffer>(
    buffer: &B,
    page: &B::Tag,
    accept: impl Fn(u32) -> bool,
    copy: impl FnOnce(),
) -> bool {
    if !state_of(buffer, page).is_some_and(&accept) {
        return false;
    }
    copy();
    buffer.fence();
    state_of(buffer, page).is_some_and(accept)
}
