//! The operations of dense vectors, once for all scalars.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::sync::LazyLock;

use distance::{Cpu, Kernel, Kind, VectorDistance};

use values::dense::MAX_DIMENSIONS;
use values::{Problem, check, check_dimensions};

use super::accept;
use super::bit::NewBits;
use super::datum::{Dense, NewDense, Scalar};
use crate::error;
use crate::pg::array::{Array, NewArray};
use crate::pg::message::Message;
use crate::pg::{interrupt, number};
use crate::table::next_row;

// Checks of dimensions and elements.

/// Checks the dimensions against a column's `(n)`; -1 allows any.
pub(super) fn check_modifier(kind: &str, modifier: i32, dimensions: usize) {
    accept(kind, values::check_modifier(modifier, dimensions));
}

/// Rounds a number to an element. A finite number must stay finite.
pub(super) fn element<S: Scalar>(number: f32) -> S {
    let value = S::from_f32(number);
    if value.to_f32().is_infinite() && number.is_finite() {
        error::out_of_range(S::TYPE, &number::float_text(number));
    }
    accept(S::TYPE, check(value))
}

fn check_same_dimensions<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) {
    if a.dimensions() != b.dimensions() {
        error::different_dimensions(S::TYPE, a.dimensions(), b.dimensions());
    }
}

// Type modifier, binary form, casts.

pub(super) fn modifier<S: Scalar>(modifiers: &Array<'_>) -> i32 {
    read_modifier(modifiers, S::TYPE, MAX_DIMENSIONS)
}

pub(super) fn read_modifier(modifiers: &Array<'_>, kind: &str, max: usize) -> i32 {
    let [dimensions] = modifiers.modifiers()[..] else {
        error::invalid_modifier()
    };
    if dimensions < 1 {
        error::modifier_too_small(kind);
    }
    if usize::try_from(dimensions).is_ok_and(|dimensions| dimensions > max) {
        error::modifier_too_large(kind, max);
    }
    dimensions
}

pub(super) fn receive<S: Scalar>(message: &mut Message<'_>, modifier: i32) -> NewDense<S> {
    let (dimensions, unused) = (message.i16(), message.i16());
    let dimensions = usize::try_from(dimensions).unwrap_or(0);
    accept(S::TYPE, check_dimensions(dimensions, MAX_DIMENSIONS));
    check_modifier(S::TYPE, modifier, dimensions);
    if unused != 0 {
        error::rejected(S::TYPE, Problem::Unused(unused.into()));
    }
    let bytes = message.bytes(dimensions * size_of::<S>());
    let elements = bytes.chunks_exact(size_of::<S>()).map(S::receive);
    let mut vector = NewDense::from_values(elements);
    // One pass checks all elements; the error names the first wrong one, found only if the pass fails.
    if !all(vector.values_mut(), f32::is_finite) {
        for value in vector.values_mut() {
            accept(S::TYPE, check(*value));
        }
    }
    vector
}

/// True if `is_right` holds for all elements. It does not stop at the first wrong one, so the compiler can vectorize the loop.
fn all<S: Scalar>(values: &[S], is_right: impl Fn(f32) -> bool) -> bool {
    values
        .iter()
        .fold(true, |right, value| right & is_right(value.to_f32()))
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
    with_numbers(array, |numbers| {
        accept(S::TYPE, check_dimensions(numbers.len(), MAX_DIMENSIONS));
        check_modifier(S::TYPE, modifier, numbers.len());
        NewDense::from_values(numbers.map(element))
    })
}

/// Calls `take` with an array's elements as f32, for every numeric element type.
pub(super) fn with_numbers<T>(
    array: &Array<'_>,
    take: impl FnOnce(&mut dyn ExactSizeIterator<Item = f32>) -> T,
) -> T {
    if array.depth() > 1 {
        error::array_not_flat();
    }
    if array.has_nulls() {
        error::array_with_nulls();
    }
    if let Some(values) = array.numbers::<f32>() {
        take(&mut Interruptible::of(values.iter().copied()))
    } else if let Some(values) = array.numbers::<f64>() {
        take(&mut Interruptible::of(
            values.iter().map(|value| *value as f32),
        ))
    } else if let Some(values) = array.numbers::<i32>() {
        take(&mut Interruptible::of(
            values.iter().map(|value| *value as f32),
        ))
    } else if let Some(values) = array.numerics() {
        take(&mut Interruptible::of(values))
    } else {
        error::array_type_not_supported()
    }
}

/// Checks for interrupts now and then: an array of zeros for a sparse vector may be as long as the longest value.
struct Interruptible<I> {
    numbers: I,
    taken: usize,
}

impl<I> Interruptible<I> {
    /// The number of elements between two checks.
    const BETWEEN: usize = 1 << 16;

    fn of(numbers: I) -> Self {
        Self { numbers, taken: 0 }
    }
}

impl<I: ExactSizeIterator> Iterator for Interruptible<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.taken += 1;
        if self.taken.is_multiple_of(Self::BETWEEN) {
            interrupt::check();
        }
        self.numbers.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.numbers.size_hint()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Interruptible<I> {}

pub(super) fn to_array<S: Scalar>(vector: &Dense<'_, S>) -> NewArray<f32> {
    let mut array = NewArray::zeroed(vector.dimensions());
    for (place, value) in array.values_mut().iter_mut().zip(vector.values()) {
        *place = value.to_f32();
    }
    array
}

/// Casts one dense type to another.
pub(super) fn convert<From: Scalar, To: Scalar>(
    vector: &Dense<'_, From>,
    modifier: i32,
) -> NewDense<To> {
    check_modifier(From::TYPE, modifier, vector.dimensions());
    NewDense::from_values(vector.values().iter().map(|value| element(value.to_f32())))
}

/// The cast of a type to itself, to enforce the `(n)` of a column.
pub(super) fn enforce_modifier<S: Scalar>(vector: Dense<'_, S>, modifier: i32) -> Dense<'_, S> {
    check_modifier(S::TYPE, modifier, vector.dimensions());
    vector
}

// Distances.

#[inline]
pub(super) fn distance<S: Scalar>(
    function: VectorDistance,
    a: &Dense<'_, S>,
    b: &Dense<'_, S>,
) -> f64 {
    check_same_dimensions(a, b);
    let distance = (kernel(S::KIND, function).one)(a.bytes(), b.bytes());
    prefetch_next_row(a.bytes());
    prefetch_next_row(b.bytes());
    distance
}

/// The most bytes a core can prefetch at a time. Beyond them it stalls.
const AHEAD: usize = 14 * 64;

/// Prefetches the next row of a sequential scan, to load it while Postgres advances to it.
#[inline]
fn prefetch_next_row(value: &[u8]) {
    if let Some(next) = next_row::likely(value) {
        for half in next.page {
            distance::prefetch_at(half, 1);
        }
        let (start, len) = next.row;
        distance::prefetch_at(start, len.min(AHEAD));
    }
}

/// Returns this processor's kernel for a kind of element and a distance function.
#[inline]
fn kernel(kind: Kind, function: VectorDistance) -> Kernel {
    static KERNELS: LazyLock<[[Kernel; VectorDistance::ALL.len()]; Kind::ALL.len()]> =
        LazyLock::new(|| {
            let cpu = Cpu::current();
            Kind::ALL.map(|kind| {
                VectorDistance::ALL.map(|function| distance::kernel(kind, function, cpu))
            })
        });
    KERNELS[kind as usize][function as usize]
}

#[inline]
pub(super) fn inner_product<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> f64 {
    -distance(VectorDistance::InnerProduct, a, b)
}

/// The angle between normalised vectors, as a fraction of half a turn.
pub(super) fn spherical_distance<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> f64 {
    inner_product(a, b).clamp(-1.0, 1.0).acos() / std::f64::consts::PI
}

pub(super) fn norm<S: Scalar>(vector: &Dense<'_, S>) -> f64 {
    distance::norm(vector.values())
}

// Arithmetic.

/// Returns a vector of length 1 in the same direction; zero for zero.
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

/// Adds a vector to a sum, in place if no other code reads it.
pub(super) fn add_to<S: Scalar>(
    sum: Dense<'_, S>,
    vector: &Dense<'_, S>,
    exclusive: bool,
) -> NewDense<S> {
    check_same_dimensions(&sum, vector);
    let mut next = sum.into_new(exclusive);
    for (place, value) in next.values_mut().iter_mut().zip(vector.values()) {
        *place = S::from_f32(place.to_f32() + value.to_f32());
    }
    without_overflow(next)
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
    if !all(vector.values_mut(), |value| !value.is_infinite()) {
        error::overflow();
    }
    vector
}

// Concatenation, subvectors, bits.

pub(super) fn concatenate<S: Scalar>(a: &Dense<'_, S>, b: &Dense<'_, S>) -> NewDense<S> {
    let mut whole = NewDense::zeroed(a.dimensions() + b.dimensions());
    let (left, right) = whole.values_mut().split_at_mut(a.dimensions());
    left.copy_from_slice(a.values());
    right.copy_from_slice(b.values());
    whole
}

/// Returns `count` elements from the 1-based `start` on, cut off at both ends as by `substring`.
pub(super) fn part<S: Scalar>(vector: &Dense<'_, S>, start: i32, count: i32) -> NewDense<S> {
    let end = i64::from(start) + i64::from(count) - 1;
    let first = usize::try_from(start - 1).unwrap_or(0);
    let end = usize::try_from(end).unwrap_or(0).min(vector.dimensions());
    match vector.values().get(first..end) {
        Some(values) => NewDense::from_values(values.iter().copied()),
        None => error::rejected(S::TYPE, Problem::NoDimensions),
    }
}

/// Returns one bit for each element: 1 if it is positive.
pub(super) fn binary_quantize<S: Scalar>(vector: &Dense<'_, S>) -> NewBits {
    NewBits::from_bits(vector.values().iter().map(|value| value.to_f32() > 0.0))
}

// Order and hash.

/// Compares two vectors for btree: -1, 0 or 1.
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

/// Returns equal bytes for equal vectors: negative zero becomes zero.
fn hashable<S: Scalar>(vector: &Dense<'_, S>) -> Vec<u8> {
    vector
        .values()
        .iter()
        .flat_map(|value| (value.to_f32() + 0.0).to_ne_bytes())
        .collect()
}
