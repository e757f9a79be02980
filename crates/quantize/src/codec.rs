//! Codes of an index and queries against them, for every code format.

use distance::BitDistance;

use crate::bits::{Bits, BitsQuery};
use crate::exact::{self, ExactQuery};
use crate::head::HEAD;
use crate::planes::Planes;
use crate::rotated::{Rotated, RotatedQuery};
use crate::scalar::{Scalar, ScalarQuery};
use crate::simd::Simd;
use crate::sparse::{SparseCodes, SparseQuery};
use crate::{CodeMetric, Value};

/// The bits per dimension of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeBits {
    /// The vector itself, as f32.
    Exact,
    /// 256 levels.
    B8,
    /// 16 levels.
    B4,
    /// Four levels.
    B2,
    /// Two levels.
    B1,
}

/// Vectors of up to this many dimensions are stored whole: codes would save little and lose much.
const SHORT: usize = 32;

/// The maximum: beyond it the sums of 8-bit products overflow i32.
const MAX_DIMENSIONS: usize = 32_000;

impl CodeBits {
    const ALL: [CodeBits; 5] = [
        CodeBits::Exact,
        CodeBits::B8,
        CodeBits::B4,
        CodeBits::B2,
        CodeBits::B1,
    ];

    /// The default of an index: the vector itself if it is short, else four bits, or fewer if a code would exceed
    /// `max_code_len` bytes. `None` if not even one bit fits.
    #[must_use]
    pub fn choose(dimensions: usize, max_code_len: usize) -> Option<CodeBits> {
        let wanted = if dimensions <= SHORT {
            CodeBits::Exact
        } else {
            CodeBits::B4
        };
        wanted.fit(dimensions, max_code_len)
    }

    /// These bits, or the most below them for a code of at most `max_code_len` bytes.
    #[must_use]
    pub fn fit(self, dimensions: usize, max_code_len: usize) -> Option<CodeBits> {
        let fewer = CodeBits::ALL
            .into_iter()
            .filter(|bits| bits.number() <= self.number());
        fewer
            .into_iter()
            .find(|bits| bits.code_len(dimensions) <= max_code_len)
    }

    /// Bytes of a code, a multiple of 4.
    #[must_use]
    pub fn code_len(self, dimensions: usize) -> usize {
        match self {
            CodeBits::Exact => size_of::<f32>() * dimensions,
            _ => HEAD + Planes::new(dimensions, self.number().into()).width,
        }
    }

    /// The stored number: 32, 8, 4, 2 or 1.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            CodeBits::Exact => 32,
            CodeBits::B8 => 8,
            CodeBits::B4 => 4,
            CodeBits::B2 => 2,
            CodeBits::B1 => 1,
        }
    }

    /// The bits of a stored number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<CodeBits> {
        CodeBits::ALL
            .into_iter()
            .find(|bits| bits.number() == number)
    }
}

/// Encodes the vectors of an index. Fixed when the index is created, and the same on every machine for the same parameters.
#[derive(Clone, Debug)]
pub struct Codec {
    dimensions: usize,
    bits: CodeBits,
    metric: CodeMetric,
    code_len: usize,
    simd: Simd,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Exact,
    Rotated(Rotated),
    Scalar(Scalar),
    Bits(Bits),
    Sparse(SparseCodes),
}

/// A vector prepared for comparison with codes.
#[derive(Clone, Debug)]
pub struct Query {
    code_len: usize,
    form: QueryForm,
}

#[derive(Clone, Debug)]
enum QueryForm {
    Exact(ExactQuery),
    Rotated(RotatedQuery),
    Scalar(ScalarQuery),
    Bits(BitsQuery),
    Sparse(SparseQuery),
}

impl Codec {
    /// Codes for vectors of `dimensions`. The seed chooses the rotation; the center, if any, is subtracted from every vector
    /// first (L1 and exact codes ignore it).
    ///
    /// # Panics
    /// If `dimensions` is 0 or above 32,000, or the center has another length.
    #[must_use]
    pub fn new(
        dimensions: usize,
        bits: CodeBits,
        metric: CodeMetric,
        seed: u64,
        center: Option<&[f32]>,
    ) -> Codec {
        Codec::with_simd(dimensions, bits, metric, seed, center, Simd::current())
    }

    pub(crate) fn with_simd(
        dimensions: usize,
        bits: CodeBits,
        metric: CodeMetric,
        seed: u64,
        center: Option<&[f32]>,
        simd: Simd,
    ) -> Codec {
        assert!(
            (1..=MAX_DIMENSIONS).contains(&dimensions),
            "{dimensions} dimensions"
        );
        assert!(
            center.is_none_or(|center| center.len() == dimensions),
            "a center of the same dimensions"
        );
        let planes = || Planes::new(dimensions, bits.number().into());
        let form = match (bits, metric) {
            (CodeBits::Exact, _) => Form::Exact,
            (_, CodeMetric::L1) => Form::Scalar(Scalar::new(planes(), simd)),
            _ => Form::Rotated(Rotated::new(planes(), metric, seed, center, simd)),
        };
        Codec {
            dimensions,
            bits,
            metric,
            code_len: bits.code_len(dimensions),
            simd,
            form,
        }
    }

    /// Codes for strings of `bits`, in at most `room` bytes (at least 4): the strings themselves, or their prefixes.
    ///
    /// # Panics
    /// If there are no bits.
    #[must_use]
    pub fn of_bits(count: usize, metric: BitDistance, room: usize) -> Codec {
        assert!(count > 0, "a string has bits");
        let code_len = Bits::code_len(count, room);
        Codec {
            dimensions: count,
            bits: CodeBits::B1,
            metric: CodeMetric::L2,
            code_len,
            simd: Simd::current(),
            form: Form::Bits(Bits::new(metric, count, code_len)),
        }
    }

    /// Bytes of a code of a bit string.
    #[must_use]
    pub fn bit_code_len(count: usize, room: usize) -> usize {
        Bits::code_len(count, room)
    }

    /// Codes of `code_len` bytes for sparse vectors, or long enough for one element. Vectors with more elements than fit keep
    /// their heaviest ones.
    ///
    /// # Panics
    /// If `dimensions` is 0, or the length is not a multiple of 4.
    #[must_use]
    pub fn of_sparse(dimensions: usize, metric: CodeMetric, code_len: usize) -> Codec {
        assert!(dimensions > 0, "a vector has dimensions");
        assert!(code_len.is_multiple_of(4), "a code of {code_len} bytes");
        let codes = SparseCodes::new(dimensions, metric, code_len);
        Codec {
            dimensions,
            bits: CodeBits::B8,
            metric,
            code_len: codes.code_len(),
            simd: Simd::current(),
            form: Form::Sparse(codes),
        }
    }

    /// Bytes of a sparse vector's code for a number of elements.
    #[must_use]
    pub fn sparse_code_len(dimensions: usize, elements: usize) -> usize {
        SparseCodes::len_with(dimensions, elements)
    }

    /// Dimensions of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// The bits per dimension.
    #[must_use]
    pub fn bits(&self) -> CodeBits {
        self.bits
    }

    /// The estimated metric. For bit strings L2 over ones and zeros: its nearest are near by Hamming and Jaccard too.
    #[must_use]
    pub fn metric(&self) -> CodeMetric {
        self.metric
    }

    /// Bytes of a code, a multiple of 4.
    #[must_use]
    pub fn code_len(&self) -> usize {
        self.code_len
    }

    /// True if codes are of rotated vectors, so that the 8-bit codes of a build can replace them in comparisons.
    #[must_use]
    pub fn is_rotated(&self) -> bool {
        matches!(self.form, Form::Rotated(_))
    }

    /// The codec of rotated vectors, the only ones with a center.
    pub(crate) fn rotated(&self) -> Option<&Rotated> {
        match &self.form {
            Form::Rotated(rotated) => Some(rotated),
            _ => None,
        }
    }

    /// A codec that differs in its center alone; the same where there is no center.
    pub(crate) fn with_center(&self, center: &[f32]) -> Codec {
        assert_eq!(
            center.len(),
            self.dimensions,
            "a center of the same dimensions"
        );
        let form = match &self.form {
            Form::Rotated(rotated) => Form::Rotated(rotated.with_center(center)),
            other => other.clone(),
        };
        Codec {
            form,
            ..self.clone()
        }
    }

    /// A query from a code of another codec, which differs in its center alone.
    pub(crate) fn query_across(&self, from: &Codec, code: &[u8]) -> Query {
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        match (&self.form, &from.form) {
            (Form::Rotated(to), Form::Rotated(from)) => Query {
                code_len: code.len(),
                form: QueryForm::Rotated(to.query_across(from, code)),
            },
            _ => self.query_from_code(code),
        }
    }

    /// Writes the code of a value. Equal values have equal codes.
    ///
    /// # Panics
    /// If the value is not of the codec's kind and dimensions, or the code not of its length.
    pub fn encode_value(&self, value: &Value, code: &mut [u8]) {
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        match (&self.form, value) {
            (Form::Bits(bits), Value::Bits(string)) => {
                self.check_bits(string);
                bits.encode(string, code);
            }
            (Form::Sparse(codes), Value::Sparse { .. }) => {
                codes.encode(value.sparse().expect("matched above"), code);
            }
            (_, Value::Dense(values)) => self.encode(values, code),
            _ => panic!("a value of the codec's kind"),
        }
    }

    /// A query for a value, more precise than a code.
    ///
    /// # Panics
    /// If the value is not of the codec's kind and dimensions.
    #[must_use]
    pub fn query_value(&self, value: &Value) -> Query {
        let form = match (&self.form, value) {
            (Form::Bits(bits), Value::Bits(string)) => {
                self.check_bits(string);
                QueryForm::Bits(bits.query(string))
            }
            (Form::Sparse(codes), Value::Sparse { .. }) => {
                QueryForm::Sparse(codes.query(value.sparse().expect("matched above")))
            }
            (_, Value::Dense(values)) => return self.query(values),
            _ => panic!("a value of the codec's kind"),
        };
        Query {
            code_len: self.code_len(),
            form,
        }
    }

    /// Writes the code of a dense vector. Equal vectors have equal codes.
    ///
    /// # Panics
    /// If the vector or the code is not of the codec's length.
    pub fn encode(&self, vector: &[f32], code: &mut [u8]) {
        self.check(vector);
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        match &self.form {
            Form::Exact => exact::encode(vector, code),
            Form::Rotated(rotated) => rotated.encode(vector, code),
            Form::Scalar(scalar) => scalar.encode(vector, code),
            Form::Bits(_) | Form::Sparse(_) => panic!("a vector of the codec's kind"),
        }
    }

    /// A query for a dense vector, more precise than a code.
    ///
    /// # Panics
    /// If the vector is not of the codec's dimensions.
    #[must_use]
    pub fn query(&self, vector: &[f32]) -> Query {
        self.check(vector);
        let form = match &self.form {
            Form::Exact => QueryForm::Exact(ExactQuery::new(self.metric, self.simd, vector)),
            Form::Rotated(rotated) => QueryForm::Rotated(rotated.query(vector)),
            Form::Scalar(scalar) => QueryForm::Scalar(scalar.query(vector)),
            Form::Bits(_) | Form::Sparse(_) => panic!("a vector of the codec's kind"),
        };
        Query {
            code_len: self.code_len(),
            form,
        }
    }

    /// A query from a code, to compare elements with each other.
    ///
    /// # Panics
    /// If the code is not of the codec's length.
    #[must_use]
    pub fn query_from_code(&self, code: &[u8]) -> Query {
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        let form = match &self.form {
            Form::Exact => QueryForm::Exact(ExactQuery::from_code(self.metric, self.simd, code)),
            Form::Rotated(rotated) => QueryForm::Rotated(rotated.query_from_code(code)),
            Form::Scalar(scalar) => QueryForm::Scalar(scalar.query_from_code(code)),
            Form::Bits(bits) => QueryForm::Bits(bits.query_from_code(code)),
            Form::Sparse(codes) => QueryForm::Sparse(codes.query_from_code(code)),
        };
        Query {
            code_len: code.len(),
            form,
        }
    }

    /// The number of values of `routing_values`.
    #[must_use]
    pub fn routing_dimensions(&self) -> usize {
        match &self.form {
            Form::Bits(bits) => bits.routing_dimensions(),
            Form::Sparse(codes) => codes.routing_dimensions(),
            _ => self.dimensions,
        }
    }

    /// Writes values whose distances by `metric` approximate those of the codes: good enough for partitioning.
    ///
    /// # Panics
    /// If codes are of rotated vectors, or a length is wrong.
    pub fn routing_values(&self, code: &[u8], into: &mut [f32]) {
        assert_eq!(code.len(), self.code_len, "a code of the codec's length");
        assert_eq!(into.len(), self.routing_dimensions(), "as many values");
        match &self.form {
            Form::Exact => {
                let vector = ExactQuery::from_code(self.metric, self.simd, code);
                into.copy_from_slice(vector.values());
            }
            Form::Scalar(scalar) => into.copy_from_slice(scalar.query_from_code(code).values()),
            Form::Rotated(_) => panic!("rotated vectors have codes to be divided by"),
            Form::Bits(bits) => bits.routing_values(code, into),
            Form::Sparse(codes) => codes.routing_values(code, into),
        }
    }

    fn check_bits(&self, string: &[u8]) {
        assert_eq!(
            string.len(),
            self.dimensions.div_ceil(8),
            "a string of the codec's bits"
        );
    }

    fn check(&self, vector: &[f32]) {
        assert_eq!(
            vector.len(),
            self.dimensions,
            "a vector of the codec's dimensions"
        );
    }
}

impl Query {
    /// The estimated distance, never NaN: smaller is nearer.
    ///
    /// # Panics
    /// When the code is not as long as the codec's.
    #[inline]
    #[must_use]
    pub fn distance(&self, code: &[u8]) -> f32 {
        assert_eq!(code.len(), self.code_len, "a code of the codec's length");
        match &self.form {
            QueryForm::Rotated(query) => query.distance(code),
            QueryForm::Exact(query) => query.distance(code),
            QueryForm::Scalar(query) => query.distance(code),
            QueryForm::Bits(query) => query.distance(code),
            QueryForm::Sparse(query) => query.distance(code),
        }
    }

    /// The estimated distance, and the maximum by which the true one may be nearer. Guaranteed, except for codes of rotated
    /// vectors: there it holds in 97 of 100 cases, and more often if code and query are near. An infinite error marks a
    /// worthless estimate.
    ///
    /// # Panics
    /// When the code is not as long as the codec's.
    #[inline]
    #[must_use]
    pub fn estimate(&self, code: &[u8]) -> (f32, f32) {
        assert_eq!(code.len(), self.code_len, "a code of the codec's length");
        match &self.form {
            QueryForm::Rotated(query) => query.estimate(code),
            QueryForm::Exact(query) => query.estimate(code),
            QueryForm::Scalar(query) => query.estimate(code),
            QueryForm::Bits(query) => query.estimate(code),
            QueryForm::Sparse(query) => query.estimate(code),
        }
    }

    /// The length of the query, less the center, where distances are negative inner products: differences between distances
    /// grow with it. `None` for other metrics, whose distances have a least value of 0.
    #[must_use]
    pub fn unit(&self) -> Option<f32> {
        match &self.form {
            QueryForm::Rotated(query) => query.unit(),
            QueryForm::Exact(query) => query.unit(),
            QueryForm::Sparse(query) => query.unit(),
            QueryForm::Scalar(_) | QueryForm::Bits(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(dimensions: usize, seed: usize) -> Vec<f32> {
        (0..dimensions)
            .map(|i| ((i * i * 7 + i * seed * 3) % 101) as f32 - 37.0)
            .collect()
    }

    /// Codes are permanent and compared byte by byte, and graphs built on one machine are searched on another.
    #[test]
    fn every_cpu_gives_the_same_codes_distances_and_errors() {
        for dimensions in [1, 17, 33, 100, 128, 384, 1000, 4001] {
            let center = vector(dimensions, 9);
            for metric in [CodeMetric::L2, CodeMetric::InnerProduct, CodeMetric::L1] {
                for bits in CodeBits::ALL {
                    for center in [None, Some(&center[..])] {
                        let results = |simd| {
                            results(&Codec::with_simd(dimensions, bits, metric, 1, center, simd))
                        };
                        let expected = results(Simd::Scalar);
                        for simd in Simd::available() {
                            assert_eq!(
                                results(simd),
                                expected,
                                "{dimensions} {metric:?} {bits:?} {simd:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_unit_of_inner_products_grows_with_the_query() {
        for bits in CodeBits::ALL {
            let codec = |metric| Codec::new(64, bits, metric, 1, None);
            let doubled: Vec<f32> = vector(64, 1).iter().map(|value| 2.0 * value).collect();
            let units = |codec: &Codec| {
                [vector(64, 1), doubled.clone()].map(|vector| codec.query(&vector).unit())
            };
            let [Some(unit), Some(twice)] = units(&codec(CodeMetric::InnerProduct)) else {
                panic!("inner products have a unit");
            };
            assert!((twice / unit - 2.0).abs() < 0.02, "{bits:?} {unit} {twice}");
            assert_eq!(units(&codec(CodeMetric::L2)), [None, None]);
        }
    }

    /// The codes of two vectors, and the bits of all distances and errors among them.
    fn results(codec: &Codec) -> (Vec<Vec<u8>>, Vec<u32>) {
        let vectors = [1, 2].map(|seed| vector(codec.dimensions(), seed));
        let codes: Vec<Vec<u8>> = vectors.iter().map(|vector| code(codec, vector)).collect();
        let queries = [codec.query(&vectors[0]), codec.query_from_code(&codes[0])];
        let pairs = queries
            .iter()
            .flat_map(|query| codes.iter().map(|code| query.estimate(code)));
        let numbers = pairs
            .flat_map(|(distance, error)| [distance.to_bits(), error.to_bits()])
            .collect();
        (codes, numbers)
    }

    fn code(codec: &Codec, vector: &[f32]) -> Vec<u8> {
        let mut code = vec![0; codec.code_len()];
        codec.encode(vector, &mut code);
        code
    }
}
