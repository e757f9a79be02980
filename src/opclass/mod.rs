//! The operator class of an index: prepares its vectors and names the operator that computes exact distances.
#![expect(
    unsafe_code,
    reason = "names C functions and reads an index's descriptor"
)]

mod frozen;
mod pgvector;

use distance::{BitDistance, VectorDistance};
use layout::{Metric, VectorKind, max_code_len, widest_code_len};
use pgrx::pg_sys;
use quantize::{CodeBits, Codec, Value};

use crate::error;
use crate::keys::{self, KeyColumns};
use crate::pg::Relation;
use crate::pg::call::{self, Function};
use crate::pg::relation::attribute_number;
use crate::storage::index::{Declared, SPARSE_ELEMENTS};
use crate::types::indexed::{Indexed, Kind, Operator};

pub(crate) use frozen::{EF_CONSTRUCTION, M};

/// Support functions of an operator class: distance, norm (present where vectors are normalised), type; of a key column's
/// class: the fourth alone (`crate::keys`).
pub(crate) const SUPPORT_FUNCTIONS: u16 = 4;
const NORM: u16 = 2;

/// Estimates below this value have lost digits: the sums behind them are no longer exact to f32's precision.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// The factor by which the bounds for ordering rows are wider than the codes' own. A row with a wrong bound comes too late
/// for strict order and is lost: one row of 35 at 1.9 standard deviations, one of 700 at this width.
pub(crate) const BOUND_SCALE: f64 = 1.6;

/// The operator computes in its own way, in f32; its value may be this much below the value of exact arithmetic.
const ROUNDING: f64 = 1e-6;

/// The most elements of a sparse vector in an index.
const MAX_NON_ZERO: usize = 1000;

/// An operator class: a kind of vector, a metric and the exact operator.
#[derive(Clone, Copy)]
pub(crate) struct OperatorClass {
    /// The index's column of vectors, counted from 0.
    pub(crate) column: usize,
    /// The kind of vector, as stored in the metapage.
    pub(crate) stored: VectorKind,
    pub(crate) metric: Metric,
    operator: Operator,
}

unsafe extern "C-unwind" {
    fn vector_l2_squared_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn vector_negative_inner_product_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn l1_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_l2_squared_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_negative_inner_product_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_l1_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn hamming_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn jaccard_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn sparsevec_l2_squared_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn sparsevec_negative_inner_product_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn sparsevec_l1_distance_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
}

unsafe extern "C-unwind" {
    fn vector_in_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn halfvec_in_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    fn sparsevec_in_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
}

/// Input functions of our types.
const TYPES: [(Function, VectorKind); 3] = [
    (vector_in_wrapper, VectorKind::F32),
    (halfvec_in_wrapper, VectorKind::F16),
    (sparsevec_in_wrapper, VectorKind::Sparse),
];

/// Distance functions of operator classes: kind of vector, metric without and with a norm function.
#[rustfmt::skip]
const CLASSES: [(Function, VectorKind, Metric, Metric); 11] = [
    (vector_l2_squared_distance_wrapper, VectorKind::F32, Metric::L2, Metric::L2),
    (vector_negative_inner_product_wrapper, VectorKind::F32, Metric::InnerProduct, Metric::Cosine),
    (l1_distance_wrapper, VectorKind::F32, Metric::L1, Metric::L1),
    (halfvec_l2_squared_distance_wrapper, VectorKind::F16, Metric::L2, Metric::L2),
    (halfvec_negative_inner_product_wrapper, VectorKind::F16, Metric::InnerProduct, Metric::Cosine),
    (halfvec_l1_distance_wrapper, VectorKind::F16, Metric::L1, Metric::L1),
    (hamming_distance_wrapper, VectorKind::Bit, Metric::Hamming, Metric::Hamming),
    (jaccard_distance_wrapper, VectorKind::Bit, Metric::Jaccard, Metric::Jaccard),
    (sparsevec_l2_squared_distance_wrapper, VectorKind::Sparse, Metric::L2, Metric::L2),
    (sparsevec_negative_inner_product_wrapper, VectorKind::Sparse, Metric::InnerProduct, Metric::Cosine),
    (sparsevec_l1_distance_wrapper, VectorKind::Sparse, Metric::L1, Metric::L1),
];

impl OperatorClass {
    /// Returns the operator class of an index's vector column, by its support functions.
    pub(crate) fn of(index: Relation) -> Self {
        let column = keys::vector_column(index);
        let has_norm = index.support_function(column, NORM) != pg_sys::InvalidOid;
        // SAFETY: the relation is an open index, and the column's class has a distance function.
        let distance = unsafe {
            let number = attribute_number(column);
            let info = pg_sys::index_getprocinfo(index.raw(), number, keys::DISTANCE);
            (*info).fn_addr.map(pgvector::ours)
        };
        let known = CLASSES
            .iter()
            .find(|class| distance.is_some_and(|f| std::ptr::fn_addr_eq(f, class.0)));
        let Some(&(_, stored, plain, normed)) = known else {
            error::type_not_supported(&index.access_method())
        };
        Self::new(column, stored, if has_norm { normed } else { plain })
    }

    /// Returns the operator class of a type for L2 distance, for Hamming distance if it is `bit`; `None` for other types.
    pub(crate) fn of_type(oid: pg_sys::Oid) -> Option<Self> {
        if oid == pg_sys::BITOID {
            return Some(Self::new(0, VectorKind::Bit, Metric::Hamming));
        }
        let input = pgvector::ours(call::input_function_of(oid)?);
        let known = TYPES
            .iter()
            .find(|known| std::ptr::fn_addr_eq(known.0, input));
        known.map(|&(_, stored)| Self::new(0, stored, Metric::L2))
    }

    fn new(column: usize, stored: VectorKind, metric: Metric) -> Self {
        Self {
            column,
            stored,
            metric,
            operator: operator(stored, metric),
        }
    }

    /// The kind of the column's values.
    pub(crate) fn kind(&self) -> Kind {
        self.operator.kind()
    }

    /// The class's exact operator.
    pub(crate) fn operator(&self) -> Operator {
        self.operator
    }

    /// Converts an estimate over codes into a lower bound of the operator's value.
    pub(crate) fn lower_bound(&self, estimate: f32, error: f32) -> f64 {
        let bound = f64::from(estimate) - BOUND_SCALE * f64::from(error) - SMALLEST;
        match self.metric {
            Metric::L2 => bound.max(0.0).sqrt() * (1.0 - ROUNDING),
            // For unit vectors, |x - y|^2 = 2 (1 - cos).
            Metric::Cosine => bound.max(0.0) / 2.0 - ROUNDING,
            Metric::InnerProduct => bound,
            Metric::L1 | Metric::Hamming => bound.max(0.0),
            Metric::Jaccard => bound.max(0.0) * (1.0 - ROUNDING),
        }
    }

    /// Converts the operator's value into the estimate over codes that stands for it.
    #[expect(clippy::cast_possible_truncation, reason = "estimates are f32")]
    pub(crate) fn estimate(&self, distance: f64) -> f32 {
        let estimate = match self.metric {
            Metric::L2 => distance * distance,
            Metric::Cosine => 2.0 * distance,
            Metric::InnerProduct | Metric::L1 | Metric::Hamming | Metric::Jaccard => distance,
        };
        estimate as f32
    }

    /// Returns the bits per dimension of codes for values of `dimensions` in a graph of `m` neighbors, and the codes' length in
    /// bytes; `None` if no code fits in a page.
    pub(crate) fn code(&self, dimensions: usize, m: usize) -> Option<(CodeBits, usize)> {
        let room = max_code_len(m);
        match self.stored {
            VectorKind::F32 | VectorKind::F16 => {
                let bits = self.code_bits(dimensions, room)?;
                Some((bits, bits.code_len(dimensions)))
            }
            VectorKind::Bit => Some((CodeBits::B1, Codec::bit_code_len(dimensions, room))),
            VectorKind::Sparse => {
                let wanted = Codec::sparse_code_len(dimensions, SPARSE_ELEMENTS);
                Some((CodeBits::B8, widest_code_len(m, 0, wanted.min(room))))
            }
        }
    }

    /// Returns the bits per dimension of codes that fit in `max_code_len` bytes; `None` if not even one bit does. Codes for L1
    /// are not rotated and need more bits.
    fn code_bits(&self, dimensions: usize, max_code_len: usize) -> Option<CodeBits> {
        let chosen = CodeBits::choose(dimensions, max_code_len)?;
        if self.metric == Metric::L1 && chosen != CodeBits::Exact {
            return CodeBits::B8.fit(dimensions, max_code_len);
        }
        Some(chosen)
    }

    /// Prepares a value for the index; `None` if the class leaves it out. A value no index of this class may hold is an ERROR.
    pub(crate) fn prepare_row(&self, value: &Indexed<'_>) -> Option<Value> {
        if let Indexed::Sparse(vector) = value
            && vector.elements().values.len() > MAX_NON_ZERO
        {
            error::too_many_non_zero_in_index(MAX_NON_ZERO);
        }
        self.prepare(value)
    }

    /// Converts a value into the form codes are made from; `None` for a zero vector if the metric needs a direction.
    pub(crate) fn prepare(&self, value: &Indexed<'_>) -> Option<Value> {
        let mut value = match value {
            Indexed::F32(vector) => Value::Dense(vector.values().to_vec()),
            Indexed::F16(vector) => {
                Value::Dense(vector.values().iter().map(|x| x.to_f32()).collect())
            }
            Indexed::Bit(bits) => Value::Bits(bits.bytes().to_vec()),
            Indexed::Sparse(vector) => Value::Sparse {
                indices: vector.elements().indices.to_vec(),
                values: vector.elements().values.to_vec(),
            },
        };
        let is_directed = match &mut value {
            Value::Dense(values) | Value::Sparse { values, .. }
                if self.metric == Metric::Cosine =>
            {
                normalize(values)
            }
            _ => true,
        };
        is_directed.then_some(value)
    }

    /// Returns zero, in the form codes are made from.
    pub(crate) fn zero(&self, dimensions: usize) -> Value {
        match self.stored {
            VectorKind::F32 | VectorKind::F16 => Value::Dense(vec![0.0; dimensions]),
            VectorKind::Bit => Value::Bits(vec![0; dimensions.div_ceil(8)]),
            VectorKind::Sparse => Value::Sparse {
                indices: Vec::new(),
                values: Vec::new(),
            },
        }
    }
}

/// Reads an index's kind of vector, metric and dimensions from the catalogs.
pub(crate) fn declared(index: Relation) -> Declared {
    let class = OperatorClass::of(index);
    Declared {
        kind: class.stored,
        metric: class.metric,
        dimensions: u32::try_from(index.column_typmod(class.column)).ok(),
        keys: KeyColumns::of(index).widths(),
    }
}

/// Divides by the norm; false if the norm is zero.
fn normalize(values: &mut [f32]) -> bool {
    let norm = distance::norm(values);
    if norm == 0.0 {
        return false;
    }
    for x in values {
        #[expect(clippy::cast_possible_truncation, reason = "a share of the norm")]
        let share = (f64::from(*x) / norm) as f32;
        *x = share;
    }
    true
}

fn operator(stored: VectorKind, metric: Metric) -> Operator {
    let metric = match metric {
        Metric::L2 => VectorDistance::L2,
        Metric::InnerProduct => VectorDistance::InnerProduct,
        Metric::Cosine => VectorDistance::Cosine,
        Metric::L1 => VectorDistance::L1,
        Metric::Hamming => return Operator::of_bits(BitDistance::Hamming),
        Metric::Jaccard => return Operator::of_bits(BitDistance::Jaccard),
    };
    match stored {
        VectorKind::F32 => Operator::of_dense(distance::Kind::F32, metric),
        VectorKind::F16 => Operator::of_dense(distance::Kind::F16, metric),
        VectorKind::Bit | VectorKind::Sparse => Operator::Sparse(metric),
    }
}
