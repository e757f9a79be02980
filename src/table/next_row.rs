//! Predicts the address of a sequential scan's next row.
#![expect(unsafe_code, reason = "reads where shared buffers are")]

use pgrx::pg_sys;

const PAGE: usize = pg_sys::BLCKSZ as usize;

/// Approximate bytes of a row before the elements of a vector: headers, and a short column or two.
const BEFORE: usize = 48;

/// Memory most likely read next by a sequential scan. It is only prefetched, so a wrong guess is harmless.
pub(crate) struct Ahead {
    /// The start of the next row, and its length in bytes.
    pub(crate) row: (*const u8, usize),
    /// A byte in each half of the next page: the processor translates addresses once per 4 kB (TLB).
    pub(crate) page: [*const u8; 2],
}

/// The memory likely read after the row of a value; `None` if the value is not in a shared buffer.
///
/// Postgres fills a page from its end, so the next row lies right below this one, and is as long. After the last row of a
/// page, with no room below it, the scan continues at the end of the next page, most likely read into the next buffer.
#[inline]
pub(crate) fn likely(value: &[u8]) -> Option<Ahead> {
    // SAFETY: both are set when the server starts, and never changed.
    let (buffers, count) = unsafe { (pg_sys::BufferBlocks, pg_sys::NBuffers) };
    let at = value.as_ptr().addr().wrapping_sub(buffers.addr());
    if at / PAGE >= count.cast_unsigned() as usize {
        return None;
    }
    let len = value.len() + BEFORE;
    let in_page = at % PAGE;
    let end = if in_page > len + BEFORE {
        in_page - BEFORE
    } else {
        2 * PAGE
    };
    let page = value.as_ptr().wrapping_sub(in_page);
    Some(Ahead {
        row: (page.wrapping_add(end).wrapping_sub(len), len),
        page: [PAGE, 2 * PAGE - 1].map(|at| page.wrapping_add(at)),
    })
}
