//! The description of an access method.
#![cfg_attr(
    not(feature = "pg19"),
    expect(unsafe_code, reason = "allocates a node")
)]

use std::sync::OnceLock;

use pgrx::pg_sys;

/// Where a description stays as long as the process.
pub(crate) type Place = OnceLock<pg_sys::IndexAmRoutine>;

/// An empty description.
pub(crate) fn new_routine() -> pg_sys::IndexAmRoutine {
    pg_sys::IndexAmRoutine {
        type_: pg_sys::NodeTag::T_IndexAmRoutine,
        ..Default::default()
    }
}

/// Returns a description to Postgres, which keeps the pointer from 19 on (access/amapi.h).
#[cfg(feature = "pg19")]
pub(crate) fn hand_over(routine: pg_sys::IndexAmRoutine, place: &'static Place) -> pg_sys::Datum {
    let kept = std::ptr::from_ref(place.get_or_init(|| routine));
    pg_sys::Datum::from(kept.cast_mut())
}

/// Returns a description to Postgres, which copies it and frees it.
#[cfg(not(feature = "pg19"))]
pub(crate) fn hand_over(routine: pg_sys::IndexAmRoutine, _place: &'static Place) -> pg_sys::Datum {
    // SAFETY: allocates as many bytes, aligned for any type.
    unsafe {
        let node = pg_sys::palloc(size_of_val(&routine)).cast::<pg_sys::IndexAmRoutine>();
        node.write(routine);
        pg_sys::Datum::from(node)
    }
}
