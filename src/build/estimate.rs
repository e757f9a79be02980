//! Estimates of a build from a sample of its rows: size and memory by the arithmetic of the build, time by building the graph
//! of the sample.

use std::time::{Duration, Instant};

use layout::{CENTER_VALUES, Frozen, Geometry, HeapTid, PAGE_SIZE};
use quantize::Value;

use super::feed::{Allowance, Encoder, Feed, Loaded};
use super::format::BuildCodes;
use super::workers::Workers;
use super::{Params, allowance, construct, threads};
use crate::error;
use crate::pg::memory;
use crate::pg::{Relation, setting};

/// A larger part of the sample is built while it is expected to take no longer than this.
const BUILDING: Duration = Duration::from_millis(300);
/// The first part of the sample, in rows, and the growth of the parts.
const FIRST_PART: usize = 1024;
const GROWTH: usize = 4;

/// Time of a build by cells, as a multiple of the time in memory.
const COST_OF_CELLS: f64 = 1.4;

/// Indexed rows of a table.
pub(crate) struct Sample {
    pub(crate) values: Vec<Value>,
    /// The number of indexed rows in the table.
    pub(crate) rows: u64,
    /// The time of reading the values.
    pub(crate) reading: Duration,
}

/// The size and costs of an index.
pub(crate) struct Estimate {
    pub(crate) index_bytes: u64,
    /// Memory of a build in memory, in bytes.
    pub(crate) memory: u64,
    /// True if the build would go by cells: its memory exceeds `maintenance_work_mem`.
    pub(crate) by_cells: bool,
    pub(crate) seconds: f64,
}

/// Estimates the build of a table's index.
pub(crate) fn estimate(
    heap: Relation,
    frozen: &Frozen,
    ef_construction: usize,
    sample: &Sample,
) -> Estimate {
    if sample.values.is_empty() {
        return Estimate {
            index_bytes: PAGE_SIZE as u64,
            memory: 0,
            by_cells: false,
            seconds: 0.0,
        };
    }
    let limit = setting::maintenance_work_mem();
    let trial = Trial {
        workers: Workers::start(threads(heap, frozen, limit)),
        frozen,
        params: Params {
            m: frozen.geometry.m.into(),
            ef_construction,
        },
    };
    let timed = trial.run_within(&sample.values, BUILDING);
    let memory = timed
        .allowance
        .needed(sample.rows, &timed.encoder.codec, &frozen.geometry);
    let by_cells = memory > limit as u64;
    Estimate {
        index_bytes: index_bytes(&timed.encoder, sample.rows),
        memory,
        by_cells,
        seconds: seconds(sample, &timed) * if by_cells { COST_OF_CELLS } else { 1.0 },
    }
}

/// The bytes of the pages of an index of `rows` distinct vectors.
fn index_bytes(encoder: &Encoder, rows: u64) -> u64 {
    let Geometry {
        m, element, upper, ..
    } = encoder.frozen.geometry;
    let center = encoder.center.as_deref().unwrap_or_default();
    let center_pages = center.len().div_ceil(CENTER_VALUES) as u64;
    // One of m elements on a layer is on the next.
    let upper_lists = rows / (u64::from(m) - 1);
    let slot_pages =
        rows.div_ceil(element.per_page.into()) + upper_lists.div_ceil(upper.per_page.into());
    (1 + center_pages + slot_pages) * PAGE_SIZE as u64
}

/// The expected time of a build in memory.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn seconds(sample: &Sample, timed: &Timed) -> f64 {
    let rows = sample.rows as f64;
    let reading = sample.reading.as_secs_f64() / sample.values.len() as f64;
    let building = timed.building.as_secs_f64() / timed.rows as f64;
    // A build over leaves takes the same time for every row. An insertion searches: in a larger graph it takes more steps, each
    // with more cache misses. (117,132 vectors of 24 dimensions, and of 384 bits: twice the time for a row of 16,384.)
    let longer = match BuildCodes::of(&timed.encoder.codec).by_leaves() {
        true => 1.0,
        false => (rows.ln() / (timed.rows as f64).ln()).powi(2).max(1.0),
    };
    rows * (reading + building * longer)
}

/// Builds of parts of a sample.
struct Trial<'a> {
    workers: Workers,
    frozen: &'a Frozen,
    params: Params,
}

/// A timed build.
struct Timed {
    rows: usize,
    building: Duration,
    encoder: std::sync::Arc<Encoder>,
    allowance: Allowance,
}

impl Trial<'_> {
    /// Builds growing parts of a sample, while the next is expected to take no longer than `limit`; returns the last.
    fn run_within(&self, values: &[Value], limit: Duration) -> Timed {
        let mut rows = FIRST_PART.min(values.len());
        loop {
            let timed = self.run(&values[..rows]);
            let next = (rows * GROWTH).min(values.len());
            let growth = u32::try_from(next.div_ceil(rows)).expect("a small factor");
            if next == rows || timed.building * growth > limit {
                return timed;
            }
            rows = next;
        }
    }

    /// Encodes these values and builds their graph.
    fn run(&self, values: &[Value]) -> Timed {
        let own = allowance(&self.workers, self.frozen, self.params, usize::MAX);
        let needed = own.needed(
            values.len() as u64,
            &crate::storage::index::codec(self.frozen, None),
            &self.frozen.geometry,
        );
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        if !memory::can_allocate(needed) {
            error::out_of_memory(needed);
        }
        let begin = Instant::now();
        let mut feed = Feed::new(&self.workers, self.frozen, own);
        for (block, value) in (0..).zip(values) {
            feed.add(HeapTid { block, offset: 1 }, value.clone(), None);
        }
        let (loaded, encoder) = feed.finish();
        if let Loaded::InMemory(elements) = loaded {
            construct(&self.workers, self.params, elements, &encoder.codec, |_| {});
        }
        Timed {
            rows: values.len(),
            building: begin.elapsed(),
            encoder,
            allowance: own,
        }
    }
}
