//! The row keys of a build: kept in files until each row's element has its place in the index, then written to filter pages in
//! the order of the table, so that columns that follow this order have narrow bounds in each page.

use hnsw::ElementId;
use layout::{FilterPageMut, FilterShape, Geometry, HeapTid};

use super::buckets::Buckets;
use super::format::{OfRow, to_u32};
use crate::error;
use crate::pg::interrupt;
use crate::pg::temp_file::TempFiles;
use crate::storage::bulk::{BulkWriter, PageImage};

/// Postgres stores at most this number of rows in a block of a table (`MaxHeapTuplesPerPage`).
const ROWS_OF_BLOCK: usize = 291;

/// Row keys and elements, each by the TID of the row, in buckets of consecutive blocks of the table.
pub(super) struct Keys {
    shape: FilterShape,
    rows: u32,
    blocks_of_bucket: u32,
    keys: Buckets,
    elements: Buckets,
    record: Vec<u8>,
}

impl Keys {
    /// For a table of `blocks` blocks. A bucket's rows take up to `memory` bytes.
    pub(super) fn new(files: TempFiles, shape: FilterShape, blocks: u32, memory: usize) -> Self {
        let key = OfRow::bytes(shape.widths.key_len());
        let element = OfRow::bytes(size_of::<u32>());
        let of_block = 2 * ROWS_OF_BLOCK * (key + element);
        let blocks_of_bucket = u32::try_from((memory / of_block).max(1)).unwrap_or(u32::MAX);
        let count = blocks.div_ceil(blocks_of_bucket).max(1) as usize;
        Self {
            shape,
            rows: 0,
            blocks_of_bucket,
            keys: Buckets::new(files, count, key, memory / 2),
            elements: Buckets::new(files, count, element, memory / 2),
            record: Vec::new(),
        }
    }

    /// Adds the row key of an indexed row.
    pub(super) fn add(&mut self, tid: HeapTid, row_key: &[u8]) {
        self.record.clear();
        OfRow::write(tid, row_key, &mut self.record);
        self.keys.append(self.bucket_of(tid), &self.record);
        self.rows = self
            .rows
            .checked_add(1)
            .unwrap_or_else(|| error::index_full());
    }

    /// Sets the element of a row.
    pub(super) fn set_element(&mut self, tid: HeapTid, element: ElementId) {
        self.record.clear();
        OfRow::write(tid, &element.0.to_ne_bytes(), &mut self.record);
        self.elements.append(self.bucket_of(tid), &self.record);
    }

    /// A block beyond the table's end when the build began belongs to the last bucket.
    fn bucket_of(&self, tid: HeapTid) -> usize {
        let bucket = (tid.block / self.blocks_of_bucket) as usize;
        bucket.min(self.keys.count() - 1)
    }

    /// The number of filter pages.
    pub(super) fn pages(&self) -> u32 {
        self.rows.div_ceil(self.shape.per_page.into())
    }

    /// True if the last filter page has room.
    pub(super) fn has_room(&self) -> bool {
        !self.rows.is_multiple_of(self.shape.per_page.into())
    }

    /// Writes all entries, once every row's element is set.
    pub(super) fn write(mut self, writer: &mut BulkWriter, geometry: &Geometry) {
        let mut pages = Pages {
            geometry,
            per_page: self.shape.per_page,
            end: writer.next() + self.pages(),
            is_listed: self.has_room(),
            page: PageImage::EMPTY,
            entry: 0,
        };
        for bucket in 0..self.keys.count() {
            let key_len = self.shape.widths.key_len();
            let keys = Sorted::read(&mut self.keys, bucket, OfRow::bytes(key_len));
            let element_len = OfRow::bytes(size_of::<u32>());
            let elements = Sorted::read(&mut self.elements, bucket, element_len);
            if keys.order.len() != elements.order.len() {
                error::build_failed("a row has no key or no element");
            }
            for (key, element) in keys.records().zip(elements.records()) {
                let ((tid, row_key), (other, element)) = (OfRow::read(key), OfRow::read(element));
                if tid != other {
                    error::build_failed("a row has no key or no element");
                }
                let element = ElementId(OfRow::number(element));
                pages.push(writer, element, tid, row_key);
            }
            self.keys.forget(bucket);
            self.elements.forget(bucket);
        }
        pages.finish(writer);
    }
}

/// The records of a bucket, by TID.
struct Sorted {
    bytes: Vec<u8>,
    record_bytes: usize,
    /// The records' numbers.
    order: Vec<u32>,
}

impl Sorted {
    fn read(buckets: &mut Buckets, bucket: usize, record_bytes: usize) -> Self {
        interrupt::check();
        let count = usize::try_from(buckets.records(bucket)).expect("a count of rows");
        let mut bytes = Vec::new();
        let mut order = Vec::new();
        let len = count * record_bytes;
        if bytes.try_reserve_exact(len).is_err() || order.try_reserve_exact(count).is_err() {
            error::out_of_memory(len);
        }
        buckets.read(bucket, |block| bytes.extend_from_slice(block));
        order.extend(0..to_u32(count));
        order.sort_unstable_by_key(|&number| {
            OfRow::read(&bytes[number as usize * record_bytes..]).0
        });
        Self {
            bytes,
            record_bytes,
            order,
        }
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        let record = |&number: &u32| {
            let at = number as usize * self.record_bytes;
            &self.bytes[at..at + self.record_bytes]
        };
        self.order.iter().map(record)
    }
}

/// Filter pages filled one after the other.
struct Pages<'a> {
    geometry: &'a Geometry,
    per_page: u16,
    /// The block after the last page.
    end: u32,
    /// True if the last page goes to the free list.
    is_listed: bool,
    page: PageImage,
    /// The next entry of the page.
    entry: u16,
}

impl Pages<'_> {
    fn push(&mut self, writer: &mut BulkWriter, element: ElementId, tid: HeapTid, row_key: &[u8]) {
        if self.entry == 0 {
            let next = writer.next() + 1;
            let next = (next < self.end).then_some(next);
            FilterPageMut::init(&mut self.page.0, self.geometry, next);
        }
        let mut view = FilterPageMut::view(&mut self.page.0, self.geometry)
            .expect("the page was initialised just now");
        view.write(self.entry, element, tid, row_key);
        self.entry += 1;
        if self.entry == self.per_page {
            self.write(writer);
        }
    }

    fn write(&mut self, writer: &mut BulkWriter) {
        writer.write(std::slice::from_mut(&mut self.page));
        self.entry = 0;
    }

    fn finish(mut self, writer: &mut BulkWriter) {
        if self.entry > 0 {
            if self.is_listed {
                layout::list_page(&mut self.page.0, None).expect("the page was filled just now");
            }
            self.write(writer);
        }
    }
}
