//! A query of a measurement.
#![expect(unsafe_code, reason = "varlena access")]

use layout::HeapTid;
use pgrx::pg_sys;

use crate::types::indexed::{Indexed, Kind, Query};

/// A query of a measurement: a value of the indexed column's type.
pub(super) struct Asked {
    /// A copy in the memory context of the call.
    value: pg_sys::Datum,
    pub(super) exact: Query,
    /// The row that it is the value of, if it is: the number of its part, and its TID. It is left out of the answers.
    pub(super) own: Option<(usize, HeapTid)>,
}

impl Asked {
    /// # Safety
    /// The value is of the kind that [`Asked::value`] is called with, and lasts as long as this.
    pub(super) unsafe fn new(
        value: pg_sys::Datum,
        exact: Query,
        own: Option<(usize, HeapTid)>,
    ) -> Self {
        Self { value, exact, own }
    }

    pub(super) fn value(&self, kind: Kind) -> Indexed<'_> {
        // SAFETY: the promise of `new`.
        unsafe { Indexed::from_raw(kind, self.value) }
    }
}
