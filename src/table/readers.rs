//! A scan of a whole table by parallel workers, in the order of the table: ranges of blocks go round the workers, and the leader takes
//! the rows range after range. So rows arrive as from one scan, however many workers read and whichever is faster.
#![expect(unsafe_code, reason = "launches workers and joins them")]

use std::ffi::CStr;
use std::ops::Range;

use layout::HeapTid;
use pgrx::pg_sys;

use super::scan::Table;
use crate::pg::open::OpenIndex;
use crate::pg::parallel::{self, Crew, QUEUE_BYTES, Worker};
use crate::pg::progress::{self, Counter};
use crate::pg::row::IndexRow;

/// The function that workers call: it makes a [`Share`] of its arguments.
const FUNCTION: &CStr = c"omendb_read_rows";

/// One worker reads no faster than the leader itself.
const LEAST_WORKERS: usize = 2;

/// Rows are sent when they take this many bytes. A queue holds several messages.
const MESSAGE_BYTES: usize = QUEUE_BYTES / 16;

/// The values of a range fill about half a queue, so that a worker can finish it while the leader takes those before.
const RANGE_BYTES: usize = QUEUE_BYTES / 2;
const LONGEST_RANGE: usize = 64;

/// The first byte of a message: rows follow, or the range ends.
const ROWS: u8 = 0;
const END: u8 = 1;

/// The scan, for each worker.
#[derive(Clone, Copy)]
struct Task {
    table: pg_sys::Oid,
    index: pg_sys::Oid,
    column: usize,
    is_concurrent: bool,
    blocks: u32,
    blocks_of_range: usize,
}

impl Task {
    fn ranges(self) -> impl Iterator<Item = Range<u32>> {
        let starts = (0..self.blocks).step_by(self.blocks_of_range);
        starts.map(move |start| {
            let end = start.saturating_add(self.blocks_of_range as u32);
            start..end.min(self.blocks)
        })
    }
}

/// The workers that read a table, as their leader sees them.
pub(crate) struct Readers {
    crew: Crew,
    table: Table,
    task: Task,
}

impl Readers {
    /// Launches workers; `None` if Postgres plans fewer than two for this table, or has none to spare.
    pub(crate) fn launch(table: Table) -> Option<Self> {
        let (heap, index) = (table.heap(), table.index());
        if !heap.is_heap() {
            return None;
        }
        let workers = parallel::planned_workers(heap, index);
        if workers < LEAST_WORKERS {
            return None;
        }
        let (blocks, toast) = (heap.blocks(), heap.toast_blocks());
        let of_block = layout::PAGE_SIZE * (1 + toast as usize / blocks.max(1) as usize);
        let task = Task {
            table: heap.oid(),
            index: index.oid(),
            column: table.column(),
            is_concurrent: table.is_concurrent(),
            blocks,
            blocks_of_range: (RANGE_BYTES / of_block).clamp(1, LONGEST_RANGE),
        };
        // SAFETY: the library exports this function, which makes a `Share`. A task is plain numbers.
        let crew = unsafe { Crew::launch(FUNCTION, workers, task) }?;
        Some(Self { crew, table, task })
    }

    /// The number of workers, at least 1.
    pub(crate) fn workers(&self) -> usize {
        self.crew.workers()
    }

    /// Calls `each` with the rows of all workers, as they have written them, in the order of the table. Returns the number of rows scanned;
    /// `None` if a worker has ended early without an ERROR. Progress is reported as by `Table::scan`.
    pub(crate) fn scan(mut self, mut each: impl FnMut(&[u8])) -> Option<f64> {
        progress::set(Counter::BlocksTotal, self.task.blocks.into());
        let workers = self.crew.workers();
        let mut rows = 0.0;
        for (range, worker) in self.task.ranges().zip((0..workers).cycle()) {
            let of_range = take_range(&mut self.crew, worker, &mut each);
            let Some(end) = of_range else {
                self.crew.finish();
                return None;
            };
            rows += end.rows;
            if end.has_broken_chain {
                self.table.note_broken_chain();
            }
            progress::set(Counter::BlocksDone, range.end.into());
        }
        self.crew.finish();
        Some(rows)
    }
}

/// Passes on the rows of a worker's next range; `None` if the worker has ended before.
fn take_range(crew: &mut Crew, worker: usize, each: &mut impl FnMut(&[u8])) -> Option<End> {
    loop {
        match crew.receive(worker)?.split_first() {
            Some((&ROWS, rows)) => each(rows),
            Some((_, end)) => return Some(End::read(end)),
            None => unreachable!("a message has a kind"),
        }
    }
}

/// The end of a range.
struct End {
    /// The number of rows scanned in it.
    rows: f64,
    has_broken_chain: bool,
}

impl End {
    fn message(&self) -> [u8; 10] {
        let mut message = [END; 10];
        message[1] = self.has_broken_chain.into();
        message[2..].copy_from_slice(&self.rows.to_ne_bytes());
        message
    }

    fn read(message: &[u8]) -> Self {
        let rows = message[1..].first_chunk().expect("as written");
        Self {
            rows: f64::from_ne_bytes(*rows),
            has_broken_chain: message[0] != 0,
        }
    }
}

/// A worker's share of a scan.
pub(crate) struct Share {
    worker: Worker,
    open: OpenIndex,
    table: Table,
    task: Task,
}

impl Share {
    /// # Safety
    /// Postgres passed the two to the function that [`Readers::launch`] names.
    pub(crate) unsafe fn join(
        segment: *mut pg_sys::dsm_segment,
        toc: *mut pg_sys::shm_toc,
    ) -> Self {
        // SAFETY: the caller's promise.
        let (worker, task) = unsafe { Worker::join::<Task>(segment, toc) };
        let open = OpenIndex::open_for_build(task.index, task.table, task.is_concurrent);
        let table = Table::of_index(open.table, open.index, task.column);
        table.set_concurrent(task.is_concurrent);
        Self {
            worker,
            open,
            table,
            task,
        }
    }

    pub(crate) fn table(&self) -> Table {
        self.table
    }

    /// Reads the share: `each` appends to a message what the leader is to know of a row, if anything.
    pub(crate) fn read(self, mut each: impl FnMut(HeapTid, IndexRow<'_>, &mut Vec<u8>)) {
        let mut message = vec![ROWS];
        let send = |message: &mut Vec<u8>, least: usize| {
            // A leader that has gone ends this process: the next check for interrupts does.
            if message.len() > least {
                self.worker.send(message, false);
                message.truncate(1);
            }
        };
        let mine = self.task.ranges().skip(self.worker.number);
        for range in mine.step_by(self.worker.workers) {
            let rows = self.table.scan_blocks(range, |tid, row| {
                each(tid, row, &mut message);
                send(&mut message, MESSAGE_BYTES);
            });
            send(&mut message, 1);
            let end = End {
                rows,
                has_broken_chain: self.table.has_broken_chain(),
            };
            if !self.worker.send(&end.message(), true) {
                break;
            }
        }
        self.open.close_for_build(self.task.is_concurrent);
    }
}
