//! Finds the slacks of target recalls from a sample of an index's elements, and stores them in the metapage.

use hnsw::{Calibrator, ElementId};
use layout::{Calibrated, ElementPage, PageKind, special};

use super::buffer::{Access, Page};
use super::index::Index;
use super::metapage::{Locked, METAPAGE};
use crate::error;
use crate::pg::interrupt;

/// Indexes of fewer elements are not calibrated by their builds: their searches see most of them anyway.
const FEWEST: u64 = 2000;

/// The elements sampled by a build: one of this many, within limits.
const ONE_OF: u64 = 50;
const SAMPLED: (usize, usize) = (40, 200);

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

/// Calibrates an index by about so many of its elements, and returns the result; `None` if it has too few.
fn calibrate(index: &Index, elements: usize) -> Option<Calibrated> {
    let mut calibrator = Calibrator::default();
    for (element, code) in sample(index, elements) {
        interrupt::check();
        let query = index.codec().query_from_code(&code);
        if query.unit().is_some() {
            // Scans by inner product do not use slacks.
            return None;
        }
        let mut graph = index.graph();
        if !calibrator.add(&mut graph, &query, None, element) {
            error::out_of_memory(calibrator.memory());
        }
    }
    finish(index, calibrator)
}

/// Stores what a calibrator has found, and returns it.
pub(crate) fn finish(index: &Index, calibrator: Calibrator) -> Option<Calibrated> {
    let sampled = calibrator.sampled();
    let calibrated = calibrator.finish().map(|calibration| Calibrated {
        calibration,
        blocks: index.relation().blocks(),
        elements: sampled,
    });
    if calibrated.is_some() {
        let mut metapage = Locked::acquire(index.relation());
        metapage.contents.calibrated = calibrated;
        metapage.commit();
    }
    calibrated
}

/// Live elements with their codes, up to so many, spread evenly over the pages of the index.
fn sample(index: &Index, elements: usize) -> Vec<(ElementId, Vec<u8>)> {
    let blocks = u64::from(index.relation().blocks());
    let mut sample: Vec<(ElementId, Vec<u8>)> = Vec::with_capacity(elements);
    for number in 0..elements as u64 {
        interrupt::check();
        let block = u64::from(METAPAGE) + 1 + number * (blocks - 1) / elements as u64;
        let Some(block) = u32::try_from(block)
            .ok()
            .filter(|&block| u64::from(block) < blocks)
        else {
            continue;
        };
        let found = read_one(index, block, number);
        sample.extend(found.filter(|found| sample.iter().all(|other| other.0 != found.0)));
    }
    sample
}

/// A live element of a page, by a number; `None` if the page has none.
fn read_one(index: &Index, block: u32, number: u64) -> Option<(ElementId, Vec<u8>)> {
    let geometry = index.geometry();
    let page = Page::lock(index.relation(), block, Access::Share);
    if special(page.bytes()).and_then(|special| special.kind()) != Ok(PageKind::Element) {
        return None;
    }
    let view = index.expect(block, ElementPage::view(page.bytes(), geometry));
    let used = view.used();
    // Spreads over the slots: the golden ratio of 16 bits.
    let first = number.wrapping_mul(40_503) % u64::from(used.max(1));
    (0..used).find_map(|slot| {
        let slot = u16::try_from((first + u64::from(slot)) % u64::from(used)).ok()?;
        let element = index.expect(block, view.slot(slot));
        let id: ElementId = geometry.element.join(block, slot)?;
        element.is_live().then(|| (id, element.code().to_vec()))
    })
}
