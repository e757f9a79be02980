//! Writes, reads and hashes numbers as Postgres does.
#![expect(unsafe_code, reason = "calls functions of Postgres and libc")]

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    // Part of every server (common/shortest_dec.h, common/hashfn.h), but not of pgrx's bindings. They raise no ERROR.
    fn float_to_shortest_decimal_bufn(value: f32, text: *mut c_char) -> c_int;
    fn hash_bytes(bytes: *const u8, len: c_int) -> u32;
    fn hash_bytes_extended(bytes: *const u8, len: c_int, seed: u64) -> u64;
}

/// Writes the shortest text that reads back as the same float4, as `real` prints it, without a terminating zero byte. Returns
/// its length, at most 15.
///
/// # Safety
/// `text` has room for 16 bytes.
#[inline]
pub(super) unsafe fn write_float(value: f32, text: *mut c_char) -> usize {
    // SAFETY: the caller's promise.
    let len = unsafe { float_to_shortest_decimal_bufn(value, text) };
    usize::try_from(len).expect("a length")
}

/// The shortest text that reads back as the same float4, as a `String`.
pub(crate) fn float_text(value: f32) -> String {
    let mut text = [0_u8; 16];
    // SAFETY: the array has 16 bytes.
    let len = unsafe { write_float(value, text.as_mut_ptr().cast()) };
    String::from_utf8_lossy(&text[..len]).into_owned()
}

/// Reads a float4 from the start of a text as `real` does (`strtof`: hexadecimal, `inf` and `nan` too). Returns it and the
/// number of bytes read: 0 if the text does not start with a number.
pub(crate) fn read_float(text: &CStr) -> (f32, usize) {
    let mut end = std::ptr::null_mut();
    // SAFETY: the text is terminated, so the end lies within it.
    unsafe {
        let value = libc::strtof(text.as_ptr(), &raw mut end);
        let len = end.cast_const().offset_from(text.as_ptr());
        (
            value,
            usize::try_from(len).expect("strtof stops behind its start"),
        )
    }
}

/// The hash of Postgres's own hash operator classes.
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    let len = c_int::try_from(bytes.len()).expect("values are smaller than 1 GB");
    // SAFETY: reads that many bytes.
    unsafe { hash_bytes(bytes.as_ptr(), len) }
}

/// The 64-bit hash with a seed, of the same operator classes; its lower half is [`hash`] if the seed is 0.
pub(crate) fn hash_extended(bytes: &[u8], seed: u64) -> u64 {
    let len = c_int::try_from(bytes.len()).expect("values are smaller than 1 GB");
    // SAFETY: as above.
    unsafe { hash_bytes_extended(bytes.as_ptr(), len, seed) }
}
