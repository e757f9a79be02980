//! Exports the C functions named in pgvector's SQL, each forwarding to ours: a database made by pgvector works as soon as
//! `vector.so` is this library. Support functions that describe a type to pgvector's access methods raise an ERROR.
#![expect(unsafe_code, reason = "SQL-callable functions")]

use pgrx::pg_sys::{Datum, FunctionCallInfo};

use crate::error;
use crate::pg::boundary;
use crate::pg::call::{Function, describe};

/// Exports a function under pgvector's name, with the record of its calling convention that Postgres reads.
macro_rules! export {
    ($name:ident, $function:path) => {
        #[unsafe(export_name = stringify!($name))]
        unsafe extern "C-unwind" fn exported(call: FunctionCallInfo) -> Datum {
            // SAFETY: Postgres passes the call on through us.
            unsafe { $function(call) }
        }

        describe!(stringify!($name));
    };
}

/// Exports pgvector's NAME as a call of our NAME_wrapper.
macro_rules! ours {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;

            unsafe extern "C-unwind" {
                #[link_name = concat!(stringify!($name), "_wrapper")]
                pub(super) fn ours(call: FunctionCallInfo) -> Datum;
            }
            export!($name, ours);
            pub(super) const PAIR: (Function, Function) = (exported, ours);
        })*

        /// Pairs of pgvector's function and our equivalent.
        const PAIRS: &[(Function, Function)] = &[$($name::PAIR),*];
    };
}

ours! {
    array_to_vector binary_quantize cosine_distance inner_product l1_distance l2_distance l2_normalize
    subvector vector vector_accum vector_add vector_avg vector_cmp vector_combine vector_concat vector_dims
    vector_eq vector_ge vector_gt vector_in vector_l2_squared_distance vector_le vector_lt vector_mul
    vector_ne vector_negative_inner_product vector_norm vector_out vector_recv vector_send
    vector_spherical_distance vector_sub vector_to_float4 vector_to_halfvec vector_to_sparsevec
    vector_typmod_in

    array_to_halfvec halfvec halfvec_accum halfvec_add halfvec_avg halfvec_binary_quantize halfvec_cmp
    halfvec_concat halfvec_cosine_distance halfvec_eq halfvec_ge halfvec_gt halfvec_in halfvec_inner_product
    halfvec_l1_distance halfvec_l2_distance halfvec_l2_norm halfvec_l2_normalize halfvec_l2_squared_distance
    halfvec_le halfvec_lt halfvec_mul halfvec_ne halfvec_negative_inner_product halfvec_out halfvec_recv
    halfvec_send halfvec_spherical_distance halfvec_sub halfvec_subvector halfvec_to_float4
    halfvec_to_sparsevec halfvec_to_vector halfvec_typmod_in halfvec_vector_dims

    array_to_sparsevec sparsevec sparsevec_cmp sparsevec_cosine_distance sparsevec_eq sparsevec_ge
    sparsevec_gt sparsevec_in sparsevec_inner_product sparsevec_l1_distance sparsevec_l2_distance
    sparsevec_l2_norm sparsevec_l2_normalize sparsevec_l2_squared_distance sparsevec_le sparsevec_lt
    sparsevec_ne sparsevec_negative_inner_product sparsevec_out sparsevec_recv sparsevec_send
    sparsevec_to_halfvec sparsevec_to_vector sparsevec_typmod_in

    hamming_distance jaccard_distance

    hnswhandler ivfflathandler
}

/// Returns our function for an operator class's, which may be named as in pgvector.
pub(super) fn ours(function: Function) -> Function {
    let pair = PAIRS
        .iter()
        .find(|pair| std::ptr::fn_addr_eq(pair.0, function));
    pair.map_or(function, |pair| pair.1)
}

/// Exports names that raise an ERROR when called.
macro_rules! refused {
    ($($name:ident)*) => {
        $(const _: () = {
            export!($name, refuse);
        };)*
    };
}

refused! {
    hnsw_bit_support hnsw_halfvec_support hnsw_sparsevec_support ivfflat_bit_support ivfflat_halfvec_support
}

unsafe extern "C-unwind" fn refuse(_call: FunctionCallInfo) -> Datum {
    boundary(|| error::function_of_pgvector())
}
