//! Calls of the buffer manager without an error boundary of their own: callers run inside one.
#![expect(unsafe_code, reason = "declares Postgres' functions")]

use pgrx::pg_sys;

use crate::pg::compat;

unsafe extern "C-unwind" {
    pub(super) fn ReadRecentBuffer(
        file: compat::FileLocator,
        fork: pg_sys::ForkNumber::Type,
        block: u32,
        recent: pg_sys::Buffer,
    ) -> bool;
    pub(super) fn PrefetchBuffer(
        relation: pg_sys::Relation,
        fork: pg_sys::ForkNumber::Type,
        block: u32,
    ) -> pg_sys::PrefetchBufferResult;
}
