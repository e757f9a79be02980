//! Compares graphs that grew element by element with built ones, on made-up data: recall and neighbors.
//!
//! `cargo run --release -p hnsw --example arrivals -- [rows] [queries] [names]`
//!
//! Searches measure exact distances, so recall depends on the graph alone.
#![expect(clippy::print_stdout, reason = "a report for the terminal")]

#[path = "../tests/made/mod.rs"]
mod made;
#[path = "../tests/sets/mod.rs"]
mod sets;

use hnsw::build::{Watch, batched, leaves};
use hnsw::{MemoryGraph, Params};
use made::{SETS, degree, recall};
use sets::insert_all;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (rows, queries) = (number(0, 4000), number(1, 100));
    let filter = args.get(2).cloned().unwrap_or_default();
    let params = Params {
        m: 16,
        ef_construction: 64,
    };
    for set in SETS
        .iter()
        .filter(|set| filter.split(',').any(|f| set.name().contains(f)))
    {
        let (vectors, queries) = set.make(rows, queries, 7);
        let report = |how: &str, make: &dyn Fn() -> MemoryGraph| {
            let start = Instant::now();
            let graph = make();
            let seconds = start.elapsed().as_secs_f64();
            let recalls: Vec<String> = [10, 40, 100]
                .iter()
                .map(|&ef| format!("{:.3}", recall(&graph, &vectors, &queries, ef)))
                .collect();
            println!(
                "{:32} {how:9} {}  degree {:5.1}  {seconds:.2} s",
                set.name(),
                recalls.join(" "),
                degree(&graph)
            );
        };
        if let Some(codes) = vectors.code_set() {
            report("leaves", &|| {
                leaves(&codes, &params, &Watch::default()).expect("a graph")
            });
        }
        report("batched", &|| {
            batched(&vectors, &params, &Watch::default()).expect("a graph")
        });
        report("inserted", &|| insert_all(&vectors, &params));
    }
}
