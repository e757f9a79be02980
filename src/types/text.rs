//! Dense vectors as text: `[1,2.5,-3e-07]`.
#![forbid(unsafe_code)]

use std::ffi::{CStr, CString};

use super::datum::{Dense, MAX_DIMENSIONS, NewDense, Scalar};
use super::dense::{check_element, check_modifier};
use crate::error;
use crate::pg::number;

/// Reads a literal; anything but a vector of the right dimensions is an ERROR.
pub(super) fn parse<S: Scalar>(literal: &CStr, modifier: i32) -> NewDense<S> {
    let values = Reader::<S>::new(literal).vector();
    check_modifier(modifier, values.len());
    NewDense::from_values(values.into_iter())
}

/// Writes the shortest text that reads back as the same vector.
pub(super) fn format<S: Scalar>(vector: &Dense<'_, S>) -> CString {
    let mut text = Vec::with_capacity(2 + 12 * vector.dimensions());
    text.push(b'[');
    for (at, value) in vector.values().iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        number::write_float(value.to_f32(), &mut text);
    }
    text.push(b']');
    CString::new(text).expect("numbers have no zero bytes")
}

/// A place in a literal.
struct Reader<'a, S> {
    literal: &'a CStr,
    at: usize,
    scalar: std::marker::PhantomData<S>,
}

impl<'a, S: Scalar> Reader<'a, S> {
    fn new(literal: &'a CStr) -> Self {
        Self {
            literal,
            at: 0,
            scalar: std::marker::PhantomData,
        }
    }

    fn vector(mut self) -> Vec<S> {
        self.skip_spaces();
        if !self.take(b'[') {
            error::literal_without_bracket(S::TYPE, &self.literal.to_string_lossy());
        }
        self.skip_spaces();
        if self.peek() == b']' {
            error::no_dimensions(S::TYPE);
        }
        let values = self.elements();
        self.skip_spaces();
        if self.peek() != 0 {
            error::literal_with_junk(S::TYPE, &self.literal.to_string_lossy());
        }
        values
    }

    /// The elements and the closing bracket.
    fn elements(&mut self) -> Vec<S> {
        let commas = self.rest().iter().filter(|byte| **byte == b',').count();
        let mut values = Vec::with_capacity(commas.min(MAX_DIMENSIONS) + 1);
        loop {
            if values.len() == MAX_DIMENSIONS {
                error::too_many_dimensions(S::TYPE, MAX_DIMENSIONS);
            }
            self.skip_spaces();
            values.push(self.element());
            self.skip_spaces();
            if self.take(b']') {
                return values;
            }
            if !self.take(b',') {
                self.fail();
            }
        }
    }

    fn element(&mut self) -> S {
        let (number, len) = self.plain_number().unwrap_or_else(|| self.any_number());
        let text = &self.rest()[..len];
        let value = S::from_f32(number);
        // A number with digits was finite when it was written: it is too large. `inf` has none.
        if value.to_f32().is_infinite() && text.iter().any(u8::is_ascii_digit) {
            error::out_of_range(S::TYPE, &String::from_utf8_lossy(text));
        }
        check_element(value);
        self.at += len;
        value
    }

    /// A decimal number, as nearly all are: read by a library that is three times as fast as `strtof`.
    fn plain_number(&self) -> Option<(f32, usize)> {
        let rest = self.rest();
        let (number, len) = fast_float2::parse_partial::<f32, _>(rest).ok()?;
        let ends = rest
            .get(len)
            .is_some_and(|byte| matches!(byte, b',' | b']') || is_space(*byte));
        (number.is_finite() && ends).then_some((number, len))
    }

    /// Anything else that `real` takes.
    fn any_number(&self) -> (f32, usize) {
        let (number, len) = number::read_float(&self.literal[self.at..]);
        if len == 0 {
            self.fail();
        }
        (number, len)
    }

    fn rest(&self) -> &'a [u8] {
        &self.literal.to_bytes()[self.at..]
    }

    /// The next byte, or zero at the end.
    fn peek(&self) -> u8 {
        self.rest().first().copied().unwrap_or(0)
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn skip_spaces(&mut self) {
        self.at += self
            .rest()
            .iter()
            .take_while(|byte| is_space(**byte))
            .count();
    }

    fn fail(&self) -> ! {
        error::invalid_literal(S::TYPE, &self.literal.to_string_lossy())
    }
}

/// A space to Postgres: unlike Rust's, a vertical tab is one.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
