//! What an hnsw index holds, whatever the type of its column.
#![expect(unsafe_code, reason = "varlena access")]

use distance::{Kind, f16};
use pgrx::pg_sys;

use super::datum::{Dense, Scalar};
use crate::pg::heap::IndexedValue;

/// A value of an indexed column.
pub(crate) enum Indexed<'a> {
    F32(Dense<'a, f32>),
    F16(Dense<'a, f16>),
}

impl Indexed<'_> {
    /// # Safety
    /// `datum` is a value of the SQL type of this kind that stays for as long as this is used.
    #[inline]
    pub(crate) unsafe fn from_raw(kind: Kind, datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller vouches for the datum.
        unsafe {
            match kind {
                Kind::F32 => Self::F32(Dense::from_raw(datum)),
                Kind::F16 => Self::F16(Dense::from_raw(datum)),
            }
        }
    }

    /// As 4-byte floats, which codes are made from.
    pub(crate) fn floats(&self) -> Vec<f32> {
        match self {
            Self::F32(vector) => vector.values().to_vec(),
            Self::F16(vector) => vector.values().iter().map(|x| x.to_f32()).collect(),
        }
    }

    /// The elements as stored, as the kernels of this kind take them.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(vector) => vector.bytes(),
            Self::F16(vector) => vector.bytes(),
        }
    }

    fn norm(&self) -> f64 {
        match self {
            Self::F32(vector) => distance::norm(vector.values()),
            Self::F16(vector) => distance::norm(vector.values()),
        }
    }
}

/// The SQL type of a kind, as error messages name it, and the bytes of its elements.
pub(crate) fn type_of(kind: Kind) -> (&'static str, usize) {
    match kind {
        Kind::F32 => (<f32 as Scalar>::TYPE, size_of::<f32>()),
        Kind::F16 => (<f16 as Scalar>::TYPE, size_of::<f16>()),
    }
}

/// The norm of a vector that an index is to hold.
pub(crate) fn norm_of_indexed(kind: Kind, value: &IndexedValue) -> f64 {
    // SAFETY: whatever an hnsw index holds is a varlena, and one that is no vector is an ERROR.
    unsafe { Indexed::from_raw(kind, value.datum()) }.norm()
}
