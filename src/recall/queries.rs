//! The queries of a measurement: given by a statement, or rows of the index itself.
#![expect(unsafe_code, reason = "varlena access")]

use hnsw::ElementId;
use layout::HeapTid;
use pgrx::pg_sys;

use super::asked::Asked;
use super::budget::Budget;
use super::part::Part;
use crate::error;
use crate::pg::interrupt;
use crate::pg::query::{self, SqlText};
use crate::pg::varlena::Varlena;
use crate::storage::pass::{self, Live};
use crate::storage::rows;
use crate::types::indexed::{Indexed, Query};

/// Collects queries.
struct Asking<'a> {
    asked: Vec<Asked>,
    context: pg_sys::MemoryContext,
    dimensions: usize,
    budget: &'a mut Budget,
    /// Bytes of a query beside its value.
    beside: usize,
}

/// The queries of a statement, at most `most`; or else as many rows of the parts. `beside` are the bytes that each takes beside
/// its value.
pub(super) fn ask(
    parts: &mut [Part],
    statement: Option<&SqlText>,
    most: usize,
    beside: usize,
    budget: &mut Budget,
) -> Vec<Asked> {
    let Some(first) = parts.first() else {
        return Vec::new();
    };
    let mut asking = Asking {
        asked: Vec::new(),
        // SAFETY: the context of the call.
        context: unsafe { pg_sys::CurrentMemoryContext },
        dimensions: first.index.frozen().dimensions as usize,
        budget,
        beside,
    };
    match statement {
        Some(statement) => asking.read(first, statement, most),
        None => asking.sample(parts, most),
    }
    asking.asked
}

impl Asking<'_> {
    /// Takes the values of a statement.
    fn read(&mut self, part: &Part, statement: &SqlText, most: usize) {
        let relation = part.index.relation();
        let wanted = relation.column_type(part.class.column);
        let read = query::values_of(statement, wanted, most, |value| {
            self.take(part, value, None);
        });
        read.unwrap_or_else(|fault| {
            let type_name = relation.column_type_name(part.class.column);
            error::not_queries(&fault, &type_name)
        });
    }

    /// Takes rows, spread evenly over the elements of all parts.
    fn sample(&mut self, parts: &mut [Part], most: usize) {
        let counts: Vec<Live> = parts.iter().map(|part| pass::count(&part.index)).collect();
        let all: u64 = counts.iter().map(Live::count).sum();
        let wanted = all.min(most as u64);
        let mut before = 0;
        for (number, (part, live)) in parts.iter_mut().zip(&counts).enumerate() {
            let after = before + live.count();
            let chosen = (0..wanted)
                .map(|at| (2 * at + 1) * all / (2 * wanted))
                .filter(|&at| (before..after).contains(&at))
                .map(|at| at - before);
            let index = part.index.clone();
            for elements in pass::elements(&index, live, chosen) {
                interrupt::check();
                self.take_first(part, number, &elements);
            }
            before = after;
        }
    }

    /// Takes the first visible row of some elements.
    fn take_first(&mut self, part: &mut Part, number: usize, elements: &[ElementId]) {
        let index = part.index.clone();
        for &element in elements {
            let mut tids = Vec::new();
            rows::inline(&mut index.graph(), element, &mut tids);
            for tid in tids {
                let context = self.context;
                // SAFETY: the column's values are varlenas.
                let copy = part.with_row(tid, |value| unsafe { Varlena::keep(value, context) });
                if let Some(copy) = copy {
                    self.take(part, copy, Some((number, tid)));
                    return;
                }
            }
        }
    }

    /// Takes a query, unless it has no direction where the metric needs one.
    fn take(&mut self, part: &Part, value: pg_sys::Datum, own: Option<(usize, HeapTid)>) {
        let kind = part.class.kind();
        // SAFETY: the type was compared with the column's, or the value is the column's.
        let (exact, is_directed, bytes) = unsafe {
            let indexed = Indexed::from_raw(kind, value);
            if indexed.dimensions() != self.dimensions {
                let operator = part.class.operator();
                operator.reject_dimensions(indexed.dimensions(), self.dimensions);
            }
            let prepared = part.class.prepare(&indexed);
            let bytes = prepared.as_ref().map_or(0, quantize::Value::bytes);
            (Query::new(&indexed), prepared.is_some(), bytes)
        };
        if !is_directed {
            return;
        }
        // The copy, its bytes for exact distances, and its form for codes, which may be twice as long.
        self.budget.take(self.beside + 4 * bytes);
        // SAFETY: the value is a varlena of the column's type; it or its copy is in the context of the call.
        self.asked.push(unsafe {
            let value = match own {
                Some(_) => value,
                None => Varlena::keep(value, self.context),
            };
            Asked::new(value, exact, own)
        });
    }
}
