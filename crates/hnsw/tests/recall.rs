//! The recall of searches over a graph.

mod sets;

use hnsw::{MemoryGraph, Params, Search, SearchOptions, Vectors};
use quantize::{CodeMetric, CodeSet, EncodedRow};
use sets::{Floats, Shape, build, insert_all, l2_squared, made_up, read_real};

const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

/// recall@10 of searches with `ef`, by exact distances: it depends on the graph alone.
fn recall(graph: &MemoryGraph, floats: &Floats, queries: &Floats, ef: usize) -> f64 {
    let options = SearchOptions {
        ef,
        keep_discarded: false,
    };
    let mut search = Search::new();
    let mut found = Vec::new();
    let mut hits = 0;
    for query in (0..queries.len() as u32).map(|i| queries.row(i)) {
        let distance = |element: u32| l2_squared(query, floats.row(element));
        search.start(&mut graph.view(), &distance, &options);
        search.take_nearest(&mut found);
        let truth = floats.nearest(query, 10);
        hits += found
            .iter()
            .take(10)
            .filter(|c| truth.contains(&c.element.0))
            .count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

fn codes(floats: &Floats) -> CodeSet {
    let mut codes = CodeSet::new(floats.dimensions, CodeMetric::L2);
    let mut row = EncodedRow::new();
    for i in 0..floats.len() as u32 {
        row.encode(floats.row(i));
        codes.push(&row);
    }
    codes
}

#[test]
fn batches_find_what_insertion_one_by_one_finds() {
    let (floats, queries) = made_up(Shape::Clusters, 5100, 24, 7).split(5000);
    let one_by_one = recall(&insert_all(&floats, &PARAMS), &floats, &queries, 40);
    let batched = recall(&build(&floats, &PARAMS, 2).unwrap(), &floats, &queries, 40);
    let of_codes = recall(
        &build(&codes(&floats), &PARAMS, 2).unwrap(),
        &floats,
        &queries,
        40,
    );
    assert!(one_by_one > 0.95, "{one_by_one}");
    assert!(
        batched > one_by_one - 0.01,
        "{batched} against {one_by_one}"
    );
    assert!(
        of_codes > one_by_one - 0.01,
        "{of_codes} against {one_by_one}"
    );
}

#[test]
fn sorted_input_does_not_hurt() {
    let (mut floats, queries) = made_up(Shape::Clusters, 5100, 16, 8).split(5000);
    let shuffled = recall(&build(&floats, &PARAMS, 2).unwrap(), &floats, &queries, 40);
    let mut rows: Vec<Vec<f32>> = floats.values.chunks(16).map(<[f32]>::to_vec).collect();
    rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
    floats.values = rows.concat();
    let sorted = recall(&build(&floats, &PARAMS, 2).unwrap(), &floats, &queries, 40);
    assert!(sorted > shuffled - 0.01, "{sorted} against {shuffled}");
}

#[test]
fn real_embeddings_are_found() {
    let rows = 10_000;
    let (Some(floats), Some(mut queries)) = (
        read_real("wordnet_base.f16.npy", rows),
        read_real("wordnet_queries.f32.npy", 100),
    ) else {
        eprintln!("SKIPPED: no wordnet set in OMENDB_DATA");
        return;
    };
    queries.values.truncate(100 * queries.dimensions);
    let graph = build(&codes(&floats), &PARAMS, 2).unwrap();
    let recall = recall(&graph, &floats, &queries, 40);
    assert!(recall > 0.96, "{recall}");
}
