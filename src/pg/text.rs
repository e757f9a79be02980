//! Text in the encoding of the database, which need not be UTF-8, nor be text in it.
//!
//! Our own words are ASCII. Names and literals that we put between them go out as they came in: in a Rust string each of their
//! bytes beyond ASCII stands as a character of its own, from a plane for private use.
#![expect(unsafe_code, reason = "asks the server for its encoding")]

use std::ffi::CStr;

use pgrx::pg_sys;

/// Stands for byte 0; bytes beyond ASCII follow at their distance from it.
const FIRST: u32 = 0xf_0000;

/// The server's text as a string of ours.
pub(crate) fn to_string(text: &CStr) -> String {
    decode(text.to_bytes())
}

fn decode(bytes: &[u8]) -> String {
    let decoded = bytes.iter().map(|&byte| match byte {
        0..=0x7f => char::from(byte),
        0x80.. => char::from_u32(FIRST + u32::from(byte)).expect("in the plane"),
    });
    decoded.collect()
}

/// A string of ours as the server's text. Other characters than those that stand for bytes occur in what the system says.
pub(crate) fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        let byte = u32::from(character).checked_sub(FIRST);
        match byte.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None if character.is_ascii() || is_utf8() => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => bytes.push(b'?'),
        }
    }
    bytes
}

/// Whether the database is in UTF-8.
fn is_utf8() -> bool {
    // SAFETY: returns a number.
    unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8.cast_signed() }
}
