//! Test data: made-up vectors of several shapes, and real ones if present.
#![allow(dead_code, reason = "each test file takes what it needs")]

use hnsw::build::{Stopped, Watch, batched};
use hnsw::{ElementId, Insertion, MemoryGraph, Params, Search, Vectors, insert};
use std::path::PathBuf;

/// Vectors as floats, with squared L2 distance.
#[derive(Clone, Debug)]
pub(crate) struct Floats {
    pub(crate) dimensions: usize,
    pub(crate) values: Vec<f32>,
}

impl Floats {
    pub(crate) fn row(&self, i: u32) -> &[f32] {
        &self.values[i as usize * self.dimensions..][..self.dimensions]
    }

    /// The `k` nearest to a query, nearest first.
    pub(crate) fn nearest(&self, query: &[f32], k: usize) -> Vec<u32> {
        let mut all: Vec<(f32, u32)> = (0..self.len() as u32)
            .map(|i| (l2_squared(query, self.row(i)), i))
            .collect();
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all.iter().take(k).map(|&(_, i)| i).collect()
    }

    /// The first rows, and the rest.
    pub(crate) fn split(self, rows: usize) -> (Floats, Floats) {
        let (first, rest) = self.values.split_at(rows * self.dimensions);
        let floats = |values: &[f32]| Floats {
            dimensions: self.dimensions,
            values: values.to_vec(),
        };
        (floats(first), floats(rest))
    }
}

impl Vectors for Floats {
    fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    type Base<'v> = u32;

    fn base(&self, vector: u32) -> u32 {
        vector
    }

    fn distance(&self, base: &u32, vector: u32) -> f32 {
        l2_squared(self.row(*base), self.row(vector))
    }
}

pub(crate) fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

/// The shape of made-up vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Many slightly overlapping clusters of different sizes.
    Clusters,
    /// Two clusters, far from each other.
    TwoFar,
    /// One vector, many times.
    AllEqual,
    /// Few different vectors, each many times.
    Duplicates,
    /// On a line, in ascending order.
    Sorted,
}

pub(crate) const SHAPES: [Shape; 5] = [
    Shape::Clusters,
    Shape::TwoFar,
    Shape::AllEqual,
    Shape::Duplicates,
    Shape::Sorted,
];

/// Made-up vectors, the same for the same seed.
pub(crate) fn made_up(shape: Shape, n: usize, dimensions: usize, seed: u64) -> Floats {
    let mut random = Random(seed);
    let mut center =
        |far: f32| -> Vec<f32> { (0..dimensions).map(|_| far * random.normal()).collect() };
    let centers: Vec<Vec<f32>> = match shape {
        Shape::Clusters => (0..40).map(|_| center(1.5)).collect(),
        Shape::TwoFar => (0..2).map(|_| center(1000.0)).collect(),
        Shape::AllEqual => vec![center(1.0)],
        Shape::Duplicates => (0..7).map(|_| center(1.0)).collect(),
        Shape::Sorted => vec![vec![0.0; dimensions]],
    };
    let spread = f32::from(u8::from(matches!(shape, Shape::Clusters | Shape::TwoFar)));
    let step = f32::from(u8::from(shape == Shape::Sorted));
    let mut values = Vec::with_capacity(n * dimensions);
    for i in 0..n {
        let center = &centers[random.below(centers.len())];
        values.extend(
            center
                .iter()
                .map(|c| c + step * i as f32 + spread * random.normal()),
        );
    }
    Floats { dimensions, values }
}

/// Draws by splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Nearly normal: the sum of twelve uniform draws, less its mean.
    pub(crate) fn normal(&mut self) -> f32 {
        let draw = |random: &mut Self| (random.next() >> 40) as f32 / (1 << 24) as f32;
        (0..12).map(|_| draw(self)).sum::<f32>() - 6.0
    }
}

/// A batched build with a number of threads.
pub(crate) fn build<V: Vectors>(
    vectors: &V,
    params: &Params,
    threads: usize,
) -> Result<MemoryGraph, Stopped> {
    in_pool(threads, || batched(vectors, params, &Watch::default()))
}

pub(crate) fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads").install(work)
}

/// A build by insertion, one element after the other.
pub(crate) fn insert_all<V: Vectors>(vectors: &V, params: &Params) -> MemoryGraph {
    let mut graph = MemoryGraph::try_new(vectors.len(), params.m).expect("memory");
    let mut search = Search::new();
    for element in (0..vectors.len() as u32).map(ElementId) {
        let level = graph.level(element);
        let mut store = Insertion {
            graph: &mut graph,
            vectors,
        };
        insert(&mut store, &mut search, &element, params, level);
    }
    graph
}

/// A file of the large sets, as rows of floats; `None` if it is missing.
pub(crate) fn read_real(file: &str, rows: usize) -> Option<Floats> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("OMENDB_DATA").map_or(beside, PathBuf::from);
    Some(npy(&std::fs::read(folder.join(file)).ok()?, rows))
}

/// NumPy's format: a short header, then the array row by row.
fn npy(bytes: &[u8], rows: usize) -> Floats {
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).into_owned();
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let columns = shape.split(',').nth(1).expect("two dimensions").trim();
    let dimensions: usize = columns.parse().expect("a number");
    let (bytes, count) = (&bytes[start..], rows.saturating_mul(dimensions));
    let values = if header.contains("f2") {
        bytes
            .chunks_exact(2)
            .take(count)
            .map(|v| half(u16::from_le_bytes([v[0], v[1]])))
            .collect()
    } else {
        bytes
            .chunks_exact(4)
            .take(count)
            .map(|v| f32::from_le_bytes([v[0], v[1], v[2], v[3]]))
            .collect()
    };
    Floats { dimensions, values }
}

fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10) & 31, u32::from(bits) & 1023);
    let magnitude = match exponent {
        0 => (fraction as f32 * 2.0_f32.powi(-24)).to_bits(),
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}
