//! The codes of a build: eight bits per dimension, the vectors of one graph side by side.
//!
//! A vector becomes `scale * levels`, with levels from -127 to 127. The scale is not the width of a level but
//! |v|² / (levels · v): the code's inner product with its own vector is exact, and the estimate with any other vector is
//! unbiased (as in RaBitQ, arXiv 2405.12497).
//!
//! Memory is reserved before use (`bytes_needed`, `try_reserve`) in blocks, so growing copies nothing. Any thread may
//! encode vectors (`EncodedRow::encode` needs no set); one thread pushes them in the order of the scan.

use std::collections::TryReserveError;

use crate::CodeMetric;
use crate::dot::{self, LINE, Line};
use crate::simd::{Loops, Simd};

/// The 8-bit codes of a build's vectors.
#[derive(Debug)]
pub struct CodeSet {
    metric: CodeMetric,
    dimensions: usize,
    shape: Shape,
    simd: Simd,
    blocks: Vec<Vec<Line>>,
    facts: Vec<Facts>,
}

/// A vector's code before it is pushed into a set; reuse one for many vectors.
#[derive(Clone, Debug, Default)]
pub struct EncodedRow {
    lines: Vec<Line>,
    facts: Facts,
}

/// The per-vector numbers of an estimate besides the levels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// The factor from levels to values.
    pub(crate) scale: f32,
    /// The squared length of the vector itself, not of its code.
    pub(crate) squared_norm: f32,
    /// The sum of the levels: kernels for unsigned bytes subtract it.
    pub(crate) sum: i32,
}

impl Facts {
    /// The distance of two vectors from the inner product of their levels. The order of operations is fixed, so that all
    /// kernels and both directions of a pair agree to the last bit.
    #[inline(always)]
    pub(crate) fn distance(self, metric: CodeMetric, other: Facts, dot: i32) -> f32 {
        let product = (self.scale * other.scale) * dot as f32;
        match metric {
            CodeMetric::InnerProduct => -product,
            CodeMetric::L2 | CodeMetric::L1 => {
                ((self.squared_norm + other.squared_norm) - 2.0 * product).max(0.0)
            }
        }
    }
}

/// Bytes of a written row's facts.
const FACTS_BYTES: usize = 12;

/// The arrangement of rows in blocks.
#[derive(Clone, Copy, Debug)]
struct Shape {
    lines_per_row: usize,
    /// The binary logarithm of the rows per block: finding a row takes a shift and a mask.
    block_bits: u32,
}

/// The approximate size of a block.
const BLOCK_BYTES: usize = 256 * 1024;

impl Shape {
    fn new(dimensions: usize) -> Shape {
        let lines_per_row = dimensions.div_ceil(LINE).max(1);
        let rows = (BLOCK_BYTES / (lines_per_row * LINE)).max(1);
        Shape {
            lines_per_row,
            block_bits: rows.ilog2(),
        }
    }

    fn rows_per_block(self) -> usize {
        1 << self.block_bits
    }

    /// The block of a row, and the row's first line in it.
    #[inline(always)]
    fn place(self, row: usize) -> (usize, usize) {
        let in_block = row & (self.rows_per_block() - 1);
        (row >> self.block_bits, in_block * self.lines_per_row)
    }

    fn lines_per_block(self) -> usize {
        self.lines_per_row << self.block_bits
    }

    fn blocks(self, rows: usize) -> usize {
        rows.div_ceil(self.rows_per_block())
    }
}

impl CodeSet {
    /// An empty set for the best kernels of this CPU.
    #[must_use]
    pub fn new(dimensions: usize, metric: CodeMetric) -> CodeSet {
        CodeSet::with_simd(dimensions, metric, Simd::current())
    }

    pub(crate) fn with_simd(dimensions: usize, metric: CodeMetric, simd: Simd) -> CodeSet {
        let shape = Shape::new(dimensions);
        CodeSet {
            metric,
            dimensions,
            shape,
            simd,
            blocks: Vec::new(),
            facts: Vec::new(),
        }
    }

    /// Bytes of a set of `rows` vectors.
    #[must_use]
    pub fn bytes_needed(rows: usize, dimensions: usize) -> usize {
        let shape = Shape::new(dimensions);
        shape.blocks(rows) * (shape.lines_per_block() * LINE + size_of::<Vec<Line>>())
            + rows * size_of::<Facts>()
    }

    /// Reserves memory for `rows` more vectors, or leaves the set unchanged.
    ///
    /// # Errors
    /// If the system is out of memory.
    pub fn try_reserve(&mut self, rows: usize) -> Result<(), TryReserveError> {
        let (blocks, lines) = (
            self.shape.blocks(self.len() + rows),
            self.shape.lines_per_block(),
        );
        self.facts.try_reserve_exact(rows)?;
        self.blocks
            .try_reserve_exact(blocks.saturating_sub(self.blocks.len()))?;
        while self.blocks.len() < blocks {
            let mut block = Vec::new();
            block.try_reserve_exact(lines)?;
            self.blocks.push(block);
        }
        Ok(())
    }

    /// Appends a vector; its id is the previous length. Allocates if nothing is reserved.
    pub fn push(&mut self, row: &EncodedRow) {
        assert_eq!(
            row.lines.len(),
            self.shape.lines_per_row,
            "a row has the set's dimensions"
        );
        self.push_lines(&row.lines, row.facts);
    }

    /// Appends a vector of another set of the same dimensions: a block of the scan, or a cell of the whole.
    pub fn push_from(&mut self, other: &CodeSet, id: u32) {
        assert_eq!(
            other.shape.lines_per_row, self.shape.lines_per_row,
            "sets of the same dimensions"
        );
        self.push_lines(other.row(id), other.facts(id));
    }

    fn push_lines(&mut self, lines: &[Line], facts: Facts) {
        self.block_of_next().extend_from_slice(lines);
        self.facts.push(facts);
    }

    /// The block for the next row.
    fn block_of_next(&mut self) -> &mut Vec<Line> {
        let (block, _) = self.shape.place(self.len());
        if block == self.blocks.len() {
            self.blocks
                .push(Vec::with_capacity(self.shape.lines_per_block()));
        }
        &mut self.blocks[block]
    }

    /// Bytes of a row written by `write_row`.
    #[must_use]
    pub fn row_bytes(dimensions: usize) -> usize {
        Shape::new(dimensions).lines_per_row * LINE + FACTS_BYTES
    }

    /// Serialises a vector's code, for a temporary file.
    pub fn write_row(&self, id: u32, into: &mut Vec<u8>) {
        let facts = self.facts(id);
        into.extend(facts.scale.to_ne_bytes());
        into.extend(facts.squared_norm.to_ne_bytes());
        into.extend(facts.sum.to_ne_bytes());
        for line in self.row(id) {
            into.extend(line.0.iter().map(|level| level.cast_unsigned()));
        }
    }

    /// Appends a vector written by `write_row` of a set of the same dimensions. Allocates if nothing is reserved.
    pub fn push_written(&mut self, row: &[u8]) {
        let (facts, levels) = row.split_at(FACTS_BYTES);
        let (words, _) = facts.as_chunks::<4>();
        let facts = Facts {
            scale: f32::from_ne_bytes(words[0]),
            squared_norm: f32::from_ne_bytes(words[1]),
            sum: i32::from_ne_bytes(words[2]),
        };
        let (lines, _) = levels.as_chunks::<LINE>();
        assert_eq!(
            lines.len(),
            self.shape.lines_per_row,
            "a row has the set's dimensions"
        );
        let block = self.block_of_next();
        block.extend(lines.iter().map(|line| Line(line.map(u8::cast_signed))));
        self.facts.push(facts);
    }

    /// True if a vector equals the row written by `write_row`.
    #[must_use]
    pub fn is_written(&self, id: u32, row: &[u8]) -> bool {
        let levels = row[FACTS_BYTES..].as_chunks::<LINE>().0;
        let same = |(line, written): (&Line, &[u8; LINE])| line.0 == written.map(u8::cast_signed);
        let facts = self.facts(id);
        row[..4] == facts.scale.to_ne_bytes() && self.row(id).iter().zip(levels).all(same)
    }

    /// The number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// True before the first vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Dimensions of every vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The metric that `distance` estimates.
    #[must_use]
    pub fn metric(&self) -> CodeMetric {
        self.metric
    }

    /// Bytes the set holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let lines: usize = self.blocks.iter().map(Vec::capacity).sum();
        lines * LINE
            + self.blocks.capacity() * size_of::<Vec<Line>>()
            + self.facts.capacity() * size_of::<Facts>()
    }

    /// The estimated distance of two vectors: squared L2, negative inner product, or L1. Symmetric to the last bit.
    #[inline]
    #[must_use]
    pub fn distance(&self, a: u32, b: u32) -> f32 {
        let (row_a, facts_a) = (self.row(a), self.facts(a));
        let (row_b, facts_b) = (self.row(b), self.facts(b));
        if self.metric == CodeMetric::L1 {
            return l1(row_a, facts_a.scale, row_b, facts_b.scale);
        }
        let dot = dot::dot(self.simd, row_a, row_b, facts_b.sum);
        facts_a.distance(self.metric, facts_b, dot)
    }

    /// Adds a decoded vector to sums, one per dimension.
    pub fn add_to(&self, id: u32, sums: &mut [f32]) {
        self.simd.run(AddTo {
            row: self.row(id),
            scale: self.facts(id).scale,
            sums,
        });
    }

    /// Prefetches a vector's code for an imminent distance.
    #[inline]
    pub fn prefetch(&self, id: u32) {
        // The hardware prefetcher continues from there.
        let start = &self.row(id)[..self.shape.lines_per_row.min(8)];
        distance::prefetch_at(start.as_ptr().cast(), size_of_val(start));
        let facts = &self.facts[id as usize];
        distance::prefetch_at((&raw const *facts).cast(), size_of_val(facts));
    }

    pub(crate) fn lines_per_row(&self) -> usize {
        self.shape.lines_per_row
    }

    #[inline]
    pub(crate) fn row(&self, id: u32) -> &[Line] {
        let (block, start) = self.shape.place(id as usize);
        &self.blocks[block][start..start + self.shape.lines_per_row]
    }

    #[inline]
    pub(crate) fn facts(&self, id: u32) -> Facts {
        self.facts[id as usize]
    }
}

struct AddTo<'a> {
    row: &'a [Line],
    scale: f32,
    sums: &'a mut [f32],
}

impl Loops for AddTo<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (line, sums) in self.row.iter().zip(self.sums.chunks_mut(LINE)) {
            for (sum, &level) in sums.iter_mut().zip(&line.0) {
                *sum += f32::from(level) * self.scale;
            }
        }
    }
}

fn l1(a: &[Line], scale_a: f32, b: &[Line], scale_b: f32) -> f32 {
    let mut sums = [0.0; LINE];
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.0.iter().zip(&b.0)) {
            *sum += (f32::from(a) * scale_a - f32::from(b) * scale_b).abs();
        }
    }
    sums.iter().sum()
}

impl EncodedRow {
    /// An empty row, to encode into.
    #[must_use]
    pub fn new() -> EncodedRow {
        EncodedRow::default()
    }

    /// Encodes a vector, already rotated if its metric allows it. Needs no set, so any thread may do it.
    pub fn encode(&mut self, rotated: &[f32]) {
        self.lines.clear();
        self.lines
            .resize(rotated.len().div_ceil(LINE).max(1), Line::ZERO);
        let levels_per_unit = levels_per_unit(rotated);
        let mut sums = Sums::default();
        for (line, values) in self.lines.iter_mut().zip(rotated.chunks(LINE)) {
            encode_line(line, values, levels_per_unit);
            sums.add(line, values);
        }
        self.facts = sums.facts();
    }
}

/// The step that maps the largest value to the highest level. `None` for a zero vector or a vector of infinite length.
fn levels_per_unit(values: &[f32]) -> f32 {
    let largest = values
        .iter()
        .fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let levels = 127.0 / largest;
    if levels.is_finite() && largest.is_finite() {
        levels
    } else {
        0.0
    }
}

/// Added to a small float, it leaves the nearest integer in the low bits: a rounding that vectorizes on every CPU.
const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23

fn encode_line(line: &mut Line, values: &[f32], levels_per_unit: f32) {
    for (level, value) in line.0.iter_mut().zip(values) {
        let rounded = (value * levels_per_unit + ROUND)
            .to_bits()
            .wrapping_sub(ROUND.to_bits());
        *level = rounded as i8;
    }
}

/// The sums for `Facts`, in lanes so that they vectorize.
#[derive(Default)]
struct Sums {
    levels: i32,
    squares: [f32; 16],
    products: [f32; 16],
}

impl Sums {
    fn add(&mut self, line: &Line, values: &[f32]) {
        self.levels += line.0.iter().map(|&level| i32::from(level)).sum::<i32>();
        for (levels, values) in line.0.chunks(16).zip(values.chunks(16)) {
            for (lane, (&level, &value)) in levels.iter().zip(values).enumerate() {
                self.squares[lane] += value * value;
                self.products[lane] += value * f32::from(level);
            }
        }
    }

    fn facts(&self) -> Facts {
        let squared_norm: f32 = self.squares.iter().sum();
        let product: f32 = self.products.iter().sum();
        let scale = squared_norm / product;
        let scale = if scale.is_finite() { scale } else { 0.0 };
        Facts {
            scale,
            squared_norm,
            sum: self.levels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values between -1 and 1, the same on every run.
    fn vector(dimensions: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..dimensions).map(|_| next()).collect()
    }

    fn set_of(vectors: &[Vec<f32>], metric: CodeMetric, simd: Simd) -> CodeSet {
        let mut set = CodeSet::with_simd(vectors[0].len(), metric, simd);
        let mut row = EncodedRow::new();
        for vector in vectors {
            row.encode(vector);
            set.push(&row);
        }
        set
    }

    fn exact(metric: CodeMetric, a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b);
        match metric {
            CodeMetric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
            CodeMetric::InnerProduct => -pairs.map(|(a, b)| a * b).sum::<f32>(),
            CodeMetric::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
        }
    }

    #[test]
    fn estimates_are_close_and_equal_on_every_cpu() {
        for dimensions in [1, 3, 64, 100, 384, 1536] {
            let vectors: Vec<_> = (0..20).map(|seed| vector(dimensions, seed)).collect();
            for metric in [CodeMetric::L2, CodeMetric::InnerProduct, CodeMetric::L1] {
                let oracle = set_of(&vectors, metric, Simd::Scalar);
                for simd in Simd::available() {
                    let set = set_of(&vectors, metric, simd);
                    for a in 0..20 {
                        for b in 0..20 {
                            let distance = set.distance(a, b);
                            assert_eq!(distance, oracle.distance(a, b), "{simd:?}");
                            assert_eq!(distance, set.distance(b, a));
                            let exact = exact(metric, &vectors[a as usize], &vectors[b as usize]);
                            let tolerance = 0.02 * dimensions as f32;
                            assert!(
                                (distance - exact).abs() < tolerance,
                                "{metric:?} {distance} {exact}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_that_was_written_is_read_as_it_was() {
        for dimensions in [1, 64, 100] {
            let vectors: Vec<_> = (0..20).map(|seed| vector(dimensions, seed)).collect();
            let set = set_of(&vectors, CodeMetric::L2, Simd::current());
            let mut copy = CodeSet::new(dimensions, CodeMetric::L2);
            for id in 0..20 {
                let mut written = Vec::new();
                set.write_row(id, &mut written);
                assert_eq!(written.len(), CodeSet::row_bytes(dimensions));
                copy.push_written(&written);
                assert!(copy.is_written(id, &written));
                assert!(id == 0 || !copy.is_written(id - 1, &written));
            }
            for (a, b) in (0..20).zip((0..20).rev()) {
                assert_eq!(copy.distance(a, b).to_bits(), set.distance(a, b).to_bits());
            }
        }
    }

    #[test]
    fn a_vector_is_at_no_distance_from_itself() {
        let vectors: Vec<_> = (0..5).map(|seed| vector(200, seed)).collect();
        let set = set_of(&vectors, CodeMetric::L2, Simd::current());
        for id in 0..5 {
            // The levels are longer than the vector by the square of the angle between them.
            assert!(set.distance(id, id) < 0.01);
        }
    }

    #[test]
    fn zero_and_infinite_vectors_are_encoded_without_harm() {
        for value in [0.0, -0.0, 1e-45, 1e-30, f32::MAX, f32::INFINITY, f32::NAN] {
            let vectors = vec![vec![value; 70], vector(70, 1)];
            let set = set_of(&vectors, CodeMetric::L2, Simd::current());
            let between = set.distance(0, 1);
            assert!(between >= 0.0, "{value}: {between}");
        }
    }

    #[test]
    fn reserved_memory_is_what_was_announced() {
        for dimensions in [1, 128, 384, 16_000] {
            for rows in [0, 1, 1000, 5000] {
                let mut set = CodeSet::new(dimensions, CodeMetric::L2);
                set.try_reserve(rows).unwrap();
                assert_eq!(set.bytes(), CodeSet::bytes_needed(rows, dimensions));
                let mut row = EncodedRow::new();
                row.encode(&vec![1.0; dimensions]);
                (0..rows).for_each(|_| set.push(&row));
                assert_eq!(
                    set.bytes(),
                    CodeSet::bytes_needed(rows, dimensions),
                    "pushing takes no more"
                );
            }
        }
    }

    #[test]
    fn a_row_taken_from_another_set_keeps_its_distances() {
        let vectors: Vec<_> = (0..300).map(|seed| vector(384, seed)).collect();
        let all = set_of(&vectors, CodeMetric::L2, Simd::current());
        let mut some = CodeSet::new(384, CodeMetric::L2);
        (100..300).for_each(|id| some.push_from(&all, id));
        assert_eq!(some.len(), 200);
        assert_eq!(some.distance(3, 190), all.distance(103, 290));
    }
}
