//! Algorithms 2 and 5 of the HNSW paper, and the resumable scan.
/// How far a search goes.
pub struct SearchOptions;
/// A search and its scratch memory.
pub struct Search;
