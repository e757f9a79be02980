//! Text in the encoding of the database: it need not be UTF-8, and its bytes need not be valid in it.
//!
//! Messages of this library are ASCII. Names and literals inserted in them keep their bytes: in a Rust string, a character
//! from a private-use plane represents each byte beyond ASCII.
#![expect(
    unsafe_code,
    reason = "asks the server for its encoding, and makes datums"
)]

use std::ffi::{CStr, c_int};

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::{Datum, IntoDatum};
use pgrx::{PgLogLevel, pg_sys};

/// The character for byte 0, never used itself: byte `b` beyond ASCII is `FIRST + b`.
const FIRST: u32 = 0xf_0000;

/// Maximum bytes of a literal shown in a message.
const SHOWN: usize = 1000;

/// Decodes a text of the server.
pub(crate) fn to_string(text: &CStr) -> String {
    decode(text.to_bytes())
}

/// The first [`SHOWN`] bytes of a literal, cut between two characters.
pub(crate) fn excerpt(literal: &CStr) -> String {
    let bytes = literal.to_bytes();
    if bytes.len() <= SHOWN {
        return decode(bytes);
    }
    let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    let limit = i32::try_from(SHOWN).expect("a small number");
    // SAFETY: the literal has `len` bytes.
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

/// Encodes a string for the server. Messages of the operating system may hold other characters beyond ASCII; if the database is
/// not in UTF-8, each becomes a question mark.
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

/// Reports a message at DEBUG1.
pub(crate) fn debug(message: &str) {
    report(PgLogLevel::DEBUG1, message);
}

/// Reports a message at INFO: to the client, whatever its settings.
pub(crate) fn info(message: &str) {
    report(PgLogLevel::INFO, message);
}

fn report(level: PgLogLevel, message: &str) {
    let mut bytes = to_bytes(message);
    bytes.push(0);
    let mut report = pg_sys::ErrorData {
        elevel: level as c_int,
        message: bytes.as_mut_ptr().cast(),
        ..Default::default()
    };
    // SAFETY: the text is terminated, and Postgres copies it.
    unsafe { pg_sys::ThrowErrorData(&raw mut report) };
}

/// True if the database's encoding is UTF-8.
fn is_utf8() -> bool {
    // SAFETY: only returns a number.
    unsafe { pg_sys::GetDatabaseEncoding() == pg_sys::pg_enc::PG_UTF8.cast_signed() }
}

/// A value of SQL type `text`.
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
