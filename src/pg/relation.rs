//! An open relation and its properties.
#![expect(unsafe_code, reason = "reads fields of Postgres' relation descriptor")]

use std::ffi::CStr;

use pgrx::pg_sys;

use super::compat::{self, FileLocator};
use super::text;

/// A relation held open by Postgres during a call.
#[derive(Clone, Copy)]
pub(crate) struct Relation(pg_sys::Relation);

impl Relation {
    /// # Safety
    /// `raw` is an open relation and stays open while the value is used.
    pub(crate) unsafe fn new(raw: pg_sys::Relation) -> Self {
        Self(raw)
    }

    pub(crate) fn raw(self) -> pg_sys::Relation {
        self.0
    }

    pub(crate) fn oid(self) -> pg_sys::Oid {
        // SAFETY: the relation is open (see `new`), here and below.
        unsafe { (*self.0).rd_id }
    }

    pub(crate) fn name(self) -> String {
        // SAFETY: rd_rel is set and relname is a null-terminated name.
        text::to_string(unsafe { CStr::from_ptr((*(*self.0).rd_rel).relname.data.as_ptr()) })
    }

    /// The name of an index's access method, for messages.
    pub(crate) fn access_method(self) -> String {
        // SAFETY: rd_rel is set; the name is a null-terminated string in the current memory context, or null.
        unsafe {
            let name = pg_sys::get_am_name((*(*self.0).rd_rel).relam);
            name.as_ref()
                .map_or_else(String::new, |name| text::to_string(CStr::from_ptr(name)))
        }
    }

    pub(crate) fn locator(self) -> FileLocator {
        // SAFETY: the relation is open.
        unsafe { compat::file_locator(self.0) }
    }

    pub(crate) fn file_number(self) -> u32 {
        compat::file_number(&self.locator())
    }

    pub(crate) fn blocks(self) -> u32 {
        self.fork_blocks(pg_sys::ForkNumber::MAIN_FORKNUM)
    }

    pub(crate) fn fork_blocks(self, fork: pg_sys::ForkNumber::Type) -> u32 {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.0, fork) }
    }

    /// The number of blocks of a table's TOAST; 0 without any.
    pub(crate) fn toast_blocks(self) -> u32 {
        let lock = pg_sys::AccessShareLock.cast_signed();
        // SAFETY: the relation is open and rd_rel is set. A TOAST table lives as long as its table.
        unsafe {
            let toast = (*(*self.0).rd_rel).reltoastrelid;
            if toast == pg_sys::InvalidOid {
                return 0;
            }
            let toast = Self(pg_sys::table_open(toast, lock));
            let blocks = toast.blocks();
            pg_sys::table_close(toast.0, lock);
            blocks
        }
    }

    /// True if the table's rows are kept by Postgres' own table access method.
    pub(crate) fn is_heap(self) -> bool {
        // SAFETY: the relation is an open table.
        unsafe { std::ptr::eq((*self.0).rd_tableam, pg_sys::GetHeapamTableAmRoutine()) }
    }

    /// `RelationNeedsWAL`, a macro in C (utils/rel.h).
    pub(crate) fn needs_wal(self) -> bool {
        // SAFETY: the relation is open and rd_rel is set.
        unsafe {
            let permanent = compat::byte((*(*self.0).rd_rel).relpersistence)
                == pg_sys::RELPERSISTENCE_PERMANENT;
            let wal_is_needed = pg_sys::wal_level
                >= i32::try_from(pg_sys::WalLevel::WAL_LEVEL_REPLICA).expect("a small enum");
            permanent && (wal_is_needed || !compat::file_is_new(self.0))
        }
    }

    pub(crate) fn is_local(self) -> bool {
        // SAFETY: the relation is open and rd_rel is set.
        unsafe { compat::byte((*(*self.0).rd_rel).relpersistence) == pg_sys::RELPERSISTENCE_TEMP }
    }

    /// The number of an index's columns.
    pub(crate) fn columns(self) -> usize {
        // SAFETY: the relation is an open index.
        let count = unsafe { (*(*self.0).rd_index).indnkeyatts };
        usize::try_from(count).expect("a count")
    }

    /// The type modifier of an index's column: a vector's dimensions, or -1.
    pub(crate) fn column_typmod(self, column: usize) -> i32 {
        self.column(column).1
    }

    /// The type of an index's column; for a domain, its base type.
    pub(crate) fn column_type(self, column: usize) -> pg_sys::Oid {
        self.column(column).0
    }

    /// The name of the type of an index's column, for messages.
    pub(crate) fn column_type_name(self, column: usize) -> String {
        // SAFETY: the type is in the catalogs; the name is a string in the current memory context.
        unsafe {
            text::to_string(CStr::from_ptr(pg_sys::format_type_be(
                self.column_type(column),
            )))
        }
    }

    /// True if the type of an index's column can have modifiers.
    pub(crate) fn column_has_modifiers(self, column: usize) -> bool {
        // SAFETY: the type is in the catalogs.
        unsafe { pg_sys::get_typmodin(self.column_type(column)) != pg_sys::InvalidOid }
    }

    /// The function of this number in the operator class of an index's column; invalid if the class has none.
    pub(crate) fn support_function(self, column: usize, number: u16) -> pg_sys::Oid {
        // SAFETY: the relation is an open index, whose access method has this many support functions.
        unsafe { pg_sys::index_getprocid(self.0, attribute_number(column), number) }
    }

    /// Type and modifier of an index's column; for a domain, those of its base type.
    fn column(self, column: usize) -> (pg_sys::Oid, i32) {
        // SAFETY: the index has this attribute, and its type is in the catalogs.
        unsafe {
            let count = usize::try_from((*(*self.0).rd_att).natts).expect("a count");
            assert!(column < count, "column {column} of an index");
            let attribute = &*compat::attribute((*self.0).rd_att, column);
            let mut modifier = attribute.atttypmod;
            let base = pg_sys::getBaseTypeAndTypmod(attribute.atttypid, &raw mut modifier);
            (base, modifier)
        }
    }

    /// The options of `WITH (...)` in the struct filled by `amoptions`; `None` if the user set no option.
    ///
    /// # Safety
    /// `T` is the struct that this relation's `amoptions` fills.
    pub(crate) unsafe fn options<T: Copy>(self) -> Option<T> {
        // SAFETY: rd_options is null or points to the struct returned by amoptions.
        unsafe { (*self.0).rd_options.cast::<T>().as_ref().copied() }
    }

    /// A string among the options; `None` if the user set it not. `offset` returns its place in the struct.
    ///
    /// # Safety
    /// As for `options`; the place is one that `build_reloptions` filled, or 0.
    pub(crate) unsafe fn string_option<T>(self, offset: impl Fn(&T) -> i32) -> Option<String> {
        // SAFETY: the caller's promise.
        unsafe {
            let options = (*self.0).rd_options;
            let offset = offset(options.cast::<T>().as_ref()?);
            let offset = usize::try_from(offset).ok().filter(|&offset| offset > 0)?;
            let string = options.cast::<std::ffi::c_char>().add(offset);
            Some(text::to_string(CStr::from_ptr(string)))
        }
    }

    /// The names of an index's column: its own, and that of the table's column unless it is an expression. They differ once the
    /// table's column is renamed.
    pub(crate) fn column_names(self, column: usize) -> (String, Option<String>) {
        // SAFETY: the relation is an open index with this column; the name is a string in the current memory context.
        unsafe {
            let attribute = &*compat::attribute((*self.0).rd_att, column);
            let own = text::to_string(CStr::from_ptr(attribute.attname.data.as_ptr()));
            let index = &*(*self.0).rd_index;
            let number = *index.indkey.values.as_ptr().add(column);
            let of_table = (number != 0)
                .then(|| pg_sys::get_attname(index.indrelid, number, true))
                .filter(|name| !name.is_null())
                .map(|name| text::to_string(CStr::from_ptr(name)));
            (own, of_table)
        }
    }
}

/// The number of an index's column as Postgres counts, from 1.
pub(crate) fn attribute_number(column: usize) -> pg_sys::AttrNumber {
    pg_sys::AttrNumber::try_from(column + 1).expect("few columns")
}
