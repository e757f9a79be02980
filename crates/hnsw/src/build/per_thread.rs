//! Scratch memory per thread of a pool, kept from task to task.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One `T` per thread of the current rayon pool, so that no thread waits for another.
pub(super) struct PerThread<T>(Vec<Mutex<T>>);

impl<T> PerThread<T> {
    pub(super) fn new(make: impl Fn() -> T) -> Self {
        Self(
            (0..rayon::current_num_threads())
                .map(|_| Mutex::new(make()))
                .collect(),
        )
    }

    /// This thread's value. Do not start parallel work while holding it: a task stolen meanwhile would deadlock.
    pub(super) fn mine(&self) -> MutexGuard<'_, T> {
        let thread = rayon::current_thread_index().unwrap_or(0);
        // Its contents are reset by each task, so a panic leaves nothing harmful behind.
        self.0[thread]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
