//! Builds a graph too large for `maintenance_work_mem`: rows are in temporary files, and one cell of rows at a time is in
//! memory (`hnsw::build::cells` explains the algorithm).
//!
//! 1. `choose_cells` from a sample of the file of all rows, then `route`: each row goes to the buckets of its two cells.
//! 2. `build_cell`: a cell outputs its elements in page order (`elements`), the rows beyond their capacity (`overflow`),
//!    and neighbor lists, each to the bucket of its element's nearest cell (`lists`).
//! 3. `merge_lists`: merges each element's lists, cell by cell in build order, so the result is in page order (`layer0`).
//! 4. The upper layers, then links to unreachable elements.
//!
//! Memory holds the position of each row in page order (4 bytes per row), and the lists of upper layers.

mod cell;
mod in_files;
mod merge;
mod output;

use std::collections::VecDeque;
use std::sync::Arc;

use hnsw::build::cells::{CELLS_OF_A_VECTOR, Cells, Method, Plan, Task, UpperLayers};
use hnsw::build::{LayerExtent, Stopped, Watch, connect_ranges};
use hnsw::{Level, Params, level_of};
use quantize::{CodeMetric, CodeSet, Codec, EncodedRow};

use super::buckets::Buckets;
use super::feed::Spool;
use super::format::{BuildCodes, Format, to_u32};
use super::workers::{Pending, Workers};
use crate::error;
use crate::pg::interrupt;
use crate::pg::temp_file::TempFiles;
use cell::{Added, Cell};
use in_files::InFiles;
use merge::{Merged, merge_lists};
use output::{ListFile, Output};

/// Bytes of rows routed at a time.
const ROUTED_BYTES: usize = 1 << 18;

/// The maximum depth of divisions; rows of a cell still too large are too alike to be separated.
const DEEPEST: usize = 4;

/// Pieces per multiple of the maximum size, when a cell too large is divided.
const PIECES: usize = 2;

/// The constant context of a build.
pub(super) struct CellBuild<'a> {
    pub(super) workers: &'a Workers,
    pub(super) files: TempFiles,
    pub(super) codec: Codec,
    pub(super) params: Params,
    /// `maintenance_work_mem`, in bytes.
    pub(super) limit: usize,
}

/// Rows by cell: each row in its primary cell, the nearest one, and a replica in its other cell.
struct Routed {
    primary: Buckets,
    replicas: Buckets,
}

/// A build in progress.
struct Run<'a, R> {
    context: &'a CellBuild<'a>,
    plan: Plan,
    format: Format,
    output: Output,
    /// Called while a cell is built.
    report: R,
}

/// Records, and the cells of each record.
type PendingRoutes = Pending<Result<(Vec<u8>, Vec<u32>), Stopped>>;

impl CellBuild<'_> {
    /// Builds the graph of all rows of a file.
    pub(super) fn build(&self, spool: Spool, report: impl Fn(&Watch)) -> InFiles {
        let (format, rows) = (spool.format, spool.rows);
        let plan = self.plan(format, rows);
        let mut routed = self.route(spool, &plan);
        let cells = routed.primary.count();
        error::say_cells(cells, plan.largest_cell);
        let mut run = Run {
            context: self,
            plan,
            format,
            output: Output::new(self.files, format, rows, &self.params, &plan, cells),
            report,
        };
        for cell in 0..cells {
            run.output.starts.push(run.output.count);
            run.build_cell(&mut routed, cell, 0);
        }
        drop(routed);
        run.finish()
    }

    fn plan(&self, format: Format, rows: u32) -> Plan {
        let task = Task {
            n: rows as usize,
            dimensions: self.codec.routing_dimensions(),
            method: self.method(),
            // Beside the codes: row, nearest cell, TID, and the hash table of equal rows.
            bytes_of_vector: format.build.bytes()
                + format.code
                + format.group
                + 2 * size_of::<u32>()
                + 72,
            params: self.params,
            is_grouped: format.group > 0,
        };
        let limit = self.limit;
        self.compute(move |_| Ok(task.plan(limit)))
    }

    fn method(&self) -> Method {
        match BuildCodes::of(&self.codec) {
            BuildCodes::Leaves { .. } => Method::Leaves,
            BuildCodes::Stored => Method::Insertion,
        }
    }

    /// Runs a job in the pool and waits for it.
    fn compute<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Watch) -> Result<T, Stopped> + Send + 'static,
    ) -> T {
        let pending = self.submit(job);
        self.wait(&pending)
    }

    fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Watch) -> Result<T, Stopped> + Send + 'static,
    ) -> Pending<Result<T, Stopped>> {
        let watch = Arc::clone(self.workers.watch());
        self.workers.submit(move || job(&watch))
    }

    fn wait<T>(&self, pending: &Pending<Result<T, Stopped>>) -> T {
        check(self.workers.wait(pending, || {}), self.limit)
    }

    /// Divides all rows into cells.
    fn route(&self, mut spool: Spool, plan: &Plan) -> Routed {
        let (format, rows) = (spool.format, spool.rows as usize);
        let cells = self.choose_cells(plan.cells, format, rows, |row, record| {
            spool.file.read_at((row * format.primary()) as u64, record);
        });
        let mut routed = Routed::new(self.files, cells.count(), format, plan.room / 8);
        let at_once = (ROUTED_BYTES / format.primary()).max(1);
        let mut pending = VecDeque::new();
        for first in (0..rows).step_by(at_once) {
            if pending.len() > self.workers.threads() {
                self.take_routed(&mut pending, format, &mut routed);
            }
            let count = at_once.min(rows - first);
            let mut records = vec![0; count * format.primary()];
            spool
                .file
                .read_at((first * format.primary()) as u64, &mut records);
            pending.push_back(self.submit_routing(&cells, format, records, CELLS_OF_A_VECTOR));
        }
        while !pending.is_empty() {
            self.take_routed(&mut pending, format, &mut routed);
        }
        routed
    }

    /// Chooses cells from a sample of rows at equal intervals.
    fn choose_cells(
        &self,
        count: usize,
        format: Format,
        rows: usize,
        mut read: impl FnMut(usize, &mut [u8]),
    ) -> Arc<Cells> {
        let sample = Cells::sample_size(count).min(rows);
        let mut records = vec![0; sample * format.primary()];
        for (number, record) in records.chunks_exact_mut(format.primary()).enumerate() {
            read(number * rows / sample, record);
        }
        let codes = routing_codes(&self.codec, format, records.chunks_exact(format.primary()));
        Arc::new(self.compute(move |watch| Cells::choose(&codes, count, watch)))
    }

    fn submit_routing(
        &self,
        cells: &Arc<Cells>,
        format: Format,
        records: Vec<u8>,
        count: usize,
    ) -> PendingRoutes {
        let (cells, codec) = (Arc::clone(cells), self.codec.clone());
        self.submit(move |watch| {
            let codes = routing_codes(&codec, format, records.chunks_exact(format.primary()));
            let nearest = cells.nearest(&codes, count, watch)?;
            Ok((records, nearest))
        })
    }

    fn take_routed(
        &self,
        pending: &mut VecDeque<PendingRoutes>,
        format: Format,
        routed: &mut Routed,
    ) {
        let first = pending
            .pop_front()
            .expect("asked for only when there is one");
        let (mut records, nearest) = self.wait(&first);
        let each = nearest.len() / (records.len() / format.primary());
        let records = records.chunks_exact_mut(format.primary());
        for (record, cells) in records.zip(nearest.chunks_exact(each)) {
            Format::set_primary_cell(record, cells[0]);
            routed.primary.append(cells[0] as usize, record);
            for &cell in &cells[1..] {
                routed
                    .replicas
                    .append(cell as usize, &record[..format.replica()]);
            }
        }
    }

    /// Divides the rows of a cell into pieces; each row goes to its nearest piece only.
    fn divide(&self, routed: &mut Routed, cell: usize, plan: &Plan, format: Format) -> Routed {
        let records = routed.records(cell);
        let count = usize::try_from(records).expect("64 bits") * PIECES / plan.largest_cell + 2;
        let step = usize::try_from(records)
            .expect("64 bits")
            .div_ceil(Cells::sample_size(count));
        let mut sample = Vec::new();
        let mut number = 0;
        routed.each(cell, format, |_, record| {
            if number % step == 0 {
                sample.extend_from_slice(record);
                sample.resize(sample.len().next_multiple_of(format.primary()), 0);
            }
            number += 1;
        });
        let codes = routing_codes(&self.codec, format, sample.chunks_exact(format.primary()));
        let cells = Arc::new(self.compute(move |watch| Cells::choose(&codes, count, watch)));
        let mut divided = Routed::new(self.files, cells.count(), format, plan.room / 8);
        let at_once = (ROUTED_BYTES / format.primary()).max(1) * format.primary();
        let (mut primary, mut replicas) = (Vec::new(), Vec::new());
        routed.each(cell, format, |is_primary, record| {
            let records = if is_primary {
                &mut primary
            } else {
                &mut replicas
            };
            records.extend_from_slice(record);
            records.resize(records.len().next_multiple_of(format.primary()), 0);
            if records.len() >= at_once {
                let records = std::mem::take(records);
                self.route_alone(&cells, format, records, is_primary, &mut divided);
            }
        });
        self.route_alone(&cells, format, primary, true, &mut divided);
        self.route_alone(&cells, format, replicas, false, &mut divided);
        divided
    }

    fn route_alone(
        &self,
        cells: &Arc<Cells>,
        format: Format,
        records: Vec<u8>,
        is_primary: bool,
        divided: &mut Routed,
    ) {
        if records.is_empty() {
            return;
        }
        let (records, nearest) = self.wait(&self.submit_routing(cells, format, records, 1));
        for (record, &cell) in records.chunks_exact(format.primary()).zip(&nearest) {
            if is_primary {
                divided.primary.append(cell as usize, record);
            } else {
                divided
                    .replicas
                    .append(cell as usize, &record[..format.replica()]);
            }
        }
    }
}

impl<R: Fn(&Watch)> Run<'_, R> {
    /// Reads the rows of a cell into memory and builds its graph; divides the cell first if it is too large.
    fn build_cell(&mut self, routed: &mut Routed, cell: usize, depth: usize) {
        interrupt::check();
        let largest = self.plan.largest_cell;
        if depth < DEEPEST && routed.has_more_than(cell, largest, self.format) {
            let mut divided = self.context.divide(routed, cell, &self.plan, self.format);
            for piece in 0..divided.primary.count() {
                self.build_cell(&mut divided, piece, depth + 1);
            }
            return;
        }
        let format = self.format;
        let mut loaded = Cell::new(format, &self.context.codec);
        let mut full = false;
        routed.primary.read(cell, |records| {
            for record in records.chunks_exact(format.primary()) {
                if loaded.len() == largest {
                    let next = Cell::new(format, &self.context.codec);
                    self.build_loaded(std::mem::replace(&mut loaded, next));
                    full = true;
                }
                if let Added::Full(element) = loaded.add_primary(record) {
                    self.output.write_overflow(&mut loaded, element);
                }
            }
        });
        routed.replicas.read(cell, |records| {
            for record in records.chunks_exact(format.replica()) {
                // A full cell needs no replicas: its own rows, too alike to be separated, are neighbors enough.
                if loaded.len() < largest && !full {
                    loaded.add_replica(record);
                }
            }
        });
        routed.primary.forget(cell);
        routed.replicas.forget(cell);
        self.build_loaded(loaded);
    }

    fn build_loaded(&mut self, cell: Cell) {
        if cell.len() == 0 {
            return;
        }
        let context = self.context;
        let (codec, params) = (context.codec.clone(), context.params);
        let whole_from = self.plan.whole_from;
        let pending = context.submit(move |watch| {
            let layers = cell.build(&codec, &params, whole_from, watch)?;
            Ok((cell, layers))
        });
        let watch = context.workers.watch();
        let result = context.workers.wait(&pending, || (self.report)(watch));
        let (mut cell, layers) = check(result, context.limit);
        self.output.add_cell(&mut cell, &layers, whole_from);
    }

    fn finish(mut self) -> InFiles {
        let (context, output) = (self.context, &mut self.output);
        let members = output.upper_members(&context.params);
        let (places, levels): (Vec<u32>, Vec<Level>) = members.into_iter().unzip();
        let upper = UpperLayers::try_new(places, &levels, context.params.m);
        let mut upper = check(upper, context.limit);
        output.starts.push(output.count);
        self.merge(&mut upper);
        self.build_whole_layers(&mut upper);
        let connected = context.compute(move |watch| {
            let mut upper = upper;
            upper.connect(watch)?;
            Ok(upper)
        });
        self.connect_layer0(&connected);
        InFiles::new(self.output, connected)
    }

    /// Merges the lists of each element from its cells, one cell after the other.
    fn merge(&mut self, upper: &mut UpperLayers) {
        let (context, output) = (self.context, &mut self.output);
        let places = Arc::new(std::mem::take(&mut output.places));
        let m = context.params.m;
        let is_grouped = output.format.group > 0;
        // Bytes per element: its records and merged lists, and the same for the previous range.
        let of_element = 4 * output.lists_bytes_of_element();
        let at_once = to_u32((self.plan.room / of_element).max(1024));
        let mut pending: Option<Pending<Result<Merged, Stopped>>> = None;
        for cell in 0..output.lists.count() {
            let (start, end) = (output.starts[cell], output.starts[cell + 1]);
            for first in (start..end).step_by(at_once as usize) {
                interrupt::check();
                let range = first..end.min(first.saturating_add(at_once));
                let records = output.lists_of(cell, &range, &places);
                if let Some(pending) = pending.take() {
                    output.take_merged(&context.wait(&pending), upper);
                }
                let places = Arc::clone(&places);
                pending = Some(context.submit(move |watch| {
                    merge_lists(&records, range, &places, m, is_grouped, watch)
                }));
            }
            output.lists.forget(cell);
        }
        if let Some(pending) = pending {
            output.take_merged(&context.wait(&pending), upper);
        }
        output.places = Arc::try_unwrap(places).unwrap_or_else(|shared| shared.to_vec());
    }

    /// Builds the layers small enough to fit in memory as a whole.
    fn build_whole_layers(&mut self, upper: &mut UpperLayers) {
        let context = self.context;
        let rows = Arc::new(self.output.read_members(&context.codec));
        let places = &self.output.places;
        let top = upper.entry_point().map_or(0, |(_, level)| level);
        for level in self.plan.whole_from..=top {
            let (shared, codec, params) =
                (Arc::clone(&rows), context.codec.clone(), context.params);
            let (members, layer) = context.compute(move |watch| {
                let on_it =
                    |&element: &u32| level_of(shared.row(element).into(), params.m) >= level;
                let members: Vec<u32> = (0..to_u32(shared.len())).filter(on_it).collect();
                let layer =
                    shared.layer_of_members(&codec, &members, &params, level, true, watch)?;
                Ok((members, layer))
            });
            let place = |local: u32| places[rows.row(members[local as usize]) as usize];
            for (local, near) in layer.lists() {
                let neighbors = near.iter().map(|near| place(near.element));
                upper.set_neighbors(place(local), level, neighbors);
            }
        }
    }

    fn connect_layer0(&mut self, upper: &UpperLayers) {
        let capacity = 2 * self.context.params.m;
        let extent = LayerExtent {
            n: self.output.count,
            capacity,
            entry_point: upper.entry_point().map_or(0, |(place, _)| place),
            lists_per_range: (self.plan.room / 2 / (capacity * size_of::<u32>())).max(1024),
        };
        let mut lists = ListFile {
            file: &mut self.output.layer0,
            capacity,
            bytes: Vec::new(),
        };
        let watch = self.context.workers.watch();
        let connected = connect_ranges(&mut lists, &extent, watch, interrupt::check);
        check(connected, self.context.limit);
    }
}

/// Raises the error of a stopped computation.
fn check<T>(result: Result<T, Stopped>, bytes: usize) -> T {
    result.unwrap_or_else(|stopped| match stopped {
        Stopped::OutOfMemory => error::out_of_memory(bytes),
        Stopped::Cancelled => error::build_failed("it was interrupted"),
    })
}

/// Rows as codes for choosing cells.
fn routing_codes<'r>(
    codec: &Codec,
    format: Format,
    records: impl Iterator<Item = &'r [u8]>,
) -> CodeSet {
    let metric = match codec.metric() {
        // The L2 distance approximates L1 closely enough to choose cells.
        CodeMetric::L1 => CodeMetric::L2,
        metric => metric,
    };
    let mut codes = CodeSet::new(codec.routing_dimensions(), metric);
    let mut row = EncodedRow::new();
    let mut values = vec![0.0; codec.routing_dimensions()];
    for record in records {
        if format.build.by_leaves() {
            codes.push_written(format.build_code(record));
            continue;
        }
        codec.routing_values(&format.code(record)[..format.code], &mut values);
        row.encode(&values);
        codes.push(&row);
    }
    codes
}

impl Routed {
    fn new(files: TempFiles, cells: usize, format: Format, memory: usize) -> Self {
        Self {
            primary: Buckets::new(files, cells, format.primary(), memory / 2),
            replicas: Buckets::new(files, cells, format.replica(), memory / 2),
        }
    }

    /// Records in a cell.
    fn records(&self, cell: usize) -> u64 {
        self.primary.records(cell) + self.replicas.records(cell)
    }

    /// Passes all records of a cell to `show`, with true for primary rows.
    fn each(&mut self, cell: usize, format: Format, mut show: impl FnMut(bool, &[u8])) {
        self.primary.read(cell, |records| {
            records
                .chunks_exact(format.primary())
                .for_each(|record| show(true, record));
        });
        self.replicas.read(cell, |records| {
            records
                .chunks_exact(format.replica())
                .for_each(|record| show(false, record));
        });
    }

    /// True if a cell has more than `count` distinct rows.
    fn has_more_than(&mut self, cell: usize, count: usize, format: Format) -> bool {
        if self.records(cell) <= count as u64 {
            return false;
        }
        let mut known = std::collections::HashSet::new();
        self.each(cell, format, |_, record| {
            if known.len() <= count {
                known.insert(Format::hash(record));
            }
        });
        known.len() > count
    }
}
