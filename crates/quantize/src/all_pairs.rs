//! Distances of all pairs of a few hundred vectors, and neighbor selection over them.
//!
//! Selection is Algorithm 4 of the HNSW paper: from the nearest on, a candidate is kept if it is nearer to the base than
//! to every candidate kept before it. It computes no distance: the row of a kept candidate holds its distances to all
//! others, and eliminates the candidates nearer to it than to the base.
//!
//! Each distance is computed once and compared about a hundred times, so the matrix must stay in the CPU's cache: it
//! keeps a 16-bit key of each distance, with the same order and the precision of the codes.
#![expect(unsafe_code, reason = "kernels for CPU features found at run time")]

use crate::CodeMetric;
use crate::code_set::CodeSet;
use crate::simd::{Loops, Simd};
use crate::tile::{COLUMNS, Columns, ROWS, Tile, make_room, strips};

/// Keys in a cache line (and in an AVX-512 register).
const LANES: usize = 32;

/// A line of keys.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Lanes([u16; LANES]);

/// The key of a vector to itself and of padding: greater than all others.
const FURTHEST: u16 = u16::MAX;

/// A selection of fewer than `FEW` neighbors is filled up to `FILLED` with the nearest of the rest: where the nearest of a vector
/// are near to everything, Algorithm 4 rejects all others.
const FEW: usize = 4;
const FILLED: usize = 8;

/// The distance keys of all pairs of a few vectors.
#[derive(Debug)]
pub struct AllPairs {
    simd: Simd,
    metric: CodeMetric,
    columns: Columns,
    /// One row per vector.
    keys: Vec<Lanes>,
    lines_per_row: usize,
    candidates: Vec<Candidate>,
}

/// A key in the upper bits, its column in the lower: the minimum is the nearest.
type Candidate = u32;

fn column(candidate: Candidate) -> usize {
    (candidate & 0xffff) as usize
}

impl AllPairs {
    /// The maximum number of vectors.
    pub const LARGEST: usize = 1 << 15;

    /// An empty matrix for distances of this metric.
    #[must_use]
    pub fn new(metric: CodeMetric) -> AllPairs {
        AllPairs::with_simd(metric, Simd::current())
    }

    fn with_simd(metric: CodeMetric, simd: Simd) -> AllPairs {
        let columns = Columns::with_simd(metric, simd);
        AllPairs {
            simd,
            metric,
            columns,
            keys: Vec::new(),
            lines_per_row: 0,
            candidates: Vec::new(),
        }
    }

    /// Bytes for all pairs of `count` vectors.
    #[must_use]
    pub fn bytes_needed(count: usize, dimensions: usize) -> usize {
        let candidates = (count + LANES) * size_of::<Candidate>();
        Columns::bytes_needed(count, dimensions) + lines(count) * size_of::<Lanes>() + candidates
    }

    /// Computes all pairs of these vectors, replacing the previous ones.
    pub fn compute(&mut self, codes: &CodeSet, ids: &[u32]) {
        assert!(ids.len() <= AllPairs::LARGEST);
        self.columns.pack(codes, ids);
        self.lines_per_row = lines_per_row(ids.len());
        let lines = lines(ids.len());
        // Keys of an earlier leaf are overwritten.
        make_room(&mut self.keys, lines);
        self.keys.resize(lines, Lanes([FURTHEST; LANES]));
        let scale = KeyScale::new(self.metric, codes, ids);
        // Computes from the diagonal on; the rest is the mirror image.
        for (strip, rows) in strips(codes, ids).enumerate() {
            let mut matrix = Matrix {
                keys: flat_mut(&mut self.keys),
                stride: self.lines_per_row * LANES,
            };
            self.columns
                .each_tile(codes, rows, strip * ROWS, |first, tile| {
                    let keys = self.simd.run(Keys { scale, tile });
                    matrix.enter(strip * ROWS, first, &keys);
                    matrix.enter(first, strip * ROWS, &mirror(self.simd, &keys));
                });
        }
        for i in 0..ids.len() {
            let row = self.row_mut(i);
            row[i] = FURTHEST;
            row[ids.len()..].fill(FURTHEST);
        }
    }

    /// The number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True if there are no vectors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn lines(&self, i: usize) -> &[Lanes] {
        &self.keys[i * self.lines_per_row..][..self.columns.width() / LANES]
    }

    fn row_mut(&mut self, i: usize) -> &mut [u16] {
        let lines = self.columns.width() / LANES;
        flat_mut(&mut self.keys[i * self.lines_per_row..][..lines])
    }

    /// Algorithm 4 for one of the vectors: up to `max` neighbors, nearest first, among about the `nearest`. (The exact
    /// number matters little, so the row is not sorted.)
    pub fn choose(&mut self, i: usize, nearest: usize, max: usize, into: &mut Vec<u32>) {
        into.clear();
        let mut candidates = std::mem::take(&mut self.candidates);
        let row = self.lines(i);
        let threshold = if self.len() <= 2 * nearest {
            FURTHEST - 1
        } else {
            self.simd.run(Threshold { row, nearest })
        };
        match self.simd {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this kind exists only where the CPU has its features; candidates are columns of this
            // matrix, whose rows are followed by another line.
            Simd::Avx512 => unsafe {
                avx512::collect(row, threshold, &mut candidates);
                avx512::select(&self.keys, self.lines_per_row, &mut candidates, max, into);
            },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
            Simd::Avx2 => unsafe {
                avx2::collect(row, threshold, &mut candidates);
                self.select(&mut candidates, max, into);
            },
            _ => {
                collect(row, threshold, &mut candidates);
                self.select(&mut candidates, max, into);
            }
        }
        if into.len() < FEW {
            self.fill(i, threshold, &mut candidates, max.min(FILLED), into);
        }
        self.candidates = candidates;
    }

    /// Fills a selection with the nearest of the rest.
    fn fill(
        &self,
        i: usize,
        threshold: u16,
        candidates: &mut Vec<Candidate>,
        max: usize,
        into: &mut Vec<u32>,
    ) {
        collect(self.lines(i), threshold, candidates);
        candidates.sort_unstable();
        let chosen = into.len();
        for &candidate in candidates.iter() {
            let column = column(candidate) as u32;
            if into.len() >= max {
                break;
            }
            if !into[..chosen].contains(&column) {
                into.push(column);
            }
        }
    }

    fn select(&self, candidates: &mut [Candidate], max: usize, into: &mut Vec<u32>) {
        let mut nearest = candidates.iter().copied().min();
        let mut count = candidates.len();
        while into.len() < max
            && let Some(kept) = nearest
        {
            into.push(column(kept) as u32);
            let row = flat(self.lines(column(kept)));
            // Candidates are scattered over the row, and the matrix exceeds the first-level cache.
            distance::prefetch_at(row.as_ptr().cast(), size_of_val(row));
            (count, nearest) = strike(&mut candidates[..count], kept, row);
        }
    }
}

/// Removes the kept candidate and all candidates nearer to it than to the base. Returns the number left and the nearest
/// of them. (Branch-free, because survival is unpredictable.)
fn strike(
    candidates: &mut [Candidate],
    kept: Candidate,
    row: &[u16],
) -> (usize, Option<Candidate>) {
    let (mut left, mut least) = (0, Candidate::MAX);
    for i in 0..candidates.len() {
        let candidate = candidates[i];
        let stays = candidate != kept && is_nearer_to_base(candidate, row);
        candidates[left] = candidate;
        left += usize::from(stays);
        least = least.min(if stays { candidate } else { Candidate::MAX });
    }
    (left, (left > 0).then_some(least))
}

/// True if a candidate is nearer to the base than to the owner of this row.
fn is_nearer_to_base(candidate: Candidate, row: &[u16]) -> bool {
    ((candidate >> 16) as u16) < row[column(candidate)]
}

/// The entries of a row within a threshold.
fn collect(row: &[Lanes], threshold: u16, into: &mut Vec<Candidate>) {
    into.clear();
    let keys = (0..).zip(flat(row));
    into.extend(
        keys.filter(|(_, key)| **key <= threshold)
            .map(|(column, key)| u32::from(*key) << 16 | column),
    );
}

/// An odd number, so that a column of many rows is spread over the cache's sets.
fn lines_per_row(count: usize) -> usize {
    (count.next_multiple_of(COLUMNS) / LANES) | 1
}

/// All lines: mirrored tiles have padding rows, and reads extend two bytes past the last key.
fn lines(count: usize) -> usize {
    count.next_multiple_of(COLUMNS) * lines_per_row(count) + 1
}

fn flat(lines: &[Lanes]) -> &[u16] {
    // SAFETY: a line is 32 keys and nothing else.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LANES) }
}

fn flat_mut(lines: &mut [Lanes]) -> &mut [u16] {
    // SAFETY: a line is 32 keys and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LANES) }
}

/// The keys as a flat slice.
struct Matrix<'a> {
    keys: &'a mut [u16],
    stride: usize,
}

impl Matrix<'_> {
    #[inline]
    fn enter<const WIDTH: usize>(&mut self, row: usize, column: usize, keys: &[[u16; WIDTH]]) {
        for (row, keys) in (row..).zip(keys) {
            let start = row * self.stride + column;
            self.keys[start..start + WIDTH].copy_from_slice(keys);
        }
    }
}

/// Converts distances to keys: the upper bits of a positive float have its order. Only the low bits of the exponent are
/// kept, relative to the exponent of the largest possible distance; smaller exponents become zero.
#[derive(Clone, Copy, Debug)]
struct KeyScale {
    /// Dropped bits of the fraction: 11 or 10 remain.
    dropped: u32,
    /// The upper bits of the smallest nonzero distance.
    least: u32,
    /// The key of distance zero.
    zero: u32,
}

impl KeyScale {
    fn new(metric: CodeMetric, codes: &CodeSet, ids: &[u32]) -> KeyScale {
        let norms = ids.iter().map(|&id| codes.facts(id).squared_norm);
        let greatest_norm = norms.fold(0.0, f32::max);
        // Inner products reach one squared norm, L2 four; doubled, as codes are inexact.
        let (greatest, dropped, zero) = match metric {
            CodeMetric::InnerProduct => (2.0 * greatest_norm, 13, 1 << 15),
            CodeMetric::L2 | CodeMetric::L1 => (8.0 * greatest_norm, 12, 0),
        };
        let positive_keys = u32::from(FURTHEST) - 1 - zero;
        let least = (greatest.to_bits() >> dropped).saturating_sub(positive_keys);
        KeyScale {
            dropped,
            least,
            zero,
        }
    }

    #[inline(always)]
    fn key(self, distance: f32) -> u16 {
        let upper = (distance.to_bits() & 0x7fff_ffff) >> self.dropped;
        let size = upper
            .saturating_sub(self.least)
            .min(u32::from(FURTHEST) - 1 - self.zero);
        let key = if distance < 0.0 {
            self.zero.saturating_sub(size)
        } else {
            self.zero + size
        };
        key as u16
    }
}

/// Converts a tile of distances to keys.
struct Keys<'a> {
    scale: KeyScale,
    tile: &'a Tile<f32>,
}

impl Loops for Keys<'_> {
    type Output = Tile<u16>;

    #[inline(always)]
    fn run(self) -> Tile<u16> {
        let mut keys = [[0; COLUMNS]; ROWS];
        for (keys, distances) in keys.iter_mut().zip(self.tile) {
            for (key, &distance) in keys.iter_mut().zip(distances) {
                *key = self.scale.key(distance);
            }
        }
        keys
    }
}

/// A tile with rows and columns exchanged.
type Mirrored = [[u16; ROWS]; COLUMNS];

fn mirror(simd: Simd, keys: &Tile<u16>) -> Mirrored {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Avx512 => unsafe { avx512::mirror(keys) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Avx2 => unsafe { avx2::mirror(keys) },
        _ => std::array::from_fn(|column| std::array::from_fn(|row| keys[row][column])),
    }
}

/// Finds a threshold with about `nearest` keys of a row below it: the median over the lanes of each lane's second
/// smallest key. (Half of the 32 lanes have two keys or more below it. With keys spread over lanes at random, the mean
/// is then 1.7 per lane: 54 in all.)
struct Threshold<'a> {
    row: &'a [Lanes],
    nearest: usize,
}

/// About how many keys of the sampled lines are within the threshold.
const WITHIN: usize = 48;

impl Loops for Threshold<'_> {
    type Output = u16;

    #[inline(always)]
    fn run(self) -> u16 {
        let (mut least, mut second) = ([FURTHEST; LANES], [FURTHEST; LANES]);
        // The median over every other line admits twice `WITHIN` keys.
        for line in self.row.iter().step_by((self.nearest / WITHIN).max(1)) {
            for lane in 0..LANES {
                second[lane] = second[lane].min(line.0[lane].max(least[lane]));
                least[lane] = least[lane].min(line.0[lane]);
            }
        }
        median(&second).min(FURTHEST - 1)
    }
}

#[inline(always)]
fn median(keys: &[u16; LANES]) -> u16 {
    let mut less = [0_u16; LANES];
    for &other in keys {
        for lane in 0..LANES {
            less[lane] += u16::from(other < keys[lane]);
        }
    }
    // Keys in the upper half become zero, without branches.
    let lower = |lane: usize| keys[lane] * u16::from(less[lane] < LANES as u16 / 2);
    (0..LANES).map(lower).fold(0, u16::max)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Candidate, LANES, Lanes, Mirrored};
    use crate::tile::{COLUMNS, ROWS, Tile};
    use std::arch::x86_64::*;

    /// The number of candidates in a register.
    const WIDTH: usize = 8;

    /// For each lane mask, the selected lanes in order and their count: AVX2 has no compress instruction.
    static COMPRESSED: [([u8; WIDTH], u8); 256] = compressed();

    const fn compressed() -> [([u8; WIDTH], u8); 256] {
        let mut table = [([0; WIDTH], 0); 256];
        let mut set = 0;
        while set < 256 {
            let (lanes, count) = &mut table[set];
            let mut lane = 0;
            while lane < WIDTH {
                if set >> lane & 1 == 1 {
                    lanes[*count as usize] = lane as u8;
                    *count += 1;
                }
                lane += 1;
            }
            set += 1;
        }
        table
    }

    /// The AVX2 version of `collect`.
    #[target_feature(enable = "avx2")]
    pub(super) fn collect(row: &[Lanes], threshold: u16, into: &mut Vec<Candidate>) {
        into.clear();
        into.reserve(row.len() * LANES + WIDTH);
        let mut count = 0;
        for (number, line) in row.iter().enumerate() {
            let within = within(line, threshold);
            if within == 0 {
                continue;
            }
            for (part, keys) in line.0.as_chunks::<WIDTH>().0.iter().enumerate() {
                let first = (number * LANES + part * WIDTH) as i32;
                let (packed, more) =
                    compress(candidates(keys, first), (within >> (part * WIDTH)) as u8);
                // SAFETY: no more were collected than keys were looked at, and room for a register more was reserved.
                unsafe { _mm256_storeu_si256(into.as_mut_ptr().add(count).cast(), packed) };
                count += more;
            }
        }
        // SAFETY: `count` entries were reserved and written.
        unsafe { into.set_len(count) };
    }

    /// A mask of the keys of a line within the threshold.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn within(line: &Lanes, threshold: u16) -> u32 {
        let threshold = _mm256_set1_epi16(threshold.cast_signed());
        let half = |half: usize| {
            let keys: &[u16; 16] = &line.0.as_chunks().0[half];
            // SAFETY: half a line is 32 bytes, aligned to 32.
            let keys = unsafe { _mm256_load_si256((&raw const *keys).cast()) };
            _mm256_cmpeq_epi16(_mm256_min_epu16(keys, threshold), keys)
        };
        // One byte per key; packing interleaves the 128-bit halves.
        let bytes = _mm256_packs_epi16(half(0), half(1));
        _mm256_movemask_epi8(_mm256_permute4x64_epi64::<0b11_01_10_00>(bytes)).cast_unsigned()
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn candidates(keys: &[u16; WIDTH], first: i32) -> __m256i {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        // SAFETY: eight keys are 16 bytes.
        let keys = unsafe { _mm_loadu_si128((&raw const *keys).cast()) };
        let keys = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(keys));
        _mm256_or_si256(keys, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)))
    }

    /// Moves the selected lanes to the front and returns their count.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn compress(candidates: __m256i, lanes: u8) -> (__m256i, usize) {
        let (lanes, count) = &COMPRESSED[usize::from(lanes)];
        // SAFETY: eight lanes are eight bytes.
        let lanes = unsafe { _mm_loadl_epi64((&raw const *lanes).cast()) };
        let packed = _mm256_permutevar8x32_epi32(candidates, _mm256_cvtepu8_epi32(lanes));
        (packed, usize::from(*count))
    }

    /// The AVX-512 algorithm, in two halves.
    #[target_feature(enable = "avx2")]
    pub(super) fn mirror(keys: &Tile<u16>) -> Mirrored {
        let mut mirrored = [[0; ROWS]; COLUMNS];
        for (half, into) in mirrored.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            mirror_half(keys, half, into);
        }
        mirrored
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn mirror_half(keys: &Tile<u16>, half: usize, into: &mut [[u16; ROWS]; 16]) {
        let row = |row: usize| {
            let keys: &[u16; 16] = &keys[row].as_chunks().0[half];
            // SAFETY: 16 keys are 32 bytes.
            unsafe { _mm256_loadu_si256((&raw const *keys).cast()) }
        };
        let pairs = |rows: usize| {
            let (even, odd) = (row(rows), row(rows + 1));
            (
                _mm256_unpacklo_epi16(even, odd),
                _mm256_unpackhi_epi16(even, odd),
            )
        };
        let pairs = [pairs(0), pairs(2), pairs(4), pairs(6)];
        let (low, high) = (pairs.map(|pair| pair.0), pairs.map(|pair| pair.1));
        for (half, [a, b, c, d]) in [low, high].into_iter().enumerate() {
            let fours = [
                (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d)),
                (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d)),
            ];
            for (pair, (upper, lower)) in fours.into_iter().enumerate() {
                let first = half * 4 + pair * 2;
                lay(_mm256_unpacklo_epi64(upper, lower), first, into);
                lay(_mm256_unpackhi_epi64(upper, lower), first + 1, into);
            }
        }
    }

    /// Stores a register of two columns, eight apart.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn lay(columns: __m256i, first: usize, into: &mut [[u16; ROWS]; 16]) {
        let halves = [
            _mm256_castsi256_si128(columns),
            _mm256_extracti128_si256::<1>(columns),
        ];
        for (into, column) in into[first..].iter_mut().step_by(8).zip(halves) {
            // SAFETY: a column is 16 bytes.
            unsafe { _mm_storeu_si128((&raw mut *into).cast(), column) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Candidate, LANES, Lanes, Mirrored, column};
    use crate::tile::{COLUMNS, ROWS, Tile};
    use std::arch::x86_64::*;

    /// The number of candidates in a register.
    const WIDTH: usize = 16;

    /// # Safety
    /// The CPU has AVX-512 F and BW.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn collect(row: &[Lanes], threshold: u16, into: &mut Vec<Candidate>) {
        into.clear();
        into.reserve(row.len() * LANES + WIDTH);
        let threshold = _mm512_set1_epi16(threshold.cast_signed());
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut count = 0;
        for (number, line) in row.iter().enumerate() {
            // SAFETY: a line is 64 bytes, aligned to 64.
            let keys = unsafe { _mm512_load_si512((&raw const *line).cast()) };
            let within = _mm512_cmple_epu16_mask(keys, threshold);
            if within == 0 {
                continue;
            }
            let halves = [
                (_mm512_castsi512_si256(keys), within as u16, 0),
                (
                    _mm512_extracti64x4_epi64::<1>(keys),
                    (within >> WIDTH) as u16,
                    WIDTH,
                ),
            ];
            for (keys, within, first) in halves {
                let columns =
                    _mm512_add_epi32(lanes, _mm512_set1_epi32((number * LANES + first) as i32));
                let candidates = _mm512_or_si512(
                    _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(keys)),
                    columns,
                );
                let packed = _mm512_maskz_compress_epi32(within, candidates);
                // SAFETY: no more were collected than keys were looked at, and room for a register more was reserved.
                unsafe { _mm512_storeu_si512(into.as_mut_ptr().add(count).cast(), packed) };
                count += within.count_ones() as usize;
            }
        }
        // SAFETY: `count` entries were reserved and written.
        unsafe { into.set_len(count) };
    }

    /// Interleaves rows three times, by one, two and four keys; then each 16 bytes are a column.
    ///
    /// # Safety
    /// The CPU has AVX-512 F and BW.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn mirror(keys: &Tile<u16>) -> Mirrored {
        // SAFETY: a row of a tile is 64 bytes.
        let row = |row: usize| unsafe { _mm512_loadu_si512((&raw const keys[row]).cast()) };
        let pairs = |rows: usize| {
            let (even, odd) = (row(rows), row(rows + 1));
            (
                _mm512_unpacklo_epi16(even, odd),
                _mm512_unpackhi_epi16(even, odd),
            )
        };
        let pairs = [pairs(0), pairs(2), pairs(4), pairs(6)];
        let (low, high) = (pairs.map(|pair| pair.0), pairs.map(|pair| pair.1));
        let mut mirrored = [[0; ROWS]; COLUMNS];
        for (half, [a, b, c, d]) in [low, high].into_iter().enumerate() {
            let fours = [
                (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)),
                (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)),
            ];
            for (pair, (upper, lower)) in fours.into_iter().enumerate() {
                let first = half * 4 + pair * 2;
                lay(_mm512_unpacklo_epi64(upper, lower), first, &mut mirrored);
                lay(
                    _mm512_unpackhi_epi64(upper, lower),
                    first + 1,
                    &mut mirrored,
                );
            }
        }
        mirrored
    }

    /// Stores a register of four columns, eight apart.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn lay(columns: __m512i, first: usize, into: &mut Mirrored) {
        let mut four = [[0_u16; ROWS]; 4];
        // SAFETY: four columns of 16 bytes.
        unsafe { _mm512_storeu_si512((&raw mut four).cast(), columns) };
        for (into, column) in into[first..].iter_mut().step_by(8).zip(four) {
            *into = column;
        }
    }

    /// The AVX-512 version of `AllPairs::select`.
    ///
    /// # Safety
    /// The CPU has AVX-512 F; candidates are columns of `keys`, with room for a register behind them; each of their rows is
    /// followed by another line.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn select(
        keys: &[Lanes],
        lines_per_row: usize,
        candidates: &mut Vec<Candidate>,
        max: usize,
        into: &mut Vec<u32>,
    ) {
        debug_assert!(candidates.capacity() >= candidates.len() + WIDTH);
        let start = candidates.as_mut_ptr();
        let mut count = candidates.len();
        // SAFETY: candidates are followed by room for a register.
        let mut nearest = unsafe { least(start, count) };
        while count > 0 && into.len() < max {
            into.push(column(nearest) as u32);
            let row = keys[column(nearest) * lines_per_row..].as_ptr();
            // SAFETY: as promised by the caller.
            (count, nearest) = unsafe { strike(start, count, nearest, row) };
        }
        candidates.truncate(count);
    }

    /// A mask of the lanes with candidates.
    fn live(left: usize) -> __mmask16 {
        if left >= WIDTH { !0 } else { (1 << left) - 1 }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn least(candidates: *const Candidate, count: usize) -> Candidate {
        let mut least = _mm512_set1_epi32(-1);
        for first in (0..count).step_by(WIDTH) {
            // SAFETY: the caller's candidates are followed by room for a register.
            let some = unsafe { _mm512_loadu_si512(candidates.add(first).cast()) };
            least = _mm512_mask_min_epu32(least, live(count - first), least, some);
        }
        _mm512_reduce_min_epu32(least)
    }

    /// Removes the kept candidate and all candidates nearer to it than to the base. Returns the number left and the nearest
    /// of them.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn strike(
        candidates: *mut Candidate,
        count: usize,
        kept: Candidate,
        row: *const Lanes,
    ) -> (usize, Candidate) {
        let (mut left, mut least) = (0, _mm512_set1_epi32(-1));
        let kept = _mm512_set1_epi32(kept.cast_signed());
        for first in (0..count).step_by(WIDTH) {
            let live = live(count - first);
            // SAFETY: the caller's candidates are followed by room for a register.
            let some = unsafe { _mm512_loadu_si512(candidates.add(first).cast()) };
            let columns = _mm512_and_si512(some, _mm512_set1_epi32(0xffff));
            // SAFETY: columns of the row, two bytes each; the row is followed by another line.
            let keys =
                unsafe { _mm512_mask_i32gather_epi32::<2>(columns, live, columns, row.cast()) };
            // The key is the lower half of the 4 bytes read. Above a candidate's column it compares like its key.
            let to_kept = _mm512_slli_epi32::<16>(keys);
            let nearer = _mm512_mask_cmpgt_epu32_mask(live, to_kept, some);
            let stay = _mm512_mask_cmpneq_epi32_mask(nearer, some, kept);
            // SAFETY: what stays is written over what was read already.
            unsafe {
                _mm512_storeu_si512(
                    candidates.add(left).cast(),
                    _mm512_maskz_compress_epi32(stay, some),
                );
            }
            least = _mm512_mask_min_epu32(least, stay, least, some);
            left += stay.count_ones() as usize;
        }
        (left, _mm512_reduce_min_epu32(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodedRow;

    fn set(count: usize, metric: CodeMetric) -> CodeSet {
        let mut set = CodeSet::new(20, metric);
        let mut row = EncodedRow::new();
        for vector in 0..count {
            let value = |d: usize| {
                ((vector * 7919 + d * 104_729 + vector * d) % 2003) as f32 / 1001.0 - 1.0
            };
            row.encode(&(0..20).map(value).collect::<Vec<_>>());
            set.push(&row);
        }
        set
    }

    fn pairs(codes: &CodeSet, simd: Simd) -> AllPairs {
        let ids: Vec<u32> = (0..codes.len() as u32).collect();
        let mut pairs = AllPairs::with_simd(codes.metric(), simd);
        // Keys of an earlier leaf have no influence.
        pairs.compute(codes, &ids[..ids.len() / 2]);
        pairs.compute(codes, &ids);
        pairs
    }

    #[test]
    fn keys_order_as_distances_do() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            for count in [0, 1, 2, 8, 31, 32, 33, 100, 257] {
                let codes = set(count, metric);
                let pairs = pairs(&codes, Simd::current());
                let mut distances = Vec::new();
                for a in 0..count {
                    let row = flat(pairs.lines(a));
                    assert_eq!(row[a], FURTHEST);
                    assert!(row[count..].iter().all(|key| *key == FURTHEST));
                    let others = (0..count).filter(|b| *b != a);
                    distances.extend(others.map(|b| (codes.distance(a as u32, b as u32), row[b])));
                }
                distances.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    distances.is_sorted_by_key(|(_, key)| *key),
                    "{metric:?} {count}"
                );
                let different = distances.chunk_by(|a, b| a.1 == b.1).count();
                assert!(
                    different >= count.saturating_sub(1).min(100),
                    "{different} keys of {count} vectors"
                );
            }
        }
    }

    #[test]
    fn a_giant_among_them_does_not_make_all_keys_equal() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            let mut codes = set(100, metric);
            let mut row = EncodedRow::new();
            row.encode(&[100.0; 20]);
            codes.push(&row);
            let pairs = pairs(&codes, Simd::current());
            let mut keys = flat(pairs.lines(0))[..100].to_vec();
            keys.sort_unstable();
            keys.dedup();
            assert!(keys.len() > 90, "{metric:?} {}", keys.len());
        }
    }

    /// Algorithm 4 as the paper has it.
    fn select(pairs: &AllPairs, base: usize, max: usize) -> Vec<u32> {
        let to_base = &flat(pairs.lines(base))[..pairs.len()];
        let mut candidates: Vec<usize> = (0..to_base.len()).filter(|&c| c != base).collect();
        candidates.sort_by_key(|&c| to_base[c]);
        let mut kept: Vec<u32> = Vec::new();
        for candidate in candidates {
            let to_kept = |kept: &u32| flat(pairs.lines(*kept as usize))[candidate];
            if kept.len() < max && kept.iter().all(|k| to_base[candidate] < to_kept(k)) {
                kept.push(candidate as u32);
            }
        }
        kept
    }

    /// The same, with a selection of few filled with the nearest of the rest.
    fn select_and_fill(pairs: &AllPairs, base: usize, max: usize) -> Vec<u32> {
        let mut kept = select(pairs, base, max);
        if kept.len() < FEW {
            let to_base = flat(pairs.lines(base));
            let is_left = |c: &u32| *c as usize != base && !kept.contains(c);
            let mut rest: Vec<u32> = (0..pairs.len() as u32).filter(is_left).collect();
            rest.sort_by_key(|&c| to_base[c as usize]);
            rest.truncate(max.min(FILLED).saturating_sub(kept.len()));
            kept.extend(rest);
        }
        kept
    }

    #[test]
    fn neighbors_are_chosen_by_algorithm_4_from_all_if_they_are_few() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            for count in [1, 2, 20, 90] {
                let codes = set(count, metric);
                for simd in Simd::available() {
                    let mut pairs = pairs(&codes, simd);
                    let mut chosen = Vec::new();
                    for i in 0..count {
                        pairs.choose(i, 48, 10, &mut chosen);
                        assert_eq!(chosen, select_and_fill(&pairs, i, 10), "{simd:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn neighbors_are_the_same_on_every_cpu_and_begin_with_the_nearest() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            let codes = set(700, metric);
            let mut oracle = pairs(&codes, Simd::Scalar);
            for simd in Simd::available() {
                let mut pairs = pairs(&codes, simd);
                let (mut expected, mut chosen) = (Vec::new(), Vec::new());
                for i in 0..codes.len() {
                    pairs.choose(i, 48, 16, &mut chosen);
                    oracle.choose(i, 48, 16, &mut expected);
                    assert_eq!(chosen, expected, "{simd:?}");
                    let selected = select(&pairs, i, 700);
                    let pairs = chosen.iter().zip(&selected);
                    let same = pairs.take_while(|(one, other)| one == other).count();
                    // Among the nearest alone fewer may be selected than among all, and are filled.
                    let is_filled = same > 0 && chosen.len() == FILLED;
                    assert!(same == chosen.len() || is_filled, "{chosen:?} {selected:?}");
                }
            }
        }
    }

    #[test]
    fn about_as_many_candidates_are_looked_at_as_asked_for() {
        let codes = set(900, CodeMetric::L2);
        let pairs = pairs(&codes, Simd::current());
        for nearest in [48, 96, 200] {
            let within = |i: usize| {
                let row = pairs.lines(i);
                let threshold = Simd::current().run(Threshold { row, nearest });
                flat(row).iter().filter(|key| **key <= threshold).count()
            };
            let mean = (0..900).map(within).sum::<usize>() / 900;
            assert!(
                (nearest * 9 / 10..nearest * 3 / 2).contains(&mean),
                "{mean} instead of {nearest}"
            );
        }
    }

    #[test]
    fn vectors_that_are_all_alike_choose_the_first() {
        let mut codes = CodeSet::new(20, CodeMetric::L2);
        let mut row = EncodedRow::new();
        row.encode(&[0.5; 20]);
        (0..300).for_each(|_| codes.push(&row));
        let mut pairs = pairs(&codes, Simd::current());
        let mut chosen = Vec::new();
        pairs.choose(7, 48, 16, &mut chosen);
        assert_eq!(chosen, [0, 1, 2, 3, 4, 5, 6, 8]);
    }
}
