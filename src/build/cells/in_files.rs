//! A finished graph in files, as a source of page writing.

use hnsw::Level;
use hnsw::build::FREE;
use hnsw::build::cells::UpperLayers;

use layout::Group;

use super::output::Output;
use crate::build::format::{ElementRecord, OverflowRecord, read_numbers};
use crate::build::source::{OverflowRows, Rows, Source};
use crate::pg::temp_file::TempFile;

/// A finished graph in files.
pub(in crate::build) struct InFiles {
    output: Output,
    upper: UpperLayers,
    bytes: Vec<u8>,
}

impl InFiles {
    pub(super) fn new(output: Output, upper: UpperLayers) -> Self {
        Self {
            output,
            upper,
            bytes: Vec::new(),
        }
    }

    /// The number of rows in the index.
    pub(in crate::build) fn rows(&self) -> usize {
        self.output.places.len()
    }

    fn read_list(
        file: &mut TempFile,
        place: u32,
        capacity: usize,
        bytes: &mut Vec<u8>,
        into: &mut Vec<u32>,
    ) {
        bytes.resize(capacity * size_of::<u32>(), 0);
        Self::read(file, place, bytes);
        into.extend(read_numbers(bytes).take_while(|&id| id != FREE));
    }

    fn read(file: &mut TempFile, number: u32, bytes: &mut [u8]) {
        file.read_at(u64::from(number) * bytes.len() as u64, bytes);
    }
}

impl Source for InFiles {
    fn len(&self) -> u32 {
        self.output.count
    }

    fn entry_point(&self) -> Option<(u32, Level)> {
        let first = (self.output.count > 0).then_some((0, 0));
        self.upper.entry_point().or(first)
    }

    fn upper_elements(&self) -> Vec<(u32, Level)> {
        self.upper.elements().collect()
    }

    fn upper_neighbors(&self, place: u32, level: Level, into: &mut Vec<u32>) {
        into.extend(self.upper.neighbors(place, level));
    }

    fn element(&mut self, place: u32, code: &mut Vec<u8>, neighbors: &mut Vec<u32>) -> Rows {
        let capacity = 2 * self.output.m;
        Self::read_list(
            &mut self.output.layer0,
            place,
            capacity,
            &mut self.bytes,
            neighbors,
        );
        let code_at = ElementRecord::HEAD + self.output.format.group;
        self.bytes.resize(code_at + self.output.format.code, 0);
        Self::read(&mut self.output.elements, place, &mut self.bytes);
        code.extend_from_slice(&self.bytes[code_at..]);
        let record = ElementRecord::read(&self.bytes);
        Rows {
            first: record.first,
            second: record.second,
            overflow: record.overflow,
        }
    }

    fn group(&mut self, place: u32, neighbors: &mut Vec<u32>) -> Option<Group> {
        if self.output.format.group == 0 {
            return None;
        }
        let group = Group::from_bytes(&self.bytes[ElementRecord::HEAD..]);
        let m = self.output.m;
        Self::read_list(
            &mut self.output.groups,
            place,
            m,
            &mut self.bytes,
            neighbors,
        );
        Some(group)
    }

    fn overflow_slots(&self) -> u32 {
        self.output.overflow_slots
    }

    fn overflow(&mut self, number: u32, into: &mut OverflowRows) {
        self.bytes.resize(OverflowRecord::BYTES, 0);
        Self::read(&mut self.output.overflow, number, &mut self.bytes);
        into.tids.clear();
        let slot = OverflowRecord::read(&self.bytes, &mut into.tids);
        into.owner = self.output.places[slot.row as usize];
        into.next = slot.next;
        into.serial = slot.serial;
    }
}
