//! The type `vector`: 4-byte floats. The functions called by SQL, a line each.
#![expect(
    unsafe_code,
    reason = "SQL-callable functions and the layout of the type"
)]

use std::ffi::CStr;

use distance::{Kind, VectorDistance};
use pgrx::pg_sys;

use super::bit::NewBits;
use super::datum::{Dense, NewDense, Scalar};
use super::{aggregate, dense, text};
use crate::pg;
use crate::pg::array::{Array, NewArray};
use crate::pg::call::{distance_functions, input_function, sql_function};
use crate::pg::message::Message;
use crate::pg::output::Output;

/// A vector passed by Postgres.
pub(crate) type Vector<'fcx> = Dense<'fcx, f32>;
/// A new vector, to be returned to Postgres.
pub(crate) type NewVector = NewDense<f32>;

// SAFETY: any four bytes are an f32.
unsafe impl Scalar for f32 {
    const TYPE: &'static str = "vector";
    const KIND: Kind = Kind::F32;
}

// Input and output.

input_function!(vector_in);
fn vector_in(literal: &CStr, _type: pg_sys::Oid, modifier: i32) -> NewVector {
    text::parse(literal, modifier)
}

sql_function!(vector_out);
fn vector_out(vector: Vector<'_>) -> Output {
    text::format(&vector)
}

sql_function!(vector_typmod_in);
fn vector_typmod_in(modifiers: Array<'_>) -> i32 {
    dense::modifier::<f32>(&modifiers)
}

sql_function!(vector_recv);
fn vector_recv(mut message: Message<'_>, _type: pg_sys::Oid, modifier: i32) -> NewVector {
    dense::receive(&mut message, modifier)
}

sql_function!(vector_send);
fn vector_send(vector: Vector<'_>) -> Vec<u8> {
    dense::send(&vector)
}

// Casts.

sql_function!(vector);
fn vector<'fcx>(vector: Vector<'fcx>, modifier: i32, _explicit: bool) -> Vector<'fcx> {
    dense::enforce_modifier(vector, modifier)
}

sql_function!(array_to_vector);
fn array_to_vector(array: Array<'_>, modifier: i32, _explicit: bool) -> NewVector {
    dense::from_array(&array, modifier)
}

sql_function!(vector_to_float4);
fn vector_to_float4(vector: Vector<'_>, _modifier: i32, _explicit: bool) -> NewArray<f32> {
    dense::to_array(&vector)
}

// Distances.

distance_functions! { Vector<'_>:
    l2_distance = |a, b| dense::distance(VectorDistance::L2, a, b);
    vector_l2_squared_distance = |a, b| dense::distance(VectorDistance::L2Squared, a, b);
    inner_product = dense::inner_product;
    vector_negative_inner_product = |a, b| dense::distance(VectorDistance::InnerProduct, a, b);
    cosine_distance = |a, b| dense::distance(VectorDistance::Cosine, a, b);
    vector_spherical_distance = dense::spherical_distance;
    l1_distance = |a, b| dense::distance(VectorDistance::L1, a, b);
}

// Functions and arithmetic.

sql_function!(vector_dims);
fn vector_dims(vector: Vector<'_>) -> i32 {
    i32::try_from(vector.dimensions()).expect("at most 16,000")
}

sql_function!(vector_norm);
fn vector_norm(vector: Vector<'_>) -> f64 {
    dense::norm(&vector)
}

sql_function!(l2_normalize);
fn l2_normalize(vector: Vector<'_>) -> NewVector {
    dense::normalize(&vector)
}

sql_function!(binary_quantize);
fn binary_quantize(vector: Vector<'_>) -> NewBits {
    dense::binary_quantize(&vector)
}

sql_function!(subvector);
fn subvector(vector: Vector<'_>, start: i32, count: i32) -> NewVector {
    dense::part(&vector, start, count)
}

sql_function!(vector_add);
fn vector_add(a: Vector<'_>, b: Vector<'_>, call: pg_sys::FunctionCallInfo) -> NewVector {
    dense::add_to(a, &b, pg::is_state_of_aggregate(call))
}

sql_function!(vector_sub);
fn vector_sub(a: Vector<'_>, b: Vector<'_>) -> NewVector {
    dense::subtract(&a, &b)
}

sql_function!(vector_mul);
fn vector_mul(a: Vector<'_>, b: Vector<'_>) -> NewVector {
    dense::multiply(&a, &b)
}

sql_function!(vector_concat);
fn vector_concat(a: Vector<'_>, b: Vector<'_>) -> NewVector {
    dense::concatenate(&a, &b)
}

// Order and hash.

sql_function!(vector_lt);
fn vector_lt(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) < 0
}

sql_function!(vector_le);
fn vector_le(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) <= 0
}

sql_function!(vector_eq);
fn vector_eq(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) == 0
}

sql_function!(vector_ne);
fn vector_ne(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) != 0
}

sql_function!(vector_ge);
fn vector_ge(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) >= 0
}

sql_function!(vector_gt);
fn vector_gt(a: Vector<'_>, b: Vector<'_>) -> bool {
    dense::order(&a, &b) > 0
}

sql_function!(vector_cmp);
fn vector_cmp(a: Vector<'_>, b: Vector<'_>) -> i32 {
    dense::order(&a, &b)
}

sql_function!(vector_hash);
fn vector_hash(vector: Vector<'_>) -> i32 {
    dense::hash(&vector)
}

sql_function!(vector_hash_extended);
fn vector_hash_extended(vector: Vector<'_>, seed: i64) -> i64 {
    dense::hash_extended(&vector, seed)
}

// Aggregates.

sql_function!(vector_accum);
fn vector_accum(
    state: Array<'_>,
    vector: Vector<'_>,
    call: pg_sys::FunctionCallInfo,
) -> NewArray<f64> {
    aggregate::accumulate(state, &vector, pg::is_aggregate_call(call), "vector_accum")
}

sql_function!(vector_combine);
fn vector_combine(
    left: Array<'_>,
    right: Array<'_>,
    call: pg_sys::FunctionCallInfo,
) -> NewArray<f64> {
    aggregate::combine(left, right, pg::is_aggregate_call(call), "vector_combine")
}

sql_function!(vector_avg);
fn vector_avg(state: Array<'_>) -> Option<NewVector> {
    aggregate::average(&state, "vector_avg")
}
