//! Made-up rows of the kinds that applications have, with exact distances of several metrics.
#![allow(dead_code, reason = "each user takes what it needs")]

use hnsw::{ElementId, MemoryGraph, Search, SearchOptions, Vectors};
use quantize::{CodeMetric, CodeSet, EncodedRow, Rotation};

/// How rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Directions at random, length 1.
    Unit,
    /// Normal values.
    Gauss,
    /// Directions at random, log-normal lengths.
    Lognormal,
    /// Directions at random of positive values, lengths from 1 to 100.
    Lengths,
    /// Forty slightly overlapping clusters.
    Clustered,
    /// This number of groups, far from each other.
    Groups(usize),
    /// Overlapping clusters of directions, of length 1 in the first half and of length 5 in the second.
    TwoLengths,
    /// Small positive values.
    Positive,
    /// So many values are not zero, at random places.
    Sparse(usize),
    /// Zeroes and ones.
    Bits,
}

/// A metric of exact distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    L2,
    Ip,
    L1,
}

/// A set of rows: kind, dimensions, metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set(pub(crate) Kind, pub(crate) usize, pub(crate) Metric);

pub(crate) const SETS: [Set; 28] = [
    Set(Kind::Positive, 3, Metric::Ip),
    Set(Kind::Positive, 8, Metric::Ip),
    Set(Kind::Positive, 64, Metric::Ip),
    Set(Kind::Lognormal, 32, Metric::Ip),
    Set(Kind::Lognormal, 128, Metric::Ip),
    Set(Kind::Gauss, 64, Metric::Ip),
    Set(Kind::Lognormal, 64, Metric::L2),
    Set(Kind::Lengths, 64, Metric::L2),
    Set(Kind::Lengths, 64, Metric::Ip),
    Set(Kind::Gauss, 8, Metric::L2),
    Set(Kind::Gauss, 32, Metric::L2),
    Set(Kind::Gauss, 64, Metric::L1),
    Set(Kind::Unit, 3, Metric::L2),
    Set(Kind::Unit, 64, Metric::L2),
    Set(Kind::Unit, 384, Metric::L2),
    Set(Kind::Clustered, 64, Metric::L2),
    Set(Kind::Clustered, 64, Metric::Ip),
    Set(Kind::Groups(10), 64, Metric::L2),
    Set(Kind::Groups(100), 64, Metric::L2),
    Set(Kind::Groups(100), 64, Metric::Ip),
    Set(Kind::TwoLengths, 64, Metric::L2),
    Set(Kind::Positive, 64, Metric::L2),
    Set(Kind::Sparse(10), 300, Metric::L2),
    Set(Kind::Sparse(20), 1000, Metric::L2),
    Set(Kind::Sparse(20), 1000, Metric::L1),
    Set(Kind::Sparse(20), 1000, Metric::Ip),
    Set(Kind::Bits, 52, Metric::L1),
    Set(Kind::Bits, 256, Metric::L1),
];

/// Rows with a metric.
pub(crate) struct Measured {
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) metric: Metric,
}

impl Set {
    pub(crate) fn name(&self) -> String {
        format!("{:?} {} {:?}", self.0, self.1, self.2).to_lowercase()
    }

    /// Rows and queries by a seed.
    pub(crate) fn make(&self, rows: usize, queries: usize, seed: u64) -> (Measured, Vec<Vec<f32>>) {
        let Set(kind, dimensions, metric) = *self;
        let mut random = Random(seed);
        let (count, far) = match kind {
            Kind::Groups(count) => (count, 20.0),
            Kind::TwoLengths => (40, 0.75),
            _ => (40, 1.5),
        };
        let centers: Vec<Vec<f32>> = (0..count)
            .map(|_| normals(&mut random, dimensions, far))
            .collect();
        let mut all: Vec<_> = (0..rows + queries)
            .map(|_| row(kind, dimensions, &centers, &mut random))
            .collect();
        if kind == Kind::TwoLengths {
            let longer = all[rows / 2..].iter_mut().flatten();
            longer.for_each(|value| *value *= 5.0);
        }
        let queries = all.split_off(rows);
        (Measured { rows: all, metric }, queries)
    }
}

fn normals(random: &mut Random, dimensions: usize, far: f32) -> Vec<f32> {
    (0..dimensions).map(|_| far * random.normal()).collect()
}

fn scaled(row: Vec<f32>, length: f32) -> Vec<f32> {
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    row.iter().map(|x| x / norm * length).collect()
}

/// A row near one of the centers.
fn beside(centers: &[Vec<f32>], random: &mut Random) -> Vec<f32> {
    let center = &centers[random.below(centers.len())];
    center.iter().map(|c| c + random.normal()).collect()
}

fn row(kind: Kind, dimensions: usize, centers: &[Vec<f32>], random: &mut Random) -> Vec<f32> {
    match kind {
        Kind::Unit => scaled(normals(random, dimensions, 1.0), 1.0),
        Kind::Gauss => normals(random, dimensions, 1.0),
        Kind::Lognormal => {
            let length = (0.5 * random.normal()).exp();
            scaled(normals(random, dimensions, 1.0), length)
        }
        Kind::Lengths => {
            let length = 1.0 + 99.0 * random.uniform();
            let row = (0..dimensions).map(|_| random.uniform()).collect();
            scaled(row, length)
        }
        Kind::Clustered | Kind::Groups(_) => beside(centers, random),
        Kind::TwoLengths => scaled(beside(centers, random), 1.0),
        Kind::Positive => (0..dimensions)
            .map(|_| random.uniform() * random.uniform())
            .collect(),
        Kind::Sparse(count) => {
            let mut row = vec![0.0; dimensions];
            for _ in 0..count {
                row[random.below(dimensions)] = random.uniform();
            }
            row
        }
        Kind::Bits => (0..dimensions).map(|_| random.below(2) as f32).collect(),
    }
}

impl Measured {
    pub(crate) fn measure(&self, a: &[f32], b: &[f32]) -> f32 {
        let sum = |term: fn(f32, f32) -> f32| {
            let mut sums = [0.0; 16];
            for (a, b) in a.chunks(16).zip(b.chunks(16)) {
                for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                    *sum += term(a, b);
                }
            }
            sums.iter().sum::<f32>()
        };
        match self.metric {
            Metric::L2 => sum(|a, b| (a - b) * (a - b)),
            Metric::Ip => -sum(|a, b| a * b),
            Metric::L1 => sum(|a, b| (a - b).abs()),
        }
    }

    /// The codes of a build by leaves, where an index would be built by leaves.
    pub(crate) fn code_set(&self) -> Option<CodeSet> {
        let dimensions = self.rows[0].len();
        let metric = match self.metric {
            Metric::L2 => CodeMetric::L2,
            Metric::Ip => CodeMetric::InnerProduct,
            Metric::L1 => return None,
        };
        if dimensions <= 32 {
            return None;
        }
        let rotation = Rotation::new(dimensions, 1);
        let mut codes = CodeSet::new(dimensions, metric);
        codes.try_reserve(self.rows.len()).expect("memory");
        let mut row = EncodedRow::new();
        for vector in &self.rows {
            let mut rotated = vector.clone();
            rotation.rotate(&mut rotated);
            row.encode(&rotated);
            codes.push(&row);
        }
        Some(codes)
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
        match self.metric {
            Metric::Ip => self.distance(&vector, vector) / -2.0,
            Metric::L2 | Metric::L1 => 0.0,
        }
    }
}

/// Neighbors of an element on layer 0, on average.
pub(crate) fn degree(graph: &MemoryGraph) -> f64 {
    let elements = (0..graph.len() as u32).map(ElementId);
    let links: usize = elements.map(|e| graph.neighbors(e, 0).len()).sum();
    links as f64 / graph.len() as f64
}

/// recall@10 of searches with `ef` candidates, by exact distances.
pub(crate) fn recall(
    graph: &MemoryGraph,
    vectors: &Measured,
    queries: &[Vec<f32>],
    ef: usize,
) -> f64 {
    let options = SearchOptions {
        ef,
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
        let near = found.iter().take(10);
        hits += near.filter(|near| near.distance <= truth[9]).count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

/// Draws by splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Nearly normal: the sum of twelve uniform draws, less its mean.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}
