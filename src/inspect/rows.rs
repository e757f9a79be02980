//! Checks the rows: each is in the index at most once, and every row to be indexed is in it.

use std::collections::HashMap;

use layout::{ElementPage, HeapTid, Metric, OverflowPage, SlotState, VectorKind};

use super::entries;
use super::findings::{Findings, Location};
use super::pages::Pages;
use super::survey::Survey;
use crate::keys::{self, KeyColumns};
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

/// Reports rows visible to the snapshot and missing from the index, or from its filter pages, or there with other keys. Rows and
/// entries are sorted, and were read after the snapshot was taken: vacuum has removed no row visible to it.
pub(super) fn find_missing(
    open: &OpenIndex,
    frozen: &layout::Frozen,
    snapshot: &Snapshot,
    survey: &Survey,
    findings: &mut Findings,
) {
    let keys = frozen.geometry.keys.map(|_| KeyColumns::of(open.index));
    let mut row_key = Vec::new();
    let mut flaws = Vec::new();
    let mut left_out = 0_usize;
    let owner = AsOwner::of(open.table);
    let column = keys::vector_column(open.index);
    Table::of_index(open.table, open.index, column).scan_visible(snapshot, |tid, row| {
        let flaw = if survey.rows.binary_search(&tid.key()).is_err() {
            Some("is not in the index")
        } else {
            keys.as_ref().and_then(|keys| {
                row_key.clear();
                keys.row_key(row, &mut row_key);
                match entries::find(&survey.entries, tid) {
                    None => Some("is not in the filter pages of the index"),
                    Some(entry) if entry.key != entries::fingerprint(&row_key) => {
                        Some("has other keys in the filter pages of the index")
                    }
                    Some(_) => None,
                }
            })
        };
        if let Some(flaw) = flaw.filter(|_| is_indexed(frozen, row)) {
            if flaws.len() < SUSPECTS {
                flaws.push((tid, flaw));
            } else {
                left_out += 1;
            }
        }
    });
    owner.end();
    for (tid, flaw) in flaws {
        let what = format!("row ({},{}) of the table {flaw}", tid.block, tid.offset);
        findings.error(Location::default(), what);
    }
    if left_out > 0 {
        let what = format!("nor are {left_out} further rows");
        findings.error(Location::default(), what);
    }
}

/// True if the index includes a row: it leaves out NULL, and for cosine zero vectors, since they have no direction.
fn is_indexed(frozen: &layout::Frozen, row: IndexRow<'_>) -> bool {
    if frozen.metric != Metric::Cosine {
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
