//! NEON without the dot-product extension: the baseline of every aarch64 CPU.

use std::arch::aarch64::*;

use crate::dot::{LINE, Line};

/// Bytes of a register.
const QUARTER: usize = LINE / 4;

/// # Safety
/// `query` has `levels.len().div_ceil(LINE)` lines for each of `8 / BITS` planes.
#[target_feature(enable = "neon")]
pub(super) unsafe fn dot<const BITS: u32>(levels: &[u8], query: &[Line]) -> i32 {
    let quarters = 4 * levels.len().div_ceil(LINE);
    let mut sums = [vdupq_n_s32(0); 2];
    let (chunks, rest) = levels.as_chunks::<QUARTER>();
    for (chunk, bytes) in chunks.iter().enumerate() {
        // SAFETY: the caller gave a quarter of a line for each plane and chunk.
        unsafe { add::<BITS>(&mut sums, bytes, query, chunk, quarters) };
    }
    if !rest.is_empty() {
        let mut bytes = [0; QUARTER];
        bytes[..rest.len()].copy_from_slice(rest);
        // SAFETY: the caller gave a quarter of a line for each plane and chunk.
        unsafe { add::<BITS>(&mut sums, &bytes, query, chunks.len(), quarters) };
    }
    let sum = if BITS == 8 {
        vshlq_n_s32::<7>(sums[1])
    } else {
        sums[1]
    };
    vaddvq_s32(vaddq_s32(sums[0], sum))
}

/// Adds the products of 16 bytes of levels, plane by plane. NEON multiplies signed bytes only, so with 8 bits the highest
/// bit of a level has a sum of its own, weighted by 128.
///
/// # Safety
/// A plane has `quarters` quarters of a line, and `chunk` is less.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn add<const BITS: u32>(
    sums: &mut [int32x4_t; 2],
    bytes: &[u8; QUARTER],
    query: &[Line],
    chunk: usize,
    quarters: usize,
) {
    // SAFETY: 16 bytes.
    let bytes = unsafe { vld1q_u8(bytes.as_ptr()) };
    if BITS == 8 {
        // SAFETY: the caller's promise.
        let query = unsafe { quarter_line(query, chunk) };
        sums[0] = add_products(sums[0], vandq_u8(bytes, vdupq_n_u8(127)), query);
        sums[1] = add_products(sums[1], vshrq_n_u8::<7>(bytes), query);
        return;
    }
    let mask = vdupq_n_u8(u8::MAX >> (8 - BITS));
    for plane in 0..8 / BITS as usize {
        // SAFETY: the caller's promise.
        let query = unsafe { quarter_line(query, plane * quarters + chunk) };
        let levels = vandq_u8(
            vshlq_u8(bytes, vdupq_n_s8(-(plane as i8 * BITS as i8))),
            mask,
        );
        sums[plane % 2] = add_products(sums[plane % 2], levels, query);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn add_products(sum: int32x4_t, levels: uint8x16_t, query: int8x16_t) -> int32x4_t {
    let levels = vreinterpretq_s8_u8(levels);
    let sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(levels), vget_low_s8(query)));
    vpadalq_s16(sum, vmull_high_s8(levels, query))
}

/// # Safety
/// `at` is less than four times the lines of the query.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn quarter_line(query: &[Line], at: usize) -> int8x16_t {
    // SAFETY: the caller's promise; a quarter of a line is 16 bytes.
    unsafe { vld1q_s8(query.as_ptr().cast::<i8>().add(at * QUARTER)) }
}
