//! Values of variable length: read without a copy if possible, or newly allocated.
#![expect(unsafe_code, reason = "follows and allocates varlena pointers")]

use std::marker::PhantomData;
use std::ptr::NonNull;

use pgrx::{pg_sys, set_varsize_4b, varatt_is_4b_u, varsize_4b};

/// A value with a plain 4-byte header. Inline values are borrowed; compressed, short and out-of-line ones are copied, and
/// dropping this frees the copy.
pub(crate) struct Varlena<'fcx> {
    start: NonNull<pg_sys::varlena>,
    copied: bool,
    lifetime: PhantomData<&'fcx [u8]>,
}

impl<'fcx> Varlena<'fcx> {
    /// # Safety
    /// `datum` is a varlena, and stays valid for `'fcx`.
    #[inline]
    pub(crate) unsafe fn detoast(datum: pg_sys::Datum) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::detoast_with(datum, |_| None) }
    }

    /// As `detoast`. `cached` may return a copy of the value, allocated in the current memory context.
    ///
    /// # Safety
    /// As for `detoast`.
    #[inline]
    pub(crate) unsafe fn detoast_with(datum: pg_sys::Datum, cached: Cache) -> Self {
        let given = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: the caller vouches for the pointer, and detoasting returns a valid one. A short value is unaligned, so it is
        // copied.
        unsafe {
            let copied = !varatt_is_4b_u(given);
            let plain = if copied { copy(given, cached) } else { given };
            Self {
                start: NonNull::new_unchecked(plain),
                copied,
                lifetime: PhantomData,
            }
        }
    }

    /// All bytes, header included, aligned to four.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the header holds the value's length, and its bytes stay valid as long as `self`.
        unsafe {
            let len = varsize_4b(self.start.as_ptr());
            std::slice::from_raw_parts(self.start.as_ptr().cast(), len)
        }
    }

    /// Hands the value back to Postgres.
    pub(crate) fn into_datum(self) -> pg_sys::Datum {
        let start = self.start;
        // A copy now belongs to the caller's memory context.
        std::mem::forget(self);
        pg_sys::Datum::from(start.as_ptr())
    }

    /// Copies a value, whatever its header, into a memory context.
    ///
    /// # Safety
    /// `datum` is a varlena, and the context is live.
    pub(crate) unsafe fn keep(
        datum: pg_sys::Datum,
        context: pg_sys::MemoryContext,
    ) -> pg_sys::Datum {
        // SAFETY: the caller's promise.
        unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(context);
            let copy = pg_sys::pg_detoast_datum_copy(datum.cast_mut_ptr());
            pg_sys::MemoryContextSwitchTo(outer);
            pg_sys::Datum::from(copy)
        }
    }

    /// Makes the value writable. Copies an inline value, unless the caller knows that nothing else reads it (`exclusive`: the
    /// state of an aggregate).
    pub(crate) fn into_new(self, exclusive: bool) -> NewVarlena {
        if self.copied || exclusive {
            let start = self.start;
            std::mem::forget(self);
            return NewVarlena { start };
        }
        let mut copy = NewVarlena::zeroed(self.bytes().len());
        copy.bytes_mut().copy_from_slice(self.bytes());
        copy
    }
}

impl Drop for Varlena<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.copied {
            free(self.start);
        }
    }
}

/// Looks a varlena up in a cache of plain values, and returns a copy of the one found.
type Cache = unsafe fn(*const pg_sys::varlena) -> Option<*mut pg_sys::varlena>;

/// Copies a value into memory of its own, with a plain header.
///
/// # Safety
/// `given` is a varlena.
#[inline(never)]
unsafe fn copy(given: *mut pg_sys::varlena, cached: Cache) -> *mut pg_sys::varlena {
    // SAFETY: the caller vouches for the pointer.
    unsafe { cached(given).unwrap_or_else(|| pg_sys::pg_detoast_datum(given)) }
}

/// Frees a copy. During unwinding, its memory context does so.
#[inline(never)]
fn free(copy: NonNull<pg_sys::varlena>) {
    if !std::thread::panicking() {
        // SAFETY: detoasting allocated the copy, and nothing else refers to it.
        unsafe { pg_sys::pfree(copy.as_ptr().cast()) }
    }
}

/// A writable value, allocated in the current memory context.
pub(crate) struct NewVarlena {
    start: NonNull<pg_sys::varlena>,
}

impl NewVarlena {
    /// Allocates a value of `len` bytes, including the 4 of the header. The header holds `len`, and all other bytes are zero.
    pub(crate) fn zeroed(len: usize) -> Self {
        // SAFETY: palloc0 returns `len` bytes or raises an ERROR.
        unsafe {
            let start = pg_sys::palloc0(len).cast::<pg_sys::varlena>();
            set_varsize_4b(
                start,
                i32::try_from(len).expect("palloc gives less than 1 GB"),
            );
            Self {
                start: NonNull::new_unchecked(start),
            }
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `Varlena::bytes`, and nothing else refers to the memory.
        unsafe {
            let len = varsize_4b(self.start.as_ptr());
            std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), len)
        }
    }

    pub(crate) fn into_datum(self) -> pg_sys::Datum {
        pg_sys::Datum::from(self.start.as_ptr())
    }
}
