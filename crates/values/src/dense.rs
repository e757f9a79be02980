//! Dense vectors: `[1,2.5,-3e-07]`.

use std::ffi::CStr;

use crate::cursor::Cursor;
use crate::{Element, Problem, ReadNumber, check};

/// The maximum dimensions of a dense vector.
pub const MAX_DIMENSIONS: usize = 16_000;

/// Parses a literal.
pub fn parse<T: Element>(literal: &CStr, read_number: ReadNumber) -> Result<Vec<T>, Problem> {
    let mut cursor = Cursor::new(literal, read_number);
    cursor.skip_spaces();
    if !cursor.take(b'[') {
        return Err(Problem::NoBracket('['));
    }
    cursor.skip_spaces();
    if cursor.peek() == b']' {
        return Err(Problem::NoDimensions);
    }
    let values = elements(&mut cursor)?;
    cursor.skip_spaces();
    match cursor.peek() {
        0 => Ok(values),
        _ => Err(Problem::JunkAfterBracket),
    }
}

/// The elements and the closing bracket.
fn elements<T: Element>(cursor: &mut Cursor<'_>) -> Result<Vec<T>, Problem> {
    let commas = cursor.rest().iter().filter(|byte| **byte == b',').count();
    let mut values = Vec::with_capacity(commas.min(MAX_DIMENSIONS) + 1);
    loop {
        if values.len() == MAX_DIMENSIONS {
            return Err(Problem::TooManyDimensions(MAX_DIMENSIONS));
        }
        cursor.skip_spaces();
        values.push(element(cursor)?);
        cursor.skip_spaces();
        if cursor.take(b']') {
            return Ok(values);
        }
        cursor.expect(b',')?;
    }
}

fn element<T: Element>(cursor: &mut Cursor<'_>) -> Result<T, Problem> {
    let (number, text) = cursor.number()?;
    let value = T::from_f32(number);
    // A number with digits is a finite literal out of range; `inf` has no digits.
    if value.to_f32().is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return Err(Problem::OutOfRange(
            String::from_utf8_lossy(text).into_owned(),
        ));
    }
    check(value)
}
