//! The memory that a call may take for all its parts together: `maintenance_work_mem`.

use crate::error;
use crate::pg::setting;

pub(super) struct Budget {
    allowed: usize,
    left: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        let allowed = setting::maintenance_work_mem();
        Self {
            allowed,
            left: allowed,
        }
    }

    /// Takes bytes until the call ends; an error if fewer are left.
    pub(super) fn take(&mut self, bytes: usize) {
        self.left = self
            .left
            .checked_sub(bytes)
            .unwrap_or_else(|| error::recall_needs_memory(self.allowed - self.left + bytes));
    }
}
