//! The state of `avg`: `{rows, sum of the first elements, sum of the second, ...}`, an array of double precision.
#![forbid(unsafe_code)]

use super::datum::{Dense, NewDense, Scalar};
use super::dense::element;
use crate::error;
use crate::pg::array::{Array, NewArray};

/// Adds a vector to a state. `exclusive` is true if no other code reads the state, so it may be changed in place.
pub(super) fn accumulate<S: Scalar>(
    state: Array<'_>,
    vector: &Dense<'_, S>,
    exclusive: bool,
    function: &str,
) -> NewArray<f64> {
    let dimensions = numbers(&state, function).len() - 1;
    let mut next = if dimensions == 0 {
        let mut first = NewArray::zeroed(1 + vector.dimensions());
        first.values_mut()[0] = numbers(&state, function)[0];
        first
    } else {
        check_state_dimensions(dimensions, vector.dimensions());
        state.into_new(exclusive)
    };
    let added = vector
        .values()
        .iter()
        .map(|value| f64::from(value.to_f32()));
    add(next.values_mut(), std::iter::once(1.0).chain(added));
    next
}

/// Adds two states.
pub(super) fn combine(
    left: Array<'_>,
    right: Array<'_>,
    exclusive: bool,
    function: &str,
) -> NewArray<f64> {
    let (rows, other) = (numbers(&left, function), numbers(&right, function));
    if other[0] == 0.0 {
        return left.into_new(exclusive);
    }
    if rows[0] == 0.0 {
        return right.into_new(false);
    }
    check_state_dimensions(rows.len() - 1, other.len() - 1);
    let mut sum = left.into_new(exclusive);
    add(sum.values_mut(), other.iter().copied());
    sum
}

/// Returns the mean, or `None` for no rows.
pub(super) fn average<S: Scalar>(state: &Array<'_>, function: &str) -> Option<NewDense<S>> {
    let (rows, sums) = numbers(state, function)
        .split_first()
        .expect("checked by `numbers`");
    if *rows == 0.0 {
        return None;
    }
    let means = sums.iter().map(|sum| element((sum / rows) as f32));
    Some(NewDense::from_values(means))
}

fn numbers<'a>(state: &'a Array<'_>, function: &str) -> &'a [f64] {
    if state.depth() != 1 || state.may_have_nulls() {
        error::not_a_state_array(function);
    }
    let numbers = state.numbers().filter(|numbers| !numbers.is_empty());
    numbers.unwrap_or_else(|| error::not_a_state_array(function))
}

fn check_state_dimensions(expected: usize, found: usize) {
    if expected != found {
        error::wrong_dimensions(expected, found);
    }
}

fn add(sums: &mut [f64], values: impl Iterator<Item = f64>) {
    let mut finite = true;
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
        finite &= !sum.is_infinite();
    }
    if !finite {
        error::overflow();
    }
}
