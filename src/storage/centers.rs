//! The centers of an index on their pages: what its codes leave out. A build finds the first; later ones are learned (`learn.rs`).
//!
//! A center is never changed, so a backend keeps those that it has read.

use layout::{CenterPage, Corrupt, Frozen};
use quantize::Codecs;

use super::buffer::{Access, Page};
use super::damage::corrupt;
use super::metapage::METAPAGE;
use crate::pg::Relation;

/// Reads a center from its chain of pages; returns the page that follows it too.
pub(super) fn read(relation: Relation, first: u32, dimensions: usize) -> (Vec<f32>, Option<u32>) {
    let mut center = Vec::with_capacity(dimensions);
    let mut next = Some(first);
    while let Some(block) = next.filter(|_| center.len() < dimensions) {
        if block >= relation.blocks() {
            corrupt(relation, block, Corrupt::NoSuchBlock(block));
        }
        let page = Page::lock(relation, block, Access::Share);
        let view =
            CenterPage::view(page.bytes()).unwrap_or_else(|what| corrupt(relation, block, what));
        center.extend(view.values());
        next = view.next();
    }
    if center.len() != dimensions {
        let found = u32::try_from(center.len()).unwrap_or(u32::MAX);
        corrupt(relation, first, Corrupt::Dimensions(found));
    }
    (center, next)
}

/// Reads the centers learned after a known one, and adds them. Their chain begins with the last.
pub(super) fn follow(
    relation: Relation,
    frozen: &Frozen,
    codecs: &mut Codecs,
    learned: Option<u32>,
    known: Option<u32>,
) {
    let mut centers = Vec::new();
    let mut next = learned;
    while let Some(block) = next.filter(|_| next != known) {
        if codecs.len() + centers.len() == Codecs::MOST {
            corrupt(relation, block, Corrupt::EndlessCenters);
        }
        let (center, after) = read(relation, block, frozen.dimensions as usize);
        centers.push(center);
        next = after;
    }
    if next != known {
        corrupt(relation, METAPAGE, Corrupt::EndlessCenters);
    }
    for center in centers.iter().rev() {
        codecs.add(center);
    }
}
