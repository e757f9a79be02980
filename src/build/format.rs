//! The records of a build in temporary files: for each kind, how it is written and how it is read.

use hnsw::Level;
use layout::{GROUP_BYTES, Geometry, Group, HeapTid};
use quantize::{CodeSet, Codec};

use crate::error;

/// The way a graph is built, and its codes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BuildCodes {
    /// By leaves, on int8 codes of `bytes` in a record (`CodeSet::write_row`).
    Leaves { bytes: usize },
    /// By insertion, on the codes of pages.
    Stored,
}

impl BuildCodes {
    /// The choice for an index with this codec.
    pub(super) fn of(codec: &Codec) -> Self {
        if codec.is_rotated() {
            Self::Leaves {
                bytes: CodeSet::row_bytes(codec.dimensions()),
            }
        } else {
            Self::Stored
        }
    }

    pub(super) fn by_leaves(self) -> bool {
        matches!(self, Self::Leaves { .. })
    }

    /// Bytes of a record for codes beside the page code.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Leaves { bytes } => bytes,
            Self::Stored => 0,
        }
    }
}

/// Bytes before the group and the codes: row, nearest cell, the row's TID (6 bytes and 2 of padding), the hash of its code.
const HEAD: usize = 24;

/// Bytes of a row's TID.
const TID_BYTES: usize = 8;

/// The record of a row on its way to the graph: a head, the build code if there is one, the page code.
#[derive(Clone, Copy)]
pub(super) struct Format {
    pub(super) build: BuildCodes,
    /// Bytes of the page code.
    pub(super) code: usize,
    /// Bytes of the group; 0 in an index without groups.
    pub(super) group: usize,
}

impl Format {
    /// The format of rows encoded by this codec.
    pub(super) fn of(codec: &Codec, geometry: &Geometry) -> Self {
        Self {
            build: BuildCodes::of(codec),
            group: geometry.grouped_by.map_or(0, |_| GROUP_BYTES),
            code: codec.code_len(),
        }
    }

    /// Bytes of a row's record in its primary cell, the nearest one.
    pub(super) fn primary(self) -> usize {
        HEAD + self.group + self.build.bytes() + self.code
    }

    /// Bytes of a row's record in another cell: the same record, up to and including the code for the graph.
    pub(super) fn replica(self) -> usize {
        match self.build {
            BuildCodes::Leaves { bytes } => HEAD + self.group + bytes,
            BuildCodes::Stored => self.primary(),
        }
    }

    /// Bytes of the code for the graph.
    pub(super) fn built_on(self) -> usize {
        self.replica() - HEAD - self.group
    }

    /// Appends the head of a record; codes follow.
    pub(super) fn write_head(
        row: u32,
        tid: HeapTid,
        hash: u64,
        group: Option<Group>,
        into: &mut Vec<u8>,
    ) {
        into.extend(row.to_ne_bytes());
        into.extend([0; 4]);
        write_tid(tid, into);
        into.extend(hash.to_ne_bytes());
        into.extend(group.iter().flat_map(|group| group.to_bytes()));
    }

    pub(super) fn row(record: &[u8]) -> u32 {
        read_u32(record, 0)
    }

    /// The row's primary cell.
    pub(super) fn primary_cell(record: &[u8]) -> u32 {
        read_u32(record, 4)
    }

    pub(super) fn set_primary_cell(record: &mut [u8], cell: u32) {
        record[4..8].copy_from_slice(&cell.to_ne_bytes());
    }

    pub(super) fn tid(record: &[u8]) -> HeapTid {
        read_tid(record, 8)
    }

    pub(super) fn hash(record: &[u8]) -> u64 {
        u64::from(read_u32(record, 16)) | u64::from(read_u32(record, 20)) << 32
    }

    /// The row's group; `None` in an index without groups.
    pub(super) fn group(self, record: &[u8]) -> Option<Group> {
        (self.group > 0).then(|| Group::from_bytes(&record[HEAD..]))
    }

    /// The build code; empty if there is none.
    pub(super) fn build_code(self, record: &[u8]) -> &[u8] {
        &record[HEAD + self.group..][..self.build.bytes()]
    }

    pub(super) fn code(self, record: &[u8]) -> &[u8] {
        &record[HEAD + self.group + self.build.bytes()..]
    }
}

/// The record of an element in page order; its code follows the head.
pub(super) struct ElementRecord {
    pub(super) first: HeapTid,
    pub(super) second: Option<HeapTid>,
    /// The head of the chain of overflow slots.
    pub(super) overflow: Option<u32>,
}

impl ElementRecord {
    /// Bytes before the code.
    pub(super) const HEAD: usize = 2 * TID_BYTES + 8;

    /// Appends the head; the code follows.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        write_tid(self.first, into);
        write_tid(self.second.unwrap_or(self.first), into);
        write_u32(u32::from(self.second.is_some()), into);
        write_link(self.overflow, into);
    }

    pub(super) fn read(record: &[u8]) -> Self {
        let has_second = read_u32(record, 2 * TID_BYTES) != 0;
        Self {
            first: read_tid(record, 0),
            second: has_second.then(|| read_tid(record, TID_BYTES)),
            overflow: read_link(record, 2 * TID_BYTES + 4),
        }
    }
}

/// The record of an overflow slot.
pub(super) struct OverflowRecord {
    /// The first row of the element.
    pub(super) row: u32,
    /// The next slot of the chain.
    pub(super) next: Option<u32>,
    pub(super) serial: u32,
}

impl OverflowRecord {
    const HEAD: usize = 16;
    pub(super) const BYTES: usize = Self::HEAD + layout::OVERFLOW_TIDS * TID_BYTES;

    /// Appends the record of a slot with these TIDs.
    pub(super) fn write(&self, tids: &[HeapTid], into: &mut Vec<u8>) {
        let end = into.len() + Self::BYTES;
        write_u32(self.row, into);
        write_link(self.next, into);
        write_u32(self.serial, into);
        write_u32(to_u32(tids.len()), into);
        tids.iter().for_each(|&tid| write_tid(tid, into));
        into.resize(end, 0);
    }

    /// Reads a record; appends its TIDs.
    pub(super) fn read(record: &[u8], tids: &mut Vec<HeapTid>) -> Self {
        let count = read_u32(record, 12) as usize;
        tids.extend((0..count).map(|i| read_tid(record, Self::HEAD + i * TID_BYTES)));
        Self {
            row: read_u32(record, 0),
            next: read_link(record, 4),
            serial: read_u32(record, 8),
        }
    }
}

/// The position in page order of a row merged into another row's element.
pub(super) const NO_PLACE: u32 = u32::MAX;

/// The record of a neighbor list from one cell.
#[derive(Clone, Copy)]
pub(super) struct ListRecord<'r> {
    pub(super) row: u32,
    pub(super) level: Level,
    neighbors: &'r [u8],
}

impl<'r> ListRecord<'r> {
    const HEAD: usize = 8;
    /// Bytes of a neighbor: its row and its distance.
    const NEIGHBOR: usize = 8;

    /// Bytes of a list of this many neighbors.
    pub(super) const fn bytes(neighbors: usize) -> usize {
        Self::HEAD + neighbors * Self::NEIGHBOR
    }

    /// Appends the list of a row: rows with their distances.
    pub(super) fn write(
        row: u32,
        level: Level,
        neighbors: impl ExactSizeIterator<Item = (u32, f32)>,
        into: &mut Vec<u8>,
    ) {
        write_u32(row, into);
        write_u32(u32::from(level) << 16 | to_u32(neighbors.len()), into);
        for (row, distance) in neighbors {
            write_u32(row, into);
            into.extend(distance.to_ne_bytes());
        }
    }

    /// Reads the first of some records; also returns its length.
    pub(super) fn read(records: &'r [u8]) -> (Self, usize) {
        let head = read_u32(records, 4);
        let len = Self::bytes((head & 0xffff) as usize);
        let list = Self {
            row: read_u32(records, 0),
            level: (head >> 16) as Level,
            neighbors: &records[Self::HEAD..len],
        };
        (list, len)
    }

    /// The neighbors' rows and distances.
    pub(super) fn neighbors(self) -> impl Iterator<Item = (u32, f32)> + use<'r> {
        let neighbors = self.neighbors.chunks_exact(Self::NEIGHBOR);
        neighbors.map(|bytes| (read_u32(bytes, 0), f32::from_bits(read_u32(bytes, 4))))
    }
}

/// The record of a row of the layers built as a whole: the row, then the code for the graph.
pub(super) struct MemberRecord;

impl MemberRecord {
    /// Appends the head; the code follows.
    pub(super) fn write(row: u32, into: &mut Vec<u8>) {
        write_u32(row, into);
    }

    /// Bytes of a record with a code of this many.
    pub(super) fn bytes(code: usize) -> usize {
        size_of::<u32>() + code
    }

    pub(super) fn read(record: &[u8]) -> (u32, &[u8]) {
        (read_u32(record, 0), &record[size_of::<u32>()..])
    }
}

/// The record of something known of a row: its TID, then its row key or its element.
pub(super) struct OfRow;

impl OfRow {
    /// Bytes of a record of this many more bytes.
    pub(super) fn bytes(known: usize) -> usize {
        TID_BYTES + known
    }

    /// Appends a record.
    pub(super) fn write(tid: HeapTid, known: &[u8], into: &mut Vec<u8>) {
        write_tid(tid, into);
        into.extend_from_slice(known);
    }

    /// Reads the TID of a record; also returns the other bytes.
    pub(super) fn read(record: &[u8]) -> (HeapTid, &[u8]) {
        (read_tid(record, 0), &record[TID_BYTES..])
    }

    /// The number that the other bytes are.
    pub(super) fn number(known: &[u8]) -> u32 {
        read_u32(known, 0)
    }
}

/// Writes numbers into the caller's buffer, in place of its contents.
pub(super) fn write_numbers<'b>(numbers: &[u32], into: &'b mut Vec<u8>) -> &'b [u8] {
    into.clear();
    into.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    into
}

pub(super) fn read_numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&number| u32::from_ne_bytes(number))
}

fn write_u32(number: u32, into: &mut Vec<u8>) {
    into.extend(number.to_ne_bytes());
}

/// Zero stands for no link.
fn write_link(slot: Option<u32>, into: &mut Vec<u8>) {
    write_u32(slot.map_or(0, |slot| slot + 1), into);
}

fn read_link(record: &[u8], at: usize) -> Option<u32> {
    read_u32(record, at).checked_sub(1)
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("a record is whole"))
}

fn write_tid(tid: HeapTid, into: &mut Vec<u8>) {
    into.extend(tid.block.to_ne_bytes());
    into.extend(u32::from(tid.offset).to_ne_bytes());
}

fn read_tid(bytes: &[u8], at: usize) -> HeapTid {
    HeapTid {
        block: read_u32(bytes, at),
        offset: u16::try_from(read_u32(bytes, at + 4)).expect("written from 16 bits"),
    }
}

/// Ids have 32 bits.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or_else(|_| error::index_full())
}
