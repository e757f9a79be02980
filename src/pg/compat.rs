//! Every difference between the supported PostgreSQL versions, and between processors, in one file.
#![expect(unsafe_code, reason = "raw Postgres structures differ by version")]

use pgrx::pg_sys;

/// The byte of a `char` of C, which is signed on x86 and unsigned on aarch64.
pub(crate) fn byte(char: std::ffi::c_char) -> u8 {
    char.to_ne_bytes()[0]
}

/// A byte as a `char` of C.
pub(crate) fn c_char(byte: u8) -> std::ffi::c_char {
    std::ffi::c_char::from_ne_bytes([byte])
}

/// `InvalidSubTransactionId`, a macro in C (c.h).
const INVALID_SUB_TRANSACTION: pg_sys::SubTransactionId = 0;

/// The physical file of a relation.
#[cfg(feature = "pg15")]
pub(crate) type FileLocator = pg_sys::RelFileNode;
/// The physical file of a relation.
#[cfg(not(feature = "pg15"))]
pub(crate) type FileLocator = pg_sys::RelFileLocator;

/// # Safety
/// `relation` is an open relation.
pub(crate) unsafe fn file_locator(relation: pg_sys::Relation) -> FileLocator {
    // SAFETY: the caller vouches for the relation.
    unsafe {
        #[cfg(feature = "pg15")]
        return (*relation).rd_node;
        #[cfg(not(feature = "pg15"))]
        return (*relation).rd_locator;
    }
}

/// The open file of a relation, for immediate use (`RelationGetSmgr`, an inline function in C, utils/rel.h).
///
/// # Safety
/// `relation` is an open relation.
pub(crate) unsafe fn storage(relation: pg_sys::Relation) -> pg_sys::SMgrRelation {
    // SAFETY: the caller vouches for the relation. The storage manager keeps opened files.
    unsafe { pg_sys::smgropen(file_locator(relation), (*relation).rd_backend) }
}

/// Raises an ERROR if the snapshot is older than `old_snapshot_threshold` allows: `TestForOldSnapshot`, an inline function in C
/// (storage/bufmgr.h), for all pages of a relation. PostgreSQL 17 has removed the setting.
///
/// # Safety
/// Snapshot and relation are valid.
#[cfg_attr(
    not(any(feature = "pg15", feature = "pg16")),
    expect(unused_variables, reason = "see above")
)]
pub(crate) unsafe fn check_snapshot_age(snapshot: pg_sys::Snapshot, relation: pg_sys::Relation) {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: the caller's promise; the threshold is a global of this backend.
    unsafe {
        if pg_sys::old_snapshot_threshold >= 0 && (*snapshot).lsn != 0 {
            pg_sys::TestForOldSnapshot_impl(snapshot, relation);
        }
    }
}

/// True if rows that a snapshot sees may be removed after `old_snapshot_threshold`. PostgreSQL 17 has removed the setting.
pub(crate) fn snapshots_expire() -> bool {
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: a global of this backend.
    return unsafe { pg_sys::old_snapshot_threshold >= 0 };
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    false
}

/// The buffer tag of a block of a relation's main fork, as in the buffer's descriptor.
pub(crate) fn buffer_tag(locator: &FileLocator, block: u32) -> pg_sys::BufferTag {
    #[cfg(feature = "pg15")]
    return pg_sys::BufferTag {
        rnode: *locator,
        forkNum: pg_sys::ForkNumber::MAIN_FORKNUM,
        blockNum: block,
    };
    #[cfg(not(feature = "pg15"))]
    return pg_sys::BufferTag {
        spcOid: locator.spcOid,
        dbOid: locator.dbOid,
        relNumber: locator.relNumber,
        forkNum: pg_sys::ForkNumber::MAIN_FORKNUM,
        blockNum: block,
    };
}

/// A buffer's state: flags, the count of recent uses, and the number of pins. From 19 on it has 64 bits; these are the lower half.
pub(crate) mod buffer_state {
    use std::sync::atomic::Ordering;

    use pgrx::pg_sys;

    #[cfg(not(feature = "pg19"))]
    pub(crate) use pg_sys::{BM_LOCKED, BM_VALID, BUF_USAGECOUNT_MASK};

    /// `BM_LOCKED`, a macro of 64 bits in C (storage/buf_internals.h), as the two below.
    #[cfg(feature = "pg19")]
    pub(crate) const BM_LOCKED: u32 =
        1 << (pg_sys::BUF_REFCOUNT_BITS + pg_sys::BUF_USAGECOUNT_BITS);
    #[cfg(feature = "pg19")]
    pub(crate) const BM_VALID: u32 = BM_LOCKED << 2;
    #[cfg(feature = "pg19")]
    pub(crate) const BUF_USAGECOUNT_MASK: u32 =
        ((1 << pg_sys::BUF_USAGECOUNT_BITS) - 1) << pg_sys::BUF_USAGECOUNT_SHIFT;

    /// Loads the state of a buffer.
    ///
    /// # Safety
    /// The descriptor is mapped and aligned.
    #[inline]
    pub(crate) unsafe fn load(descriptor: *const pg_sys::BufferDesc, order: Ordering) -> u32 {
        #[cfg(not(feature = "pg19"))]
        type State = std::sync::atomic::AtomicU32;
        #[cfg(feature = "pg19")]
        type State = std::sync::atomic::AtomicU64;
        // SAFETY: the caller's promise.
        let state = unsafe {
            let state = &raw const (*descriptor).state.value;
            State::from_ptr(state.cast_mut()).load(order)
        };
        #[cfg(feature = "pg19")]
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the lower half is asked for"
        )]
        let state = state as u32;
        state
    }
}

/// Calls without an error boundary of their own: callers wrap several in one.
pub(crate) mod raw {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        /// An inline function in C from 19 on, which calls this one to lock.
        #[cfg_attr(feature = "pg19", link_name = "LockBufferInternal")]
        pub(crate) fn LockBuffer(buffer: pg_sys::Buffer, mode: i32);
    }
}

/// Locks the content of a pinned buffer.
///
/// # Safety
/// The buffer is pinned and not locked.
pub(crate) unsafe fn lock_buffer(buffer: pg_sys::Buffer, mode: i32) {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| raw::LockBuffer(buffer, mode)) }
}

/// Begins to fetch rows of a table by TID (`table_index_fetch_begin`, an inline function in C, access/tableam.h).
///
/// # Safety
/// The table is open.
pub(crate) unsafe fn begin_fetch(table: pg_sys::Relation) -> *mut pg_sys::IndexFetchTableData {
    // SAFETY: the caller's promise.
    unsafe {
        let begin = (*(*table).rd_tableam)
            .index_fetch_begin
            .expect("every table access method has it");
        pg_sys::ffi::pg_guard_ffi_boundary(|| {
            #[cfg(feature = "pg19")]
            return begin(table, 0);
            #[cfg(not(feature = "pg19"))]
            return begin(table);
        })
    }
}

/// The number of a relation's file; it changes whenever the relation gets a new file.
pub(crate) fn file_number(locator: &FileLocator) -> u32 {
    #[cfg(feature = "pg15")]
    return locator.relNode.to_u32();
    #[cfg(not(feature = "pg15"))]
    return locator.relNumber.to_u32();
}

/// True if the running transaction created the relation's file.
///
/// # Safety
/// `relation` is an open relation.
pub(crate) unsafe fn file_is_new(relation: pg_sys::Relation) -> bool {
    // SAFETY: the caller vouches for the relation.
    unsafe {
        #[cfg(feature = "pg15")]
        let first = (*relation).rd_firstRelfilenodeSubid;
        #[cfg(not(feature = "pg15"))]
        let first = (*relation).rd_firstRelfilelocatorSubid;
        (*relation).rd_createSubid != INVALID_SUB_TRANSACTION || first != INVALID_SUB_TRANSACTION
    }
}

/// Counts a scan in the index's statistics (`pgstat_count_index_scan`, a macro in C) and for EXPLAIN.
///
/// # Safety
/// `scan` is a scan in progress.
pub(crate) unsafe fn count_index_scan(scan: pg_sys::IndexScanDesc) {
    // SAFETY: the caller vouches for the scan; pgstat_info is null when nothing is counted.
    unsafe {
        let statistics = (*(*scan).indexRelation).pgstat_info;
        if !statistics.is_null() {
            #[cfg(feature = "pg15")]
            let count = &raw mut (*statistics).t_counts.t_numscans;
            #[cfg(not(feature = "pg15"))]
            let count = &raw mut (*statistics).counts.numscans;
            *count += 1;
        }
        #[cfg(any(feature = "pg18", feature = "pg19"))]
        if !(*scan).instrument.is_null() {
            (*(*scan).instrument).nsearches += 1;
        }
    }
}

/// Allocates a TOAST snapshot in the current memory context: it sees the chunks of all values of the rows seen by `rows`.
///
/// # Safety
/// `rows` is a valid snapshot.
pub(crate) unsafe fn toast_snapshot(rows: pg_sys::Snapshot) -> pg_sys::Snapshot {
    // SAFETY: zero is valid for all of its fields. Before 17 a snapshot may be too old; these two fields show its age.
    unsafe {
        let snapshot =
            pg_sys::palloc0(size_of::<pg_sys::SnapshotData>()).cast::<pg_sys::SnapshotData>();
        (*snapshot).snapshot_type = pg_sys::SnapshotType::SNAPSHOT_TOAST;
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        {
            (*snapshot).lsn = (*rows).lsn;
            (*snapshot).whenTaken = (*rows).whenTaken;
        }
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let _ = rows;
        snapshot
    }
}

/// Begins an index scan with one key.
///
/// # Safety
/// Table and index are open, and the snapshot outlives the scan.
pub(crate) unsafe fn begin_index_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg19")]
        return pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), 1, 0, 0);
        #[cfg(feature = "pg18")]
        return pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), 1, 0);
        #[cfg(not(any(feature = "pg18", feature = "pg19")))]
        return pg_sys::index_beginscan(table, index, snapshot, 1, 0);
    }
}

/// Makes the planner prefer any other path. From 18 on, an infinite cost alone does not.
///
/// # Safety
/// The planner is estimating the cost of `path`.
pub(crate) unsafe fn disable_path(path: *mut pg_sys::IndexPath) {
    #[cfg(any(feature = "pg18", feature = "pg19"))]
    // SAFETY: the caller's promise. Two is more than any enable_ setting adds.
    unsafe {
        (*path).path.disabled_nodes = 2;
    }
    #[cfg(not(any(feature = "pg18", feature = "pg19")))]
    let _ = path;
}

/// Wraps a condition made for an index path in the planner's form, a `RestrictInfo` (`make_simple_restrictinfo`, a macro in C,
/// optimizer/restrictinfo.h).
///
/// # Safety
/// The planner is planning `root`, and the condition is valid.
pub(crate) unsafe fn index_condition(
    root: *mut pg_sys::PlannerInfo,
    condition: *mut pg_sys::Expr,
    security_level: pg_sys::Index,
) -> *mut pg_sys::RestrictInfo {
    let none = std::ptr::null_mut();
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::make_restrictinfo(
            root,
            condition,
            true,
            false,
            false,
            security_level,
            none,
            none,
            none,
        );
        #[cfg(not(feature = "pg15"))]
        return pg_sys::make_restrictinfo(
            root,
            condition,
            true,
            false,
            false,
            false,
            security_level,
            none,
            none,
            none,
        );
    }
}

/// Sleeps as vacuum's cost settings require, and handles interrupts; no content lock may be held.
pub(crate) fn vacuum_delay_point() {
    // SAFETY: called by vacuum's main loop with no content lock held.
    unsafe {
        #[cfg(any(feature = "pg18", feature = "pg19"))]
        pg_sys::vacuum_delay_point(false);
        #[cfg(not(any(feature = "pg18", feature = "pg19")))]
        pg_sys::vacuum_delay_point();
    }
}

/// True if a role owns a relation; a superuser owns all relations.
pub(crate) fn owns_relation(role: pg_sys::Oid, relation: pg_sys::Oid) -> bool {
    // SAFETY: reads the catalogs; a missing relation is an ERROR.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::pg_class_ownercheck(relation, role);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::RelationRelationId, relation, role);
    }
}

/// Restricts the search path to safe schemas until the nest level of settings ends (`RestrictSearchPath`, new in 17).
pub(crate) fn restrict_search_path() {
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    // SAFETY: called after a new nest level of settings has begun.
    unsafe {
        pg_sys::RestrictSearchPath();
    }
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    // SAFETY: as above; name and value are terminated.
    unsafe {
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// Sets the fields of the access method's description added by later versions.
pub(crate) fn describe_newer(routine: &mut pg_sys::IndexAmRoutine) {
    #[cfg(not(feature = "pg15"))]
    {
        routine.amsummarizing = false;
    }
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    {
        routine.amcanbuildparallel = false;
    }
    #[cfg(feature = "pg15")]
    let _ = routine;
}

/// An attribute of a tuple descriptor; `index` counts from 0.
///
/// # Safety
/// `descriptor` is valid and has more than `index` attributes.
pub(crate) unsafe fn attribute(
    descriptor: pg_sys::TupleDesc,
    index: usize,
) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: the caller vouches for both arguments.
    unsafe {
        // From 18 on the full attributes follow the compact ones.
        #[cfg(any(feature = "pg18", feature = "pg19"))]
        let first = (*descriptor)
            .compact_attrs
            .as_ptr()
            .add(usize::try_from((*descriptor).natts).expect("a count"))
            .cast::<pg_sys::FormData_pg_attribute>();
        #[cfg(not(any(feature = "pg18", feature = "pg19")))]
        let first = (*descriptor).attrs.as_ptr();
        first.add(index)
    }
}

/// An entry of the table read by `build_reloptions` to fill an options struct: a value of a type at an offset.
pub(crate) fn option(
    name: &'static std::ffi::CStr,
    kind: pg_sys::relopt_type::Type,
    offset: i32,
) -> pg_sys::relopt_parse_elt {
    pg_sys::relopt_parse_elt {
        optname: name.as_ptr(),
        opttype: kind,
        offset,
        #[cfg(feature = "pg18")]
        isset_offset: 0,
    }
}

/// Adds to what EXPLAIN prints for a node of a plan.
pub(crate) type ExplainNode = unsafe extern "C-unwind" fn(
    *mut pg_sys::PlanState,
    *mut pg_sys::List,
    *const std::ffi::c_char,
    *const std::ffi::c_char,
    *mut pg_sys::ExplainState,
);

/// Has Postgres call `hook` for each node that EXPLAIN prints, from 18 on; returns the hook it replaces, which is to be called first.
pub(crate) fn set_explain_hook(hook: ExplainNode) -> Option<ExplainNode> {
    #[cfg(any(feature = "pg18", feature = "pg19"))]
    // SAFETY: called from _PG_init; the hook is a global of this backend.
    return unsafe { (&raw mut pg_sys::explain_per_node_hook).replace(Some(hook)) };
    #[cfg(not(any(feature = "pg18", feature = "pg19")))]
    {
        let _ = hook;
        None
    }
}

/// Raises an ERROR again from a copy of its report. Headers from 19 on do not say that `ReThrowError` never returns.
///
/// # Safety
/// The report is whole, and in no context that ends before the ERROR is handled.
#[cfg_attr(not(feature = "pg19"), expect(unreachable_code, reason = "see above"))]
pub(crate) unsafe fn rethrow(report: *mut pg_sys::ErrorData) -> ! {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ReThrowError(report) };
    unreachable!("an ERROR does not return")
}
