//! Codes for L2 and inner product: a rotated vector in symmetric levels of b bits, in the manner of RaBitQ
//! (arXiv 2405.12497) and its extension (2409.09913).
//!
//! A vector x less the center, rotated, has the levels u; v = u - (2^b - 1) / 2 points in about its direction. The code
//! keeps f = |x|² / (v · x), so that f (v · q) estimates x · q without bias, |x|², and how far estimates may be off.
//! The step between levels is the one that brings v nearest to the direction of x.

use crate::Measure;
use crate::dot::Line;
use crate::head::{HEAD, Head};
use crate::kernels::{self, Dot};
use crate::lanes::{largest, sums};
use crate::levels::{Facts, Levels};
use crate::planes::Planes;
use crate::rotation::Rotation;
use crate::simd::{Loops, Simd};

/// Standard deviations that an error bound covers; 1.9 is the value RaBitQ's authors recommend.
const EPSILON: f64 = 1.9;

/// Longer vectors are coded as if they had this length, with no bound on the error: their squares leave f32.
const MAX_LENGTH: f64 = 1e18;

/// The highest level of a query.
const QUERY_MAX: f32 = 127.0;

/// How vectors of one index become codes.
#[derive(Clone, Debug)]
pub(crate) struct Rotated {
    measure: Measure,
    planes: Planes,
    rotation: Rotation,
    center: Option<Center>,
    simd: Simd,
}

/// What is taken off every vector before it is coded.
#[derive(Clone, Debug)]
struct Center {
    plain: Vec<f32>,
    rotated: Vec<f32>,
    length: f32,
}

/// A query against such codes.
#[derive(Clone, Debug)]
pub(crate) struct RotatedQuery {
    dot: Dot,
    levels: Vec<Line>,
    /// The sum of the query's levels times the highest level of a code: what makes the code's levels symmetric.
    levels_sum: i32,
    /// Half a level's worth, doubled for L2.
    scale: f32,
    /// The part that all distances have in common.
    base: f32,
    /// The least a distance can be.
    least: f32,
    /// One for L2, where the code's squared norm is part of the distance.
    norm_weight: f32,
    error: QueryError,
}

/// The query's part in the error of an estimate.
#[derive(Clone, Copy, Debug, Default)]
struct QueryError {
    length: f32,
    /// What its own levels add, per unit of the code's length; and a length that is added to the code's.
    own: f32,
    center_length: f32,
}

impl Rotated {
    pub(crate) fn new(
        planes: Planes,
        measure: Measure,
        seed: u64,
        center: Option<&[f32]>,
        simd: Simd,
    ) -> Rotated {
        let rotation = Rotation::with_simd(planes.dimensions, seed, simd);
        let center = center.map(|center| Center::new(center, &rotation));
        Rotated {
            measure,
            planes,
            rotation,
            center,
            simd,
        }
    }

    pub(crate) fn encode(&self, vector: &[f32], code: &mut [u8]) {
        let (head, levels) = code.split_at_mut(HEAD);
        let facts = self.simd.run(Encode {
            codec: self,
            vector,
            levels,
        });
        self.head(facts).write(head);
    }

    fn head(&self, facts: Facts) -> Head {
        let length = facts.squared_norm.sqrt();
        if length > MAX_LENGTH {
            let scale = facts.scale * (MAX_LENGTH / length);
            return Head {
                scale: scale as f32,
                base: (MAX_LENGTH * MAX_LENGTH) as f32,
                error: f32::INFINITY,
            };
        }
        Head {
            scale: facts.scale as f32,
            base: facts.squared_norm as f32,
            error: self.error(facts),
        }
    }

    /// How far an estimate may be off, per unit of the other vector's length.
    fn error(&self, facts: Facts) -> f32 {
        let spread = (self.planes.dimensions.max(2) - 1) as f64;
        let length = facts.squared_norm.sqrt();
        (EPSILON * f64::from(self.product_weight()) * length * facts.tangent / spread.sqrt()) as f32
    }

    /// How often an inner product counts in a distance.
    fn product_weight(&self) -> f32 {
        match self.measure {
            Measure::L2 => 2.0,
            Measure::InnerProduct | Measure::L1 => 1.0,
        }
    }

    pub(crate) fn query(&self, vector: &[f32]) -> RotatedQuery {
        // x · q = center · q + (x - center) · q: with inner products q itself meets the codes.
        let (center, base) = match (self.measure, &self.center) {
            (Measure::InnerProduct, Some(center)) => (None, -product(&center.plain, vector)),
            (_, center) => (center.as_ref(), 0.0),
        };
        let mut values = vec![0.0; vector.len()];
        let unit = self.simd.run(Turn {
            rotation: &self.rotation,
            vector,
            center,
            values: &mut values,
        });
        self.query_of_values(&values, unit, base)
    }

    /// A code's vector as a query.
    pub(crate) fn query_from_code(&self, code: &[u8]) -> RotatedQuery {
        let (head, levels) = Head::split(code);
        match (self.measure, &self.center) {
            (Measure::InnerProduct, Some(center)) => self.query_from_centered(head, levels, center),
            _ if self.planes.bits == 8 => self.query_from_bytes(head, levels),
            _ => self.query_from_levels(head, levels),
        }
    }

    /// Up to four bits, a code's levels are a query's: nothing is lost, and the distance of two codes is symmetric.
    fn query_from_levels(&self, head: Head, bytes: &[u8]) -> RotatedQuery {
        let max = self.planes.max_level() as i8;
        let mut levels = self.planes.query();
        self.planes
            .query_of_code(bytes, |level| 2 * level as i8 - max, &mut levels);
        self.assemble(levels, 0.5 * head.scale, head, 0.0)
    }

    fn query_from_bytes(&self, head: Head, bytes: &[u8]) -> RotatedQuery {
        let query = self.query_of_values(&self.decode(head, bytes), 1.0, 0.0);
        let own = head.error.hypot(query.error.own);
        // What was measured when the code was made is nearer the truth than the length of the code.
        RotatedQuery {
            base: head.base * query.norm_weight,
            error: QueryError {
                length: head.base.sqrt(),
                own,
                center_length: 0.0,
            },
            ..query
        }
    }

    fn query_from_centered(&self, head: Head, bytes: &[u8], center: &Center) -> RotatedQuery {
        let mut values = self.decode(head, bytes);
        for (value, center) in values.iter_mut().zip(&center.rotated) {
            *value += center;
        }
        let query = self.query_of_values(&values, 1.0, -product(&center.rotated, &values));
        let own = head.error.hypot(query.error.own);
        RotatedQuery {
            error: QueryError {
                own,
                center_length: center.length,
                ..query.error
            },
            ..query
        }
    }

    /// The values that a code stands for, less the center, rotated.
    fn decode(&self, head: Head, bytes: &[u8]) -> Vec<f32> {
        let middle = 0.5 * f32::from(self.planes.max_level());
        let mut values = vec![0.0; self.planes.dimensions];
        self.planes.unpack(
            bytes,
            |level| head.scale * (f32::from(level) - middle),
            &mut values,
        );
        values
    }

    fn query_of_values(&self, values: &[f32], unit: f64, base: f32) -> RotatedQuery {
        let mut levels = self.planes.query();
        let facts = self.simd.run(Quantize {
            planes: self.planes,
            values,
            unit,
            levels: &mut levels,
        });
        let head = self.head(facts);
        self.assemble(levels, head.scale, head, base)
    }

    fn assemble(&self, levels: Vec<Line>, scale: f32, head: Head, base: f32) -> RotatedQuery {
        let is_l2 = self.measure == Measure::L2;
        let levels_sum: i32 = levels.iter().flat_map(|line| line.0).map(i32::from).sum();
        RotatedQuery {
            dot: kernels::dot(self.simd, self.planes.bits),
            levels,
            levels_sum: levels_sum * i32::from(self.planes.max_level()),
            scale: 0.5 * self.product_weight() * scale,
            base: if is_l2 { head.base } else { base },
            least: if is_l2 { 0.0 } else { f32::MIN },
            norm_weight: if is_l2 { 1.0 } else { 0.0 },
            error: QueryError {
                length: head.base.sqrt(),
                own: head.error,
                center_length: 0.0,
            },
        }
    }
}

impl RotatedQuery {
    #[inline]
    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        let (head, levels) = Head::split(code);
        self.distance_of(head, levels)
    }

    #[inline]
    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let (head, levels) = Head::split(code);
        (self.distance_of(head, levels), self.error.with(head))
    }

    #[inline]
    fn distance_of(&self, head: Head, levels: &[u8]) -> f32 {
        let twice_dot = 2 * self.dot.of(levels, &self.levels) - self.levels_sum;
        // In this order, so that the distance of two codes is the same either way.
        let common = head.base * self.norm_weight + self.base;
        (common - (head.scale * self.scale) * twice_dot as f32).max(self.least)
    }
}

impl QueryError {
    #[inline]
    fn with(self, code: Head) -> f32 {
        let of_code = f64::from(code.error) * f64::from(self.length);
        let of_query = f64::from(self.own) * f64::from(code.base.sqrt() + self.center_length);
        let error = (of_code * of_code + of_query * of_query).sqrt() as f32;
        // No bound times no length is still no bound.
        if error.is_nan() { f32::INFINITY } else { error }
    }
}

impl Center {
    fn new(center: &[f32], rotation: &Rotation) -> Center {
        let mut rotated = center.to_vec();
        rotation.rotate(&mut rotated);
        Center {
            plain: center.to_vec(),
            rotated,
            length: product(center, center).sqrt(),
        }
    }
}

/// An inner product that huge values cannot make infinite.
fn product(a: &[f32], b: &[f32]) -> f32 {
    let sum: f64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum();
    sum.clamp(-MAX_LENGTH * MAX_LENGTH, MAX_LENGTH * MAX_LENGTH) as f32
}

struct Encode<'a> {
    codec: &'a Rotated,
    vector: &'a [f32],
    levels: &'a mut [u8],
}

impl Loops for Encode<'_> {
    type Output = Facts;

    #[inline(always)]
    fn run(self) -> Facts {
        let Rotated {
            planes,
            rotation,
            center,
            ..
        } = self.codec;
        let mut values = vec![0.0; self.vector.len()];
        let turn = Turn {
            rotation,
            vector: self.vector,
            center: center.as_ref(),
            values: &mut values,
        };
        let unit = turn.run();
        let [squares] = sums(&values, |value| [value * value]);
        if squares == 0.0 {
            self.levels.fill(0);
            return Facts::default();
        }
        let levels = Levels::fit(&values, squares, planes.bits);
        planes.pack(&values, |value| levels.of(value), self.levels);
        Facts::new(squares, levels.sums(&values), unit)
    }
}

/// Takes off the center and rotates. Values come out in units of a power of two near the largest, which costs no bit and
/// keeps their squares within f32.
struct Turn<'a> {
    rotation: &'a Rotation,
    vector: &'a [f32],
    center: Option<&'a Center>,
    values: &'a mut [f32],
}

impl Loops for Turn<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        match self.center {
            None => self.values.copy_from_slice(self.vector),
            Some(center) => {
                for ((value, &x), &center) in
                    self.values.iter_mut().zip(self.vector).zip(&center.plain)
                {
                    *value = (x - center).clamp(f32::MIN, f32::MAX);
                }
            }
        }
        let per_unit = units_per_one(largest(self.values));
        for value in &mut *self.values {
            *value *= per_unit;
        }
        self.rotation.turn(self.values);
        1.0 / f64::from(per_unit)
    }
}

/// A power of two that brings a value near one.
#[inline(always)]
fn units_per_one(largest: f32) -> f32 {
    let exponent = largest.to_bits() >> 23;
    f32::from_bits(254_u32.saturating_sub(exponent).clamp(1, 253) << 23)
}

struct Quantize<'a> {
    planes: Planes,
    values: &'a [f32],
    unit: f64,
    levels: &'a mut [Line],
}

impl Loops for Quantize<'_> {
    type Output = Facts;

    #[inline(always)]
    fn run(self) -> Facts {
        let largest = largest(self.values);
        if largest == 0.0 {
            return Facts::default();
        }
        let per_unit = QUERY_MAX / largest;
        let level = |value: f32| (value * per_unit).round_ties_even();
        self.planes
            .query_of_values(self.values, |value| level(value) as i8, self.levels);
        let [squares] = sums(self.values, |value| [value * value]);
        let level_sums = sums(self.values, |value| {
            [level(value) * value, level(value) * level(value)]
        });
        Facts::new(squares, level_sums, self.unit)
    }
}
