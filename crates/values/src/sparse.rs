//! Sparse vectors: `{1:1.5,3:2}/5`. Indices count from 1 in text and from 0 everywhere else.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::ops::ControlFlow;

use distance::Sparse;

use crate::cursor::Cursor;
use crate::{Problem, ReadNumber, check, check_dimensions, check_modifier};

/// The maximum dimensions of a sparse vector.
pub const MAX_DIMENSIONS: usize = 1_000_000_000;

/// The maximum number of nonzero elements of a sparse vector.
pub const MAX_NON_ZERO: usize = 16_000;

/// A checked sparse vector: finite nonzero values at ascending positions within the dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseVector {
    dimensions: usize,
    indices: Vec<i32>,
    values: Vec<f32>,
}

impl SparseVector {
    /// The number of dimensions.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The stored elements.
    #[must_use]
    pub fn elements(&self) -> Sparse<'_> {
        Sparse {
            indices: &self.indices,
            values: &self.values,
        }
    }

    /// Parses a literal for a column with type modifier `(modifier)`.
    pub fn parse(literal: &CStr, modifier: i32, read_number: ReadNumber) -> Result<Self, Problem> {
        let mut elements = Vec::with_capacity(check_commas(literal)?);
        let mut cursor = Cursor::new(literal, read_number);
        cursor.skip_spaces();
        if !cursor.take(b'{') {
            return Err(Problem::NoBracket('{'));
        }
        cursor.skip_spaces();
        if !cursor.take(b'}') {
            read_elements(&mut cursor, &mut elements)?;
        }
        let dimensions = usize::try_from(read_dimensions(&mut cursor)?).unwrap_or(0);
        check_dimensions(dimensions, MAX_DIMENSIONS)?;
        check_modifier(modifier, dimensions)?;
        elements.sort_by_key(|(index, _)| *index);
        let (indices, values) = elements.into_iter().unzip();
        Self::new(dimensions, indices, values)
    }

    /// Reads the body of a message, after its header (see [`check_header`]), in network order.
    pub fn receive(dimensions: usize, indices: &[u8], values: &[u8]) -> Result<Self, Problem> {
        let (indices, values) = (indices.as_chunks().0, values.as_chunks().0);
        let indices = indices.iter().map(|bytes| i32::from_be_bytes(*bytes));
        let values = values.iter().map(|bytes| f32::from_be_bytes(*bytes));
        let vector = Self::new(dimensions, indices.collect(), values.collect())?;
        if vector.values.contains(&0.0) {
            return Err(Problem::Zero);
        }
        Ok(vector)
    }

    /// Collects the nonzero elements of a dense vector.
    pub fn from_dense(
        values: impl ExactSizeIterator<Item = f32>,
        modifier: i32,
    ) -> Result<Self, Problem> {
        let dimensions = values.len();
        check_dimensions(dimensions, MAX_DIMENSIONS)?;
        check_modifier(modifier, dimensions)?;
        let mut vector = Self {
            dimensions,
            indices: Vec::new(),
            values: Vec::new(),
        };
        for (index, value) in (0..).zip(values).filter(|(_, value)| *value != 0.0) {
            if vector.values.len() == MAX_NON_ZERO {
                return Err(Problem::TooManyNonZero);
            }
            vector.indices.push(index);
            vector.values.push(check(value)?);
        }
        Ok(vector)
    }

    /// Replaces the values; drops new zeroes.
    #[must_use]
    pub fn map(dimensions: usize, elements: Sparse<'_>, with: impl Fn(f32) -> f32) -> Self {
        let values = elements.values.iter().map(|value| with(*value));
        let pairs = elements.indices.iter().copied().zip(values);
        let (indices, values) = pairs.filter(|(_, value)| *value != 0.0).unzip();
        Self {
            dimensions,
            indices,
            values,
        }
    }

    fn new(dimensions: usize, indices: Vec<i32>, values: Vec<f32>) -> Result<Self, Problem> {
        check_indices(dimensions, &indices)?;
        for value in &values {
            check(*value)?;
        }
        Ok(Self {
            dimensions,
            indices,
            values,
        })
    }
}

/// Checks a message's header: dimensions, number of elements, and an unused field.
pub fn check_header(
    [dimensions, non_zero, unused]: [i32; 3],
    modifier: i32,
) -> Result<(usize, usize), Problem> {
    let dimensions = usize::try_from(dimensions).unwrap_or(0);
    check_dimensions(dimensions, MAX_DIMENSIONS)?;
    let non_zero = usize::try_from(non_zero).map_err(|_| Problem::NegativeCount)?;
    if non_zero > MAX_NON_ZERO {
        return Err(Problem::TooManyNonZero);
    }
    if non_zero > dimensions {
        return Err(Problem::MoreThanDimensions);
    }
    check_modifier(modifier, dimensions)?;
    if unused != 0 {
        return Err(Problem::Unused(unused));
    }
    Ok((dimensions, non_zero))
}

fn check_indices(dimensions: usize, indices: &[i32]) -> Result<(), Problem> {
    let mut before = None;
    for index in indices {
        match usize::try_from(*index) {
            Ok(place) if place < dimensions => (),
            _ => return Err(Problem::IndexOutOfBounds),
        }
        match Some(index).cmp(&before) {
            Ordering::Less => return Err(Problem::IndexOrder),
            Ordering::Equal => return Err(Problem::DuplicateIndex),
            Ordering::Greater => before = Some(index),
        }
    }
    Ok(())
}

/// The maximum number of elements of a literal. Zeros count too: users need not know that they are dropped.
fn check_commas(literal: &CStr) -> Result<usize, Problem> {
    let commas = literal.to_bytes().iter().filter(|byte| **byte == b',');
    match commas.count() + 1 {
        elements if elements > MAX_NON_ZERO => Err(Problem::TooManyNonZero),
        elements => Ok(elements),
    }
}

/// The elements and the closing bracket.
fn read_elements(cursor: &mut Cursor<'_>, elements: &mut Vec<(i32, f32)>) -> Result<(), Problem> {
    loop {
        cursor.skip_spaces();
        let index = cursor.integer()?;
        cursor.skip_spaces();
        cursor.expect(b':')?;
        cursor.skip_spaces();
        let value = read_value(cursor)?;
        if value != 0.0 {
            // `i32::MIN` is out of range, and stays so after the decrement.
            elements.push((index.saturating_sub(1), value));
        }
        cursor.skip_spaces();
        if cursor.take(b'}') {
            return Ok(());
        }
        cursor.expect(b',')?;
    }
}

fn read_value(cursor: &mut Cursor<'_>) -> Result<f32, Problem> {
    let (value, text) = cursor.number()?;
    let overflow = value.is_infinite() && text.iter().any(u8::is_ascii_digit);
    if overflow || (value == 0.0 && !is_written_zero(text)) {
        let number = String::from_utf8_lossy(text).into_owned();
        return Err(Problem::OutOfRange(number));
    }
    check(value)
}

/// True if the text of a zero is a literal zero, not an underflow: all digits before an exponent are zero.
fn is_written_zero(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let (digits, exponent) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, b'p'),
        digits => (digits, b'e'),
    };
    digits
        .iter()
        .take_while(|byte| byte.to_ascii_lowercase() != exponent)
        .all(|byte| matches!(byte, b'0' | b'.'))
}

/// Parses the text after the closing bracket.
fn read_dimensions(cursor: &mut Cursor<'_>) -> Result<i32, Problem> {
    cursor.skip_spaces();
    if !cursor.take(b'/') {
        return Err(Problem::EndOfInput);
    }
    cursor.skip_spaces();
    let dimensions = cursor.integer()?;
    cursor.skip_spaces();
    match cursor.peek() {
        0 => Ok(dimensions),
        _ => Err(Problem::JunkAfterDimensions),
    }
}

/// Compares two sparse vectors as dense ones: by the first differing element, then by dimensions.
#[must_use]
pub fn compare(a: (usize, Sparse<'_>), b: (usize, Sparse<'_>)) -> Ordering {
    let common = a.0.min(b.0);
    let first = distance::merge(a.1, b.1, |place, a, b| {
        if usize::try_from(place).is_ok_and(|place| place >= common) {
            return ControlFlow::Break(Ordering::Equal);
        }
        match a.partial_cmp(&b) {
            None | Some(Ordering::Equal) => ControlFlow::Continue(()),
            Some(order) => ControlFlow::Break(order),
        }
    });
    let differing = first.break_value().unwrap_or(Ordering::Equal);
    differing.then(a.0.cmp(&b.0))
}
