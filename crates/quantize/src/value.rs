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

/// What an allocator takes for a piece of memory beside what was asked for.
const ALLOCATION: usize = 16;

impl Value {
    /// Bytes that it takes in memory: itself, what it holds, and what an allocator adds to that.
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

    /// What a sparse vector stores.
    #[must_use]
    pub fn sparse(&self) -> Option<Sparse<'_>> {
        match self {
            Value::Sparse { indices, values } => Some(Sparse { indices, values }),
            Value::Dense(_) | Value::Bits(_) => None,
        }
    }
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
}
