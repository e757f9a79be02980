//! How many rows a statement wants of a scan, as far as the planner knows before it chooses a path.
//!
//! An index scan is approximate, and leaves out NULL: whoever wants every row is served by reading the table.
#![expect(unsafe_code, reason = "reads the planner's structures")]

use pgrx::pg_sys;

use crate::pg::node;

/// A LIMIT whose number is not known yet is taken for this one: that of a function or of a generic plan. Whoever writes a LIMIT
/// wants the nearest rows, not all.
const UNKNOWN_LIMIT: f64 = 100.0;

/// The rows that a statement takes from the order that a path has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Demand {
    /// At most so many.
    Rows(f64),
    /// Few, but the planner reckons with this share of all.
    Share(f64),
    /// All, as far as is known.
    All,
}

impl Demand {
    /// How many rows, if not all.
    pub(super) fn rows(self) -> Option<f64> {
        match self {
            Self::Rows(rows) => Some(rows),
            Self::Share(_) => Some(UNKNOWN_LIMIT),
            Self::All => None,
        }
    }

    /// The rows to charge a path of `all` rows for. The planner takes the share that it reckons with of the whole path's cost.
    pub(super) fn charged(self, all: f64) -> f64 {
        match self {
            Self::Share(share) => all.min(UNKNOWN_LIMIT / share),
            Self::Rows(_) | Self::All => all,
        }
    }
}

/// The demand for the rows of a path of this query level.
///
/// # Safety
/// The planner is at work on `root`.
pub(super) unsafe fn of_statement(root: *mut pg_sys::PlannerInfo) -> Demand {
    // SAFETY: the caller's promise.
    unsafe {
        if is_minimum(root) || is_read_whole(root) {
            return Demand::All;
        }
        // Zero is all rows and a number below one a share of them: a cursor's, or a guess at a LIMIT that is not known yet.
        match (*root).tuple_fraction {
            rows if rows >= 1.0 => Demand::Rows(rows),
            share if share > 0.0 && has_limit(root) => Demand::Share(share),
            _ => Demand::All,
        }
    }
}

/// Whether this level, or one above it, has a LIMIT.
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

/// Whether this level is `min(distance)`, which the planner tries as the first row in order.
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
            // The name that planagg.c gives its only column.
            !name.is_null() && std::ffi::CStr::from_ptr(name) == c"agg_target"
        })
    }
}

/// Whether this level, or one above it up to the first LIMIT, reads its input to the end even under a LIMIT.
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
