//! Reads, compares and builds expressions of the planner.
#![expect(unsafe_code, reason = "reads and makes the planner's nodes")]

use pgrx::pg_sys;

/// The pointers in a list, in order; `NIL` is empty.
///
/// # Safety
/// The list is `NIL`, or a valid list of pointers to `T` that does not change meanwhile.
pub(crate) unsafe fn items<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: the caller's promise; NIL has no elements.
    let length = unsafe { list.as_ref() }.map_or(0, |list| list.length);
    (0..usize::try_from(length).expect("a length")).map(move |at| {
        // SAFETY: the list has an element at this position, a pointer.
        unsafe { (*(*list).elements.add(at)).ptr_value.cast::<T>() }
    })
}

/// The numbers in a list of integers.
///
/// # Safety
/// The list is `NIL`, or a valid list of integers that does not change meanwhile.
pub(crate) unsafe fn integers(list: *mut pg_sys::List) -> impl Iterator<Item = i32> {
    // SAFETY: the caller's promise; NIL has no elements.
    let length = unsafe { list.as_ref() }.map_or(0, |list| list.length);
    (0..usize::try_from(length).expect("a length")).map(move |at| {
        // SAFETY: the list has an element at this position, an integer.
        unsafe { (*(*list).elements.add(at)).int_value }
    })
}

/// A list of one pointer.
pub(crate) fn list_of<T>(item: *mut T) -> *mut pg_sys::List {
    // SAFETY: a list is made in the current memory context.
    unsafe { pg_sys::lappend(std::ptr::null_mut(), item.cast()) }
}

/// The node as an operator with its arguments; `None` for other nodes.
///
/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn operator(node: *mut pg_sys::Node) -> Option<*mut pg_sys::OpExpr> {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe { has_tag(node, pg_sys::NodeTag::T_OpExpr) }.then_some(node.cast())
}

/// The node as `operand operator ANY (array)`; `None` for other nodes.
///
/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn any_of(node: *mut pg_sys::Node) -> Option<*mut pg_sys::ScalarArrayOpExpr> {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe {
        let any = node.cast::<pg_sys::ScalarArrayOpExpr>();
        (has_tag(node, pg_sys::NodeTag::T_ScalarArrayOpExpr) && (*any).useOr).then_some(any)
    }
}

/// The operand of a test for NULL; `None` for other nodes, and for tests of whole rows.
///
/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn null_test(node: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe {
        let test = node.cast::<pg_sys::NullTest>();
        (has_tag(node, pg_sys::NodeTag::T_NullTest) && !(*test).argisrow)
            .then(|| (*test).arg.cast())
    }
}

/// The alternatives of an `OR`; `None` for other nodes.
///
/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn alternatives(node: *mut pg_sys::Node) -> Option<*mut pg_sys::List> {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe { arguments_of(node, pg_sys::BoolExprType::OR_EXPR) }
}

/// # Safety
/// The node is null or valid.
unsafe fn arguments_of(
    node: *mut pg_sys::Node,
    kind: pg_sys::BoolExprType::Type,
) -> Option<*mut pg_sys::List> {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe {
        let expression = node.cast::<pg_sys::BoolExpr>();
        (has_tag(node, pg_sys::NodeTag::T_BoolExpr) && (*expression).boolop == kind)
            .then(|| (*expression).args)
    }
}

/// Takes a condition for a boolean expression and the value that it has where the condition holds: `x`, `NOT x`, `x IS TRUE` or
/// `x IS FALSE`.
///
/// # Safety
/// The node is valid.
pub(crate) unsafe fn flag(node: *mut pg_sys::Node) -> (*mut pg_sys::Node, bool) {
    // SAFETY: the caller's promise; the tag is the node's type.
    unsafe {
        if let Some(arguments) = arguments_of(node, pg_sys::BoolExprType::NOT_EXPR) {
            return (items(arguments).next().expect("NOT has an argument"), false);
        }
        if has_tag(node, pg_sys::NodeTag::T_BooleanTest) {
            let test = node.cast::<pg_sys::BooleanTest>();
            match (*test).booltesttype {
                pg_sys::BoolTestType::IS_TRUE => return ((*test).arg.cast(), true),
                pg_sys::BoolTestType::IS_FALSE => return ((*test).arg.cast(), false),
                _ => {}
            }
        }
        (node, true)
    }
}

/// An array of these expressions, which are of one type; `None` if the type has no arrays.
///
/// # Safety
/// The list is one of valid expressions, and not empty.
pub(crate) unsafe fn array(elements: *mut pg_sys::List) -> Option<*mut pg_sys::Node> {
    // SAFETY: the caller's promise. A node of this type is all zeroes but for its tag.
    unsafe {
        let first = items::<pg_sys::Node>(elements).next()?;
        let of = pg_sys::exprType(first);
        let array_type = pg_sys::get_array_type(of);
        if array_type == pg_sys::InvalidOid {
            return None;
        }
        let array = pg_sys::palloc0(size_of::<pg_sys::ArrayExpr>()).cast::<pg_sys::ArrayExpr>();
        (*array).xpr.type_ = pg_sys::NodeTag::T_ArrayExpr;
        (*array).array_typeid = array_type;
        (*array).array_collid = pg_sys::exprCollation(first);
        (*array).element_typeid = of;
        (*array).elements = elements;
        (*array).location = -1;
        Some(array.cast())
    }
}

/// `x operator ANY (array)`, for an `x operator y`.
///
/// # Safety
/// The operator has two arguments, and the array's elements are of the type of the second.
pub(crate) unsafe fn equals_any(
    like: *mut pg_sys::OpExpr,
    array: *mut pg_sys::Node,
) -> *mut pg_sys::Expr {
    // SAFETY: the caller's promise. A node of this type is all zeroes but for its tag.
    unsafe {
        let any = pg_sys::palloc0(size_of::<pg_sys::ScalarArrayOpExpr>())
            .cast::<pg_sys::ScalarArrayOpExpr>();
        (*any).xpr.type_ = pg_sys::NodeTag::T_ScalarArrayOpExpr;
        (*any).opno = (*like).opno;
        (*any).opfuncid = pg_sys::get_opcode((*like).opno);
        (*any).useOr = true;
        (*any).inputcollid = (*like).inputcollid;
        let operand = items::<pg_sys::Node>((*like).args).next();
        (*any).args = pg_sys::lappend(list_of(operand.expect("two arguments")), array.cast());
        (*any).location = -1;
        any.cast()
    }
}

/// The nodes of a list of two; `None` for other lengths.
///
/// # Safety
/// The list is one of nodes.
pub(crate) unsafe fn two(list: *mut pg_sys::List) -> Option<[*mut pg_sys::Node; 2]> {
    // SAFETY: the caller's promise.
    let mut arguments = unsafe { items::<pg_sys::Node>(list) };
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(left), Some(right), None) => Some([left, right]),
        _ => None,
    }
}

/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn has_tag(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> bool {
    // SAFETY: the caller's promise.
    unsafe { node.as_ref() }.is_some_and(|node| node.type_ == tag)
}

/// The value of a `float8` constant; `None` if it is NULL, or for other nodes.
///
/// # Safety
/// The node is null or valid.
pub(crate) unsafe fn float8_constant(node: *mut pg_sys::Node) -> Option<f64> {
    // SAFETY: the caller's promise; a `float8` is passed by value, its bits in the datum.
    unsafe {
        if !has_tag(node, pg_sys::NodeTag::T_Const) {
            return None;
        }
        let constant = node.cast::<pg_sys::Const>();
        ((*constant).consttype == pg_sys::FLOAT8OID && !(*constant).constisnull)
            .then(|| f64::from_bits((*constant).constvalue.value() as u64))
    }
}

/// True if two expressions are the same.
///
/// # Safety
/// Both are null or valid.
pub(crate) unsafe fn equal(a: *mut pg_sys::Node, b: *mut pg_sys::Node) -> bool {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::equal(a.cast(), b.cast()) }
}

/// A copy of an expression.
///
/// # Safety
/// The node is valid.
pub(crate) unsafe fn copy<T>(node: *mut T) -> *mut T {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::copyObjectImpl(node.cast()).cast() }
}

/// The expression if its type is `float8`, its cast to `float8` if it is `float4`; `None` for other types.
///
/// # Safety
/// The node is valid.
pub(crate) unsafe fn as_float8(node: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    // SAFETY: the caller's promise.
    unsafe {
        match pg_sys::exprType(node) {
            pg_sys::FLOAT8OID => Some(node),
            pg_sys::FLOAT4OID => {
                let cast = pg_sys::makeFuncExpr(
                    pg_sys::F_FLOAT8_FLOAT4.into(),
                    pg_sys::FLOAT8OID,
                    list_of(node),
                    pg_sys::InvalidOid,
                    pg_sys::InvalidOid,
                    pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
                );
                Some(cast.cast())
            }
            _ => None,
        }
    }
}

/// A copy of an operator with one argument replaced.
///
/// # Safety
/// Operator and argument are valid, and the operator has an argument at `place`.
pub(crate) unsafe fn with_argument(
    operator: *mut pg_sys::OpExpr,
    place: usize,
    argument: *mut pg_sys::Node,
) -> *mut pg_sys::OpExpr {
    // SAFETY: the caller's promise.
    unsafe {
        let copy = copy(operator);
        (*(*(*copy).args).elements.add(place)).ptr_value = argument.cast();
        copy
    }
}
