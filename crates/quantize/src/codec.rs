//! Codes of an index and queries against them, whatever their form.

use crate::Measure;
use crate::exact::{self, ExactQuery};
use crate::head::HEAD;
use crate::planes::Planes;
use crate::rotated::{Rotated, RotatedQuery};
use crate::scalar::{Scalar, ScalarQuery};
use crate::simd::Simd;

/// How many bits a dimension has in a code.
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

/// Up to this many dimensions, codes would save little and lose much.
const SHORT: usize = 32;

/// More, and the sums of 8-bit products would leave i32.
const MAX_DIMENSIONS: usize = 32_000;

impl CodeBits {
    const ALL: [CodeBits; 5] = [
        CodeBits::Exact,
        CodeBits::B8,
        CodeBits::B4,
        CodeBits::B2,
        CodeBits::B1,
    ];

    /// What an index uses unless told otherwise: the vector itself when it is short, else four bits, or fewer when a
    /// code would be longer than `max_code_len` bytes. `None` when not even one bit fits.
    #[must_use]
    pub fn choose(dimensions: usize, max_code_len: usize) -> Option<CodeBits> {
        let wanted = if dimensions <= SHORT {
            CodeBits::Exact
        } else {
            CodeBits::B4
        };
        wanted.fit(dimensions, max_code_len)
    }

    /// These bits, or the most below them with which a code fits in `max_code_len` bytes.
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

    /// As it is stored: 32, 8, 4, 2 or 1.
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

/// How an index codes vectors: fixed when the index is made, and the same on every machine for the same parameters.
#[derive(Clone, Debug)]
pub struct Codec {
    dimensions: usize,
    bits: CodeBits,
    measure: Measure,
    simd: Simd,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Exact,
    Rotated(Rotated),
    Scalar(Scalar),
}

/// A vector ready to be compared with codes.
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
}

impl Codec {
    /// Codes for vectors of so many dimensions. The seed chooses the rotation; the center, if any, is taken off every
    /// vector first (L1 and exact codes need none and pass it over).
    ///
    /// # Panics
    /// With no dimension, more than 32,000, or a center of another length.
    #[must_use]
    pub fn new(
        dimensions: usize,
        bits: CodeBits,
        measure: Measure,
        seed: u64,
        center: Option<&[f32]>,
    ) -> Codec {
        Codec::with_simd(dimensions, bits, measure, seed, center, Simd::current())
    }

    pub(crate) fn with_simd(
        dimensions: usize,
        bits: CodeBits,
        measure: Measure,
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
        let form = match (bits, measure) {
            (CodeBits::Exact, _) => Form::Exact,
            (_, Measure::L1) => Form::Scalar(Scalar::new(planes(), simd)),
            _ => Form::Rotated(Rotated::new(planes(), measure, seed, center, simd)),
        };
        Codec {
            dimensions,
            bits,
            measure,
            simd,
            form,
        }
    }

    /// Dimensions of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Bits a dimension has.
    #[must_use]
    pub fn bits(&self) -> CodeBits {
        self.bits
    }

    /// What distances are estimated.
    #[must_use]
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Bytes of a code, a multiple of 4.
    #[must_use]
    pub fn code_len(&self) -> usize {
        self.bits.code_len(self.dimensions)
    }

    /// Writes the code of a vector. Equal vectors have equal codes.
    ///
    /// # Panics
    /// When the vector or the code has not the codec's length.
    pub fn encode(&self, vector: &[f32], code: &mut [u8]) {
        self.check(vector);
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        match &self.form {
            Form::Exact => exact::encode(vector, code),
            Form::Rotated(rotated) => rotated.encode(vector, code),
            Form::Scalar(scalar) => scalar.encode(vector, code),
        }
    }

    /// A query for a vector, which is kept more exactly than codes are.
    ///
    /// # Panics
    /// When the vector has not the codec's dimensions.
    #[must_use]
    pub fn query(&self, vector: &[f32]) -> Query {
        self.check(vector);
        let form = match &self.form {
            Form::Exact => QueryForm::Exact(ExactQuery::new(self.measure, self.simd, vector)),
            Form::Rotated(rotated) => QueryForm::Rotated(rotated.query(vector)),
            Form::Scalar(scalar) => QueryForm::Scalar(scalar.query(vector)),
        };
        Query {
            code_len: self.code_len(),
            form,
        }
    }

    /// A query for the vector behind a code: an element among elements.
    ///
    /// # Panics
    /// When the code has not the codec's length.
    #[must_use]
    pub fn query_from_code(&self, code: &[u8]) -> Query {
        assert_eq!(code.len(), self.code_len(), "a code of the codec's length");
        let form = match &self.form {
            Form::Exact => QueryForm::Exact(ExactQuery::from_code(self.measure, self.simd, code)),
            Form::Rotated(rotated) => QueryForm::Rotated(rotated.query_from_code(code)),
            Form::Scalar(scalar) => QueryForm::Scalar(scalar.query_from_code(code)),
        };
        Query {
            code_len: code.len(),
            form,
        }
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
    /// The values compared with codes, where these are not of a rotated vector.
    #[must_use]
    pub fn values(&self) -> Option<&[f32]> {
        match &self.form {
            QueryForm::Exact(query) => Some(query.values()),
            QueryForm::Rotated(_) => None,
            QueryForm::Scalar(query) => Some(query.values()),
        }
    }

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
        }
    }

    /// The estimated distance, and how much nearer the true one may be: always for L1 and exact codes, for rotated ones
    /// in 97 of 100 cases and more where code and query are near. An infinite error says that the estimate is worth
    /// nothing.
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

    /// Codes are kept for good and compared byte by byte, and graphs built on one machine are searched on another.
    #[test]
    fn every_cpu_gives_the_same_codes_distances_and_errors() {
        for dimensions in [1, 17, 33, 100, 128, 384, 1000, 4001] {
            let center = vector(dimensions, 9);
            for measure in [Measure::L2, Measure::InnerProduct, Measure::L1] {
                for bits in CodeBits::ALL {
                    for center in [None, Some(&center[..])] {
                        let results = |simd| {
                            results(&Codec::with_simd(
                                dimensions, bits, measure, 1, center, simd,
                            ))
                        };
                        let expected = results(Simd::Scalar);
                        for simd in Simd::available() {
                            assert_eq!(
                                results(simd),
                                expected,
                                "{dimensions} {measure:?} {bits:?} {simd:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Codes of two vectors, and bits of all distances and errors among them.
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
