//! Opens the index that a user named, after a look at the user's privileges.

use std::ffi::CStr;

use pgrx::pg_sys::Oid;

use crate::error;
use crate::pg::memory::{self, Reserve};
use crate::pg::open::{self, Kind, OpenIndex};
use crate::pg::{Relation, privilege};

/// The access methods of these indexes; both build the same graph.
const METHODS: [&CStr; 2] = [c"hnsw", c"ivfflat"];

pub(super) fn is_ours(index: Relation) -> bool {
    METHODS.iter().any(|method| open::is_of(index, method))
}

/// Raises an error; it names the indexes of the relation if this is a table.
fn not_an_index(oid: Oid) -> ! {
    let indexes = open::indexes_of(oid, &METHODS);
    if indexes.is_empty() {
        error::not_an_hnsw_index(&open::name(oid));
    }
    error::table_instead_of_index(&open::name(oid), &indexes)
}

/// Opens an index. Checks the user's privilege first, before any lock.
pub(super) fn open_index(oid: Oid) -> OpenIndex {
    let table = authorize(oid);
    match open::kind(oid) {
        Kind::Index => open(oid, table),
        Kind::PartitionedIndex => error::index_is_partitioned(&open::name(oid)),
        _ => not_an_index(oid),
    }
}

/// Opens an index, or the indexes of the partitions of a partitioned one. Checks the user's privilege for each before its lock.
pub(crate) fn open_parts(oid: Oid) -> Vec<OpenIndex> {
    parts(oid, authorize)
}

/// As `open_parts`, for the owner only.
pub(crate) fn open_own_parts(oid: Oid) -> Vec<OpenIndex> {
    parts(oid, authorize_owner)
}

/// `authorize` checks the privilege for an index, and returns its table: a partition may have another owner.
fn parts(oid: Oid, authorize: impl Fn(Oid) -> Option<Oid>) -> Vec<OpenIndex> {
    let table = authorize(oid);
    match open::kind(oid) {
        Kind::Index => vec![open(oid, table)],
        Kind::PartitionedIndex => {
            let whole = open(oid, table);
            if !whole.is_valid() {
                error::index_not_valid(&whole.index.name());
            }
            let parts = open::partitions_of(oid);
            let parts = parts.into_iter().map(|part| open(part, authorize(part)));
            let parts = parts.collect();
            whole.close();
            parts
        }
        _ => not_an_index(oid),
    }
}

/// Returns the table of an index, if it has one. An error unless the user may look into the index.
fn authorize(oid: Oid) -> Option<Oid> {
    let table = open::table_of(oid);
    if !privilege::may_inspect([oid].into_iter().chain(table)) {
        error::may_not_inspect(&open::name(oid));
    }
    table
}

/// As `authorize`, an error unless the user owns the index.
fn authorize_owner(oid: Oid) -> Option<Oid> {
    let table = open::table_of(oid);
    if !privilege::may_change([oid].into_iter().chain(table)) {
        error::not_the_owner(&open::name(oid));
    }
    table
}

/// Opens an index of ours whose pages can be read.
fn open(oid: Oid, table: Option<Oid>) -> OpenIndex {
    let Some(table) = table else {
        not_an_index(oid)
    };
    memory::reserve(Reserve::Large);
    let opened = OpenIndex::open(oid, table);
    let index = opened.index;
    if !is_ours(index) {
        error::not_an_hnsw_index(&index.name());
    }
    if open::is_others_temporary(index) {
        error::temporary_of_others();
    }
    if open::is_absent_in_recovery(index) {
        error::unlogged_in_recovery();
    }
    opened
}
