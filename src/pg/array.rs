//! Arrays of numbers, as arguments and results.
#![expect(unsafe_code, reason = "reads and writes Postgres's array layout")]

use std::marker::PhantomData;

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum};
use pgrx::{direct_function_call, pg_sys};

use super::compat;
use super::varlena::{NewVarlena, Varlena};

/// Bytes before the elements of a flat array without nulls: `ArrayType`, one dimension and its lower bound.
const HEADER: usize = size_of::<pg_sys::ArrayType>() + 2 * size_of::<i32>();

/// A number type of fixed size: arrays store its values contiguously, without headers.
///
/// # Safety
/// Arrays of the type `OID` store `Self`, and any bytes are a valid value.
pub(crate) unsafe trait Number: Copy + 'static {
    const OID: pg_sys::Oid;
}

// SAFETY: int4 is a 4-byte integer.
unsafe impl Number for i32 {
    const OID: pg_sys::Oid = pg_sys::INT4OID;
}

// SAFETY: float4 is a 4-byte float.
unsafe impl Number for f32 {
    const OID: pg_sys::Oid = pg_sys::FLOAT4OID;
}

// SAFETY: float8 is an 8-byte float.
unsafe impl Number for f64 {
    const OID: pg_sys::Oid = pg_sys::FLOAT8OID;
}

/// An array of any element type, with any number of dimensions.
pub(crate) struct Array<'fcx>(Varlena<'fcx>);

impl<'fcx> Array<'fcx> {
    fn header(&self) -> &pg_sys::ArrayType {
        // SAFETY: an array starts with this header, and a detoasted value is aligned for it.
        unsafe { &*self.0.bytes().as_ptr().cast() }
    }

    fn pointer(&self) -> *mut pg_sys::ArrayType {
        std::ptr::from_ref(self.header()).cast_mut()
    }

    pub(crate) fn element_type(&self) -> pg_sys::Oid {
        self.header().elemtype
    }

    /// The number of dimensions: 0 for an empty array.
    pub(crate) fn depth(&self) -> usize {
        usize::try_from(self.header().ndim).unwrap_or(0)
    }

    /// True if the array has a null bitmap, which may mark no element as null.
    pub(crate) fn may_have_nulls(&self) -> bool {
        self.header().dataoffset != 0
    }

    pub(crate) fn has_nulls(&self) -> bool {
        // SAFETY: the pointer is an array's.
        unsafe { pg_sys::array_contains_nulls(self.pointer()) }
    }

    fn len(&self) -> usize {
        // SAFETY: the lengths of the dimensions follow the header.
        let len =
            unsafe { pg_sys::ArrayGetNItems(self.header().ndim, self.pointer().add(1).cast()) };
        usize::try_from(len).expect("Postgres counts no negative elements")
    }

    /// The numbers of an array without nulls; `None` if its elements are of another type.
    pub(crate) fn numbers<T: Number>(&self) -> Option<&[T]> {
        if self.element_type() != T::OID {
            return None;
        }
        let depth = self.depth();
        // A null bitmap that marks no nulls may precede the elements; the header then holds their offset.
        let start = match usize::try_from(self.header().dataoffset) {
            Ok(offset @ 1..) => offset,
            _ => (size_of::<pg_sys::ArrayType>() + 2 * size_of::<i32>() * depth)
                .next_multiple_of(align_of::<u64>()),
        };
        let elements = self
            .0
            .bytes()
            .get(start..start + self.len() * size_of::<T>())?;
        // SAFETY: elements start at the maximal alignment, the slice holds all of them, and any bytes are a number.
        Some(unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), self.len()) })
    }

    /// The elements of a `numeric[]` without nulls. Each is rounded to f32 when the iterator reaches it; one beyond f32's
    /// range is an ERROR.
    pub(crate) fn numerics(&self) -> Option<impl ExactSizeIterator<Item = f32>> {
        if self.element_type() != pg_sys::NUMERICOID {
            return None;
        }
        let (mut elements, mut len) = (std::ptr::null_mut(), 0);
        // SAFETY: numeric is of variable length, by reference and aligned as int; an array without nulls needs no null flags.
        // The list lives in the memory context of the call.
        let elements: &[pg_sys::Datum] = unsafe {
            let align = compat::c_char(pg_sys::TYPALIGN_INT);
            let nulls = std::ptr::null_mut();
            let type_oid = pg_sys::NUMERICOID;
            pg_sys::deconstruct_array(
                self.pointer(),
                type_oid,
                -1,
                false,
                align,
                &raw mut elements,
                nulls,
                &raw mut len,
            );
            std::slice::from_raw_parts(elements, usize::try_from(len).expect("not negative"))
        };
        Some(elements.iter().map(|numeric| {
            // SAFETY: the function takes one numeric and returns a float4.
            unsafe { direct_function_call(pg_sys::numeric_float4, &[Some(*numeric)]) }
                .expect("numeric_float4 returns no null")
        }))
    }

    /// The integers of a type modifier's `cstring[]`.
    pub(crate) fn modifiers(&self) -> Vec<i32> {
        let mut len = 0;
        // SAFETY: raises an ERROR unless the array is a flat cstring[] of integers; the result holds `len` of them.
        unsafe {
            let integers = pg_sys::ArrayGetIntegerTypmods(self.pointer(), &raw mut len);
            std::slice::from_raw_parts(integers, usize::try_from(len).expect("not negative"))
                .to_vec()
        }
    }

    /// Makes the array writable, copying it if [`Varlena::into_new`] does. It must be flat, without nulls, of type `T`.
    pub(crate) fn into_new<T: Number>(self, exclusive: bool) -> NewArray<T> {
        debug_assert!(
            self.depth() == 1 && self.header().dataoffset == 0 && self.element_type() == T::OID
        );
        NewArray {
            varlena: self.0.into_new(exclusive),
            element: PhantomData,
        }
    }
}

impl FromDatum for Array<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller passes an array.
        (!is_null).then(|| Self(unsafe { Varlena::detoast(datum) }))
    }
}

// SAFETY: the SQL file declares these arguments as arrays.
unsafe impl<'fcx> ArgAbi<'fcx> for Array<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().expect("declared strict") }
    }
}

/// A writable flat array without nulls.
pub(crate) struct NewArray<T> {
    varlena: NewVarlena,
    element: PhantomData<T>,
}

impl<T: Number> NewArray<T> {
    pub(crate) fn zeroed(len: usize) -> Self {
        let mut varlena = NewVarlena::zeroed(HEADER + len * size_of::<T>());
        let count = i32::try_from(len).expect("palloc gives less than 1 GB");
        let header = [1, 0, T::OID.to_u32().cast_signed(), count, 1];
        for (field, value) in varlena.bytes_mut()[4..].chunks_exact_mut(4).zip(header) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
        Self {
            varlena,
            element: PhantomData,
        }
    }

    pub(crate) fn values_mut(&mut self) -> &mut [T] {
        let elements = &mut self.varlena.bytes_mut()[HEADER..];
        // SAFETY: the header is a multiple of eight, palloc aligns to that, and any bytes are a number.
        unsafe {
            std::slice::from_raw_parts_mut(
                elements.as_mut_ptr().cast(),
                elements.len() / size_of::<T>(),
            )
        }
    }
}

// SAFETY: the datum is an array whose header names its element type.
unsafe impl<T: Number> BoxRet for NewArray<T> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the array lives in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.varlena.into_datum()) }
    }
}
