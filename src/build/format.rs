//! Rows of a build as they lie in temporary files.

use layout::HeapTid;
use quantize::{CodeSet, Codec};

/// Bytes before the codes: row, home, the row's place in the table (6 and 2 of none), the hash of its code.
const HEAD: usize = 24;

/// Bytes of a row's place in the table.
pub(super) const TID_BYTES: usize = 8;

/// How long records are.
#[derive(Clone, Copy)]
pub(super) struct Format {
    /// The code of the build (`CodeSet::write_row`); none where graphs are built on the codes that pages hold.
    pub(super) routing: usize,
    /// The code that pages hold.
    pub(super) code: usize,
}

impl Format {
    /// The records of rows that are encoded so.
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

    /// A row in the cell nearest to it.
    pub(super) fn near(self) -> usize {
        HEAD + self.routing + self.code
    }

    /// A row in another cell: the first part of the same record, or all where the graph takes all.
    pub(super) fn far(self) -> usize {
        if self.routing > 0 {
            HEAD + self.routing
        } else {
            self.near()
        }
    }

    /// Bytes of the code that graphs are built on.
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

    /// The cell nearest to the row.
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
