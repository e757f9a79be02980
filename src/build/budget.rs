//! Memory of a build: charged to `maintenance_work_mem` before it is taken.

use crate::error;

/// What a build may use, and what it has charged.
pub(super) struct Budget {
    limit: usize,
    used: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0 }
    }

    /// Charges bytes that are about to be taken; an error names what the build needs if they are too many.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.used += bytes;
        if self.used > self.limit {
            error::build_needs_memory(self.used, self.limit);
        }
    }

    /// Gives back what was charged and is freed.
    pub(super) fn release(&mut self, bytes: usize) {
        self.used -= bytes;
    }
}
