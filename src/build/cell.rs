//! One cell of a build in memory: its rows are read from files, its graph is built by the pool.

use std::collections::HashMap;

use hnsw::build::cells::{Layer, by_insertion, by_segments};
use hnsw::build::{Stopped, Watch};
use hnsw::{Level, Params, level_of};
use layout::{HeapTid, OVERFLOW_TIDS};
use quantize::{CodeSet, Codec};

use super::feed::Codes;
use super::format::Format;
use super::measured::Measured;
use super::source::to_u32;

/// Rows of a cell, equal ones merged. Those to whom the cell is the nearest come first.
pub(super) struct Cell {
    format: Format,
    pub(super) rows: Vec<u32>,
    /// The cell nearest to each row.
    pub(super) homes: Vec<u32>,
    /// Codes that the graph is built on; empty where that is done on `codes`.
    set: CodeSet,
    /// Codes that pages hold: of the near rows, or of all.
    pub(super) codes: Codes,
    /// The rows near, and what is equal to them.
    pub(super) near: Vec<NearRows>,
    known: HashMap<u64, u32>,
}

/// A near element's rows. Beyond two they go to overflow slots as they come.
pub(super) struct NearRows {
    pub(super) first: HeapTid,
    pub(super) second: Option<HeapTid>,
    /// Rows of the overflow slot that is being filled.
    pub(super) beyond: Vec<HeapTid>,
    /// The slot that was filled last, and how many were before.
    pub(super) chain: Option<(u32, u32)>,
}

/// What becomes of a row that equals another.
pub(super) enum Added {
    New,
    Merged,
    /// The element has an overflow slot full of rows now.
    Full(usize),
}

impl Cell {
    pub(super) fn new(format: Format, codec: &Codec) -> Self {
        Self {
            format,
            rows: Vec::new(),
            homes: Vec::new(),
            set: CodeSet::new(codec.routing_dimensions(), codec.metric()),
            codes: Codes::new(format.code),
            near: Vec::new(),
            known: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a row to which this cell is the nearest; before all others.
    pub(super) fn add_near(&mut self, record: &[u8]) -> Added {
        let tid = Format::tid(record);
        if let Some(element) = self.find(record) {
            return self.near[element].add(element, tid);
        }
        self.codes.push(self.near.len(), self.format.code(record));
        self.near.push(NearRows {
            first: tid,
            second: None,
            beyond: Vec::new(),
            chain: None,
        });
        self.add(record);
        Added::New
    }

    /// Adds a row to which another cell is nearer.
    pub(super) fn add_far(&mut self, record: &[u8]) {
        if self.find(record).is_some() {
            return;
        }
        if self.format.routing == 0 {
            self.codes.push(self.rows.len(), self.format.code(record));
        }
        self.add(record);
    }

    fn add(&mut self, record: &[u8]) {
        let element = to_u32(self.rows.len());
        self.known.entry(Format::hash(record)).or_insert(element);
        self.rows.push(Format::row(record));
        self.homes.push(Format::home(record));
        if self.format.routing > 0 {
            self.set.push_written(self.format.routing(record));
        }
    }

    /// The element that has the same codes.
    fn find(&self, record: &[u8]) -> Option<usize> {
        let element = *self.known.get(&Format::hash(record))?;
        let is_same = if self.format.routing > 0 {
            self.set.is_written(element, self.format.routing(record))
        } else {
            self.codes.get(element) == self.format.code(record)
        };
        is_same.then_some(element as usize)
    }

    /// Adds a row of a layer that is built as a whole; its codes are as `write_codes` wrote them.
    pub(super) fn add_tall(&mut self, row: u32, codes: &[u8]) {
        if self.format.routing > 0 {
            self.set.push_written(codes);
        } else {
            self.codes.push(self.rows.len(), codes);
        }
        self.rows.push(row);
    }

    /// Appends the code that graphs are built on.
    pub(super) fn write_codes(&self, element: u32, into: &mut Vec<u8>) {
        if self.format.routing > 0 {
            self.set.write_row(element, into);
        } else {
            into.extend_from_slice(self.codes.get(element));
        }
    }

    pub(super) fn row(&self, element: u32) -> u32 {
        self.rows[element as usize]
    }

    /// Builds the ground and the layers below `whole_from`; in the pool.
    pub(super) fn build(
        &self,
        codec: &Codec,
        params: &Params,
        whole_from: Level,
        watch: &Watch,
    ) -> Result<Vec<Members>, Stopped> {
        (0..whole_from)
            .map(|level| {
                let is_member =
                    |&element: &u32| level_of(self.row(element).into(), params.m) >= level;
                let members: Vec<u32> = (0..to_u32(self.len())).filter(is_member).collect();
                let layer = self.layer(codec, &members, params, level, watch)?;
                Ok(Members { members, layer })
            })
            .collect()
    }

    fn layer(
        &self,
        codec: &Codec,
        members: &[u32],
        params: &Params,
        level: Level,
        watch: &Watch,
    ) -> Result<Layer, Stopped> {
        if self.format.routing > 0 && level == 0 {
            return by_segments(&self.set, params, level, false, watch);
        }
        self.layer_of_members(codec, members, params, level, false, watch)
    }

    /// A layer of these elements, as if there were no others.
    pub(super) fn layer_of_members(
        &self,
        codec: &Codec,
        members: &[u32],
        params: &Params,
        level: Level,
        whole: bool,
        watch: &Watch,
    ) -> Result<Layer, Stopped> {
        if self.format.routing == 0 {
            let members = Measured::new(codec, &self.codes, Some(members));
            return by_insertion(&members, params, level, watch);
        }
        let mut subset = CodeSet::new(self.set.dimensions(), self.set.metric());
        subset.try_reserve(members.len())?;
        members
            .iter()
            .for_each(|&member| subset.push_from(&self.set, member));
        by_segments(&subset, params, level, whole, watch)
    }
}

/// A layer of a cell and who is on it.
pub(super) struct Members {
    pub(super) members: Vec<u32>,
    pub(super) layer: Layer,
}

impl NearRows {
    fn add(&mut self, element: usize, tid: HeapTid) -> Added {
        if self.second.is_none() {
            self.second = Some(tid);
            return Added::Merged;
        }
        self.beyond.push(tid);
        if self.beyond.len() == OVERFLOW_TIDS {
            return Added::Full(element);
        }
        Added::Merged
    }
}
