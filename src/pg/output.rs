//! A text on its way out, as output functions give it.
#![expect(unsafe_code, reason = "allocates a null-terminated string")]

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::{impl_sql_translatable, pg_sys};

/// A text without zero bytes.
pub(crate) struct Output(pub(crate) Vec<u8>);

// SAFETY: the datum is a cstring.
unsafe impl BoxRet for Output {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let Self(text) = self;
        // SAFETY: there is room for the text and a zero, in the memory context of the call.
        unsafe {
            let start = pg_sys::palloc(text.len() + 1).cast::<u8>();
            std::ptr::copy_nonoverlapping(text.as_ptr(), start, text.len());
            start.add(text.len()).write(0);
            fcinfo.return_raw_datum(pg_sys::Datum::from(start))
        }
    }
}

impl_sql_translatable!(Output, "cstring");
