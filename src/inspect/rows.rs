//! Checks the rows: each is in the index at most once, and every row to be indexed is in it.

use std::collections::HashMap;

use layout::{ElementPage, HeapTid, IndexMetric, OverflowPage, SlotState, VectorKind};

use super::findings::Findings;
use super::pages::Pages;
use super::survey::{row_key, row_of};
use crate::pg::heap::{IndexedValue, Table};
use crate::pg::open::OpenIndex;
use crate::pg::privilege::AsOwner;
use crate::pg::snapshot::Snapshot;
use crate::storage::metapage::METAPAGE;
use crate::types::indexed::{Kind, norm_of_indexed};

/// The maximum of suspicious rows to verify; if there are more, the others share the same damage.
const SUSPECTS: usize = 1000;

/// Sorts the rows, and reports rows present in the index twice.
pub(super) fn find_repeated(pages: &Pages<'_>, rows: &mut [u64], findings: &mut Findings) {
    rows.sort_unstable();
    let mut suspects: HashMap<u64, Option<(u32, u16)>> = HashMap::new();
    for pair in rows.windows(2) {
        if pair[0] == pair[1] && suspects.len() < SUSPECTS {
            suspects.insert(pair[0], None);
        }
    }
    if suspects.is_empty() {
        return;
    }
    // A row vacuumed in one slot and reinserted in another, while the pages were read, is found only once now.
    for block in METAPAGE + 1..pages.blocks {
        for (slot, tid) in rows_of(pages, block) {
            let Some(first) = suspects.get_mut(&row_key(tid)) else {
                continue;
            };
            let Some((other_block, other_slot)) = *first else {
                *first = Some((block, slot));
                continue;
            };
            let still_there = [(other_block, other_slot), (block, slot)]
                .iter()
                .all(|&(block, slot)| rows_of(pages, block).contains(&(slot, tid)));
            if still_there {
                let what = format!(
                    "row ({},{}) is also in slot {other_slot} of block {other_block}",
                    tid.block, tid.offset
                );
                findings.error((block, slot), what);
            }
        }
    }
}

/// Returns the rows of a page, each with its slot.
fn rows_of(pages: &Pages<'_>, block: u32) -> Vec<(u16, HeapTid)> {
    let Ok(Some(page)) = pages.copy(block) else {
        return Vec::new();
    };
    let mut rows = Vec::new();
    if let Ok(view) = ElementPage::view(&*page, pages.geometry()) {
        for number in 0..view.used() {
            let slot = view.slot(number).ok();
            let slot = slot.filter(|slot| slot.state() != SlotState::Free);
            rows.extend(
                slot.iter()
                    .flat_map(|slot| slot.heap_tids())
                    .map(|tid| (number, tid)),
            );
        }
    } else if let Ok(view) = OverflowPage::view(&*page, pages.geometry()) {
        for number in 0..view.used() {
            let slot = view.slot(number).ok().filter(layout::OverflowSlot::is_live);
            rows.extend(
                slot.iter()
                    .flat_map(|slot| slot.heap_tids())
                    .map(|tid| (number, tid)),
            );
        }
    }
    rows
}

/// Reports rows visible to the snapshot and missing from the index. The rows of the index are sorted, and were read after
/// the snapshot was taken: vacuum has removed no row visible to it.
pub(super) fn find_missing(
    open: &OpenIndex,
    frozen: &layout::Frozen,
    snapshot: &Snapshot,
    rows: &[u64],
    findings: &mut Findings,
) {
    let mut missing = Vec::new();
    let mut left_out = 0_usize;
    let owner = AsOwner::of(open.table);
    Table::of_index(open.table, open.index).scan_visible(snapshot, |tid, value| {
        let key = row_key(tid);
        if rows.binary_search(&key).is_err() && is_indexed(frozen, &value) {
            if missing.len() < SUSPECTS {
                missing.push(key);
            } else {
                left_out += 1;
            }
        }
    });
    owner.end();
    for tid in missing.into_iter().map(row_of) {
        let what = format!(
            "row ({},{}) of the table is not in the index",
            tid.block, tid.offset
        );
        findings.error(super::findings::Place::default(), what);
    }
    if left_out > 0 {
        let what = format!("nor are {left_out} further rows");
        findings.error(super::findings::Place::default(), what);
    }
}

/// True if the index includes a value: it leaves out zero vectors for cosine, since they have no direction.
fn is_indexed(frozen: &layout::Frozen, value: &IndexedValue) -> bool {
    if frozen.metric != IndexMetric::Cosine {
        return true;
    }
    let kind = match frozen.kind {
        VectorKind::F32 => Kind::Dense(distance::Kind::F32),
        VectorKind::F16 => Kind::Dense(distance::Kind::F16),
        VectorKind::Bit => Kind::Bit,
        VectorKind::Sparse => Kind::Sparse,
    };
    norm_of_indexed(kind, value) != 0.0
}
