//! A callback for changes of relations.
#![expect(unsafe_code, reason = "registers a callback with Postgres")]

use std::cell::Cell;

use pgrx::pg_sys;

/// Gets the oid of the changed relation; `None` if all relations may have changed.
pub(crate) type Listener = fn(Option<u32>);

thread_local! {
    static LISTENER: Cell<Option<Listener>> = const { Cell::new(None) };
}

/// Registers `listener`: Postgres calls it for every change of a relation. It must not raise errors.
pub(crate) fn on_change(listener: Listener) {
    LISTENER.set(Some(listener));
    // SAFETY: called once, from _PG_init.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(changed), pg_sys::Datum::from(0)) }
}

unsafe extern "C-unwind" fn changed(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    if let Some(listener) = LISTENER.get() {
        listener((relation != pg_sys::InvalidOid).then(|| relation.to_u32()));
    }
}
