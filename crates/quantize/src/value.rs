//! Values to encode or search for, of every kind.

use distance::Sparse;

/// A vector, as input for the codes of its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// All its values.
    Dense(Vec<f32>),
    /// Bits, the first the highest of the first byte; padding bits of the last byte are zero.
    Bits(Vec<u8>),
    /// The nonzero values and their positions in ascending order.
    Sparse {
        /// The positions, strictly ascending.
        indices: Vec<i32>,
        /// The value at each position.
        values: Vec<f32>,
    },
}

/// The allocator's overhead per allocation.
const ALLOCATION: usize = 16;

impl Value {
    /// Bytes in memory: the value, its heap data, and the allocator's overhead.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let held = match self {
            Value::Dense(values) => size_of_val(&values[..]),
            Value::Bits(bits) => bits.len(),
            Value::Sparse { indices, values } => {
                size_of_val(&indices[..]) + size_of_val(&values[..]) + ALLOCATION
            }
        };
        size_of::<Self>() + held + ALLOCATION
    }

    /// The values of a dense vector.
    #[must_use]
    pub fn dense(&self) -> Option<&[f32]> {
        match self {
            Value::Dense(values) => Some(values),
            Value::Bits(_) | Value::Sparse { .. } => None,
        }
    }

    /// The elements of a sparse vector.
    #[must_use]
    pub fn sparse(&self) -> Option<Sparse<'_>> {
        match self {
            Value::Sparse { indices, values } => Some(Sparse { indices, values }),
            Value::Dense(_) | Value::Bits(_) => None,
        }
    }

    /// Appends the value as bytes that [`Value::read`] of another process of this machine reads.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, len) = match self {
            Value::Dense(values) => (DENSE, values.len()),
            Value::Bits(bits) => (BITS, bits.len()),
            Value::Sparse { values, .. } => (SPARSE, values.len()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&len.to_ne_bytes());
        match self {
            Value::Dense(values) => append(bytes, values.iter().map(|x| x.to_ne_bytes())),
            Value::Bits(bits) => bytes.extend_from_slice(bits),
            Value::Sparse { indices, values } => {
                append(bytes, indices.iter().map(|i| i.to_ne_bytes()));
                append(bytes, values.iter().map(|x| x.to_ne_bytes()));
            }
        }
    }

    /// Reads a value, and leaves the bytes after it; `None` if the bytes end early or are of no value.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let kind = *bytes.split_off_first()?;
        let len = usize::from_ne_bytes(*bytes.split_off(..size_of::<usize>())?.first_chunk()?);
        match kind {
            DENSE => Some(Value::Dense(words(bytes, len, f32::from_ne_bytes)?)),
            BITS => Some(Value::Bits(bytes.split_off(..len)?.to_vec())),
            SPARSE => Some(Value::Sparse {
                indices: words(bytes, len, i32::from_ne_bytes)?,
                values: words(bytes, len, f32::from_ne_bytes)?,
            }),
            _ => None,
        }
    }
}

const DENSE: u8 = 0;
const BITS: u8 = 1;
const SPARSE: u8 = 2;

fn append(bytes: &mut Vec<u8>, words: impl ExactSizeIterator<Item = [u8; 4]>) {
    let start = bytes.len();
    bytes.resize(start + 4 * words.len(), 0);
    for (place, word) in bytes[start..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
}

fn words<T>(bytes: &mut &[u8], len: usize, word: impl Fn([u8; 4]) -> T) -> Option<Vec<T>> {
    let (chunks, _) = bytes.split_off(..len.checked_mul(4)?)?.as_chunks();
    Some(chunks.iter().map(|&chunk| word(chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_nothing_takes_memory_too() {
        let nothing = Value::Sparse {
            indices: Vec::new(),
            values: Vec::new(),
        };
        assert!(nothing.bytes() >= size_of::<Value>());
        assert!(Value::Bits(vec![0]).bytes() > size_of::<Value>());
        assert!(Value::Dense(vec![0.0; 100]).bytes() >= size_of::<Value>() + 400);
    }

    #[test]
    fn values_are_read_as_they_were_written() {
        let values = [
            Value::Dense(vec![1.5, -0.0, f32::MAX]),
            Value::Bits(vec![0x80, 1]),
            Value::Sparse {
                indices: vec![0, i32::MAX],
                values: vec![2.0, -3.25],
            },
            Value::Dense(Vec::new()),
        ];
        let mut bytes = Vec::new();
        values.iter().for_each(|value| value.write(&mut bytes));
        let mut rest = &bytes[..];
        for value in &values {
            assert_eq!(Value::read(&mut rest).as_ref(), Some(value));
        }
        assert!(rest.is_empty());
        assert_eq!(Value::read(&mut rest), None);
    }

    #[test]
    fn bytes_that_end_early_are_no_value() {
        let mut bytes = Vec::new();
        Value::Sparse {
            indices: vec![3, 4],
            values: vec![2.0, -3.25],
        }
        .write(&mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(Value::read(&mut &bytes[..len]), None, "{len} bytes");
        }
        bytes[0] = 3;
        assert_eq!(Value::read(&mut &bytes[..]), None, "a kind that is none");
    }
}
