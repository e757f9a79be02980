//! The output of a build's cells: elements in page order, neighbor lists, rows with duplicate codes.

use hnsw::build::cells::{CELLS_OF_A_VECTOR, Plan, UpperLayers};
use hnsw::build::{ListRanges, Neighbor};
use hnsw::{Level, Params, level_of};
use quantize::Codec;

use super::buckets::Buckets;
use super::cell::{Cell, Members};
use super::format::{Format, TID_BYTES, read_u32, to_u32, write_tid};
use super::joined::Joined;
use crate::error;
use crate::pg::interrupt;
use crate::pg::temp_file::{TempFile, TempFiles};

/// The position of a row merged into another row's element.
pub(super) const NO_PLACE: u32 = u32::MAX;

/// The output of the cells built so far.
pub(super) struct Built {
    pub(super) format: Format,
    pub(super) m: usize,
    /// The number of elements so far.
    pub(super) count: u32,
    /// The position in page order of each row; `NO_PLACE` for duplicates.
    pub(super) places: Vec<u32>,
    /// The first position of each cell.
    pub(super) starts: Vec<u32>,
    /// The elements in page order: two TIDs, a flag for the second, the head of the overflow chain and the code.
    pub(super) elements: TempFile,
    /// Lists, by the nearest cell of their element.
    pub(super) lists: Buckets,
    /// Overflow slots, with the rows beyond those in `elements`.
    pub(super) overflow: TempFile,
    pub(super) overflow_slots: u32,
    /// Rows of the layers built as a whole, with their codes.
    pub(super) tall: TempFile,
    pub(super) tall_rows: u32,
    /// The lists of layer 0, in page order.
    pub(super) layer0: TempFile,
    pub(super) record: Vec<u8>,
}

/// Bytes of an element before its code.
pub(super) const ELEMENT_HEAD: usize = 2 * TID_BYTES + 8;
/// Bytes of an overflow slot.
pub(super) const OVERFLOW_BYTES: usize = 16 + layout::OVERFLOW_TIDS * TID_BYTES;
/// Bytes of a list before its neighbors, and of each neighbor.
pub(super) const LIST_HEAD: usize = 8;
pub(super) const LIST_ENTRY: usize = 8;

impl Built {
    pub(super) fn new(
        files: TempFiles,
        format: Format,
        rows: u32,
        params: &Params,
        plan: &Plan,
        cells: usize,
    ) -> Self {
        let mut places = Vec::new();
        if places.try_reserve_exact(rows as usize).is_err() {
            error::out_of_memory(rows as usize * size_of::<u32>());
        }
        places.resize(rows as usize, NO_PLACE);
        let longest_list = LIST_HEAD + 2 * params.m * LIST_ENTRY;
        Self {
            format,
            m: params.m,
            count: 0,
            places,
            starts: Vec::new(),
            elements: files.create(),
            lists: Buckets::new(files, cells, longest_list, plan.room / 8),
            overflow: files.create(),
            overflow_slots: 0,
            tall: files.create(),
            tall_rows: 0,
            layer0: files.create(),
            record: Vec::new(),
        }
    }

    pub(super) fn lists_bytes_of_element(&self) -> usize {
        CELLS_OF_A_VECTOR * (LIST_HEAD + 2 * self.m * LIST_ENTRY)
    }

    /// Writes the elements and lists of a finished cell.
    pub(super) fn take(&mut self, cell: &mut Cell, layers: &[Members], whole_from: Level) {
        let layer0 = layers.first().expect("the layer0 is always built by cell");
        for (element, _) in layer0.layer.lists() {
            if (element as usize) < cell.near.len() {
                self.write_element(cell, element, whole_from);
            }
        }
        for (level, members) in (0..).zip(layers) {
            for (element, near) in members.layer.lists() {
                self.write_list(cell, &members.members, level, element, near);
            }
        }
    }

    fn write_element(&mut self, cell: &mut Cell, element: u32, whole_from: Level) {
        let at = element as usize;
        if !cell.near[at].beyond.is_empty() {
            self.write_overflow(cell, at);
        }
        let (row, rows) = (cell.rows[at], &cell.near[at]);
        self.places[row as usize] = self.count;
        self.count += 1;
        self.record.clear();
        write_tid(rows.first, &mut self.record);
        write_tid(rows.second.unwrap_or(rows.first), &mut self.record);
        self.record
            .extend(u32::from(rows.second.is_some()).to_ne_bytes());
        let head = rows.chain.map_or(0, |(slot, _)| slot + 1);
        self.record.extend(head.to_ne_bytes());
        self.record.extend_from_slice(cell.codes.get(element));
        self.elements.append(&self.record);
        if level_of(row.into(), self.m) >= whole_from {
            self.tall_rows += 1;
            self.record.clear();
            self.record.extend(row.to_ne_bytes());
            cell.write_codes(element, &mut self.record);
            self.tall.append(&self.record);
        }
    }

    /// Writes an overflow slot of an element of a cell, as the new head of the element's chain.
    pub(super) fn write_overflow(&mut self, cell: &mut Cell, element: usize) {
        let row = cell.rows[element];
        let rows = &mut cell.near[element];
        let serial = rows.chain.map_or(0, |(_, serial)| serial + 1);
        let next = rows.chain.map_or(0, |(slot, _)| slot + 1);
        self.record.clear();
        for number in [row, next, serial, to_u32(rows.beyond.len())] {
            self.record.extend(number.to_ne_bytes());
        }
        for tid in rows.beyond.drain(..) {
            write_tid(tid, &mut self.record);
        }
        self.record.resize(OVERFLOW_BYTES, 0);
        self.overflow.append(&self.record);
        rows.chain = Some((self.overflow_slots, serial));
        self.overflow_slots += 1;
    }

    fn write_list(
        &mut self,
        cell: &Cell,
        members: &[u32],
        level: Level,
        local: u32,
        near: &[Neighbor],
    ) {
        let element = |local: u32| members[local as usize] as usize;
        self.record.clear();
        self.record.extend(cell.rows[element(local)].to_ne_bytes());
        let head = u32::from(level) << 16 | to_u32(near.len());
        self.record.extend(head.to_ne_bytes());
        for near in near {
            self.record
                .extend(cell.rows[element(near.element)].to_ne_bytes());
            self.record.extend(near.distance.to_ne_bytes());
        }
        let home = cell.homes[element(local)] as usize;
        self.lists.append(home, &self.record);
    }

    /// Returns the lists of a cell's elements in a range of positions.
    pub(super) fn lists_of(
        &mut self,
        cell: usize,
        range: &std::ops::Range<u32>,
        places: &[u32],
    ) -> Vec<u8> {
        let mut found = Vec::new();
        self.lists.read(cell, |mut records| {
            while !records.is_empty() {
                let count = read_u32(records, 4) as usize & 0xffff;
                let (record, others) = records.split_at(LIST_HEAD + count * LIST_ENTRY);
                if range.contains(&places[read_u32(record, 0) as usize]) {
                    found.extend_from_slice(record);
                }
                records = others;
            }
        });
        found
    }

    pub(super) fn take_joined(&mut self, joined: &Joined, upper: &mut UpperLayers) {
        self.layer0
            .append(bytes_of(&joined.layer0, &mut self.record));
        for (place, level, neighbors) in &joined.upper {
            upper.set_neighbors(*place, *level, neighbors.iter().copied());
        }
    }

    /// Elements above layer 0, by position, and their levels.
    pub(super) fn upper_members(&self, params: &Params) -> Vec<(u32, Level)> {
        let mut members: Vec<(u32, Level)> = (0..)
            .zip(&self.places)
            .map(|(row, &place)| (place, level_of(row, params.m)))
            .filter(|&(place, level)| level > 0 && place != NO_PLACE)
            .collect();
        members.sort_unstable();
        members
    }

    pub(super) fn read_tall(&mut self, codec: &Codec) -> Cell {
        let mut cell = Cell::new(self.format, codec);
        let mut record = vec![0; 4 + self.format.built_on()];
        for number in 0..u64::from(self.tall_rows) {
            interrupt::check();
            self.tall.read_at(number * record.len() as u64, &mut record);
            cell.add_tall(read_u32(&record, 0), &record[4..]);
        }
        cell
    }
}

/// Converts numbers to bytes, in the caller's buffer.
fn bytes_of<'b>(numbers: &[u32], into: &'b mut Vec<u8>) -> &'b [u8] {
    into.clear();
    into.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
    into
}

/// Neighbor lists in a file, `capacity` entries each.
pub(super) struct ListFile<'a> {
    pub(super) file: &'a mut TempFile,
    pub(super) capacity: usize,
    pub(super) bytes: Vec<u8>,
}

impl ListFile<'_> {
    fn offset(&self, first: u32) -> u64 {
        u64::from(first) * (self.capacity * size_of::<u32>()) as u64
    }
}

impl ListRanges for ListFile<'_> {
    fn read(&mut self, first: u32, lists: &mut [u32]) {
        self.bytes.resize(size_of_val(lists), 0);
        self.file.read_at(self.offset(first), &mut self.bytes);
        let (numbers, _) = self.bytes.as_chunks();
        lists
            .iter_mut()
            .zip(numbers)
            .for_each(|(list, &number)| *list = u32::from_ne_bytes(number));
    }

    fn write(&mut self, first: u32, lists: &[u32]) {
        let offset = self.offset(first);
        self.file.write_at(offset, bytes_of(lists, &mut self.bytes));
    }
}
