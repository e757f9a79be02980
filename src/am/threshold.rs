//! The distance beyond which a filter passes no row: `WHERE v <-> q < 5 ORDER BY v <-> q`.
//!
//! Postgres matches `v <-> q < 5` to no index. While it asks for the cost of a path in the order of `v <-> q`, we add an
//! index condition of our own, `v @<= 5`, to pass the bound to the scan when the query runs. The condition is lossy, so
//! the filter stays in the plan and decides about every row.
#![expect(unsafe_code, reason = "reads and adds to the planner's structures")]

use std::ptr::null_mut;

use pgrx::pg_sys;

use crate::pg::call::describe;
use crate::pg::{compat, node};

/// The strategy number of `column @<= float8`: rows no further than this number from the scan's query vector.
const WITHIN: i16 = 2;

/// Postgres' `float_ops` for btree; its strategy numbers name the comparison of an operator.
const FLOAT_OPS: pg_sys::Oid = pg_sys::Oid::from_u32(1970);

/// The largest number a distance may be subtracted from, to keep rounding within the tolerance of a scan.
const MOST: f64 = 1000.0;

/// Adds the filter's bounds to an index path ordered by distance. Returns the share of rows left by them; `None` if the path
/// has conditions that are not ours.
///
/// # Safety
/// The planner is costing this path, which has an order.
pub(super) unsafe fn add_to(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
) -> Option<f64> {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(ordering) = Ordering::of(path) else {
            return Some(1.0);
        };
        // Postgres may cost a path twice; the second time it has our conditions.
        if !are_ours(&ordering, (*path).indexclauses)? {
            for (clause, bound) in ordering.bounds((*path).indexinfo) {
                let condition = ordering.condition(root, clause, bound);
                (*path).indexclauses = pg_sys::lappend((*path).indexclauses, condition.cast());
            }
        }
        Some(ordering.selectivity(root, path))
    }
}

/// The order of a path: an operator between the indexed column and the query vector.
struct Ordering {
    /// The vector column, counted from 0.
    place: i32,
    operator: pg_sys::Oid,
    column: *mut pg_sys::Node,
    query: *mut pg_sys::Node,
    /// `column @<= float8`.
    within: pg_sys::Oid,
}

/// A comparison with a number.
#[derive(Clone, Copy, PartialEq)]
enum Relation {
    Less,
    Equal,
    Greater,
}

impl Relation {
    fn reversed(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::Equal => Self::Equal,
            Self::Greater => Self::Less,
        }
    }
}

impl Ordering {
    /// Returns `None` if the index's operator class has no operator for a bound, as in databases made by pgvector.
    ///
    /// # Safety
    /// As for `add_to`.
    unsafe fn of(path: *mut pg_sys::IndexPath) -> Option<Self> {
        // SAFETY: the caller's promise: families and types are listed for each column.
        unsafe {
            let info = (*path).indexinfo;
            let place = node::integers((*path).indexorderbycols).next()?;
            let at = usize::try_from(place).expect("a column");
            let within = pg_sys::get_opfamily_member(
                *(*info).opfamily.add(at),
                *(*info).opcintype.add(at),
                pg_sys::FLOAT8OID,
                WITHIN,
            );
            if within == pg_sys::InvalidOid {
                return None;
            }
            let order = node::operator(node::items((*path).indexorderbys).next()?)?;
            let [column, query] = node::two((*order).args)?;
            Some(Self {
                place,
                operator: (*order).opno,
                column,
                query,
                within,
            })
        }
    }

    /// Returns the filter's conditions on the distance, each with its upper bound.
    ///
    /// # Safety
    /// As for `add_to`, and the path is over this index.
    unsafe fn bounds(
        &self,
        info: *mut pg_sys::IndexOptInfo,
    ) -> Vec<(*mut pg_sys::RestrictInfo, *mut pg_sys::Node)> {
        // SAFETY: the caller's promise.
        unsafe {
            node::items::<pg_sys::RestrictInfo>((*info).indrestrictinfo)
                .filter_map(|clause| {
                    let (relation, bound) = self.solve((*clause).clause.cast())?;
                    (relation != Relation::Greater && is_known_to_scan(bound))
                        .then_some((clause, bound))
                })
                .collect()
        }
    }

    /// Returns a condition's comparison of the distance and the number; `None` if it does not compare the distance.
    ///
    /// # Safety
    /// The condition is valid.
    unsafe fn solve(&self, condition: *mut pg_sys::Node) -> Option<(Relation, *mut pg_sys::Node)> {
        // SAFETY: the caller's promise.
        unsafe {
            let comparison = node::operator(condition)?;
            let relation = match pg_sys::get_op_opfamily_strategy((*comparison).opno, FLOAT_OPS) {
                1 | 2 => Relation::Less,
                3 => Relation::Equal,
                4 | 5 => Relation::Greater,
                _ => return None,
            };
            let [left, right] = node::two((*comparison).args)?;
            self.isolate(left, relation, right)
                .or_else(|| self.isolate(right, relation.reversed(), left))
        }
    }

    /// Solves `side relation bound` for the distance. `1 - d`, `d * -1` and `-d` are their own inverse: each is applied to the
    /// other side, and reverses the comparison.
    ///
    /// # Safety
    /// Both sides are valid.
    unsafe fn isolate(
        &self,
        side: *mut pg_sys::Node,
        relation: Relation,
        bound: *mut pg_sys::Node,
    ) -> Option<(Relation, *mut pg_sys::Node)> {
        // SAFETY: the caller's promise.
        unsafe {
            let bound = node::as_float8(bound)?;
            if self.is_distance(side) {
                return Some((relation, bound));
            }
            let around = node::operator(side)?;
            let (place, inner) = mirrored(around)?;
            let bound = node::with_argument(around, place, bound);
            self.isolate(inner, relation.reversed(), bound.cast())
        }
    }

    /// True if the node is the distance rows are ordered by, as an operator or as a call of its function.
    ///
    /// # Safety
    /// The node is valid.
    unsafe fn is_distance(&self, node: *mut pg_sys::Node) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let commutes = pg_sys::get_commutator(self.operator) == self.operator;
            let args = if let Some(operator) = node::operator(node) {
                if (*operator).opno != self.operator {
                    return false;
                }
                (*operator).args
            } else if node::has_tag(node, pg_sys::NodeTag::T_FuncExpr) {
                let call = node.cast::<pg_sys::FuncExpr>();
                if (*call).funcid != pg_sys::get_opcode(self.operator) {
                    return false;
                }
                (*call).args
            } else {
                return false;
            };
            node::two(args).is_some_and(|[left, right]| {
                (node::equal(left, self.column) && node::equal(right, self.query))
                    || (commutes
                        && node::equal(right, self.column)
                        && node::equal(left, self.query))
            })
        }
    }

    /// The conditions on the vector column.
    ///
    /// # Safety
    /// The list is one of index clauses.
    unsafe fn conditions(
        &self,
        clauses: *mut pg_sys::List,
    ) -> impl Iterator<Item = *mut pg_sys::IndexClause> {
        // SAFETY: the caller's promise.
        unsafe {
            node::items::<pg_sys::IndexClause>(clauses)
                .filter(|clause| i32::from((**clause).indexcol) == self.place)
        }
    }

    /// Makes an index condition from a condition of the filter.
    ///
    /// # Safety
    /// As for `add_to`; condition and bound are valid.
    unsafe fn condition(
        &self,
        root: *mut pg_sys::PlannerInfo,
        clause: *mut pg_sys::RestrictInfo,
        bound: *mut pg_sys::Node,
    ) -> *mut pg_sys::IndexClause {
        // SAFETY: the caller's promise. A node of this type is all zeroes but for its tag.
        unsafe {
            let bound = pg_sys::eval_const_expressions(root, node::copy(bound));
            let within = pg_sys::make_opclause(
                self.within,
                pg_sys::BOOLOID,
                false,
                node::copy(self.column).cast(),
                bound.cast(),
                pg_sys::InvalidOid,
                pg_sys::InvalidOid,
            );
            pg_sys::set_opfuncid(within.cast());
            let condition =
                pg_sys::palloc0(size_of::<pg_sys::IndexClause>()).cast::<pg_sys::IndexClause>();
            (*condition).type_ = pg_sys::NodeTag::T_IndexClause;
            (*condition).rinfo = clause;
            (*condition).indexquals = node::list_of(compat::index_condition(
                root,
                within,
                (*clause).security_level,
            ));
            (*condition).lossy = true;
            (*condition).indexcol = self.place.try_into().expect("few columns");
            condition
        }
    }

    /// Estimates the share of rows that pass the filter's conditions on the distance; 1 without bounds.
    ///
    /// # Safety
    /// As for `add_to`.
    unsafe fn selectivity(
        &self,
        root: *mut pg_sys::PlannerInfo,
        path: *mut pg_sys::IndexPath,
    ) -> f64 {
        // SAFETY: the caller's promise.
        unsafe {
            let info = (*path).indexinfo;
            if self.conditions((*path).indexclauses).next().is_none() {
                return 1.0;
            }
            let of_distance = node::items::<pg_sys::RestrictInfo>((*info).indrestrictinfo)
                .filter(|clause| self.solve((**clause).clause.cast()).is_some())
                .fold(null_mut(), |list, clause| {
                    pg_sys::lappend(list, clause.cast())
                });
            pg_sys::clauselist_selectivity(
                root,
                of_distance,
                (*(*info).rel).relid.cast_signed(),
                pg_sys::JoinType::JOIN_INNER,
                null_mut(),
            )
        }
    }
}

/// Returns the argument of `1 - x`, `x * -1`, `-1 * x` or `-x`, and its position.
///
/// # Safety
/// The operator is valid.
unsafe fn mirrored(operator: *mut pg_sys::OpExpr) -> Option<(usize, *mut pg_sys::Node)> {
    // SAFETY: the caller's promise.
    unsafe {
        let function = pg_sys::get_opcode((*operator).opno).to_u32();
        if function == pg_sys::F_FLOAT8UM {
            return Some((0, node::items((*operator).args).next()?));
        }
        let [left, right] = node::two((*operator).args)?;
        let numbers = (node::float8_constant(left), node::float8_constant(right));
        match (function, numbers) {
            (pg_sys::F_FLOAT8MI, (Some(from), _)) if from.abs() <= MOST => Some((1, right)),
            (pg_sys::F_FLOAT8MUL, (Some(-1.0), _)) => Some((1, right)),
            (pg_sys::F_FLOAT8MUL, (_, Some(-1.0))) => Some((0, left)),
            _ => None,
        }
    }
}

/// True if a bound is the same for all rows of a scan, and known when the scan begins.
///
/// # Safety
/// The expression is valid.
unsafe fn is_known_to_scan(bound: *mut pg_sys::Node) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        !pg_sys::contain_var_clause(bound)
            && !pg_sys::contain_volatile_functions(bound)
            && !pg_sys::contain_subplans(bound)
    }
}

/// Returns true if all conditions on the vector column are ours, false if there are none, `None` if any is not ours. A condition
/// a user wrote with our operator is not lossy.
///
/// # Safety
/// The list is one of index clauses.
unsafe fn are_ours(ordering: &Ordering, clauses: *mut pg_sys::List) -> Option<bool> {
    // SAFETY: the caller's promise.
    unsafe {
        let mut any = false;
        for condition in ordering.conditions(clauses) {
            if !(*condition).lossy {
                return None;
            }
            any = true;
        }
        Some(any)
    }
}

/// `hnsw_within(column, float8)`, the function of our operator. It passes all rows: the filter decides if they are near
/// enough. The executor calls it for a row that changed while it waited for the row's lock.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn hnsw_within_wrapper(_call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    pg_sys::Datum::from(true)
}

describe!("hnsw_within_wrapper");
