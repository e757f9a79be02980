//! `hnsw_estimate`: size, memory and time of an index of a column, before it is created.
//!
//! Reads pages of the table, spread over all of it, and builds the graph of the rows found there. Takes the weakest lock.
#![expect(unsafe_code, reason = "varlena access")]

use std::ffi::CStr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use hnsw::Params;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_sys::{self, Oid};
use quantize::Value;

use crate::build::{self, Sample};
use crate::error;
use crate::opclass::{self, OperatorClass};
use crate::pg::call::sql_function;
use crate::pg::memory::{self, Reserve};
use crate::pg::open::{self, Column, Kind, OpenTable};
use crate::pg::{privilege, setting, text};
use crate::table::sample::PageReader;
use crate::types::indexed::Indexed;

/// The method whose index is estimated, for messages.
const METHOD: &str = "hnsw";

/// The end of a sample: its time of reading, its rows, its bytes (and at most half of `maintenance_work_mem`).
const READING: Duration = Duration::from_millis(150);
const SAMPLE_ROWS: usize = 1 << 14;
const SAMPLE_BYTES: usize = 64 << 20;

sql_function!(hnsw_estimate);
fn hnsw_estimate(
    table: Oid,
    column: &CStr,
    m: i32,
    ef_construction: i32,
) -> TableIterator<
    'static,
    (
        name!(rows, i64),
        name!(index_bytes, i64),
        name!(memory_bytes, i64),
        name!(by_cells, bool),
        name!(seconds, f64),
        name!(sampled_rows, i64),
    ),
> {
    let params = Params {
        m: option("m", m, &opclass::M),
        ef_construction: option(
            "ef_construction",
            ef_construction,
            &opclass::EF_CONSTRUCTION,
        ),
    };
    let open = open_table(table);
    let Some(column) = open.column(column) else {
        error::no_such_column(&text::to_string(column), &open.0.name())
    };
    let class = operator_class(column);
    let dimensions =
        u32::try_from(column.type_modifier).unwrap_or_else(|_| error::column_without_dimensions());
    let frozen = class.frozen(dimensions, params, METHOD);
    let sample = sample(&open, column, &class, dimensions);
    let estimate = build::estimate(open.0, &frozen, params.ef_construction, &sample);
    open.close();
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TableIterator::once((
        number(sample.rows),
        number(estimate.index_bytes),
        number(estimate.memory),
        estimate.by_cells,
        estimate.seconds,
        number(sample.values.len() as u64),
    ))
}

/// Checks the value of an option.
fn option(name: &str, value: i32, range: &RangeInclusive<i32>) -> usize {
    if !range.contains(&value) {
        error::option_out_of_range(name, value, range);
    }
    value.unsigned_abs() as usize
}

/// Opens a table. Checks the user's privilege first, before any lock.
fn open_table(oid: Oid) -> OpenTable {
    match open::kind(oid) {
        Kind::Table => {}
        Kind::PartitionedTable => error::table_is_partitioned(&open::name(oid)),
        _ => error::not_a_table(&open::name(oid)),
    }
    if !privilege::may_inspect([oid]) {
        error::may_not_sample(&open::name(oid));
    }
    memory::reserve(Reserve::Large);
    let table = OpenTable::open(oid);
    if open::is_others_temporary(table.0) {
        error::temporary_table_of_others();
    }
    if open::is_absent_in_recovery(table.0) {
        error::unlogged_table_in_recovery();
    }
    table
}

fn operator_class(column: Column) -> OperatorClass {
    OperatorClass::of_type(column.type_oid).unwrap_or_else(|| error::type_not_supported(METHOD))
}

/// Reads a sample of a column.
fn sample(open: &OpenTable, column: Column, class: &OperatorClass, dimensions: u32) -> Sample {
    let table = open.0;
    let Some(mut reader) = PageReader::new(table, column) else {
        error::table_not_sampled(&table.name())
    };
    let bytes_allowed = SAMPLE_BYTES.min(setting::maintenance_work_mem() / 2);
    let (mut values, mut bytes, mut pages) = (Vec::new(), 0, 0);
    let blocks = table.blocks();
    let begin = Instant::now();
    for block in spread(blocks) {
        reader.read(block, |datum| {
            let value = prepare(class, datum, dimensions);
            bytes += value.as_ref().map_or(0, Value::bytes);
            values.extend(value);
        });
        pages += 1;
        if begin.elapsed() > READING || values.len() >= SAMPLE_ROWS || bytes >= bytes_allowed {
            break;
        }
    }
    let reading = begin.elapsed();
    reader.close();
    let found = values.len() as u64;
    Sample {
        rows: (found * u64::from(blocks)).checked_div(pages).unwrap_or(0),
        values,
        reading,
    }
}

fn prepare(class: &OperatorClass, datum: pg_sys::Datum, dimensions: u32) -> Option<Value> {
    // SAFETY: the operator class was chosen by the type of the column; the value stays until the next row.
    let value = unsafe { Indexed::from_raw(class.kind(), datum) };
    error::check_dimensions(dimensions, value.dimensions());
    class.prepare_row(&value)
}

/// All blocks of a table in an order that visits every part of it early: steps by the golden section.
fn spread(blocks: u32) -> impl Iterator<Item = u32> {
    let blocks = u64::from(blocks);
    let step = step(blocks);
    (0..blocks).map(move |n| u32::try_from(n * step % blocks).expect("less than the blocks"))
}

/// The largest number up to the golden section of `blocks` that shares no factor with it, so that its multiples meet all blocks.
fn step(blocks: u64) -> u64 {
    let section = blocks * 618 / 1000;
    (1..=section)
        .rev()
        .find(|&step| greatest_common_divisor(step, blocks) == 1)
        .unwrap_or(1)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}
