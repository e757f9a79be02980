//! The number of rows a statement wants from a scan, as far as the planner knows before it chooses a path.
//!
//! An index scan is approximate and leaves out NULL: a statement for every row has to read the table.
#![expect(unsafe_code, reason = "reads the planner's structures")]

use pgrx::pg_sys;

use crate::pg::node;

/// The number assumed for a LIMIT not known at planning time, in a function or a generic plan. A statement with a LIMIT wants
/// the nearest rows, not all.
const UNKNOWN_LIMIT: f64 = 100.0;

/// A cursor without LIMIT reads few rows if `cursor_tuple_fraction` is below this; the default is 0.1. postgres_fdw reads the
/// partitions of a foreign table by such cursors, a few rows of each.
const FEW: f64 = 0.05;

/// The rows a statement takes from a path in the path's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Demand {
    /// At most this number of rows.
    Rows(f64),
    /// Few rows, but the planner assumes this share of all.
    Share(f64),
    /// All rows, as far as the planner knows.
    All,
}

impl Demand {
    /// The number of rows, or `None` for all.
    pub(super) fn rows(self) -> Option<f64> {
        match self {
            Self::Rows(rows) => Some(rows),
            Self::Share(_) => Some(UNKNOWN_LIMIT),
            Self::All => None,
        }
    }

    /// The rows to charge a path of `all` rows for. The planner multiplies the whole path's cost by the share it assumes.
    pub(super) fn charged(self, all: f64) -> f64 {
        match self {
            Self::Share(share) => all.min(UNKNOWN_LIMIT / share),
            Self::Rows(_) | Self::All => all,
        }
    }
}

/// Returns the demand for the rows of a path at this query level.
///
/// # Safety
/// The planner is at work on `root`.
pub(super) unsafe fn of_statement(root: *mut pg_sys::PlannerInfo) -> Demand {
    // SAFETY: the caller's promise.
    unsafe {
        if is_minimum(root) || is_read_whole(root) {
            return Demand::All;
        }
        // Zero means all rows, a number below one a share of them: a cursor's, or a guess at a LIMIT not known yet.
        match (*root).tuple_fraction {
            rows if rows >= 1.0 => Demand::Rows(rows),
            share if share > 0.0 && (share < FEW || has_limit(root)) => Demand::Share(share),
            _ => Demand::All,
        }
    }
}

/// True if this level, or one above it, has a LIMIT.
///
/// # Safety
/// As for `of_statement`.
unsafe fn has_limit(mut root: *mut pg_sys::PlannerInfo) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        while !root.is_null() {
            if !(*(*root).parse).limitCount.is_null() {
                return true;
            }
            root = (*root).parent_root;
        }
        false
    }
}

/// True if this level is `min(distance)`, tried by the planner as the first row in order.
///
/// # Safety
/// As for `of_statement`.
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
            // planagg.c names its only column `agg_target`.
            !name.is_null() && std::ffi::CStr::from_ptr(name) == c"agg_target"
        })
    }
}

/// True if this level, or one above it up to the first LIMIT, reads its input to the end even under a LIMIT.
///
/// # Safety
/// As for `of_statement`.
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

/// Window functions that read the whole of their partition, whatever their frame.
const OF_WHOLE_PARTITION: [u32; 3] = [
    pg_sys::F_NTILE,
    pg_sys::F_PERCENT_RANK_,
    pg_sys::F_CUME_DIST_,
];

/// True if a window reads its whole partition. A window with an order and a frame up to the current row reads no further than
/// the wanted rows, unless one of its functions is in `OF_WHOLE_PARTITION`.
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
