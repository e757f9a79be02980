//! A cursor over a literal, with parsers for its tokens.

use std::ffi::CStr;

use crate::Problem;

/// Parses a number at the start of a text like C's `strtof` (hexadecimal, `inf` and `nan` too), and returns it with its
/// length in bytes: 0 if there is no number.
pub type ReadNumber = fn(&CStr) -> (f32, usize);

pub(crate) struct Cursor<'a> {
    literal: &'a CStr,
    at: usize,
    read_number: ReadNumber,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(literal: &'a CStr, read_number: ReadNumber) -> Self {
        Self {
            literal,
            at: 0,
            read_number,
        }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.literal.to_bytes()[self.at..]
    }

    /// The next byte, or zero at the end.
    pub(crate) fn peek(&self) -> u8 {
        self.rest().first().copied().unwrap_or(0)
    }

    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Problem> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(Problem::Syntax)
        }
    }

    pub(crate) fn skip_spaces(&mut self) {
        let spaces = self.rest().iter().take_while(|byte| is_space(**byte));
        self.at += spaces.count();
    }

    /// Parses a number; returns it with its text.
    pub(crate) fn number(&mut self) -> Result<(f32, &'a [u8]), Problem> {
        let (number, len) = match self.plain_number() {
            Some(plain) => plain,
            None => (self.read_number)(&self.literal[self.at..]),
        };
        if len == 0 {
            return Err(Problem::Syntax);
        }
        let text = &self.rest()[..len];
        self.at += len;
        Ok((number, text))
    }

    /// Parses a plain decimal number, the usual case, by a library three times as fast as `strtof`.
    fn plain_number(&self) -> Option<(f32, usize)> {
        let rest = self.rest();
        let (number, len) = fast_float2::parse_partial::<f32, _>(rest).ok()?;
        let ends = rest
            .get(len)
            .is_some_and(|byte| matches!(byte, b',' | b']' | b'}') || is_space(*byte));
        (number.is_finite() && ends).then_some((number, len))
    }

    /// Parses an integer, saturated to the range of `i32`.
    pub(crate) fn integer(&mut self) -> Result<i32, Problem> {
        let negative = self.peek() == b'-';
        let signed = usize::from(negative || self.peek() == b'+');
        let digits = self.rest()[signed..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let (mut value, mut len) = (0_i32, 0);
        for digit in digits.map(|digit| i32::from(digit - b'0')) {
            let digit = if negative { -digit } else { digit };
            value = value.saturating_mul(10).saturating_add(digit);
            len += 1;
        }
        if len == 0 {
            return Err(Problem::Syntax);
        }
        self.at += signed + len;
        Ok(value)
    }
}

/// Postgres' definition of a space: unlike Rust's, it includes the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}
