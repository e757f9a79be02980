//! Exact inner products of 8-bit levels, one implementation per CPU level.
//!
//! Levels lie between -127 and 127, never -128: the AVX2 kernel takes absolute values of them.
#![expect(unsafe_code, reason = "kernels for CPU features found at run time")]

use crate::simd::Simd;

/// A cache line of levels. Rows are whole lines, padded with zeros, so no kernel needs a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [i8; LINE]);

/// Levels in a line.
pub(crate) const LINE: usize = 64;

impl Line {
    pub(crate) const ZERO: Line = Line([0; LINE]);
}

/// The inner product of two rows; `sum_b` is the sum of the levels of `b`.
#[inline]
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "only VNNI needs the sum")
)]
pub(crate) fn dot(simd: Simd, a: &[Line], b: &[Line], sum_b: i32) -> i32 {
    debug_assert_eq!(a.len(), b.len());
    match simd {
        Simd::Scalar => scalar(a, b),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Avx2 => unsafe { x86_64::avx2(a, b) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Avx512 => unsafe { x86_64::vnni(a, b, sum_b) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Neon => unsafe { aarch64::neon(a, b) },
    }
}

/// The reference implementation.
fn scalar(a: &[Line], b: &[Line]) -> i32 {
    a.iter().zip(b).map(|(a, b)| dot_lines(a, b)).sum()
}

pub(crate) fn dot_lines(a: &Line, b: &Line) -> i32 {
    a.0.iter()
        .zip(&b.0)
        .map(|(&a, &b)| i32::from(a) * i32::from(b))
        .sum()
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::Line;
    use std::arch::x86_64::*;

    /// VNNI multiplies unsigned by signed bytes: `a` is passed with 128 added, and `128 * sum_b` is subtracted at the end.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn vnni(a: &[Line], b: &[Line], sum_b: i32) -> i32 {
        let flip = _mm512_set1_epi8(i8::MIN);
        let mut sums = [_mm512_setzero_si512(); 2];
        let mut add = |lane: usize, a: &Line, b: &Line| {
            sums[lane] = _mm512_dpbusd_epi32(sums[lane], _mm512_xor_si512(line(a), flip), line(b));
        };
        // Two sums, so that multiplications are independent.
        let (pairs_a, rest_a) = a.as_chunks::<2>();
        let (pairs_b, rest_b) = b.as_chunks::<2>();
        for (a, b) in pairs_a.iter().zip(pairs_b) {
            add(0, &a[0], &b[0]);
            add(1, &a[1], &b[1]);
        }
        for (a, b) in rest_a.iter().zip(rest_b) {
            add(0, a, b);
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - 128 * sum_b
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn line(line: &Line) -> __m512i {
        // SAFETY: a line is 64 bytes, aligned to 64.
        unsafe { _mm512_load_si512((&raw const *line).cast()) }
    }

    /// |a| * (b with the sign of a): two products of levels within 127 fit the 16 bits `maddubs` adds them in.
    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(a: &[Line], b: &[Line]) -> i32 {
        let ones = _mm256_set1_epi16(1);
        let mut sums = [_mm256_setzero_si256(); 2];
        for (a, b) in a.iter().zip(b) {
            for (half, sum) in sums.iter_mut().enumerate() {
                let (a, b) = (half_line(a, half), half_line(b, half));
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
        let sum = _mm256_add_epi32(sums[0], sums[1]);
        let sum = _mm_add_epi32(
            _mm256_castsi256_si128(sum),
            _mm256_extracti128_si256(sum, 1),
        );
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01_00_11_10));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10_11_00_01));
        _mm_cvtsi128_si32(sum)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn half_line(line: &Line, half: usize) -> __m256i {
        let half: &[i8; 32] = &line.0.as_chunks().0[half];
        // SAFETY: half a line is 32 bytes, aligned to 32.
        unsafe { _mm256_load_si256((&raw const *half).cast()) }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::Line;
    use std::arch::aarch64::*;

    #[target_feature(enable = "neon")]
    pub(super) fn neon(a: &[Line], b: &[Line]) -> i32 {
        let mut sums = [vdupq_n_s32(0); 2];
        for (a, b) in a.iter().zip(b) {
            for quarter in 0..4 {
                let (a, b) = (quarter_line(a, quarter), quarter_line(b, quarter));
                sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(a), vget_low_s8(b)));
                sums[1] = vpadalq_s16(sums[1], vmull_high_s8(a, b));
            }
        }
        vaddvq_s32(vaddq_s32(sums[0], sums[1]))
    }

    #[target_feature(enable = "neon")]
    #[inline]
    fn quarter_line(line: &Line, quarter: usize) -> int8x16_t {
        let quarter: &[i8; 16] = &line.0.as_chunks().0[quarter];
        // SAFETY: a quarter of a line is 16 bytes.
        unsafe { vld1q_s8(quarter.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(lines: usize, level: impl Fn(usize) -> i8) -> Vec<Line> {
        let line = |l: usize| Line(std::array::from_fn(|i| level(l * LINE + i)));
        (0..lines).map(line).collect()
    }

    fn sum(row: &[Line]) -> i32 {
        row.iter().flat_map(|line| line.0).map(i32::from).sum()
    }

    #[test]
    fn every_cpu_gives_the_exact_inner_product() {
        for lines in [0, 1, 2, 3, 6, 7, 250] {
            let rows = [
                row(lines, |i| ((i * 89 + 41) % 255) as u8 as i8)
                    .iter()
                    .map(no_minimum)
                    .collect::<Vec<_>>(),
                row(lines, |i| ((i * i * 31 + 7) % 251) as u8 as i8)
                    .iter()
                    .map(no_minimum)
                    .collect(),
                row(lines, |_| 127),
                row(lines, |_| -127),
            ];
            for a in &rows {
                for b in &rows {
                    for simd in Simd::available() {
                        assert_eq!(
                            dot(simd, a, b, sum(b)),
                            scalar(a, b),
                            "{simd:?}, {lines} lines"
                        );
                    }
                }
            }
        }
    }

    fn no_minimum(line: &Line) -> Line {
        Line(line.0.map(|level| level.max(-127)))
    }
}
