//! The type `halfvec`: 2-byte floats. The functions called by SQL, a line each.
#![expect(
    unsafe_code,
    reason = "SQL-callable functions and the layout of the type"
)]

use std::ffi::CStr;

use distance::{Kind, VectorDistance, f16};
use pgrx::pg_sys;

use super::bit::NewBits;
use super::datum::{Dense, NewDense, Scalar};
use super::vector::{NewVector, Vector};
use super::{aggregate, dense, text};
use crate::pg;
use crate::pg::array::{Array, NewArray};
use crate::pg::call::{distance_functions, input_function, sql_function};
use crate::pg::message::Message;
use crate::pg::output::Output;

/// A half-precision vector passed by Postgres.
pub(crate) type Halfvec<'fcx> = Dense<'fcx, f16>;
/// A new half-precision vector, to be returned to Postgres.
pub(super) type NewHalfvec = NewDense<f16>;

// SAFETY: any two bytes are an f16.
unsafe impl Scalar for f16 {
    const TYPE: &'static str = "halfvec";
    const KIND: Kind = Kind::F16;
}

// Input and output.

input_function!(halfvec_in);
fn halfvec_in(literal: &CStr, _type: pg_sys::Oid, modifier: i32) -> NewHalfvec {
    text::parse(literal, modifier)
}

sql_function!(halfvec_out);
fn halfvec_out(vector: Halfvec<'_>) -> Output {
    text::format(&vector)
}

sql_function!(halfvec_typmod_in);
fn halfvec_typmod_in(modifiers: Array<'_>) -> i32 {
    dense::modifier::<f16>(&modifiers)
}

sql_function!(halfvec_recv);
fn halfvec_recv(mut message: Message<'_>, _type: pg_sys::Oid, modifier: i32) -> NewHalfvec {
    dense::receive(&mut message, modifier)
}

sql_function!(halfvec_send);
fn halfvec_send(vector: Halfvec<'_>) -> Vec<u8> {
    dense::send(&vector)
}

// Casts.

sql_function!(halfvec);
fn halfvec<'fcx>(vector: Halfvec<'fcx>, modifier: i32, _explicit: bool) -> Halfvec<'fcx> {
    dense::enforce_modifier(vector, modifier)
}

sql_function!(array_to_halfvec);
fn array_to_halfvec(array: Array<'_>, modifier: i32, _explicit: bool) -> NewHalfvec {
    dense::from_array(&array, modifier)
}

sql_function!(halfvec_to_vector);
fn halfvec_to_vector(vector: Halfvec<'_>, modifier: i32, _explicit: bool) -> NewVector {
    dense::convert(&vector, modifier)
}

sql_function!(vector_to_halfvec);
fn vector_to_halfvec(vector: Vector<'_>, modifier: i32, _explicit: bool) -> NewHalfvec {
    dense::convert(&vector, modifier)
}

sql_function!(halfvec_to_float4);
fn halfvec_to_float4(vector: Halfvec<'_>, _modifier: i32, _explicit: bool) -> NewArray<f32> {
    dense::to_array(&vector)
}

// Distances.

distance_functions! { Halfvec<'_>:
    halfvec_l2_distance = |a, b| dense::distance(VectorDistance::L2, a, b);
    halfvec_l2_squared_distance = |a, b| dense::distance(VectorDistance::L2Squared, a, b);
    halfvec_inner_product = dense::inner_product;
    halfvec_negative_inner_product = |a, b| dense::distance(VectorDistance::InnerProduct, a, b);
    halfvec_cosine_distance = |a, b| dense::distance(VectorDistance::Cosine, a, b);
    halfvec_spherical_distance = dense::spherical_distance;
    halfvec_l1_distance = |a, b| dense::distance(VectorDistance::L1, a, b);
}

// Functions and arithmetic.

sql_function!(halfvec_vector_dims);
fn halfvec_vector_dims(vector: Halfvec<'_>) -> i32 {
    i32::try_from(vector.dimensions()).expect("at most 16,000")
}

sql_function!(halfvec_l2_norm);
fn halfvec_l2_norm(vector: Halfvec<'_>) -> f64 {
    dense::norm(&vector)
}

sql_function!(halfvec_l2_normalize);
fn halfvec_l2_normalize(vector: Halfvec<'_>) -> NewHalfvec {
    dense::normalize(&vector)
}

sql_function!(halfvec_binary_quantize);
fn halfvec_binary_quantize(vector: Halfvec<'_>) -> NewBits {
    dense::binary_quantize(&vector)
}

sql_function!(halfvec_subvector);
fn halfvec_subvector(vector: Halfvec<'_>, start: i32, count: i32) -> NewHalfvec {
    dense::part(&vector, start, count)
}

sql_function!(halfvec_add);
fn halfvec_add(a: Halfvec<'_>, b: Halfvec<'_>, call: pg_sys::FunctionCallInfo) -> NewHalfvec {
    dense::add_to(a, &b, pg::is_state_of_aggregate(call))
}

sql_function!(halfvec_sub);
fn halfvec_sub(a: Halfvec<'_>, b: Halfvec<'_>) -> NewHalfvec {
    dense::subtract(&a, &b)
}

sql_function!(halfvec_mul);
fn halfvec_mul(a: Halfvec<'_>, b: Halfvec<'_>) -> NewHalfvec {
    dense::multiply(&a, &b)
}

sql_function!(halfvec_concat);
fn halfvec_concat(a: Halfvec<'_>, b: Halfvec<'_>) -> NewHalfvec {
    dense::concatenate(&a, &b)
}

// Order and hash.

sql_function!(halfvec_lt);
fn halfvec_lt(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) < 0
}

sql_function!(halfvec_le);
fn halfvec_le(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) <= 0
}

sql_function!(halfvec_eq);
fn halfvec_eq(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) == 0
}

sql_function!(halfvec_ne);
fn halfvec_ne(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) != 0
}

sql_function!(halfvec_ge);
fn halfvec_ge(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) >= 0
}

sql_function!(halfvec_gt);
fn halfvec_gt(a: Halfvec<'_>, b: Halfvec<'_>) -> bool {
    dense::order(&a, &b) > 0
}

sql_function!(halfvec_cmp);
fn halfvec_cmp(a: Halfvec<'_>, b: Halfvec<'_>) -> i32 {
    dense::order(&a, &b)
}

sql_function!(halfvec_hash);
fn halfvec_hash(vector: Halfvec<'_>) -> i32 {
    dense::hash(&vector)
}

sql_function!(halfvec_hash_extended);
fn halfvec_hash_extended(vector: Halfvec<'_>, seed: i64) -> i64 {
    dense::hash_extended(&vector, seed)
}

// Aggregates.

sql_function!(halfvec_accum);
fn halfvec_accum(
    state: Array<'_>,
    vector: Halfvec<'_>,
    call: pg_sys::FunctionCallInfo,
) -> NewArray<f64> {
    aggregate::accumulate(state, &vector, pg::is_aggregate_call(call), "halfvec_accum")
}

sql_function!(halfvec_avg);
fn halfvec_avg(state: Array<'_>) -> Option<NewHalfvec> {
    aggregate::average(&state, "halfvec_avg")
}
