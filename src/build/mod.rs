//! Builds a whole index: reads and encodes the rows, constructs the graph in memory with threads, writes the pages.

#![forbid(unsafe_code)]

mod buckets;
mod calibrate;
mod cells;
mod estimate;
mod feed;
mod format;
mod groups;
mod keys;
mod measured;
mod rows;
mod source;
mod workers;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hnsw::build::{Stopped, Watch};
use hnsw::{Calibrator, MemoryGraph, Params};
use layout::{Frozen, Group, HeapTid};
use pgrx::pg_sys::ForkNumber::MAIN_FORKNUM;
use quantize::{Codec, Value};

use crate::error;
use crate::pg::progress::{self, Counter};
use crate::pg::row::IndexRow;
use crate::pg::temp_file::TempFiles;
use crate::pg::{Relation, setting};
use crate::storage::index::codec;
use crate::table::readers::Readers;
use crate::table::scan::Table;
use calibrate::Written;
use cells::CellBuild;
use feed::{Allowance, Elements, Feed, Loaded, Spool};
use format::BuildCodes;
use groups::GroupLists;
use keys::Keys;
use measured::Measured;
use source::{InMemory, Source};
use workers::Workers;

pub(crate) use estimate::{Sample, estimate};
pub(crate) use rows::read_share;
pub(crate) use write::write_empty;

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

/// The row counts of a finished build.
pub(crate) struct Built {
    /// Rows in the table.
    pub(crate) rows: f64,
    /// True if the graph was built by cells.
    pub(crate) by_cells: bool,
    /// The calibration of a graph built in memory; `None` if it has few elements.
    pub(crate) calibrator: Option<Calibrator>,
    /// Rows in the index.
    pub(crate) indexed: f64,
}

/// Builds the index of a table. `prepare` returns the prepared value of a row and appends its row key, if the index has key
/// columns; it returns `None` if the row is not indexed.
pub(crate) fn build(
    table: Table,
    frozen: Frozen,
    ef_construction: usize,
    prepare: impl FnMut(IndexRow<'_>, &mut Vec<u8>) -> Option<Value>,
) -> Built {
    if table.heap().blocks() == 0 {
        // Postgres rebuilds the index of a temporary table with `ON COMMIT DELETE ROWS` at every commit.
        write_empty(table.index(), &frozen, MAIN_FORKNUM);
        return Built {
            rows: 0.0,
            by_cells: false,
            calibrator: None,
            indexed: 0.0,
        };
    }
    let params = Params {
        m: frozen.geometry.m.into(),
        ef_construction,
    };
    let limit = setting::maintenance_work_mem();
    let mut keys = keys(&table, &frozen, limit / KEYS_SHARE);
    let limit = limit - keys.as_ref().map_or(0, |_| limit / KEYS_SHARE);
    let workers = Workers::start(threads(table.heap(), &frozen, limit));
    enter(Phase::Loading);
    let allowance = allowance(&workers, &frozen, params, limit);
    let mut feed = Feed::new(&workers, &frozen, allowance);
    let rows = read(table, prepare, |tid, value, row_key| {
        feed.add(tid, value, frozen.geometry.group_of(row_key));
        if let Some(keys) = &mut keys {
            keys.add(tid, row_key);
        }
    });
    let (loaded, encoder) = feed.finish();
    let build = Build {
        workers: &workers,
        index: table.index(),
        frozen: &encoder.frozen,
        center: encoder.center.as_deref(),
        params,
        limit,
    };
    let by_cells = matches!(loaded, Loaded::InFile(_));
    let (indexed, calibrator) = match loaded {
        Loaded::InMemory(elements) => build.in_memory(elements, &encoder.codec, keys),
        Loaded::InFile(spool) => {
            let rows = build.in_cells(spool, encoder.codec.clone(), allowance, keys);
            (rows, None)
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let indexed = indexed as f64;
    Built {
        rows,
        by_cells,
        calibrator,
        indexed,
    }
}

/// Calls `add` with TID, prepared value and row key of every indexed row, in the order of the table, whoever reads it: parallel workers, or
/// this process. Returns the number of rows scanned.
fn read(
    table: Table,
    mut prepare: impl FnMut(IndexRow<'_>, &mut Vec<u8>) -> Option<Value>,
    mut add: impl FnMut(HeapTid, Value, &[u8]),
) -> f64 {
    if let Some(readers) = Readers::launch(table) {
        error::say_readers(readers.workers());
        return rows::receive(readers, add)
            .unwrap_or_else(|| error::build_failed("a parallel worker ended early"));
    }
    let mut row_key = Vec::new();
    table.scan(|tid, row| {
        row_key.clear();
        if let Some(value) = prepare(row, &mut row_key) {
            add(tid, value, &row_key);
        }
    })
}

/// The share of a build's memory for row keys.
const KEYS_SHARE: usize = 8;

/// Collects the row keys of a build; `None` if the index has no key columns.
fn keys(table: &Table, frozen: &Frozen, memory: usize) -> Option<Keys> {
    let shape = frozen.geometry.keys?;
    let blocks = table.heap().blocks();
    Some(Keys::new(TempFiles::here(), shape, blocks, memory))
}

/// The number of threads of a build: fewer if their own memory would exceed half of `limit`.
fn threads(heap: Relation, frozen: &Frozen, limit: usize) -> usize {
    let dimensions = codec(frozen, None).routing_dimensions();
    let of_thread = hnsw::build::bytes_of_thread(dimensions);
    setting::build_threads(heap).min((limit / 2 / of_thread).max(1))
}

fn allowance(workers: &Workers, frozen: &Frozen, params: Params, limit: usize) -> Allowance {
    let codec = codec(frozen, None);
    let (codes, dimensions) = (BuildCodes::of(&codec), codec.routing_dimensions());
    let is_grouped = frozen.geometry.grouped_by.is_some();
    let needed = workers.submit(move || {
        // Linear in `n`: the slope is the bytes per element, the rest the fixed cost.
        let bytes = |n| match is_grouped {
            true => bytes_with_groups(n, codes, dimensions, &params),
            false => bytes_of_graph(n, codes, dimensions, &params),
        };
        let (some, more) = (1 << 16, 1 << 17);
        let of_element = (bytes(more) - bytes(some)).div_ceil(more - some);
        (of_element, bytes(some).saturating_sub(some * of_element))
    });
    let (of_element, of_threads) = workers.wait(&needed, || {});
    Allowance {
        limit,
        of_element,
        of_threads,
        files: TempFiles::here(),
    }
}

/// Bytes for constructing the graph of `n` elements, with the graph, without their codes.
fn bytes_of_graph(n: usize, codes: BuildCodes, dimensions: usize, params: &Params) -> usize {
    match codes {
        BuildCodes::Leaves { .. } => hnsw::build::leaves_bytes_needed(n, dimensions, params),
        BuildCodes::Stored => MemoryGraph::bytes_needed(n, params.m),
    }
}

/// The same, with the graphs of groups: the graph of all elements, then beside it a group that may have all elements too.
fn bytes_with_groups(n: usize, codes: BuildCodes, dimensions: usize, params: &Params) -> usize {
    let of_group = match codes {
        BuildCodes::Leaves { .. } => hnsw::build::bytes_of_group(n, dimensions, params),
        BuildCodes::Stored => MemoryGraph::bytes_needed(n, params.of_group().m),
    };
    let lists = GroupLists::bytes_needed(n, params.m);
    let beside_graph = MemoryGraph::bytes_needed(n, params.m) + lists + of_group;
    bytes_of_graph(n, codes, dimensions, params).max(beside_graph) + n * size_of::<Group>()
}

fn enter(phase: Phase) {
    progress::set(Counter::Phase, phase as u64);
}

/// A build after its rows have been read.
struct Build<'a> {
    workers: &'a Workers,
    index: Relation,
    frozen: &'a Frozen,
    center: Option<&'a [f32]>,
    params: Params,
    limit: usize,
}

impl Build<'_> {
    fn in_memory(
        &self,
        elements: Elements,
        codec: &Codec,
        keys: Option<Keys>,
    ) -> (usize, Option<Calibrator>) {
        let (elements, graph, groups) = self.construct(elements, codec);
        let mut source = InMemory::new(&elements, &graph, groups.as_ref());
        let first_block = self.write(&mut source, keys);
        let places = source.into_places();
        let rows = elements.len() + elements.more.len();
        let written = Written {
            elements,
            graph,
            places,
            first_block,
        };
        (rows, self.calibrate(written, codec))
    }

    fn in_cells(
        &self,
        spool: Spool,
        codec: Codec,
        allowance: Allowance,
        keys: Option<Keys>,
    ) -> usize {
        enter(Phase::Building);
        progress::set(Counter::TuplesTotal, spool.rows.into());
        let cells = CellBuild {
            workers: self.workers,
            files: allowance.files,
            codec,
            params: self.params,
            limit: self.limit,
        };
        let mut graph = cells.build(spool, report);
        self.write(&mut graph, keys);
        graph.rows()
    }

    fn write(&self, source: &mut impl Source, keys: Option<Keys>) -> u32 {
        enter(Phase::Writing);
        write::write(
            self.workers,
            self.index,
            self.frozen,
            self.center,
            source,
            keys,
        )
    }

    fn construct(&self, elements: Elements, codec: &Codec) -> Constructed {
        enter(Phase::Building);
        let n = elements.len() as u64;
        progress::set(Counter::TuplesTotal, n);
        let built = construct(self.workers, self.params, elements, codec, report);
        progress::set(Counter::TuplesDone, n);
        built
    }
}

/// Constructs the graph in the pool, while this thread calls `report` now and then and stays interruptible.
fn construct(
    workers: &Workers,
    params: Params,
    elements: Elements,
    codec: &Codec,
    report: impl Fn(&Watch),
) -> Constructed {
    let watch = Arc::clone(workers.watch());
    let codec = codec.clone();
    let pending = workers.submit(move || {
        let graph = match BuildCodes::of(&codec) {
            BuildCodes::Leaves { .. } => hnsw::build::leaves(&elements.set, &params, &watch),
            BuildCodes::Stored => {
                let elements = Measured::new(&codec, &elements.codes, None);
                hnsw::build::batched(&elements, &params, &watch)
            }
        };
        let built = graph.and_then(|graph| {
            let groups = group_lists(&elements, params, &codec, &watch)?;
            Ok((graph, groups))
        });
        (elements, built)
    });
    let (elements, built) = workers.wait(&pending, || report(workers.watch()));
    match built {
        Ok((graph, groups)) => (elements, graph, groups),
        Err(Stopped::OutOfMemory) => error::out_of_memory(setting::maintenance_work_mem()),
        Err(Stopped::Cancelled) => error::build_failed("it was interrupted"),
    }
}

/// A graph in memory, with the lists of groups if the index has groups.
type Constructed = (Elements, MemoryGraph, Option<GroupLists>);

/// Builds the graphs of groups, in the pool; `None` without groups.
fn group_lists(
    elements: &Elements,
    params: Params,
    codec: &Codec,
    watch: &Watch,
) -> Result<Option<GroupLists>, Stopped> {
    if elements.groups.is_empty() {
        return Ok(None);
    }
    let graph = |members: &[u32]| match BuildCodes::of(codec) {
        BuildCodes::Leaves { .. } => {
            hnsw::build::leaves_of_group(&elements.set, members, &params, watch)
        }
        BuildCodes::Stored => {
            let members = Measured::new(codec, &elements.codes, Some(members));
            hnsw::build::batched_group(&members, &params, watch)
        }
    };
    GroupLists::build(&elements.groups, params.m, graph).map(Some)
}

fn report(watch: &Watch) {
    progress::set(Counter::TuplesDone, watch.done.load(Ordering::Relaxed));
}
