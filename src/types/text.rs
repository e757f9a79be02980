//! Vectors as text: `[1,2.5,-3e-07]`, `{1:1.5,3:2}/5`. What may stand in a literal is said in `crates/values`.
#![forbid(unsafe_code)]

use std::ffi::CStr;
use std::io::Write;

use super::datum::{Dense, NewDense, Scalar};
use super::dense::check_modifier;
use super::sparse::{self, NewSparse, Sparsevec};
use crate::error;
use crate::pg::number;
use crate::pg::output::Output;

/// Reads a literal; anything but a vector of the right dimensions is an ERROR.
pub(super) fn parse<S: Scalar>(literal: &CStr, modifier: i32) -> NewDense<S> {
    let values = values::dense::parse(literal, number::read_float)
        .unwrap_or_else(|problem| error::rejected_literal(S::TYPE, literal, problem));
    check_modifier(S::TYPE, modifier, values.len());
    NewDense::from_values(values.into_iter())
}

/// Writes the shortest text that reads back as the same vector.
pub(super) fn format<S: Scalar>(vector: &Dense<'_, S>) -> Output {
    let mut text = Vec::with_capacity(2 + 14 * vector.dimensions());
    text.push(b'[');
    for (at, value) in vector.values().iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_number(value.to_f32(), &mut text);
    }
    text.push(b']');
    Output(text)
}

fn write_number(value: f32, text: &mut Vec<u8>) {
    if !values::write_plain(value, text) {
        number::write_float(value, text);
    }
}

/// As [`parse`], for a sparse vector.
pub(super) fn parse_sparse(literal: &CStr, modifier: i32) -> NewSparse {
    values::sparse::SparseVector::parse(literal, modifier, number::read_float)
        .map(|vector| NewSparse::from(&vector))
        .unwrap_or_else(|problem| error::rejected_literal(sparse::TYPE, literal, problem))
}

/// As [`format`], for a sparse vector.
pub(super) fn format_sparse(vector: &Sparsevec<'_>) -> Output {
    let elements = vector.elements();
    let mut text = Vec::with_capacity(24 + 24 * elements.values.len());
    text.push(b'{');
    for (at, (index, value)) in elements.indices.iter().zip(elements.values).enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(text, "{comma}{}:", i64::from(*index) + 1).expect("memory takes any text");
        write_number(*value, &mut text);
    }
    write!(text, "}}/{}", vector.dimensions()).expect("memory takes any text");
    Output(text)
}
