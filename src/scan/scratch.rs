//! Buffers that scans of a backend hand on to one another.

use std::cell::Cell;

use hnsw::{Candidate, RerankQueue, Search};
use layout::HeapTid;

use super::found::Found;

/// A scan's buffers; the next scan of this backend reuses them.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) search: Search,
    pub(super) queue: RerankQueue<Found, HeapTid>,
    pub(super) found: Vec<Candidate>,
    pub(super) tids: Vec<HeapTid>,
}

thread_local! {
    static SPARE: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    /// Returns the buffers of the last scan, or new ones if another scan holds them.
    pub(super) fn take() -> Box<Self> {
        SPARE.take().unwrap_or_default()
    }

    /// The maximum bytes for everything the scan has visited so far.
    pub(super) fn memory(&self) -> usize {
        self.search.memory() + self.queue.memory()
    }

    /// Buffers of more bytes are freed at the end of a scan.
    const MOST: usize = 1 << 20;

    pub(super) fn hand_on(mut self: Box<Self>) {
        self.queue.clear();
        if self.search.capacity() + self.queue.capacity() < Self::MOST {
            SPARE.set(Some(self));
        }
    }
}
