//! Codes of sparse vectors: as many of the heaviest elements as fit, each an index and a level of eight bits. The lengths of
//! the omitted part and of the rounding error are stored, and give guaranteed bounds.
//!
//! Sixteen bytes of head, then the indices (two bytes each where dimensions allow, else four), then the levels.

use distance::Sparse;

use crate::CodeMetric;

/// Bytes before the indices.
const HEAD: usize = 16;

/// Bytes of an index, for up to 65,536 dimensions and for more.
const NARROW: usize = 2;
const WIDE: usize = 4;

/// For choosing cells, vectors of more dimensions are hashed to this many.
const FOLDED: usize = 1024;

/// Encodes sparse vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SparseCodes {
    dimensions: usize,
    metric: CodeMetric,
    code_len: usize,
}

/// A query against codes of sparse vectors.
#[derive(Clone, Debug)]
pub(crate) struct SparseQuery {
    codes: SparseCodes,
    elements: Table,
    count: usize,
    /// The sum of squares, or for L1 of absolute values.
    size: f64,
    norm: f64,
    /// For a query made from a code: the omitted part's contribution to every distance, taken as disjoint from all vectors.
    left_out: f64,
}

/// The head of a code: numbers about the whole vector.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    /// The factor from levels to values.
    scale: f32,
    /// The length of the rounding error.
    rounded: f32,
    /// The length of the omitted part.
    left_out: f32,
    count: u32,
}

/// A parsed code.
struct Code<'c, const WIDTH: usize> {
    head: Head,
    indices: &'c [[u8; WIDTH]],
    levels: &'c [u8],
}

impl SparseCodes {
    /// Codes of `code_len` bytes, or of one element's length if greater.
    pub(crate) fn new(dimensions: usize, metric: CodeMetric, code_len: usize) -> SparseCodes {
        SparseCodes {
            dimensions,
            metric,
            code_len: code_len.max(SparseCodes::len_with(dimensions, 1)),
        }
    }

    /// Bytes of a code for a number of elements, a multiple of 4.
    pub(crate) fn len_with(dimensions: usize, elements: usize) -> usize {
        (HEAD + elements * (width_of(dimensions) + 1)).next_multiple_of(4)
    }

    pub(crate) fn code_len(&self) -> usize {
        self.code_len
    }

    fn width(&self) -> usize {
        width_of(self.dimensions)
    }

    /// The maximum number of elements of a code.
    fn capacity(&self) -> usize {
        (self.code_len - HEAD) / (self.width() + 1)
    }

    pub(crate) fn encode(&self, vector: Sparse<'_>, code: &mut [u8]) {
        code.fill(0);
        let (head, elements) = code.split_at_mut(HEAD);
        let (indices, levels) = elements.split_at_mut(self.capacity() * self.width());
        let mut indices = indices.chunks_exact_mut(self.width());
        let kept = self.heaviest(vector);
        let values = kept.iter().map(|&at| vector.values[at].abs());
        let scale = values.fold(0.0, f32::max) / 127.0;
        // If the step underflows f32, all levels are zero.
        let has_levels = scale > f32::MIN_POSITIVE;
        let mut kept = kept.into_iter().filter(|_| has_levels).peekable();
        let (mut rounded, mut left_out, mut count) = (0.0, 0.0, 0);
        for (at, (&index, &value)) in vector.indices.iter().zip(vector.values).enumerate() {
            let is_kept = kept.next_if_eq(&at).is_some();
            let level = (value / scale).round().clamp(-127.0, 127.0);
            if !is_kept || level == 0.0 {
                left_out += self.size(value.into());
                continue;
            }
            write_index(
                index.cast_unsigned(),
                indices.next().expect("there is room for what is kept"),
            );
            levels[count] = (level as i8).cast_unsigned();
            rounded += self.size(f64::from(value) - f64::from(level * scale));
            count += 1;
        }
        Head {
            scale,
            rounded: self.length(rounded),
            left_out: self.length(left_out),
            count: count as u32,
        }
        .write(head);
    }

    /// The positions of the heaviest elements that fit, in ascending order.
    fn heaviest(&self, vector: Sparse<'_>) -> Vec<usize> {
        let mut places: Vec<usize> = (0..vector.values.len()).collect();
        if places.len() > self.capacity() {
            let weight = |at: usize| vector.values[at].abs();
            places.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
            places.truncate(self.capacity());
            places.sort_unstable();
        }
        places
    }

    /// A value's contribution to a sum of squares or absolute values.
    fn size(&self, value: f64) -> f64 {
        match self.metric {
            CodeMetric::L1 => value.abs(),
            CodeMetric::L2 | CodeMetric::InnerProduct => value * value,
        }
    }

    /// The length for a sum of squares or absolute values, rounded up.
    fn length(&self, size: f64) -> f32 {
        let length = match self.metric {
            CodeMetric::L1 => size,
            CodeMetric::L2 | CodeMetric::InnerProduct => size.sqrt(),
        };
        finite(length * (1.0 + f64::from(f32::EPSILON)))
    }

    pub(crate) fn query(&self, vector: Sparse<'_>) -> SparseQuery {
        let indices = vector.indices.iter().map(|index| index.cast_unsigned());
        self.query_of(
            &indices
                .zip(vector.values.iter().copied())
                .collect::<Vec<_>>(),
        )
    }

    /// A query from a code.
    pub(crate) fn query_from_code(&self, code: &[u8]) -> SparseQuery {
        let left_out = self.size(Head::read(&code[..HEAD]).left_out.into());
        SparseQuery {
            left_out,
            ..self.query_of(&self.elements(code))
        }
    }

    fn query_of(&self, elements: &[(u32, f32)]) -> SparseQuery {
        let values = || elements.iter().map(|element| f64::from(element.1));
        SparseQuery {
            codes: *self,
            elements: Table::new(elements),
            count: elements.len(),
            size: values().map(|value| self.size(value)).sum(),
            norm: values().map(|value| value * value).sum::<f64>().sqrt(),
            left_out: 0.0,
        }
    }

    fn elements(&self, code: &[u8]) -> Vec<(u32, f32)> {
        match self.width() {
            NARROW => self.read::<NARROW>(code).elements().collect(),
            _ => self.read::<WIDE>(code).elements().collect(),
        }
    }

    /// Parses a code. Any bytes parse: the number of elements is clamped to the code.
    #[inline(always)]
    fn read<'c, const WIDTH: usize>(&self, code: &'c [u8]) -> Code<'c, WIDTH> {
        let (head, elements) = code.split_at(HEAD);
        let head = Head::read(head);
        let (indices, levels) = elements.split_at(self.capacity() * WIDTH);
        let count = self.capacity().min(head.count as usize);
        Code {
            head,
            indices: &indices.as_chunks().0[..count],
            levels: &levels[..count],
        }
    }

    /// The number of values for choosing cells.
    pub(crate) fn routing_dimensions(&self) -> usize {
        self.dimensions.min(FOLDED)
    }

    /// The elements of a code. Many dimensions are hashed to few, with random signs: lengths and products are approximately
    /// preserved.
    pub(crate) fn routing_values(&self, code: &[u8], into: &mut [f32]) {
        into.fill(0.0);
        let dimensions = into.len();
        for (index, value) in self.elements(code) {
            if self.dimensions <= FOLDED {
                into[index as usize % dimensions] += value;
            } else {
                let hash = spread(index);
                let sign = if hash >> 31 == 0 { 1.0 } else { -1.0 };
                into[(hash >> 21) as usize % dimensions] += sign * value;
            }
        }
    }
}

impl SparseQuery {
    pub(crate) fn unit(&self) -> Option<f32> {
        (self.codes.metric == CodeMetric::InnerProduct).then_some(self.norm as f32)
    }

    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        self.measure(code).0
    }

    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let (distance, terms, head) = self.measure(code);
        let (rounded, left_out) = (f64::from(head.rounded), f64::from(head.left_out));
        let error = match self.codes.metric {
            CodeMetric::L2 => (2.0 * terms.sqrt() + rounded) * rounded + 2.0 * left_out * self.norm,
            CodeMetric::InnerProduct => (rounded + left_out) * self.norm,
            CodeMetric::L1 => rounded + 2.0 * left_out,
        };
        // The operator sums in f32 and in its own order.
        let steps = self.count + self.codes.capacity().min(head.count as usize) + 2;
        let size = terms + self.codes.size(left_out);
        let adding = size * steps as f64 * f64::from(f32::EPSILON);
        (distance, finite(error + adding).max(0.0))
    }

    /// The distance, the sum of the absolute values of its terms, and the code's head.
    fn measure(&self, code: &[u8]) -> (f32, f64, Head) {
        match self.codes.width() {
            NARROW => self.measure_code::<NARROW>(&self.codes.read(code)),
            _ => self.measure_code::<WIDE>(&self.codes.read(code)),
        }
    }

    #[inline(always)]
    fn measure_code<const WIDTH: usize>(&self, code: &Code<'_, WIDTH>) -> (f32, f64, Head) {
        // The query's own sum covers all its indices: the terms of shared indices are subtracted.
        let (sum, sizes) = match self.codes.metric {
            CodeMetric::L2 => self.sum(code, |x, q| x * (x - 2.0 * q)),
            CodeMetric::InnerProduct => self.sum(code, |x, q| -x * q),
            CodeMetric::L1 => self.sum(code, |x, q| (x - q).abs() - q.abs()),
        };
        let (distance, terms) = match self.codes.metric {
            CodeMetric::InnerProduct => (sum, sizes),
            CodeMetric::L2 | CodeMetric::L1 => {
                let terms = (self.size + sum).max(0.0);
                let left_out = self.left_out + self.codes.size(code.head.left_out.into());
                (terms + left_out, terms)
            }
        };
        (finite(distance), terms, code.head)
    }

    /// Sums a term for each element of a code, given the query's value at its index; returns the sums of terms and of their
    /// absolute values.
    #[inline(always)]
    fn sum<const WIDTH: usize>(
        &self,
        code: &Code<'_, WIDTH>,
        term: impl Fn(f64, f64) -> f64,
    ) -> (f64, f64) {
        let (mut sum, mut sizes) = (0.0, 0.0);
        for (index, value) in code.elements() {
            let term = term(value.into(), self.elements.value(index).into());
            sum += term;
            sizes += term.abs();
        }
        (sum, sizes)
    }
}

impl<const WIDTH: usize> Code<'_, WIDTH> {
    #[inline(always)]
    fn elements(&self) -> impl Iterator<Item = (u32, f32)> {
        let indices = self.indices.iter().map(read_index);
        let value = |level: &u8| f32::from(level.cast_signed()) * self.head.scale;
        indices.zip(self.levels.iter().map(value))
    }
}

impl Head {
    #[inline(always)]
    fn read(bytes: &[u8]) -> Head {
        let words = bytes.as_chunks().0;
        Head {
            scale: f32::from_ne_bytes(words[0]),
            rounded: f32::from_ne_bytes(words[1]),
            left_out: f32::from_ne_bytes(words[2]),
            count: u32::from_ne_bytes(words[3]),
        }
    }

    fn write(self, into: &mut [u8]) {
        let words = into.as_chunks_mut().0;
        words[0] = self.scale.to_ne_bytes();
        words[1] = self.rounded.to_ne_bytes();
        words[2] = self.left_out.to_ne_bytes();
        words[3] = self.count.to_ne_bytes();
    }
}

fn width_of(dimensions: usize) -> usize {
    if dimensions <= 1 << 16 { NARROW } else { WIDE }
}

#[inline(always)]
fn read_index<const WIDTH: usize>(bytes: &[u8; WIDTH]) -> u32 {
    match *bytes.as_slice() {
        [a, b] => u16::from_ne_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        _ => unreachable!("an index has two bytes or four"),
    }
}

fn write_index(index: u32, into: &mut [u8]) {
    match into.len() {
        NARROW => into.copy_from_slice(&(index as u16).to_ne_bytes()),
        _ => into.copy_from_slice(&index.to_ne_bytes()),
    }
}

/// Sums may overflow f32, and NaN has no order.
#[inline(always)]
fn finite(sum: f64) -> f32 {
    if sum.is_nan() {
        return f32::MAX;
    }
    sum.clamp(f32::MIN.into(), f32::MAX.into()) as f32
}

/// The capacity of a table that stays in the first-level cache: 32 kB.
const CACHED: usize = 4096;

/// A query's values by index: a hash table at most one quarter full, or one sixteenth if the table then stays small, since
/// each collision is an unpredictable branch.
#[derive(Clone, Debug)]
struct Table {
    entries: Vec<(u32, f32)>,
    /// The surplus bits of a hash.
    shift: u32,
}

/// Marks a free entry: indices are at most a thousand million.
const FREE: u32 = u32::MAX;

impl Table {
    fn new(elements: &[(u32, f32)]) -> Table {
        let places = (16 * elements.len()).min(CACHED).max(4 * elements.len());
        let size = places.next_power_of_two().max(2);
        let mut table = Table {
            entries: vec![(FREE, 0.0); size],
            shift: u32::BITS - size.trailing_zeros(),
        };
        for &(index, value) in elements.iter().filter(|element| element.0 != FREE) {
            let place = table.find(index);
            table.entries[place] = (index, value);
        }
        table
    }

    #[inline(always)]
    fn value(&self, index: u32) -> f32 {
        // A free entry has the value zero.
        self.entries[self.find(index)].1
    }

    /// The entry of an index, or the free entry for it.
    #[inline(always)]
    fn find(&self, index: u32) -> usize {
        let mut place = (spread(index) >> self.shift) as usize;
        loop {
            let (key, _) = self.entries[place];
            if key == index || key == FREE {
                return place;
            }
            place = (place + 1) & (self.entries.len() - 1);
        }
    }
}

/// Multiplicative hashing by the golden ratio: neighboring numbers are spread widely; the highest bits are the best.
#[inline(always)]
fn spread(index: u32) -> u32 {
    index.wrapping_mul(0x9E37_79B9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use distance::{VectorDistance, sparse_distance};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const MEASURES: [CodeMetric; 3] = [CodeMetric::L2, CodeMetric::InnerProduct, CodeMetric::L1];

    #[derive(Clone, Debug)]
    struct Vector {
        indices: Vec<i32>,
        values: Vec<f32>,
    }

    impl Vector {
        fn of(elements: impl IntoIterator<Item = (i32, f32)>) -> Vector {
            let (indices, values) = elements.into_iter().unzip();
            Vector { indices, values }
        }

        fn view(&self) -> Sparse<'_> {
            Sparse {
                indices: &self.indices,
                values: &self.values,
            }
        }
    }

    /// Few distinct positions, so that vectors overlap, spread over all dimensions.
    fn vectors(dimensions: usize) -> impl Strategy<Value = Vector> {
        let step = (dimensions / 60).max(1) as i32;
        let index = (0..60.min(dimensions as i32)).prop_map(move |place| place * step);
        let value = prop_oneof![
            4 => -10.0_f32..10.0,
            2 => (1..4_i8).prop_map(f32::from),
            1 => any::<f32>().prop_map(|value| if value.is_finite() { value } else { f32::MAX }),
        ];
        prop::collection::btree_map(index, value, 0..40).prop_map(|elements: BTreeMap<_, _>| {
            Vector::of(elements.into_iter().filter(|element| element.1 != 0.0))
        })
    }

    fn code(codes: &SparseCodes, vector: &Vector) -> Vec<u8> {
        let mut code = vec![0xAA; codes.code_len()];
        codes.encode(vector.view(), &mut code);
        code
    }

    fn exact(metric: CodeMetric, a: &Vector, b: &Vector) -> f64 {
        let metric = match metric {
            CodeMetric::L2 => VectorDistance::L2Squared,
            CodeMetric::InnerProduct => VectorDistance::InnerProduct,
            CodeMetric::L1 => VectorDistance::L1,
        };
        sparse_distance(metric, a.view(), b.view())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn bounds_hold_whatever_part_of_a_vector_a_code_has(
            (dimensions, a, b) in prop_oneof![Just(7_usize), Just(60), Just(30_000), Just(1_000_000_000)]
                .prop_flat_map(|dimensions| (Just(dimensions), vectors(dimensions), vectors(dimensions))),
            room in 1..50_usize,
        ) {
            for metric in MEASURES {
                let codes = SparseCodes::new(dimensions, metric, SparseCodes::len_with(dimensions, room));
                let (distance, error) = codes.query(a.view()).estimate(&code(&codes, &b));
                let exact = exact(metric, &a, &b);
                prop_assert!(!distance.is_nan() && error >= 0.0);
                // Sums beyond f32 are infinite, and a difference of infinities is NaN.
                let bound = f64::from(distance) - f64::from(error);
                prop_assert!(!exact.is_finite() || bound <= exact + 1e-6 * exact.abs(), "{metric:?} {bound} {exact}");
            }
        }

        #[test]
        fn pairs_of_codes_are_measured_alike_from_either_side(
            a in vectors(30_000), b in vectors(30_000), room in 1..50_usize
        ) {
            for metric in MEASURES {
                let codes = SparseCodes::new(30_000, metric, SparseCodes::len_with(30_000, room));
                let (a, b) = (code(&codes, &a), code(&codes, &b));
                let (from_a, from_b) = (codes.query_from_code(&a), codes.query_from_code(&b));
                let (there, back) = (from_a.distance(&b), from_b.distance(&a));
                // Sums in f64, of terms as large as the absolute values.
                let scale = from_a.size + from_b.size + from_a.norm * from_b.norm;
                let off = (f64::from(there) - f64::from(back)).abs();
                prop_assert!(off <= 1e-6 * (f64::from(there.abs()) + 1e-6 * scale), "{metric:?} {there} {back}");
            }
        }

        #[test]
        fn any_bytes_are_a_code(bytes in prop::collection::vec(any::<u8>(), 160), a in vectors(30_000)) {
            for (dimensions, metric) in [30, 30_000, 1_000_000_000].into_iter().zip(MEASURES) {
                let codes = SparseCodes::new(dimensions, metric, 160);
                let of_code = codes.query_from_code(&bytes);
                let (distance, error) = codes.query(a.view()).estimate(&bytes);
                prop_assert!(!distance.is_nan() && error >= 0.0);
                prop_assert!(!of_code.distance(&bytes).is_nan());
                let mut values = vec![0.0; codes.routing_dimensions()];
                codes.routing_values(&bytes, &mut values);
            }
        }
    }

    #[test]
    fn small_integers_are_coded_as_they_are() {
        let a = Vector::of([(0, 127.0), (5, -3.0), (29_999, 64.0)]);
        let b = Vector::of([(0, 127.0), (5, 2.0), (7, 1.0)]);
        for dimensions in [30_000, 70_000] {
            for (metric, expected) in MEASURES.into_iter().zip([4122.0, -16_123.0, 70.0]) {
                let codes =
                    SparseCodes::new(dimensions, metric, SparseCodes::len_with(dimensions, 3));
                let (a, query) = (code(&codes, &a), codes.query(b.view()));
                assert_eq!(query.distance(&a), expected);
                assert_eq!(
                    codes.query_from_code(&code(&codes, &b)).distance(&a),
                    expected
                );
            }
        }
    }

    #[test]
    fn what_weighs_least_is_left_out() {
        let vector = Vector::of([(1, 1.0), (2, -8.0), (3, 4.0), (4, 2.0), (5, 8.0)]);
        let codes = SparseCodes::new(100, CodeMetric::L1, SparseCodes::len_with(100, 4));
        assert_eq!(codes.capacity(), 4);
        let code = code(&codes, &vector);
        let indices: Vec<u32> = codes
            .elements(&code)
            .iter()
            .map(|element| element.0)
            .collect();
        assert_eq!(indices, [2, 3, 4, 5]);
        assert!((1.0..1.001).contains(&Head::read(&code).left_out));
        let nothing = codes.query(Vector::of([]).view());
        assert!((nothing.distance(&code) - 23.0).abs() < 0.2);
    }

    #[test]
    fn vectors_without_elements_or_with_tiny_ones_have_codes() {
        for elements in [
            vec![],
            vec![(3, 1e-45_f32)],
            vec![(3, f32::MAX), (4, 1e-30)],
        ] {
            let vector = Vector::of(elements);
            for metric in MEASURES {
                let codes = SparseCodes::new(10, metric, SparseCodes::len_with(10, 5));
                let code = code(&codes, &vector);
                let (distance, error) = codes.query(vector.view()).estimate(&code);
                assert!(
                    !distance.is_nan() && !error.is_nan(),
                    "{metric:?} {vector:?}"
                );
            }
        }
    }

    /// With 1,024 hashed values and more, an inner product is off by a few hundredths of the lengths.
    #[test]
    fn routing_values_keep_inner_products() {
        let element = |i: i32, seed: i32| (i * 9973, ((i * seed) % 17) as f32 + 1.0);
        let a = Vector::of((0..120).map(|i| element(i, 5)));
        let b = Vector::of((60..180).map(|i| element(i, 3)));
        let codes = SparseCodes::new(1_000_000_000, CodeMetric::L2, 2000);
        let values = |vector: &Vector| {
            let mut values = vec![0.0; codes.routing_dimensions()];
            codes.routing_values(&code(&codes, vector), &mut values);
            values
        };
        let dot =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let (x, y) = (values(&a), values(&b));
        let lengths = (dot(&x, &x) * dot(&y, &y)).sqrt();
        let off = dot(&x, &y) + exact(CodeMetric::InnerProduct, &a, &b);
        assert!(off.abs() < 0.1 * lengths, "{off} of {lengths}");
    }
}
