//! Fetches single rows of a table by TID.
#![expect(unsafe_code, reason = "calls the table access method")]

use std::mem::offset_of;

use layout::HeapTid;
use pgrx::pg_sys;

use super::row_hints::RowHints;
use super::toast::Toast;
use super::{buffers, row_context};
use crate::pg::row::{heap_tid, item_pointer};
use crate::pg::{Relation, compat, node, unlocked_read};

/// Fetches single rows of a table by TID, for the indexed value visible to a snapshot.
///
/// Its memory belongs to the context current at its creation, its pins to the transaction; `close` releases both early.
pub(crate) struct RowFetcher {
    heap: Relation,
    /// The least size of the table in blocks, as far as known.
    blocks: u32,
    snapshot: pg_sys::Snapshot,
    fetch: *mut pg_sys::IndexFetchTableData,
    slot: *mut pg_sys::TupleTableSlot,
    /// Buffers last seen to hold the table's pages; only for tables of Postgres' heap access method.
    hints: Option<RowHints>,
    /// Fetches values stored out of line.
    toast: Toast,
    /// The memory context of all allocations with the scan's lifetime.
    context: pg_sys::MemoryContext,
    /// Only for an expression index.
    expression: Option<Expression>,
    /// Attribute number of the indexed column; 0 for an expression.
    column: i32,
    /// Holds detoasted values and allocations of expressions; reset before each row.
    row_context: pg_sys::MemoryContext,
    /// True if the last fetched row is dead to all transactions.
    is_dead: bool,
}

#[derive(Clone, Copy)]
struct Expression {
    info: *mut pg_sys::IndexInfo,
    estate: *mut pg_sys::EState,
}

impl RowFetcher {
    /// Allocates in the current memory context, which must live as long as the scan.
    ///
    /// # Safety
    /// The snapshot outlives the fetcher, and `index` is an index on `heap` with this column.
    pub(crate) unsafe fn new(
        heap: Relation,
        index: Relation,
        of: usize,
        snapshot: pg_sys::Snapshot,
    ) -> Self {
        // SAFETY: the relations are open; all is allocated in the current memory context.
        unsafe {
            let raw_heap = heap.raw();
            let columns = &raw const (*(*index.raw()).rd_index).indkey.values;
            let column = i32::from(*columns.cast::<i16>().add(of));
            let expression = (column == 0).then(|| Expression::of(index, of));
            let is_heap = std::ptr::eq((*raw_heap).rd_tableam, pg_sys::GetHeapamTableAmRoutine());
            Self {
                heap,
                blocks: 0,
                hints: (is_heap && !heap.is_local()).then(|| RowHints::new(heap)),
                snapshot,
                fetch: compat::begin_fetch(raw_heap),
                slot: pg_sys::table_slot_create(raw_heap, std::ptr::null_mut()),
                toast: Toast::default(),
                context: pg_sys::CurrentMemoryContext,
                expression,
                column,
                row_context: row_context(),
                is_dead: false,
            }
        }
    }

    /// True if the index computes its values by an expression.
    pub(crate) fn is_computed(&self) -> bool {
        self.expression.is_some()
    }

    /// The TID of the version that the snapshot saw of the last fetched row: an index has the TID of the first version.
    pub(crate) fn version(&self) -> HeapTid {
        // SAFETY: the slot is live until `close`.
        unsafe { heap_tid(&raw mut (*self.slot).tts_tid) }
    }

    /// True if the table has a block: one in a buffer exists. Reads the table's size, by a system call, before returning false.
    pub(crate) fn has_block(&mut self, block: u32) -> bool {
        if block >= self.blocks {
            let held = self.hints.and_then(|hints| hints.buffer_of(block));
            self.blocks = match held {
                Some(_) => block + 1,
                None => self.heap.blocks(),
            };
        }
        block < self.blocks
    }

    /// Calls `read` with the row's indexed value. Returns `None` if the snapshot does not see the row or the value is null.
    pub(crate) fn with_value<R>(
        &mut self,
        tid: HeapTid,
        read: impl FnOnce(pg_sys::Datum) -> R,
    ) -> Option<R> {
        // SAFETY: the slot and the fetch state are live until `close`.
        unsafe {
            pg_sys::MemoryContextReset(self.row_context);
            if !self.fetch(tid) {
                return None;
            }
            let outer = pg_sys::MemoryContextSwitchTo(self.row_context);
            let value = self.value();
            let plain = value.map(|value| self.toast.plain(value, self.snapshot, self.context));
            let value = plain.map(read);
            pg_sys::MemoryContextSwitchTo(outer);
            value
        }
    }

    /// True if no transaction of this server sees any version of the last fetched row, now or later.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// Hints about the table's pages; `None` for local tables and other table access methods.
    pub(crate) fn hints(&self) -> Option<RowHints> {
        self.hints
    }

    /// Prefetches pages absent from shared buffers, so that their rows can be fetched without waiting for the disk.
    pub(crate) fn prefetch(&self, blocks: &[u32]) {
        // SAFETY: the relation is open and has these blocks; the boundary owns nothing that needs dropping.
        unsafe {
            if pg_sys::effective_io_concurrency == 0 || blocks.is_empty() {
                return;
            }
            let (heap, hints) = (self.heap.raw(), self.hints);
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                for &block in blocks {
                    let found = buffers::PrefetchBuffer(heap, MAIN, block);
                    if let Some(hints) = hints {
                        hints.remember(block, found.recent_buffer);
                    }
                }
            });
        }
    }

    /// Fetches the row version visible to the snapshot into the slot; false if none is visible.
    ///
    /// # Safety
    /// The fetcher is not closed.
    unsafe fn fetch(&mut self, row: HeapTid) -> bool {
        let mut tid = item_pointer(row);
        let mut call_again = false;
        self.is_dead = false;
        let is_dead = &raw mut self.is_dead;
        let (fetch, snapshot, slot) = (self.fetch, self.snapshot, self.slot);
        // SAFETY: the pointers are live; the call may change `tid`, a copy. With hints the table is a heap, and its fetch state
        // is of this type.
        unsafe {
            let pinned = self.hints.map(|hints| Pinned {
                hints,
                file: self.heap.locator(),
                buffer: &raw mut (*fetch.cast::<pg_sys::IndexFetchHeapData>()).xs_cbuf,
            });
            let fetch_tuple = (*(*self.heap.raw()).rd_tableam)
                .index_fetch_tuple
                .expect("every table access method has it");
            pg_sys::ffi::pg_guard_ffi_boundary(|| {
                if let Some(pinned) = &pinned {
                    pinned.pin(row.block);
                }
                let found = fetch_tuple(
                    fetch,
                    &raw mut tid,
                    snapshot,
                    slot,
                    &raw mut call_again,
                    is_dead,
                );
                if let Some(pinned) = &pinned {
                    pinned.remember(row.block);
                }
                found
            })
        }
    }

    /// The indexed value of the row in the slot.
    ///
    /// # Safety
    /// The slot holds a row.
    unsafe fn value(&mut self) -> Option<pg_sys::Datum> {
        // SAFETY: the caller's promise; values and nulls are valid up to tts_nvalid.
        unsafe {
            if let Some(expression) = self.expression {
                return expression.value(self.slot);
            }
            if i32::from((*self.slot).tts_nvalid) < self.column {
                pg_sys::slot_getsomeattrs_int(self.slot, self.column);
            }
            let at = usize::try_from(self.column - 1).expect("an index has no system column");
            (!*(*self.slot).tts_isnull.add(at)).then(|| *(*self.slot).tts_values.add(at))
        }
    }

    /// Releases the pin on the last row's page.
    pub(crate) fn reset(&mut self) {
        let fetch = self.fetch;
        // SAFETY: the slot and the fetch state are live until `close`.
        unsafe {
            let clear = (*(*self.slot).tts_ops)
                .clear
                .expect("every kind of slot has it");
            pg_sys::ffi::pg_guard_ffi_boundary(|| clear(self.slot));
            let reset = (*(*self.heap.raw()).rd_tableam)
                .index_fetch_reset
                .expect("every table access method has it");
            pg_sys::ffi::pg_guard_ffi_boundary(|| reset(fetch));
        }
    }

    /// Releases all memory and pins, and closes the TOAST table.
    pub(crate) fn close(self) {
        let fetch = self.fetch;
        self.toast.close();
        // SAFETY: nothing is used afterwards.
        unsafe {
            let end = (*(*self.heap.raw()).rd_tableam)
                .index_fetch_end
                .expect("every table access method has it");
            pg_sys::ffi::pg_guard_ffi_boundary(|| end(fetch));
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            if let Some(expression) = self.expression {
                pg_sys::FreeExecutorState(expression.estate);
            }
            pg_sys::MemoryContextDelete(self.row_context);
        }
    }
}

/// The pinned page of an index fetch from a heap, kept from row to row (`IndexFetchHeapData`).
struct Pinned {
    hints: RowHints,
    file: compat::FileLocator,
    buffer: *mut pg_sys::Buffer,
}

impl Pinned {
    /// Pins the page of a row by its hint. The heap finds the page pinned, as if the last row were on it, and neither looks it
    /// up in the shared buffer table nor prunes it; so a page that may need pruning, or needs its use counted, is left to the
    /// heap.
    ///
    /// # Safety
    /// The scan is not closed, and the caller runs inside an error boundary.
    unsafe fn pin(&self, block: u32) {
        let Some(buffer) = self.hints.buffer_of(block) else {
            return;
        };
        // The prune hint is read without a lock, as Postgres reads it first.
        let prune_xid =
            unlocked_read::word(buffer, offset_of!(pg_sys::PageHeaderData, pd_prune_xid));
        let may_want_pruning = prune_xid != Some(pg_sys::TransactionId::INVALID.into_inner());
        // SAFETY: the caller's promise. ReadRecentBuffer checks that the buffer holds this block.
        unsafe {
            if *self.buffer == buffer || may_want_pruning || !unlocked_read::is_used_often(buffer) {
                return;
            }
            if buffers::ReadRecentBuffer(self.file, MAIN, block, buffer) {
                if *self.buffer != 0 {
                    raw::ReleaseBuffer(*self.buffer);
                }
                *self.buffer = buffer;
            }
        }
    }

    /// # Safety
    /// The scan is not closed.
    unsafe fn remember(&self, block: u32) {
        // SAFETY: the caller's promise.
        self.hints.remember(block, unsafe { *self.buffer });
    }
}

const MAIN: pg_sys::ForkNumber::Type = pg_sys::ForkNumber::MAIN_FORKNUM;

/// Buffer calls without an error boundary of their own: callers run inside one.
mod raw {
    use super::pg_sys;

    unsafe extern "C-unwind" {
        pub(super) fn ReleaseBuffer(buffer: pg_sys::Buffer);
    }
}

impl Expression {
    /// # Safety
    /// The index's column of this number, from 0, is an expression.
    unsafe fn of(index: Relation, column: usize) -> Self {
        // SAFETY: the caller's promise: an expression is stored for each column whose attribute number is 0.
        unsafe {
            let info = pg_sys::BuildIndexInfo(index.raw());
            let numbers = &mut (*info).ii_IndexAttrNumbers;
            let before = numbers[..column].iter().filter(|&&number| number == 0);
            let own = node::items::<pg_sys::Node>((*info).ii_Expressions).nth(before.count());
            // The other columns of a row are not computed.
            (*info).ii_Expressions = node::list_of(own.expect("an expression for each"));
            (*info).ii_NumIndexAttrs = 1;
            numbers[0] = 0;
            Self {
                info,
                estate: pg_sys::CreateExecutorState(),
            }
        }
    }

    /// # Safety
    /// The slot holds a row of the table.
    unsafe fn value(self, slot: *mut pg_sys::TupleTableSlot) -> Option<pg_sys::Datum> {
        let mut values = [pg_sys::Datum::from(0); pg_sys::INDEX_MAX_KEYS as usize];
        let mut nulls = [true; pg_sys::INDEX_MAX_KEYS as usize];
        // SAFETY: the executor state is live, and the arrays hold as many entries as an index may have columns.
        unsafe {
            let context = match (*self.estate).es_per_tuple_exprcontext {
                context if context.is_null() => pg_sys::MakePerTupleExprContext(self.estate),
                context => context,
            };
            pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            (*context).ecxt_scantuple = slot;
            pg_sys::FormIndexDatum(
                self.info,
                slot,
                self.estate,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
        }
        (!nulls[0]).then_some(values[0])
    }
}
