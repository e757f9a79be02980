//! Contents of an indexed `vector` value.

use pgrx::pg_sys;

use crate::error;

/// Bytes before the floats: dimensions and an unused field.
const HEAD: usize = 4;

/// Shows the bytes of a vector's floats, detoasted into the current memory context if need be. They may be unaligned.
///
/// # Safety
/// `value` is a `vector`, and lives as long as the result.
pub(super) unsafe fn bytes<'a>(value: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: a varlena; with the packed form short headers need no copy.
    unsafe {
        let varlena = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
        let contents = pgrx::vardata_any(varlena).cast::<u8>();
        let bytes = std::slice::from_raw_parts(contents, pgrx::varsize_any_exhdr(varlena));
        &bytes[HEAD.min(bytes.len())..]
    }
}

/// Copies a vector's floats.
///
/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn floats(value: pg_sys::Datum) -> Vec<f32> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(value) };
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|x| f32::from_ne_bytes(*x))
        .collect()
}

/// An index holds vectors of one dimension only; the column's type sees to that, but not for expressions.
pub(super) fn check_dimensions(expected: u32, dimensions: usize) {
    if expected as usize != dimensions {
        error::wrong_dimensions(expected, dimensions);
    }
}
