//! Scratch memory that each thread of a pool keeps from task to task.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One `T` for each thread of the present rayon pool, so nobody waits for another.
pub(super) struct PerThread<T>(Vec<Mutex<T>>);

impl<T> PerThread<T> {
    pub(super) fn new(make: impl Fn() -> T) -> Self {
        Self(
            (0..rayon::current_num_threads())
                .map(|_| Mutex::new(make()))
                .collect(),
        )
    }

    /// This thread's. Do not start parallel work while holding it: a task taken on meanwhile would wait for itself.
    pub(super) fn mine(&self) -> MutexGuard<'_, T> {
        let thread = rayon::current_thread_index().unwrap_or(0);
        // Nothing in it outlives a task, so what a panic left behind does no harm.
        self.0[thread]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
