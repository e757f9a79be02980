//! The conditions of an index path: those Postgres has found, less those the index cannot serve, and those that Postgres of this
//! version does not look for.
//!
//! While Postgres asks for the cost of a path, we give the path another list of conditions. What a condition says that is in the
//! list leaves the filter of the plan. Added are, for key columns:
//! - `column = ANY (array)` before 17, where a path has either an order or such conditions on columns that are not the first;
//! - `flag`, `NOT flag`, `flag IS TRUE` and `flag IS FALSE` before 16, which knows them for boolean families of its own only;
//! - `column = 1 OR column = 5` before 18;
//! - the range that has all matches of `column LIKE 'prefix%'`, which Postgres knows for its own `text_pattern_ops` only.
//!
//! Nothing asks for the version: a condition that is there is not added.
#![expect(unsafe_code, reason = "reads and changes the planner's structures")]

use std::ptr::null_mut;

use pgrx::pg_sys;

use crate::keys::{self, KeyColumns};
use crate::pg::{Relation, compat, node};

/// The operator `=` of `bool` (`BooleanEqualOperator`).
const BOOL_EQUAL: pg_sys::Oid = pg_sys::Oid::from_u32(pg_sys::BooleanEqualOperator);

/// The operator `~<~` of `text` (`TextPatternLessOperator`).
const PATTERN_LESS: pg_sys::Oid = pg_sys::Oid::from_u32(pg_sys::TextPatternLessOperator);

/// Gives a path the conditions that the index serves.
///
/// # Safety
/// The planner is costing this path on `root`, and the path has an order.
pub(super) unsafe fn complete(root: *mut pg_sys::PlannerInfo, path: *mut pg_sys::IndexPath) {
    // SAFETY: the caller's promise. Other paths may have the same list, so it is not changed.
    unsafe {
        let Some(vector) = node::integers((*path).indexorderbycols).next() else {
            return;
        };
        let info = (*path).indexinfo;
        let served = Served::of(info, vector);
        let mut conditions: Vec<_> = node::items((*path).indexclauses)
            .filter(|&clause| served.serves(clause))
            .collect();
        for rinfo in node::items::<pg_sys::RestrictInfo>((*info).indrestrictinfo) {
            if !conditions.iter().any(|&clause| (*clause).rinfo == rinfo) {
                conditions.extend(served.find(root, rinfo));
            }
        }
        // As Postgres lists them: column by column.
        conditions.sort_by_key(|&clause| (*clause).indexcol);
        (*path).indexclauses = list(conditions.into_iter());
    }
}

/// The columns of an index as the planner knows them.
struct Served {
    info: *mut pg_sys::IndexOptInfo,
    /// Counted from 0, as all columns here.
    vector: i32,
    /// Key columns whose conditions the index can use.
    keys: Vec<i32>,
}

impl Served {
    /// # Safety
    /// The planner knows the index, and holds a lock on it.
    unsafe fn of(info: *mut pg_sys::IndexOptInfo, vector: i32) -> Self {
        // SAFETY: the caller's promise: the index can be opened.
        let keys = unsafe {
            if (*info).nkeycolumns == 1 {
                Vec::new()
            } else {
                let relation = pg_sys::index_open((*info).indexoid, pg_sys::NoLock.cast_signed());
                let columns = KeyColumns::of(Relation::new(relation));
                pg_sys::index_close(relation, pg_sys::NoLock.cast_signed());
                columns
                    .comparable()
                    .map(|place| i32::try_from(place).expect("few columns"))
                    .collect()
            }
        };
        Self { info, vector, keys }
    }

    /// True if the index can use a condition that Postgres has found. Lists of distances, and tests for NULL on the vector column,
    /// are left to the filter: rows without a vector are not in the index.
    ///
    /// # Safety
    /// The condition is one of a path over this index.
    unsafe fn serves(&self, clause: *mut pg_sys::IndexClause) -> bool {
        // SAFETY: the caller's promise.
        unsafe {
            let column = i32::from((*clause).indexcol);
            if column == self.vector {
                (*clause).lossy || node::operator((*(*clause).rinfo).clause.cast()).is_some()
            } else {
                self.keys.contains(&column)
                    || node::has_tag(
                        (*(*clause).rinfo).clause.cast(),
                        pg_sys::NodeTag::T_NullTest,
                    )
            }
        }
    }

    /// The condition of the index that a clause of the filter is.
    ///
    /// # Safety
    /// The planner is at work on `root`, and the clause is a restriction of the index's table.
    unsafe fn find(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rinfo: *mut pg_sys::RestrictInfo,
    ) -> Option<*mut pg_sys::IndexClause> {
        // SAFETY: the caller's promise. A node of this type is all zeroes but for its tag.
        unsafe {
            if (*rinfo).pseudoconstant
                || !pg_sys::restriction_is_securely_promotable(rinfo, (*self.info).rel)
            {
                return None;
            }
            let found = self.keys.iter().find_map(|&column| {
                let exact = self.on(root, rinfo, column).map(node::list_of);
                let found = exact
                    .map(|conditions| (conditions, false))
                    .or_else(|| self.of_pattern(root, rinfo, column))?;
                Some((column, found))
            });
            let (column, (conditions, lossy)) = found?;
            let clause =
                pg_sys::palloc0(size_of::<pg_sys::IndexClause>()).cast::<pg_sys::IndexClause>();
            (*clause).type_ = pg_sys::NodeTag::T_IndexClause;
            (*clause).rinfo = rinfo;
            (*clause).indexquals = conditions;
            (*clause).lossy = lossy;
            (*clause).indexcol = column.try_into().expect("few columns");
            Some(clause)
        }
    }

    /// The condition on a column that a clause of the filter is.
    ///
    /// # Safety
    /// As for `find`.
    unsafe fn on(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rinfo: *mut pg_sys::RestrictInfo,
        column: i32,
    ) -> Option<*mut pg_sys::RestrictInfo> {
        // SAFETY: the caller's promise.
        unsafe {
            let clause: *mut pg_sys::Node = (*rinfo).clause.cast();
            if let Some(any) = node::any_of(clause) {
                let [left, right] = node::two((*any).args)?;
                return self
                    .compares(root, (*any).opno, (*any).inputcollid, column, left, right)
                    .then_some(rinfo);
            }
            let made = self
                .of_flag(clause, column)
                .or_else(|| self.of_alternatives(root, clause, column))?;
            Some(compat::index_condition(
                root,
                made.cast(),
                (*rinfo).security_level,
            ))
        }
    }

    /// Conditions on a column of `text_pattern_ops` that hold for all matches of a pattern, and true if for others too: those that the
    /// support function of the operator, as of `LIKE`, knows for an index of Postgres's own class of this name.
    ///
    /// # Safety
    /// As for `find`.
    unsafe fn of_pattern(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rinfo: *mut pg_sys::RestrictInfo,
        column: i32,
    ) -> Option<(*mut pg_sys::List, bool)> {
        // SAFETY: the caller's promise; families and collations are listed for each column. The request is of the type that its tag
        // names, and the answer a list of expressions.
        unsafe {
            let clause: *mut pg_sys::Node = (*rinfo).clause.cast();
            let operator = node::operator(clause)?;
            let [left, _] = node::two((*operator).args)?;
            let at = usize::try_from(column).expect("a column");
            let function = pg_sys::get_opcode((*operator).opno);
            let support = pg_sys::get_func_support(function);
            if support == pg_sys::InvalidOid
                || !pg_sys::op_in_opfamily(PATTERN_LESS, *(*self.info).opfamily.add(at))
                || !pg_sys::match_index_to_operand(left, column, self.info)
            {
                return None;
            }
            let mut request = pg_sys::SupportRequestIndexCondition {
                type_: pg_sys::NodeTag::T_SupportRequestIndexCondition,
                root,
                funcid: function,
                node: clause,
                indexarg: 0,
                index: self.info,
                indexcol: column,
                opfamily: pg_sys::TEXT_PATTERN_BTREE_FAM_OID,
                indexcollation: *(*self.info).indexcollations.add(at),
                lossy: true,
            };
            let answer = pg_sys::OidFunctionCall1Coll(
                support,
                pg_sys::InvalidOid,
                pg_sys::Datum::from(&raw mut request),
            );
            let conditions = node::items::<pg_sys::Expr>(answer.cast_mut_ptr())
                .map(|expr| compat::index_condition(root, expr, (*rinfo).security_level))
                .fold(null_mut(), |all, condition| {
                    pg_sys::lappend(all, condition.cast())
                });
            (!conditions.is_null()).then_some((conditions, request.lossy))
        }
    }

    /// True if the operator compares the column with a value that is known when a scan begins.
    ///
    /// # Safety
    /// As for `find`; the nodes are valid.
    unsafe fn compares(
        &self,
        root: *mut pg_sys::PlannerInfo,
        operator: pg_sys::Oid,
        collation: pg_sys::Oid,
        column: i32,
        left: *mut pg_sys::Node,
        right: *mut pg_sys::Node,
    ) -> bool {
        // SAFETY: the caller's promise; families and collations are listed for each column.
        unsafe {
            let at = usize::try_from(column).expect("a column");
            let own = *(*self.info).indexcollations.add(at);
            let table = (*(*self.info).rel).relid.cast_signed();
            (own == pg_sys::InvalidOid || own == collation)
                && pg_sys::op_in_opfamily(operator, *(*self.info).opfamily.add(at))
                && pg_sys::match_index_to_operand(left, column, self.info)
                && !pg_sys::bms_is_member(table, pg_sys::pull_varnos(root, right))
                && !pg_sys::contain_volatile_functions(right)
        }
    }

    /// `column = true` or `column = false` for a condition that is the column.
    ///
    /// # Safety
    /// As for `find`; the clause is valid.
    unsafe fn of_flag(&self, clause: *mut pg_sys::Node, column: i32) -> Option<*mut pg_sys::Expr> {
        // SAFETY: the caller's promise.
        unsafe {
            let at = usize::try_from(column).expect("a column");
            if !pg_sys::op_in_opfamily(BOOL_EQUAL, *(*self.info).opfamily.add(at)) {
                return None;
            }
            let (flag, value) = node::flag(clause);
            pg_sys::match_index_to_operand(flag, column, self.info).then(|| {
                pg_sys::make_opclause(
                    BOOL_EQUAL,
                    pg_sys::BOOLOID,
                    false,
                    flag.cast(),
                    pg_sys::makeBoolConst(value, false).cast(),
                    pg_sys::InvalidOid,
                    pg_sys::InvalidOid,
                )
            })
        }
    }

    /// `column = ANY (array)` for `column = a OR column = b`, all by one operator, with values of one type.
    ///
    /// # Safety
    /// As for `find`; the clause is valid.
    unsafe fn of_alternatives(
        &self,
        root: *mut pg_sys::PlannerInfo,
        clause: *mut pg_sys::Node,
        column: i32,
    ) -> Option<*mut pg_sys::Expr> {
        // SAFETY: the caller's promise.
        unsafe {
            let mut values = null_mut();
            let mut first: Option<*mut pg_sys::OpExpr> = None;
            for alternative in node::items(node::alternatives(clause)?) {
                let equality = node::operator(alternative)?;
                let [left, right] = node::two((*equality).args)?;
                let like = *first.get_or_insert(equality);
                let same = (*equality).opno == (*like).opno
                    && (*equality).inputcollid == (*like).inputcollid
                    && pg_sys::exprType(right) == pg_sys::exprType(node::two((*like).args)?[1]);
                if !same
                    || !self.compares(root, (*like).opno, (*like).inputcollid, column, left, right)
                {
                    return None;
                }
                values = pg_sys::lappend(values, right.cast());
            }
            let array = pg_sys::eval_const_expressions(root, node::array(values)?);
            Some(node::equals_any(first?, array))
        }
    }
}

/// The conditions on key columns, in a list of their own.
///
/// # Safety
/// The planner is costing this path.
pub(super) unsafe fn on_keys(path: *const pg_sys::IndexPath) -> *mut pg_sys::List {
    // SAFETY: the caller's promise.
    unsafe {
        let vector = node::integers((*path).indexorderbycols).next();
        list(
            node::items::<pg_sys::IndexClause>((*path).indexclauses)
                .filter(|clause| Some(i32::from((**clause).indexcol)) != vector),
        )
    }
}

/// The share of rows that pass the conditions on a column that leave one of its values.
pub(super) struct OneValue {
    pub(super) share: f64,
    /// True if no other column has a condition.
    pub(super) is_alone: bool,
}

/// The conditions of a path on a column, if one of them leaves one value: an equality, or a test for NULL.
///
/// # Safety
/// The planner is costing this path on `root`.
pub(super) unsafe fn one_value(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    column: i32,
) -> Option<OneValue> {
    // SAFETY: the caller's promise; families are listed for each column.
    unsafe {
        let info = (*path).indexinfo;
        let family = *(*info)
            .opfamily
            .add(usize::try_from(column).expect("a column"));
        let (mut rows, mut leaves_one, mut is_alone) = (null_mut(), false, true);
        for clause in node::items::<pg_sys::IndexClause>((*path).indexclauses) {
            if i32::from((*clause).indexcol) != column {
                is_alone = false;
                continue;
            }
            rows = pg_sys::lappend(rows, (*clause).rinfo.cast());
            for condition in node::items::<pg_sys::RestrictInfo>((*clause).indexquals) {
                leaves_one |= is_of_one_value((*condition).clause.cast(), family);
            }
        }
        leaves_one.then(|| OneValue {
            share: pg_sys::clauselist_selectivity(
                root,
                rows,
                (*(*info).rel).relid.cast_signed(),
                pg_sys::JoinType::JOIN_INNER,
                null_mut(),
            ),
            is_alone,
        })
    }
}

/// True for `column = value` by the equality of an operator family, and `column IS NULL`.
///
/// # Safety
/// The node is valid.
unsafe fn is_of_one_value(condition: *mut pg_sys::Node, family: pg_sys::Oid) -> bool {
    // SAFETY: the caller's promise; the tag tells the type.
    unsafe {
        if let Some(operator) = node::operator(condition) {
            return pg_sys::get_op_opfamily_strategy((*operator).opno, family)
                == i32::from(keys::EQUAL);
        }
        node::has_tag(condition, pg_sys::NodeTag::T_NullTest)
            && (*condition.cast::<pg_sys::NullTest>()).nulltesttype == pg_sys::NullTestType::IS_NULL
    }
}

/// A list of conditions.
fn list(conditions: impl Iterator<Item = *mut pg_sys::IndexClause>) -> *mut pg_sys::List {
    conditions.fold(null_mut(), |list, clause| {
        // SAFETY: a list is made in the current memory context.
        unsafe { pg_sys::lappend(list, clause.cast()) }
    })
}
