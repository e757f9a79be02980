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
