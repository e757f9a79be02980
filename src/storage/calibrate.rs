//! Finds the slacks of target recalls from a sample of an index's elements, and stores them in the metapage.

use hnsw::{BATCH, Calibrator, FIRST, NEIGHBORS, Tracer};
use layout::{Calibrated, Geometry};

use super::index::Index;
use super::metapage::{self, Locked};
use super::sample;
use crate::error;
use crate::pg::memory::{self, Reserve};
use crate::pg::{Relation, interrupt};

/// Indexes of fewer elements are not calibrated by their builds: their searches see most of them anyway.
const FEWEST: u64 = 2000;

/// The elements sampled by a build: one of this many, within limits. Queries are no fewer.
const ONE_OF: u64 = 20;
const SAMPLED: (usize, usize) = (LEAST, 600);
pub(crate) const LEAST: usize = 40;

/// One of this many sampled elements is traced for all the bands of ranks, the others for the first ten.
const DEEP: usize = 5;

/// A calibration ends early, but with no fewer elements than `LEAST`, once it has estimated this many distances for each
/// element of the index, and so many at least: a build estimates some 500 for each. The least is a fifth of a second, for small
/// indexes where searches take thousands; elsewhere the number of elements ends it first.
const EVALUATIONS_EACH: u64 = 10;
const EVALUATIONS: u64 = 2_500_000;

/// A calibration is old once the index has grown by one in this many of its blocks, or lost one in this many of its rows.
const CHANGED: u32 = 3;

/// How a calibration samples an index.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The elements to trace.
    pub(crate) elements: usize,
    /// The distances after which it ends.
    most: u64,
}

impl Plan {
    /// For an index with room for this many elements.
    fn new(most_elements: u64) -> Self {
        let share = usize::try_from(most_elements / ONE_OF).unwrap_or(usize::MAX);
        Self {
            elements: share.clamp(SAMPLED.0, SAMPLED.1),
            most: EVALUATIONS.max(EVALUATIONS_EACH * most_elements),
        }
    }

    /// For an index just built, of so many blocks; `None` if it is small.
    pub(crate) fn of_build(blocks: u32, geometry: &Geometry) -> Option<Self> {
        let most_elements = u64::from(blocks) * u64::from(geometry.element.per_page);
        (most_elements >= FEWEST).then(|| Self::new(most_elements))
    }

    /// True if a calibration ends before a batch of traces, by those before it.
    pub(crate) fn is_enough(&self, traced: usize, calibrator: &Calibrator) -> bool {
        traced >= LEAST && calibrator.evaluations() >= self.most
    }
}

/// Calibrates an index just built, if it is not small. The same index has the same calibration.
pub(crate) fn after_build(index: &Index) {
    if index.most_elements() >= FEWEST {
        again(index);
    }
}

/// Calibrates an index by some of its elements, as its build did or would have done; `None` if it has too few.
pub(crate) fn again(index: &Index) -> Option<Calibrated> {
    memory::reserve(Reserve::Large);
    let plan = Plan::new(index.most_elements());
    let (mut calibrator, mut tracer) = (Calibrator::default(), Tracer::default());
    let sample = sample::elements(index, plan.elements);
    for (number, sampled) in sample.iter().enumerate() {
        interrupt::check();
        if number.is_multiple_of(BATCH) && plan.is_enough(number, &calibrator) {
            break;
        }
        let codecs = index.codecs();
        let query = codecs.query_from_code(sampled.coded()).into_owned();
        let count = neighbors_of(number);
        let trace = tracer.trace(
            &mut index.graph(),
            &query,
            query.unit(&codecs),
            (sampled.element, count),
            calibrator.distances(count),
        );
        let trace = trace.unwrap_or_else(|| error::out_of_memory(tracer.memory()));
        calibrator.add(&trace);
    }
    finish(index, calibrator, false)
}

/// Calibrates an index again if its calibration is old, after a vacuum that has removed rows; or for the first time if it
/// was small before. One by a user's queries stays: rows are no substitute for them. Otherwise reads the metapage, and writes
/// it only to count rows. Vacuum passes over an index of pgvector's as long as it finds no dead rows, and so does this.
pub(crate) fn after_vacuum(relation: Relation, removed: u64, open: impl FnOnce() -> Index) {
    let Some(metapage) = metapage::try_read(relation) else {
        return;
    };
    let Some(mut calibrated) = metapage.calibrated else {
        after_build(&open());
        return;
    };
    let removed = u32::try_from(removed).unwrap_or(u32::MAX);
    calibrated.removed = calibrated.removed.saturating_add(removed);
    if is_old(&calibrated, relation.blocks()) && !calibrated.by_queries {
        after_build(&open());
    } else if removed > 0 {
        let mut metapage = Locked::acquire(relation);
        if let Some(stored) = &mut metapage.contents.calibrated {
            stored.removed = calibrated.removed;
        }
        metapage.commit();
    }
}

/// True if an index has changed so much since its calibration that a target needs a margin.
pub(crate) fn is_old(calibrated: &Calibrated, blocks: u32) -> bool {
    blocks.saturating_sub(calibrated.blocks) > calibrated.blocks / CHANGED
        || calibrated.removed > calibrated.most / CHANGED
}

/// The neighbors traced for the sampled element of a number.
pub(crate) fn neighbors_of(number: usize) -> usize {
    if number.is_multiple_of(DEEP) {
        NEIGHBORS
    } else {
        FIRST
    }
}

/// Stores what a calibrator has found, and returns it.
pub(crate) fn finish(
    index: &Index,
    calibrator: Calibrator,
    by_queries: bool,
) -> Option<Calibrated> {
    let sampled = calibrator.sampled();
    let calibrated = calibrator.finish().map(|calibration| Calibrated {
        calibration,
        blocks: index.relation().blocks(),
        elements: sampled,
        by_queries,
        most: u32::try_from(index.most_elements()).unwrap_or(u32::MAX),
        removed: 0,
    });
    if calibrated.is_some() {
        let mut metapage = Locked::acquire(index.relation());
        metapage.contents.calibrated = calibrated;
        metapage.commit();
    }
    calibrated
}
