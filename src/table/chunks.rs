//! Finds the chunks of a value in a TOAST table without an index scan.
//!
//! An index scan pins and locks the pages from the root of the table's btree to a leaf, for each value anew, and looks each of them
//! up in the shared buffer table. Here these pages are read where they are (`pg/unlocked_read.rs`), so the chunks' places are
//! guesses. A chunk counts if the row at its place, on a pinned and locked page, has the value's oid and the chunk's number and
//! is visible: it is the one that the index scan would find. Whatever is odd, or not in shared buffers, is left to Postgres.
#![expect(unsafe_code, reason = "reads pages of Postgres' own btree and heap")]

use layout::HeapTid;
use pgrx::{pg_sys, vardata_any, varsize_any_exhdr};

use super::buffers;
use super::row_hints::{RowHints, offset_in};
use crate::pg::row::item_pointer;
use crate::pg::unlocked_read::{self, Peek};
use crate::pg::{Relation, compat};

/// The bytes of all chunks but the last (`TOAST_MAX_CHUNK_SIZE`, access/heaptoast.h).
pub(super) const CHUNK: usize = {
    const PER_PAGE: usize = 4;
    let pointers = PER_PAGE * size_of::<pg_sys::ItemIdData>();
    let pages = (pg_sys::BLCKSZ as usize - align(PAGE_HEADER + pointers)) / PER_PAGE / 8 * 8;
    pages - align(ROW_HEADER) - size_of::<pg_sys::Oid>() - 2 * size_of::<i32>()
};
const PAGE_HEADER: usize = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);
const ROW_HEADER: usize = std::mem::offset_of!(pg_sys::HeapTupleHeaderData, t_bits);
const _: () = assert!(CHUNK == 1996);

const fn align(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// The pages of a relation in shared buffers.
struct Pages {
    relation: Relation,
    hints: RowHints,
    /// The relation's size in blocks, as last read.
    blocks: u32,
}

impl Pages {
    fn of(relation: Relation) -> Self {
        Self {
            relation,
            hints: RowHints::new(relation),
            blocks: 0,
        }
    }

    /// The buffer likely to hold a block; `None` if there is none. A block that is not in memory is requested from the disk.
    ///
    /// # Safety
    /// The relation is open, and the caller runs inside an error boundary.
    unsafe fn buffer(&mut self, block: u32) -> Option<pg_sys::Buffer> {
        let known = self.hints.buffer_of(block);
        if known.is_some() {
            return known;
        }
        // SAFETY: the caller's promise. Postgres raises an ERROR for a block far beyond the end.
        unsafe {
            if block >= self.blocks {
                self.blocks = raw::RelationGetNumberOfBlocksInFork(self.relation.raw(), MAIN);
            }
            if block >= self.blocks {
                return None;
            }
            let buffer = buffers::PrefetchBuffer(self.relation.raw(), MAIN, block).recent_buffer;
            self.hints.remember(block, buffer);
            (buffer > 0).then_some(buffer)
        }
    }
}

/// Finds chunks by the index of a TOAST table.
pub(super) struct Chunks {
    index: Pages,
    table: Pages,
    /// The places of the value's chunks, in their order.
    places: Vec<HeapTid>,
}

/// The most pages of the index read for a value: its height, some more that inserts have split, and the next leaves.
const MOST_PAGES: usize = 16;

impl Chunks {
    /// Chunks of a TOAST table; `None` if its rows are not those of Postgres' heap in shared buffers.
    ///
    /// # Safety
    /// Table and index are open, and stay so while this is used.
    pub(super) unsafe fn of(table: pg_sys::Relation, index: pg_sys::Relation) -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            let heap = pg_sys::GetHeapamTableAmRoutine();
            let is_heap = std::ptr::eq((*table).rd_tableam, heap);
            let is_btree = (*(*index).rd_rel).relam == pg_sys::BTREE_AM_OID;
            let (table, index) = (Relation::new(table), Relation::new(index));
            let may_read = is_heap && is_btree && !table.is_local();
            (may_read && unlocked_read::is_possible() && !compat::snapshots_expire()).then(|| {
                Self {
                    index: Pages::of(index),
                    table: Pages::of(table),
                    places: Vec::new(),
                }
            })
        }
    }

    /// Copies the chunks of a value of `len` bytes; false if they are not all found.
    ///
    /// # Safety
    /// `into` has `len` bytes, the snapshot is one for TOAST tables, and the caller runs inside an error boundary.
    pub(super) unsafe fn copy(
        &mut self,
        value: pg_sys::Oid,
        (into, len): (*mut u8, usize),
        snapshot: pg_sys::Snapshot,
    ) -> bool {
        let count = len.div_ceil(CHUNK);
        self.places.clear();
        if self.places.try_reserve(count).is_err() {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.find(value.to_u32(), count).is_some()
                && self.copy_found(value, (into, len), snapshot).is_some()
        }
    }

    /// Finds the places of a value's chunks.
    ///
    /// # Safety
    /// The caller runs inside an error boundary.
    unsafe fn find(&mut self, value: u32, count: usize) -> Option<()> {
        // SAFETY: the index is open. A btree keeps its metapage here once it has read it; a stale root leads to the right, too.
        let mut block = unsafe {
            let metapage = (*self.index.relation.raw()).rd_amcache.cast::<u32>();
            metapage.as_ref()?;
            *metapage.add(FAST_ROOT)
        };
        for _ in 0..MOST_PAGES {
            // SAFETY: the caller's promise.
            let buffer = unsafe { self.index.buffer(block) }?;
            let tag = self.index.hints.tag(block);
            let places = &mut self.places;
            match tag.peek(buffer, |page| Node::of(page)?.step(value, count, places))? {
                Step::To(next) => block = next,
                Step::Found => return Some(()),
            }
        }
        None
    }

    /// Copies the chunks at the places found.
    ///
    /// # Safety
    /// As for `copy`.
    unsafe fn copy_found(
        &mut self,
        value: pg_sys::Oid,
        (into, len): (*mut u8, usize),
        snapshot: pg_sys::Snapshot,
    ) -> Option<()> {
        let mut filled = 0;
        let mut numbers = 0..;
        for places in self.places.chunk_by(|a, b| a.block == b.block) {
            let block = places[0].block;
            // SAFETY: the caller's promise; the page is pinned and share-locked while its rows are read. ReadRecentBuffer
            // checks that the buffer holds this block.
            unsafe {
                let buffer = self.table.buffer(block)?;
                let table = self.table.relation;
                if !buffers::ReadRecentBuffer(table.locator(), MAIN, block, buffer) {
                    return None;
                }
                compat::raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE.cast_signed());
                let mut row = Row::on(buffer, table);
                let are_whole = places.iter().zip(&mut numbers).all(|(&place, number)| {
                    let room = (into.add(filled), len - filled);
                    let copied = row.copy(place, (value, number), snapshot, room);
                    filled += copied.unwrap_or(0);
                    copied.is_some()
                });
                raw::UnlockReleaseBuffer(buffer);
                are_whole.then_some(())?;
            }
        }
        (filled == len).then_some(())
    }
}

/// A row of a TOAST table on a pinned and locked page.
struct Row {
    buffer: pg_sys::Buffer,
    tuple: pg_sys::HeapTupleData,
}

impl Row {
    /// # Safety
    /// The buffer is pinned and locked as long as the row is used.
    unsafe fn on(buffer: pg_sys::Buffer, table: Relation) -> Self {
        Self {
            buffer,
            tuple: pg_sys::HeapTupleData {
                t_tableOid: table.oid(),
                ..Default::default()
            },
        }
    }

    /// Copies the chunk at a place, and returns its length; `None` if it is another chunk, is not visible or does not fit.
    ///
    /// # Safety
    /// `into` has as many bytes as it says.
    unsafe fn copy(
        &mut self,
        place: HeapTid,
        (value, number): (pg_sys::Oid, u32),
        snapshot: pg_sys::Snapshot,
        (into, room): (*mut u8, usize),
    ) -> Option<usize> {
        // SAFETY: the page is a heap's, locked: its line pointers, and the rows of those in use, lie within it. A row of a
        // TOAST table without NULLs begins with its oid and number.
        unsafe {
            let (header, len) = row_at(self.buffer, place.offset)?;
            let columns = u32::from((*header).t_infomask2) & pg_sys::HEAP_NATTS_MASK;
            let has_null = u32::from((*header).t_infomask) & pg_sys::HEAP_HASNULL != 0;
            let start = usize::from((*header).t_hoff);
            let data = header.cast::<u8>().add(start);
            let is_chunk = columns == COLUMNS
                && !has_null
                && start == align(ROW_HEADER)
                && *data.cast::<u32>() == value.to_u32()
                && *data.cast::<u32>().add(1) == number;
            self.tuple.t_data = header;
            self.tuple.t_len = len;
            self.tuple.t_self = item_pointer(place);
            if !is_chunk
                || !raw::HeapTupleSatisfiesVisibility(&raw mut self.tuple, snapshot, self.buffer)
            {
                return None;
            }
            let room = room.min(len as usize - start - BEFORE_DATA);
            copy_chunk(data.add(2 * size_of::<u32>()).cast(), into, room)
        }
    }
}

/// Bytes before the data of a chunk: the value's oid, the chunk's number, and the shortest header of a varlena.
const BEFORE_DATA: usize = 2 * size_of::<u32>() + 1;

/// Copies the bytes of a chunk and returns their number; `None` if it is no plain varlena or does not fit.
///
/// # Safety
/// `bytes` is a varlena, and `into` has `room` bytes.
pub(super) unsafe fn copy_chunk(
    bytes: *const pg_sys::varlena,
    into: *mut u8,
    room: usize,
) -> Option<usize> {
    // SAFETY: the caller's promise; a chunk has a long or a short header.
    unsafe {
        if pgrx::varatt_is_1b_e(bytes) || pgrx::varatt_is_4b_c(bytes) {
            return None;
        }
        let len = varsize_any_exhdr(bytes);
        if len > room {
            return None;
        }
        into.copy_from_nonoverlapping(vardata_any(bytes).cast(), len);
        Some(len)
    }
}

/// The columns of a TOAST table: the value's oid, the chunk's number, and the chunk.
const COLUMNS: u32 = 3;

/// The row of a line pointer of a heap's page, and its length; `None` if the page has no row there.
///
/// # Safety
/// The buffer is pinned and locked.
unsafe fn row_at(buffer: pg_sys::Buffer, number: u16) -> Option<(pg_sys::HeapTupleHeader, u32)> {
    // SAFETY: the caller's promise; the line pointers in use lie before `pd_lower`.
    unsafe {
        let page = unlocked_read::page(buffer);
        let header = &*page.cast::<pg_sys::PageHeaderData>();
        let at =
            PAGE_HEADER + size_of::<pg_sys::ItemIdData>() * usize::from(number.checked_sub(1)?);
        if at + size_of::<pg_sys::ItemIdData>() > usize::from(header.pd_lower) {
            return None;
        }
        let pointer = &*page.add(at).cast::<pg_sys::ItemIdData>();
        let (offset, len) = (pointer.lp_off() as usize, pointer.lp_len() as usize);
        let is_row = pointer.lp_flags() == pg_sys::LP_NORMAL
            && len >= align(ROW_HEADER) + BEFORE_DATA
            && offset + len <= pg_sys::BLCKSZ as usize;
        is_row.then(|| (page.add(offset).cast_mut().cast(), pointer.lp_len()))
    }
}

/// The item of the metapage that names the root to start from (`btm_fastroot`, access/nbtree.h).
const FAST_ROOT: usize = 4;

/// A page of a btree (access/nbtree.h), read in place.
struct Node {
    page: Peek,
    /// The number of items.
    items: u16,
    /// The page on the right; 0 for none.
    next: u32,
    is_leaf: bool,
}

/// The next step on the way to a value.
enum Step {
    To(u32),
    Found,
}

const LOWER: usize = std::mem::offset_of!(pg_sys::PageHeaderData, pd_lower);
const SPECIAL: usize = pg_sys::BLCKSZ as usize - 16;
const NEXT: usize = SPECIAL + 4;
const FLAGS: usize = SPECIAL + 12;
/// `BTP_LEAF`, and the other flags that a search may meet: a root, the last page of a split, dead items, an unfinished split.
const LEAF: u16 = 1;
const KNOWN: u16 = LEAF | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 7;
/// `INDEX_ALT_TID_MASK`: an inner item that says how many of its columns are left, or a list of rows.
const ALTERED: u16 = 0x2000;
/// `BT_OFFSET_MASK`.
const COLUMNS_LEFT: u16 = 0x0FFF;

impl Node {
    fn of(page: Peek) -> Option<Self> {
        let flags = page.u16(FLAGS)?;
        let used = usize::from(page.u16(LOWER)?).checked_sub(PAGE_HEADER)?;
        Some(Self {
            page,
            items: u16::try_from(used / size_of::<pg_sys::ItemIdData>()).ok()?,
            next: page.u32(NEXT)?,
            is_leaf: flags & LEAF != 0,
        })
        .filter(|_| flags & !KNOWN == 0)
    }

    /// Goes on to the page that leads to a value, or adds the places of its chunks, up to `count` of them in all.
    fn step(&self, value: u32, count: usize, places: &mut Vec<HeapTid>) -> Option<Step> {
        let target = key(value, 0);
        let is_last = self.next == 0;
        if !is_last && places.is_empty() && self.key(1)? <= target {
            return Some(Step::To(self.next));
        }
        let first = if is_last { 1 } else { 2 };
        if !self.is_leaf {
            let after = self.search(first, target + 1)?;
            let child = after.checked_sub(1).filter(|&item| item >= first)?;
            return Some(Step::To(self.place(child)?.block));
        }
        let mut item = match places.is_empty() {
            true => self.search(first, target)?,
            false => first,
        };
        while places.len() < count && item <= self.items {
            let number = u32::try_from(places.len()).ok()?;
            if self.key(item)? != key(value, number) {
                return None;
            }
            places.push(self.place(item)?);
            item += 1;
        }
        if places.len() == count {
            return Some(Step::Found);
        }
        (!is_last).then_some(Step::To(self.next))
    }

    /// The first item, from `first` on, that does not come before a key. Values have got their oids one after the other, so the
    /// search starts where the keys at both ends suggest: it reads a few cache lines, where a binary search reads ten.
    fn search(&self, first: u16, key: u64) -> Option<u16> {
        let (mut from, mut to) = (first, self.items + 1);
        let mut item = self.likely(first, key)?;
        let mut step = 1;
        while from < to {
            if item < from || item >= to {
                item = from + (to - from) / 2;
            }
            if self.key(item)? < key {
                from = item + 1;
                item = item.saturating_add(step);
            } else {
                to = item;
                item = item.saturating_sub(step);
            }
            step = step.saturating_mul(2);
        }
        Some(from)
    }

    /// The item likely to have a key.
    fn likely(&self, first: u16, key: u64) -> Option<u16> {
        let oid = |key: u64| key >> 32;
        // The first key of an inner page is cut off; the greatest of a page with a neighbor on the right comes first.
        let least = self.key(if self.is_leaf { first } else { first + 1 })?;
        let greatest = self.key(if first > 1 { 1 } else { self.items })?;
        let range = oid(greatest).saturating_sub(oid(least)).max(1);
        let at = oid(key).saturating_sub(oid(least)).min(range);
        let items = u64::from(self.items.saturating_sub(first));
        u16::try_from(u64::from(first) + at * items / range).ok()
    }

    /// The key of an item; columns cut off count as nothing. `None` for a list of rows.
    fn key(&self, item: u16) -> Option<u64> {
        let at = self.offset(item)?;
        let columns = match self.page.u16(at + 6)? & ALTERED {
            0 => 2,
            _ if self.is_leaf && item > 1 => return None,
            _ => self.page.u16(at + 4)? & COLUMNS_LEFT,
        };
        Some(match columns {
            0 => 0,
            1 => key(self.page.u32(at + 8)?, 0),
            _ => key(self.page.u32(at + 8)?, self.page.u32(at + 12)?),
        })
    }

    /// What an item leads to: a row, or a page.
    fn place(&self, item: u16) -> Option<HeapTid> {
        let at = self.offset(item)?;
        let [high, low, offset] = [0, 2, 4].map(|part| self.page.u16(at + part));
        Some(HeapTid {
            block: u32::from(high?) << 16 | u32::from(low?),
            offset: offset?,
        })
    }

    /// The offset of an item, counted from 1.
    fn offset(&self, item: u16) -> Option<usize> {
        let before = usize::from(item.checked_sub(1)?);
        let at = PAGE_HEADER + size_of::<pg_sys::ItemIdData>() * before;
        Some(offset_in(self.page.u32(at)?))
    }
}

/// A key in the order of the index: by oid, then by number.
fn key(value: u32, number: u32) -> u64 {
    u64::from(value) << 32 | u64::from(number)
}

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// Calls without an error boundary of their own: the caller wraps a whole value in one.
mod raw {
    use super::pg_sys;

    unsafe extern "C-unwind" {
        pub(super) fn RelationGetNumberOfBlocksInFork(
            relation: pg_sys::Relation,
            fork: pg_sys::ForkNumber::Type,
        ) -> u32;
        pub(super) fn UnlockReleaseBuffer(buffer: pg_sys::Buffer);
        pub(super) fn HeapTupleSatisfiesVisibility(
            row: pg_sys::HeapTuple,
            snapshot: pg_sys::Snapshot,
            buffer: pg_sys::Buffer,
        ) -> bool;
    }
}
