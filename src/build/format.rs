//! The format of a build's rows in temporary files.

use layout::HeapTid;
use quantize::{CodeSet, Codec};

use crate::error;

/// Bytes before the codes: row, nearest cell, the row's TID (6 bytes and 2 of padding), the hash of its code.
const HEAD: usize = 24;

/// Bytes of a row's TID.
pub(super) const TID_BYTES: usize = 8;

/// The lengths of a record's codes.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// Bytes of the build code (`CodeSet::write_row`); 0 if graphs are built on page codes.
    pub(super) routing: usize,
    /// Bytes of the page code.
    pub(super) code: usize,
}

impl Format {
    /// The format of rows encoded by this codec.
    pub(super) fn of(codec: &Codec) -> Self {
        Self {
            routing: if codec.is_rotated() {
                CodeSet::row_bytes(codec.dimensions())
            } else {
                0
            },
            code: codec.code_len(),
        }
    }

    /// Bytes of a row's record in its nearest cell.
    pub(super) fn near(self) -> usize {
        HEAD + self.routing + self.code
    }

    /// Bytes of a row's record in another cell: the same record, up to and including the code for the graph.
    pub(super) fn far(self) -> usize {
        if self.routing > 0 {
            HEAD + self.routing
        } else {
            self.near()
        }
    }

    /// Bytes of the code for the graph.
    pub(super) fn built_on(self) -> usize {
        self.far() - HEAD
    }

    /// Appends the head of a record; codes follow.
    pub(super) fn write_head(row: u32, tid: HeapTid, hash: u64, into: &mut Vec<u8>) {
        into.extend(row.to_ne_bytes());
        into.extend([0; 4]);
        write_tid(tid, into);
        into.extend(hash.to_ne_bytes());
    }

    pub(super) fn row(record: &[u8]) -> u32 {
        read_u32(record, 0)
    }

    /// The row's nearest cell.
    pub(super) fn home(record: &[u8]) -> u32 {
        read_u32(record, 4)
    }

    pub(super) fn set_home(record: &mut [u8], home: u32) {
        record[4..8].copy_from_slice(&home.to_ne_bytes());
    }

    pub(super) fn tid(record: &[u8]) -> HeapTid {
        read_tid(record, 8)
    }

    pub(super) fn hash(record: &[u8]) -> u64 {
        u64::from(read_u32(record, 16)) | u64::from(read_u32(record, 20)) << 32
    }

    pub(super) fn routing(self, record: &[u8]) -> &[u8] {
        &record[HEAD..HEAD + self.routing]
    }

    pub(super) fn code(self, record: &[u8]) -> &[u8] {
        &record[HEAD + self.routing..]
    }
}

pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("a record is whole"))
}

pub(super) fn write_tid(tid: HeapTid, into: &mut Vec<u8>) {
    into.extend(tid.block.to_ne_bytes());
    into.extend(u32::from(tid.offset).to_ne_bytes());
}

pub(super) fn read_tid(bytes: &[u8], at: usize) -> HeapTid {
    HeapTid {
        block: read_u32(bytes, at),
        offset: u16::try_from(read_u32(bytes, at + 4)).expect("written from 16 bits"),
    }
}

/// Ids have 32 bits.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or_else(|_| error::index_full())
}
