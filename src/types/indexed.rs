//! Values of a column with an hnsw index, of any type, and their exact distances.
#![expect(unsafe_code, reason = "varlena access")]

use std::ops::ControlFlow;

use distance::{
    BitDistance, Cpu, Kernel, Sparse, VectorDistance, bit_kernel, distance_in_f64, f16, is_tiny,
    kernel, merge, sparse_distance,
};
use pgrx::pg_sys;

use super::bit::Bits;
use super::datum::{Dense, Scalar};
use super::sparse::{self, Sparsevec};
use crate::error;
use crate::pg::row::IndexRow;

/// The kind of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Dense(distance::Kind),
    Bit,
    Sparse,
}

impl Kind {
    /// The bytes of a value of `dimensions`; zero for a sparse vector: its length depends on its elements.
    pub(crate) fn bytes(self, dimensions: usize) -> usize {
        match self {
            Self::Dense(distance::Kind::F32) => dimensions * size_of::<f32>(),
            Self::Dense(distance::Kind::F16) => dimensions * size_of::<f16>(),
            Self::Bit => dimensions.div_ceil(8),
            Self::Sparse => 0,
        }
    }
}

/// A value of an indexed column.
pub(crate) enum Indexed<'a> {
    F32(Dense<'a, f32>),
    F16(Dense<'a, f16>),
    Bit(Bits<'a>),
    Sparse(Sparsevec<'a>),
}

impl Indexed<'_> {
    /// # Safety
    /// `datum` is a value of the SQL type of this kind that stays for as long as this is used.
    #[inline]
    pub(crate) unsafe fn from_raw(kind: Kind, datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller vouches for the datum.
        unsafe {
            match kind {
                Kind::Dense(distance::Kind::F32) => Self::F32(Dense::from_raw(datum)),
                Kind::Dense(distance::Kind::F16) => Self::F16(Dense::from_raw(datum)),
                Kind::Bit => Self::Bit(Bits::from_raw(datum)),
                Kind::Sparse => Self::Sparse(Sparsevec::from_raw(datum)),
            }
        }
    }

    pub(crate) fn dimensions(&self) -> usize {
        match self {
            Self::F32(vector) => vector.dimensions(),
            Self::F16(vector) => vector.dimensions(),
            Self::Bit(bits) => bits.count(),
            Self::Sparse(vector) => vector.dimensions(),
        }
    }

    fn norm(&self) -> f64 {
        match self {
            Self::F32(vector) => distance::norm(vector.values()),
            Self::F16(vector) => distance::norm(vector.values()),
            Self::Bit(_) => f64::NAN,
            Self::Sparse(vector) => distance::norm(vector.elements().values),
        }
    }
}

/// The norm of a row's vector; NaN for bits, `None` for NULL.
pub(crate) fn norm_of_indexed(kind: Kind, row: IndexRow<'_>) -> Option<f64> {
    let value = row.vector()?;
    // SAFETY: the vector column of an hnsw index holds varlenas, and one that is no value of this kind is an ERROR.
    Some(unsafe { Indexed::from_raw(kind, value) }.norm())
}

/// The exact distance an operator computes.
#[derive(Clone, Copy)]
pub(crate) enum Operator {
    Dense(distance::Kind, VectorDistance, Kernel),
    Bit(Kernel),
    Sparse(VectorDistance),
}

impl Operator {
    pub(crate) fn of_dense(kind: distance::Kind, function: VectorDistance) -> Self {
        Self::Dense(kind, function, kernel(kind, function, Cpu::current()))
    }

    pub(crate) fn of_bits(function: BitDistance) -> Self {
        Self::Bit(bit_kernel(function, Cpu::current()))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Dense(kind, ..) => Kind::Dense(*kind),
            Self::Bit(_) => Kind::Bit,
            Self::Sparse(_) => Kind::Sparse,
        }
    }

    /// The exact distance of a row, of the same kind and dimensions as the query.
    #[inline]
    pub(crate) fn distance(&self, query: &Query, row: &Indexed<'_>) -> f64 {
        if query.dimensions != row.dimensions() {
            self.reject_dimensions(query.dimensions, row.dimensions());
        }
        match (self, &query.form, row) {
            (Self::Dense(_, function, kernel), QueryForm::Bytes(bytes), Indexed::F32(row)) => {
                if query.is_tiny || is_tiny(row.values()) {
                    return tiny_dense(*function, bytes, row.values());
                }
                (kernel.one)(row.bytes(), bytes)
            }
            (Self::Dense(_, _, kernel), QueryForm::Bytes(query), Indexed::F16(row)) => {
                (kernel.one)(row.bytes(), query)
            }
            (Self::Bit(kernel), QueryForm::Bytes(query), Indexed::Bit(row)) => {
                (kernel.one)(row.bytes(), query)
            }
            (
                Self::Sparse(function),
                QueryForm::Sparse { indices, values },
                Indexed::Sparse(row),
            ) => {
                let (own, row) = (Sparse { indices, values }, row.elements());
                if query.is_tiny || is_tiny(row.values) {
                    return tiny_sparse(*function, own, row);
                }
                sparse_distance(*function, row, own)
            }
            _ => unreachable!("query, row and operator are of one kind"),
        }
    }

    /// Raises the ERROR for a query of other dimensions than a row or an index.
    pub(crate) fn reject_dimensions(&self, query: usize, other: usize) -> ! {
        match self.kind() {
            Kind::Dense(distance::Kind::F32) => {
                error::different_dimensions(<f32 as Scalar>::TYPE, query, other)
            }
            Kind::Dense(distance::Kind::F16) => {
                error::different_dimensions(<f16 as Scalar>::TYPE, query, other)
            }
            Kind::Bit => error::different_bit_lengths(query, other),
            Kind::Sparse => error::different_dimensions(sparse::TYPE, query, other),
        }
    }
}

/// The distance of a row to a query, given as its bytes, if one of them has only tiny values.
#[cold]
fn tiny_dense(function: VectorDistance, query: &[u8], row: &[f32]) -> f64 {
    let query = query
        .as_chunks()
        .0
        .iter()
        .map(|&bytes| f32::from_ne_bytes(bytes));
    distance_in_f64(function, row.iter().copied().zip(query))
}

/// The distance of sparse vectors if one of them has only tiny values.
#[cold]
fn tiny_sparse(function: VectorDistance, query: Sparse<'_>, row: Sparse<'_>) -> f64 {
    let mut pairs = Vec::with_capacity(query.values.len() + row.values.len());
    let all = merge(row, query, |_, row, query| {
        pairs.push((row, query));
        ControlFlow::<()>::Continue(())
    });
    debug_assert!(all.is_continue());
    distance_in_f64(function, pairs.into_iter())
}

/// A copy of the query's value, for exact distances of rows.
pub(crate) struct Query {
    dimensions: usize,
    /// True if its values are so small that its distances are computed in f64.
    is_tiny: bool,
    form: QueryForm,
}

enum QueryForm {
    /// The elements or bits as bytes, for kernels.
    Bytes(Vec<u8>),
    Sparse {
        indices: Vec<i32>,
        values: Vec<f32>,
    },
}

impl Query {
    pub(crate) fn new(value: &Indexed<'_>) -> Self {
        let form = match value {
            Indexed::F32(vector) => QueryForm::Bytes(vector.bytes().to_vec()),
            Indexed::F16(vector) => QueryForm::Bytes(vector.bytes().to_vec()),
            Indexed::Bit(bits) => QueryForm::Bytes(bits.bytes().to_vec()),
            Indexed::Sparse(vector) => QueryForm::Sparse {
                indices: vector.elements().indices.to_vec(),
                values: vector.elements().values.to_vec(),
            },
        };
        let is_tiny = match value {
            Indexed::F32(vector) => is_tiny(vector.values()),
            Indexed::Sparse(vector) => is_tiny(vector.elements().values),
            Indexed::F16(_) | Indexed::Bit(_) => false,
        };
        Self {
            dimensions: value.dimensions(),
            is_tiny,
            form,
        }
    }

    /// Returns zero as a query of this kind.
    pub(crate) fn zero(kind: Kind, dimensions: usize) -> Self {
        let form = match kind {
            Kind::Dense(_) | Kind::Bit => QueryForm::Bytes(vec![0; kind.bytes(dimensions)]),
            Kind::Sparse => QueryForm::Sparse {
                indices: Vec::new(),
                values: Vec::new(),
            },
        };
        Self {
            dimensions,
            is_tiny: false,
            form,
        }
    }
}
