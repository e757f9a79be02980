//! Buffers that scans of a backend hand on to one another.
#![expect(clippy::vec_box, reason = "scans move their buffers in boxes")]

use std::cell::RefCell;

use hnsw::{Candidate, RerankQueue, Search};
use layout::HeapTid;

use super::found::Found;
use super::nearest::Nearest;

/// A scan's buffers; the next scan of this backend reuses them.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) search: Search,
    pub(super) queue: RerankQueue<Found, HeapTid>,
    pub(super) found: Vec<Candidate>,
    pub(super) tids: Vec<HeapTid>,
    /// Elements whose codes were compared because their rows pass conditions.
    pub(super) nearest: Nearest,
}

thread_local! {
    static SPARE: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
}

impl Scratch {
    /// Returns the buffers of an earlier scan, or new ones if other scans hold all of them.
    pub(super) fn take() -> Box<Self> {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// The maximum bytes for everything the scan has visited so far.
    pub(super) fn memory(&self) -> usize {
        self.search.memory() + self.queue.memory()
    }

    /// Buffers of more bytes are freed at the end of a scan.
    const MOST: usize = 1 << 20;

    /// Buffers of up to this many bytes, as usual searches have, are kept for as many scans as partitions of a table have.
    const USUAL: usize = 64 << 10;
    const SPARES: usize = 64;

    pub(super) fn hand_on(mut self: Box<Self>) {
        self.queue.clear();
        let bytes = self.search.capacity() + self.queue.capacity() + self.nearest.memory();
        SPARE.with_borrow_mut(|spare| {
            let most = if bytes > Self::USUAL { 1 } else { Self::SPARES };
            if bytes < Self::MOST && spare.len() < most && spare.try_reserve(1).is_ok() {
                spare.push(self);
            }
        });
    }
}
