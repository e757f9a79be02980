//! Passes over all element pages of an index, in the order of its blocks.

use hnsw::ElementId;
use layout::{Corrupt, ElementPage, SlotState, StoredCode};
use quantize::{Codecs, Coded};

use super::buffer::Access;
use super::index::Index;
use super::locked::{AnyPage, Elements, LockedPage};
use super::metapage::METAPAGE;
use crate::error;
use crate::pg::interrupt;
use crate::pg::strategy::Strategy;

/// The number of live elements of each block, a sum over all blocks before it and itself.
pub(crate) struct Live(Vec<u64>);

impl Live {
    /// The live elements of the index.
    pub(crate) fn count(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }
}

/// Counts the live elements.
pub(crate) fn count(index: &Index) -> Live {
    let mut sums: Vec<u64> = Vec::new();
    let blocks = index.relation().blocks() as usize;
    if sums.try_reserve_exact(blocks).is_err() {
        error::out_of_memory(blocks * size_of::<u64>());
    }
    let mut sum = 0;
    each_page(index, blocks, |block, page| {
        sums.resize(block as usize, sum);
        sum += live(page)?.count() as u64;
        sums.push(sum);
        Ok(())
    });
    Live(sums)
}

/// For each of the chosen live elements, counted from 0 in ascending order, the element of this number and those that follow
/// it on its page. The pages may have changed since they were counted.
pub(crate) fn elements(
    index: &Index,
    counted: &Live,
    chosen: impl Iterator<Item = u64>,
) -> impl Iterator<Item = Vec<ElementId>> {
    chosen.map(|number| {
        interrupt::check();
        let at = counted.0.partition_point(|&sum| sum <= number);
        let before = at.checked_sub(1).map_or(0, |before| counted.0[before]);
        let block = u32::try_from(at).expect("a block number");
        let page = LockedPage::<Elements>::lock(index, block, Access::Share).copy();
        let slots: Vec<u16> = page.read(|page| Ok(live(&page)?.collect()));
        let skipped = usize::try_from(number - before).expect("few slots");
        let slots = slots.iter().skip(skipped);
        slots
            .filter_map(|&slot| index.geometry().element.join(block, slot))
            .collect()
    })
}

/// Calls `each` with every element and its code, page by page: the codes of one page together, with codecs for their centers.
pub(crate) fn each_code_page(
    index: &Index,
    mut each: impl FnMut(&Codecs, &[(ElementId, Coded<'_>)]),
) {
    let blocks = index.relation().blocks() as usize;
    let mut codecs = index.codecs();
    each_page(index, blocks, |block, page| {
        let mut codes = Vec::with_capacity(page.used().into());
        for slot in live(page)? {
            let StoredCode { center, bytes, .. } = page.code(slot)?;
            if let Some(element) = index.geometry().element.join(block, slot) {
                if codecs.get(center).is_none() {
                    index.know(element, center);
                    codecs = index.codecs();
                }
                codes.push((element, Coded { center, bytes }));
            }
        }
        each(&codecs, &codes);
        Ok(())
    });
}

/// The slots of the live elements on a page.
fn live<'a>(page: &'a ElementPage<'a>) -> Result<impl Iterator<Item = u16> + 'a, Corrupt> {
    // An unknown state is damage, on every page.
    for slot in 0..page.used() {
        page.code(slot)?;
    }
    let is_live = |&slot: &u16| {
        page.code(slot)
            .is_ok_and(|code| code.state == SlotState::Live)
    };
    Ok((0..page.used()).filter(is_live))
}

/// Calls `each` with a copy of every element page below `blocks`: no lock is held meanwhile.
fn each_page(
    index: &Index,
    blocks: usize,
    mut each: impl FnMut(u32, &ElementPage<'_>) -> Result<(), Corrupt>,
) {
    for block in METAPAGE + 1..u32::try_from(blocks).expect("a count of blocks") {
        interrupt::check();
        let page = AnyPage::lock_by(Strategy::NONE, index, block);
        if let Some(page) = page.and_then(AnyPage::of_kind::<Elements>) {
            page.copy().read(|page| each(block, &page));
        }
    }
}
