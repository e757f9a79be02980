//! Threads of a build. They compute and never call Postgres; the main thread waits for them and stays interruptible.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hnsw::build::Watch;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error;
use crate::pg::{exit, interrupt, memory, signal};

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
    /// Starts so many threads, in which all signals are blocked: signals are for Postgres' own thread.
    pub(super) fn start(threads: usize) -> Self {
        memory::put_by();
        // What the system allocates for a thread that it has begun, it does not ask for.
        let needed = threads * THREAD_BYTES;
        if !memory::is_there(needed) {
            error::out_of_memory(needed);
        }
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
        let pool = pool.unwrap_or_else(|what| error::build_failed(&what.to_string()));
        let crew = Arc::new(Crew {
            pool: Mutex::new(Some(pool)),
            threads: Mutex::new(handles),
            watch: Arc::default(),
        });
        *lock(&AT_WORK) = Some(Arc::clone(&crew));
        exit::before_exit(stop_at_exit);
        Self(crew)
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        lock(&self.0.threads).len()
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
        let pool = lock(&self.0.pool);
        pool.as_ref()
            .expect("the pool lives as long as the value")
            .spawn(move || {
                // A panic must not reach the pool, which would abort the process. The receiver may be gone after an error.
                let _ = sender.send(catch_unwind(AssertUnwindSafe(job)).map_err(|_| ()));
            });
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
