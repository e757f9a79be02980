//! The memory budget of a check: charged to `maintenance_work_mem` before each allocation.

use crate::error;
use crate::pg::setting;

/// The allowed and the charged bytes.
pub(super) struct Budget {
    allowed: usize,
    taken: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            allowed: setting::maintenance_work_mem(),
            taken: 0,
        }
    }

    pub(super) fn charge(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken > self.allowed {
            error::check_needs_memory(self.taken, self.allowed);
        }
    }

    /// Appends to a list; a full list grows by half.
    pub(super) fn push<T>(&mut self, list: &mut Vec<T>, value: T) {
        if list.len() == list.capacity() {
            let more = (list.len() / 2).max(64);
            let bytes = more.saturating_mul(size_of::<T>());
            self.charge(bytes);
            if list.try_reserve_exact(more).is_err() {
                error::out_of_memory(bytes);
            }
        }
        list.push(value);
    }
}
