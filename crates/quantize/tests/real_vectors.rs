//! Codes of real embeddings, read from `OMENDB_DATA` (by default `../shared/data` beside the repository).

use std::path::{Path, PathBuf};

use quantize::{CodeBits, CodeMetric, Codec};

const DIMENSIONS: usize = 384;
const ROWS: usize = 20_000;
const QUERIES: usize = 50;

/// The first rows of WordNet's texts, after NumPy's header; `None` if the file is missing.
fn read(rows: usize) -> Option<Vec<Vec<f32>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("OMENDB_DATA").map_or(beside, PathBuf::from);
    let bytes = std::fs::read(folder.join("wordnet_base.f16.npy")).ok()?;
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let row = |row: &[u8]| {
        row.as_chunks()
            .0
            .iter()
            .map(|&half| half::f16::from_le_bytes(half).to_f32())
            .collect()
    };
    Some(
        bytes[header..]
            .chunks_exact(2 * DIMENSIONS)
            .take(rows)
            .map(row)
            .collect(),
    )
}

fn squared_l2(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[test]
fn the_nearest_fifteen_codes_hold_the_ten_nearest_texts() {
    let Some(mut base) = read(ROWS + QUERIES) else {
        eprintln!("SKIPPED: no wordnet set in OMENDB_DATA");
        return;
    };
    let queries = base.split_off(ROWS);
    let codec = Codec::new(DIMENSIONS, CodeBits::B4, CodeMetric::L2, 1, None);
    let mut codes = vec![0; ROWS * codec.code_len()];
    for (vector, code) in base.iter().zip(codes.chunks_exact_mut(codec.code_len())) {
        codec.encode(vector, code);
    }
    let (mut found, mut below_bound) = (0, 0);
    for query in &queries {
        let exact: Vec<f32> = base
            .iter()
            .map(|vector| squared_l2(query, vector))
            .collect();
        let asked = codec.query(query);
        let estimates: Vec<(f32, f32)> = codes
            .chunks_exact(codec.code_len())
            .map(|code| asked.estimate(code))
            .collect();
        let nearest = |count: usize, distance: &dyn Fn(usize) -> f32| {
            let mut rows: Vec<usize> = (0..ROWS).collect();
            rows.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            rows.truncate(count);
            rows
        };
        let near = nearest(15, &|row| estimates[row].0);
        found += nearest(10, &|row| exact[row])
            .iter()
            .filter(|row| near.contains(row))
            .count();
        below_bound += (0..ROWS)
            .filter(|&row| exact[row] < estimates[row].0 - estimates[row].1)
            .count();
    }
    assert!(
        found >= 10 * QUERIES * 98 / 100,
        "{found} of {}",
        10 * QUERIES
    );
    // 1.9 standard deviations leave 2.9 % below.
    assert!(
        below_bound <= ROWS * QUERIES * 4 / 100,
        "{below_bound} of {}",
        ROWS * QUERIES
    );
}
