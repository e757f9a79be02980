//! The type `sparsevec`: 4-byte floats, stored without zeroes. The functions called by SQL, a line each.
#![expect(unsafe_code, reason = "SQL-callable functions")]

use std::ffi::CStr;

use distance::VectorDistance;
use pgrx::pg_sys;

use super::halfvec::{Halfvec, NewHalfvec};
use super::sparse::{self, NewSparse, Sparsevec};
use super::text;
use super::vector::{NewVector, Vector};
use crate::pg::array::Array;
use crate::pg::call::{distance_functions, input_function, sql_function};
use crate::pg::message::Message;
use crate::pg::output::Output;

// Input and output.

input_function!(sparsevec_in);
fn sparsevec_in(literal: &CStr, _type: pg_sys::Oid, modifier: i32) -> NewSparse {
    text::parse_sparse(literal, modifier)
}

sql_function!(sparsevec_out);
fn sparsevec_out(vector: Sparsevec<'_>) -> Output {
    text::format_sparse(&vector)
}

sql_function!(sparsevec_typmod_in);
fn sparsevec_typmod_in(modifiers: Array<'_>) -> i32 {
    sparse::modifier(&modifiers)
}

sql_function!(sparsevec_recv);
fn sparsevec_recv(mut message: Message<'_>, _type: pg_sys::Oid, modifier: i32) -> NewSparse {
    sparse::receive(&mut message, modifier)
}

sql_function!(sparsevec_send);
fn sparsevec_send(vector: Sparsevec<'_>) -> Vec<u8> {
    sparse::send(&vector)
}

// Casts.

sql_function!(sparsevec);
fn sparsevec<'fcx>(vector: Sparsevec<'fcx>, modifier: i32, _explicit: bool) -> Sparsevec<'fcx> {
    sparse::enforce_modifier(vector, modifier)
}

sql_function!(vector_to_sparsevec);
fn vector_to_sparsevec(vector: Vector<'_>, modifier: i32, _explicit: bool) -> NewSparse {
    sparse::from_dense(&vector, modifier)
}

sql_function!(sparsevec_to_vector);
fn sparsevec_to_vector(vector: Sparsevec<'_>, modifier: i32, _explicit: bool) -> NewVector {
    sparse::to_dense(&vector, modifier)
}

sql_function!(halfvec_to_sparsevec);
fn halfvec_to_sparsevec(vector: Halfvec<'_>, modifier: i32, _explicit: bool) -> NewSparse {
    sparse::from_dense(&vector, modifier)
}

sql_function!(sparsevec_to_halfvec);
fn sparsevec_to_halfvec(vector: Sparsevec<'_>, modifier: i32, _explicit: bool) -> NewHalfvec {
    sparse::to_dense(&vector, modifier)
}

sql_function!(array_to_sparsevec);
fn array_to_sparsevec(array: Array<'_>, modifier: i32, _explicit: bool) -> NewSparse {
    sparse::from_array(&array, modifier)
}

// Distances and the norm.

distance_functions! { Sparsevec<'_>:
    sparsevec_l2_distance = |a, b| sparse::distance(VectorDistance::L2, a, b);
    sparsevec_l2_squared_distance = |a, b| sparse::distance(VectorDistance::L2Squared, a, b);
    sparsevec_inner_product = sparse::inner_product;
    sparsevec_negative_inner_product = |a, b| sparse::distance(VectorDistance::InnerProduct, a, b);
    sparsevec_cosine_distance = |a, b| sparse::distance(VectorDistance::Cosine, a, b);
    sparsevec_l1_distance = |a, b| sparse::distance(VectorDistance::L1, a, b);
}

sql_function!(sparsevec_l2_norm);
fn sparsevec_l2_norm(vector: Sparsevec<'_>) -> f64 {
    sparse::norm(&vector)
}

sql_function!(sparsevec_l2_normalize);
fn sparsevec_l2_normalize(vector: Sparsevec<'_>) -> NewSparse {
    sparse::normalize(&vector)
}

// Order and hash.

sql_function!(sparsevec_lt);
fn sparsevec_lt(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) < 0
}

sql_function!(sparsevec_le);
fn sparsevec_le(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) <= 0
}

sql_function!(sparsevec_eq);
fn sparsevec_eq(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) == 0
}

sql_function!(sparsevec_ne);
fn sparsevec_ne(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) != 0
}

sql_function!(sparsevec_ge);
fn sparsevec_ge(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) >= 0
}

sql_function!(sparsevec_gt);
fn sparsevec_gt(a: Sparsevec<'_>, b: Sparsevec<'_>) -> bool {
    sparse::order(&a, &b) > 0
}

sql_function!(sparsevec_cmp);
fn sparsevec_cmp(a: Sparsevec<'_>, b: Sparsevec<'_>) -> i32 {
    sparse::order(&a, &b)
}

sql_function!(sparsevec_hash);
fn sparsevec_hash(vector: Sparsevec<'_>) -> i32 {
    sparse::hash(&vector)
}

sql_function!(sparsevec_hash_extended);
fn sparsevec_hash_extended(vector: Sparsevec<'_>, seed: i64) -> i64 {
    sparse::hash_extended(&vector, seed)
}
