//! A finished graph in files, as a source of page writing.

use hnsw::Level;
use hnsw::build::FREE;
use hnsw::build::cells::UpperLayers;

use super::built::{Built, ELEMENT_HEAD, OVERFLOW_BYTES};
use super::format::{TID_BYTES, read_tid, read_u32};
use super::source::{OverflowRows, Rows, Source};
use crate::pg::temp_file::TempFile;

/// A finished graph in files.
pub(super) struct InFiles {
    built: Built,
    upper: UpperLayers,
    bytes: Vec<u8>,
}

impl InFiles {
    pub(super) fn new(built: Built, upper: UpperLayers) -> Self {
        Self {
            built,
            upper,
            bytes: Vec::new(),
        }
    }

    /// The number of rows in the index.
    pub(super) fn rows(&self) -> usize {
        self.built.places.len()
    }

    fn read(file: &mut TempFile, number: u32, bytes: &mut [u8]) {
        file.read_at(u64::from(number) * bytes.len() as u64, bytes);
    }
}

impl Source for InFiles {
    fn len(&self) -> u32 {
        self.built.count
    }

    fn entry_point(&self) -> Option<(u32, Level)> {
        let first = (self.built.count > 0).then_some((0, 0));
        self.upper.entry_point().or(first)
    }

    fn upper_elements(&self) -> Vec<(u32, Level)> {
        self.upper.elements().collect()
    }

    fn upper_neighbors(&self, place: u32, level: Level, into: &mut Vec<u32>) {
        into.extend(self.upper.neighbors(place, level));
    }

    fn element(&mut self, place: u32, code: &mut Vec<u8>, neighbors: &mut Vec<u32>) -> Rows {
        let list = 2 * self.built.m * size_of::<u32>();
        self.bytes.resize(list, 0);
        Self::read(&mut self.built.layer0, place, &mut self.bytes);
        let ids = self
            .bytes
            .as_chunks()
            .0
            .iter()
            .map(|&id| u32::from_ne_bytes(id));
        neighbors.extend(ids.take_while(|&id| id != FREE));
        self.bytes.resize(ELEMENT_HEAD + self.built.format.code, 0);
        Self::read(&mut self.built.elements, place, &mut self.bytes);
        code.extend_from_slice(&self.bytes[ELEMENT_HEAD..]);
        let has_second = read_u32(&self.bytes, 2 * TID_BYTES) != 0;
        Rows {
            first: read_tid(&self.bytes, 0),
            second: has_second.then(|| read_tid(&self.bytes, TID_BYTES)),
            overflow: read_u32(&self.bytes, 2 * TID_BYTES + 4).checked_sub(1),
        }
    }

    fn overflow_slots(&self) -> u32 {
        self.built.overflow_slots
    }

    fn overflow(&mut self, number: u32, into: &mut OverflowRows) {
        self.bytes.resize(OVERFLOW_BYTES, 0);
        Self::read(&mut self.built.overflow, number, &mut self.bytes);
        into.owner = self.built.places[read_u32(&self.bytes, 0) as usize];
        into.next = read_u32(&self.bytes, 4).checked_sub(1);
        into.serial = read_u32(&self.bytes, 8);
        into.tids.clear();
        let count = read_u32(&self.bytes, 12) as usize;
        into.tids
            .extend((0..count).map(|i| read_tid(&self.bytes, 16 + i * TID_BYTES)));
    }
}
