//! Fetches values stored out of line (TOAST), one after the other.
//!
//! Postgres opens the TOAST table, its indexes and a scan anew for each value, which takes most of the time of fetching one
//! of a few chunks. An index scan computes the distances of many rows, so it keeps them open. It also caches the values
//! fetched last, because the query is about to compute the distances of the returned rows again.
#![expect(
    unsafe_code,
    reason = "scans TOAST tables and follows varlena pointers"
)]

use std::cell::RefCell;

use pgrx::pg_sys;
use pgrx::{set_varsize_4b, vardata_1b_e, vartag_1b_e};

use super::chunks::{Chunks, copy_chunk};
use crate::pg::compat;
use crate::pg::varlena::Varlena;

/// Bytes of the varlena header of a plain value.
const HEADER: usize = size_of::<u32>();

/// The location of an uncompressed value in a TOAST table (`varatt_external`).
#[derive(Clone, Copy, PartialEq, Eq)]
struct ToastPointer {
    table: pg_sys::Oid,
    value: pg_sys::Oid,
    /// Length in bytes, without a header.
    len: usize,
}

impl ToastPointer {
    /// The location of a varlena, if it is stored out of line and uncompressed.
    ///
    /// # Safety
    /// `given` points to a varlena.
    unsafe fn of(given: *const pg_sys::varlena) -> Option<Self> {
        // SAFETY: the caller's promise. A pointer into a TOAST table follows two bytes of header, unaligned.
        unsafe {
            if !pgrx::varatt_is_1b_e(given)
                || u32::from(vartag_1b_e(given)) != pg_sys::vartag_external::VARTAG_ONDISK
            {
                return None;
            }
            let external = vardata_1b_e(given)
                .cast::<pg_sys::varatt_external>()
                .read_unaligned();
            // The two upper bits name a compression method.
            let stored = (external.va_extinfo & ((1 << 30) - 1)) as usize;
            let len = usize::try_from(external.va_rawsize)
                .ok()?
                .checked_sub(HEADER)?;
            (stored == len && len > 0).then_some(Self {
                table: external.va_toastrelid,
                value: external.va_valueid,
                len,
            })
        }
    }
}

/// Maximum number of cached values, and of their bytes together.
const MOST_VALUES: usize = 32;
const MOST_BYTES: usize = 256 << 10;

/// A cache of the values fetched last, shared by all running scans.
#[derive(Default)]
struct Recent {
    values: Vec<Value>,
    /// The position of the value to be evicted next.
    oldest: usize,
}

/// A fetched value, as a plain varlena. Words of eight bytes make it aligned.
struct Value {
    pointer: ToastPointer,
    words: Vec<u64>,
}

thread_local! {
    static RECENT: RefCell<Recent> = RefCell::default();
}

impl Recent {
    /// Returns memory for a value of `pointer.len` bytes; evicts the oldest value if the cache is full.
    fn room(&mut self, pointer: ToastPointer) -> &mut Value {
        let words = (HEADER + pointer.len).div_ceil(size_of::<u64>());
        let most = (MOST_BYTES / (words * size_of::<u64>())).clamp(1, MOST_VALUES);
        if self.values.len() < most {
            self.oldest = self.values.len();
            self.values.push(Value {
                pointer,
                words: Vec::new(),
            });
        }
        self.values.truncate(most);
        let at = self.oldest % most;
        self.oldest = (at + 1) % most;
        let value = &mut self.values[at];
        value.words.resize(words, 0);
        value.pointer = pointer;
        value
    }

    fn of(&self, pointer: ToastPointer) -> Option<&Value> {
        self.values.iter().find(|value| value.pointer == pointer)
    }
}

/// Reads a vector, from the cache if a running scan has fetched it.
///
/// # Safety
/// As for [`Varlena::detoast`].
#[inline]
pub(crate) unsafe fn detoast_cached<'fcx>(datum: pg_sys::Datum) -> Varlena<'fcx> {
    // SAFETY: the caller's promise.
    unsafe { Varlena::detoast_with(datum, cached) }
}

/// A copy of a cached value, in the current memory context; `None` if the cache does not hold it.
///
/// # Safety
/// `given` points to a varlena.
unsafe fn cached(given: *const pg_sys::varlena) -> Option<*mut pg_sys::varlena> {
    // SAFETY: the caller's promise.
    let pointer = unsafe { ToastPointer::of(given) }?;
    RECENT.with_borrow(|recent| {
        let value = recent.of(pointer)?;
        let bytes = HEADER + pointer.len;
        // SAFETY: palloc returns as many bytes as are copied, or raises an ERROR. The borrow survives it, but is shared.
        unsafe {
            let copy = pg_sys::palloc(bytes).cast::<u8>();
            copy.copy_from_nonoverlapping(value.words.as_ptr().cast(), bytes);
            Some(copy.cast())
        }
    })
}

/// Fetches values from one TOAST table.
///
/// `cached` may return a fetcher's values until the fetcher is dropped: its snapshot sees their rows, so no vacuum removes the
/// values and no other value gets their oid. Its Postgres objects belong to the memory context current at its creation and to
/// the transaction; `close` releases them early.
pub(super) struct ToastFetcher {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    scan: pg_sys::IndexScanDesc,
    /// Selects one value's chunks.
    key: pg_sys::ScanKeyData,
    slot: *mut pg_sys::TupleTableSlot,
    /// The snapshot of the scan.
    snapshot: pg_sys::Snapshot,
    /// Finds chunks without the scan.
    chunks: Option<Chunks>,
}

impl Drop for ToastFetcher {
    fn drop(&mut self) {
        // Calls nothing of Postgres: the transaction may be aborting. A cache left borrowed by an ERROR stays as it is.
        RECENT.with(|recent| {
            if let Ok(mut recent) = recent.try_borrow_mut() {
                *recent = Recent::default();
            }
        });
    }
}

const LOCK: i32 = pg_sys::AccessShareLock.cast_signed();
/// Columns of a TOAST table: the value's oid, the chunk's number, and the chunk.
const VALUE: i16 = 1;
const COLUMNS: i32 = 3;
const EQUAL: u16 = pg_sys::BTEqualStrategyNumber as u16;
const FORWARD: pg_sys::ScanDirection::Type = pg_sys::ScanDirection::ForwardScanDirection;

impl ToastFetcher {
    /// Opens a TOAST table, in the current memory context.
    ///
    /// # Safety
    /// `rows` is the snapshot of the table's scan, and stays registered while the fetcher is used.
    unsafe fn open(table: pg_sys::Oid, rows: pg_sys::Snapshot) -> Option<Self> {
        // SAFETY: a missing table is an ERROR; `close` or the end of the transaction closes everything opened here.
        unsafe {
            let table = pg_sys::table_open(table, LOCK);
            let Some(index) = valid_index(table) else {
                pg_sys::table_close(table, LOCK);
                return None;
            };
            let snapshot = compat::toast_snapshot(rows);
            let mut key = pg_sys::ScanKeyData::default();
            pg_sys::ScanKeyInit(
                &raw mut key,
                VALUE,
                EQUAL,
                pg_sys::Oid::from(pg_sys::F_OIDEQ),
                pg_sys::Datum::from(0),
            );
            Some(Self {
                table,
                index,
                scan: compat::begin_index_scan(table, index, snapshot),
                key,
                slot: pg_sys::table_slot_create(table, std::ptr::null_mut()),
                snapshot,
                chunks: Chunks::of(table, index),
            })
        }
    }

    /// Reads a value into its memory; false if the chunks do not match its location. No page stays pinned.
    ///
    /// # Safety
    /// The fetcher is not closed, and the value belongs to a row visible to the snapshot.
    unsafe fn fetch(&mut self, value: &mut Value) -> bool {
        let pointer = value.pointer;
        let start = value.words.as_mut_ptr();
        self.key.sk_argument = pg_sys::Datum::from(pointer.value);
        let (scan, slot, key, snapshot) = (self.scan, self.slot, &raw mut self.key, self.snapshot);
        let chunks = self.chunks.as_mut();
        // SAFETY: scan, slot and key are live; the words have room for the header and `len` bytes. The closure inside the
        // boundary owns nothing to be dropped.
        unsafe {
            let clear = (*(*slot).tts_ops).clear.expect("every kind of slot has it");
            let len = i32::try_from(HEADER + pointer.len).expect("read from an i32");
            set_varsize_4b(start.cast(), len);
            let contents = start.cast::<u8>().add(HEADER);
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                if let Some(chunks) = chunks
                    && chunks.copy(pointer.value, (contents, pointer.len), snapshot)
                {
                    return true;
                }
                raw::index_rescan(scan, key, 1, std::ptr::null_mut(), 0);
                let (mut chunk, mut filled) = (0, 0);
                let mut whole = true;
                // Reads to the end, because the scan releases its pages there.
                while raw::index_getnext_slot(scan, FORWARD, slot) {
                    raw::slot_getsomeattrs_int(slot, COLUMNS);
                    let room = contents.add(filled);
                    match copy_expected((*slot).tts_values, chunk, room, pointer.len - filled) {
                        Some(len) if whole => filled += len,
                        _ => whole = false,
                    }
                    chunk += 1;
                }
                clear(slot);
                whole && filled == pointer.len
            })
        }
    }

    /// Closes scan, index and table.
    fn close(self) {
        // SAFETY: opened by `open` with this lock; nothing is used afterwards.
        unsafe {
            pg_sys::index_endscan(self.scan);
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, LOCK);
            pg_sys::table_close(self.table, LOCK);
        }
    }
}

/// Copies a chunk and returns its length; `None` if it is not the expected one or does not fit.
///
/// # Safety
/// `columns` are of a row of a TOAST table, and `into` has `room` bytes.
unsafe fn copy_expected(
    columns: *const pg_sys::Datum,
    chunk: usize,
    into: *mut u8,
    room: usize,
) -> Option<usize> {
    // SAFETY: the caller's promise.
    unsafe {
        let is_expected = (*columns.add(1)).value() == chunk;
        is_expected
            .then(|| copy_chunk((*columns.add(2)).cast_mut_ptr(), into, room))
            .flatten()
    }
}

/// Opens the valid index of a TOAST table.
///
/// # Safety
/// The table is open.
unsafe fn valid_index(table: pg_sys::Relation) -> Option<pg_sys::Relation> {
    // SAFETY: the caller's promise; the list is a copy of our own.
    unsafe {
        let list = pg_sys::RelationGetIndexList(table);
        if list.is_null() {
            return None;
        }
        let indexes = std::slice::from_raw_parts(
            (*list).elements,
            usize::try_from((*list).length).unwrap_or(0),
        );
        let mut found = None;
        for cell in indexes {
            let index = pg_sys::index_open(cell.oid_value, LOCK);
            if (*(*index).rd_index).indisvalid {
                found = Some(index);
                break;
            }
            pg_sys::index_close(index, LOCK);
        }
        pg_sys::list_free(list);
        found
    }
}

/// A scan's state for fetching values of its table. The first value out of line opens the TOAST table.
#[derive(Default)]
pub(super) enum Toast {
    #[default]
    Closed,
    Open(pg_sys::Oid, Box<ToastFetcher>),
    /// The TOAST table has no valid index: Postgres fetches the values.
    Odd,
}

impl Toast {
    /// Fetches a value stored out of line and uncompressed, and returns it as a plain varlena, valid until the next call.
    /// Returns other values, and those of another TOAST table, unchanged.
    ///
    /// # Safety
    /// `value` is a varlena of a row visible to the snapshot; the snapshot stays registered, and the memory context lives, as
    /// long as `self` is used.
    pub(super) unsafe fn plain(
        &mut self,
        value: pg_sys::Datum,
        snapshot: pg_sys::Snapshot,
        context: pg_sys::MemoryContext,
    ) -> pg_sys::Datum {
        // SAFETY: the caller's promise.
        let Some(pointer) = (unsafe { ToastPointer::of(value.cast_mut_ptr()) }) else {
            return value;
        };
        // SAFETY: the caller's promise. An index scan may keep what it allocates from one value to the next.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(context);
            if matches!(self, Self::Closed) {
                *self = ToastFetcher::open(pointer.table, snapshot).map_or(Self::Odd, |fetcher| {
                    Self::Open(pointer.table, Box::new(fetcher))
                });
            }
            let fetched = match self {
                Self::Open(table, fetcher) if *table == pointer.table => fetched(fetcher, pointer),
                _ => None,
            };
            pg_sys::MemoryContextSwitchTo(outer);
            fetched.unwrap_or(value)
        }
    }

    pub(super) fn close(self) {
        if let Self::Open(_, fetcher) = self {
            fetcher.close();
        }
    }
}

/// Fetches a value into the cache.
///
/// # Safety
/// As for `ToastFetcher::fetch`.
unsafe fn fetched(fetcher: &mut ToastFetcher, pointer: ToastPointer) -> Option<pg_sys::Datum> {
    // Takes the cache out while Postgres reads: an ERROR would leave it borrowed.
    let mut taken = RECENT.take();
    let value = taken.room(pointer);
    // SAFETY: the caller's promise.
    let whole = unsafe { fetcher.fetch(value) };
    let start = value.words.as_mut_ptr();
    if !whole {
        return None;
    }
    RECENT.set(taken);
    Some(pg_sys::Datum::from(start))
}

/// Calls without an error boundary of their own: the caller wraps all chunks of a value in one.
mod raw {
    use super::pg_sys;

    unsafe extern "C-unwind" {
        pub(super) fn index_rescan(
            scan: pg_sys::IndexScanDesc,
            keys: pg_sys::ScanKey,
            nkeys: i32,
            orderbys: pg_sys::ScanKey,
            norderbys: i32,
        );
        pub(super) fn index_getnext_slot(
            scan: pg_sys::IndexScanDesc,
            direction: pg_sys::ScanDirection::Type,
            slot: *mut pg_sys::TupleTableSlot,
        ) -> bool;
        pub(super) fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, attnum: i32);
    }
}
