//! What is encoded and searched for, whatever its kind.

use distance::Sparse;

/// A vector in the form that codes of its kind are made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// All its values.
    Dense(Vec<f32>),
    /// Bits, the first the highest of the first byte; those that fill up the last byte are zero.
    Bits(Vec<u8>),
    /// The values that are not zero, and their places in ascending order.
    Sparse {
        /// The places, each once.
        indices: Vec<i32>,
        /// A value for each place.
        values: Vec<f32>,
    },
}

impl Value {
    /// Bytes of what it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Value::Dense(values) => size_of_val(&values[..]),
            Value::Bits(bits) => bits.len(),
            Value::Sparse { indices, values } => {
                size_of_val(&indices[..]) + size_of_val(&values[..])
            }
        }
    }

    /// The values of a dense vector.
    #[must_use]
    pub fn dense(&self) -> Option<&[f32]> {
        match self {
            Value::Dense(values) => Some(values),
            Value::Bits(_) | Value::Sparse { .. } => None,
        }
    }

    /// What a sparse vector stores.
    #[must_use]
    pub fn sparse(&self) -> Option<Sparse<'_>> {
        match self {
            Value::Sparse { indices, values } => Some(Sparse { indices, values }),
            Value::Dense(_) | Value::Bits(_) => None,
        }
    }
}
