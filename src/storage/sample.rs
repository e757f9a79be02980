//! A sample of an index's live elements.

use hnsw::ElementId;
use quantize::Coded;

use super::index::Index;
use super::locked::{AnyPage, Elements};
use super::metapage::METAPAGE;
use crate::pg::interrupt;
use crate::pg::strategy::Strategy;

/// A live element with its code, of a known center.
pub(super) struct Sampled {
    pub(super) element: ElementId,
    center: u8,
    code: Vec<u8>,
}

impl Sampled {
    pub(super) fn coded(&self) -> Coded<'_> {
        Coded {
            center: self.center,
            bytes: &self.code,
        }
    }
}

/// Live elements with their codes, up to a number; any number of the first are spread evenly over the pages of the index.
pub(super) fn elements(index: &Index, elements: usize) -> Vec<Sampled> {
    let blocks = index.relation().blocks();
    let mut sample: Vec<Sampled> = Vec::with_capacity(elements);
    for number in 0..elements as u64 {
        interrupt::check();
        let Some(block) = block(number, blocks) else {
            continue;
        };
        let found = read_one(index, block, number);
        let is_new = |found: &Sampled| sample.iter().all(|other| other.element != found.element);
        sample.extend(found.filter(is_new));
    }
    for sampled in &sample {
        index.know(sampled.element, sampled.center);
    }
    sample
}

/// The block of an index with so many for a number; `None` beyond the last.
pub(crate) fn block(number: u64, blocks: u32) -> Option<u32> {
    // Multiples of the golden ratio, of which the fraction counts.
    let fraction = number.wrapping_mul(0x9E37_79B9) & u64::from(u32::MAX);
    let others = u64::from(blocks.saturating_sub(1));
    let block = u32::try_from(u64::from(METAPAGE) + 1 + ((fraction * others) >> 32)).ok()?;
    (block < blocks).then_some(block)
}

/// The first slot to look at for a number, in a page that has used so many.
pub(crate) fn slot(number: u64, used: u16) -> u16 {
    // Spreads over the slots: the golden ratio of 16 bits.
    let slot = number.wrapping_mul(40_503) % u64::from(used.max(1));
    u16::try_from(slot).expect("below a count of slots")
}

/// A live element of a page, by a number; `None` if the page has none.
fn read_one(index: &Index, block: u32, number: u64) -> Option<Sampled> {
    let page = AnyPage::lock_by(Strategy::NONE, index, block)?;
    page.of_kind::<Elements>()?.read(|page| {
        let used = page.used();
        let first = slot(number, used);
        for slot in (first..used).chain(0..first) {
            let element = page.slot(slot)?;
            let id = index.geometry().element.join(block, slot);
            if let Some(id) = id.filter(|_| element.is_live()) {
                return Ok(Some(Sampled {
                    element: id,
                    center: element.center(),
                    code: element.code().to_vec(),
                }));
            }
        }
        Ok(None)
    })
}
