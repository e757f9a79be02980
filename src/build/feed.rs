//! Turns rows into elements: the main thread reads and detoasts, the pool encodes, equal codes become one element.
//!
//! Once the build would exceed its memory, all rows go to a file instead, one record each.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use layout::{
    Frozen, Geometry, Group, HeapTid, VectorKind, group_len, max_code_len, widest_code_len,
};
use quantize::{CodeMetric, CodeSet, Codec, EncodedRow, Rotation, Value};

use super::format::{Format, to_u32};
use super::workers::{Pending, Workers};
use crate::error;
use crate::pg::temp_file::{TempFile, TempFiles};
use crate::storage::index::{SPARSE_ELEMENTS, codec};

/// The maximum of a chunk for the pool, in rows and in bytes of values.
const CHUNK_ROWS: usize = 256;
const CHUNK_BYTES: usize = 1 << 19;
/// The approximate size of a memory block of codes, in bytes.
const BLOCK_BYTES: usize = 1 << 18;
/// The size of the sample for the center, in bytes of values; at most a quarter of `maintenance_work_mem`.
const SAMPLE_BYTES: usize = 8 << 20;
/// The minimum number of rows for an estimate of the elements per sparse vector.
const TELLING_ROWS: usize = 1000;
/// Bytes per element in the table of known codes: hash, element number and spare capacity.
const KNOWN_BYTES: usize = 36;

/// Encodes rows: page codes, and build codes if the graph is built on them.
pub(super) struct Encoder {
    /// The options of the index, with the code length for its rows.
    pub(super) frozen: Frozen,
    pub(super) codec: Codec,
    /// Subtracted from every vector before its page code is made.
    pub(super) center: Option<Vec<f32>>,
    /// `None` if the graph is built on page codes.
    rotation: Option<Rotation>,
}

impl Encoder {
    /// An encoder for an index with these options. The center is the mean of the sample, if it suits the sample: codes of
    /// centered vectors are finer than codes of the original vectors.
    fn new(frozen: &Frozen, sample: &[Value]) -> Self {
        let frozen = with_room_for(*frozen, sample);
        let plain = codec(&frozen, None);
        let dimensions = plain.dimensions();
        if !plain.is_rotated() {
            return Self {
                frozen,
                codec: plain,
                center: None,
                rotation: None,
            };
        }
        let vectors = || sample.iter().filter_map(Value::dense);
        let center = mean(vectors(), dimensions).filter(|center| suits(center, vectors()));
        Self {
            codec: codec(&frozen, center.as_deref()),
            center,
            rotation: Some(Rotation::new(dimensions, frozen.seed)),
            frozen,
        }
    }

    /// Encodes a vector for the build. Centers it for L2 only: translation keeps L2 distances and changes inner products.
    fn encode_for_build(
        &self,
        rotation: &Rotation,
        vector: &[f32],
        moved: &mut [f32],
        row: &mut EncodedRow,
    ) {
        moved.copy_from_slice(vector);
        if let (CodeMetric::L2, Some(center)) = (self.codec.metric(), &self.center) {
            moved
                .iter_mut()
                .zip(center)
                .for_each(|(x, center)| *x -= center);
        }
        rotation.rotate(moved);
        row.encode(moved);
    }

    fn encode(&self, chunk: Chunk) -> Encoded {
        let (dimensions, code_len) = (self.codec.routing_dimensions(), self.codec.code_len());
        let mut encoded = Encoded {
            codes: vec![0; chunk.tids.len() * code_len],
            hashes: Vec::with_capacity(chunk.tids.len()),
            set: CodeSet::new(dimensions, self.codec.metric()),
            tids: chunk.tids,
            groups: chunk.groups,
        };
        let mut row = EncodedRow::new();
        let mut moved = vec![0.0; dimensions];
        let codes = encoded.codes.chunks_exact_mut(code_len);
        for ((row_number, value), code) in chunk.values.iter().enumerate().zip(codes) {
            self.codec.encode_value(value, code);
            let hash = hash_of(code, encoded.groups.get(row_number).copied());
            encoded.hashes.push(hash);
            if let Some((rotation, vector)) = self.rotation.as_ref().zip(value.dense()) {
                self.encode_for_build(rotation, vector, &mut moved, &mut row);
                encoded.set.push(&row);
            }
        }
        encoded
    }
}

/// Rows with the same code and group are of one element.
fn hash_of(code: &[u8], group: Option<Group>) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    match group {
        Some(group) => hasher.hash_one((code, group)),
        None => hasher.hash_one(code),
    }
}

/// Sizes the codes of sparse vectors, by the varying number of their elements: enough for 99 rows of 100, plus the space
/// otherwise left over on a page.
fn with_room_for(frozen: Frozen, sample: &[Value]) -> Frozen {
    let mut counts: Vec<usize> = sample
        .iter()
        .filter_map(|value| Some(value.sparse()?.values.len()))
        .collect();
    if frozen.kind != VectorKind::Sparse || counts.is_empty() {
        return frozen;
    }
    let most = counts.len() * 99 / 100;
    let (_, &mut most, _) = counts.select_nth_unstable(most);
    let elements = match counts.len() < TELLING_ROWS {
        true => most.max(SPARSE_ELEMENTS),
        false => most,
    };
    let m = frozen.geometry.m.into();
    let code_len = Codec::sparse_code_len(frozen.dimensions as usize, elements.max(1));
    let of_group = frozen.geometry.grouped_by.map_or(0, |_| group_len(m));
    let longest = max_code_len(m).saturating_sub(of_group);
    let code_len = widest_code_len(m, of_group, code_len.min(longest));
    let geometry = Geometry::new(m, code_len)
        .map(|geometry| geometry.with_keys(frozen.geometry.widths()))
        .and_then(|geometry| geometry.with_groups(frozen.geometry.grouped_by));
    Frozen {
        geometry: geometry.unwrap_or(frozen.geometry),
        ..frozen
    }
}

/// The mean of vectors; `None` without vectors, or if a sum overflows.
fn mean<'v>(vectors: impl Iterator<Item = &'v [f32]>, dimensions: usize) -> Option<Vec<f32>> {
    let (mut sums, mut count) = (vec![0.0_f64; dimensions], 0.0);
    for vector in vectors {
        sums.iter_mut()
            .zip(vector)
            .for_each(|(sum, &x)| *sum += f64::from(x));
        count += 1.0;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean of f32 is in their range"
    )]
    let center: Vec<f32> = sums.into_iter().map(|sum| (sum / count) as f32).collect();
    center.iter().all(|x| x.is_finite()).then_some(center)
}

/// True if subtracting the center at most doubles the length of 99 vectors of 100. The code of a vector made much longer
/// would describe the center, not the vector.
fn suits<'v>(center: &[f32], vectors: impl Iterator<Item = &'v [f32]>) -> bool {
    let squares = |xs: &mut dyn Iterator<Item = f32>| xs.map(|x| f64::from(x).powi(2)).sum::<f64>();
    let (mut count, mut longer) = (0, 0);
    for vector in vectors {
        let moved = vector.iter().zip(center).map(|(x, center)| x - center);
        count += 1;
        longer += usize::from(squares(&mut { moved }) > 4.0 * squares(&mut vector.iter().copied()));
    }
    longer * 100 <= count
}

/// Rows before encoding.
#[derive(Default)]
struct Chunk {
    values: Vec<Value>,
    tids: Vec<HeapTid>,
    /// Empty in an index without groups.
    groups: Vec<Group>,
    /// The total size of the values.
    bytes: usize,
}

/// Rows with their codes.
struct Encoded {
    codes: Vec<u8>,
    hashes: Vec<u64>,
    set: CodeSet,
    tids: Vec<HeapTid>,
    groups: Vec<Group>,
}

/// The elements of a build: distinct codes in the order of their first rows, and their rows.
pub(super) struct Elements {
    /// Build codes; empty if the graph is built on `codes`.
    pub(super) set: CodeSet,
    pub(super) codes: Codes,
    /// The first row of each element.
    pub(super) tids: Vec<HeapTid>,
    /// The group of each element; empty in an index without groups.
    pub(super) groups: Vec<Group>,
    /// Further rows, by element.
    pub(super) more: Vec<(u32, HeapTid)>,
}

impl Elements {
    fn new(plain: &Codec) -> Self {
        Self {
            set: CodeSet::new(plain.routing_dimensions(), plain.metric()),
            codes: Codes::new(plain.code_len()),
            tids: Vec::new(),
            groups: Vec::new(),
            more: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tids.len()
    }
}

/// Page codes, by element.
pub(super) struct Codes {
    len: usize,
    rows_per_block: usize,
    blocks: Vec<Vec<u8>>,
}

impl Codes {
    pub(super) fn new(len: usize) -> Self {
        Self {
            len,
            rows_per_block: (BLOCK_BYTES / len).max(1),
            blocks: Vec::new(),
        }
    }

    pub(super) fn count(&self) -> usize {
        let last = self.blocks.last().map_or(0, |block| block.len() / self.len);
        self.blocks.len().saturating_sub(1) * self.rows_per_block + last
    }

    pub(super) fn get(&self, element: u32) -> &[u8] {
        let (block, row) = (
            element as usize / self.rows_per_block,
            element as usize % self.rows_per_block,
        );
        &self.blocks[block][row * self.len..][..self.len]
    }

    /// Appends the code of element number `element`.
    pub(super) fn push(&mut self, element: usize, code: &[u8]) {
        if element.is_multiple_of(self.rows_per_block) {
            self.blocks.push(reserve(self.rows_per_block * self.len));
        }
        self.blocks
            .last_mut()
            .expect("pushed above for the first element")
            .extend_from_slice(code);
    }
}

/// Rows in a file, with their codes, in the order of the table.
pub(super) struct Spool {
    pub(super) format: Format,
    pub(super) file: TempFile,
    pub(super) rows: u32,
    record: Vec<u8>,
}

impl Spool {
    /// Writes the elements in memory to a new spool.
    fn of(elements: Elements, format: Format, files: TempFiles) -> Self {
        let mut spool = Self {
            format,
            file: files.create(),
            rows: 0,
            record: Vec::with_capacity(format.primary()),
        };
        let firsts = (0..)
            .zip(&elements.tids)
            .map(|(element, &tid)| (element, tid));
        for (element, tid) in firsts.chain(elements.more.iter().copied()) {
            let code = elements.codes.get(element);
            let group = elements.groups.get(element as usize).copied();
            spool.push(
                (tid, group),
                hash_of(code, group),
                &elements.set,
                element,
                code,
            );
        }
        spool
    }

    /// Adds a row. Its build code, if the format has one, is row `id` of `set`.
    fn push(
        &mut self,
        (tid, group): (HeapTid, Option<Group>),
        hash: u64,
        set: &CodeSet,
        id: u32,
        code: &[u8],
    ) {
        self.record.clear();
        Format::write_head(self.rows, tid, hash, group, &mut self.record);
        if self.format.build.by_leaves() {
            set.write_row(id, &mut self.record);
        }
        self.record.extend_from_slice(code);
        self.file.append(&self.record);
        self.rows = self
            .rows
            .checked_add(1)
            .unwrap_or_else(|| error::index_full());
    }
}

/// All rows of a table, after loading.
pub(super) enum Loaded {
    InMemory(Elements),
    InFile(Spool),
}

/// The memory limit of a build, and its needs: per element, and fixed.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// `maintenance_work_mem`, in bytes.
    pub(super) limit: usize,
    /// Bytes per element for constructing the graph, codes not included.
    pub(super) of_element: usize,
    /// The fixed bytes of the construction (its threads).
    pub(super) of_threads: usize,
    /// Creates the files for rows beyond the limit.
    pub(super) files: TempFiles,
}

impl Allowance {
    /// Bytes per element, with its codes.
    fn of_element_with_codes(&self, format: Format) -> usize {
        let codes = format.build.bytes() + format.code + size_of::<HeapTid>();
        KNOWN_BYTES.max(self.of_element) + codes
    }

    /// Bytes of a build in memory of this many distinct vectors.
    pub(super) fn needed(&self, elements: u64, codec: &Codec, geometry: &Geometry) -> u64 {
        let each = self.of_element_with_codes(Format::of(codec, geometry)) as u64;
        let block = Codes::new(codec.code_len()).rows_per_block as u64;
        elements.next_multiple_of(block).saturating_mul(each) + self.of_threads as u64
    }
}

/// Turns rows into elements, in the order of the table.
pub(super) struct Feed<'w> {
    workers: &'w Workers,
    frozen: Frozen,
    allowance: Allowance,
    format: Format,
    /// `None` while the sample is collected: it determines the encoding of all rows.
    encoder: Option<Arc<Encoder>>,
    sample_bytes: usize,
    chunk: Chunk,
    pending: VecDeque<Pending<Encoded>>,
    loaded: Loaded,
    known: HashMap<u64, u32>,
    /// The number of elements with memory already reserved.
    reserved: usize,
}

impl<'w> Feed<'w> {
    pub(super) fn new(workers: &'w Workers, frozen: &Frozen, allowance: Allowance) -> Self {
        let plain = codec(frozen, None);
        Self {
            workers,
            frozen: *frozen,
            allowance,
            format: Format::of(&plain, &frozen.geometry),
            encoder: None,
            sample_bytes: SAMPLE_BYTES.min(allowance.limit / 4),
            chunk: Chunk::default(),
            pending: VecDeque::new(),
            loaded: Loaded::InMemory(Elements::new(&plain)),
            known: HashMap::new(),
            reserved: 0,
        }
    }

    /// Adds an indexed row.
    pub(super) fn add(&mut self, tid: HeapTid, value: Value, group: Option<Group>) {
        let chunk = &mut self.chunk;
        chunk.bytes += value.bytes();
        chunk.values.push(value);
        chunk.tids.push(tid);
        chunk.groups.extend(group);
        let rows = chunk.tids.len();
        let is_enough = match self.encoder {
            Some(_) => rows >= CHUNK_ROWS || chunk.bytes >= CHUNK_BYTES,
            None => rows >= CHUNK_ROWS && chunk.bytes >= self.sample_bytes,
        };
        if is_enough {
            self.submit_all();
        }
    }

    /// Waits for pending chunks; returns all rows and their encoder.
    pub(super) fn finish(mut self) -> (Loaded, Arc<Encoder>) {
        self.submit_all();
        while let Some(first) = self.pending.pop_front() {
            self.add_encoded(&first);
        }
        if let Loaded::InMemory(elements) = &mut self.loaded {
            elements.more.sort_by_key(|&(element, _)| element);
        }
        let encoder = self.encoder();
        (self.loaded, encoder)
    }

    /// The encoder; the first call makes it from the rows collected so far.
    fn encoder(&mut self) -> Arc<Encoder> {
        if let Some(encoder) = &self.encoder {
            return Arc::clone(encoder);
        }
        let encoder = Arc::new(Encoder::new(&self.frozen, &self.chunk.values));
        self.format = Format::of(&encoder.codec, &self.frozen.geometry);
        self.loaded = Loaded::InMemory(Elements::new(&encoder.codec));
        self.encoder = Some(Arc::clone(&encoder));
        encoder
    }

    /// Submits all collected rows: a chunk, or many the first time (the whole sample).
    fn submit_all(&mut self) {
        self.encoder();
        let all = std::mem::take(&mut self.chunk);
        let mut chunk = Chunk::default();
        let mut groups = all.groups.into_iter();
        for (value, tid) in all.values.into_iter().zip(all.tids) {
            chunk.bytes += value.bytes();
            chunk.values.push(value);
            chunk.tids.push(tid);
            chunk.groups.extend(groups.next());
            if chunk.tids.len() >= CHUNK_ROWS || chunk.bytes >= CHUNK_BYTES {
                self.submit(std::mem::take(&mut chunk));
            }
        }
        if !chunk.tids.is_empty() {
            self.submit(chunk);
        }
    }

    fn submit(&mut self, chunk: Chunk) {
        if self.pending.len() >= 2 * self.workers.threads() {
            let first = self.pending.pop_front().expect("the queue is full");
            self.add_encoded(&first);
        }
        let encoder = self.encoder();
        self.pending
            .push_back(self.workers.submit(move || encoder.encode(chunk)));
    }

    fn add_encoded(&mut self, pending: &Pending<Encoded>) {
        let encoded = self.workers.wait(pending, || {});
        let code_len = encoded.codes.len() / encoded.tids.len().max(1);
        let codes = encoded.codes.chunks_exact(code_len.max(1));
        for (row, (&tid, code)) in (0..).zip(encoded.tids.iter().zip(codes)) {
            self.add_row(&encoded, row, tid, code);
        }
    }

    fn add_row(&mut self, encoded: &Encoded, row: u32, tid: HeapTid, code: &[u8]) {
        let hash = encoded.hashes[row as usize];
        let group = encoded.groups.get(row as usize).copied();
        if self.must_spool() {
            self.spool();
        }
        let elements = match &mut self.loaded {
            Loaded::InFile(spool) => {
                return spool.push((tid, group), hash, &encoded.set, row, code);
            }
            Loaded::InMemory(elements) => elements,
        };
        if let Some(&element) = self.known.get(&hash)
            && elements.codes.get(element) == code
            && elements.groups.get(element as usize).copied() == group
        {
            elements.more.push((element, tid));
            return;
        }
        let element = elements.len();
        if element == self.reserved {
            self.reserve_block();
        }
        let Loaded::InMemory(elements) = &mut self.loaded else {
            unreachable!("nothing was spooled since");
        };
        elements.codes.push(element, code);
        elements.tids.push(tid);
        elements.groups.extend(group);
        if self.format.build.by_leaves() {
            elements.set.push_from(&encoded.set, row);
        }
        self.known.entry(hash).or_insert(to_u32(element));
    }

    /// True if the elements, with the next block if one is due, would exceed the limit.
    fn must_spool(&self) -> bool {
        let Loaded::InMemory(elements) = &self.loaded else {
            return false;
        };
        let n = match elements.len() == self.reserved {
            true => self.reserved + elements.codes.rows_per_block,
            false => self.reserved,
        };
        let more = elements.more.len() * size_of::<(u32, HeapTid)>();
        let each = self.allowance.of_element_with_codes(self.format);
        n * each + more + self.allowance.of_threads > self.allowance.limit
    }

    fn spool(&mut self) {
        let nothing = Loaded::InMemory(Elements::new(&self.encoder().codec));
        if let Loaded::InMemory(mut elements) = std::mem::replace(&mut self.loaded, nothing) {
            self.known = HashMap::new();
            elements.more.sort_by_key(|&(element, _)| element);
            let spool = Spool::of(elements, self.format, self.allowance.files);
            self.loaded = Loaded::InFile(spool);
        }
    }

    /// Reserves memory for the next block of elements, already checked against the limit.
    fn reserve_block(&mut self) {
        let is_rotated = self.format.build.by_leaves();
        let Loaded::InMemory(elements) = &mut self.loaded else {
            return;
        };
        let rows = elements.codes.rows_per_block;
        let of_set = if is_rotated {
            elements.set.try_reserve(rows)
        } else {
            Ok(())
        };
        let taken = of_set
            .and_then(|()| elements.tids.try_reserve(rows))
            .and_then(|()| match self.format.group {
                0 => Ok(()),
                _ => elements.groups.try_reserve(rows),
            })
            .and_then(|()| self.known.try_reserve(rows));
        if taken.is_err() {
            error::out_of_memory(rows * elements.codes.len);
        }
        self.reserved += rows;
    }
}

fn reserve(bytes: usize) -> Vec<u8> {
    let mut block = Vec::new();
    if block.try_reserve_exact(bytes).is_err() {
        error::out_of_memory(bytes);
    }
    block
}
