//! Vectors as text: `[1,2.5,-3e-07]`, `{1:1.5,3:2}/5`. `crates/values` defines the syntax of literals.
#![forbid(unsafe_code)]

use std::ffi::CStr;

use super::datum::{Dense, NewDense, Scalar};
use super::dense::check_modifier;
use super::sparse::{self, NewSparse, Sparsevec};
use crate::error;
use crate::pg::number;
use crate::pg::output::Output;

/// The most digits of an index or a number of dimensions.
const INTEGER: usize = 10;

/// Reads a literal; anything but a vector of the right dimensions is an ERROR.
pub(super) fn parse<S: Scalar>(literal: &CStr, modifier: i32) -> NewDense<S> {
    let values = values::dense::parse(literal, number::read_float)
        .unwrap_or_else(|problem| error::rejected_literal(S::TYPE, literal, problem));
    check_modifier(S::TYPE, modifier, values.len());
    NewDense::from_values(values.into_iter())
}

/// Writes the shortest text that reads back as the same vector.
pub(super) fn format<S: Scalar>(vector: &Dense<'_, S>) -> Output {
    let mut text = Output::with_room(2 + (1 + Output::FLOAT) * vector.dimensions());
    text.push(b"[");
    text.push_floats(vector.values().iter().map(|value| value.to_f32()));
    text.push(b"]");
    text
}

/// Reads a literal like [`parse`], for a sparse vector.
pub(super) fn parse_sparse(literal: &CStr, modifier: i32) -> NewSparse {
    values::sparse::SparseVector::parse(literal, modifier, number::read_float)
        .map(|vector| NewSparse::from(&vector))
        .unwrap_or_else(|problem| error::rejected_literal(sparse::TYPE, literal, problem))
}

/// Writes text like [`format`], for a sparse vector.
pub(super) fn format_sparse(vector: &Sparsevec<'_>) -> Output {
    let elements = vector.elements();
    let room = 3 + INTEGER + elements.values.len() * (2 + INTEGER + Output::FLOAT);
    let mut text = Output::with_room(room);
    text.push(b"{");
    for (at, (index, value)) in elements.indices.iter().zip(elements.values).enumerate() {
        if at > 0 {
            text.push(b",");
        }
        text.push((i64::from(*index) + 1).to_string().as_bytes());
        text.push(b":");
        text.push_float(*value);
    }
    text.push(b"}/");
    text.push(vector.dimensions().to_string().as_bytes());
    text
}
