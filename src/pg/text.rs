//! Text in the encoding of the database, which need not be UTF-8, nor be text in it.
//!
//! Our own words are ASCII. Names and literals that we put between them go out as they came in: in a Rust string each of their
//! bytes beyond ASCII stands as a character of its own, from a plane for private use.
#![expect(
    unsafe_code,
    reason = "asks the server for its encoding, and makes datums"
)]

use std::ffi::CStr;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, IntoDatum};
use pgrx::pg_sys;

/// Stands for byte 0; bytes beyond ASCII follow at their distance from it.
const FIRST: u32 = 0xf_0000;

/// Bytes of a literal that a message shows.
const SHOWN: usize = 1000;

/// The server's text as a string of ours.
pub(crate) fn to_string(text: &CStr) -> String {
    decode(text.to_bytes())
}

/// The start of a literal that may be long, cut between two characters.
pub(crate) fn excerpt(literal: &CStr) -> String {
    let bytes = literal.to_bytes();
    if bytes.len() <= SHOWN {
        return decode(bytes);
    }
    let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    let limit = i32::try_from(SHOWN).expect("a small number");
    // SAFETY: there are `len` bytes.
    let end = unsafe { pg_sys::pg_mbcliplen(literal.as_ptr(), len, limit) };
    let end = usize::try_from(end).expect("a length");
    decode(&bytes[..end]) + "..."
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

/// A value of SQL's `text`.
pub(crate) struct Text(pub(crate) String);

impl IntoDatum for Text {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let bytes = to_bytes(&self.0);
        let len = i32::try_from(bytes.len()).expect("our texts are short");
        // SAFETY: copies that many bytes.
        let text = unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), len) };
        Some(pg_sys::Datum::from(text))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

// SAFETY: the datum is a text.
unsafe impl BoxRet for Text {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        let text = self.into_datum().expect("not NULL");
        // SAFETY: the text lives in the memory context of the call.
        unsafe { fcinfo.return_raw_datum(text) }
    }
}
