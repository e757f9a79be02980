//! A whole index at once: rows are read and encoded, the graph is constructed in memory by threads, pages are written.

#![forbid(unsafe_code)]

mod budget;
mod feed;
mod flush;
mod workers;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use distance::{Cpu, Kernel, Kind, Metric, kernel};
use hnsw::build::{Stopped, Vectors, Watch};
use hnsw::{MemoryGraph, Params};
use layout::{Frozen, HeapTid};
use pgrx::pg_sys::Datum;
use pgrx::pg_sys::ForkNumber::MAIN_FORKNUM;
use quantize::{CodeBits, Codec, Measure};

use crate::error;
use crate::pg::heap::Table;
use crate::pg::progress::{self, Counter};
use crate::pg::setting;
use budget::Budget;
use feed::{Elements, Feed};
use workers::Workers;

pub(crate) use flush::write_empty;

/// Phases as `pg_stat_progress_create_index` counts them; the first is Postgres' own.
const PHASES: [&std::ffi::CStr; 4] = [
    c"initializing",
    c"loading tuples",
    c"building graph",
    c"writing pages",
];

#[derive(Clone, Copy)]
enum Phase {
    Loading = 2,
    Building = 3,
    Writing = 4,
}

/// The name of a phase, counted from 1.
pub(crate) fn phase_name(phase: i64) -> Option<&'static std::ffi::CStr> {
    usize::try_from(phase)
        .ok()?
        .checked_sub(1)
        .and_then(|at| PHASES.get(at).copied())
}

/// What a build did.
pub(crate) struct Built {
    /// Rows in the table.
    pub(crate) rows: f64,
    /// Rows in the index.
    pub(crate) indexed: f64,
}

/// Builds the index of a table. `fill` appends the prepared vector of a row, or says that the row is not indexed.
pub(crate) fn build(
    table: Table,
    frozen: Frozen,
    ef_construction: usize,
    mut fill: impl FnMut(Datum, &mut Vec<f32>) -> bool,
) -> Built {
    if table.heap().blocks() == 0 {
        // A temporary table that is emptied at every commit comes here each time.
        write_empty(table.index(), &frozen, MAIN_FORKNUM);
        return Built {
            rows: 0.0,
            indexed: 0.0,
        };
    }
    let threads = setting::build_threads(table.heap());
    let mut budget = Budget::new(setting::maintenance_work_mem());
    let workers = Workers::start(threads);
    enter(Phase::Loading);
    let mut feed = Feed::new(&workers, threads, &frozen);
    let rows =
        table.scan(|tid: HeapTid, value| feed.add(&mut budget, tid, |floats| fill(value, floats)));
    let (elements, codec, center) = feed.finish(&mut budget);
    let params = Params {
        m: frozen.geometry.m.into(),
        ef_construction,
    };
    let (elements, graph) = construct(&workers, &mut budget, elements, &codec, params);
    drop(workers);
    enter(Phase::Writing);
    flush::write(table.index(), &frozen, center.as_deref(), &elements, &graph);
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let indexed = (elements.len() + elements.more.len()) as f64;
    Built { rows, indexed }
}

fn enter(phase: Phase) {
    progress::set(Counter::Phase, phase as u64);
}

/// Constructs the graph in the pool, while this thread reports progress and stays interruptible.
fn construct(
    workers: &Workers,
    budget: &mut Budget,
    elements: Elements,
    codec: &Codec,
    params: Params,
) -> (Elements, MemoryGraph) {
    let n = elements.len();
    let by_segments = codec.bits() != CodeBits::Exact && codec.measure() != Measure::L1;
    let dimensions = codec.dimensions();
    // Asked in the pool, whose size it depends on.
    let needed = workers.submit(move || match by_segments {
        true => hnsw::build::segments_bytes_needed(n, dimensions, &params),
        false => MemoryGraph::bytes_needed(n, params.m),
    });
    let needed = workers.wait(&needed, || {});
    budget.charge(needed);
    enter(Phase::Building);
    progress::set(Counter::TuplesTotal, n as u64);
    let watch = Arc::clone(workers.watch());
    let kernel = kernel(Kind::F32, exact_metric(codec.measure()), Cpu::current());
    let (bits, measure, codec) = (codec.bits(), codec.measure(), codec.clone());
    let pending = workers.submit(move || {
        let graph = match (bits, measure) {
            (CodeBits::Exact, _) => hnsw::build::batched(
                &Exact {
                    elements: &elements,
                    kernel,
                },
                &params,
                &watch,
            ),
            (_, Measure::L1) => hnsw::build::batched(
                &Coded {
                    elements: &elements,
                    codec,
                },
                &params,
                &watch,
            ),
            _ => hnsw::build::segments(&elements.set, &params, &watch),
        };
        (elements, graph)
    });
    let watch = Arc::clone(workers.watch());
    let (elements, graph) = workers.wait(&pending, || report(&watch));
    progress::set(Counter::TuplesDone, n as u64);
    match graph {
        Ok(graph) => (elements, graph),
        Err(Stopped::OutOfMemory) => error::out_of_memory(needed),
        Err(Stopped::Cancelled) => error::build_failed("it was interrupted"),
    }
}

fn report(watch: &Watch) {
    progress::set(Counter::TuplesDone, watch.done.load(Ordering::Relaxed));
}

/// The metric that orders like a measure, without its root.
fn exact_metric(measure: Measure) -> Metric {
    match measure {
        Measure::L2 => Metric::L2Squared,
        Measure::InnerProduct => Metric::InnerProduct,
        Measure::L1 => Metric::L1,
    }
}

/// Short vectors, whose codes are their floats.
struct Exact<'a> {
    elements: &'a Elements,
    kernel: Kernel,
}

impl Vectors for Exact<'_> {
    fn len(&self) -> usize {
        self.elements.len()
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "kernels sum in f32")]
        let distance =
            (self.kernel.one)(self.elements.codes.get(a), self.elements.codes.get(b)) as f32;
        distance
    }
}

/// Vectors measured by the codes that pages hold.
struct Coded<'a> {
    elements: &'a Elements,
    codec: Codec,
}

impl Vectors for Coded<'_> {
    fn len(&self) -> usize {
        self.elements.len()
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        // In one order, so that the distance is symmetric to the last bit.
        let (a, b) = (a.min(b), a.max(b));
        self.codec
            .query_from_code(self.elements.codes.get(a))
            .distance(self.elements.codes.get(b))
    }
}
