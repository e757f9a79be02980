//! The buffers available to a statement that reads a whole relation.
#![expect(unsafe_code, reason = "vacuum's strategy comes as a raw pointer")]

use pgrx::pg_sys;

/// A ring of few buffers, so that pages read only once do not evict pages in use by others.
#[derive(Clone, Copy)]
pub(crate) struct Strategy(pg_sys::BufferAccessStrategy);

impl Strategy {
    /// No ring: any shared buffer.
    pub(crate) const NONE: Self = Self(std::ptr::null_mut());

    /// # Safety
    /// The strategy is null or lives as long as the value is used.
    pub(crate) unsafe fn new(strategy: pg_sys::BufferAccessStrategy) -> Self {
        Self(strategy)
    }

    pub(crate) fn raw(self) -> pg_sys::BufferAccessStrategy {
        self.0
    }
}
