//! From rows to elements: the main thread reads and detoasts, the pool encodes, equal codes become one element.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use layout::{Frozen, HeapTid};
use quantize::{CodeBits, CodeSet, Codec, EncodedRow, Measure, Rotation};

use super::budget::Budget;
use super::workers::{Pending, Workers};
use crate::error;
use crate::storage::index::codec;

/// Rows handed to the pool at a time.
const CHUNK_ROWS: usize = 256;
/// Codes lie in pieces of memory of about this size.
const BLOCK_BYTES: usize = 1 << 18;
/// Rows by whose mean vectors are centered, in bytes.
const SAMPLE_BYTES: usize = 8 << 20;
/// What the table of known codes takes for each element: hash, place and slack.
const KNOWN_BYTES: usize = 36;

/// Makes codes: those that pages hold and, where the graph is built on them, those of the build.
pub(super) struct Encoder {
    codec: Codec,
    /// What codes leave out of every vector.
    center: Option<Vec<f32>>,
    /// None for short vectors and L1, whose graph is built on the codes that pages hold.
    rotation: Option<Rotation>,
}

impl Encoder {
    /// Codes as an index with these options has them. The center is the mean of the sample where that helps: codes of
    /// what is left of a vector are finer than codes of all of it.
    fn new(frozen: &Frozen, sample: &[f32]) -> Self {
        let plain = codec(frozen, None);
        let dimensions = plain.dimensions();
        if plain.bits() == CodeBits::Exact || plain.measure() == Measure::L1 {
            return Self {
                codec: plain,
                center: None,
                rotation: None,
            };
        }
        let center = mean(sample, dimensions);
        let rotation = Some(Rotation::new(dimensions, frozen.seed));
        Self {
            codec: codec(frozen, center.as_deref()),
            center,
            rotation,
        }
    }

    /// The code of a vector for the build. Distances do not change when all vectors are moved; inner products do.
    fn encode_for_build(
        &self,
        rotation: &Rotation,
        vector: &[f32],
        moved: &mut [f32],
        row: &mut EncodedRow,
    ) {
        moved.copy_from_slice(vector);
        if let (Measure::L2, Some(center)) = (self.codec.measure(), &self.center) {
            moved
                .iter_mut()
                .zip(center)
                .for_each(|(x, center)| *x -= center);
        }
        rotation.rotate(moved);
        row.encode(moved);
    }

    fn encode(&self, chunk: Chunk) -> Encoded {
        let (dimensions, code_len) = (self.codec.dimensions(), self.codec.code_len());
        let mut encoded = Encoded {
            codes: vec![0; chunk.tids.len() * code_len],
            hashes: Vec::with_capacity(chunk.tids.len()),
            set: CodeSet::new(dimensions, self.codec.measure()),
            tids: chunk.tids,
        };
        let mut row = EncodedRow::new();
        let mut moved = vec![0.0; dimensions];
        let codes = encoded.codes.chunks_exact_mut(code_len);
        for (vector, code) in chunk.floats.chunks_exact(dimensions).zip(codes) {
            self.codec.encode(vector, code);
            encoded
                .hashes
                .push(BuildHasherDefault::<DefaultHasher>::default().hash_one(&*code));
            if let Some(rotation) = &self.rotation {
                self.encode_for_build(rotation, vector, &mut moved, &mut row);
                encoded.set.push(&row);
            }
        }
        encoded
    }
}

/// The mean of vectors; none of no vectors, or where sums overflow.
fn mean(vectors: &[f32], dimensions: usize) -> Option<Vec<f32>> {
    let mut sums = vec![0.0_f64; dimensions];
    for vector in vectors.chunks_exact(dimensions) {
        sums.iter_mut()
            .zip(vector)
            .for_each(|(sum, &x)| *sum += f64::from(x));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
    let count = (vectors.len() / dimensions) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean of f32 is in their range"
    )]
    let center: Vec<f32> = sums.into_iter().map(|sum| (sum / count) as f32).collect();
    center.iter().all(|x| x.is_finite()).then_some(center)
}

/// Rows as they were read.
#[derive(Default)]
struct Chunk {
    floats: Vec<f32>,
    tids: Vec<HeapTid>,
}

/// Rows with their codes.
struct Encoded {
    codes: Vec<u8>,
    hashes: Vec<u64>,
    set: CodeSet,
    tids: Vec<HeapTid>,
}

/// The elements of a build: distinct codes in the order of their first rows, and their rows.
pub(super) struct Elements {
    /// Codes of the build; empty where the graph is built on `codes`.
    pub(super) set: CodeSet,
    pub(super) codes: Codes,
    /// The first row of each element.
    pub(super) tids: Vec<HeapTid>,
    /// Further rows, by element.
    pub(super) more: Vec<(u32, HeapTid)>,
}

impl Elements {
    pub(super) fn len(&self) -> usize {
        self.tids.len()
    }
}

/// Codes as pages hold them, by element.
pub(super) struct Codes {
    len: usize,
    rows_per_block: usize,
    blocks: Vec<Vec<u8>>,
}

impl Codes {
    fn new(len: usize) -> Self {
        Self {
            len,
            rows_per_block: (BLOCK_BYTES / len).max(1),
            blocks: Vec::new(),
        }
    }

    pub(super) fn get(&self, element: u32) -> &[u8] {
        let (block, row) = (
            element as usize / self.rows_per_block,
            element as usize % self.rows_per_block,
        );
        &self.blocks[block][row * self.len..][..self.len]
    }

    /// Appends the code of element number `element`.
    fn push(&mut self, element: usize, code: &[u8]) {
        if element.is_multiple_of(self.rows_per_block) {
            self.blocks.push(reserve(self.rows_per_block * self.len));
        }
        self.blocks
            .last_mut()
            .expect("pushed above for the first element")
            .extend_from_slice(code);
    }
}

/// Takes rows in the order of the table and makes elements of them.
pub(super) struct Feed<'w> {
    workers: &'w Workers,
    frozen: Frozen,
    /// None while the first rows are collected, by whose mean vectors are centered.
    encoder: Option<Arc<Encoder>>,
    sample_rows: usize,
    chunk: Chunk,
    pending: VecDeque<Pending<Encoded>>,
    max_pending: usize,
    elements: Elements,
    known: HashMap<u64, u32>,
    /// Elements whose memory is charged already.
    charged: usize,
}

impl<'w> Feed<'w> {
    pub(super) fn new(workers: &'w Workers, threads: usize, frozen: &Frozen) -> Self {
        let plain = codec(frozen, None);
        Self {
            workers,
            frozen: *frozen,
            encoder: None,
            sample_rows: (SAMPLE_BYTES / size_of::<f32>() / plain.dimensions()).max(CHUNK_ROWS),
            chunk: Chunk::default(),
            pending: VecDeque::new(),
            max_pending: 2 * threads,
            elements: Elements {
                set: CodeSet::new(plain.dimensions(), plain.measure()),
                codes: Codes::new(plain.code_len()),
                tids: Vec::new(),
                more: Vec::new(),
            },
            known: HashMap::new(),
            charged: 0,
        }
    }

    /// Takes a row whose floats `fill` appends; it says whether the row is indexed.
    pub(super) fn add(
        &mut self,
        budget: &mut Budget,
        tid: HeapTid,
        fill: impl FnOnce(&mut Vec<f32>) -> bool,
    ) {
        if !fill(&mut self.chunk.floats) {
            return;
        }
        self.chunk.tids.push(tid);
        let enough = if self.encoder.is_some() {
            CHUNK_ROWS
        } else {
            self.sample_rows
        };
        if self.chunk.tids.len() >= enough {
            self.submit_all(budget);
        }
    }

    /// Waits for what is under way; gives all elements and how they were encoded.
    pub(super) fn finish(mut self, budget: &mut Budget) -> (Elements, Codec, Option<Vec<f32>>) {
        self.submit_all(budget);
        while let Some(first) = self.pending.pop_front() {
            self.take_in(budget, &first);
        }
        budget.release(self.charged * KNOWN_BYTES);
        self.elements.more.sort_by_key(|&(element, _)| element);
        let encoder = self.encoder();
        (self.elements, encoder.codec.clone(), encoder.center.clone())
    }

    /// The encoder, made from the rows at hand when it is first needed.
    fn encoder(&mut self) -> Arc<Encoder> {
        let make = || Arc::new(Encoder::new(&self.frozen, &self.chunk.floats));
        Arc::clone(self.encoder.get_or_insert_with(make))
    }

    fn submit_all(&mut self, budget: &mut Budget) {
        let (encoder, chunk) = (self.encoder(), std::mem::take(&mut self.chunk));
        let dimensions = encoder.codec.dimensions();
        let pieces = chunk
            .floats
            .chunks(CHUNK_ROWS * dimensions)
            .zip(chunk.tids.chunks(CHUNK_ROWS));
        for (floats, tids) in pieces {
            self.submit(
                budget,
                Chunk {
                    floats: floats.to_vec(),
                    tids: tids.to_vec(),
                },
            );
        }
    }

    fn submit(&mut self, budget: &mut Budget, chunk: Chunk) {
        if self.pending.len() == self.max_pending {
            let first = self.pending.pop_front().expect("the queue is full");
            self.take_in(budget, &first);
        }
        let encoder = self.encoder();
        self.pending
            .push_back(self.workers.submit(move || encoder.encode(chunk)));
    }

    fn take_in(&mut self, budget: &mut Budget, pending: &Pending<Encoded>) {
        let encoded = self.workers.wait(pending, || {});
        let code_len = self.elements.codes.len;
        for (row, &tid) in encoded.tids.iter().enumerate() {
            let code = &encoded.codes[row * code_len..][..code_len];
            match self.known.get(&encoded.hashes[row]) {
                Some(&element) if self.elements.codes.get(element) == code => {
                    budget.charge(size_of::<(u32, HeapTid)>());
                    self.elements.more.push((element, tid));
                }
                _ => self.add_element(budget, &encoded, row, code, tid),
            }
        }
    }

    fn add_element(
        &mut self,
        budget: &mut Budget,
        encoded: &Encoded,
        row: usize,
        code: &[u8],
        tid: HeapTid,
    ) {
        let element = self.elements.len();
        if element == self.charged {
            budget.charge(self.block_bytes());
            self.charged += self.elements.codes.rows_per_block;
            self.reserve_block();
        }
        self.elements.codes.push(element, code);
        self.elements.tids.push(tid);
        if self.is_rotated() {
            self.elements
                .set
                .push_from(&encoded.set, u32::try_from(row).expect("a chunk is small"));
        }
        let Ok(element) = u32::try_from(element) else {
            error::index_full()
        };
        self.known.entry(encoded.hashes[row]).or_insert(element);
    }

    fn is_rotated(&self) -> bool {
        self.encoder
            .as_ref()
            .is_some_and(|encoder| encoder.rotation.is_some())
    }

    /// What a block of elements takes.
    fn block_bytes(&self) -> usize {
        let rows = self.elements.codes.rows_per_block;
        let set_of = |rows| CodeSet::bytes_needed(rows, self.elements.set.dimensions());
        let of_set = if self.is_rotated() {
            set_of(self.charged + rows) - set_of(self.charged)
        } else {
            0
        };
        of_set + rows * (self.elements.codes.len + size_of::<HeapTid>() + KNOWN_BYTES)
    }

    /// Takes the memory of the next block of elements, which is charged.
    fn reserve_block(&mut self) {
        let (bytes, rows) = (self.block_bytes(), self.elements.codes.rows_per_block);
        let of_set = if self.is_rotated() {
            self.elements.set.try_reserve(rows)
        } else {
            Ok(())
        };
        let taken = of_set
            .and_then(|()| self.elements.tids.try_reserve(rows))
            .and_then(|()| self.known.try_reserve(rows));
        if taken.is_err() {
            error::out_of_memory(bytes);
        }
    }
}

fn reserve(bytes: usize) -> Vec<u8> {
    let mut block = Vec::new();
    if block.try_reserve_exact(bytes).is_err() {
        error::out_of_memory(bytes);
    }
    block
}
