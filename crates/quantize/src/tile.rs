//! Distances of many vectors to many: the inner loop of a build.
//!
//! A tile is 8 rows by 32 columns. Columns are packed: groups of four levels of 16 columns lie side by side in a line,
//! and the same group of a row is broadcast against them. The sums of a tile stay in registers, so a pair costs little
//! more than its multiplications. They are exact, and become distances by the formula of `CodeSet::distance`, to the
//! last bit.
#![expect(unsafe_code, reason = "kernels for CPU features found at run time")]

use crate::Measure;
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

/// Vectors packed to be measured against, many at once.
#[derive(Debug)]
pub struct Columns {
    measure: Measure,
    simd: Simd,
    count: usize,
    /// For each 16 columns, for each group of four dimensions: a line.
    packed: Vec<Line>,
    scales: Vec<f32>,
    squared_norms: Vec<f32>,
}

impl Columns {
    /// No columns yet. Distances will be of this measure, whatever the set's own; L1, no inner product, has no tiles.
    #[must_use]
    pub fn new(measure: Measure) -> Columns {
        Columns::with_simd(measure, Simd::current())
    }

    pub(crate) fn with_simd(measure: Measure, simd: Simd) -> Columns {
        assert_ne!(measure, Measure::L1, "L1 has no tiles");
        Columns {
            measure,
            simd,
            count: 0,
            packed: Vec::new(),
            scales: Vec::new(),
            squared_norms: Vec::new(),
        }
    }

    /// Bytes that `count` columns take.
    #[must_use]
    pub fn bytes_needed(count: usize, dimensions: usize) -> usize {
        let levels = dimensions.div_ceil(LINE).max(1) * LINE;
        count.next_multiple_of(COLUMNS) * (levels + 2 * size_of::<f32>())
    }

    /// Packs these vectors of a set, in place of the columns before.
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
        // Columns that are no vectors may keep what was there before: nobody looks at their distances.
        self.packed.resize(lines, Line::ZERO);
        for values in [&mut self.scales, &mut self.squared_norms] {
            values.clear();
            values.reserve_exact(self.count.next_multiple_of(COLUMNS));
        }
    }

    fn pack_levels(&mut self, codes: &CodeSet, ids: &[u32]) {
        // VNNI takes one side unsigned: flipping the sign bit adds 128.
        let flip = if unsigned_columns(self.simd) {
            i8::MIN
        } else {
            0
        };
        let lines = codes.lines_per_row() * PACKED;
        for (packed, ids) in self.packed.chunks_exact_mut(lines).zip(ids.chunks(PACKED)) {
            for (part, packed) in packed.as_chunks_mut::<PACKED>().0.iter_mut().enumerate() {
                for (column, &id) in ids.iter().enumerate() {
                    let line = Line(codes.row(id)[part].0.map(|level| level ^ flip));
                    scatter(&line, packed, column);
                }
            }
        }
    }

    /// Columns packed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when no vectors are packed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length of a row of distances: the columns, and some more that are no vectors, to fill the last tile.
    #[must_use]
    pub fn width(&self) -> usize {
        self.count.next_multiple_of(COLUMNS)
    }

    /// Measures vectors of a set of the same dimensions against all columns: a row of `width` for each vector.
    /// Columns that are no vectors are infinitely far away.
    pub fn measure(&self, codes: &CodeSet, rows: &[u32], distances: &mut [f32]) {
        let width = self.width();
        for (rows, distances) in rows.chunks(ROWS).zip(distances.chunks_mut(ROWS * width)) {
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

    /// The columns nearest to each of these vectors, nearest first: `count` of them a vector, and no more than there
    /// are. `distances` is scratch memory.
    pub fn nearest(
        &self,
        codes: &CodeSet,
        rows: &[u32],
        count: usize,
        distances: &mut Vec<f32>,
        into: &mut [u32],
    ) {
        assert!(0 < count && count <= self.count);
        distances.resize(rows.len() * self.width(), 0.0);
        self.measure(codes, rows, distances);
        let mut nearest = Vec::with_capacity(count + 1);
        for (distances, into) in distances.chunks(self.width()).zip(into.chunks_mut(count)) {
            nearest.clear();
            self.simd.run(Nearest {
                distances,
                count,
                nearest: &mut nearest,
            });
            // Infinite distances are nobody's nearest: where they are all there is, any column will do.
            let others = (0..).filter(|column| nearest.iter().all(|(_, found)| found != column));
            let found = nearest.iter().map(|&(_, column)| column).chain(others);
            into.iter_mut()
                .zip(found)
                .for_each(|(into, column)| *into = column);
        }
    }

    /// Measures one to eight vectors against all columns from the tile of `first` on. Hands out a tile after the
    /// other, with its first column; rows and columns that are no vectors have distances of no meaning.
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
        let (mut dots, mut distances) = ([[0; COLUMNS]; ROWS], [[0.0; COLUMNS]; ROWS]);
        let lines_per_tile = codes.lines_per_row() * COLUMNS;
        for number in first / COLUMNS..self.width() / COLUMNS {
            let packed = &self.packed[number * lines_per_tile..(number + 1) * lines_per_tile];
            multiply(self.simd, &lines, &facts, packed, &mut dots);
            self.simd.run(Finish {
                measure: self.measure,
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

/// Lets a list hold so many items and no more than that: growing it in place might take twice as much, and the old
/// list besides. The items it had are worth nothing.
pub(crate) fn make_room<T>(items: &mut Vec<T>, count: usize) {
    if items.capacity() < count {
        *items = Vec::new();
        items.reserve_exact(count);
    }
}

/// Lays the groups of a line into one column of a packed line each.
#[inline(always)]
fn scatter(line: &Line, packed: &mut [Line; PACKED], column: usize) {
    for (group, packed) in line.0.as_chunks::<GROUP>().0.iter().zip(packed) {
        packed.0.as_chunks_mut::<GROUP>().0[column] = *group;
    }
}

/// Turns a tile of inner products into distances.
struct Finish<'a> {
    measure: Measure,
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
                distances[column] = row.distance(self.measure, column_facts, dots[column]);
            }
        }
    }
}

/// Lanes that are compared at once.
const LANES: usize = 16;

/// Finds the few nearest columns of a row.
struct Nearest<'a> {
    distances: &'a [f32],
    count: usize,
    nearest: &'a mut Vec<(f32, u32)>,
}

impl Loops for Nearest<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut furthest = f32::INFINITY;
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
                    self.nearest
                        .insert(place, (distance, (block * LANES + lane) as u32));
                    self.nearest.truncate(self.count);
                    furthest = if self.nearest.len() < self.count {
                        f32::INFINITY
                    } else {
                        self.nearest[self.count - 1].0
                    };
                }
            }
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
    expect(unused_variables, reason = "only VNNI needs sums")
)]
fn multiply(
    simd: Simd,
    rows: &[&[Line]; ROWS],
    facts: &[Facts; ROWS],
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
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features; rows are as long as the columns.
        Simd::Avx2 => unsafe { x86_64::avx2(rows, left, right, into) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: a `Simd` of this kind exists only where the CPU has its features; rows are as long as the columns.
        Simd::Neon => unsafe { aarch64::neon(rows, left, right, into) },
        Simd::Scalar => scalar(rows, left, right, into),
    }
}

/// What the others must equal.
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

/// Packing is an exchange of groups, so packing once more brings the columns back.
fn unpack(packed: &[Line; PACKED]) -> [Line; PACKED] {
    let mut columns = [Line::ZERO; PACKED];
    for (group, packed) in packed.iter().enumerate() {
        scatter(packed, &mut columns, group);
    }
    columns
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::{COLUMNS, Facts, Line, PACKED, ROWS, Tile};
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
        // The columns have 128 added to each level: take it off before.
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

    /// Columns of a pass of the AVX2 kernel, which has half the registers of half the width.
    const PASS_COLUMNS: usize = 8;

    /// # Safety
    /// The CPU has the features, and each row has as many groups as `left` and `right` have lines.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2(
        rows: &[&[Line]; ROWS],
        left: &[Line],
        right: &[Line],
        into: &mut Tile<i32>,
    ) {
        let rows = rows.map(|row| row.as_ptr().cast::<i32>());
        for pass in 0..COLUMNS / PASS_COLUMNS {
            let packed = if pass < 2 { left } else { right };
            // SAFETY: the caller's promise.
            unsafe { avx2_pass(&rows, packed, pass % 2, into, pass * PASS_COLUMNS) };
        }
    }

    /// All rows against eight columns: |column| * (row with the sign of the column). Two products of levels within
    /// 127 fit the 16 bits `maddubs` adds them in.
    ///
    /// # Safety
    /// The CPU has the features, and each row has as many groups as `packed` has lines.
    #[target_feature(enable = "avx2")]
    unsafe fn avx2_pass(
        rows: &[*const i32; ROWS],
        packed: &[Line],
        half: usize,
        into: &mut Tile<i32>,
        first: usize,
    ) {
        let ones = _mm256_set1_epi16(1);
        let mut sums = [_mm256_setzero_si256(); ROWS];
        for (step, line) in packed.iter().enumerate() {
            let half: &[i8; 32] = &line.0.as_chunks().0[half];
            // SAFETY: half a line is 32 bytes, aligned to 32.
            let columns = unsafe { _mm256_load_si256((&raw const *half).cast()) };
            let magnitudes = _mm256_abs_epi8(columns);
            for (row, sum) in rows.iter().zip(&mut sums) {
                // SAFETY: the caller's rows have a group for each line of the columns.
                let group = _mm256_set1_epi32(unsafe { row.add(step).read() });
                let products = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(group, columns));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
        for (sum, into) in sums.iter().zip(into) {
            let into = &mut into[first..first + PASS_COLUMNS];
            // SAFETY: eight sums of four bytes.
            unsafe { _mm256_storeu_si256(into.as_mut_ptr().cast(), *sum) };
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

    fn set(count: usize, dimensions: usize, measure: Measure, simd: Simd) -> CodeSet {
        let mut set = CodeSet::with_simd(dimensions, measure, simd);
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
            for measure in [Measure::L2, Measure::InnerProduct] {
                for simd in Simd::available() {
                    let codes = set(count, dimensions, measure, simd);
                    let ids: Vec<u32> = (0..count as u32).rev().collect();
                    let mut columns = Columns::with_simd(measure, simd);
                    columns.pack(&codes, &ids);
                    let mut distances = vec![0.0; count * columns.width()];
                    columns.measure(&codes, &ids, &mut distances);
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
            let mut codes = CodeSet::with_simd(16_000, Measure::L2, simd);
            let mut row = EncodedRow::new();
            for value in [1.0, -1.0] {
                row.encode(&vec![value; 16_000]);
                codes.push(&row);
            }
            let mut columns = Columns::with_simd(Measure::InnerProduct, simd);
            columns.pack(&codes, &[0, 1]);
            let mut distances = vec![0.0; 2 * columns.width()];
            columns.measure(&codes, &[0, 1], &mut distances);
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
    fn the_nearest_columns_are_found() {
        let codes = set(300, 48, Measure::L2, Simd::current());
        let ids: Vec<u32> = (0..300).collect();
        let mut columns = Columns::new(Measure::L2);
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
