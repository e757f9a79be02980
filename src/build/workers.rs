//! Threads of a build. They compute and never call Postgres; the main thread waits for them and stays interruptible.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hnsw::build::Watch;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error;
use crate::pg::{interrupt, signal};

/// How long the main thread waits before it looks for interrupts.
const PATIENCE: Duration = Duration::from_millis(20);

/// A pool of threads that ends, joined, with the value.
pub(super) struct Workers {
    pool: Option<ThreadPool>,
    threads: Vec<JoinHandle<()>>,
    watch: Arc<Watch>,
}

impl Workers {
    /// Starts so many threads, in which all signals are blocked: signals are for Postgres' own thread.
    pub(super) fn start(threads: usize) -> Self {
        let mut handles = Vec::with_capacity(threads);
        let pool = signal::with_all_blocked(|| {
            ThreadPoolBuilder::new()
                .num_threads(threads)
                .spawn_handler(|worker| {
                    handles.push(
                        std::thread::Builder::new()
                            .name("omendb build".into())
                            .spawn(|| worker.run())?,
                    );
                    Ok(())
                })
                .build()
        });
        let pool = pool.unwrap_or_else(|what| error::build_failed(&what.to_string()));
        Self {
            pool: Some(pool),
            threads: handles,
            watch: Arc::default(),
        }
    }

    /// Progress of the job that runs, and how it is told to stop.
    pub(super) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Hands a job to the pool; its result comes through the channel.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, receiver) = channel();
        let pool = self
            .pool
            .as_ref()
            .expect("the pool lives as long as the value");
        pool.spawn(move || {
            // A panic must not reach the pool, which would abort the process. The receiver may be gone after an error.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(job)).map_err(|_| ()));
        });
        Pending(receiver)
    }

    /// Waits for a job, calling `poll` now and then.
    pub(super) fn wait<T>(&mut self, pending: &Pending<T>, mut poll: impl FnMut()) -> T {
        loop {
            match pending.0.recv_timeout(PATIENCE) {
                Ok(Ok(result)) => return result,
                Err(RecvTimeoutError::Timeout) => {
                    self.check_for_interrupts();
                    poll();
                }
                Ok(Err(())) | Err(RecvTimeoutError::Disconnected) => {
                    error::build_failed("a thread panicked");
                }
            }
        }
    }

    /// Ends the threads before Postgres ends the statement or the process: a FATAL error does not unwind.
    pub(super) fn check_for_interrupts(&mut self) {
        if interrupt::ends_statement() {
            self.stop();
            interrupt::check();
            error::build_failed("it was interrupted");
        }
        interrupt::check();
    }

    fn stop(&mut self) {
        self.watch.stop.store(true, Ordering::Relaxed);
        drop(self.pool.take());
        for thread in self.threads.drain(..) {
            // A panic of a thread was caught and reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A job that was handed to the pool.
pub(super) struct Pending<T>(Receiver<Result<T, ()>>);
