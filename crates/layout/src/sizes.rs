//! Sizes of the parts of slots.

use crate::heap_tid::TID_LEN;

/// Bytes of an element before its code.
pub(crate) const ELEMENT_HEAD: usize = 28;

/// Bytes of an upper list before its ids.
pub(crate) const UPPER_HEAD: usize = 8;

/// Heap TIDs in an overflow slot.
pub const OVERFLOW_TIDS: usize = OVERFLOW_CAPACITY as usize;
pub(crate) const OVERFLOW_CAPACITY: u16 = 20;

/// Bytes of an overflow slot before its TIDs.
pub(crate) const OVERFLOW_HEAD: usize = 16;

/// Bytes of an overflow slot.
pub(crate) const OVERFLOW_SLOT: usize = OVERFLOW_HEAD + OVERFLOW_TIDS * TID_LEN;
