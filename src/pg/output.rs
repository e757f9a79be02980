//! A text under construction, the result of an output function.
#![expect(unsafe_code, reason = "writes a null-terminated string")]

use std::ffi::c_char;
use std::ptr::NonNull;

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys;

use super::number;

/// A text without zero bytes, written straight into the memory context of the call.
pub(crate) struct Output {
    start: NonNull<u8>,
    len: usize,
    room: usize,
}

impl Output {
    /// Bytes reserved for the text of a float4; the longest text is shorter.
    pub(crate) const FLOAT: usize = 16;

    /// An empty text with room for this many bytes.
    pub(crate) fn with_room(room: usize) -> Self {
        // SAFETY: palloc returns the bytes or raises an ERROR. The last byte is for the terminating zero.
        let start = unsafe { pg_sys::palloc(room + 1).cast::<u8>() };
        Self {
            start: NonNull::new(start).expect("palloc gives memory or raises an ERROR"),
            len: 0,
            room,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.check(text.len());
        // SAFETY: `check` has found the room sufficient.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.end(), text.len()) };
        self.len += text.len();
    }

    /// Appends the shortest text that reads back as the same float4, as `real` prints it.
    #[inline]
    pub(crate) fn push_float(&mut self, value: f32) {
        self.check(Self::FLOAT);
        // SAFETY: there is room for the longest text.
        self.len += unsafe { number::write_float(value, self.end().cast::<c_char>()) };
    }

    /// Appends these texts of many float4, with commas between them.
    #[inline]
    pub(crate) fn push_floats(&mut self, values: impl ExactSizeIterator<Item = f32>) {
        let count = values.len();
        self.check(count * (1 + Self::FLOAT));
        let first = self.end();
        let mut end = first;
        for value in values.take(count) {
            // SAFETY: there is room for the longest text of each and a comma; the last comma is cut off below.
            unsafe {
                end = end.add(number::write_float(value, end.cast::<c_char>()));
                end.write(b',');
                end = end.add(1);
            }
        }
        let written = end.addr() - first.addr();
        self.len += written.saturating_sub(1);
    }

    #[inline]
    fn check(&self, more: usize) {
        assert!(
            more <= self.room - self.len,
            "a text of more than {} bytes",
            self.room
        );
    }

    #[inline]
    fn end(&mut self) -> *mut u8 {
        // SAFETY: `len` is at most `room`.
        unsafe { self.start.as_ptr().add(self.len) }
    }
}

// SAFETY: the datum is a cstring.
unsafe impl BoxRet for Output {
    unsafe fn box_into<'fcx>(mut self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: the memory is one byte longer than `room`; the text lives in the memory context of the call.
        unsafe {
            self.end().write(0);
            fcinfo.return_raw_datum(pg_sys::Datum::from(self.start.as_ptr()))
        }
    }
}
