//! Statements and conditions of a user: run read-only, with the user's privileges and the snapshot of the calling statement (SPI).
#![expect(unsafe_code, reason = "calls SPI and the parser")]

use std::ffi::{CStr, CString};

use layout::HeapTid;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::FromDatum;
use pgrx::pg_sys::{self, Datum, Oid};

use super::row::heap_tid;
use super::{Relation, compat, node, text};

/// The text of a statement or of a condition, as the argument of a function.
pub(crate) struct SqlText(CString);

impl SqlText {
    /// A statement of our own, in ASCII.
    pub(crate) fn new(statement: &str) -> Self {
        Self(CString::new(statement).expect("no zero"))
    }
}

/// The reason why a text is not the statement or the condition asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It is not one statement that returns rows.
    NoRows,
    /// Its rows have this many columns instead of one.
    Columns(usize),
    /// Its column is of the type of this name.
    Type(String),
    /// It is more than a condition, or less.
    NoCondition,
}

/// Rows read from a cursor at a time.
const BATCH: usize = 1000;

/// Calls `each` with up to `most` values of a statement's only column; NULL is passed over. A value lasts as long as the
/// call, which runs in the caller's memory context.
pub(crate) fn values_of(
    statement: &SqlText,
    wanted: Oid,
    most: usize,
    mut each: impl FnMut(Datum),
) -> Result<(), Fault> {
    let rows = Rows::open(&statement.0)?;
    rows.check_type(wanted)?;
    rows.read(most, &mut each);
    Ok(())
}

/// Calls `each` with the texts in the only column of a statement of our own, whose names are those of `pg_catalog`.
pub(crate) fn own_texts_of(statement: &SqlText, mut each: impl FnMut(String)) {
    // SAFETY: as Postgres does for the functions of an index: the setting is undone when the statement ends, by an error too.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    compat::restrict_search_path();
    let read = values_of(statement, pg_sys::TEXTOID, usize::MAX, |value| {
        // SAFETY: the column is of type text.
        let text = unsafe { CStr::from_ptr(pg_sys::text_to_cstring(value.cast_mut_ptr())) };
        each(text::to_string(text));
    });
    read.expect("a statement that returns texts");
    // SAFETY: the level is the one made above.
    unsafe { pg_sys::AtEOXact_GUC(false, level) };
}

/// Calls `each` with the TID of every version of a table's rows that the snapshot sees and that meets a condition. Versions of
/// its partitions and heirs are left out.
pub(crate) fn rows_where(
    table: Relation,
    condition: &SqlText,
    mut each: impl FnMut(HeapTid),
) -> Result<(), Fault> {
    let statement = select_where(table, &condition.0);
    let rows = Rows::open(&statement)?;
    if !is_condition(&statement) {
        return Err(Fault::NoCondition);
    }
    rows.read(usize::MAX, &mut |tid| {
        // SAFETY: the column `ctid` is an item pointer.
        each(unsafe { heap_tid(tid.cast_mut_ptr()) });
    });
    Ok(())
}

/// `SELECT ctid FROM ONLY table WHERE (condition)`. The line end ends a comment.
fn select_where(table: Relation, condition: &CStr) -> CString {
    // SAFETY: the table is open; the names are terminated strings in the current memory context.
    let name = unsafe {
        let class = &*(*table.raw()).rd_rel;
        let schema = pg_sys::get_namespace_name(class.relnamespace);
        CStr::from_ptr(pg_sys::quote_qualified_identifier(
            schema,
            class.relname.data.as_ptr(),
        ))
    };
    let parts = [
        b"SELECT ctid FROM ONLY ",
        name.to_bytes(),
        b" WHERE (",
        condition.to_bytes(),
        b"\n)",
    ];
    CString::new(parts.concat()).expect("no part holds a zero")
}

/// True if a statement made of a condition has nothing beside it: no ORDER BY, no UNION, no second statement.
fn is_condition(statement: &CStr) -> bool {
    // SAFETY: the text is terminated, and was parsed without an error before. The list is one of raw statements.
    unsafe {
        let mode = pg_sys::RawParseMode::RAW_PARSE_DEFAULT;
        let mut statements =
            node::items::<pg_sys::RawStmt>(pg_sys::raw_parser(statement.as_ptr(), mode));
        let (Some(first), None) = (statements.next(), statements.next()) else {
            return false;
        };
        if !node::has_tag((*first).stmt, pg_sys::NodeTag::T_SelectStmt) {
            return false;
        }
        let select = &*(*first).stmt.cast::<pg_sys::SelectStmt>();
        let lists = [
            select.distinctClause,
            select.groupClause,
            select.windowClause,
            select.valuesLists,
            select.sortClause,
            select.lockingClause,
        ];
        let nodes = [select.havingClause, select.limitOffset, select.limitCount];
        let mut tables = node::items::<pg_sys::Node>(select.fromClause);
        let is_of_one_table = tables
            .next()
            .is_some_and(|table| node::has_tag(table, pg_sys::NodeTag::T_RangeVar));
        is_of_one_table
            && tables.next().is_none()
            && select.op == pg_sys::SetOperation::SETOP_NONE
            && lists.iter().all(|list| list.is_null())
            && nodes.iter().all(|node| node.is_null())
            && select.intoClause.is_null()
            && select.withClause.is_null()
            && !select.whereClause.is_null()
    }
}

/// A cursor over the rows of a statement, with a connection to SPI of its own. An ERROR ends both.
struct Rows {
    cursor: pg_sys::Portal,
    /// The caller's.
    context: pg_sys::MemoryContext,
}

impl Rows {
    /// Plans a statement and begins it. The server refuses all but reading statements, and so does a standby.
    fn open(statement: &CStr) -> Result<Self, Fault> {
        // SAFETY: within a transaction with an active snapshot; the text is terminated.
        unsafe {
            let context = pg_sys::CurrentMemoryContext;
            let connected = pg_sys::SPI_connect();
            assert_eq!(
                connected.unsigned_abs(),
                pg_sys::SPI_OK_CONNECT,
                "SPI connects"
            );
            let plan = pg_sys::SPI_prepare(statement.as_ptr(), 0, std::ptr::null_mut());
            if plan.is_null() || !pg_sys::SPI_is_cursor_plan(plan) {
                pg_sys::SPI_finish();
                return Err(Fault::NoRows);
            }
            let (values, nulls) = (std::ptr::null_mut(), std::ptr::null());
            let cursor = pg_sys::SPI_cursor_open(std::ptr::null(), plan, values, nulls, true);
            Ok(Self { cursor, context })
        }
    }

    /// Checks that there is one column of a type, or of a domain over it.
    fn check_type(&self, wanted: Oid) -> Result<(), Fault> {
        // SAFETY: the cursor is open, and its rows have a descriptor.
        let fault = unsafe {
            let descriptor = (*self.cursor).tupDesc;
            let columns = usize::try_from((*descriptor).natts).expect("a count");
            if columns == 1 {
                let found = pg_sys::SPI_gettypeid(descriptor, 1);
                if pg_sys::getBaseType(found) == wanted {
                    return Ok(());
                }
                Fault::Type(text::to_string(CStr::from_ptr(pg_sys::format_type_be(
                    found,
                ))))
            } else {
                Fault::Columns(columns)
            }
        };
        Err(fault)
    }

    /// Calls `each` with the first column of up to `most` rows, and ends the statement.
    fn read(self, most: usize, each: &mut dyn FnMut(Datum)) {
        let mut left = most;
        loop {
            let wanted = left.min(BATCH);
            let count = self.read_batch(wanted, each);
            left -= count;
            if count < wanted || left == 0 {
                break;
            }
        }
        // SAFETY: the cursor is open; nothing of the connection is used afterwards.
        unsafe {
            pg_sys::SPI_cursor_close(self.cursor);
            pg_sys::SPI_finish();
        }
    }

    fn read_batch(&self, wanted: usize, each: &mut dyn FnMut(Datum)) -> usize {
        // SAFETY: the cursor is open; SPI_tuptable holds as many rows as SPI_processed says.
        unsafe {
            let wanted = wanted.try_into().expect("a small number");
            pg_sys::SPI_cursor_fetch(self.cursor, true, wanted);
            let table = pg_sys::SPI_tuptable;
            let count = usize::try_from(pg_sys::SPI_processed).expect("a small number");
            let inner = pg_sys::MemoryContextSwitchTo(self.context);
            for at in 0..count {
                let row = *(*table).vals.add(at);
                let mut is_null = false;
                let value = pg_sys::SPI_getbinval(row, (*table).tupdesc, 1, &raw mut is_null);
                if !is_null {
                    each(value);
                }
            }
            pg_sys::MemoryContextSwitchTo(inner);
            pg_sys::SPI_freetuptable(table);
            count
        }
    }
}

impl FromDatum for SqlText {
    unsafe fn from_polymorphic_datum(datum: Datum, is_null: bool, _type: Oid) -> Option<Self> {
        // SAFETY: the caller vouches for a text; the string is terminated.
        (!is_null).then(|| unsafe {
            let terminated = pg_sys::text_to_cstring(datum.cast_mut_ptr());
            Self(CStr::from_ptr(terminated).to_owned())
        })
    }
}

// SAFETY: our SQL declares the argument as text.
unsafe impl<'fcx> ArgAbi<'fcx> for SqlText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().expect("not NULL") }
    }
}
