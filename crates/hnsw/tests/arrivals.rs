//! A graph that grew row by row is as good as one that was built, also where a few vectors are near to all others.

mod made;
mod sets;

use hnsw::build::{Watch, batched, leaves};
use hnsw::{MemoryGraph, Params};
use made::{Kind, Measured, Metric, Set, degree, recall};
use sets::insert_all;

const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

/// Each set with the least recall of its graphs at 40 candidates, of 2,000 rows.
const SETS: [(Set, f64); 11] = [
    (Set(Kind::Positive, 3, Metric::Ip), 0.99),
    (Set(Kind::Positive, 64, Metric::Ip), 0.97),
    (Set(Kind::Lognormal, 32, Metric::Ip), 0.97),
    (Set(Kind::Gauss, 64, Metric::Ip), 0.88),
    (Set(Kind::Lognormal, 64, Metric::L2), 0.86),
    (Set(Kind::Lengths, 64, Metric::L2), 0.95),
    (Set(Kind::Unit, 64, Metric::L2), 0.86),
    (Set(Kind::Clustered, 64, Metric::L2), 0.98),
    (Set(Kind::Gauss, 64, Metric::L1), 0.88),
    (Set(Kind::Sparse(10), 300, Metric::L2), 0.95),
    (Set(Kind::Bits, 52, Metric::L1), 0.97),
];

/// As an index is built: by leaves where it can be.
fn built(vectors: &Measured) -> MemoryGraph {
    let watch = Watch::default();
    let graph = match vectors.code_set() {
        Some(codes) => leaves(&codes, &PARAMS, &watch),
        None => batched(vectors, &PARAMS, &watch),
    };
    graph.expect("a graph")
}

#[test]
fn rows_that_arrive_are_found_as_well_as_rows_that_were_there() {
    for (set, least) in SETS {
        let (vectors, queries) = set.make(2_000, 100, 13);
        let graphs = [built(&vectors), insert_all(&vectors, &PARAMS)];
        let name = set.name();
        let [built, inserted] = graphs.each_ref().map(|graph| {
            let degree = degree(graph);
            assert!(degree >= PARAMS.m as f64, "{name}: degree {degree}");
            recall(graph, &vectors, &queries, 40)
        });
        eprintln!("{name}: built {built}, inserted {inserted}");
        assert!(built >= least, "{name}: {built}");
        assert!(
            inserted >= built - 0.02,
            "{name}: {inserted} against {built}"
        );
    }
}
