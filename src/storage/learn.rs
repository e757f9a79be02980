//! Learns centers while an index grows.
//!
//! An element names the center of its code, and keeps both for its life. So any mixture of codes is valid, and nothing is encoded
//! anew. A search that meets a number it does not know reads the centers learned since (`Index::know`).

use layout::{CENTER_VALUES, Metapage};
use pgrx::pg_sys::ForkNumber::MAIN_FORKNUM;
use quantize::{Codecs, Value};

use super::buffer::Page;
use super::index::Index;
use super::metapage::{self, Locked};
use super::record::Record;
use super::sample::{self, Sampled};

/// An index looks for a center each time it has grown so many times.
const GROWTH: u64 = 2;

/// The elements sampled for a center.
const SAMPLED: usize = 512;

/// The most dimensions of a center that is learned: a record changes four pages, the metapage among them.
const MOST: usize = 3 * CENTER_VALUES;

fn may_learn(index: &Index) -> bool {
    let codecs = index.codecs();
    codecs.may_learn() && codecs.first().dimensions() <= MOST
}

/// Makes the first row of an empty index its first center: whatever all rows have in common, it has too. The caller alone inserts.
pub(super) fn first(index: &Index, value: &Value) {
    let Some(vector) = value.dense().filter(|_| may_learn(index)) else {
        return;
    };
    let metapage = metapage::read(index.relation());
    let has_center = metapage.frozen.center_block.is_some() || metapage.learned.is_some();
    if metapage.entry_point.is_none() && !has_center && vector.iter().any(|&x| x != 0.0) {
        add(index, &metapage, vector, 0);
    }
}

/// Looks for a better center if the index has grown, after an insert that has added a page of elements.
pub(super) fn again(index: &Index) {
    if !may_learn(index) {
        return;
    }
    let metapage = metapage::read(index.relation());
    let room = index.most_elements();
    let before = u64::from(metapage.looked_at).max(metapage.frozen.built_elements);
    if room < GROWTH * before {
        return;
    }
    index.follow(metapage.learned);
    let sample = sample::elements(index, SAMPLED);
    if sample.len() < Codecs::FEWEST {
        return;
    }
    let codecs = index.codecs();
    let codes = sample.iter().map(Sampled::coded);
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    match codecs.learn(codes) {
        Some(center) => add(index, &metapage, &center, room),
        None => {
            if let Some(mut metapage) = unchanged(index, &metapage) {
                metapage.contents.looked_at = room;
                metapage.commit();
            }
        }
    }
}

/// The metapage, unless another insert has learned since it was read.
fn unchanged(index: &Index, read: &Metapage) -> Option<Locked> {
    let now = Locked::acquire(index.relation());
    let seen = (read.learned, read.looked_at);
    (seen == (now.contents.learned, now.contents.looked_at)).then_some(now)
}

/// Adds a center to the chain, unless another insert has learned since the metapage was read.
fn add(index: &Index, read: &Metapage, center: &[f32], room: u32) {
    let relation = index.relation();
    let Some(mut metapage) = unchanged(index, read) else {
        return;
    };
    // Nobody waits for the metapage while adding a page to the index.
    let parts = center.chunks(CENTER_VALUES);
    let parts: Vec<_> = parts
        .map(|values| (Page::extend(relation, MAIN_FORKNUM), values))
        .collect();
    let mut record = Record::begin(relation);
    let mut next = read.learned;
    for (page, values) in parts.iter().rev() {
        let image = record.new_page(page);
        layout::init_center_page(record.bytes(image), values, next);
        next = Some(page.block());
    }
    metapage.contents.learned = next;
    metapage.contents.looked_at = room;
    metapage.write(&mut record);
    record.commit();
    drop((parts, metapage));
    index.catch_up();
}
