//! Builds a graph too large for `maintenance_work_mem`: rows are in temporary files, and one cell of rows at a time is in
//! memory (`hnsw::build::cells` explains the algorithm).
//!
//! 1. `choose_cells` from a sample of the file of all rows, then `route`: each row goes to the buckets of its two cells.
//! 2. `build_cell`: a cell outputs its elements in page order (`elements`), the rows beyond their capacity (`overflow`),
//!    and neighbor lists, each to the bucket of its element's nearest cell (`lists`).
//! 3. `join_lists`: merges each element's lists, cell by cell in build order, so the result is in page order (`layer0`).
//! 4. The upper layers, then links to unreachable elements.
//!
//! Memory holds the position of each row in page order (4 bytes per row), and the lists of upper layers.

use std::collections::VecDeque;
use std::sync::Arc;

use hnsw::build::cells::{CELLS_OF_A_VECTOR, Cells, Method, Plan, Task, UpperLayers};
use hnsw::build::{LayerExtent, Stopped, Watch, connect_ranges};
use hnsw::{Level, Params, level_of};
use quantize::{CodeMetric, CodeSet, Codec, EncodedRow};

use super::buckets::Buckets;
use super::built::{Built, ListFile};
use super::cell::{Added, Cell};
use super::feed::Spool;
use super::format::{Format, to_u32};
use super::in_files::InFiles;
use super::joined::{Joined, join_lists};
use super::workers::{Pending, Workers};
use crate::error;
use crate::pg::interrupt;
use crate::pg::temp_file::TempFiles;

/// Bytes of rows routed at a time.
const ROUTED_BYTES: usize = 1 << 18;

/// The maximum depth of divisions; rows of a cell still too large are too alike to be separated.
const DEEPEST: usize = 4;

/// Pieces per multiple of the maximum size, when a cell too large is divided.
const PIECES: usize = 2;

/// The constant context of a build.
pub(super) struct Cellwise<'a> {
    pub(super) workers: &'a Workers,
    pub(super) files: TempFiles,
    pub(super) codec: Codec,
    pub(super) params: Params,
    /// `maintenance_work_mem`, in bytes.
    pub(super) limit: usize,
}

/// Rows by cell: `near` has each row in its nearest cell, `far` in its other cell.
struct Routed {
    near: Buckets,
    far: Buckets,
}

/// Records, and the cells of each record.
type PendingRoutes = Pending<Result<(Vec<u8>, Vec<u32>), Stopped>>;

impl Cellwise<'_> {
    /// Builds the graph of all rows of a file.
    pub(super) fn build(&self, spool: Spool, report: impl Fn(&Watch)) -> InFiles {
        let (format, rows) = (spool.format, spool.rows);
        let plan = self.plan(format, rows);
        let mut routed = self.route(spool, &plan);
        error::say_cells(routed.near.count(), plan.largest_cell);
        let mut built = Built::new(
            self.files,
            format,
            rows,
            &self.params,
            &plan,
            routed.near.count(),
        );
        for cell in 0..routed.near.count() {
            built.starts.push(built.count);
            self.build_cell(&mut routed, cell, 0, &plan, &mut built, &report);
        }
        drop(routed);
        self.finish(built, &plan)
    }

    fn plan(&self, format: Format, rows: u32) -> Plan {
        let task = Task {
            n: rows as usize,
            dimensions: self.codec.routing_dimensions(),
            method: self.method(),
            // Beside the codes: row, nearest cell, TID, and the hash table of equal rows.
            bytes_of_vector: format.routing + format.code + 2 * size_of::<u32>() + 72,
            params: self.params,
        };
        let limit = self.limit;
        self.compute(move |_| Ok(task.plan(limit)))
    }

    fn method(&self) -> Method {
        if self.codec.is_rotated() {
            Method::Leaves
        } else {
            Method::Insertion
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
            spool.file.read_at((row * format.near()) as u64, record);
        });
        let mut routed = Routed::new(self.files, cells.count(), format, plan.room / 8);
        let at_once = (ROUTED_BYTES / format.near()).max(1);
        let mut pending = VecDeque::new();
        for first in (0..rows).step_by(at_once) {
            if pending.len() > self.workers.threads() {
                self.take_routed(&mut pending, format, &mut routed);
            }
            let count = at_once.min(rows - first);
            let mut records = vec![0; count * format.near()];
            spool
                .file
                .read_at((first * format.near()) as u64, &mut records);
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
        let mut records = vec![0; sample * format.near()];
        for (number, record) in records.chunks_exact_mut(format.near()).enumerate() {
            read(number * rows / sample, record);
        }
        let codes = routing_codes(&self.codec, format, records.chunks_exact(format.near()));
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
            let codes = routing_codes(&codec, format, records.chunks_exact(format.near()));
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
        let each = nearest.len() / (records.len() / format.near());
        let records = records.chunks_exact_mut(format.near());
        for (record, cells) in records.zip(nearest.chunks_exact(each)) {
            Format::set_home(record, cells[0]);
            routed.near.append(cells[0] as usize, record);
            for &cell in &cells[1..] {
                routed.far.append(cell as usize, &record[..format.far()]);
            }
        }
    }

    /// Reads the rows of a cell into memory and builds its graph; divides the cell first if it is too large.
    fn build_cell(
        &self,
        routed: &mut Routed,
        cell: usize,
        depth: usize,
        plan: &Plan,
        built: &mut Built,
        report: &impl Fn(&Watch),
    ) {
        interrupt::check();
        let records = routed.near.records(cell) + routed.far.records(cell);
        let largest = plan.largest_cell;
        if records > largest as u64
            && depth < DEEPEST
            && routed.has_more_than(cell, largest, built.format)
        {
            let mut divided = self.divide(routed, cell, plan, built.format);
            for piece in 0..divided.near.count() {
                self.build_cell(&mut divided, piece, depth + 1, plan, built, report);
            }
            return;
        }
        let mut loaded = Cell::new(built.format, &self.codec);
        let (format, mut full) = (built.format, false);
        routed.near.read(cell, |records| {
            for record in records.chunks_exact(format.near()) {
                if loaded.len() == largest {
                    let whole = std::mem::replace(&mut loaded, Cell::new(format, &self.codec));
                    self.build_loaded(whole, plan, built, report);
                    full = true;
                }
                if let Added::Full(element) = loaded.add_near(record) {
                    built.write_overflow(&mut loaded, element);
                }
            }
        });
        routed.far.read(cell, |records| {
            for record in records.chunks_exact(format.far()) {
                // A full cell needs no far rows: its own, too alike to be separated, are neighbors enough.
                if loaded.len() < largest && !full {
                    loaded.add_far(record);
                }
            }
        });
        routed.near.forget(cell);
        routed.far.forget(cell);
        self.build_loaded(loaded, plan, built, report);
    }

    /// Divides the rows of a cell into pieces; each row goes to its nearest piece only.
    fn divide(&self, routed: &mut Routed, cell: usize, plan: &Plan, format: Format) -> Routed {
        let records = routed.near.records(cell) + routed.far.records(cell);
        let count = usize::try_from(records).expect("64 bits") * PIECES / plan.largest_cell + 2;
        let step = usize::try_from(records)
            .expect("64 bits")
            .div_ceil(Cells::sample_size(count));
        let mut sample = Vec::new();
        let mut number = 0;
        routed.each(cell, format, |_, record| {
            if number % step == 0 {
                sample.extend_from_slice(record);
                sample.resize(sample.len().next_multiple_of(format.near()), 0);
            }
            number += 1;
        });
        let codes = routing_codes(&self.codec, format, sample.chunks_exact(format.near()));
        let cells = Arc::new(self.compute(move |watch| Cells::choose(&codes, count, watch)));
        let mut divided = Routed::new(self.files, cells.count(), format, plan.room / 8);
        let at_once = (ROUTED_BYTES / format.near()).max(1) * format.near();
        let (mut near, mut far) = (Vec::new(), Vec::new());
        routed.each(cell, format, |is_near, record| {
            let records = if is_near { &mut near } else { &mut far };
            records.extend_from_slice(record);
            records.resize(records.len().next_multiple_of(format.near()), 0);
            if records.len() >= at_once {
                let records = std::mem::take(records);
                self.route_alone(&cells, format, records, is_near, &mut divided);
            }
        });
        self.route_alone(&cells, format, near, true, &mut divided);
        self.route_alone(&cells, format, far, false, &mut divided);
        divided
    }

    fn route_alone(
        &self,
        cells: &Arc<Cells>,
        format: Format,
        records: Vec<u8>,
        is_near: bool,
        divided: &mut Routed,
    ) {
        if records.is_empty() {
            return;
        }
        let (records, nearest) = self.wait(&self.submit_routing(cells, format, records, 1));
        for (record, &cell) in records.chunks_exact(format.near()).zip(&nearest) {
            if is_near {
                divided.near.append(cell as usize, record);
            } else {
                divided.far.append(cell as usize, &record[..format.far()]);
            }
        }
    }

    fn build_loaded(&self, cell: Cell, plan: &Plan, built: &mut Built, report: &impl Fn(&Watch)) {
        if cell.len() == 0 {
            return;
        }
        let (codec, params, whole_from) = (self.codec.clone(), self.params, plan.whole_from);
        let pending = self.submit(move |watch| {
            let layers = cell.build(&codec, &params, whole_from, watch)?;
            Ok((cell, layers))
        });
        let watch = self.workers.watch();
        let result = self.workers.wait(&pending, || report(watch));
        let (mut cell, layers) = check(result, self.limit);
        built.take(&mut cell, &layers, plan.whole_from);
    }

    fn finish(&self, mut built: Built, plan: &Plan) -> InFiles {
        let members = built.upper_members(&self.params);
        let (places, levels): (Vec<u32>, Vec<Level>) = members.into_iter().unzip();
        let upper = UpperLayers::try_new(places, &levels, self.params.m);
        let mut upper = check(upper, self.limit);
        built.starts.push(built.count);
        self.join(&mut built, plan, &mut upper);
        self.build_whole_layers(&mut built, plan, &mut upper);
        let connected = self.compute(move |watch| {
            let mut upper = upper;
            upper.connect(watch)?;
            Ok(upper)
        });
        self.connect_layer0(&mut built, plan, &connected);
        InFiles::new(built, connected)
    }

    /// Merges the lists of each element from its cells, one cell after the other.
    fn join(&self, built: &mut Built, plan: &Plan, upper: &mut UpperLayers) {
        let places = Arc::new(std::mem::take(&mut built.places));
        let capacity = 2 * self.params.m;
        // Bytes per element: its records and merged lists, and the same for the previous range.
        let of_element = 4 * built.lists_bytes_of_element();
        let at_once = to_u32((plan.room / of_element).max(1024));
        let mut pending: Option<Pending<Result<Joined, Stopped>>> = None;
        for cell in 0..built.lists.count() {
            let (start, end) = (built.starts[cell], built.starts[cell + 1]);
            for first in (start..end).step_by(at_once as usize) {
                interrupt::check();
                let range = first..end.min(first.saturating_add(at_once));
                let records = built.lists_of(cell, &range, &places);
                if let Some(pending) = pending.take() {
                    built.take_joined(&self.wait(&pending), upper);
                }
                let (places, m) = (Arc::clone(&places), self.params.m);
                pending =
                    Some(self.submit(move |watch| {
                        join_lists(&records, range, &places, capacity, m, watch)
                    }));
            }
            built.lists.forget(cell);
        }
        if let Some(pending) = pending {
            built.take_joined(&self.wait(&pending), upper);
        }
        built.places = Arc::try_unwrap(places).unwrap_or_else(|shared| shared.to_vec());
    }

    /// Builds the layers small enough to fit in memory as a whole.
    fn build_whole_layers(&self, built: &mut Built, plan: &Plan, upper: &mut UpperLayers) {
        let tall = built.read_tall(&self.codec);
        let top = upper.entry_point().map_or(0, |(_, level)| level);
        let tall = Arc::new(tall);
        for level in plan.whole_from..=top {
            let (shared, codec, params) = (Arc::clone(&tall), self.codec.clone(), self.params);
            let (members, layer) = self.compute(move |watch| {
                let on_it =
                    |&element: &u32| level_of(shared.row(element).into(), params.m) >= level;
                let members: Vec<u32> = (0..to_u32(shared.len())).filter(on_it).collect();
                let layer =
                    shared.layer_of_members(&codec, &members, &params, level, true, watch)?;
                Ok((members, layer))
            });
            let place = |local: u32| built.places[tall.row(members[local as usize]) as usize];
            for (local, near) in layer.lists() {
                let neighbors = near.iter().map(|near| place(near.element));
                upper.set_neighbors(place(local), level, neighbors);
            }
        }
    }

    fn connect_layer0(&self, built: &mut Built, plan: &Plan, upper: &UpperLayers) {
        let capacity = 2 * self.params.m;
        let extent = LayerExtent {
            n: built.count,
            capacity,
            entry_point: upper.entry_point().map_or(0, |(place, _)| place),
            lists_per_range: (plan.room / 2 / (capacity * size_of::<u32>())).max(1024),
        };
        let mut lists = ListFile {
            file: &mut built.layer0,
            capacity,
            bytes: Vec::new(),
        };
        let connected = connect_ranges(&mut lists, &extent, self.workers.watch(), interrupt::check);
        check(connected, self.limit);
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
        if format.routing > 0 {
            codes.push_written(format.routing(record));
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
            near: Buckets::new(files, cells, format.near(), memory / 2),
            far: Buckets::new(files, cells, format.far(), memory / 2),
        }
    }

    /// Passes all records of a cell to `show`, with true for near rows.
    fn each(&mut self, cell: usize, format: Format, mut show: impl FnMut(bool, &[u8])) {
        self.near.read(cell, |records| {
            records
                .chunks_exact(format.near())
                .for_each(|record| show(true, record));
        });
        self.far.read(cell, |records| {
            records
                .chunks_exact(format.far())
                .for_each(|record| show(false, record));
        });
    }

    /// True if a cell has more than `count` distinct rows.
    fn has_more_than(&mut self, cell: usize, count: usize, format: Format) -> bool {
        let mut known = std::collections::HashSet::new();
        self.each(cell, format, |_, record| {
            if known.len() <= count {
                known.insert(Format::hash(record));
            }
        });
        known.len() > count
    }
}
