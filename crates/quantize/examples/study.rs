//! Quality of codes on real vectors: recall after reranking the nearest codes, rows read by a scan's rerank rule, coverage
//! of the error bounds, and the cost of encoding and of distances.
//!
//! `OMENDB_DATA=... cargo run --release -p quantize --example study [bits...]` reads the .npy files named in `SETS`.
#![expect(clippy::print_stdout, reason = "a program that reports to a terminal")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use quantize::{CodeBits, CodeMetric, Codec, Query};

const SETS: [(&str, &str, &str, &str); 2] = [
    (
        "wordnet",
        "wordnet_base.f16.npy",
        "wordnet_queries.f32.npy",
        "wordnet_truth_top100.i32.npy",
    ),
    (
        "sift",
        "sift_base.u8.npy",
        "sift_queries.u8.npy",
        "sift_truth_top100.i32.npy",
    ),
];
const QUERIES: usize = 300;
const K: usize = 10;
const RERANKED: [usize; 5] = [10, 12, 15, 20, 30];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::var("OMENDB_DATA").map_err(|_| "OMENDB_DATA names no folder")?;
    let wanted: Vec<u8> = std::env::args()
        .skip(1)
        .map(|bits| bits.parse())
        .collect::<Result<_, _>>()?;
    let all = [CodeBits::B8, CodeBits::B4, CodeBits::B2, CodeBits::B1];
    println!(
        "set      metric       bits center | recall@10 of the nearest {RERANKED:?} | rows read | below bound: all, near | ns/encode ns/distance"
    );
    for (name, base, queries, truth) in SETS {
        let set = Set::read(Path::new(&folder), [base, queries, truth])?;
        for bits in all
            .into_iter()
            .filter(|bits| wanted.is_empty() || wanted.contains(&bits.number()))
        {
            for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
                for is_centered in [false, true] {
                    let report = study(&set, bits, metric, is_centered);
                    println!(
                        "{name:<8} {:<13} {:>4} {is_centered:<6} | {report}",
                        format!("{metric:?}"),
                        bits.number()
                    );
                }
            }
        }
    }
    Ok(())
}

fn study(set: &Set, bits: CodeBits, metric: CodeMetric, is_centered: bool) -> String {
    let center = set.base.mean();
    let codec = Codec::new(
        set.base.width,
        bits,
        metric,
        42,
        is_centered.then_some(&center[..]),
    );
    let started = Instant::now();
    let mut codes = vec![0; codec.code_len() * set.base.len()];
    for (row, code) in codes.chunks_exact_mut(codec.code_len()).enumerate() {
        codec.encode(set.base.row(row), code);
    }
    let encode = started.elapsed().as_nanos() as f64 / set.base.len() as f64;
    let mut tally = Tally::default();
    for query in 0..set.queries.len().min(QUERIES) {
        tally.add(set, query, &codec, &codes);
    }
    let distance = hot_distance(&codec.query(set.queries.row(0)), &codes, codec.code_len());
    format!("{tally} | {encode:6.0} {distance:5.1}")
}

/// Nanoseconds per distance over codes in the first-level cache; the minimum of many runs.
fn hot_distance(query: &Query, codes: &[u8], code_len: usize) -> f64 {
    let codes = &codes[..64 * code_len];
    let run = |_| {
        let started = Instant::now();
        let mut sum = 0.0;
        for _ in 0..100 {
            sum += codes
                .chunks_exact(code_len)
                .map(|code| query.distance(std::hint::black_box(code)))
                .sum::<f32>();
        }
        std::hint::black_box(sum);
        started.elapsed().as_nanos() as f64 / 6400.0
    };
    (0..200).map(run).fold(f64::INFINITY, f64::min)
}

#[derive(Default)]
struct Tally {
    queries: f64,
    found: [f64; RERANKED.len()],
    rows_read: f64,
    estimates: f64,
    below: f64,
    below_near: f64,
}

struct Estimate {
    row: usize,
    distance: f32,
    error: f32,
}

impl Tally {
    fn add(&mut self, set: &Set, query: usize, codec: &Codec, codes: &[u8]) {
        let vector = set.queries.row(query);
        let coded = codec.query(vector);
        let exact = |row: usize| exact(codec.metric(), vector, set.base.row(row));
        let mut estimates: Vec<Estimate> = Vec::with_capacity(set.base.len());
        for (row, code) in codes.chunks_exact(codec.code_len()).enumerate() {
            let (distance, error) = coded.estimate(code);
            estimates.push(Estimate {
                row,
                distance,
                error,
            });
        }
        self.count_below(&estimates, exact);
        estimates.select_nth_unstable_by(1000, |a, b| a.distance.total_cmp(&b.distance));
        estimates.truncate(1000);
        estimates.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        let truth = set.truth(query, codec.metric());
        for (found, reranked) in self.found.iter_mut().zip(RERANKED) {
            let mut nearest: Vec<usize> = estimates[..reranked]
                .iter()
                .map(|estimate| estimate.row)
                .collect();
            nearest.sort_by(|&a, &b| exact(a).total_cmp(&exact(b)));
            *found += nearest[..K]
                .iter()
                .filter(|row| truth.contains(row))
                .count() as f64
                / K as f64;
        }
        let near = estimates
            .iter()
            .filter(|estimate| truth.contains(&estimate.row));
        self.below_near += near
            .filter(|near| exact(near.row) < f64::from(near.distance - near.error))
            .count() as f64;
        self.rows_read += rows_read(&estimates, exact) as f64;
        self.queries += 1.0;
    }

    fn count_below(&mut self, estimates: &[Estimate], exact: impl Fn(usize) -> f64) {
        for Estimate {
            row,
            distance,
            error,
        } in estimates.iter().step_by(97)
        {
            self.estimates += 1.0;
            self.below += f64::from(exact(*row) < f64::from(distance - error));
        }
    }
}

/// The number of rows that a scan reranks to return ten: a row is returned once no other row can be nearer.
fn rows_read(estimates: &[Estimate], exact: impl Fn(usize) -> f64) -> usize {
    let mut least = vec![f64::INFINITY; estimates.len() + 1];
    for (at, estimate) in estimates.iter().enumerate().rev() {
        least[at] = least[at + 1].min(f64::from(estimate.distance - estimate.error));
    }
    let mut measured = Vec::new();
    for (at, estimate) in estimates.iter().enumerate() {
        measured.push(exact(estimate.row));
        if measured
            .iter()
            .filter(|distance| **distance <= least[at + 1])
            .count()
            >= K
        {
            return at + 1;
        }
    }
    estimates.len()
}

fn exact(metric: CodeMetric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    match metric {
        CodeMetric::InnerProduct => -f64::from(pairs.map(|(a, b)| a * b).sum::<f32>()),
        CodeMetric::L2 | CodeMetric::L1 => {
            f64::from(pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for found in self.found {
            write!(f, "{:.4} ", found / self.queries)?;
        }
        let near = self.below_near / self.queries / K as f64;
        write!(
            f,
            "| {:5.1} | {:.4} {near:.4}",
            self.rows_read / self.queries,
            self.below / self.estimates
        )
    }
}

struct Set {
    base: Rows,
    queries: Rows,
    truth: Rows,
}

struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Set {
    fn read(folder: &Path, [base, queries, truth]: [&str; 3]) -> Result<Set, Box<dyn Error>> {
        let read =
            |name: &str| Rows::read(&folder.join(name)).map_err(|error| format!("{name}: {error}"));
        Ok(Set {
            base: read(base)?,
            queries: read(queries)?,
            truth: read(truth)?,
        })
    }

    /// The exact nearest. The files hold them for L2, with the same order as inner products for unit vectors.
    fn truth(&self, query: usize, metric: CodeMetric) -> Vec<usize> {
        if metric == CodeMetric::L2 {
            return self.truth.row(query)[..K]
                .iter()
                .map(|&row| row as usize)
                .collect();
        }
        let mut rows: Vec<usize> = (0..self.base.len()).collect();
        let distances: Vec<f64> = rows
            .iter()
            .map(|&row| exact(metric, self.queries.row(query), self.base.row(row)))
            .collect();
        rows.select_nth_unstable_by(K, |&a, &b| distances[a].total_cmp(&distances[b]));
        rows.truncate(K);
        rows
    }
}

impl Rows {
    /// NumPy's format: a Python dictionary as header, then the rows.
    fn read(path: &Path) -> Result<Rows, Box<dyn Error>> {
        let bytes = fs::read(path)?;
        let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let (header, data) = bytes[10..].split_at(header_len);
        let header = std::str::from_utf8(header)?;
        let shape = header.split(['(', ')']).nth(1).ok_or("no shape")?;
        let width = shape
            .split(',')
            .nth(1)
            .ok_or("not two dimensions")?
            .trim()
            .parse()?;
        let values = if header.contains("|u1") {
            data.iter().map(|&byte| f32::from(byte)).collect()
        } else if header.contains("<f2") {
            data.as_chunks()
                .0
                .iter()
                .map(|&bytes| half::f16::from_le_bytes(bytes).to_f32())
                .collect()
        } else if header.contains("<i4") {
            data.as_chunks()
                .0
                .iter()
                .map(|&bytes| i32::from_le_bytes(bytes) as f32)
                .collect()
        } else {
            data.as_chunks()
                .0
                .iter()
                .map(|&bytes| f32::from_le_bytes(bytes))
                .collect()
        };
        Ok(Rows { width, values })
    }

    fn len(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    fn mean(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        sums.iter()
            .map(|sum| (sum / self.len() as f64) as f32)
            .collect()
    }
}
