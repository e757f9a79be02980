//! One cell of a build in memory: its rows come from files, the pool builds its graph.

use std::collections::HashMap;

use hnsw::build::cells::{Layer, by_insertion, by_leaves};
use hnsw::build::{Stopped, Watch};
use hnsw::{GROUP, Level, Params, level_of};
use layout::{Group, HeapTid, OVERFLOW_TIDS};
use quantize::{CodeSet, Codec};

use crate::build::feed::Codes;
use crate::build::format::{Format, to_u32};
use crate::build::groups;
use crate::build::measured::Measured;

/// The rows of a cell, with equal ones merged. Primary rows (this cell is their nearest) come before replicas.
pub(super) struct Cell {
    format: Format,
    pub(super) rows: Vec<u32>,
    /// The nearest cell of each row.
    pub(super) primary_cells: Vec<u32>,
    /// Build codes; empty if the graph is built on `codes`.
    set: CodeSet,
    /// Page codes: of primary rows, or of all rows if the graph is built on these codes.
    pub(super) codes: Codes,
    /// The TIDs of each primary element.
    pub(super) primary: Vec<PrimaryRows>,
    /// The group of each element; empty in an index without groups.
    pub(super) groups: Vec<Group>,
    known: HashMap<u64, u32>,
}

/// The TIDs of a primary element. Beyond two, they go to overflow slots in the order of their arrival.
pub(super) struct PrimaryRows {
    pub(super) first: HeapTid,
    pub(super) second: Option<HeapTid>,
    /// TIDs of the overflow slot being filled.
    pub(super) beyond: Vec<HeapTid>,
    /// The last filled slot, and the number of slots before it.
    pub(super) chain: Option<(u32, u32)>,
}

/// The result of adding a row.
pub(super) enum Added {
    New,
    Merged,
    /// Merged, and `beyond` of this element now fills an overflow slot.
    Full(usize),
}

impl Cell {
    pub(super) fn new(format: Format, codec: &Codec) -> Self {
        Self {
            format,
            rows: Vec::new(),
            primary_cells: Vec::new(),
            set: CodeSet::new(codec.routing_dimensions(), codec.metric()),
            codes: Codes::new(format.code),
            primary: Vec::new(),
            groups: Vec::new(),
            known: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds a primary row; all of them come before the first replica.
    pub(super) fn add_primary(&mut self, record: &[u8]) -> Added {
        let tid = Format::tid(record);
        if let Some(element) = self.find(record) {
            return self.primary[element].add(element, tid);
        }
        self.codes
            .push(self.primary.len(), self.format.code(record));
        self.primary.push(PrimaryRows {
            first: tid,
            second: None,
            beyond: Vec::new(),
            chain: None,
        });
        self.add(record);
        Added::New
    }

    /// Adds a replica, if no element has its code.
    pub(super) fn add_replica(&mut self, record: &[u8]) {
        if self.find(record).is_some() {
            return;
        }
        if !self.format.build.by_leaves() {
            self.codes.push(self.rows.len(), self.format.code(record));
        }
        self.add(record);
    }

    fn add(&mut self, record: &[u8]) {
        let element = to_u32(self.rows.len());
        self.known.entry(Format::hash(record)).or_insert(element);
        self.rows.push(Format::row(record));
        self.primary_cells.push(Format::primary_cell(record));
        self.groups.extend(self.format.group(record));
        if self.format.build.by_leaves() {
            self.set.push_written(self.format.build_code(record));
        }
    }

    /// Returns the element with the same code for the graph.
    fn find(&self, record: &[u8]) -> Option<usize> {
        let element = *self.known.get(&Format::hash(record))?;
        let is_same = if self.format.build.by_leaves() {
            self.set.is_written(element, self.format.build_code(record))
        } else {
            self.codes.get(element) == self.format.code(record)
        };
        let group = self.groups.get(element as usize).copied();
        let is_same = is_same && group == self.format.group(record);
        is_same.then_some(element as usize)
    }

    /// Adds a row of a layer built as a whole, with its code as written by `write_codes`.
    pub(super) fn add_member(&mut self, row: u32, codes: &[u8]) {
        if self.format.build.by_leaves() {
            self.set.push_written(codes);
        } else {
            self.codes.push(self.rows.len(), codes);
        }
        self.rows.push(row);
    }

    /// Appends the element's code for the graph.
    pub(super) fn write_codes(&self, element: u32, into: &mut Vec<u8>) {
        if self.format.build.by_leaves() {
            self.set.write_row(element, into);
        } else {
            into.extend_from_slice(self.codes.get(element));
        }
    }

    pub(super) fn row(&self, element: u32) -> u32 {
        self.rows[element as usize]
    }

    /// Builds layer 0, the other layers below `whole_from`, and the groups. Runs in the pool.
    pub(super) fn build(
        &self,
        codec: &Codec,
        params: &Params,
        whole_from: Level,
        watch: &Watch,
    ) -> Result<Vec<Members>, Stopped> {
        let mut layers = self.layers(codec, params, whole_from, watch)?;
        if !self.groups.is_empty() {
            layers.push(self.groups(codec, params, watch)?);
        }
        Ok(layers)
    }

    /// Builds the part of each group in this cell.
    fn groups(&self, codec: &Codec, params: &Params, watch: &Watch) -> Result<Members, Stopped> {
        let order = groups::by_group(&self.groups)?;
        let groups = || groups::of_several(&order, &self.groups);
        let count = groups().map(<[u32]>::len).sum();
        let mut layer = Layer::of_groups(count, params.m)?;
        let mut members = Vec::new();
        members.try_reserve_exact(count)?;
        for group in groups() {
            layer.add_group(&self.layer_of_members(codec, group, params, GROUP, false, watch)?);
            members.extend_from_slice(group);
        }
        Ok(Members {
            level: GROUP,
            members,
            layer,
        })
    }

    fn layers(
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
                Ok(Members {
                    level,
                    members,
                    layer,
                })
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
        if self.format.build.by_leaves() && level == 0 {
            return by_leaves(&self.set, params, level, false, watch);
        }
        self.layer_of_members(codec, members, params, level, false, watch)
    }

    /// Builds a layer of these elements alone.
    pub(super) fn layer_of_members(
        &self,
        codec: &Codec,
        members: &[u32],
        params: &Params,
        level: Level,
        whole: bool,
        watch: &Watch,
    ) -> Result<Layer, Stopped> {
        if !self.format.build.by_leaves() {
            let members = Measured::new(codec, &self.codes, Some(members));
            return by_insertion(&members, params, level, watch);
        }
        let mut subset = CodeSet::new(self.set.dimensions(), self.set.metric());
        subset.try_reserve(members.len())?;
        members
            .iter()
            .for_each(|&member| subset.push_from(&self.set, member));
        by_leaves(&subset, params, level, whole, watch)
    }
}

/// A layer of a cell, or the groups in it, and its members.
pub(super) struct Members {
    pub(super) level: Level,
    pub(super) members: Vec<u32>,
    pub(super) layer: Layer,
}

impl PrimaryRows {
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
