//! Bit strings, core's own type: made by `binary_quantize`.
#![expect(unsafe_code, reason = "varlena access")]

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::impl_sql_translatable;

use crate::pg::varlena::NewVarlena;

/// Bytes before the bits: the varlena header and an `int32` that counts the bits.
const HEADER: usize = 8;

/// A bit string in the making.
pub(super) struct NewBits(NewVarlena);

impl NewBits {
    /// The first bit is the highest of the first byte.
    pub(super) fn from_bits(bits: impl ExactSizeIterator<Item = bool>) -> Self {
        let count = bits.len();
        let mut varlena = NewVarlena::zeroed(HEADER + count.div_ceil(8));
        let bytes = varlena.bytes_mut();
        let stored = i32::try_from(count).expect("vectors have few dimensions");
        bytes[4..HEADER].copy_from_slice(&stored.to_ne_bytes());
        for (at, bit) in bits.enumerate() {
            bytes[HEADER + at / 8] |= u8::from(bit) << (7 - at % 8);
        }
        Self(varlena)
    }
}

// SAFETY: the datum has the layout of the SQL type `bit`.
unsafe impl BoxRet for NewBits {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the bits live in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(self.0.into_datum()) }
    }
}

impl_sql_translatable!(NewBits, "bit");
