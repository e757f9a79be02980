//! Finds the slacks of target recalls from a sample of an index's elements, and stores them in the metapage.

use hnsw::{Calibrator, Candidate, ElementId, FIRST, Level, NEIGHBORS, Store};
use layout::Calibrated;
use quantize::CenteredQuery;

use super::codes::Codes;
use super::index::Index;
use super::metapage::{self, Locked};
use super::page_graph::PageGraph;
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
const DEEP: usize = 4;

/// A calibration ends early, but with no fewer elements than `LEAST`, once it has estimated this many distances for each
/// element of the index, and so many at least: a build estimates some 500 for each.
const EVALUATIONS_EACH: u64 = 10;
const EVALUATIONS: u64 = 1_000_000;

/// A calibration is old once the index has grown by one in this many of its blocks, or lost one in this many of its rows.
const CHANGED: u32 = 3;

/// Calibrates an index just built, if it is not small. The same index has the same calibration.
pub(crate) fn after_build(index: &Index) {
    if index.most_elements() >= FEWEST {
        again(index);
    }
}

/// Calibrates an index by some of its elements, as its build did or would have done.
pub(crate) fn again(index: &Index) -> Option<Calibrated> {
    let share = usize::try_from(index.most_elements() / ONE_OF).unwrap_or(usize::MAX);
    calibrate(index, share.clamp(SAMPLED.0, SAMPLED.1))
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

/// Calibrates an index by about this number of its elements, and returns the result; `None` if it has too few.
fn calibrate(index: &Index, elements: usize) -> Option<Calibrated> {
    memory::reserve(Reserve::Large);
    let mut calibrator = Calibrator::default();
    let most = EVALUATIONS.max(EVALUATIONS_EACH * index.most_elements());
    for (number, sampled) in sample::elements(index, elements).iter().enumerate() {
        interrupt::check();
        if number >= LEAST && calibrator.evaluations() >= most {
            break;
        }
        let (codecs, element) = (index.codecs(), sampled.element);
        let query = codecs.query_from_code(sampled.coded()).into_owned();
        let unit = query.unit(&codecs);
        let mut graph = Without::new(index.graph(), element);
        let count = if number.is_multiple_of(DEEP) {
            NEIGHBORS
        } else {
            FIRST
        };
        if !calibrator.add(&mut graph, &query, unit, (element, count)) {
            error::out_of_memory(calibrator.memory());
        }
    }
    finish(index, calibrator, false)
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

/// A graph without one of its elements, as a query from elsewhere meets it. A list of layer 0 that names the element has one of
/// its neighbors instead, the nearest to the list's owner, and one list in three has two: about as many as the element has kept
/// out of the list. With none a target of .90 is exceeded by .05, with two it is missed by .02 (docs/design.md).
struct Without<'a> {
    graph: PageGraph<'a>,
    element: ElementId,
    /// Its neighbors, with their codes.
    own: Vec<ElementId>,
    codes: Codes,
}

impl<'a> Without<'a> {
    fn new(mut graph: PageGraph<'a>, element: ElementId) -> Self {
        let mut own = Vec::new();
        graph.neighbors(element, 0, &mut own);
        let codes = Codes::read(&mut graph, &own);
        Self {
            graph,
            element,
            own,
            codes,
        }
    }

    /// Completes an element's list, from which the one left out was taken.
    fn complete(&mut self, of: ElementId, list: &mut Vec<ElementId>) {
        let Some(base) = Codes::read(&mut self.graph, &[of]).query(of) else {
            return;
        };
        let others = self.own.iter().copied();
        let others = others.filter(|other| *other != of && !list.contains(other));
        let nearest = self.codes.nearest(&base, others);
        let count = 1 + usize::from((of.0 ^ self.element.0).is_multiple_of(3));
        list.extend(nearest.into_iter().take(count));
    }
}

impl Store for Without<'_> {
    type Query = CenteredQuery<'static>;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point()
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        self.graph.neighbors(of, level, into);
        let before = into.len();
        into.retain(|&neighbor| neighbor != self.element);
        if into.len() < before && level == 0 && of != self.element {
            self.complete(of, into);
        }
    }

    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        if elements != [self.element] {
            self.graph.estimate(query, elements, into);
        }
    }

    fn prepare(&mut self, next: ElementId) {
        self.graph.prepare(next);
    }
}
