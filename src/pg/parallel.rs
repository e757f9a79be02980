//! Parallel workers of a statement: a task for all of them, and from each a queue of messages to the leader
//! (access/transam/parallel.c, storage/ipc/shm_mq.c).
//!
//! An ERROR of the leader ends the workers with the transaction; an ERROR of a worker becomes one of the leader at its next interrupt
//! check, at the latest when it waits for a message or for the end.
#![expect(
    unsafe_code,
    reason = "calls the workers' machinery and reads shared memory"
)]

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

use super::{Relation, interrupt};

/// Shared memory of a worker's queue, in bytes.
pub(crate) const QUEUE_BYTES: usize = 1 << 20;

/// Alignment of chunks of shared memory (`ALIGNOF_BUFFER`, pg_config_manual.h).
const ALIGNMENT: usize = 32;

/// Keys of the table of contents.
const TASK: u64 = 1;
const QUEUES: u64 = 2;

/// A worker waits this long between its looks at the number of workers.
const PATIENCE: Duration = Duration::from_millis(1);

/// The number of workers that Postgres allows for building an index of this table: none for a small or a temporary table, and for
/// expressions or predicates that are not safe in workers. As for a btree index, but pages of TOAST count too: the rows' values
/// are read with them.
pub(crate) fn planned_workers(table: Relation, index: Relation) -> usize {
    // SAFETY: both relations are open and locked; settings are read.
    unsafe {
        if pg_sys::IsInParallelMode() {
            return 0;
        }
        let planned = {
            let _any_size = AnySize::new();
            pg_sys::plan_create_index_workers(table.oid(), index.oid())
        };
        let of_table = table
            .options::<pg_sys::StdRdOptions>()
            .map_or(-1, |options| options.parallel_workers);
        if planned <= 0 || of_table >= 0 {
            return planned.unsigned_abs() as usize;
        }
        // `plan_create_index_workers` leaves each worker, and the leader, 32 MB.
        let of_memory = pg_sys::maintenance_work_mem / (32 << 10) - 1;
        let most = pg_sys::max_parallel_maintenance_workers.min(of_memory);
        let threshold = pg_sys::min_parallel_table_scan_size.max(1).unsigned_abs();
        let pages = u64::from(table.blocks()) + u64::from(table.toast_blocks());
        workers_for(pages, threshold.into()).min(most.unsigned_abs()) as usize
    }
}

/// One worker more for each time that the pages are three times as many (`compute_parallel_worker`, optimizer/path/allpaths.c).
fn workers_for(pages: u64, threshold: u64) -> u32 {
    (pages / threshold)
        .checked_ilog(3)
        .map_or(0, |more| 1 + more)
}

/// Has Postgres plan workers for tables of any size, until dropped: it counts no TOAST.
struct AnySize(i32);

impl AnySize {
    fn new() -> Self {
        // SAFETY: a setting in pages, of which 0 is allowed.
        unsafe {
            let set = Self(pg_sys::min_parallel_table_scan_size);
            pg_sys::min_parallel_table_scan_size = 0;
            set
        }
    }
}

impl Drop for AnySize {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::min_parallel_table_scan_size = self.0 }
    }
}

/// The task and the number of workers, in shared memory.
#[repr(C)]
struct Shared<T> {
    /// 0 until the leader knows.
    launched: AtomicU32,
    task: T,
}

/// Running workers, as their leader sees them.
pub(crate) struct Crew {
    context: *mut pg_sys::ParallelContext,
    queues: Vec<*mut pg_sys::shm_mq_handle>,
}

impl Crew {
    /// Launches up to `workers` workers that call `function` of this library; `None` if Postgres has no worker to spare.
    ///
    /// # Safety
    /// The library exports the function, a `parallel_worker_main_type` that joins with a task of this type. The task owns nothing and
    /// refers to nothing: it is copied as bytes.
    pub(crate) unsafe fn launch<T: Copy>(function: &CStr, workers: usize, task: T) -> Option<Self> {
        // SAFETY: called within a statement, with a snapshot. The chunks have the sizes that were estimated, and the segment stays
        // mapped until the context is destroyed.
        unsafe {
            pg_sys::EnterParallelMode();
            let count = i32::try_from(workers).expect("few workers");
            let context =
                pg_sys::CreateParallelContext(c"$libdir/omendb".as_ptr(), function.as_ptr(), count);
            let of_task = size_of::<Shared<T>>().next_multiple_of(ALIGNMENT);
            let of_queues = workers * QUEUE_BYTES;
            (*context).estimator.space_for_chunks += of_task + of_queues;
            (*context).estimator.number_of_keys += 2;
            pg_sys::InitializeParallelDSM(context);
            let mut crew = Self {
                context,
                queues: Vec::new(),
            };
            if (*context).seg.is_null() {
                crew.finish();
                return None;
            }
            let toc = (*context).toc;
            let shared = pg_sys::shm_toc_allocate(toc, of_task).cast::<Shared<T>>();
            shared.write(Shared {
                launched: AtomicU32::new(0),
                task,
            });
            let queues = pg_sys::shm_toc_allocate(toc, of_queues);
            let queue = |worker| queues.byte_add(worker * QUEUE_BYTES);
            let made: Vec<_> = (0..workers)
                .map(|worker| {
                    let made = pg_sys::shm_mq_create(queue(worker), QUEUE_BYTES);
                    pg_sys::shm_mq_set_receiver(made, pg_sys::MyProc);
                    made
                })
                .collect();
            pg_sys::shm_toc_insert(toc, TASK, shared.cast());
            pg_sys::shm_toc_insert(toc, QUEUES, queues);
            pg_sys::LaunchParallelWorkers(context);
            let launched = (*context).nworkers_launched.unsigned_abs();
            crew.queues = (0..launched as usize)
                .map(|worker| {
                    let handle = (*(*context).worker.add(worker)).bgwhandle;
                    pg_sys::shm_mq_attach(made[worker], (*context).seg, handle)
                })
                .collect();
            (*shared).launched.store(launched, Ordering::Release);
            if launched == 0 {
                crew.finish();
                return None;
            }
            Some(crew)
        }
    }

    /// The number of workers, at least 1.
    pub(crate) fn workers(&self) -> usize {
        self.queues.len()
    }

    /// Waits for the next message of a worker, counted from 0; `None` if the worker has ended.
    pub(crate) fn receive(&mut self, worker: usize) -> Option<&[u8]> {
        let (mut len, mut data) = (0, null_mut());
        // SAFETY: the queue is attached; the message stays in place until the next call for this queue.
        unsafe {
            let queue = self.queues[worker];
            match pg_sys::shm_mq_receive(queue, &raw mut len, &raw mut data, false) {
                pg_sys::shm_mq_result::SHM_MQ_SUCCESS => {
                    Some(std::slice::from_raw_parts(data.cast::<u8>(), len))
                }
                _ => None,
            }
        }
    }

    /// Waits for the end of all workers; raises the ERROR of one that failed.
    pub(crate) fn finish(self) {
        // SAFETY: made by `launch`. Nothing refers to its memory afterwards.
        unsafe {
            pg_sys::WaitForParallelWorkersToFinish(self.context);
            pg_sys::DestroyParallelContext(self.context);
            pg_sys::ExitParallelMode();
        }
    }
}

/// A worker, as it sees itself.
pub(crate) struct Worker {
    queue: *mut pg_sys::shm_mq_handle,
    /// Its number, from 0, and the number of workers.
    pub(crate) number: usize,
    pub(crate) workers: usize,
}

impl Worker {
    /// Joins the crew in a new worker; returns its task too.
    ///
    /// # Safety
    /// Postgres passed the two to the function that [`Crew::launch`] named, and its task was of this type.
    pub(crate) unsafe fn join<T: Copy>(
        segment: *mut pg_sys::dsm_segment,
        toc: *mut pg_sys::shm_toc,
    ) -> (Self, T) {
        // SAFETY: the leader inserted both before it launched workers, and the segment is mapped.
        unsafe {
            let shared = pg_sys::shm_toc_lookup(toc, TASK, false).cast::<Shared<T>>();
            let number = usize::try_from(pg_sys::ParallelWorkerNumber).expect("a worker");
            let queue = pg_sys::shm_toc_lookup(toc, QUEUES, false)
                .byte_add(number * QUEUE_BYTES)
                .cast::<pg_sys::shm_mq>();
            pg_sys::shm_mq_set_sender(queue, pg_sys::MyProc);
            let worker = Self {
                queue: pg_sys::shm_mq_attach(queue, segment, null_mut()),
                number,
                workers: wait_for(&(*shared).launched) as usize,
            };
            (worker, (*shared).task)
        }
    }

    /// Sends a message, and waits while the queue is full; `false` if the leader has gone. The leader sees it at the latest after one
    /// with `at_once`.
    pub(crate) fn send(&self, message: &[u8], at_once: bool) -> bool {
        let data = message.as_ptr().cast::<c_void>();
        // SAFETY: the queue is attached, and the message is copied.
        let sent = unsafe { pg_sys::shm_mq_send(self.queue, message.len(), data, false, at_once) };
        sent == pg_sys::shm_mq_result::SHM_MQ_SUCCESS
    }
}

/// Waits for the number of workers. The leader writes it right after it has launched them.
fn wait_for(launched: &AtomicU32) -> u32 {
    loop {
        let count = launched.load(Ordering::Acquire);
        if count > 0 {
            return count;
        }
        interrupt::check();
        std::thread::sleep(PATIENCE);
    }
}
