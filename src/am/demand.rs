//! How many rows a statement wants of a scan, as far as the planner knows before it chooses a path.
//!
//! An index scan is approximate, and leaves out NULL: whoever wants every row is served by reading the table.
#![expect(unsafe_code, reason = "reads the planner's structures")]

use pgrx::pg_sys;

use crate::pg::node;

/// The most rows that the statement takes from the order that a path of this query level has; `None` if it may take all.
///
/// # Safety
/// The planner is at work on `root`.
pub(super) unsafe fn rows_wanted(root: *mut pg_sys::PlannerInfo) -> Option<f64> {
    // SAFETY: the caller's promise.
    unsafe {
        // Zero is all rows and a number below one a share of them: a cursor's, or a guess at a LIMIT that is not known yet.
        let wanted = (*root).tuple_fraction;
        (wanted >= 1.0 && !is_minimum(root) && !is_read_whole(root)).then_some(wanted)
    }
}

/// Whether this level is `min(distance)`, which the planner tries as the first row in order.
///
/// # Safety
/// As for `rows_wanted`.
unsafe fn is_minimum(root: *mut pg_sys::PlannerInfo) -> bool {
    // SAFETY: the caller's promise. An entry of a target list may lack a name.
    unsafe {
        let outer = (*root).parent_root;
        if outer.is_null() || !(*(*outer).parse).hasAggs {
            return false;
        }
        let mut targets = node::items::<pg_sys::TargetEntry>((*(*root).parse).targetList);
        targets.next().is_some_and(|target| {
            let name = (*target).resname;
            // The name that planagg.c gives its only column.
            !name.is_null() && std::ffi::CStr::from_ptr(name) == c"agg_target"
        })
    }
}

/// Whether this level, or one above it up to the first LIMIT, reads its input to the end even under a LIMIT.
///
/// # Safety
/// As for `rows_wanted`.
unsafe fn is_read_whole(mut root: *mut pg_sys::PlannerInfo) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        while !root.is_null() {
            let query = (*root).parse;
            if reads_whole_input(query) {
                return true;
            }
            if !(*query).limitCount.is_null() {
                return false;
            }
            root = (*root).parent_root;
        }
        false
    }
}

/// # Safety
/// The query is valid.
unsafe fn reads_whole_input(query: *mut pg_sys::Query) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let into_one_group = (*query).hasAggs && (*query).groupClause.is_null();
        into_one_group
            || !(*query).groupingSets.is_null()
            || ((*query).hasWindowFuncs && windows_read_whole_input(query))
    }
}

/// Window functions that look at the whole of their partition whatever their frame.
const OF_WHOLE_PARTITION: [u32; 3] = [
    pg_sys::F_NTILE,
    pg_sys::F_PERCENT_RANK_,
    pg_sys::F_CUME_DIST_,
];

/// Windows that have an order and end at the current row read no further than the rows that are wanted.
///
/// # Safety
/// The query is valid.
unsafe fn windows_read_whole_input(query: *mut pg_sys::Query) -> bool {
    // SAFETY: the caller's promise; each clause's number is one for which functions were looked for.
    unsafe {
        let windows = (*query).windowClause;
        let count = node::items::<pg_sys::WindowClause>(windows).count();
        let functions = pg_sys::find_window_functions(
            (*query).targetList.cast(),
            u32::try_from(count).unwrap_or(u32::MAX),
        );
        node::items::<pg_sys::WindowClause>(windows).any(|window| {
            let of_window = *(*functions).windowFuncs.add((*window).winref as usize);
            let ends_at_row =
                (*window).frameOptions.cast_unsigned() & pg_sys::FRAMEOPTION_END_CURRENT_ROW != 0;
            (*window).orderClause.is_null()
                || !ends_at_row
                || node::items::<pg_sys::WindowFunc>(of_window)
                    .any(|function| OF_WHOLE_PARTITION.contains(&(*function).winfnoid.to_u32()))
        })
    }
}
