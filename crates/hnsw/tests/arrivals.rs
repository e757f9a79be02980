//! A graph that grew row by row is as good as one that was built, also where a few vectors are near to all others.

mod sets;

use hnsw::{ElementId, MemoryGraph, Params, Search, SearchOptions, Vectors};
use sets::{Random, build, insert_all};

const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

/// Vectors with the measure that a test is about.
struct Measured {
    rows: Vec<Vec<f32>>,
    inner_product: bool,
}

impl Measured {
    fn measure(&self, a: &[f32], b: &[f32]) -> f32 {
        let pairs = a.iter().zip(b);
        if self.inner_product {
            -pairs.map(|(a, b)| a * b).sum::<f32>()
        } else {
            pairs.map(|(a, b)| (a - b) * (a - b)).sum()
        }
    }
}

impl Vectors for Measured {
    type Base<'v> = u32;

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn base(&self, vector: u32) -> u32 {
        vector
    }

    fn distance(&self, base: &u32, vector: u32) -> f32 {
        self.measure(&self.rows[*base as usize], &self.rows[vector as usize])
    }

    fn half_square(&self, vector: u32) -> f32 {
        if self.inner_product {
            self.distance(&vector, vector) / -2.0
        } else {
            0.0
        }
    }
}

/// Rows of small numbers, all of them positive.
fn positive(random: &mut Random) -> Vec<f32> {
    (0..3).map(|_| uniform(random) * uniform(random)).collect()
}

/// Directions at random, with lengths that spread.
fn long_and_short(random: &mut Random) -> Vec<f32> {
    let row: Vec<f32> = (0..32).map(|_| random.normal()).collect();
    let length = (0.5 * random.normal()).exp();
    let norm = row.iter().map(|value| value * value).sum::<f32>().sqrt();
    row.iter().map(|value| value / norm * length).collect()
}

/// Nearly all pairs are orthogonal.
fn sparse(random: &mut Random) -> Vec<f32> {
    let mut row = vec![0.0; 300];
    for _ in 0..10 {
        row[random.below(300)] = uniform(random);
    }
    row
}

fn uniform(random: &mut Random) -> f32 {
    (random.next() >> 40) as f32 / (1 << 24) as f32
}

fn degree(graph: &MemoryGraph) -> f64 {
    let elements = (0..graph.len() as u32).map(ElementId);
    let links: usize = elements.map(|e| graph.neighbors(e, 0).len()).sum();
    links as f64 / graph.len() as f64
}

fn recall(graph: &MemoryGraph, vectors: &Measured, queries: &[Vec<f32>]) -> f64 {
    let options = SearchOptions {
        ef: 40,
        keep_discarded: false,
    };
    let mut search = Search::new();
    let mut found = Vec::new();
    let mut hits = 0;
    for query in queries {
        let distance = |element: u32| vectors.measure(query, &vectors.rows[element as usize]);
        search.start(&mut graph.view(), &distance, &options);
        search.take_nearest(&mut found);
        let mut truth: Vec<f32> = (0..vectors.len() as u32).map(distance).collect();
        truth.sort_unstable_by(f32::total_cmp);
        hits += found
            .iter()
            .take(10)
            .filter(|candidate| candidate.distance <= truth[9])
            .count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

#[test]
fn rows_that_arrive_are_found_as_well_as_rows_that_were_there() {
    type Row = fn(&mut Random) -> Vec<f32>;
    let shapes: [(&str, Row); 3] = [
        ("positive", positive),
        ("long and short", long_and_short),
        ("sparse", sparse),
    ];
    for (name, row) in shapes {
        for inner_product in [false, true] {
            let mut random = Random(13);
            let mut rows: Vec<_> = (0..3_100).map(|_| row(&mut random)).collect();
            let queries = rows.split_off(3_000);
            let vectors = Measured {
                rows,
                inner_product,
            };
            let name = format!("{name}, inner product: {inner_product}");
            let built = build(&vectors, &PARAMS, 2).unwrap();
            let inserted = insert_all(&vectors, &PARAMS);
            for graph in [&built, &inserted] {
                let degree = degree(graph);
                assert!(degree >= 14.0, "{name}: degree {degree}");
            }
            let built = recall(&built, &vectors, &queries);
            let inserted = recall(&inserted, &vectors, &queries);
            eprintln!("{name}: built {built}, inserted {inserted}");
            assert!(built > 0.85, "{name}: {built}");
            assert!(
                inserted > built - 0.01,
                "{name}: {inserted} against {built}"
            );
        }
    }
}
