//! Sparse vectors as stored, and their operations. A varlena header, `int32` dimensions, `int32` elements, `int32`
//! unused, then the elements' indices, counted from zero, then their values.
#![expect(unsafe_code, reason = "varlena access")]

use std::cmp::Ordering;

use distance::{Sparse, VectorDistance};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum};
use pgrx::pg_sys;
use values::sparse::{MAX_DIMENSIONS, SparseVector, check_header, compare};

use super::accept;
use super::datum::{Dense, NewDense, Scalar};
use super::dense::{check_modifier, element, read_modifier, with_numbers};
use crate::error;
use crate::pg::array::Array;
use crate::pg::message::Message;
use crate::pg::number;
use crate::pg::varlena::{NewVarlena, Varlena};
use crate::table::toast;

/// The SQL type's name in error messages.
pub(super) const TYPE: &str = "sparsevec";

/// Bytes before the indices.
const HEADER: usize = 16;

/// A sparse vector passed by Postgres.
pub(crate) struct Sparsevec<'fcx>(Varlena<'fcx>);

impl<'fcx> Sparsevec<'fcx> {
    /// # Safety
    /// `datum` is a value of the SQL type `sparsevec` that stays for `'fcx`.
    pub(crate) unsafe fn from_raw(datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller vouches for the datum.
        let vector = Self(unsafe { toast::detoast_cached(datum) });
        let (len, dimensions) = (vector.0.bytes().len(), vector.dimensions());
        if len != HEADER + 8 * vector.non_zero() || dimensions == 0 {
            error::corrupt_value(TYPE, len, dimensions);
        }
        vector
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.field(4)
    }

    fn non_zero(&self) -> usize {
        self.field(8)
    }

    /// Reads a number of the header; zero if it is negative or missing.
    fn field(&self, at: usize) -> usize {
        self.0.bytes().get(at..at + 4).map_or(0, |bytes| {
            let number = i32::from_ne_bytes(bytes.try_into().expect("four bytes"));
            usize::try_from(number).unwrap_or(0)
        })
    }

    pub(crate) fn elements(&self) -> Sparse<'_> {
        let (indices, values) = self.0.bytes()[HEADER..].split_at(4 * self.non_zero());
        // SAFETY: any four bytes are an i32 and an f32; a detoasted value is aligned to four, as its header keeps.
        unsafe {
            Sparse {
                indices: std::slice::from_raw_parts(indices.as_ptr().cast(), indices.len() / 4),
                values: std::slice::from_raw_parts(values.as_ptr().cast(), values.len() / 4),
            }
        }
    }

    fn with_dimensions(&self) -> (usize, Sparse<'_>) {
        (self.dimensions(), self.elements())
    }
}

impl FromDatum for Sparsevec<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches for the type.
        (!is_null).then(|| unsafe { Self::from_raw(datum) })
    }
}

// SAFETY: the SQL file declares these arguments as `sparsevec`.
unsafe impl<'fcx> ArgAbi<'fcx> for Sparsevec<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().expect("declared strict") }
    }
}

// SAFETY: the same value goes back.
unsafe impl BoxRet for Sparsevec<'_> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: an argument lives as long as its call, a copy in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.0.into_datum()) }
    }
}

/// A new sparse vector, to be returned to Postgres.
pub(super) struct NewSparse(NewVarlena);

impl From<&SparseVector> for NewSparse {
    fn from(vector: &SparseVector) -> Self {
        let Sparse { indices, values } = vector.elements();
        let mut varlena = NewVarlena::zeroed(HEADER + 8 * values.len());
        let numbers = [vector.dimensions(), values.len()]
            .map(|number| i32::try_from(number).expect("at most a thousand million"));
        let (header, elements) = varlena.bytes_mut().split_at_mut(HEADER);
        header[4..8].copy_from_slice(&numbers[0].to_ne_bytes());
        header[8..12].copy_from_slice(&numbers[1].to_ne_bytes());
        let places = elements.as_chunks_mut::<4>().0.iter_mut();
        let bits = values.iter().map(|value| value.to_ne_bytes());
        let stored = indices.iter().map(|index| index.to_ne_bytes()).chain(bits);
        places.zip(stored).for_each(|(place, bytes)| *place = bytes);
        Self(varlena)
    }
}

// SAFETY: the datum has the layout of the SQL type `sparsevec`.
unsafe impl BoxRet for NewSparse {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the vector lives in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.0.into_datum()) }
    }
}

fn accepted(vector: Result<SparseVector, values::Problem>) -> NewSparse {
    NewSparse::from(&accept(TYPE, vector))
}

// Type modifier, binary form, casts.

pub(super) fn modifier(modifiers: &Array<'_>) -> i32 {
    read_modifier(modifiers, TYPE, MAX_DIMENSIONS)
}

pub(super) fn receive(message: &mut Message<'_>, modifier: i32) -> NewSparse {
    let header = [message.i32(), message.i32(), message.i32()];
    let (dimensions, non_zero) = accept(TYPE, check_header(header, modifier));
    let (indices, values) = (message.bytes(4 * non_zero), message.bytes(4 * non_zero));
    accepted(SparseVector::receive(dimensions, indices, values))
}

pub(super) fn send(vector: &Sparsevec<'_>) -> Vec<u8> {
    let Sparse { indices, values } = vector.elements();
    let mut message = Vec::with_capacity(12 + 8 * values.len());
    for number in [vector.dimensions(), values.len(), 0] {
        let number = i32::try_from(number).expect("read from an i32");
        message.extend_from_slice(&number.to_be_bytes());
    }
    message.extend(indices.iter().flat_map(|index| index.to_be_bytes()));
    message.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    message
}

/// The cast of the type to itself, to enforce the `(n)` of a column.
pub(super) fn enforce_modifier(vector: Sparsevec<'_>, modifier: i32) -> Sparsevec<'_> {
    check_modifier(TYPE, modifier, vector.dimensions());
    vector
}

pub(super) fn from_array(array: &Array<'_>, modifier: i32) -> NewSparse {
    accepted(with_numbers(array, |numbers| {
        SparseVector::from_dense(numbers, modifier)
    }))
}

pub(super) fn from_dense<S: Scalar>(vector: &Dense<'_, S>, modifier: i32) -> NewSparse {
    let values = vector.values().iter().map(|value| value.to_f32());
    accepted(SparseVector::from_dense(values, modifier))
}

pub(super) fn to_dense<S: Scalar>(vector: &Sparsevec<'_>, modifier: i32) -> NewDense<S> {
    let mut dense = NewDense::zeroed(vector.dimensions());
    check_modifier(S::TYPE, modifier, vector.dimensions());
    let Sparse { indices, values } = vector.elements();
    for (index, value) in indices.iter().zip(values) {
        let place = usize::try_from(*index)
            .ok()
            .and_then(|index| dense.values_mut().get_mut(index));
        match place {
            Some(place) => *place = element(*value),
            None => error::rejected(TYPE, values::Problem::IndexOutOfBounds),
        }
    }
    dense
}

// Distances and the norm.

pub(super) fn distance(function: VectorDistance, a: &Sparsevec<'_>, b: &Sparsevec<'_>) -> f64 {
    if a.dimensions() != b.dimensions() {
        error::different_dimensions(TYPE, a.dimensions(), b.dimensions());
    }
    distance::sparse_distance(function, a.elements(), b.elements())
}

pub(super) fn inner_product(a: &Sparsevec<'_>, b: &Sparsevec<'_>) -> f64 {
    -distance(VectorDistance::InnerProduct, a, b)
}

pub(super) fn norm(vector: &Sparsevec<'_>) -> f64 {
    distance::norm(vector.elements().values)
}

/// Returns a vector of length 1 in the same direction; zero for zero.
pub(super) fn normalize(vector: &Sparsevec<'_>) -> NewSparse {
    let norm = norm(vector);
    let (dimensions, elements) = vector.with_dimensions();
    let unit = SparseVector::map(dimensions, elements, |value| {
        (f64::from(value) / norm) as f32
    });
    if unit
        .elements()
        .values
        .iter()
        .any(|value| value.is_infinite())
    {
        error::overflow();
    }
    NewSparse::from(&unit)
}

// Order and hash.

/// Compares two vectors for btree: -1, 0 or 1.
pub(super) fn order(a: &Sparsevec<'_>, b: &Sparsevec<'_>) -> i32 {
    match compare(a.with_dimensions(), b.with_dimensions()) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

pub(super) fn hash(vector: &Sparsevec<'_>) -> i32 {
    number::hash(hashable(vector)).cast_signed()
}

pub(super) fn hash_extended(vector: &Sparsevec<'_>, seed: i64) -> i64 {
    number::hash_extended(hashable(vector), seed.cast_unsigned()).cast_signed()
}

/// Returns all stored bytes except the length: equal vectors have equal bytes, since zeroes are not stored.
fn hashable<'a>(vector: &'a Sparsevec<'_>) -> &'a [u8] {
    &vector.0.bytes()[4..]
}
