//! omendb: vector types and a fast hnsw index for PostgreSQL.
//!
//! ARCHITECTURE.md has a map of the modules, from the SQL types down to Postgres itself.

mod am;
mod build;
mod error;
mod estimate;
mod inspect;
mod keys;
mod opclass;
mod options;
mod pg;
#[cfg(any(test, feature = "pg_test"))]
mod pg_tests;
mod recall;
mod scan;
mod settings;
mod storage;
mod table;
mod types;

#[cfg(test)]
use pg_tests::pg_test;

::pgrx::pg_module_magic!();

/// Called by Postgres when it loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    // Allocates the reserve here, because functions of types have no start of their own for it. It comes before all
    // registrations: after an ERROR, Postgres calls `_PG_init` again.
    pg::memory::reserve(pg::memory::Reserve::Small);
    settings::init();
    options::init();
    pg::creation::on_new_index(am::check_new_index);
    pg::explain::on_index_scan(am::explained);
    pg::relcache::on_change(storage::index::forget);
}
