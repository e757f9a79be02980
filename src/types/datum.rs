//! Dense vectors as stored: a varlena header, `int16` dimensions, `int16` unused, then the elements.
#![expect(unsafe_code, reason = "varlena access")]

use std::cmp::Ordering;
use std::marker::PhantomData;

use distance::Kind;
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum};
use pgrx::pg_sys;

use values::dense::MAX_DIMENSIONS;
use values::{Element, check_dimensions};

use super::accept;
use crate::error;
use crate::pg::varlena::{NewVarlena, Varlena};
use crate::table::toast;

/// Bytes before the elements.
const HEADER: usize = 8;

/// The element type of a SQL type's vectors.
///
/// # Safety
/// Any bytes are a valid value, and the alignment is at most 4.
pub(crate) unsafe trait Scalar: Element + 'static {
    /// The SQL type's name in error messages.
    const TYPE: &'static str;
    /// The kind of element in kernels.
    const KIND: Kind;
}

/// A dense vector passed by Postgres.
pub(crate) struct Dense<'fcx, S> {
    varlena: Varlena<'fcx>,
    scalar: PhantomData<S>,
}

impl<'fcx, S: Scalar> Dense<'fcx, S> {
    /// # Safety
    /// `datum` is a value of the SQL type `S::TYPE` that stays for `'fcx`.
    #[inline]
    pub(crate) unsafe fn from_raw(datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller vouches for the datum.
        let varlena = unsafe { toast::detoast_cached(datum) };
        let len = varlena.bytes().len();
        let vector = Self {
            varlena,
            scalar: PhantomData,
        };
        let dimensions = vector.dimensions();
        if len != HEADER + dimensions * size_of::<S>() || dimensions == 0 {
            error::corrupt_value(S::TYPE, len, dimensions);
        }
        vector
    }

    /// The number of dimensions by the header; zero for an invalid header.
    #[inline]
    pub(crate) fn dimensions(&self) -> usize {
        match self.varlena.bytes() {
            [_, _, _, _, low, high, ..] => {
                usize::try_from(i16::from_ne_bytes([*low, *high])).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// The elements as bytes in the machine's byte order, for kernels.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.varlena.bytes()[HEADER..]
    }

    #[inline]
    pub(crate) fn values(&self) -> &[S] {
        let bytes = self.bytes();
        // SAFETY: any bytes are elements, and a detoasted value is aligned to four, as its header of eight keeps.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<S>()) }
    }

    /// Converts the vector into one that may be changed, like [`Varlena::into_new`].
    pub(super) fn into_new(self, exclusive: bool) -> NewDense<S> {
        NewDense {
            varlena: self.varlena.into_new(exclusive),
            scalar: PhantomData,
        }
    }

    /// Compares like arrays: element by element, then the shorter first.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let pairs = self.values().iter().zip(other.values());
        let differing = pairs.map(|(a, b)| {
            a.to_f32()
                .partial_cmp(&b.to_f32())
                .unwrap_or(Ordering::Equal)
        });
        let first = differing.into_iter().find(|order| order.is_ne());
        first.unwrap_or_else(|| self.dimensions().cmp(&other.dimensions()))
    }
}

impl<S: Scalar> FromDatum for Dense<'_, S> {
    #[inline]
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches for the type.
        (!is_null).then(|| unsafe { Self::from_raw(datum) })
    }
}

// SAFETY: the SQL file declares these arguments with the type of `S`.
unsafe impl<'fcx, S: Scalar> ArgAbi<'fcx> for Dense<'fcx, S> {
    #[inline]
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().expect("declared strict") }
    }
}

// SAFETY: the same value goes back.
unsafe impl<S: Scalar> BoxRet for Dense<'_, S> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: an argument lives as long as its call, a copy in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.varlena.into_datum()) }
    }
}

/// A new dense vector, to be returned to Postgres.
pub(crate) struct NewDense<S> {
    varlena: NewVarlena,
    scalar: PhantomData<S>,
}

impl<S: Scalar> NewDense<S> {
    /// Allocates a vector of zeroes. A number of dimensions outside the type's range is an ERROR.
    pub(crate) fn zeroed(dimensions: usize) -> Self {
        accept(S::TYPE, check_dimensions(dimensions, MAX_DIMENSIONS));
        let mut varlena = NewVarlena::zeroed(HEADER + dimensions * size_of::<S>());
        let stored = i16::try_from(dimensions).expect("checked above");
        varlena.bytes_mut()[4..6].copy_from_slice(&stored.to_ne_bytes());
        Self {
            varlena,
            scalar: PhantomData,
        }
    }

    pub(crate) fn from_values(values: impl ExactSizeIterator<Item = S>) -> Self {
        let mut vector = Self::zeroed(values.len());
        for (place, value) in vector.values_mut().iter_mut().zip(values) {
            *place = value;
        }
        vector
    }

    pub(crate) fn values_mut(&mut self) -> &mut [S] {
        let bytes = &mut self.varlena.bytes_mut()[HEADER..];
        // SAFETY: any bytes are elements, and palloc aligns to eight.
        unsafe {
            std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len() / size_of::<S>())
        }
    }
}

// SAFETY: the datum has the layout of the SQL type `S::TYPE`.
unsafe impl<S: Scalar> BoxRet for NewDense<S> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the vector lives in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.varlena.into_datum()) }
    }
}
