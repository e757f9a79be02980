//! Parallel builds of a whole graph, with the same result for any number of threads.

mod batched;
pub mod cells;
mod connect;
mod effort;
mod groups;
mod leaders;
mod leaf;
mod leaves;
mod mend;
mod merge;
mod order;
mod partition;
mod per_thread;
mod ranges;

pub use crate::vectors::Vectors;
pub use batched::{batched, batched_group};
pub(crate) use connect::connect;
pub use effort::LARGEST_LEAF;
pub use leaves::{
    bytes_needed as leaves_bytes_needed, bytes_of_group, bytes_of_thread, leaves, leaves_of_group,
};
pub use merge::Neighbor;
pub use ranges::{FREE, LayerExtent, ListRanges, connect_ranges};

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Progress and cancellation of a build, shared with its threads.
#[derive(Debug, Default)]
pub struct Watch {
    /// The number of finished elements, for progress reports.
    pub done: AtomicU64,
    /// Set to end the build; every task checks it at least every few milliseconds.
    pub stop: AtomicBool,
    /// Called wherever a task looks at `stop`, for a build in the thread that would set it.
    poll: Option<fn()>,
}

/// The reason that a build ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// `Watch::stop` was set.
    Cancelled,
    /// Memory ran out.
    OutOfMemory,
}

impl Watch {
    /// A watch of a build that runs in the calling thread alone: `poll` is called every few milliseconds and may end the build by
    /// unwinding.
    #[must_use]
    pub fn polled_by(poll: fn()) -> Self {
        Self {
            poll: Some(poll),
            ..Self::default()
        }
    }

    /// Returns an error if the build must end.
    ///
    /// # Errors
    /// [`Stopped::Cancelled`] if `stop` is set.
    #[inline]
    pub fn check(&self) -> Result<(), Stopped> {
        if let Some(poll) = self.poll {
            poll();
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped::Cancelled);
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn add_done(&self, elements: usize) {
        self.done.fetch_add(elements as u64, Ordering::Relaxed);
    }
}

impl From<std::collections::TryReserveError> for Stopped {
    fn from(_: std::collections::TryReserveError) -> Self {
        Stopped::OutOfMemory
    }
}

/// A list of equal items, or an error if memory runs out (where `vec!` would abort the process).
fn try_filled<T: Clone>(len: usize, item: T) -> Result<Vec<T>, Stopped> {
    let mut items = Vec::new();
    items.try_reserve_exact(len)?;
    items.resize(len, item);
    Ok(items)
}
