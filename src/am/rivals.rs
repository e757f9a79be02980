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
    /// # Safety
    /// The planner is at work on the table.
    unsafe fn of(rel: *const pg_sys::RelOptInfo, value_len: f64) -> Self {
        // SAFETY: the caller's promise; settings are globals of this backend.
        unsafe {
            let count = (*rel).tuples.max(1.0);
            let row_len = f64::from((*rel).pages) * f64::from(pg_sys::BLCKSZ) / count;
            let out_of_line = if row_len < value_len {
                OUT_OF_LINE
            } else {
                0.0
            };
            Self {
                count,
                time: ROW + BYTE * row_len + out_of_line,
                sort: SORT * pg_sys::cpu_operator_cost,
            }
        }
    }

    /// The rows that a plan with conditions of this selectivity reads.
    fn read(self, share: f64) -> f64 {
        (self.count * share).max(1.0)
    }

    fn rival(self, path_cost: f64, rows: f64, entries: f64) -> Rival {
        Rival {
            cost: path_cost + rows * self.sort,
            time: FIRST + rows * self.time + entries * ENTRY,
        }
    }
}

/// A table of a plan, and what all its paths over indexes are made with.
#[derive(Clone, Copy)]
struct Plan {
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    /// The tables whose values the conditions compare with.
    outer: pg_sys::Relids,
    loop_count: f64,
    rows: Rows,
}

impl Rival {
    /// The cheapest plan beside a path over one of our indexes whose conditions are complete: a sequential scan, or other indexes
    /// for some of the conditions, and a sort. Plans disabled by a setting are left out, but for the sequential scan if there is
    /// no other. `value_len` is the length of a vector in bytes, zero if not known.
    ///
    /// # Safety
    /// The planner is costing this path on `root`.
    pub(super) unsafe fn cheapest(
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
        loop_count: f64,
        value_len: f64,
    ) -> Self {
        // SAFETY: the caller's promise; settings are globals of this backend.
        unsafe {
            let rel = (*(*path).indexinfo).rel;
            let parameters = (*path).path.param_info.as_ref();
            let plan = Plan {
                root,
                rel,
                outer: parameters.map_or(null_mut(), |parameters| parameters.ppi_req_outer),
                loop_count,
                rows: Rows::of(rel, value_len),
            };
            let paths: Vec<_> = node::items((*rel).indexlist)
                .filter_map(|index| plan.path_over(index, (*path).indexclauses))
                .collect();
            let in_order = paths
                .iter()
                .filter(|_| pg_sys::enable_indexscan)
                .filter_map(|&path| plan.in_order(path));
            let by_bitmaps = pg_sys::enable_bitmapscan.then(|| plan.by_bitmaps(&paths));
            let by_index = in_order.chain(by_bitmaps.flatten()).reduce(Self::cheaper);
            match by_index {
                Some(by_index) if !pg_sys::enable_seqscan => by_index,
                Some(by_index) => by_index.cheaper(plan.all_rows()),
                None => plan.all_rows(),
            }
        }
    }

    fn cheaper(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }

    /// The cost of a scan that takes this number of microseconds.
    pub(super) fn cost_of(self, microseconds: f64) -> f64 {
        self.cost * microseconds / self.time
    }
}

impl Plan {
    /// A sequential scan and a sort.
    ///
    /// # Safety
    /// The planner is at work on the table.
    unsafe fn all_rows(&self) -> Rival {
        let (mut random_page, mut sequential_page) = (0.0, 0.0);
        // SAFETY: the caller's promise; settings are globals of this backend.
        unsafe {
            pg_sys::get_tablespace_page_costs(
                (*self.rel).reltablespace,
                &raw mut random_page,
                &raw mut sequential_page,
            );
            let Rows { count, time, sort } = self.rows;
            let row = pg_sys::cpu_tuple_cost + (*self.rel).baserestrictcost.per_tuple;
            let scan = f64::from((*self.rel).pages) * sequential_page + count * row;
            Rival {
                cost: scan + (*self.rel).rows.max(1.0) * sort,
                time: FIRST + count * time,
            }
        }
    }

    /// A path over another index for those of our conditions that it serves; `None` if it serves none, or is in the order of a
    /// column that none of them is on.
    ///
    /// # Safety
    /// As for `all_rows`; the index is one of the table, and the conditions are those of a path over another one.
    unsafe fn path_over(
        &self,
        index: *mut pg_sys::IndexOptInfo,
        conditions: *mut pg_sys::List,
    ) -> Option<*mut pg_sys::IndexPath> {
        // SAFETY: the caller's promise. Only indexes with bitmap scans are taken, and ours have none: no path is costed within
        // its own costing.
        unsafe {
            if !(*index).amhasgetbitmap || !(*index).indpred.is_null() && !(*index).predOK {
                return None;
            }
            let is_ordered = !(*index).sortopfamily.is_null();
            let mut clauses = null_mut();
            for column in 0..(*index).nkeycolumns {
                for condition in node::items::<pg_sys::IndexClause>(conditions) {
                    if serves(index, column, condition) {
                        clauses = pg_sys::lappend(clauses, clause_of(condition, column).cast());
                    }
                }
                if clauses.is_null() && is_ordered {
                    return None;
                }
            }
            if clauses.is_null() {
                return None;
            }
            Some(pg_sys::create_index_path(
                self.root,
                index,
                clauses,
                null_mut(),
                null_mut(),
                null_mut(),
                pg_sys::ScanDirection::ForwardScanDirection,
                false,
                self.outer,
                self.loop_count,
                false,
            ))
        }
    }

    /// The plan that reads rows in the order of an index; `None` for an index that has bitmaps only.
    ///
    /// # Safety
    /// The path is one of `path_over`.
    unsafe fn in_order(&self, path: *mut pg_sys::IndexPath) -> Option<Rival> {
        // SAFETY: the caller's promise.
        unsafe {
            let read = self.rows.read((*path).indexselectivity);
            (*(*path).indexinfo)
                .amhasgettuple
                .then(|| self.rows.rival((*path).path.total_cost, read, read))
        }
    }

    /// The cheapest plan by bitmaps, found as the planner does (`choose_bitmap_and`, optimizer/path/indxpath.c): the cheapest
    /// index, and each other for conditions of its own that makes the plan cheaper.
    ///
    /// # Safety
    /// The paths are those of `path_over`.
    unsafe fn by_bitmaps(&self, paths: &[*mut pg_sys::IndexPath]) -> Option<Rival> {
        // SAFETY: the caller's promise.
        unsafe {
            let mut alone: Vec<_> = paths
                .iter()
                .map(|&path| (self.by_bitmap(&[path]), path))
                .collect();
            alone.sort_by(|(a, _), (b, _)| a.cost.total_cmp(&b.cost));
            let (&(mut best, first), others) = alone.split_first()?;
            let mut taken = vec![first];
            for &(_, path) in others {
                if taken.iter().any(|&other| share_a_condition(path, other)) {
                    continue;
                }
                taken.push(path);
                let more = self.by_bitmap(&taken);
                if more.cost < best.cost {
                    best = more;
                } else {
                    taken.pop();
                }
            }
            Some(best)
        }
    }

    /// The plan by the bitmaps of these indexes together.
    ///
    /// # Safety
    /// The paths are those of `path_over`, at least one.
    unsafe fn by_bitmap(&self, paths: &[*mut pg_sys::IndexPath]) -> Rival {
        // SAFETY: the caller's promise.
        unsafe {
            let tree: *mut pg_sys::Path = match paths {
                [path] => path.cast(),
                _ => {
                    let list = paths
                        .iter()
                        .fold(null_mut(), |list, path| pg_sys::lappend(list, path.cast()));
                    pg_sys::create_bitmap_and_path(self.root, self.rel, list).cast()
                }
            };
            let heap = pg_sys::create_bitmap_heap_path(
                self.root,
                self.rel,
                tree,
                self.outer,
                self.loop_count,
                0,
            );
            let shares = paths.iter().map(|&path| (*path).indexselectivity);
            let read = self.rows.read(shares.clone().product());
            let entries = self.rows.count * shares.sum::<f64>();
            self.rows.rival((*heap).path.total_cost, read, entries)
        }
    }
}

/// True if an index's column serves a condition in the form that our index has for it: `column operator value` by an operator of
/// its family with its collation, or a test for NULL.
///
/// # Safety
/// The index is one of the condition's table.
unsafe fn serves(
    index: *mut pg_sys::IndexOptInfo,
    column: i32,
    condition: *mut pg_sys::IndexClause,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        node::items::<pg_sys::RestrictInfo>((*condition).indexquals)
            .all(|qual| serves_clause(index, column, (*qual).clause.cast()))
    }
}

/// # Safety
/// As for `serves`; the clause is valid.
unsafe fn serves_clause(
    index: *mut pg_sys::IndexOptInfo,
    column: i32,
    clause: *mut pg_sys::Node,
) -> bool {
    // SAFETY: the caller's promise; families and collations are listed for each column.
    unsafe {
        let is_on =
            |operand: *mut pg_sys::Node| pg_sys::match_index_to_operand(operand, column, index);
        if let Some(operand) = node::null_test(clause) {
            return (*index).amsearchnulls && is_on(operand);
        }
        let (operator, collation, arguments) = match (node::operator(clause), node::any_of(clause))
        {
            (Some(operator), _) => ((*operator).opno, (*operator).inputcollid, (*operator).args),
            (None, Some(any)) if (*index).amsearcharray => {
                ((*any).opno, (*any).inputcollid, (*any).args)
            }
            _ => return false,
        };
        let Some([left, _]) = node::two(arguments) else {
            return false;
        };
        let at = usize::try_from(column).expect("a column");
        let own = *(*index).indexcollations.add(at);
        (own == pg_sys::InvalidOid || own == collation)
            && pg_sys::op_in_opfamily(operator, *(*index).opfamily.add(at))
            && is_on(left)
    }
}

/// A condition of our index as one of another index's column.
///
/// # Safety
/// The condition is one of the planner's.
unsafe fn clause_of(ours: *mut pg_sys::IndexClause, column: i32) -> *mut pg_sys::IndexClause {
    // SAFETY: a node of this type is all zeroes but for its tag.
    unsafe {
        let clause =
            pg_sys::palloc0(size_of::<pg_sys::IndexClause>()).cast::<pg_sys::IndexClause>();
        (*clause).type_ = pg_sys::NodeTag::T_IndexClause;
        (*clause).rinfo = (*ours).rinfo;
        (*clause).indexquals = (*ours).indexquals;
        (*clause).indexcol = column.try_into().expect("few columns");
        clause
    }
}

/// # Safety
/// The paths are the planner's.
unsafe fn share_a_condition(a: *mut pg_sys::IndexPath, b: *mut pg_sys::IndexPath) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let mut of_a = node::items::<pg_sys::IndexClause>((*a).indexclauses);
        of_a.any(|a| {
            let mut of_b = node::items::<pg_sys::IndexClause>((*b).indexclauses);
            of_b.any(|b| (*a).rinfo == (*b).rinfo)
        })
    }
}
