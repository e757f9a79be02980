//! AVX2 and AVX-512 with VNNI.

use std::arch::x86_64::*;

use crate::dot::{LINE, Line};

/// # Safety
/// `query` has `levels.len().div_ceil(LINE)` lines for each of `8 / BITS` planes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn avx512<const BITS: u32>(levels: &[u8], query: &[Line]) -> i32 {
    let lines = levels.len().div_ceil(LINE);
    // Four sums, so that multiplications are independent.
    let mut sums = [_mm512_setzero_si512(); 4];
    let (pairs, rest) = levels.as_chunks::<{ 2 * LINE }>();
    for (pair, bytes) in pairs.iter().enumerate() {
        for half in 0..2 {
            // SAFETY: half of 128 bytes.
            let bytes = unsafe { _mm512_loadu_si512(bytes.as_ptr().add(half * LINE).cast()) };
            for plane in 0..8 / BITS as usize {
                let at = plane * lines + 2 * pair + half;
                let sum = &mut sums[(plane + 2 * half) % 4];
                // SAFETY: the caller gave a line for each plane and chunk.
                *sum = _mm512_dpbusd_epi32(*sum, plane_of_512::<BITS>(bytes, plane), unsafe {
                    line_512(query, at)
                });
            }
        }
    }
    for (chunk, bytes) in rest.chunks(LINE).enumerate() {
        // SAFETY: the mask covers the bytes of the chunk.
        let bytes = unsafe {
            _mm512_maskz_loadu_epi8(u64::MAX >> (LINE - bytes.len()), bytes.as_ptr().cast())
        };
        for plane in 0..8 / BITS as usize {
            let at = plane * lines + 2 * pairs.len() + chunk;
            let sum = &mut sums[plane % 4];
            // SAFETY: the caller gave a line for each plane and chunk.
            *sum = _mm512_dpbusd_epi32(*sum, plane_of_512::<BITS>(bytes, plane), unsafe {
                line_512(query, at)
            });
        }
    }
    let [a, b, c, d] = sums;
    _mm512_reduce_add_epi32(_mm512_add_epi32(
        _mm512_add_epi32(a, b),
        _mm512_add_epi32(c, d),
    ))
}

#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
fn plane_of_512<const BITS: u32>(bytes: __m512i, plane: usize) -> __m512i {
    let mask = _mm512_set1_epi8((u8::MAX >> (8 - BITS)) as i8);
    let shift = _mm_cvtsi32_si128(plane as i32 * BITS as i32);
    _mm512_and_si512(_mm512_srl_epi16(bytes, shift), mask)
}

/// # Safety
/// `at` is less than the lines of the query.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn line_512(query: &[Line], at: usize) -> __m512i {
    // SAFETY: the caller's promise; a line is 64 bytes, aligned to 64.
    unsafe { _mm512_load_si512(query.as_ptr().add(at).cast()) }
}

/// Bytes of an AVX2 register.
const HALF: usize = LINE / 2;

/// # Safety
/// `query` has `levels.len().div_ceil(LINE)` lines for each of `8 / BITS` planes; the length is a multiple of 4.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2<const BITS: u32>(levels: &[u8], query: &[Line]) -> i32 {
    let halves = 2 * levels.len().div_ceil(LINE);
    let mut sums = [_mm256_setzero_si256(); 2];
    let (chunks, rest) = levels.as_chunks::<HALF>();
    for (chunk, bytes) in chunks.iter().enumerate() {
        // SAFETY: 32 bytes.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        // SAFETY: the caller gave half a line for each plane and chunk.
        unsafe { add_256::<BITS>(&mut sums, bytes, query, chunk, halves) };
    }
    if !rest.is_empty() {
        // SAFETY: only the first words are read, as many as there are left.
        let bytes =
            unsafe { _mm256_maskload_epi32(rest.as_ptr().cast(), first_words(rest.len() / 4)) };
        // SAFETY: the caller gave half a line for each plane and chunk.
        unsafe { add_256::<BITS>(&mut sums, bytes, query, chunks.len(), halves) };
    }
    let sum = if BITS == 8 {
        _mm256_slli_epi32(sums[1], 7)
    } else {
        sums[1]
    };
    reduce_256(_mm256_add_epi32(sums[0], sum))
}

#[target_feature(enable = "avx2")]
#[inline]
fn first_words(count: usize) -> __m256i {
    let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), numbers)
}

/// Adds the products of 32 bytes of levels, plane by plane. `maddubs` adds two products in 16 bits and overflows with
/// levels above 127, so with 8 bits the highest bit has a sum of its own, weighted by 128.
///
/// # Safety
/// A plane has `halves` half lines, and `chunk` is less.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn add_256<const BITS: u32>(
    sums: &mut [__m256i; 2],
    bytes: __m256i,
    query: &[Line],
    chunk: usize,
    halves: usize,
) {
    let ones = _mm256_set1_epi16(1);
    if BITS == 8 {
        // SAFETY: the caller's promise.
        let query = unsafe { half_line(query, chunk) };
        let low = _mm256_and_si256(bytes, _mm256_set1_epi8(127));
        let high = plane_of_256::<1>(bytes, 7);
        sums[0] = _mm256_add_epi32(
            sums[0],
            _mm256_madd_epi16(_mm256_maddubs_epi16(low, query), ones),
        );
        sums[1] = _mm256_add_epi32(
            sums[1],
            _mm256_madd_epi16(_mm256_maddubs_epi16(high, query), ones),
        );
        return;
    }
    // All planes fit in 16 bits: at 4 bits, two of two products of up to 15 * 127.
    let mut products = _mm256_setzero_si256();
    for plane in 0..8 / BITS as usize {
        // SAFETY: the caller's promise.
        let query = unsafe { half_line(query, plane * halves + chunk) };
        products = _mm256_add_epi16(
            products,
            _mm256_maddubs_epi16(plane_of_256::<BITS>(bytes, plane), query),
        );
    }
    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(products, ones));
}

#[target_feature(enable = "avx2")]
#[inline]
fn plane_of_256<const BITS: u32>(bytes: __m256i, plane: usize) -> __m256i {
    let mask = _mm256_set1_epi8((u8::MAX >> (8 - BITS)) as i8);
    let shift = _mm_cvtsi32_si128(plane as i32 * BITS as i32);
    _mm256_and_si256(_mm256_srl_epi16(bytes, shift), mask)
}

/// # Safety
/// `at` is less than twice the lines of the query.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn half_line(query: &[Line], at: usize) -> __m256i {
    // SAFETY: the caller's promise; half a line is 32 bytes, aligned to 32.
    unsafe { _mm256_load_si256(query.as_ptr().cast::<__m256i>().add(at)) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn reduce_256(sum: __m256i) -> i32 {
    let sum = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256(sum, 1),
    );
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01_00_11_10));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10_11_00_01));
    _mm_cvtsi128_si32(sum)
}
