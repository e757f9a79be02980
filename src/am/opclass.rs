//! Which operator class an index has: what its vectors are prepared for, and how they are measured.

use distance::{Cpu, Kernel, Kind, Metric, kernel};
use layout::{Measure, VectorKind};
use pgrx::pg_sys;
use quantize::CodeBits;

use super::pgvector::{self, Function};
use crate::error;
use crate::pg::Relation;
use crate::storage::index::Declared;

/// Support functions of an operator class: distance, norm (present where vectors are normalised), type.
pub(super) const SUPPORT_FUNCTIONS: u16 = 3;
const DISTANCE: u16 = 1;
const NORM: u16 = 2;

/// How much wider than the codes' own the bounds are by which rows are ordered. A row whose bound is wrong comes too late
/// for strict order and is lost; at 1.9 standard deviations that is one row of 35, at this width one of 700.
const SURENESS: f64 = 1.6;

/// The operator computes in its own way, in f32; its value may be this much below that of exact arithmetic.
const ROUNDING: f64 = 1e-6;

/// An operator class: a kind of vector and a measure, with the kernel of its operator.
#[derive(Clone, Copy)]
pub(super) struct OperatorClass {
    /// The kind, as the metapage names it.
    pub(super) stored: VectorKind,
    pub(super) measure: Measure,
    /// Computes what the operator shows, from the contents of two vectors.
    kernel: Kernel,
}

unsafe extern "C-unwind" {
    fn vector_l2_squared_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn vector_negative_inner_product_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn l1_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_l2_squared_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_negative_inner_product_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_l1_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
}

/// Distance functions of operator classes: kind, and measure without and with a norm function.
const CLASSES: [(Function, VectorKind, Measure, Measure); 6] = [
    (
        vector_l2_squared_distance_wrapper,
        VectorKind::F32,
        Measure::L2,
        Measure::L2,
    ),
    (
        vector_negative_inner_product_wrapper,
        VectorKind::F32,
        Measure::InnerProduct,
        Measure::Cosine,
    ),
    (
        l1_distance_wrapper,
        VectorKind::F32,
        Measure::L1,
        Measure::L1,
    ),
    (
        halfvec_l2_squared_distance_wrapper,
        VectorKind::F16,
        Measure::L2,
        Measure::L2,
    ),
    (
        halfvec_negative_inner_product_wrapper,
        VectorKind::F16,
        Measure::InnerProduct,
        Measure::Cosine,
    ),
    (
        halfvec_l1_distance_wrapper,
        VectorKind::F16,
        Measure::L1,
        Measure::L1,
    ),
];

impl OperatorClass {
    /// The operator class of an index's column, told by its support functions.
    pub(super) fn of(index: Relation) -> Self {
        // SAFETY: the relation is an open index; a class without a distance function is an ERROR in core.
        let (distance, has_norm) = unsafe {
            let info = pg_sys::index_getprocinfo(index.raw(), 1, DISTANCE);
            let norm = pg_sys::index_getprocid(index.raw(), 1, NORM);
            (
                (*info).fn_addr.map(pgvector::ours),
                norm != pg_sys::InvalidOid,
            )
        };
        let known = CLASSES
            .iter()
            .find(|class| distance.is_some_and(|f| std::ptr::fn_addr_eq(f, class.0)));
        let Some(&(_, stored, plain, normed)) = known else {
            error::type_not_supported()
        };
        let measure = if has_norm { normed } else { plain };
        Self {
            stored,
            measure,
            kernel: kernel(kind(stored), metric(measure), Cpu::current()),
        }
    }

    /// What the column's vectors are stored as.
    pub(super) fn kind(&self) -> Kind {
        kind(self.stored)
    }

    /// The operator's value for two vectors of equal dimensions, given as the bytes of their floats.
    pub(super) fn distance(&self, a: &[u8], b: &[u8]) -> f64 {
        (self.kernel.one)(a, b)
    }

    /// What an estimate over codes means as the operator's value, as a lower bound.
    pub(super) fn lower_bound(&self, estimate: f32, error: f32) -> f64 {
        let bound = f64::from(estimate) - SURENESS * f64::from(error);
        match self.measure {
            Measure::L2 => bound.max(0.0).sqrt() * (1.0 - ROUNDING),
            // Of unit vectors: |x - y|^2 = 2 (1 - cos).
            Measure::Cosine => bound.max(0.0) / 2.0 - ROUNDING,
            Measure::InnerProduct => bound,
            Measure::L1 => bound.max(0.0),
        }
    }

    /// Bits per dimension of codes that fit in `max_code_len` bytes; none if not even one does. Codes for L1 are not
    /// rotated and need more of them.
    pub(super) fn code_bits(&self, dimensions: usize, max_code_len: usize) -> Option<CodeBits> {
        let chosen = CodeBits::choose(dimensions, max_code_len)?;
        if self.measure == Measure::L1 && chosen != CodeBits::Exact {
            return CodeBits::B8.fit(dimensions, max_code_len);
        }
        Some(chosen)
    }

    /// Prepares a vector for the index; none if the class leaves it out: a zero vector has no direction.
    pub(super) fn prepare(&self, mut vector: Vec<f32>) -> Option<Vec<f32>> {
        if self.measure != Measure::Cosine {
            return Some(vector);
        }
        let norm = distance::norm(&vector);
        if norm == 0.0 {
            return None;
        }
        for x in &mut vector {
            #[expect(clippy::cast_possible_truncation, reason = "a share of the norm")]
            let share = (f64::from(*x) / norm) as f32;
            *x = share;
        }
        Some(vector)
    }
}

/// What the catalogs say that an index is for.
pub(crate) fn declared(index: Relation) -> Declared {
    let class = OperatorClass::of(index);
    Declared {
        kind: class.stored,
        measure: class.measure,
        dimensions: u32::try_from(index.first_typmod()).ok(),
    }
}

fn kind(stored: VectorKind) -> Kind {
    match stored {
        VectorKind::F32 => Kind::F32,
        VectorKind::F16 => Kind::F16,
    }
}

fn metric(measure: Measure) -> Metric {
    match measure {
        Measure::L2 => Metric::L2,
        Measure::InnerProduct => Metric::InnerProduct,
        Measure::Cosine => Metric::Cosine,
        Measure::L1 => Metric::L1,
    }
}
