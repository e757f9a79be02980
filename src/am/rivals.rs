//! The plans that a scan with conditions on key columns competes with.
//!
//! The price of a plan is no measure of its time: with default settings a millisecond is some 500 units of a
//! sequential scan in memory, and 5,000 to 10,000 of a bitmap heap scan of a few rows. A scan of ours whose price is right
//! beside one is therefore wrong beside the other. So we find the cheapest other plan, estimate its time as a scan's is
//! estimated, and charge a scan in proportion: it costs less than the other plan where it is faster.
#![expect(
    unsafe_code,
    reason = "reads the planner's structures, and makes paths"
)]

use std::ptr::null_mut;

use pgrx::pg_sys;

use crate::pg::node;

/// Microseconds of a plan of any kind, before its first row.
const FIRST: f64 = 3.0;
/// Microseconds for a row read in the table's order and sorted by its distance, and for a byte of it.
const ROW: f64 = 0.2;
const BYTE: f64 = 0.000_2;
/// Microseconds for a value out of line.
const OUT_OF_LINE: f64 = 3.0;
/// Microseconds for an entry of an index.
const ENTRY: f64 = 0.03;
/// Comparisons of a sort that keeps the nearest few rows.
const SORT: f64 = 10.0;
/// A plan above this cost is disabled by a setting.
const DISABLED: f64 = 1e9;

/// A plan without the index: its cost, and its time in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Rival {
    cost: f64,
    time: f64,
}

/// The table that all plans read.
#[derive(Clone, Copy)]
struct Rows {
    count: f64,
    /// Microseconds for a row.
    time: f64,
    /// The cost of sorting a row.
    sort: f64,
}

impl Rows {
    fn rival(self, path_cost: f64, rows: f64, entries: f64) -> Rival {
        Rival {
            cost: path_cost + rows * self.sort,
            time: FIRST + rows * self.time + entries * ENTRY,
        }
    }
}

impl Rival {
    /// The cheapest plan beside a path over one of our indexes whose conditions are complete: a sequential scan, or another index
    /// for one or all of the conditions, and a sort. `value_len` is the length of a vector in bytes, zero if not known.
    ///
    /// # Safety
    /// The planner is costing this path on `root`.
    pub(super) unsafe fn cheapest(
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
        loop_count: f64,
        value_len: f64,
    ) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let rel = (*(*path).indexinfo).rel;
            let count = (*rel).tuples.max(1.0);
            let row_len = f64::from((*rel).pages) * f64::from(pg_sys::BLCKSZ) / count;
            let out_of_line = if row_len < value_len {
                OUT_OF_LINE
            } else {
                0.0
            };
            let rows = Rows {
                count,
                time: ROW + BYTE * row_len + out_of_line,
                sort: SORT * pg_sys::cpu_operator_cost,
            };
            let mut rivals = vec![all_rows(rel, rows)];
            let mut bitmaps = null_mut();
            for index in node::items::<pg_sys::IndexOptInfo>((*rel).indexlist) {
                if let Some(of_index) = other_index(root, path, index, loop_count) {
                    rivals.extend(by_index(root, of_index, loop_count, rows));
                    bitmaps = pg_sys::lappend(bitmaps, of_index.cast());
                }
            }
            if node::items::<pg_sys::Path>(bitmaps).count() > 1 {
                rivals.push(by_all(root, rel, bitmaps, loop_count, rows));
            }
            let cheaper = |a: Self, b: Self| if b.cost < a.cost { b } else { a };
            rivals
                .into_iter()
                .reduce(cheaper)
                .expect("there is a sequential scan")
        }
    }

    /// The cost of a scan that takes this number of microseconds.
    pub(super) fn cost_of(self, microseconds: f64) -> f64 {
        self.cost * microseconds / self.time
    }
}

/// A sequential scan and a sort.
///
/// # Safety
/// The planner is at work on the table.
unsafe fn all_rows(rel: *mut pg_sys::RelOptInfo, rows: Rows) -> Rival {
    let (mut random_page, mut sequential_page) = (0.0, 0.0);
    // SAFETY: the caller's promise; settings are globals of this backend.
    unsafe {
        pg_sys::get_tablespace_page_costs(
            (*rel).reltablespace,
            &raw mut random_page,
            &raw mut sequential_page,
        );
        let row = pg_sys::cpu_tuple_cost + (*rel).baserestrictcost.per_tuple;
        let scan = f64::from((*rel).pages) * sequential_page + rows.count * row;
        let passed = (*rel).rows.max(1.0);
        let all = rows.rival(scan + passed * rows.sort, 0.0, 0.0);
        Rival {
            time: FIRST + rows.count * rows.time,
            ..all
        }
    }
}

/// A path over another index for those of our path's conditions that it serves; `None` if it serves none by its first column.
///
/// # Safety
/// As for `cheapest`; the index is one of the same table.
unsafe fn other_index(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    index: *mut pg_sys::IndexOptInfo,
    loop_count: f64,
) -> Option<*mut pg_sys::IndexPath> {
    // SAFETY: the caller's promise. Only indexes with bitmap scans are taken, and ours have none: no path is costed within its
    // own costing.
    unsafe {
        if !(*index).amhasgetbitmap || !(*index).indpred.is_null() && !(*index).predOK {
            return None;
        }
        let mut clauses = null_mut();
        for column in 0..(*index).nkeycolumns {
            for ours in node::items::<pg_sys::IndexClause>((*path).indexclauses) {
                if serves(index, column, (*ours).rinfo) {
                    clauses = pg_sys::lappend(clauses, clause_of((*ours).rinfo, column).cast());
                }
            }
            if clauses.is_null() {
                return None;
            }
        }
        let parameters = (*path).path.param_info.as_ref();
        Some(pg_sys::create_index_path(
            root,
            index,
            clauses,
            null_mut(),
            null_mut(),
            null_mut(),
            pg_sys::ScanDirection::ForwardScanDirection,
            false,
            parameters.map_or(null_mut(), |parameters| parameters.ppi_req_outer),
            loop_count,
            false,
        ))
    }
}

/// True if an index's column serves a condition: `column operator value` by an operator of its family.
///
/// # Safety
/// As for `other_index`.
unsafe fn serves(
    index: *mut pg_sys::IndexOptInfo,
    column: i32,
    rinfo: *mut pg_sys::RestrictInfo,
) -> bool {
    // SAFETY: the caller's promise; families are listed for each column.
    unsafe {
        let clause: *mut pg_sys::Node = (*rinfo).clause.cast();
        let (operator, arguments) = match (node::operator(clause), node::any_of(clause)) {
            (Some(operator), _) => ((*operator).opno, (*operator).args),
            (None, Some(any)) if (*index).amsearcharray => ((*any).opno, (*any).args),
            _ => return false,
        };
        let at = usize::try_from(column).expect("a column");
        let Some([left, _]) = node::two(arguments) else {
            return false;
        };
        pg_sys::op_in_opfamily(operator, *(*index).opfamily.add(at))
            && pg_sys::match_index_to_operand(left, column, index)
    }
}

/// # Safety
/// The condition is one of the planner's.
unsafe fn clause_of(rinfo: *mut pg_sys::RestrictInfo, column: i32) -> *mut pg_sys::IndexClause {
    // SAFETY: a node of this type is all zeroes but for its tag.
    unsafe {
        let clause =
            pg_sys::palloc0(size_of::<pg_sys::IndexClause>()).cast::<pg_sys::IndexClause>();
        (*clause).type_ = pg_sys::NodeTag::T_IndexClause;
        (*clause).rinfo = rinfo;
        (*clause).indexquals = node::list_of(rinfo);
        (*clause).indexcol = column.try_into().expect("few columns");
        clause
    }
}

/// The plans over one index: in its order, and by a bitmap. Those disabled by a setting are left out.
///
/// # Safety
/// As for `cheapest`; the path is over an index of the same table.
unsafe fn by_index(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    loop_count: f64,
    rows: Rows,
) -> impl Iterator<Item = Rival> {
    // SAFETY: the caller's promise.
    unsafe {
        let rel = (*(*path).indexinfo).rel;
        let outer = (*path).path.param_info.as_ref();
        let outer = outer.map_or(null_mut(), |parameters| parameters.ppi_req_outer);
        let bitmap = pg_sys::create_bitmap_heap_path(root, rel, path.cast(), outer, loop_count, 0);
        let read = (rows.count * (*path).indexselectivity).max(1.0);
        [(*path).path.total_cost, (*bitmap).path.total_cost]
            .into_iter()
            .filter(|&cost| cost < DISABLED)
            .map(move |cost| rows.rival(cost, read, read))
    }
}

/// The plan over all these indexes together.
///
/// # Safety
/// As for `cheapest`; the paths are over indexes of the same table.
unsafe fn by_all(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    paths: *mut pg_sys::List,
    loop_count: f64,
    rows: Rows,
) -> Rival {
    // SAFETY: the caller's promise.
    unsafe {
        let both = pg_sys::create_bitmap_and_path(root, rel, paths);
        let outer = (*both).path.param_info.as_ref();
        let outer = outer.map_or(null_mut(), |parameters| parameters.ppi_req_outer);
        let bitmap = pg_sys::create_bitmap_heap_path(root, rel, both.cast(), outer, loop_count, 0);
        let read = (rows.count * (*both).bitmapselectivity).max(1.0);
        let entries: f64 = node::items::<pg_sys::IndexPath>(paths)
            .map(|path| rows.count * (*path).indexselectivity)
            .sum();
        rows.rival((*bitmap).path.total_cost, read, entries)
    }
}
