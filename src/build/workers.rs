//! The threads of a build. They compute and never call Postgres; the main thread waits for them and stays interruptible.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hnsw::build::Watch;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::error;
use crate::pg::memory::{self, Reserve};
use crate::pg::{exit, interrupt, signal};

/// The main thread checks for interrupts at this interval.
const PATIENCE: Duration = Duration::from_millis(20);

/// Initial memory of a thread: its stack and its thread-local data.
const THREAD_BYTES: usize = 4 << 20;

/// A thread pool. Dropping it, or the end of the process, stops and joins the threads.
pub(super) struct Workers(Arc<Crew>);

/// The threads, and the flag to stop them.
struct Crew {
    pool: Mutex<Option<ThreadPool>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watch: Arc<Watch>,
}

/// The running threads, for the exit callback: a FATAL error ends the process without unwinding.
static AT_WORK: Mutex<Option<Arc<Crew>>> = Mutex::new(None);

impl Workers {
    /// Starts up to `threads` threads, fewer if the system refuses more. If it refuses even one, jobs run in the main thread.
    ///
    /// All signals are blocked in the threads: signals are for Postgres' own thread.
    pub(super) fn start(threads: usize) -> Self {
        memory::reserve(Reserve::Large);
        // The start of a thread allocates without reporting failure, so check beforehand.
        let needed = threads * THREAD_BYTES;
        if !memory::can_allocate(needed) {
            error::out_of_memory(needed);
        }
        let mut wanted = threads;
        let (pool, threads) = loop {
            match start_pool(wanted) {
                Ok((pool, threads)) => break (Some(pool), threads),
                Err(_) if wanted > 1 => wanted /= 2,
                Err(_) => break (None, Vec::new()),
            }
        };
        let watch = match pool {
            Some(_) => Watch::default(),
            None => Watch::polled_by(interrupt::check),
        };
        let crew = Arc::new(Crew {
            pool: Mutex::new(pool),
            threads: Mutex::new(threads),
            watch: Arc::new(watch),
        });
        *lock(&AT_WORK) = Some(Arc::clone(&crew));
        exit::before_exit(stop_at_exit);
        Self(crew)
    }

    /// The number of computing threads, at least 1 (the main thread).
    pub(super) fn threads(&self) -> usize {
        lock(&self.0.threads).len().max(1)
    }

    /// Progress of the running job, and the flag to stop it.
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.0.watch
    }

    /// Passes a job to the pool; its result arrives through the channel.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = channel();
        match &*lock(&self.0.pool) {
            Some(pool) => pool.spawn(move || {
                // A panic must not reach the pool, which would abort the process. The receiver may be gone after an error.
                let _ = sender.send(catch_unwind(AssertUnwindSafe(job)).map_err(|_| ()));
            }),
            // An interrupt is an ERROR, which unwinds through the job as a panic, up to Postgres.
            None => {
                let _ = sender.send(Ok(pool_of_main_thread().install(job)));
            }
        }
        Pending(receiver)
    }

    /// Waits for a job; calls `poll` at every interval of `PATIENCE`.
    pub(super) fn wait<T>(&self, pending: &Pending<T>, mut poll: impl FnMut()) -> T {
        loop {
            // Also before short jobs: a series of them could run for long after the memory reserve was used.
            interrupt::check();
            match pending.0.recv_timeout(PATIENCE) {
                Ok(Ok(result)) => return result,
                Err(RecvTimeoutError::Timeout) => poll(),
                Ok(Err(())) | Err(RecvTimeoutError::Disconnected) => {
                    error::build_failed("a thread panicked");
                }
            }
        }
    }
}

type Threads = Vec<JoinHandle<()>>;

/// Starts a pool of exactly `threads` threads. On failure, joins the threads already started.
fn start_pool(threads: usize) -> Result<(ThreadPool, Threads), ThreadPoolBuildError> {
    let mut handles = Vec::with_capacity(threads);
    let pool = signal::with_all_blocked(|| {
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|worker| {
                let thread = std::thread::Builder::new().name("omendb build".into());
                handles.push(thread.spawn(|| worker.run())?);
                Ok(())
            })
            .build()
    });
    if pool.is_err() {
        for thread in handles.drain(..) {
            let _ = thread.join();
        }
    }
    pool.map(|pool| (pool, handles))
}

/// A pool without threads of its own: its jobs run in the main thread. A thread can belong to one pool only, so the session
/// keeps this one.
fn pool_of_main_thread() -> &'static ThreadPool {
    static POOL: OnceLock<ThreadPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
            .build();
        pool.unwrap_or_else(|what| error::build_failed(&what.to_string()))
    })
}

impl Crew {
    fn stop(&self) {
        self.watch.stop.store(true, Ordering::Relaxed);
        drop(lock(&self.pool).take());
        for thread in lock(&self.threads).drain(..) {
            // A panic of a thread was caught and reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&AT_WORK).take();
        self.0.stop();
    }
}

/// Ends the threads before Postgres ends the process.
fn stop_at_exit() {
    let crew = lock(&AT_WORK).take();
    if let Some(crew) = crew {
        crew.stop();
    }
}

/// Only the main thread takes these locks, so they are never poisoned or waited for.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of a submitted job, to wait for.
pub(super) struct Pending<T>(Receiver<Result<T, ()>>);
