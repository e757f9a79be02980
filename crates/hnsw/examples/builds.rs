//! Compares both builders on real data: time and graph quality.
//!
//! `cargo run --release -p hnsw --example builds -- [set] [rows] [threads] [ef_construction] [builder] [quick]`
//!
//! Sets are `wordnet` and `sift`, read from OMENDB_DATA (by default `../shared/data` beside the repository), and `mixed`, any
//! number of mixtures of two rows of wordnet. Recall uses
//! exact distances over the graph, so it depends on the graph alone; evaluations are the machine-independent cost of a
//! search.
#![expect(clippy::print_stdout, reason = "a report for the terminal")]

#[path = "../tests/sets/mod.rs"]
mod sets;

use hnsw::build::{Watch, batched, leaves};
use hnsw::{MemoryGraph, Params, Search, SearchOptions};
use quantize::{CodeMetric, CodeSet, EncodedRow, Rotation};
use rayon::prelude::*;
use std::path::PathBuf;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let arg = |i: usize, default: &str| args.get(i).cloned().unwrap_or_else(|| default.to_string());
    let number = |i: usize, default: &str| arg(i, default).parse().expect("a number");
    let (rows, threads, ef_construction) = (number(1, "1000000"), number(2, "2"), number(3, "64"));
    let Some(set) = Set::read(&arg(0, "wordnet"), rows) else {
        println!("SKIPPED: no such set in OMENDB_DATA");
        return;
    };
    let params = Params {
        m: 16,
        ef_construction,
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("threads");
    pool.install(|| {
        let codes = set.encode();
        let builder = arg(4, "both");
        if builder != "batched" && builder != "inserted" {
            report("leaves", &set, || {
                leaves(&codes, &params, &Watch::default()).expect("a graph")
            });
        }
        if builder == "inserted" {
            report("inserted", &set, || sets::insert_all(&codes, &params));
        }
        if builder == "batched" || builder == "both" {
            report("batched", &set, || {
                batched(&codes, &params, &Watch::default()).expect("a graph")
            });
        }
    });
}

fn report(name: &str, set: &Set, build: impl FnOnce() -> MemoryGraph) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let graph = build();
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let vectors = set.base.len() as f64;
    println!(
        "{name}: {wall:.2} s, {cpu:.2} CPU s, {:.0} vectors/s, {:.1} CPU us a vector",
        vectors / wall,
        cpu / vectors * 1e6
    );
    if std::env::args().all(|arg| arg != "quick") {
        println!("  {}", quality(set, &graph));
    }
}

/// Evaluations per query for recall@10 of .95 and .99, and the recall at ef 40.
fn quality(set: &Set, graph: &MemoryGraph) -> String {
    let points: Vec<(usize, f64, f64)> = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640]
        .into_iter()
        .map(|ef| {
            let (recall, evaluations) = measure(set, graph, ef);
            (ef, recall, evaluations)
        })
        .collect();
    let at = |recall: f64| {
        let reached = points
            .windows(2)
            .find(|p| p[0].1 < recall && p[1].1 >= recall);
        reached.map_or("-".to_string(), |p| {
            let share = (recall - p[0].1) / (p[1].1 - p[0].1);
            format!("{:.0}", p[0].2 + share * (p[1].2 - p[0].2))
        })
    };
    let at_40 = points.iter().find(|p| p.0 == 40).expect("40 is among them");
    let links: usize = (0..graph.len() as u32)
        .map(|e| graph.neighbors(hnsw::ElementId(e), 0).len())
        .sum();
    format!(
        "evaluations for recall .90 {} .95 {} .99 {}; at ef 40 recall {:.4} for {:.0}; degree {:.1}",
        at(0.90),
        at(0.95),
        at(0.99),
        at_40.1,
        at_40.2,
        links as f64 / graph.len() as f64
    )
}

fn measure(set: &Set, graph: &MemoryGraph, ef: usize) -> (f64, f64) {
    let options = SearchOptions {
        ef,
        keep_discarded: false,
    };
    let found: Vec<(usize, u64)> = set
        .queries
        .par_iter()
        .zip(&set.truth)
        .map_init(Search::new, |search, (query, truth)| {
            let distance = |element: u32| l2_squared(query, &set.base[element as usize]);
            search.start(&mut graph.view(), &distance, &options);
            let mut nearest = Vec::new();
            search.take_nearest(&mut nearest);
            let hits = nearest
                .iter()
                .take(10)
                .filter(|c| truth.contains(&c.element.0))
                .count();
            (hits, search.counters().evaluations)
        })
        .collect();
    let queries = found.len() as f64;
    let hits: usize = found.iter().map(|f| f.0).sum();
    let evaluations: u64 = found.iter().map(|f| f.1).sum();
    (hits as f64 / 10.0 / queries, evaluations as f64 / queries)
}

fn l2_squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += (a - b) * (a - b);
        }
    }
    sums.iter().sum()
}

struct Set {
    base: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    /// The ten nearest of each query.
    truth: Vec<Vec<u32>>,
}

impl Set {
    fn read(name: &str, rows: usize) -> Option<Set> {
        let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
        let folder = std::env::var_os("OMENDB_DATA").map_or(beside, PathBuf::from);
        let read = |file: String| Some(npy(&std::fs::read(folder.join(file)).ok()?));
        if name == "mixed" {
            return Set::read("wordnet", usize::MAX).map(|set| set.mixed(rows));
        }
        let (base, queries) = match name {
            "wordnet" => ("f16", "f32"),
            _ => ("u8", "u8"),
        };
        let mut base = read(format!("{name}_base.{base}.npy"))?;
        let queries = read(format!("{name}_queries.{queries}.npy"))?;
        let all = rows >= base.len();
        base.truncate(rows);
        let truth = if all {
            let truth = read(format!("{name}_truth_top100.i32.npy"))?;
            truth
                .iter()
                .map(|ids| ids[..10].iter().map(|&id| id as u32).collect())
                .collect()
        } else {
            queries
                .par_iter()
                .map(|query| ten_nearest(query, &base))
                .collect()
        };
        Some(Set {
            base,
            queries,
            truth,
        })
    }

    /// Mixtures of two rows each, of unit length.
    fn mixed(self, rows: usize) -> Set {
        let count = self.base.len();
        let base: Vec<Vec<f32>> = (0..rows)
            .into_par_iter()
            .map(|i| {
                let other = &self.base[(i * 7919 + i / count * 31 + 101) % count];
                let sum = self.base[i % count]
                    .iter()
                    .zip(other)
                    .map(|(a, b)| a + 0.6 * b);
                let mixed: Vec<f32> = sum.collect();
                let length = mixed.iter().map(|v| v * v).sum::<f32>().sqrt();
                mixed.iter().map(|v| v / length).collect()
            })
            .collect();
        let queries = self.queries;
        let truth = queries
            .par_iter()
            .map(|query| ten_nearest(query, &base))
            .collect();
        Set {
            base,
            queries,
            truth,
        }
    }

    /// Encodes as an index does: centers, rotates, quantizes.
    fn encode(&self) -> CodeSet {
        let dimensions = self.base[0].len();
        let rotation = Rotation::new(dimensions, 1);
        let mut mean = vec![0.0; dimensions];
        for vector in &self.base {
            mean.iter_mut()
                .zip(vector)
                .for_each(|(mean, value)| *mean += value / self.base.len() as f32);
        }
        let rows: Vec<EncodedRow> = self
            .base
            .par_iter()
            .map(|vector| {
                let mut rotated: Vec<f32> = vector
                    .iter()
                    .zip(&mean)
                    .map(|(value, mean)| value - mean)
                    .collect();
                rotation.rotate(&mut rotated);
                let mut row = EncodedRow::new();
                row.encode(&rotated);
                row
            })
            .collect();
        let mut codes = CodeSet::new(dimensions, CodeMetric::L2);
        codes.try_reserve(rows.len()).expect("memory");
        rows.iter().for_each(|row| codes.push(row));
        codes
    }
}

fn ten_nearest(query: &[f32], base: &[Vec<f32>]) -> Vec<u32> {
    let mut all: Vec<(f32, u32)> = base
        .iter()
        .zip(0..)
        .map(|(v, id)| (l2_squared(query, v), id))
        .collect();
    all.select_nth_unstable_by(9, |a, b| a.0.total_cmp(&b.0));
    all[..10].iter().map(|&(_, id)| id).collect()
}

/// NumPy's format: a short header, then the array row by row.
fn npy(bytes: &[u8]) -> Vec<Vec<f32>> {
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..start]).into_owned();
    let shape = header.split(['(', ')']).nth(1).expect("a shape");
    let columns: usize = shape
        .split(',')
        .nth(1)
        .expect("two dimensions")
        .trim()
        .parse()
        .expect("a number");
    let values = &bytes[start..];
    if header.contains("u1") {
        return values
            .chunks(columns)
            .map(|row| row.iter().map(|&v| f32::from(v)).collect())
            .collect();
    }
    if header.contains("f2") {
        let value = |v: &[u8]| half(u16::from_le_bytes([v[0], v[1]]));
        return values
            .chunks(2 * columns)
            .map(|row| row.chunks(2).map(value).collect())
            .collect();
    }
    let integer = header.contains("i4");
    let value = |v: &[u8]| {
        let bytes = [v[0], v[1], v[2], v[3]];
        if integer {
            i32::from_le_bytes(bytes) as f32
        } else {
            f32::from_le_bytes(bytes)
        }
    };
    values
        .chunks(4 * columns)
        .map(|row| row.chunks(4).map(value).collect())
        .collect()
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

/// Processor time of this process, all threads.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
