//! Threads of a build. They compute and never call Postgres; the main thread waits for them and stays interruptible.

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

/// How long the main thread waits before it looks for interrupts.
const PATIENCE: Duration = Duration::from_millis(20);

/// What a thread takes to begin with: its stack, and what it has for its own.
const THREAD_BYTES: usize = 4 << 20;

/// A pool of threads that ends, joined, with the value, or with the process.
pub(super) struct Workers(Arc<Crew>);

/// The threads, and how they are told to stop.
struct Crew {
    pool: Mutex<Option<ThreadPool>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    watch: Arc<Watch>,
}

/// The threads that run now: a FATAL error ends the process without unwinding, and finds them here.
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

    /// How many threads compute.
    pub(super) fn threads(&self) -> usize {
        lock(&self.0.threads).len().max(1)
    }

    /// Progress of the job that runs, and how it is told to stop.
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.0.watch
    }

    /// Hands a job to the pool; its result comes through the channel.
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

    /// Waits for a job, calling `poll` now and then.
    pub(super) fn wait<T>(&self, pending: &Pending<T>, mut poll: impl FnMut()) -> T {
        loop {
            // Also before short jobs: one after the other, they could go on for long without memory put by.
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

/// A pool of exactly so many threads. On failure those that were started have ended.
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

/// A pool without threads of its own: what is installed in it runs in the main thread, which can be in one pool only. So there is
/// one, for the life of the session.
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

/// A job that was handed to the pool.
pub(super) struct Pending<T>(Receiver<Result<T, ()>>);
