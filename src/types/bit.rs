//! Bit strings, a type of Postgres' core: made by `binary_quantize`, compared by `<~>` and `<%>`.
#![expect(unsafe_code, reason = "SQL-callable functions and varlena access")]

use std::sync::LazyLock;

use distance::{BitDistance, Cpu, Kernel};
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, FromDatum};
use pgrx::pg_sys;

use crate::error;
use crate::pg::call::distance_functions;
use crate::pg::varlena::{NewVarlena, Varlena};
use crate::table::toast;

/// Bytes before the bits: the varlena header and an `int32`, the number of bits.
const HEADER: usize = 8;

/// A bit string passed by Postgres.
pub(crate) struct Bits<'fcx>(Varlena<'fcx>);

impl Bits<'_> {
    /// # Safety
    /// `datum` is a value of the SQL type `bit` that stays for as long as this is used.
    pub(crate) unsafe fn from_raw(datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller vouches for the datum.
        let bits = Self(unsafe { toast::detoast_cached(datum) });
        let (bytes, count) = (bits.0.bytes().len(), bits.count());
        if bytes != HEADER + count.div_ceil(8) {
            error::corrupt_value("bit", bytes, count);
        }
        bits
    }

    /// The number of bits by the header; zero for an invalid header.
    pub(crate) fn count(&self) -> usize {
        match self.0.bytes().get(4..HEADER) {
            Some(count) => {
                let count = i32::from_ne_bytes(count.try_into().expect("four bytes"));
                usize::try_from(count).unwrap_or(0)
            }
            None => 0,
        }
    }

    /// The bits, the first one the highest of the first byte; padding bits of the last byte are zero.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes()[HEADER..]
    }
}

impl FromDatum for Bits<'_> {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _type: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches for the type.
        (!is_null).then(|| unsafe { Self::from_raw(datum) })
    }
}

/// A new bit string, to be returned to Postgres.
pub(super) struct NewBits(NewVarlena);

impl NewBits {
    /// Packs bits, the first one the highest of the first byte.
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

distance_functions! { Bits<'_>:
    hamming_distance = |a, b| distance(BitDistance::Hamming, a, b);
    jaccard_distance = |a, b| distance(BitDistance::Jaccard, a, b);
}

fn distance(function: BitDistance, a: &Bits<'_>, b: &Bits<'_>) -> f64 {
    static KERNELS: LazyLock<[Kernel; BitDistance::ALL.len()]> = LazyLock::new(|| {
        BitDistance::ALL.map(|function| distance::bit_kernel(function, Cpu::current()))
    });
    if a.count() != b.count() {
        error::different_bit_lengths(a.count(), b.count());
    }
    (KERNELS[function as usize].one)(a.bytes(), b.bytes())
}
