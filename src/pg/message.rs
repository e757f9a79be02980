//! A message with a binary value: `recv` functions read it field by field, in network order.
#![expect(unsafe_code, reason = "reads a StringInfo")]

use std::ffi::c_int;
use std::marker::PhantomData;

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::datum::FromDatum;
use pgrx::pg_sys;

/// The unread rest of a message. Reading beyond its end is an ERROR of Postgres.
pub(crate) struct Message<'fcx> {
    buffer: pg_sys::StringInfo,
    lifetime: PhantomData<&'fcx [u8]>,
}

impl<'fcx> Message<'fcx> {
    pub(crate) fn i16(&mut self) -> i16 {
        let bytes = self.bytes(size_of::<i16>());
        i16::from_be_bytes(bytes.try_into().expect("as many bytes as asked for"))
    }

    pub(crate) fn i32(&mut self) -> i32 {
        let bytes = self.bytes(size_of::<i32>());
        i32::from_be_bytes(bytes.try_into().expect("as many bytes as asked for"))
    }

    pub(crate) fn bytes(&mut self, len: usize) -> &'fcx [u8] {
        let count = c_int::try_from(len).expect("callers check dimensions before");
        // SAFETY: returns a pointer to that many bytes of the buffer, or raises an ERROR.
        unsafe {
            let start = pg_sys::pq_getmsgbytes(self.buffer, count);
            std::slice::from_raw_parts(start.cast(), len)
        }
    }
}

impl FromDatum for Message<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        (!is_null).then(|| Self {
            buffer: datum.cast_mut_ptr(),
            lifetime: PhantomData,
        })
    }
}

// SAFETY: receive functions get a StringInfo as their first, `internal` argument.
unsafe impl<'fcx> ArgAbi<'fcx> for Message<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as above.
        unsafe { arg.unbox_arg_using_from_datum().expect("declared strict") }
    }
}
