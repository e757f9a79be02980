//! What dense vectors can do, once for all scalars.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

use distance::Metric;

use super::bit::NewBits;
use super::datum::{Dense, MAX_DIMENSIONS, NewDense, Scalar, check_dimensions};
use crate::error;
use crate::pg::array::{Array, NewArray};
use crate::pg::message::Message;
use crate::pg::number;

// Checks.

/// Dimensions that a column's `(n)` asks for; -1 asks for none.
pub(super) fn check_modifier(modifier: i32, dimensions: usize) {
    if modifier != -1 && usize::try_from(modifier) != Ok(dimensions) {
        error::wrong_dimensions(modifier, dimensions);
    }
}

/// Elements are finite.
pub(super) fn check_element<S: Scalar>(value: S) {
    let value = value.to_f32();
    if value.is_nan() {
        error::nan_element(S::TYPE);
    }
    if value.is_infinite() {
        error::infinite_element(S::TYPE);
    }
}

fn check_same_dimensions<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) {
    if a.dimensions() != b.dimensions() {
        error::different_dimensions(S::TYPE, a.dimensions(), b.dimensions());
    }
}

// Type modifier, binary form, casts.

pub(super) fn modifier<S: Scalar>(modifiers: &Array<'_>) -> i32 {
    let [dimensions] = modifiers.modifiers()[..] else {
        error::invalid_modifier()
    };
    if dimensions < 1 {
        error::modifier_too_small(S::TYPE);
    }
    if usize::try_from(dimensions).is_ok_and(|dimensions| dimensions > MAX_DIMENSIONS) {
        error::modifier_too_large(S::TYPE, MAX_DIMENSIONS);
    }
    dimensions
}

pub(super) fn receive<S: Scalar>(message: &mut Message<'_>, modifier: i32) -> NewDense<S> {
    let (dimensions, unused) = (message.i16(), message.i16());
    let dimensions = usize::try_from(dimensions).unwrap_or(0);
    check_dimensions::<S>(dimensions);
    check_modifier(modifier, dimensions);
    if unused != 0 {
        error::unused_is_set(unused);
    }
    let bytes = message.bytes(dimensions * size_of::<S>());
    NewDense::from_values(bytes.chunks_exact(size_of::<S>()).map(|bytes| {
        let value = S::receive(bytes);
        check_element(value);
        value
    }))
}

pub(super) fn send<S: Scalar>(vector: &Dense<'_, S>) -> Vec<u8> {
    let dimensions = i16::try_from(vector.dimensions()).expect("checked when the vector was made");
    let mut message = Vec::with_capacity(4 + vector.bytes().len());
    message.extend_from_slice(&dimensions.to_be_bytes());
    message.extend_from_slice(&0_i16.to_be_bytes());
    for value in vector.values() {
        value.send(&mut message);
    }
    message
}

pub(super) fn from_array<S: Scalar>(array: &Array<'_>, modifier: i32) -> NewDense<S> {
    if array.depth() > 1 {
        error::array_not_flat();
    }
    if array.has_nulls() {
        error::array_with_nulls();
    }
    let checked = |values: &mut dyn ExactSizeIterator<Item = f32>| {
        check_dimensions::<S>(values.len());
        check_modifier(modifier, values.len());
        NewDense::from_values(values.map(|value| {
            let value = S::from_f32(value);
            check_element(value);
            value
        }))
    };
    if let Some(values) = array.numbers::<f32>() {
        checked(&mut values.iter().copied())
    } else if let Some(values) = array.numbers::<f64>() {
        checked(&mut values.iter().map(|value| *value as f32))
    } else if let Some(values) = array.numbers::<i32>() {
        checked(&mut values.iter().map(|value| *value as f32))
    } else if let Some(values) = array.numerics() {
        checked(&mut values.into_iter())
    } else {
        error::array_type_not_supported()
    }
}

pub(super) fn to_array<S: Scalar>(vector: &Dense<'_, S>) -> NewArray<f32> {
    let mut array = NewArray::zeroed(vector.dimensions());
    for (place, value) in array.values_mut().iter_mut().zip(vector.values()) {
        *place = value.to_f32();
    }
    array
}

/// The cast of a type to itself, which is where `(n)` is enforced.
pub(super) fn enforce_modifier<S: Scalar>(vector: Dense<'_, S>, modifier: i32) -> Dense<'_, S> {
    check_modifier(modifier, vector.dimensions());
    vector
}

// Distances.

#[inline]
pub(super) fn distance<S: Scalar>(metric: Metric, a: &Dense<'_, S>, b: &Dense<'_, S>) -> f64 {
    check_same_dimensions(a, b);
    (S::kernel(metric).one)(a.bytes(), b.bytes())
}

#[inline]
pub(super) fn inner_product<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> f64 {
    -distance(Metric::InnerProduct, a, b)
}

/// The angle between normalised vectors, as a part of half a turn.
pub(super) fn spherical_distance<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> f64 {
    inner_product(a, b).clamp(-1.0, 1.0).acos() / std::f64::consts::PI
}

pub(super) fn norm<S: Scalar>(vector: &Dense<'_, S>) -> f64 {
    S::norm(vector.values())
}

// Arithmetic.

/// A vector in the same direction of length 1; zero stays zero.
pub(super) fn normalize<S: Scalar>(vector: &Dense<'_, S>) -> NewDense<S> {
    let norm = norm(vector);
    if norm == 0.0 {
        return NewDense::zeroed(vector.dimensions());
    }
    let divided = vector
        .values()
        .iter()
        .map(|value| S::from_f32((f64::from(value.to_f32()) / norm) as f32));
    without_overflow(NewDense::from_values(divided))
}

pub(super) fn add<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> NewDense<S> {
    without_overflow(pairwise(a, b, |a, b| a + b))
}

pub(super) fn subtract<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> NewDense<S> {
    without_overflow(pairwise(a, b, |a, b| a - b))
}

pub(super) fn multiply<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> NewDense<S> {
    let mut product = without_overflow(pairwise(a, b, |a, b| a * b));
    let pairs = a.values().iter().zip(b.values());
    let vanished = |((a, b), product): ((&S, &S), &mut S)| {
        product.to_f32() == 0.0 && a.to_f32() != 0.0 && b.to_f32() != 0.0
    };
    if pairs.zip(product.values_mut()).any(vanished) {
        error::underflow();
    }
    product
}

fn pairwise<S: Scalar>(
    a: &Dense<'_, S>,
    b: &Dense<'_, S>,
    with: impl Fn(f32, f32) -> f32,
) -> NewDense<S> {
    check_same_dimensions(a, b);
    let pairs = a.values().iter().zip(b.values());
    NewDense::from_values(pairs.map(|(a, b)| S::from_f32(with(a.to_f32(), b.to_f32()))))
}

fn without_overflow<S: Scalar>(mut vector: NewDense<S>) -> NewDense<S> {
    if vector
        .values_mut()
        .iter()
        .any(|value| value.to_f32().is_infinite())
    {
        error::overflow();
    }
    vector
}

// Parts.

pub(super) fn concatenate<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> NewDense<S> {
    let mut whole = NewDense::zeroed(a.dimensions() + b.dimensions());
    let (left, right) = whole.values_mut().split_at_mut(a.dimensions());
    left.copy_from_slice(a.values());
    right.copy_from_slice(b.values());
    whole
}

/// `count` elements from the 1-based `start` on, cut off at both ends as `substring` does.
pub(super) fn part<S: Scalar>(vector: &Dense<'_, S>, start: i32, count: i32) -> NewDense<S> {
    let end = i64::from(start) + i64::from(count) - 1;
    let first = usize::try_from(start - 1).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(0).min(vector.dimensions());
    match vector.values().get(first..end) {
        Some(values) => NewDense::from_values(values.iter().copied()),
        None => error::no_dimensions(S::TYPE),
    }
}

/// One bit for each element: whether it is positive.
pub(super) fn binary_quantize<S: Scalar>(vector: &Dense<'_, S>) -> NewBits {
    NewBits::from_bits(vector.values().iter().map(|value| value.to_f32() > 0.0))
}

// Order and hash.

/// As btree support functions answer: -1, 0 or 1.
pub(super) fn order<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> i32 {
    match a.compare(b) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

pub(super) fn hash<S: Scalar>(vector: &Dense<'_, S>) -> i32 {
    number::hash(&hashable(vector)).cast_signed()
}

pub(super) fn hash_extended<S: Scalar>(vector: &Dense<'_, S>, seed: i64) -> i64 {
    number::hash_extended(&hashable(vector), seed.cast_unsigned()).cast_signed()
}

/// Bytes that are equal where vectors are: both zeroes count as one.
fn hashable<S: Scalar>(vector: &Dense<'_, S>) -> Vec<u8> {
    vector
        .values()
        .iter()
        .flat_map(|value| (value.to_f32() + 0.0).to_ne_bytes())
        .collect()
}
