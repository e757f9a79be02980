//! All errors users see: SQLSTATE, message, detail and hint. Only `pg::memory` and `pg::temp_file` raise one each of their own.
//!
//! Messages are pgvector's if it has one for the case, since programs match on them.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::fmt::Display;
use std::ops::RangeInclusive;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode as Code};
use values::Problem;
use values::sparse::MAX_NON_ZERO;

use crate::pg::query::Fault;
use crate::pg::setting::maintenance_work_mem;
use crate::pg::text;

/// Raises an ERROR. It unwinds, so destructors run.
#[track_caller]
fn fail(code: Code, message: impl Into<String>) -> ! {
    raise(ErrorReport::new(code, message.into(), ""))
}

/// Raises an ERROR with a DETAIL line.
#[track_caller]
fn fail_with_detail(code: Code, message: impl Into<String>, detail: &str) -> ! {
    raise(ErrorReport::new(code, message.into(), "").set_detail(detail))
}

/// Raises an ERROR with a HINT line.
#[track_caller]
fn fail_with_hint(code: Code, message: impl Into<String>, hint: &str) -> ! {
    raise(ErrorReport::new(code, message.into(), "").set_hint(hint))
}

#[track_caller]
fn raise(report: ErrorReport) -> ! {
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

// ERRORs about dimensions.

#[track_caller]
pub(crate) fn wrong_dimensions(expected: impl Display, found: impl Display) -> ! {
    fail(
        Code::ERRCODE_DATA_EXCEPTION,
        format!("expected {expected} dimensions, not {found}"),
    )
}

/// Checks a vector against its index: all have the same dimensions. The column's type ensures it, but not for expressions.
#[track_caller]
pub(crate) fn check_dimensions(expected: u32, found: usize) {
    if expected as usize != found {
        wrong_dimensions(expected, found);
    }
}

#[track_caller]
pub(crate) fn different_dimensions(kind: &str, left: usize, right: usize) -> ! {
    fail(
        Code::ERRCODE_DATA_EXCEPTION,
        format!("different {kind} dimensions {left} and {right}"),
    )
}

#[track_caller]
pub(crate) fn different_bit_lengths(left: usize, right: usize) -> ! {
    let message = format!("different bit lengths {left} and {right}");
    fail(Code::ERRCODE_DATA_EXCEPTION, message)
}

// ERRORs about elements of vectors.

#[track_caller]
pub(crate) fn overflow() -> ! {
    fail(
        Code::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: overflow",
    )
}

#[track_caller]
pub(crate) fn underflow() -> ! {
    fail(
        Code::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        "value out of range: underflow",
    )
}

// ERRORs about literals and binary values.

/// Raises an ERROR for a problem of a literal.
#[track_caller]
pub(crate) fn rejected_literal(kind: &str, literal: &CStr, problem: Problem) -> ! {
    let code = Code::ERRCODE_INVALID_TEXT_REPRESENTATION;
    let literal = text::excerpt(literal);
    let message = format!("invalid input syntax for type {kind}: \"{literal}\"");
    let detail = match problem {
        Problem::Syntax => fail(code, message),
        Problem::NoBracket(bracket) => format!("Vector contents must start with \"{bracket}\"."),
        Problem::JunkAfterBracket => "Junk after closing right brace.".into(),
        Problem::EndOfInput => "Unexpected end of input.".into(),
        Problem::JunkAfterDimensions => "Junk after closing.".into(),
        other => rejected(kind, other),
    };
    fail_with_detail(code, message, &detail)
}

/// Raises an ERROR for a problem of a value, from a literal or any other source.
#[track_caller]
pub(crate) fn rejected(kind: &str, problem: Problem) -> ! {
    let code = match problem {
        Problem::TooManyDimensions(_) | Problem::TooManyNonZero | Problem::MoreThanDimensions => {
            Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED
        }
        _ => Code::ERRCODE_DATA_EXCEPTION,
    };
    let message = match problem {
        Problem::OutOfRange(number) => out_of_range(kind, &number),
        Problem::WrongDimensions { expected, found } => wrong_dimensions(expected, found),
        Problem::Nan => format!("NaN not allowed in {kind}"),
        Problem::Infinite => format!("infinite value not allowed in {kind}"),
        Problem::NoDimensions => format!("{kind} must have at least 1 dimension"),
        Problem::TooManyDimensions(max) => format!("{kind} cannot have more than {max} dimensions"),
        Problem::Unused(unused) => format!("expected unused to be 0, not {unused}"),
        Problem::NegativeCount => format!("{kind} cannot have negative number of elements"),
        Problem::TooManyNonZero => {
            format!("{kind} cannot have more than {MAX_NON_ZERO} non-zero elements")
        }
        Problem::MoreThanDimensions => format!("{kind} cannot have more elements than dimensions"),
        Problem::IndexOutOfBounds => format!("{kind} index out of bounds"),
        Problem::IndexOrder => format!("{kind} indices must be in ascending order"),
        Problem::DuplicateIndex => format!("{kind} indices must not contain duplicates"),
        Problem::Zero => format!("binary representation of {kind} cannot contain zero values"),
        Problem::NoBracket(_)
        | Problem::Syntax
        | Problem::EndOfInput
        | Problem::JunkAfterBracket
        | Problem::JunkAfterDimensions => format!("invalid input syntax for type {kind}"),
    };
    fail(code, message)
}

#[track_caller]
pub(crate) fn out_of_range(kind: &str, number: &str) -> ! {
    let message = format!("\"{number}\" is out of range for type {kind}");
    fail(Code::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// The length and dimensions of a stored value contradict each other.
#[track_caller]
pub(crate) fn corrupt_value(kind: &str, bytes: usize, dimensions: usize) -> ! {
    let message = format!("corrupt {kind} of {bytes} bytes and {dimensions} dimensions");
    fail(Code::ERRCODE_DATA_CORRUPTED, message)
}

// ERRORs about type modifiers.

#[track_caller]
pub(crate) fn invalid_modifier() -> ! {
    fail(
        Code::ERRCODE_INVALID_PARAMETER_VALUE,
        "invalid type modifier",
    )
}

#[track_caller]
pub(crate) fn modifier_too_small(kind: &str) -> ! {
    let message = format!("dimensions for type {kind} must be at least 1");
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

#[track_caller]
pub(crate) fn modifier_too_large(kind: &str, max: usize) -> ! {
    let message = format!("dimensions for type {kind} cannot exceed {max}");
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

// ERRORs about arrays and aggregate states.

#[track_caller]
pub(crate) fn array_not_flat() -> ! {
    fail(Code::ERRCODE_DATA_EXCEPTION, "array must be 1-D")
}

#[track_caller]
pub(crate) fn array_with_nulls() -> ! {
    fail(
        Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        "array must not contain nulls",
    )
}

#[track_caller]
pub(crate) fn array_type_not_supported() -> ! {
    fail(Code::ERRCODE_DATA_EXCEPTION, "unsupported array type")
}

#[track_caller]
pub(crate) fn not_a_state_array(function: &str) -> ! {
    fail(
        Code::ERRCODE_INTERNAL_ERROR,
        format!("{function}: expected state array"),
    )
}

// ERRORs about indexes.

/// The bytes of a page cannot be the ones we wrote.
#[track_caller]
pub(crate) fn corrupt_page(index: &str, block: u32, what: impl Display) -> ! {
    let message = format!("index \"{index}\" is corrupt at block {block}: {what}");
    fail(Code::ERRCODE_INDEX_CORRUPTED, message)
}

/// The page has the layout of another version, or is damaged where it says its own.
#[track_caller]
pub(crate) fn other_layout(index: &str, block: u32, what: impl Display) -> ! {
    let message = format!("index \"{index}\" is corrupt at block {block}: {what}");
    let hint = "If another version of omendb built it, REINDEX INDEX CONCURRENTLY builds it anew.";
    fail_with_hint(Code::ERRCODE_INDEX_CORRUPTED, message, hint)
}

/// The index is damaged, but at no page in particular.
#[track_caller]
pub(crate) fn corrupt_index(index: &str, what: impl Display) -> ! {
    let message = format!("index \"{index}\" is corrupt: {what}");
    fail(Code::ERRCODE_INDEX_CORRUPTED, message)
}

/// The index was built by pgvector, in a database now using omendb's library.
#[track_caller]
pub(crate) fn index_of_pgvector(index: &str) -> ! {
    let message = format!("index \"{index}\" was built by pgvector");
    let hint = "REINDEX INDEX CONCURRENTLY builds it anew.";
    fail_with_hint(
        Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        message,
        hint,
    )
}

/// The function is called only by pgvector's own access methods.
#[track_caller]
pub(crate) fn function_of_pgvector() -> ! {
    let message = "omendb does not have this function of pgvector";
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

// ERRORs about the inspection of indexes.

#[track_caller]
pub(crate) fn may_not_inspect(index: &str) -> ! {
    let message = format!("permission denied for index {index}");
    let detail = "Only its owner and roles with the privileges of pg_stat_scan_tables may look into an index.";
    fail_with_detail(Code::ERRCODE_INSUFFICIENT_PRIVILEGE, message, detail)
}

#[track_caller]
pub(crate) fn not_the_owner(index: &str) -> ! {
    let message = format!("must be owner of index {index}");
    fail(Code::ERRCODE_INSUFFICIENT_PRIVILEGE, message)
}

#[track_caller]
pub(crate) fn not_an_hnsw_index(name: &str) -> ! {
    let message = format!("\"{name}\" is not an hnsw index");
    fail(Code::ERRCODE_WRONG_OBJECT_TYPE, message)
}

/// The name is a table's instead of an index's; the hint names the table's indexes.
#[track_caller]
pub(crate) fn table_instead_of_index(name: &str, indexes: &[String]) -> ! {
    let message = format!("\"{name}\" is not an hnsw index");
    let hint = format!("Indexes of this table: {}.", indexes.join(", "));
    fail_with_hint(Code::ERRCODE_WRONG_OBJECT_TYPE, message, &hint)
}

#[track_caller]
pub(crate) fn index_is_partitioned(name: &str) -> ! {
    let message = format!("index \"{name}\" is partitioned");
    let detail = "Each partition has an index of its own, see pg_partition_tree.";
    fail_with_detail(Code::ERRCODE_WRONG_OBJECT_TYPE, message, detail)
}

#[track_caller]
pub(crate) fn temporary_of_others() -> ! {
    let message = "cannot access temporary indexes of other sessions";
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

#[track_caller]
pub(crate) fn unlogged_in_recovery() -> ! {
    let message = "cannot access unlogged indexes during recovery";
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

#[track_caller]
pub(crate) fn index_not_valid(index: &str) -> ! {
    let message = format!("index \"{index}\" is not valid: it need not hold all rows");
    fail(Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message)
}

#[track_caller]
pub(crate) fn snapshot_too_old_for_index(index: &str) -> ! {
    let message = format!("index \"{index}\" cannot be checked by the transaction's snapshot");
    let detail =
        "Older versions of some rows were not indexed. READ COMMITTED transactions can check it.";
    fail_with_detail(Code::ERRCODE_T_R_SERIALIZATION_FAILURE, message, detail)
}

#[track_caller]
pub(crate) fn check_needs_memory(needed: usize, allowed: usize) -> ! {
    let (needed, allowed) = (needed.div_ceil(1024), allowed.div_ceil(1024));
    let message = format!(
        "check of hnsw index needs {needed} kB or more, maintenance_work_mem is {allowed} kB"
    );
    fail(Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
}

// ERRORs about the recall of an index.

#[track_caller]
pub(crate) fn recall_needs_memory(needed: usize) -> ! {
    let (needed, allowed) = (needed.div_ceil(1024), maintenance_work_mem() / 1024);
    let message = format!(
        "recall of hnsw index needs {needed} kB or more, maintenance_work_mem is {allowed} kB"
    );
    fail(Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
}

/// Few queries are no calibration: their slacks are chance.
#[track_caller]
pub(crate) fn too_few_queries(found: usize, least: usize) -> ! {
    let message = format!("hnsw_calibrate needs at least {least} queries, not {found}");
    let detail = "NULL does not count, and neither do vectors without a direction where the distance needs one.";
    fail_with_detail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message, detail)
}

#[track_caller]
pub(crate) fn target_out_of_range(target: f64, least: f64, most: f64) -> ! {
    let message = format!("target_recall must be 0 or between {least} and {most}, not {target}");
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

#[track_caller]
pub(crate) fn target_and_ef() -> ! {
    let message = "target_recall and ef_search exclude each other";
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

/// The statement for queries returns no vectors of the index's type.
#[track_caller]
pub(crate) fn not_queries(fault: &Fault, type_name: &str) -> ! {
    let (code, message) = match fault {
        Fault::NoRows | Fault::NoCondition => (
            Code::ERRCODE_SYNTAX_ERROR,
            "queries must be one statement that returns rows".into(),
        ),
        Fault::Columns(count) => (
            Code::ERRCODE_DATATYPE_MISMATCH,
            format!("queries must have one column, not {count}"),
        ),
        Fault::Type(found) => (
            Code::ERRCODE_DATATYPE_MISMATCH,
            format!("queries must be of type {type_name}, not {found}"),
        ),
    };
    let hint = "For example: queries => 'SELECT embedding FROM questions'.";
    fail_with_hint(code, message, hint)
}

#[track_caller]
pub(crate) fn not_a_filter() -> ! {
    let message = "filter must be one condition on the table's columns";
    let hint = "For example: filter => 'price < 10 AND tenant_id = 7'.";
    fail_with_hint(Code::ERRCODE_SYNTAX_ERROR, message, hint)
}

// ERRORs about estimates of an index.

#[track_caller]
pub(crate) fn may_not_sample(table: &str) -> ! {
    let message = format!("permission denied for table {table}");
    let detail = "Only its owner and roles with the privileges of pg_stat_scan_tables may estimate an index.";
    fail_with_detail(Code::ERRCODE_INSUFFICIENT_PRIVILEGE, message, detail)
}

#[track_caller]
pub(crate) fn not_a_table(name: &str) -> ! {
    let message = format!("\"{name}\" is not a table or materialized view");
    fail(Code::ERRCODE_WRONG_OBJECT_TYPE, message)
}

#[track_caller]
pub(crate) fn table_is_partitioned(name: &str) -> ! {
    let message = format!("table \"{name}\" is partitioned");
    let hint = "Estimate the index of each partition, see pg_partition_tree.";
    fail_with_hint(Code::ERRCODE_WRONG_OBJECT_TYPE, message, hint)
}

#[track_caller]
pub(crate) fn temporary_table_of_others() -> ! {
    let message = "cannot access temporary tables of other sessions";
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

#[track_caller]
pub(crate) fn unlogged_table_in_recovery() -> ! {
    let message = "cannot access unlogged tables during recovery";
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

#[track_caller]
pub(crate) fn no_such_column(column: &str, table: &str) -> ! {
    let message = format!("column \"{column}\" of relation \"{table}\" does not exist");
    fail(Code::ERRCODE_UNDEFINED_COLUMN, message)
}

#[track_caller]
pub(crate) fn option_out_of_range(option: &str, value: i32, range: &RangeInclusive<i32>) -> ! {
    let (min, max) = (range.start(), range.end());
    let message = format!("{option} must be between {min} and {max}, not {value}");
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

#[track_caller]
pub(crate) fn table_not_sampled(table: &str) -> ! {
    let message = format!("the access method of table \"{table}\" cannot read single pages");
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

/// All element ids are in use.
#[track_caller]
pub(crate) fn index_full() -> ! {
    fail(
        Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        "hnsw index cannot hold more elements",
    )
}

#[track_caller]
pub(crate) fn type_not_supported(method: &str) -> ! {
    let message = format!("type not supported for {method} index");
    fail(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message)
}

#[track_caller]
pub(crate) fn no_vector_column(method: &str) -> ! {
    let message = format!("an {method} index needs a column to order by");
    let hint = "Name a vector column with its operator class before the columns to filter by, as in (embedding vector_l2_ops, tenant_id).";
    fail_with_hint(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message, hint)
}

#[track_caller]
pub(crate) fn too_many_vector_columns(method: &str, found: usize) -> ! {
    let message = format!("an {method} index has one column to order by, not {found}");
    let hint = "Create an index for each vector column.";
    fail_with_hint(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message, hint)
}

#[track_caller]
pub(crate) fn too_many_key_columns(method: &str, most: usize, found: usize) -> ! {
    let message = format!("an {method} index has up to {most} columns to filter by, not {found}");
    fail(Code::ERRCODE_TOO_MANY_COLUMNS, message)
}

/// The option `graphs` names another column than one to filter by.
#[track_caller]
pub(crate) fn no_such_key_column(name: &str, columns: &[String]) -> ! {
    let message = format!("graphs = \"{name}\" is not a column that the index filters by");
    let detail = match columns {
        [] => "The index has only its vector column.".to_owned(),
        columns => format!("It filters by: {}.", columns.join(", ")),
    };
    fail_with_detail(Code::ERRCODE_UNDEFINED_COLUMN, message, &detail)
}

/// Lists of `m` neighbors of one group are too short.
#[track_caller]
pub(crate) fn too_few_neighbors_for_graphs(least: usize, m: usize) -> ! {
    let message = format!("graphs needs m of at least {least}, not {m}");
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

/// Reports a fault of an operator class to a caller of `amvalidate`.
pub(crate) fn invalid_operator_class(fault: &str) {
    text::info(fault);
}

/// The key function of an operator class is not one of a value, that returns bigint.
#[track_caller]
pub(crate) fn wrong_key_function(method: &str, function: &str, returns: &str) -> ! {
    let message = format!("{method} key functions must take a value and return bigint");
    let detail = format!("Function {function} returns {returns}.");
    fail_with_detail(Code::ERRCODE_INVALID_OBJECT_DEFINITION, message, &detail)
}

#[track_caller]
pub(crate) fn no_key_function(method: &str, type_name: &str) -> ! {
    let message = format!("an {method} index cannot filter by values of type {type_name}");
    let hint = format!(
        "An operator class with FUNCTION 4 key({type_name}), which returns bigint, makes it possible."
    );
    fail_with_hint(Code::ERRCODE_FEATURE_NOT_SUPPORTED, message, &hint)
}

#[track_caller]
pub(crate) fn column_without_dimensions() -> ! {
    fail(
        Code::ERRCODE_INVALID_PARAMETER_VALUE,
        "column does not have dimensions",
    )
}

#[track_caller]
pub(crate) fn too_many_column_dimensions(max: u32, method: &str) -> ! {
    let message = format!("column cannot have more than {max} dimensions for {method} index");
    fail(Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
}

#[track_caller]
pub(crate) fn too_many_non_zero_in_index(max: usize) -> ! {
    let message = format!("sparsevec cannot have more than {max} non-zero elements for hnsw index");
    fail(Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
}

#[track_caller]
pub(crate) fn ef_construction_too_small() -> ! {
    let message = "ef_construction must be greater than or equal to 2 * m";
    fail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message)
}

/// The option `target_recall` of an index is between 0 and the least target, or not a number.
#[track_caller]
pub(crate) fn target_recall_out_of_range(value: f64) -> ! {
    let message = format!("value {value} out of bounds for option \"target_recall\"");
    let detail = "Valid values are 0, and between \"0.5\" and \"0.9999\".";
    fail_with_detail(Code::ERRCODE_INVALID_PARAMETER_VALUE, message, detail)
}

/// `m` leaves no room in a page for a code of even one bit a dimension.
#[track_caller]
pub(crate) fn element_too_large(m: usize, dimensions: u32) -> ! {
    let message = format!("hnsw index with m = {m} cannot hold vectors of {dimensions} dimensions");
    fail(Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message)
}

/// Reports at DEBUG1 that a build does not fit in memory.
pub(crate) fn say_cells(cells: usize, largest: usize) {
    let message = format!("hnsw index build goes by {cells} cells of at most {largest} rows");
    text::debug(&message);
}

/// Reports at DEBUG1 that parallel workers read the table of a build.
pub(crate) fn say_readers(workers: usize) {
    text::debug(&format!(
        "hnsw index build has {workers} parallel workers read the table"
    ));
}

/// Reports at DEBUG1 that a scan was read to its end and left out rows.
pub(crate) fn debug_rows_left_out(index: &str, late: u64, limit: bool) {
    let limit = if limit {
        ", and stopped at hnsw.max_scan_tuples or hnsw.scan_mem_multiplier"
    } else {
        ""
    };
    let message = format!("scan of index \"{index}\" left out {late} rows found too late{limit}");
    text::debug(&message);
}

#[track_caller]
pub(crate) fn out_of_memory(bytes: usize) -> ! {
    let detail = format!("Failed on request of size {bytes}.");
    fail_with_detail(Code::ERRCODE_OUT_OF_MEMORY, "out of memory", &detail)
}

/// A thread of a build ended abnormally.
#[track_caller]
pub(crate) fn build_failed(what: &str) -> ! {
    fail(
        Code::ERRCODE_INTERNAL_ERROR,
        format!("hnsw index build failed: {what}"),
    )
}

#[track_caller]
pub(crate) fn scan_without_order(method: &str) -> ! {
    let message = format!("cannot scan {method} index without order");
    fail(Code::ERRCODE_INTERNAL_ERROR, message)
}

#[track_caller]
pub(crate) fn non_mvcc_snapshot(method: &str) -> ! {
    let message = format!("non-MVCC snapshots are not supported with {method}");
    fail(Code::ERRCODE_INTERNAL_ERROR, message)
}
