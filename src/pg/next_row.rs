//! Where the row most likely is that a sequential scan comes to next.
#![expect(unsafe_code, reason = "reads where shared buffers are")]

use pgrx::pg_sys;

const PAGE: usize = pg_sys::BLCKSZ as usize;

/// About so many bytes of a row come before the elements of a vector: headers, and a short column or two.
const BEFORE: usize = 48;

/// Memory that a sequential scan most likely comes to next. To be prefetched: whatever is there.
pub(crate) struct Ahead {
    /// Where the next row starts, and its length.
    pub(crate) row: (*const u8, usize),
    /// A byte in each half of the next page: the processor looks up every 4 kB anew where they are (TLB).
    pub(crate) page: [*const u8; 2],
}

/// What comes after the row of a value; none if the value is in no shared buffer.
///
/// Postgres fills a page from its end, so the next row lies right below this one, and is as long. Below the last row of a
/// page is no room; the scan goes on at the end of the next page, which most likely was read into the next buffer.
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
