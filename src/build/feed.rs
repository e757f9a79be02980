//! From rows to elements: the main thread reads and detoasts, the pool encodes, equal codes become one element.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use layout::HeapTid;
use quantize::{CodeBits, CodeSet, Codec, EncodedRow, Measure, Rotation};

use super::budget::Budget;
use super::workers::{Pending, Workers};
use crate::error;

/// Rows handed to the pool at a time.
const CHUNK_ROWS: usize = 256;
/// Rows whose codes lie in one piece of memory.
const BLOCK_ROWS: usize = 4096;
/// What the table of known codes takes for each element: hash, place and slack.
const KNOWN_BYTES: usize = 36;

/// Makes codes: those that pages hold and, where the graph is built on them, those of the build.
pub(super) struct Encoder {
    codec: Codec,
    /// None for short vectors and L1, whose graph is built on the codes that pages hold.
    rotation: Option<Rotation>,
}

impl Encoder {
    pub(super) fn new(codec: Codec, seed: u64) -> Self {
        let rotated = codec.bits() != CodeBits::Exact && codec.measure() != Measure::L1;
        let rotation = rotated.then(|| Rotation::new(codec.dimensions(), seed));
        Self { codec, rotation }
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
        let mut rotated = vec![0.0; dimensions];
        let codes = encoded.codes.chunks_exact_mut(code_len);
        for (vector, code) in chunk.floats.chunks_exact(dimensions).zip(codes) {
            self.codec.encode(vector, code);
            encoded
                .hashes
                .push(BuildHasherDefault::<DefaultHasher>::default().hash_one(&*code));
            if let Some(rotation) = &self.rotation {
                rotated.copy_from_slice(vector);
                rotation.rotate(&mut rotated);
                row.encode(&rotated);
                encoded.set.push(&row);
            }
        }
        encoded
    }
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
    blocks: Vec<Vec<u8>>,
}

impl Codes {
    pub(super) fn get(&self, element: u32) -> &[u8] {
        let (block, row) = (element as usize / BLOCK_ROWS, element as usize % BLOCK_ROWS);
        &self.blocks[block][row * self.len..][..self.len]
    }

    /// Appends the code of element number `element`.
    fn push(&mut self, element: usize, code: &[u8]) {
        if element.is_multiple_of(BLOCK_ROWS) {
            self.blocks.push(reserve(BLOCK_ROWS * self.len));
        }
        self.blocks
            .last_mut()
            .expect("pushed above for the first element")
            .extend_from_slice(code);
    }
}

/// Takes rows in the order of the table and makes elements of them.
pub(super) struct Feed<'w> {
    workers: &'w mut Workers,
    encoder: Arc<Encoder>,
    chunk: Chunk,
    pending: VecDeque<Pending<Encoded>>,
    max_pending: usize,
    elements: Elements,
    known: HashMap<u64, u32>,
    /// Elements whose memory is charged already.
    charged: usize,
    bytes_per_block: usize,
}

impl<'w> Feed<'w> {
    pub(super) fn new(workers: &'w mut Workers, threads: usize, encoder: Encoder) -> Self {
        let (dimensions, code_len) = (encoder.codec.dimensions(), encoder.codec.code_len());
        let of_set = if encoder.rotation.is_some() {
            CodeSet::bytes_needed(BLOCK_ROWS, dimensions)
        } else {
            0
        };
        let per_row = code_len + size_of::<HeapTid>() + KNOWN_BYTES;
        Self {
            workers,
            chunk: Chunk::default(),
            pending: VecDeque::new(),
            max_pending: 2 * threads,
            elements: Elements {
                set: CodeSet::new(dimensions, encoder.codec.measure()),
                codes: Codes {
                    len: code_len,
                    blocks: Vec::new(),
                },
                tids: Vec::new(),
                more: Vec::new(),
            },
            known: HashMap::new(),
            charged: 0,
            bytes_per_block: of_set + BLOCK_ROWS * per_row,
            encoder: Arc::new(encoder),
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
        if self.chunk.tids.len() == CHUNK_ROWS {
            self.submit(budget);
        }
    }

    /// Waits for what is under way and gives all elements.
    pub(super) fn finish(mut self, budget: &mut Budget) -> Elements {
        self.submit(budget);
        while let Some(first) = self.pending.pop_front() {
            self.take_in(budget, &first);
        }
        budget.release(self.known.len() * KNOWN_BYTES);
        self.elements.more.sort_by_key(|&(element, _)| element);
        self.elements
    }

    fn submit(&mut self, budget: &mut Budget) {
        if self.pending.len() == self.max_pending {
            let first = self.pending.pop_front().expect("the queue is full");
            self.take_in(budget, &first);
        }
        let (chunk, encoder) = (std::mem::take(&mut self.chunk), Arc::clone(&self.encoder));
        self.chunk.floats.reserve(chunk.floats.len());
        self.pending
            .push_back(self.workers.submit(move || encoder.encode(chunk)));
    }

    fn take_in(&mut self, budget: &mut Budget, pending: &Pending<Encoded>) {
        let encoded = self.workers.wait(pending, || {});
        let code_len = self.encoder.codec.code_len();
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
            budget.charge(self.bytes_per_block);
            self.charged += BLOCK_ROWS;
            self.reserve_block();
        }
        self.elements.codes.push(element, code);
        self.elements.tids.push(tid);
        if self.encoder.rotation.is_some() {
            self.elements
                .set
                .push_from(&encoded.set, u32::try_from(row).expect("a chunk is small"));
        }
        let Ok(element) = u32::try_from(element) else {
            error::index_full()
        };
        self.known.entry(encoded.hashes[row]).or_insert(element);
    }

    /// Takes the memory of the next block of elements, which is charged.
    fn reserve_block(&mut self) {
        let elements = &mut self.elements;
        let of_set = if self.encoder.rotation.is_some() {
            elements.set.try_reserve(BLOCK_ROWS)
        } else {
            Ok(())
        };
        let taken = of_set
            .and_then(|()| elements.tids.try_reserve(BLOCK_ROWS))
            .and_then(|()| self.known.try_reserve(BLOCK_ROWS));
        if taken.is_err() {
            error::out_of_memory(self.bytes_per_block);
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
