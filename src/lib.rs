//! omendb: vector types and a fast hnsw index for PostgreSQL.
//!
//! The rooms, from what users write down to Postgres itself, are drawn in ARCHITECTURE.md.

::pgrx::pg_module_magic!();
