//! Distances between two lists of vectors: the inner loop of a build.
//!
//! A tile is 8 rows by 32 columns. Columns are packed: groups of four levels of 16 columns share a line, and the same
//! group of a row is broadcast against them. The sums of a tile stay in registers, so a pair costs little more than its
//! multiplications. Sums are exact; the formula of `CodeSet::distance` converts them to distances, equal to the last bit.
#![expect(unsafe_code, reason = "kernels for CPU features found at run time")]

use crate::CodeMetric;
use crate::code_set::{CodeSet, Facts};
use crate::dot::{LINE, Line, dot_lines};
use crate::simd::{Loops, Simd};

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;

/// Columns of a tile.
pub(crate) const COLUMNS: usize = 32;

/// Levels multiplied and added up in one step.
const GROUP: usize = 4;

/// Columns packed side by side.
const PACKED: usize = LINE / GROUP;

/// Inner products or distances of 8 rows and 32 columns.
pub(crate) type Tile<T> = [[T; COLUMNS]; ROWS];

/// Packed vectors, for distances to many at once.
#[derive(Debug)]
pub struct Columns {
    metric: CodeMetric,
    simd: Simd,
    count: usize,
    /// One line per 16 columns and group of four dimensions.
    packed: Vec<Line>,
    scales: Vec<f32>,
    squared_norms: Vec<f32>,
}

impl Columns {
    /// Without columns. Distances are of this metric, whatever the set's own; L1 is not an inner product and has no tiles.
    #[must_use]
    pub fn new(metric: CodeMetric) -> Columns {
        Columns::with_simd(metric, Simd::current())
    }

    pub(crate) fn with_simd(metric: CodeMetric, simd: Simd) -> Columns {
        assert_ne!(metric, CodeMetric::L1, "L1 has no tiles");
        Columns {
            metric,
            simd,
            count: 0,
            packed: Vec::new(),
            scales: Vec::new(),
            squared_norms: Vec::new(),
        }
    }

    /// Bytes of `count` columns.
    #[must_use]
    pub fn bytes_needed(count: usize, dimensions: usize) -> usize {
        let levels = dimensions.div_ceil(LINE).max(1) * LINE;
        count.next_multiple_of(COLUMNS) * (levels + 2 * size_of::<f32>())
    }

    /// Packs these vectors of a set, replacing the previous columns.
    pub fn pack(&mut self, codes: &CodeSet, ids: &[u32]) {
        self.count = ids.len();
        self.clear(codes);
        self.scales
            .extend(ids.iter().map(|&id| codes.facts(id).scale));
        self.scales.resize(self.width(), 0.0);
        self.squared_norms
            .extend(ids.iter().map(|&id| codes.facts(id).squared_norm));
        self.squared_norms.resize(self.width(), 0.0);
        self.pack_levels(codes, ids);
    }

    fn clear(&mut self, codes: &CodeSet) {
        let lines = self.width() / PACKED * codes.lines_per_row() * PACKED;
        make_room(&mut self.packed, lines);
        // Padding columns may keep old contents: their distances are never read.
        self.packed.resize(lines, Line::ZERO);
        for values in [&mut self.scales, &mut self.squared_norms] {
            values.clear();
            values.reserve_exact(self.count.next_multiple_of(COLUMNS));
        }
    }

    fn pack_levels(&mut self, codes: &CodeSet, ids: &[u32]) {
        // VNNI needs one unsigned operand: flipping the sign bit adds 128.
        let flip = if unsigned_columns(self.simd) {
            i8::MIN
        } else {
            0
        };
        let lines = codes.lines_per_row() * PACKED;
        let mut next = ids.iter().skip(PACKED);
        for (packed, ids) in self.packed.chunks_exact_mut(lines).zip(ids.chunks(PACKED)) {
            next.by_ref()
                .take(PACKED)
                .for_each(|&id| codes.prefetch(id));
            for (part, packed) in packed.as_chunks_mut::<PACKED>().0.iter_mut().enumerate() {
                for (column, &id) in ids.iter().enumerate() {
                    let line = Line(codes.row(id)[part].0.map(|level| level ^ flip));
                    scatter(&line, packed, column);
                }
            }
        }
    }

    /// The number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if no vectors are packed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of a row of distances: the columns, padded to whole tiles.
    #[must_use]
    pub fn width(&self) -> usize {
        self.count.next_multiple_of(COLUMNS)
    }

    /// Computes distances between vectors of a set of the same dimensions and all columns: a row of `width` for each vector.
    /// Padding columns are at infinite distance.
    pub fn compute(&self, codes: &CodeSet, rows: &[u32], distances: &mut [f32]) {
        let width = self.width();
        for (rows, distances) in strips(codes, rows).zip(distances.chunks_mut(ROWS * width)) {
            self.each_tile(codes, rows, 0, |first, tile| {
                for (distances, row) in distances.chunks_exact_mut(width).zip(tile) {
                    distances[first..first + COLUMNS].copy_from_slice(row);
                }
            });
        }
        for distances in distances.chunks_exact_mut(width.max(1)) {
            distances[self.count..].fill(f32::INFINITY);
        }
    }

    /// The `count` columns nearest to each of these vectors (or all, if fewer), nearest first. `distances` is scratch memory.
    pub fn nearest(
        &self,
        codes: &CodeSet,
        rows: &[u32],
        count: usize,
        distances: &mut Vec<f32>,
        into: &mut [u32],
    ) {
        assert!(0 < count && count <= self.count);
        let mut nearest = Vec::with_capacity(count + 1);
        let each = self.each_row(codes, rows, distances);
        for (distances, into) in each.zip(into.chunks_mut(count)) {
            nearest.clear();
            self.merge(distances, 0, count, &mut nearest);
            fill(&nearest, into);
        }
    }

    /// Merges the columns into the `count` nearest found so far of each vector, nearest first: `found[slots[i]]` belongs to
    /// `rows[i]`. The columns are numbered from `first` on. `distances` is scratch memory.
    #[expect(clippy::too_many_arguments, reason = "a kernel's input and output")]
    pub fn merge_nearest(
        &self,
        codes: &CodeSet,
        rows: &[u32],
        first: u32,
        count: usize,
        distances: &mut Vec<f32>,
        slots: &[u32],
        found: &mut [Vec<(f32, u32)>],
    ) {
        let each = self.each_row(codes, rows, distances);
        for (distances, &slot) in each.zip(slots) {
            self.merge(distances, first, count, &mut found[slot as usize]);
        }
    }

    /// The distances of each vector to all columns.
    fn each_row<'a>(
        &self,
        codes: &CodeSet,
        rows: &[u32],
        distances: &'a mut Vec<f32>,
    ) -> impl Iterator<Item = &'a [f32]> {
        distances.resize(rows.len() * self.width(), 0.0);
        self.compute(codes, rows, distances);
        distances.chunks(self.width())
    }

    fn merge(&self, distances: &[f32], first: u32, count: usize, nearest: &mut Vec<(f32, u32)>) {
        self.simd.run(Nearest {
            distances,
            first,
            count,
            nearest,
        });
    }

    /// Computes distances between one to eight vectors and all columns from the tile of `first` on. Calls back with each tile
    /// and its first column; padding rows and columns have meaningless distances.
    pub(crate) fn each_tile(
        &self,
        codes: &CodeSet,
        rows: &[u32],
        first: usize,
        mut take: impl FnMut(usize, &Tile<f32>),
    ) {
        let id = |row: usize| rows[row.min(rows.len() - 1)];
        let lines: [&[Line]; ROWS] = std::array::from_fn(|row| codes.row(id(row)));
        let facts: [Facts; ROWS] = std::array::from_fn(|row| codes.facts(id(row)));
        let folded = fold(self.simd, &lines);
        let (mut dots, mut distances) = ([[0; COLUMNS]; ROWS], [[0.0; COLUMNS]; ROWS]);
        let lines_per_tile = codes.lines_per_row() * COLUMNS;
        for number in first / COLUMNS..self.width() / COLUMNS {
            let packed = &self.packed[number * lines_per_tile..(number + 1) * lines_per_tile];
            multiply(self.simd, &lines, &facts, &folded, packed, &mut dots);
            self.simd.run(Finish {
                metric: self.metric,
                dots: &dots,
                rows: &facts,
                scales: &self.scales.as_chunks().0[number],
                squared_norms: &self.squared_norms.as_chunks().0[number],
                distances: &mut distances,
            });
            take(number * COLUMNS, &distances);
        }
    }
}

/// A tile's rows at a time. The codes of the next rows are prefetched meanwhile.
pub(crate) fn strips<'a>(codes: &CodeSet, rows: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
    rows.chunks(ROWS).enumerate().map(move |(strip, ids)| {
        let next = rows.iter().skip((strip + 1) * ROWS).take(ROWS);
        next.for_each(|&id| codes.prefetch(id));
        ids
    })
}

/// Reallocates a list to an exact capacity, discarding its items: growing in place might take twice as much, and the old
/// list besides.
pub(crate) fn make_room<T>(items: &mut Vec<T>, count: usize) {
    if items.capacity() < count {
        *items = Vec::new();
        items.reserve_exact(count);
    }
}

/// Distributes the groups of a line over packed lines, one column each.
#[inline(always)]
fn scatter(line: &Line, packed: &mut [Line; PACKED], column: usize) {
    for (group, packed) in line.0.as_chunks::<GROUP>().0.iter().zip(packed) {
        packed.0.as_chunks_mut::<GROUP>().0[column] = *group;
    }
}

/// Rows folded together for AVX2, two per number.
const FOLDED: usize = ROWS / CHAIN * (CHAIN - 1);

/// Rows per chain: their inner products take one folded row less.
const CHAIN: usize = 4;

/// The same group of all folded rows.
type Folded = [[i16; GROUP]; FOLDED];

/// The groups of folded rows; no group for kernels without folding.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "only AVX2 needs folded rows")
)]
fn fold(simd: Simd, rows: &[&[Line]; ROWS]) -> Vec<Folded> {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => {
            let mut folded = vec![Folded::default(); rows[0].len() * PACKED];
            let into = &mut folded;
            simd.run(Fold { rows, into });
            folded
        }
        _ => Vec::new(),
    }
}

/// Folds each row of a chain with the next: `row + 256 * next`.
#[cfg(target_arch = "x86_64")]
struct Fold<'a> {
    rows: &'a [&'a [Line]; ROWS],
    into: &'a mut [Folded],
}

#[cfg(target_arch = "x86_64")]
impl Loops for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for number in 0..FOLDED {
            let first = number / (CHAIN - 1) * CHAIN + number % (CHAIN - 1);
            let lines = self.rows[first].iter().zip(self.rows[first + 1]);
            for ((row, next), into) in lines.zip(self.into.as_chunks_mut::<PACKED>().0) {
                let mut levels = [0; LINE];
                for (level, (&row, &next)) in levels.iter_mut().zip(row.0.iter().zip(&next.0)) {
                    *level = i16::from(row) + 256 * i16::from(next);
                }
                for (into, group) in into.iter_mut().zip(levels.as_chunks().0) {
                    into[number] = *group;
                }
            }
        }
    }
}

/// Converts a tile of inner products to distances.
struct Finish<'a> {
    metric: CodeMetric,
    dots: &'a Tile<i32>,
    rows: &'a [Facts; ROWS],
    scales: &'a [f32; COLUMNS],
    squared_norms: &'a [f32; COLUMNS],
    distances: &'a mut Tile<f32>,
}

impl Loops for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for ((dots, row), distances) in self.dots.iter().zip(self.rows).zip(self.distances) {
            for column in 0..COLUMNS {
                let column_facts = Facts {
                    scale: self.scales[column],
                    squared_norm: self.squared_norms[column],
                    sum: 0,
                };
                distances[column] = row.distance(self.metric, column_facts, dots[column]);
            }
        }
    }
}

/// Lanes per comparison.
const LANES: usize = 16;

/// Copies the numbers of the nearest. Where infinite distances left too few, any numbers will do.
pub fn fill(nearest: &[(f32, u32)], into: &mut [u32]) {
    let others = (0..).filter(|number| nearest.iter().all(|(_, found)| found != number));
    let found = nearest.iter().map(|&(_, number)| number).chain(others);
    into.iter_mut()
        .zip(found)
        .for_each(|(into, number)| *into = number);
}

/// Merges the few nearest columns of a row into those found so far.
struct Nearest<'a> {
    distances: &'a [f32],
    /// The number of the first column.
    first: u32,
    count: usize,
    nearest: &'a mut Vec<(f32, u32)>,
}

impl Loops for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut furthest = self.furthest();
        for (block, distances) in self.distances.as_chunks::<LANES>().0.iter().enumerate() {
            if !distances
                .iter()
                .fold(false, |any, &distance| any | (distance < furthest))
            {
                continue;
            }
            for (lane, &distance) in distances.iter().enumerate() {
                if distance < furthest {
                    let place = self
                        .nearest
                        .partition_point(|&(before, _)| before <= distance);
                    let number = self.first + (block * LANES + lane) as u32;
                    self.nearest.insert(place, (distance, number));
                    self.nearest.truncate(self.count);
                    furthest = self.furthest();
                }
            }
        }
    }
}

impl Nearest<'_> {
    /// Only nearer columns are merged.
    #[inline(always)]
    fn furthest(&self) -> f32 {
        match self.nearest.get(self.count - 1) {
            Some(&(distance, _)) => distance,
            None => f32::INFINITY,
        }
    }
}

fn unsigned_columns(simd: Simd) -> bool {
    match simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => true,
        _ => false,
    }
}

/// The exact inner products of eight rows with the columns of a tile, packed in two halves of 16.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(
        unused_variables,
        reason = "only VNNI needs sums, only AVX2 folded rows"
    )
)]
fn multiply(
    simd: Simd,
    rows: &[&[Line]; ROWS],
    facts: &[Facts; ROWS],
    folded: &[Folded],
    packed: &[Line],
    into: &mut Tile<i32>,
) {
    let (left, right) = packed.split_at(packed.len() / 2);
    assert!(
        rows.iter().all(|row| row.len() * PACKED == left.len()),
        "rows and columns have the same dimensions"
    );
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features; rows are as long as the columns.
        Simd::Avx512 => unsafe { x86_64::avx512(rows, facts, left, right, into) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features.
        Simd::Avx2 => unsafe { x86_64::avx2(folded, left, right, into) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features; rows are as long as the columns.
        Simd::Neon => unsafe { aarch64::neon(rows, left, right, into) },
        Simd::Scalar => scalar(rows, left, right, into),
    }
}

/// The reference implementation.
fn scalar(rows: &[&[Line]; ROWS], left: &[Line], right: &[Line], into: &mut Tile<i32>) {
    into.as_flattened_mut().fill(0);
    for (half, packed) in [left, right].into_iter().enumerate() {
        for (part, packed) in packed.as_chunks::<PACKED>().0.iter().enumerate() {
            let columns = unpack(packed);
            for (row, into) in rows.iter().zip(&mut *into) {
                let into = &mut into.as_chunks_mut::<PACKED>().0[half];
                for (column, into) in columns.iter().zip(into) {
                    *into += dot_lines(&row[part], column);
                }
            }
        }
    }
}

/// Packing is a transposition of groups, so packing twice restores the columns.
fn unpack(packed: &[Line; PACKED]) -> [Line; PACKED] {
    let mut columns = [Line::ZERO; PACKED];
    for (group, packed) in packed.iter().enumerate() {
        scatter(packed, &mut columns, group);
    }
    columns
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{CHAIN, COLUMNS, FOLDED, Facts, Folded, GROUP, Line, PACKED, ROWS, Tile};
    use std::arch::x86_64::*;

    /// # Safety
    /// The CPU has the features, and each row has as many groups as `left` and `right` have lines.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn avx512(
        rows: &[&[Line]; ROWS],
        facts: &[Facts; ROWS],
        left: &[Line],
        right: &[Line],
        into: &mut Tile<i32>,
    ) {
        let rows = rows.map(|row| row.as_ptr().cast::<i32>());
        // The columns have 128 added to each level: subtract it in advance.
        let mut sums = facts.map(|facts| [_mm512_set1_epi32(-128 * facts.sum); 2]);
        for (step, (left, right)) in left.iter().zip(right).enumerate() {
            // SAFETY: a line is 64 bytes, aligned to 64.
            let (left, right) = unsafe {
                (
                    _mm512_load_si512((&raw const *left).cast()),
                    _mm512_load_si512((&raw const *right).cast()),
                )
            };
            for (row, sums) in rows.iter().zip(&mut sums) {
                // SAFETY: the caller's rows have a group for each line of the columns.
                let group = _mm512_set1_epi32(unsafe { row.add(step).read() });
                sums[0] = _mm512_dpbusd_epi32(sums[0], left, group);
                sums[1] = _mm512_dpbusd_epi32(sums[1], right, group);
            }
        }
        for (sums, into) in sums.iter().zip(into) {
            for (sum, into) in sums.iter().zip(into.as_chunks_mut::<PACKED>().0) {
                // SAFETY: 16 sums of four bytes.
                unsafe { _mm512_storeu_si512((&raw mut *into).cast(), *sum) };
            }
        }
    }

    /// Columns per pass of the AVX2 kernel: half the registers, of half the width.
    const PASS_COLUMNS: usize = 8;

    /// Groups until sums are unfolded, to stay exact: 512 levels.
    const UNFOLD_AFTER: usize = 512 / GROUP;

    /// AVX2 sums products of 16 bits in 32; an inner product of 512 levels needs only 24. Four rows a, b, c, d are passed as
    /// three: a + 256 b, b + 256 c, c + 256 d, which saves a quarter of the multiplications.
    ///
    /// (Products of 8 bits are no faster: pairs are summed to 16 bits, a second addition overflows, and one operand has to take
    /// the other's signs.)
    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(folded: &[Folded], left: &[Line], right: &[Line], into: &mut Tile<i32>) {
        assert_eq!(folded.len(), left.len(), "rows as long as the columns");
        for first in (0..left.len()).step_by(UNFOLD_AFTER) {
            let part = first..left.len().min(first + UNFOLD_AFTER);
            for pass in 0..COLUMNS / PASS_COLUMNS {
                let packed = if pass < 2 { left } else { right };
                let sums = avx2_pass(&folded[part.clone()], &packed[part.clone()], pass % 2);
                for (chain, into) in sums.as_chunks().0.iter().zip(into.as_chunks_mut().0) {
                    unfold(chain, into, pass, first > 0);
                }
            }
        }
    }

    /// Folded rows against eight columns, four in each of two registers: the sums of the first and second half of all
    /// groups, side by side.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn avx2_pass(folded: &[Folded], packed: &[Line], half: usize) -> [[__m256i; 2]; FOLDED] {
        let mut sums = [[_mm256_setzero_si256(); 2]; FOLDED];
        for (rows, line) in folded.iter().zip(packed) {
            let columns: &[[i8; 16]; 2] = &line.0.as_chunks().0.as_chunks().0[half];
            // SAFETY: 16 bytes of a line.
            let columns = columns.each_ref().map(|columns| unsafe {
                _mm256_cvtepi8_epi16(_mm_loadu_si128((&raw const *columns).cast()))
            });
            for (group, sums) in rows.iter().zip(&mut sums) {
                // SAFETY: a group is eight bytes.
                let group = unsafe { _mm_loadl_epi64((&raw const *group).cast()) };
                let group = _mm256_broadcastq_epi64(group);
                for (columns, sum) in columns.iter().zip(sums) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*columns, group));
                }
            }
        }
        sums
    }

    /// Adds the halves of all groups, and sorts the columns.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn join(sums: [__m256i; 2]) -> __m256i {
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[0], sums[1]))
    }

    /// Unfolds a + 256 b, b + 256 c and c + 256 d, the folded inner products of a chain. Combined, b and c cancel and leave
    /// a + 2^24 d: its lower 24 bits are a, and the others follow.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn unfold(
        sums: &[[__m256i; 2]; CHAIN - 1],
        into: &mut [[i32; COLUMNS]; CHAIN],
        pass: usize,
        add: bool,
    ) {
        let (ab, bc, cd) = (join(sums[0]), join(sums[1]), join(sums[2]));
        let without_b = _mm256_sub_epi32(ab, _mm256_slli_epi32::<8>(bc));
        let without_c = _mm256_add_epi32(without_b, _mm256_slli_epi32::<16>(cd));
        let a = _mm256_srai_epi32::<8>(_mm256_slli_epi32::<8>(without_c));
        let b = _mm256_srai_epi32::<8>(_mm256_sub_epi32(ab, a));
        let c = _mm256_srai_epi32::<8>(_mm256_sub_epi32(bc, b));
        let d = _mm256_srai_epi32::<8>(_mm256_sub_epi32(cd, c));
        for (dots, into) in [a, b, c, d].into_iter().zip(into) {
            put(dots, &mut into.as_chunks_mut().0[pass], add);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn put(dots: __m256i, into: &mut [i32; PASS_COLUMNS], add: bool) {
        let into: *mut __m256i = (&raw mut *into).cast();
        // SAFETY: eight sums of four bytes.
        unsafe {
            let before = if add {
                _mm256_loadu_si256(into)
            } else {
                _mm256_setzero_si256()
            };
            _mm256_storeu_si256(into, _mm256_add_epi32(before, dots));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use super::{COLUMNS, Line, PACKED, ROWS, Tile};
    use std::arch::aarch64::*;

    /// Columns in a register.
    const REGISTER: usize = 4;

    /// # Safety
    /// The CPU has NEON, and each row has as many groups as `left` and `right` have lines.
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn neon(
        rows: &[&[Line]; ROWS],
        left: &[Line],
        right: &[Line],
        into: &mut Tile<i32>,
    ) {
        for first in (0..COLUMNS).step_by(REGISTER) {
            let packed = if first < PACKED { left } else { right };
            for (rows, into) in rows.as_chunks().0.iter().zip(into.as_chunks_mut().0) {
                // SAFETY: the caller's promise.
                unsafe { neon_pass(rows, packed, first % PACKED, into, first) };
            }
        }
    }

    /// Four rows against four columns.
    ///
    /// # Safety
    /// The CPU has NEON, and each row has as many groups as `packed` has lines.
    #[target_feature(enable = "neon")]
    unsafe fn neon_pass(
        rows: &[&[Line]; 4],
        packed: &[Line],
        column: usize,
        into: &mut [[i32; COLUMNS]; 4],
        first: usize,
    ) {
        let rows = rows.map(|row| row.as_ptr().cast::<i32>());
        let mut sums = [vdupq_n_s32(0); 4];
        for (step, line) in packed.iter().enumerate() {
            let columns = &line.0[column * 4..column * 4 + 16];
            // SAFETY: 16 bytes of a line.
            let columns = unsafe { vld1q_s8(columns.as_ptr()) };
            for (row, sum) in rows.iter().zip(&mut sums) {
                // SAFETY: the caller's rows have a group for each line of the columns.
                let group = vreinterpretq_s8_s32(vdupq_n_s32(unsafe { row.add(step).read() }));
                let (low, high) = (
                    vmull_s8(vget_low_s8(columns), vget_low_s8(group)),
                    vmull_high_s8(columns, group),
                );
                // Two products of levels within 127 fit 16 bits.
                *sum = vpadalq_s16(*sum, vpaddq_s16(low, high));
            }
        }
        for (sum, into) in sums.iter().zip(into) {
            let into = &mut into[first..first + REGISTER];
            // SAFETY: four sums of four bytes.
            unsafe { vst1q_s32(into.as_mut_ptr(), *sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodedRow;

    fn set(count: usize, dimensions: usize, metric: CodeMetric, simd: Simd) -> CodeSet {
        let mut set = CodeSet::with_simd(dimensions, metric, simd);
        let mut row = EncodedRow::new();
        for vector in 0..count {
            let value = |d: usize| {
                ((vector * 7919 + d * 104_729 + vector * d) % 2003) as f32 / 1001.0 - 1.0
            };
            row.encode(&(0..dimensions).map(value).collect::<Vec<_>>());
            set.push(&row);
        }
        set
    }

    #[test]
    fn tiles_of_every_cpu_equal_single_distances() {
        for (count, dimensions) in [(1, 1), (7, 3), (33, 64), (50, 100), (65, 384), (9, 2000)] {
            for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
                for simd in Simd::available() {
                    let codes = set(count, dimensions, metric, simd);
                    let ids: Vec<u32> = (0..count as u32).rev().collect();
                    let mut columns = Columns::with_simd(metric, simd);
                    columns.pack(&codes, &ids);
                    let mut distances = vec![0.0; count * columns.width()];
                    columns.compute(&codes, &ids, &mut distances);
                    for (a, row) in ids.iter().zip(distances.chunks(columns.width())) {
                        for (b, distance) in ids.iter().zip(row) {
                            assert_eq!(*distance, codes.distance(*a, *b), "{simd:?} {a} {b}");
                        }
                        assert!(
                            row[count..]
                                .iter()
                                .all(|distance| *distance == f32::INFINITY)
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_highest_levels_do_not_overflow() {
        for simd in Simd::available() {
            let mut codes = CodeSet::with_simd(16_000, CodeMetric::L2, simd);
            let mut row = EncodedRow::new();
            for value in [1.0, -1.0] {
                row.encode(&vec![value; 16_000]);
                codes.push(&row);
            }
            let mut columns = Columns::with_simd(CodeMetric::InnerProduct, simd);
            columns.pack(&codes, &[0, 1]);
            let mut distances = vec![0.0; 2 * columns.width()];
            columns.compute(&codes, &[0, 1], &mut distances);
            assert!(
                (distances[0] + 16_000.0).abs() < 1.0,
                "{simd:?} {}",
                distances[0]
            );
            assert!(
                (distances[1] - 16_000.0).abs() < 1.0,
                "{simd:?} {}",
                distances[1]
            );
        }
    }

    #[test]
    fn the_highest_levels_of_any_signs_have_exact_tiles() {
        for simd in Simd::available() {
            for dimensions in [512, 576, 16_000] {
                let mut codes = CodeSet::with_simd(dimensions, CodeMetric::L2, simd);
                let mut row = EncodedRow::new();
                for vector in 0..16 {
                    // All pairs of signs in neighboring rows, and long runs of each.
                    let sign = |d: usize| {
                        if d >> (vector % 10) & 1 == 0 {
                            1.0
                        } else {
                            -1.0
                        }
                    };
                    let sign = |d| if vector < 13 { sign(d) } else { -1.0 };
                    row.encode(&(0..dimensions).map(sign).collect::<Vec<_>>());
                    codes.push(&row);
                }
                let ids: Vec<u32> = (0..16).collect();
                let mut columns = Columns::with_simd(CodeMetric::L2, simd);
                columns.pack(&codes, &ids);
                let mut distances = vec![0.0; 16 * columns.width()];
                columns.compute(&codes, &ids, &mut distances);
                for (a, row) in ids.iter().zip(distances.chunks(columns.width())) {
                    for (b, distance) in ids.iter().zip(row) {
                        assert_eq!(*distance, codes.distance(*a, *b), "{simd:?} {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_nearest_columns_are_found() {
        let codes = set(300, 48, CodeMetric::L2, Simd::current());
        let ids: Vec<u32> = (0..300).collect();
        let mut columns = Columns::new(CodeMetric::L2);
        columns.pack(&codes, &ids[..77]);
        let mut found = vec![0; 300 * 5];
        columns.nearest(&codes, &ids, 5, &mut Vec::new(), &mut found);
        for (id, found) in ids.iter().zip(found.chunks(5)) {
            let mut sorted = ids[..77].to_vec();
            sorted.sort_by(|&a, &b| codes.distance(*id, a).total_cmp(&codes.distance(*id, b)));
            assert_eq!(found, &sorted[..5]);
        }
    }
}
