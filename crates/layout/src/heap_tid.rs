use bytemuck::{Pod, Zeroable};

/// The location of a row in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeapTid {
    /// The block of the table.
    pub block: u32,
    /// The line pointer in the block.
    pub offset: u16,
}

impl HeapTid {
    /// The TID as a number, in the order of TIDs.
    #[must_use]
    pub fn key(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A TID in the format of Postgres' `ItemPointerData`: 6 bytes, aligned to 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct RawTid {
    block_high: u16,
    block_low: u16,
    offset: u16,
}

/// Bytes of a TID on a page.
pub(crate) const TID_LEN: usize = size_of::<RawTid>();

impl From<HeapTid> for RawTid {
    fn from(tid: HeapTid) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the two halves of a block number"
        )]
        let (block_high, block_low) = ((tid.block >> 16) as u16, tid.block as u16);
        Self {
            block_high,
            block_low,
            offset: tid.offset,
        }
    }
}

impl From<RawTid> for HeapTid {
    fn from(raw: RawTid) -> Self {
        Self {
            block: u32::from(raw.block_high) << 16 | u32::from(raw.block_low),
            offset: raw.offset,
        }
    }
}

impl HeapTid {
    /// Reads the six bytes of an `ItemPointerData`.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 6]) -> Self {
        bytemuck::cast::<_, RawTid>(bytes).into()
    }

    /// The six bytes of an `ItemPointerData`.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 6] {
        bytemuck::cast(RawTid::from(self))
    }
}

/// The TIDs of a list; `bytes` holds exactly the valid ones.
pub(crate) fn tids(bytes: &[u8]) -> impl ExactSizeIterator<Item = HeapTid> + '_ {
    bytes
        .as_chunks::<TID_LEN>()
        .0
        .iter()
        .map(|tid| HeapTid::from_bytes(*tid))
}

/// Adds a TID to a list of `count` if `bytes`, the whole capacity, has room.
pub(crate) fn add_tid(bytes: &mut [u8], count: usize, tid: HeapTid) -> bool {
    let Some(place) = bytes.as_chunks_mut::<TID_LEN>().0.get_mut(count) else {
        return false;
    };
    *place = tid.to_bytes();
    true
}

/// Removes the selected TIDs from a list of `count`, keeps the order, zeroes the rest; returns the new count.
pub(crate) fn remove_tids(
    bytes: &mut [u8],
    count: usize,
    mut remove: impl FnMut(HeapTid) -> bool,
) -> usize {
    let places = bytes.as_chunks_mut::<TID_LEN>().0;
    let count = count.min(places.len());
    let mut kept = 0;
    for at in 0..count {
        if !remove(HeapTid::from_bytes(places[at])) {
            places[kept] = places[at];
            kept += 1;
        }
    }
    places[kept..count].fill([0; TID_LEN]);
    kept
}
