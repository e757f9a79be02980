//! Records sorted into buckets of one temporary file: filled in any order, read a bucket at a time.

use super::format::to_u32;
use crate::pg::temp_file::{TempFile, TempFiles};

/// The maximum size of a block, in bytes.
const LARGEST_BLOCK: usize = 1 << 16;

/// Buckets of records. Each bucket collects its records in memory until they fill a block of the file.
pub(super) struct Buckets {
    file: TempFile,
    block_bytes: usize,
    buckets: Vec<Bucket>,
}

#[derive(Default)]
struct Bucket {
    records: u64,
    /// Block numbers in the file, each with the number of bytes in use.
    blocks: Vec<(u32, u32)>,
    open: Vec<u8>,
}

impl Buckets {
    /// `count` buckets, for records of up to `record_bytes`. Open blocks take about `memory` bytes, or one record each.
    pub(super) fn new(files: TempFiles, count: usize, record_bytes: usize, memory: usize) -> Self {
        let block_bytes = (memory / count.max(1)).min(LARGEST_BLOCK).max(record_bytes);
        Self {
            file: files.create(),
            block_bytes,
            buckets: std::iter::repeat_with(Bucket::default)
                .take(count)
                .collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.buckets.len()
    }

    /// The number of records in a bucket.
    pub(super) fn records(&self, bucket: usize) -> u64 {
        self.buckets[bucket].records
    }

    /// Adds a record to a bucket.
    pub(super) fn append(&mut self, bucket: usize, record: &[u8]) {
        let bucket = &mut self.buckets[bucket];
        if bucket.open.len() + record.len() > self.block_bytes {
            bucket.close_block(&mut self.file, self.block_bytes);
        }
        if bucket.open.capacity() == 0 {
            bucket.open.reserve_exact(self.block_bytes);
        }
        bucket.open.extend_from_slice(record);
        bucket.records += 1;
    }

    /// Passes the records of a bucket to `show`, a block at a time, in the order of their arrival.
    pub(super) fn read(&mut self, bucket: usize, mut show: impl FnMut(&[u8])) {
        let bucket = &self.buckets[bucket];
        let mut block = vec![0; self.block_bytes];
        for &(number, used) in &bucket.blocks {
            let used = &mut block[..used as usize];
            let offset = u64::from(number) * self.block_bytes as u64;
            self.file.read_at(offset, used);
            show(used);
        }
        if !bucket.open.is_empty() {
            show(&bucket.open);
        }
    }

    /// Frees the memory of a bucket no longer needed.
    pub(super) fn forget(&mut self, bucket: usize) {
        self.buckets[bucket] = Bucket::default();
    }
}

impl Bucket {
    fn close_block(&mut self, file: &mut TempFile, block_bytes: usize) {
        let number = to_u32(usize::try_from(file.len()).expect("64 bits") / block_bytes);
        let used = u32::try_from(self.open.len()).expect("a block is small");
        self.open.resize(block_bytes, 0);
        file.append(&self.open);
        self.blocks.push((number, used));
        self.open.clear();
    }
}
