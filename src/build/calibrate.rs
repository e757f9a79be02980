//! Calibrates the graph of a build in its threads, from memory: with the same result as `storage::calibrate` would have from the
//! pages just written, for any number of threads.

use std::collections::HashSet;
use std::sync::Arc;

use hnsw::build::{Stopped, Watch};
use hnsw::{
    BATCH, Calibrator, Candidate, Compare, ElementId, Level, MemoryGraph, Store, Trace, Tracer,
    max_neighbors,
};
use quantize::{Codec, Query};
use rayon::prelude::*;

use super::Build;
use super::feed::Elements;
use super::format::to_u32;
use super::measured::Measured;
use crate::error;
use crate::pg::setting;
use crate::storage::calibrate::{Plan, neighbors_of};
use crate::storage::sample;

/// A graph whose pages are written.
pub(super) struct Written {
    pub(super) elements: Elements,
    pub(super) graph: MemoryGraph,
    /// The position of each element in page order.
    pub(super) places: Vec<u32>,
    /// The first page of elements.
    pub(super) first_block: u32,
}

impl Build<'_> {
    /// Measures the needs of sampled elements; `None` for an index that is not calibrated.
    pub(super) fn calibrate(&self, written: Written, codec: &Codec) -> Option<Calibrator> {
        let blocks = self.index.blocks();
        let plan = Plan::of_build(blocks, &self.frozen.geometry)?;
        let sample = self.sample(&written, &plan, blocks);
        let (codec, m) = (codec.clone(), self.params.m);
        let watch = Arc::clone(self.workers.watch());
        let pending = self.workers.submit(move || {
            let graph = Placed {
                vectors: Measured::new(
                    &codec,
                    &written.elements.codes,
                    Some(written.graph.order()),
                ),
                graph: &written.graph,
                places: &written.places,
                m,
            };
            trace(graph, &sample, &plan, &watch)
        });
        match self.workers.wait(&pending, || {}) {
            Ok(calibrator) => Some(calibrator),
            Err(Stopped::OutOfMemory) => error::out_of_memory(setting::maintenance_work_mem()),
            Err(Stopped::Cancelled) => error::build_failed("it was interrupted"),
        }
    }

    /// The positions of the elements that a sample of the pages has.
    fn sample(&self, written: &Written, plan: &Plan, blocks: u32) -> Vec<u32> {
        let per_page = u32::from(self.frozen.geometry.element.per_page);
        let count = to_u32(written.elements.len());
        let place = |number| {
            let page = sample::block(number, blocks)?.checked_sub(written.first_block)?;
            let first = page.checked_mul(per_page).filter(|&first| first < count)?;
            let used = u16::try_from((count - first).min(per_page)).ok()?;
            Some(first + u32::from(sample::slot(number, used)))
        };
        let mut seen = HashSet::new();
        let places = (0..plan.elements as u64).filter_map(place);
        places.filter(|&place| seen.insert(place)).collect()
    }
}

/// Traces the sampled elements, those of a batch side by side. Runs in the pool.
fn trace(
    graph: Placed<'_>,
    sample: &[u32],
    plan: &Plan,
    watch: &Watch,
) -> Result<Calibrator, Stopped> {
    let mut calibrator = Calibrator::default();
    for (batch, places) in (0..).zip(sample.chunks(BATCH)) {
        let first = batch * BATCH;
        if plan.is_enough(first, &calibrator) {
            break;
        }
        let traces: Result<Vec<Trace>, Stopped> = places
            .par_iter()
            .enumerate()
            .map_init(Tracer::default, |tracer, (at, &place)| {
                watch.check()?;
                let count = neighbors_of(first + at);
                let (query, distances) = (graph.query(place), calibrator.distances(count));
                let traced = (ElementId(place), count);
                let trace = tracer.trace(&mut { graph }, &query, query.unit(), traced, distances);
                trace.ok_or(Stopped::OutOfMemory)
            })
            .collect();
        traces?.iter().for_each(|trace| calibrator.add(trace));
    }
    Ok(calibrator)
}

/// A graph in memory. Its elements go by their positions in page order, so that of two equally near ones the same is the nearer as
/// on pages.
#[derive(Clone, Copy)]
struct Placed<'a> {
    graph: &'a MemoryGraph,
    places: &'a [u32],
    /// The codes, by position.
    vectors: Measured<'a>,
    m: usize,
}

impl Placed<'_> {
    fn query(&self, place: u32) -> Query {
        hnsw::build::Vectors::base(&self.vectors, place)
    }
}

impl Store for Placed<'_> {
    type Query = Query;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        let (element, level) = self.graph.entry_point()?;
        Some((ElementId(self.places[element.0 as usize]), level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        let element = ElementId(self.graph.order()[of.0 as usize]);
        let neighbors = self.graph.neighbors(element, level).iter();
        into.extend(neighbors.map(|&neighbor| ElementId(self.places[neighbor as usize])));
    }

    fn estimate(&mut self, query: &Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        into.extend(elements.iter().map(|&element| {
            let (distance, error) = query.estimate(self.vectors.code(element.0));
            Candidate {
                distance,
                error,
                element,
                live: true,
            }
        }));
    }
}

impl<'a> Compare for Placed<'a> {
    type Vectors = Measured<'a>;

    fn capacity(&self, level: Level) -> usize {
        max_neighbors(self.m, level)
    }

    fn vectors(&mut self, _elements: &[ElementId]) -> Measured<'a> {
        self.vectors
    }
}
