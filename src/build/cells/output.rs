//! The output of the cells of a build: elements in page order, neighbor lists, rows with duplicate codes.

use hnsw::build::cells::{CELLS_OF_A_VECTOR, Plan, UpperLayers};
use hnsw::build::{ListRanges, Neighbor};
use hnsw::{Level, Params, level_of};
use quantize::Codec;

use super::cell::{Cell, Members};

use super::merge::Merged;
use crate::build::buckets::Buckets;
use crate::build::format::{
    ElementRecord, Format, ListRecord, MemberRecord, NO_PLACE, OverflowRecord, read_numbers,
    write_numbers,
};
use crate::error;
use crate::pg::interrupt;
use crate::pg::temp_file::{TempFile, TempFiles};

/// The output of the cells built so far.
pub(super) struct Output {
    pub(super) format: Format,
    pub(super) m: usize,
    /// The number of elements so far.
    pub(super) count: u32,
    /// The position in page order of each row; `NO_PLACE` for duplicates.
    pub(super) places: Vec<u32>,
    /// The first position of each cell.
    pub(super) starts: Vec<u32>,
    /// The elements in page order: two TIDs, a flag for the second, the head of the overflow chain, the group if the index has
    /// groups, and the code.
    pub(super) elements: TempFile,
    /// Lists, by the nearest cell of their element.
    pub(super) lists: Buckets,
    /// Overflow slots, with the rows beyond those in `elements`.
    pub(super) overflow: TempFile,
    pub(super) overflow_slots: u32,
    /// Rows of the layers built as a whole, with their codes.
    pub(super) members: TempFile,
    pub(super) member_rows: u32,
    /// The lists of layer 0, in page order.
    pub(super) layer0: TempFile,
    /// The lists in groups, in page order.
    pub(super) groups: TempFile,
    pub(super) record: Vec<u8>,
}

impl Output {
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
        let longest_list = ListRecord::bytes(2 * params.m);
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
            members: files.create(),
            member_rows: 0,
            layer0: files.create(),
            groups: files.create(),
            record: Vec::new(),
        }
    }

    pub(super) fn lists_bytes_of_element(&self) -> usize {
        let in_group = match self.format.group {
            0 => 0,
            _ => ListRecord::bytes(self.m),
        };
        CELLS_OF_A_VECTOR * (ListRecord::bytes(2 * self.m) + in_group)
    }

    /// Writes the elements and lists of a finished cell.
    pub(super) fn add_cell(&mut self, cell: &mut Cell, layers: &[Members], whole_from: Level) {
        let layer0 = layers.first().expect("the layer0 is always built by cell");
        for (element, _) in layer0.layer.lists() {
            if (element as usize) < cell.primary.len() {
                self.write_element(cell, element, whole_from);
            }
        }
        for members in layers {
            for (element, near) in members.layer.lists() {
                self.write_list(cell, &members.members, members.level, element, near);
            }
        }
    }

    fn write_element(&mut self, cell: &mut Cell, element: u32, whole_from: Level) {
        let at = element as usize;
        if !cell.primary[at].beyond.is_empty() {
            self.write_overflow(cell, at);
        }
        let (row, rows) = (cell.rows[at], &cell.primary[at]);
        self.places[row as usize] = self.count;
        self.count += 1;
        self.record.clear();
        let element_record = ElementRecord {
            first: rows.first,
            second: rows.second,
            overflow: rows.chain.map(|(slot, _)| slot),
        };
        element_record.write(&mut self.record);
        if let Some(group) = cell.groups.get(at) {
            self.record.extend(group.to_bytes());
        }
        self.record.extend_from_slice(cell.codes.get(element));
        self.elements.append(&self.record);
        if level_of(row.into(), self.m) >= whole_from {
            self.member_rows += 1;
            self.record.clear();
            MemberRecord::write(row, &mut self.record);
            cell.write_codes(element, &mut self.record);
            self.members.append(&self.record);
        }
    }

    /// Writes an overflow slot of an element of a cell, as the new head of the element's chain.
    pub(super) fn write_overflow(&mut self, cell: &mut Cell, element: usize) {
        let row = cell.rows[element];
        let rows = &mut cell.primary[element];
        let serial = rows.chain.map_or(0, |(_, serial)| serial + 1);
        let slot = OverflowRecord {
            row,
            next: rows.chain.map(|(slot, _)| slot),
            serial,
        };
        self.record.clear();
        slot.write(&rows.beyond, &mut self.record);
        rows.beyond.clear();
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
        let row = |local: u32| cell.rows[element(local)];
        let neighbors = near.iter().map(|near| (row(near.element), near.distance));
        self.record.clear();
        ListRecord::write(row(local), level, neighbors, &mut self.record);
        let primary = cell.primary_cells[element(local)] as usize;
        self.lists.append(primary, &self.record);
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
                let (list, len) = ListRecord::read(records);
                let (record, others) = records.split_at(len);
                if range.contains(&places[list.row as usize]) {
                    found.extend_from_slice(record);
                }
                records = others;
            }
        });
        found
    }

    pub(super) fn take_merged(&mut self, merged: &Merged, upper: &mut UpperLayers) {
        self.layer0
            .append(write_numbers(&merged.layer0, &mut self.record));
        self.groups
            .append(write_numbers(&merged.groups, &mut self.record));
        for (place, level, neighbors) in &merged.upper {
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

    /// Reads the rows of the layers built as a whole.
    pub(super) fn read_members(&mut self, codec: &Codec) -> Cell {
        let mut cell = Cell::new(self.format, codec);
        let mut record = vec![0; MemberRecord::bytes(self.format.built_on())];
        for number in 0..u64::from(self.member_rows) {
            interrupt::check();
            self.members
                .read_at(number * record.len() as u64, &mut record);
            let (row, code) = MemberRecord::read(&record);
            cell.add_member(row, code);
        }
        cell
    }
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
        let numbers = read_numbers(&self.bytes);
        lists
            .iter_mut()
            .zip(numbers)
            .for_each(|(list, number)| *list = number);
    }

    fn write(&mut self, first: u32, lists: &[u32]) {
        let offset = self.offset(first);
        self.file
            .write_at(offset, write_numbers(lists, &mut self.bytes));
    }
}
