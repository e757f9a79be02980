//! Codes for L2 and inner product: a rotated vector in symmetric levels of b bits, in the manner of RaBitQ
//! (arXiv 2405.12497) and its extension (2409.09913).
//!
//! A vector x minus the center c, rotated, has the levels u; v = u - (2^b - 1) / 2 points in about its direction. The code
//! stores f = |x - c|² / (v · (x - c)): then f (v · (q - c)) is an unbiased estimate of (x - c) · (q - c). The step between
//! levels minimises the angle between v and x - c. A distance is the sum of a term stored in the code, a term of the query,
//! and the product:
//!
//! squared L2: |x - c|² + |q - c|² - 2 (x - c) · (q - c);
//! negative inner product: -(x - c) · c - c · q - (x - c) · (q - c).

use std::sync::Arc;

use crate::CodeMetric;
use crate::dot::Line;
use crate::error_bound::{ErrorBound, QueryErrorBound};
use crate::head::{HEAD, Head};
use crate::kernels::{self, Dot};
use crate::lanes::{LANES, largest, sum_pairs, sums};
use crate::levels::{Facts, Levels, MAX_LENGTH};
use crate::planes::Planes;
use crate::rotation::Rotation;
use crate::simd::{Loops, Simd};

/// The highest level of a query.
const QUERY_MAX: f32 = 127.0;

/// Encodes the vectors of one index.
#[derive(Clone, Debug)]
pub(crate) struct Rotated {
    metric: CodeMetric,
    planes: Planes,
    rotation: Arc<Rotation>,
    center: Option<Arc<Center>>,
    simd: Simd,
}

/// The vector subtracted before encoding.
#[derive(Clone, Debug)]
struct Center {
    plain: Vec<f32>,
    rotated: Vec<f32>,
    squared_length: f32,
}

/// A query against codes of rotated vectors.
#[derive(Clone, Debug)]
pub(crate) struct RotatedQuery {
    dot: Dot,
    levels: Vec<Line>,
    /// The sum of the query's levels times the highest level of a code: the offset from unsigned to symmetric levels.
    levels_sum: i32,
    /// Half the factor from levels to values, times the weight of the product in a distance.
    scale: f32,
    /// The query's term of a distance.
    base: f32,
    is_l2: bool,
    error_bound: QueryErrorBound,
}

/// The parts of a query besides its levels.
struct Source {
    /// The factor from levels to values.
    scale: f32,
    base: f32,
    error_bound: ErrorBound,
}

impl Rotated {
    pub(crate) fn new(
        planes: Planes,
        metric: CodeMetric,
        seed: u64,
        center: Option<&[f32]>,
        simd: Simd,
    ) -> Rotated {
        let rotation = Rotation::with_simd(planes.dimensions, seed, simd);
        let center = center.map(|center| Arc::new(Center::new(center, &rotation)));
        Rotated {
            metric,
            planes,
            rotation: Arc::new(rotation),
            center,
            simd,
        }
    }

    /// The same with another center.
    pub(crate) fn with_center(&self, center: &[f32]) -> Rotated {
        Rotated {
            center: Some(Arc::new(Center::new(center, &self.rotation))),
            ..self.clone()
        }
    }

    pub(crate) fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// The center, rotated; `None` for zero.
    pub(crate) fn rotated_center(&self) -> Option<&[f32]> {
        self.center.as_ref().map(|center| &center.rotated[..])
    }

    /// The squared length of a vector less the center.
    pub(crate) fn squared_length(&self, vector: &[f32]) -> f64 {
        let square = |x: f64| x * x;
        match &self.center {
            None => vector.iter().map(|&x| square(x.into())).sum(),
            Some(center) => vector
                .iter()
                .zip(&center.plain)
                .map(|(&x, &center)| square(f64::from(x) - f64::from(center)))
                .sum(),
        }
    }

    /// The squared length of a code's vector less the center.
    pub(crate) fn squared_length_of(&self, code: &[u8]) -> f64 {
        let (head, _) = Head::split(code);
        match self.metric {
            CodeMetric::InnerProduct => {
                f64::from(ErrorBound::from_bits(head.error_bound).length).powi(2)
            }
            CodeMetric::L2 | CodeMetric::L1 => head.base.into(),
        }
    }

    /// A code's vector less the center, rotated: exact along the vector, with the error of the levels across.
    pub(crate) fn decode(&self, code: &[u8]) -> Vec<f32> {
        let (head, bytes) = Head::split(code);
        let mut values = self.directions(bytes);
        values.iter_mut().for_each(|value| *value *= head.scale);
        values
    }

    pub(crate) fn encode(&self, vector: &[f32], code: &mut [u8]) {
        let (head, levels) = code.split_at_mut(HEAD);
        let Encoded { facts, center_part } = self.simd.run(Encode {
            codec: self,
            vector,
            levels,
        });
        let base = match self.metric {
            CodeMetric::InnerProduct => finite(center_part),
            CodeMetric::L2 | CodeMetric::L1 => facts.squared_norm as f32,
        };
        Head {
            scale: facts.scale as f32,
            base,
            error_bound: facts.error_bound().to_bits(),
        }
        .write(head);
    }

    pub(crate) fn query(&self, vector: &[f32]) -> RotatedQuery {
        let mut values = vec![0.0; vector.len()];
        let turn = Turn {
            rotation: &self.rotation,
            vector,
            center: self.center.as_deref(),
            values: &mut values,
        };
        let unit = self.simd.run(turn);
        let (levels, facts) = self.quantize(&values, unit);
        let base = match (self.metric, &self.center) {
            (CodeMetric::InnerProduct, Some(center)) => -center.product(vector),
            (CodeMetric::InnerProduct, None) => 0.0,
            (CodeMetric::L2 | CodeMetric::L1, _) => facts.squared_norm as f32,
        };
        self.assemble(
            levels,
            Source {
                scale: facts.scale as f32,
                base,
                error_bound: facts.error_bound(),
            },
        )
    }

    /// A code's vector as a query.
    pub(crate) fn query_from_code(&self, code: &[u8]) -> RotatedQuery {
        let (head, bytes) = Head::split(code);
        let base = match (self.metric, &self.center) {
            // c · q is c · c + (q - c) · c; the code holds the second term.
            (CodeMetric::InnerProduct, Some(center)) => head.base - center.squared_length,
            _ => head.base,
        };
        let error_bound = ErrorBound::from_bits(head.error_bound);
        if self.planes.bits == 8 {
            let (levels, facts) = self.quantize(&self.directions(bytes), head.scale.into());
            // Not `hypot`: the C library's needs glibc 2.35.
            let tangent =
                f64::from(error_bound.tangent).powi(2) + f64::from(facts.tangent as f32).powi(2);
            let tangent = tangent.sqrt() as f32;
            let source = Source {
                scale: facts.scale as f32,
                base,
                error_bound: ErrorBound {
                    tangent,
                    ..error_bound
                },
            };
            return self.assemble(levels, source);
        }
        // Up to four bits, a code's levels serve as a query's without loss, and the distance of two codes is symmetric.
        let max = self.planes.max_level() as i8;
        let mut levels = self.planes.query();
        self.planes
            .query_of_code(bytes, |level| 2 * level as i8 - max, &mut levels);
        self.assemble(
            levels,
            Source {
                scale: 0.5 * head.scale,
                base,
                error_bound,
            },
        )
    }

    /// The vector of a code with another center as a query: decoded, and quantized again.
    pub(crate) fn query_across(&self, from: &Rotated, code: &[u8]) -> RotatedQuery {
        let ErrorBound { tangent, length } = ErrorBound::from_bits(Head::split(code).0.error_bound);
        let mut values = from.decode(code);
        let moved = Moved::new(&values, from.rotated_center(), self.rotated_center());
        let squared_length = (from.squared_length_of(code) + moved.squares).max(0.0);
        self.move_center(from, &mut values);
        let per_unit = units_per_one(largest(&values));
        values.iter_mut().for_each(|value| *value *= per_unit);
        let (levels, facts) = self.quantize(&values, 1.0 / f64::from(per_unit));
        // The product with an error in the vector's own code enters the query's term of a distance too.
        let error = f64::from(tangent) * f64::from(length);
        let (base, of, weight) = match self.metric {
            CodeMetric::InnerProduct => (-moved.product, moved.center_squares.sqrt(), 1.0),
            CodeMetric::L2 | CodeMetric::L1 => (squared_length, moved.distance_squares.sqrt(), 2.0),
        };
        let length = (squared_length + error * error).sqrt();
        let tangent =
            ((error / length.max(f64::MIN_POSITIVE)).powi(2) + facts.tangent.powi(2)).sqrt();
        let mut query = self.assemble(
            levels,
            Source {
                scale: facts.scale as f32,
                base: finite(base),
                error_bound: ErrorBound {
                    tangent: tangent as f32,
                    length: length as f32,
                },
            },
        );
        query.error_bound =
            query
                .error_bound
                .with_error((error, of), weight, self.planes.dimensions);
        query
    }

    /// From vectors less the center of another to vectors less one's own, both rotated.
    fn move_center(&self, from: &Rotated, values: &mut [f32]) {
        for (center, sign) in [(from.rotated_center(), 1.0), (self.rotated_center(), -1.0)] {
            for (value, center) in values.iter_mut().zip(center.unwrap_or_default()) {
                *value = (*value + sign * center).clamp(f32::MIN, f32::MAX);
            }
        }
    }

    /// The symmetric levels of a code.
    fn directions(&self, bytes: &[u8]) -> Vec<f32> {
        let middle = 0.5 * f32::from(self.planes.max_level());
        let mut values = vec![0.0; self.planes.dimensions];
        self.planes
            .unpack(bytes, |level| f32::from(level) - middle, &mut values);
        values
    }

    fn quantize(&self, values: &[f32], unit: f64) -> (Vec<Line>, Facts) {
        let mut levels = self.planes.query();
        let quantize = Quantize {
            planes: self.planes,
            values,
            unit,
            levels: &mut levels,
        };
        let facts = self.simd.run(quantize);
        (levels, facts)
    }

    fn assemble(&self, levels: Vec<Line>, source: Source) -> RotatedQuery {
        let is_l2 = self.metric == CodeMetric::L2;
        let weight = if is_l2 { 2.0 } else { 1.0 };
        let levels_sum: i32 = levels.iter().flat_map(|line| line.0).map(i32::from).sum();
        RotatedQuery {
            dot: kernels::dot(self.simd, self.planes.bits),
            levels,
            levels_sum: levels_sum * i32::from(self.planes.max_level()),
            scale: 0.5 * weight * source.scale,
            base: source.base,
            is_l2,
            error_bound: QueryErrorBound::new(source.error_bound, weight, self.planes.dimensions),
        }
    }
}

/// Sums over a vector less a center, of another center: all rotated.
pub(crate) struct Moved {
    /// The squared length of the vector less the other center, minus that of the vector less its own.
    pub(crate) squares: f64,
    /// The squared distance between the centers.
    distance_squares: f64,
    /// The other center's product with the vector, and with itself.
    product: f64,
    center_squares: f64,
}

impl Moved {
    pub(crate) fn new(values: &[f32], from: Option<&[f32]>, to: Option<&[f32]>) -> Moved {
        let zero = vec![0.0; values.len()];
        let (from, to) = (from.unwrap_or(&zero), to.unwrap_or(&zero));
        // Independent sums, side by side.
        let mut sums = [[0.0; LANES]; 4];
        let mut add = |lane: usize, value: f32, from: f32, to: f32| {
            let (value, from, to) = (f64::from(value), f64::from(from), f64::from(to));
            let apart = from - to;
            sums[0][lane] += apart * (2.0 * value + apart);
            sums[1][lane] += apart * apart;
            sums[2][lane] += to * (value + from);
            sums[3][lane] += to * to;
        };
        let (values, more) = values.as_chunks::<LANES>();
        let (from, more_from) = from.as_chunks::<LANES>();
        let (to, more_to) = to.as_chunks::<LANES>();
        for ((values, from), to) in values.iter().zip(from).zip(to) {
            for lane in 0..LANES {
                add(lane, values[lane], from[lane], to[lane]);
            }
        }
        for (lane, ((&value, &from), &to)) in more.iter().zip(more_from).zip(more_to).enumerate() {
            add(lane, value, from, to);
        }
        let [squares, distance_squares, product, center_squares] =
            sums.map(|lanes| lanes.iter().sum());
        Moved {
            squares,
            distance_squares,
            product,
            center_squares,
        }
    }
}

impl RotatedQuery {
    #[inline]
    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        let (head, levels) = Head::split(code);
        self.distance_less(head, self.product(head, levels))
    }

    #[inline]
    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let (head, levels) = Head::split(code);
        let product = self.product(head, levels);
        let ErrorBound { tangent, length } = ErrorBound::from_bits(head.error_bound);
        let squared_length = if self.is_l2 {
            head.base
        } else {
            length * length
        };
        let others = head.base.abs() + self.base.abs();
        let error = self
            .error_bound
            .error(squared_length, tangent, product, others);
        (self.distance_less(head, product), error)
    }

    pub(crate) fn unit(&self) -> Option<f32> {
        (!self.is_l2).then(|| self.error_bound.length())
    }

    /// The product's term of the distance. Multiplied in this order, so that the distance of two codes is symmetric.
    #[inline]
    fn product(&self, head: Head, levels: &[u8]) -> f32 {
        let twice_dot = 2 * self.dot.of(levels, &self.levels) - self.levels_sum;
        (head.scale * self.scale) * twice_dot as f32
    }

    #[inline]
    fn distance_less(&self, head: Head, product: f32) -> f32 {
        let distance = head.base + self.base - product;
        if self.is_l2 {
            distance.max(0.0)
        } else {
            distance
        }
    }
}

impl Center {
    fn new(center: &[f32], rotation: &Rotation) -> Center {
        // A center beyond the range of f32 squares is useless; any other vector works.
        let most = 1e15;
        let plain: Vec<f32> = center
            .iter()
            .map(|value| value.clamp(-most, most))
            .collect();
        let mut rotated = plain.clone();
        rotation.rotate(&mut rotated);
        let mut center = Center {
            plain,
            rotated,
            squared_length: 0.0,
        };
        center.squared_length = center.product(&center.plain);
        center
    }

    fn product(&self, vector: &[f32]) -> f32 {
        let pairs = self.plain.iter().zip(vector);
        finite(pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum())
    }
}

/// Clamps a value to the range of distances.
fn finite(product: f64) -> f32 {
    product.clamp(-MAX_LENGTH * MAX_LENGTH, MAX_LENGTH * MAX_LENGTH) as f32
}

struct Encode<'a> {
    codec: &'a Rotated,
    vector: &'a [f32],
    levels: &'a mut [u8],
}

#[derive(Default)]
struct Encoded {
    facts: Facts,
    /// -(x - c) · c
    center_part: f64,
}

impl Loops for Encode<'_> {
    type Output = Encoded;

    #[inline(always)]
    fn run(self) -> Encoded {
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
            center: center.as_deref(),
            values: &mut values,
        };
        let unit = turn.run();
        let [squares] = sums(&values, |value| [value * value]);
        if squares == 0.0 {
            self.levels.fill(0);
            return Encoded::default();
        }
        let levels = Levels::fit(&values, squares, planes.bits);
        planes.pack(&values, |value| levels.of(value), self.levels);
        let center_part = match center {
            Some(center) => -f64::from(sum_pairs(&values, &center.rotated, |a, b| a * b)) * unit,
            None => 0.0,
        };
        let facts = Facts::new(squares, levels.sums(&values), unit).bounded();
        Encoded { facts, center_part }
    }
}

/// Subtracts the center and rotates. The result is in units of a power of two near the largest value: an exact scaling
/// that keeps squares within f32.
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

/// A power of two that scales a value to about 1.
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
        Facts::new(squares, level_sums, self.unit).bounded()
    }
}
