//! Codes with different centers in one index: each names its own.
//!
//! An index learns while it grows. Its first row is a first center, which brings all codes near to the rows; later centers are
//! means of what the index holds. An element keeps the code it was given, and the number of its center. A query is prepared
//! for the codes of a center when it first meets one of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use crate::rotated::{Moved, Rotated};
use crate::{Codec, Query, Value};

/// A vector's code takes the usual center unless another makes its squared length shorter than this share: few vectors have codes
/// of another kind than their neighbors, which take longer to compare, and none pays much for it.
const SHORTER: f64 = 0.5;

/// A center is worth learning if it makes squared lengths shorter than this share, on average.
const WORTHWHILE: f64 = 0.875;

/// A code, and the number of its center.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coded<'a> {
    /// The number of the center.
    pub center: u8,
    /// The code.
    pub bytes: &'a [u8],
}

/// The codecs of an index, which differ in their centers alone, by the numbers of these.
#[derive(Clone, Debug)]
pub struct Codecs(Vec<Codec>);

impl Codecs {
    /// A codec alone.
    #[must_use]
    pub fn new(first: Codec) -> Codecs {
        Codecs(vec![first])
    }

    /// Adds a center.
    ///
    /// # Panics
    /// If it is not of the codec's dimensions, or there are 256 already.
    pub fn add(&mut self, center: &[f32]) {
        assert!(self.0.len() < Self::MOST, "a center with a number");
        let codec = self.first().with_center(center);
        self.0.push(codec);
    }

    /// The most centers.
    pub const MOST: usize = 256;

    /// Fewer codes have no mean that tells of others.
    pub const FEWEST: usize = 16;

    /// The number of codecs, at least one.
    #[expect(clippy::len_without_is_empty, reason = "there is always a first one")]
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The codec of the center with number 0.
    #[must_use]
    pub fn first(&self) -> &Codec {
        &self.0[0]
    }

    /// The codec of a center; `None` for one not known yet.
    #[must_use]
    pub fn get(&self, center: u8) -> Option<&Codec> {
        self.0.get(usize::from(center))
    }

    /// True if a center makes a difference to codes.
    #[must_use]
    pub fn may_learn(&self) -> bool {
        self.first().is_rotated()
    }

    /// Writes the code of a value, and returns the number of its center.
    ///
    /// # Panics
    /// If the value is not of the codec's kind and dimensions, or the code not of its length.
    pub fn encode(&self, value: &Value, code: &mut [u8]) -> u8 {
        let center = self.nearest(value);
        self.0[usize::from(center)].encode_value(value, code);
        center
    }

    /// The number of the center for a value's code.
    #[must_use]
    pub fn nearest(&self, value: &Value) -> u8 {
        let Some(vector) = value.dense().filter(|_| self.len() > 1) else {
            return 0;
        };
        let lengths: Vec<f64> = self.rotated().map(|of| of.squared_length(vector)).collect();
        number(self.chosen(&lengths).0)
    }

    /// A query for a value.
    ///
    /// # Panics
    /// If the value is not of the codec's kind and dimensions.
    #[must_use]
    pub fn query(&self, value: Value) -> CenteredQuery<'static> {
        let center = self.nearest(&value);
        let own = self.0[usize::from(center)].query_value(&value);
        let source = self.may_learn().then_some(Source::Value(value));
        CenteredQuery::new(center, own, source)
    }

    /// A query from a code, to compare elements with each other.
    ///
    /// # Panics
    /// If its center is not known, or the code not of the codec's length.
    #[must_use]
    pub fn query_from_code<'a>(&self, code: Coded<'a>) -> CenteredQuery<'a> {
        let own = self.0[usize::from(code.center)].query_from_code(code.bytes);
        let source = Source::Code(Cow::Borrowed(code.bytes));
        CenteredQuery::new(code.center, own, self.may_learn().then_some(source))
    }

    /// The mean of codes' vectors, if as a center it makes codes of such vectors finer than the centers known; `None` for fewer
    /// than [`Codecs::FEWEST`] codes.
    ///
    /// # Panics
    /// If a code's center is not known.
    pub fn learn<'c>(&self, codes: impl Iterator<Item = Coded<'c>> + Clone) -> Option<Vec<f32>> {
        let codec = self.first().rotated()?;
        if self.len() >= Self::MOST || codes.clone().take(Self::FEWEST).count() < Self::FEWEST {
            return None;
        }
        let mut center = self.mean(codes.clone());
        let (mut shares, mut count) = (0.0, 0.0);
        for code in codes {
            shares += self.share(code, &center);
            count += 1.0;
        }
        codec.rotation().rotate_back(&mut center);
        let is_finite = center.iter().all(|x| x.is_finite());
        (is_finite && shares <= WORTHWHILE * count).then_some(center)
    }

    /// The mean of codes' vectors, rotated.
    fn mean<'c>(&self, codes: impl Iterator<Item = Coded<'c>>) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.first().dimensions()];
        let mut count = 0.0;
        for code in codes {
            let of = self.rotated_by(code.center);
            for (sum, value) in sums.iter_mut().zip(of.decode(code.bytes)) {
                *sum += f64::from(value);
            }
            for (sum, &center) in sums.iter_mut().zip(of.rotated_center().unwrap_or_default()) {
                *sum += f64::from(center);
            }
            count += 1.0;
        }
        sums.into_iter().map(|sum| (sum / count) as f32).collect()
    }

    /// The squared length that a code's vector would have with one center more, rotated, in shares of what it would have now.
    fn share(&self, code: Coded<'_>, center: &[f32]) -> f64 {
        let of = self.rotated_by(code.center);
        let (values, own) = (of.decode(code.bytes), of.squared_length_of(code.bytes));
        let length = |to| {
            let moved = Moved::new(&values, of.rotated_center(), to);
            (own + moved.squares).max(0.0)
        };
        let mut lengths: Vec<f64> = self
            .rotated()
            .map(|of| length(of.rotated_center()))
            .collect();
        let now = self.chosen(&lengths).1;
        lengths.push(length(Some(center)));
        let then = self.chosen(&lengths).1;
        if now > 0.0 { then / now } else { 1.0 }
    }

    /// The center for a vector by its squared lengths less each: its number, and that length. The usual one is the last mean learned,
    /// or zero where only the first row has been.
    fn chosen(&self, lengths: &[f64]) -> (usize, f64) {
        let last = lengths.len() - 1;
        let has_first_row = last == 1 && self.rotated_by(0).rotated_center().is_none();
        let usual = if has_first_row { 0 } else { last };
        let each = lengths.iter().copied().enumerate();
        let shortest = each.min_by(|a, b| a.1.total_cmp(&b.1));
        let usual = (usual, lengths[usual]);
        shortest
            .filter(|shortest| shortest.1 < SHORTER * usual.1)
            .unwrap_or(usual)
    }

    fn rotated(&self) -> impl Iterator<Item = &Rotated> {
        self.0.iter().filter_map(Codec::rotated)
    }

    fn rotated_by(&self, center: u8) -> &Rotated {
        let codec = &self.0[usize::from(center)];
        codec.rotated().expect("all codecs are of one form")
    }
}

fn number(center: usize) -> u8 {
    u8::try_from(center).expect("centers have numbers below 256")
}

/// A vector as a query against codes with any center.
pub struct CenteredQuery<'a> {
    center: u8,
    /// The query against codes of its own center.
    own: Query,
    /// `None` where all codes have one center.
    source: Option<Source<'a>>,
    /// Those against codes of other centers, once they were met.
    others: RefCell<Vec<Option<Rc<Query>>>>,
}

enum Source<'a> {
    Value(Value),
    Code(Cow<'a, [u8]>),
}

impl<'a> CenteredQuery<'a> {
    fn new(center: u8, own: Query, source: Option<Source<'a>>) -> CenteredQuery<'a> {
        CenteredQuery {
            center,
            own,
            source,
            others: RefCell::default(),
        }
    }

    /// The same with a copy of its code.
    #[must_use]
    pub fn into_owned(self) -> CenteredQuery<'static> {
        let source = self.source.map(|source| match source {
            Source::Value(value) => Source::Value(value),
            Source::Code(code) => Source::Code(Cow::Owned(code.into_owned())),
        });
        CenteredQuery {
            center: self.center,
            own: self.own,
            source,
            others: self.others,
        }
    }

    /// The number of the query's own center.
    #[must_use]
    pub fn center(&self) -> u8 {
        self.center
    }

    /// As [`Query::estimate`]; `None` for a center not known yet.
    ///
    /// # Panics
    /// When the code is not as long as the codec's.
    #[inline]
    #[must_use]
    pub fn estimate(&self, codecs: &Codecs, code: Coded<'_>) -> Option<(f32, f32)> {
        if code.center == self.center {
            return Some(self.own.estimate(code.bytes));
        }
        Some(self.other(codecs, code.center)?.estimate(code.bytes))
    }

    /// As [`Query::distance`]; `None` for a center not known yet.
    ///
    /// # Panics
    /// When the code is not as long as the codec's.
    #[inline]
    #[must_use]
    pub fn distance(&self, codecs: &Codecs, code: Coded<'_>) -> Option<f32> {
        if code.center == self.center {
            return Some(self.own.distance(code.bytes));
        }
        Some(self.other(codecs, code.center)?.distance(code.bytes))
    }

    /// As [`Query::unit`], by the center with number 0: a query has one unit, whatever codes it meets.
    #[must_use]
    pub fn unit(&self, codecs: &Codecs) -> Option<f32> {
        let own = self.own.unit()?;
        match self.center {
            0 => Some(own),
            _ => self.other(codecs, 0)?.unit(),
        }
    }

    /// The query against codes of another center, prepared when first asked for.
    #[cold]
    fn other(&self, codecs: &Codecs, center: u8) -> Option<Rc<Query>> {
        let codec = codecs.get(center)?;
        let mut others = self.others.borrow_mut();
        let at = usize::from(center);
        if others.len() <= at {
            others.resize(at + 1, None);
        }
        let prepare = || match self.source.as_ref()? {
            Source::Value(value) => Some(codec.query_value(value)),
            Source::Code(code) => {
                let own = codecs.get(self.center)?;
                Some(codec.query_across(own, code))
            }
        };
        if others[at].is_none() {
            others[at] = Some(Rc::new(prepare()?));
        }
        others[at].clone()
    }
}
