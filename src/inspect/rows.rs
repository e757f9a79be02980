//! Checks the rows: each is in the index at most once, and every row to be indexed is in it.

use std::collections::HashMap;

use layout::{ElementPage, HeapTid, IndexMetric, OverflowPage, SlotState, VectorKind};

use super::findings::{Findings, Location};
use super::pages::Pages;
use super::survey::{Survey, row_of};
use crate::keys;
use crate::pg::open::OpenIndex;
use crate::pg::privilege::AsOwner;
use crate::pg::row::IndexRow;
use crate::pg::snapshot::Snapshot;
use crate::storage::metapage::METAPAGE;
use crate::table::scan::Table;
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
            let Some(first) = suspects.get_mut(&tid.key()) else {
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

/// Reports rows with two entries in filter pages, and sorts the entries.
pub(super) fn find_repeated_entries(entries: &mut [u64], findings: &mut Findings) {
    entries.sort_unstable();
    for twice in entries.windows(2).filter(|pair| pair[0] == pair[1]) {
        let tid = row_of(twice[0]);
        let what = format!("row ({},{}) has two entries", tid.block, tid.offset);
        findings.error(Location::default(), what);
    }
}

/// Reports rows visible to the snapshot and missing from the index, or from its filter pages. The rows of the index are sorted,
/// and were read after the snapshot was taken: vacuum has removed no row visible to it.
pub(super) fn find_missing(
    open: &OpenIndex,
    frozen: &layout::Frozen,
    snapshot: &Snapshot,
    survey: &Survey,
    findings: &mut Findings,
) {
    let is_keyed = frozen.geometry.keys.is_some();
    let is_in = |rows: &[u64], key| rows.binary_search(&key).is_ok();
    let mut missing = Vec::new();
    let mut left_out = 0_usize;
    let owner = AsOwner::of(open.table);
    let column = keys::vector_column(open.index);
    Table::of_index(open.table, open.index, column).scan_visible(snapshot, |tid, row| {
        let key = tid.key();
        let is_complete = is_in(&survey.rows, key) && (!is_keyed || is_in(&survey.entries, key));
        if !is_complete && is_indexed(frozen, row) {
            if missing.len() < SUSPECTS {
                missing.push(key);
            } else {
                left_out += 1;
            }
        }
    });
    owner.end();
    for key in missing {
        let tid = row_of(key);
        let part = match is_in(&survey.rows, key) {
            true => "the filter pages of the index",
            false => "the index",
        };
        let what = format!(
            "row ({},{}) of the table is not in {part}",
            tid.block, tid.offset
        );
        findings.error(Location::default(), what);
    }
    if left_out > 0 {
        let what = format!("nor are {left_out} further rows");
        findings.error(Location::default(), what);
    }
}

/// True if the index includes a row: it leaves out NULL, and for cosine zero vectors, since they have no direction.
fn is_indexed(frozen: &layout::Frozen, row: IndexRow<'_>) -> bool {
    if frozen.metric != IndexMetric::Cosine {
        return row.vector().is_some();
    }
    let kind = match frozen.kind {
        VectorKind::F32 => Kind::Dense(distance::Kind::F32),
        VectorKind::F16 => Kind::Dense(distance::Kind::F16),
        VectorKind::Bit => Kind::Bit,
        VectorKind::Sparse => Kind::Sparse,
    };
    norm_of_indexed(kind, row).is_some_and(|norm| norm != 0.0)
}
