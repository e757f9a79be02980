//! omendb: vector types and a fast hnsw index for PostgreSQL.
//!
//! The rooms, from what users write down to Postgres itself, are drawn in ARCHITECTURE.md.

mod am;
mod build;
mod error;
mod inspect;
mod pg;
#[cfg(any(test, feature = "pg_test"))]
mod pg_tests;
mod settings;
mod storage;
mod types;

#[cfg(test)]
use pg_tests::pg_test;

::pgrx::pg_module_magic!();

/// Called by Postgres when it loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    pg::boundary::init();
    // Functions of types allocate without a beginning of their own. First of all: Postgres calls this again after an error.
    pg::memory::reserve(pg::memory::Reserve::Small);
    settings::init();
    am::options::init();
    pg::creation::on_new_index(am::check_new_index);
    pg::relcache::on_change(storage::index::forget);
    storage::index::declared_by(am::opclass::declared);
}
