//! Checks the entries of filter pages: the chain of the pages, the elements that hold the rows, and the keys.

use std::collections::{HashMap, HashSet};

use filter::image;
use hnsw::ElementId;
use layout::{Corrupt, FilterPage, HeapTid, Metapage, SlotState};

use super::findings::{Findings, Location, location_of};
use super::pages::{Pages, is_wrong_link, try_copy};
use crate::storage::metapage::METAPAGE;

/// The maximum of suspicious rows to verify; if there are more, the others share the same damage.
const SUSPECTS: usize = 1000;

/// The maximum of overflow slots followed to find a row again.
const MOST_SLOTS: usize = 1 << 20;

/// An entry of a filter page.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) tid: HeapTid,
    pub(super) element: ElementId,
    /// The fingerprint of its row key.
    pub(super) key: u32,
}

/// A row and the element that holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    pub(super) tid: HeapTid,
    pub(super) element: ElementId,
}

/// The fingerprint of a row key: other keys have another one but for one pair in 2^32.
pub(super) fn fingerprint(row_key: &[u8]) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "half of the hash")]
    let half = image::hash(row_key) as u32;
    half
}

/// Reports filter pages out of their chain, and flaws of the chain. `blocks` are the filter pages found, in ascending order.
pub(super) fn check_chain(pages: &Pages<'_>, blocks: &[u32], findings: &mut Findings) {
    let metapage = try_copy(pages.index(), METAPAGE).ok();
    let Some(metapage) = metapage.and_then(|page| Metapage::read(&*page).ok()) else {
        return;
    };
    let (mut next, mut from, mut met) = (metapage.filter_first, METAPAGE, Vec::new());
    while let Some(block) = next {
        if met.len() > pages.index().blocks() as usize {
            return findings.error(from, Corrupt::EndlessFilter);
        }
        let page = match pages.copy(block) {
            Ok(Some(page)) => page,
            Ok(None) => return,
            Err(what) => return findings.error(from, format!("chain of filter pages: {what}")),
        };
        match FilterPage::view(&*page, pages.geometry()) {
            Ok(view) => next = view.next(),
            Err(what) if is_wrong_link(&what) => {
                return findings.error(from, format!("chain of filter pages: {what}"));
            }
            Err(_) => return,
        }
        met.push(block);
        from = block;
    }
    met.sort_unstable();
    for &block in blocks {
        if met.binary_search(&block).is_err() {
            findings.error(block, "page is not in the chain of filter pages");
        }
    }
}

/// Compares entries with the rows of elements, and reports contradictions. Sorts both by row.
///
/// Inserts and vacuums go on meanwhile: a contradiction counts only if it is there when both ends are read again. A row without
/// an entry, or an entry without a row, may be left by a crash, and is a warning.
pub(super) fn compare(
    pages: &Pages<'_>,
    entries: &mut [Entry],
    homes: &mut [Home],
    findings: &mut Findings,
) {
    entries.sort_unstable_by_key(|entry| entry.tid);
    homes.sort_unstable();
    report_repeated(pages, entries, findings);
    let is_entered = |home: &&Home| find(entries, home.tid).is_none();
    let homeless = entries.iter().filter(|entry| {
        let (tid, element) = (entry.tid, entry.element);
        homes.binary_search(&Home { tid, element }).is_err()
    });
    let suspects: HashMap<HeapTid, Option<ElementId>> = homeless
        .map(|entry| (entry.tid, None))
        .chain(homes.iter().filter(is_entered).map(|home| {
            let Home { tid, element } = *home;
            (tid, Some(element))
        }))
        .take(SUSPECTS)
        .collect();
    if !suspects.is_empty() {
        verify(pages, &suspects, homes, findings);
    }
}

/// The entry of a row, among entries sorted by row.
pub(super) fn find(entries: &[Entry], tid: HeapTid) -> Option<&Entry> {
    let place = entries.binary_search_by_key(&tid, |entry| entry.tid);
    place.ok().map(|place| &entries[place])
}

/// Reports rows with two entries. Entries sorted by row show the suspects; a row vacuumed in one page and inserted in another,
/// while the pages were read, is found only once now.
fn report_repeated(pages: &Pages<'_>, entries: &[Entry], findings: &mut Findings) {
    let repeated = entries.windows(2).filter(|pair| pair[0].tid == pair[1].tid);
    let suspects: HashSet<_> = repeated.map(|pair| pair[0].tid).take(SUSPECTS).collect();
    if suspects.is_empty() {
        return;
    }
    let mut first = HashMap::new();
    each_entry(pages, |place, tid, _| {
        if !suspects.contains(&tid) {
            return;
        }
        if let Some((block, number)) = first.insert(tid, place) {
            let what = format!(
                "row ({},{}) is also in entry {number} of block {block}",
                tid.block, tid.offset
            );
            findings.error(place, what);
        }
    });
}

/// Calls `each` with all present entries: block and number, row, and element.
fn each_entry(pages: &Pages<'_>, mut each: impl FnMut((u32, u16), HeapTid, ElementId)) {
    for block in METAPAGE + 1..pages.index().blocks() {
        let Ok(Some(page)) = pages.copy(block) else {
            continue;
        };
        let Ok(view) = FilterPage::view(&*page, pages.geometry()) else {
            continue;
        };
        for (number, tid, element) in view.rows() {
            each((block, number), tid, element);
        }
    }
}

/// Reads suspicious rows again: rows whose entry names an element without them, or, with their element, rows without an entry.
fn verify(
    pages: &Pages<'_>,
    suspects: &HashMap<HeapTid, Option<ElementId>>,
    homes: &[Home],
    findings: &mut Findings,
) {
    let mut entered = HashMap::new();
    each_entry(pages, |place, tid, element| {
        if suspects.contains_key(&tid) {
            entered.insert(tid, (place, element));
        }
    });
    let mut sorted: Vec<_> = suspects.iter().collect();
    sorted.sort_unstable();
    for (&tid, &home) in sorted {
        let row = format!("row ({},{})", tid.block, tid.offset);
        let Some(&(place, element)) = entered.get(&tid) else {
            if home.is_some_and(|home| holds(pages, home, tid) == Ok(true)) {
                findings.warning(Location::default(), format!("{row} has no entry"));
            }
            continue;
        };
        match holds(pages, element, tid) {
            Ok(true) => {}
            Err(what) => findings.error(place, format!("element of {row}: {what}")),
            Ok(false) => {
                let named = location_of(&pages.geometry().element, element);
                let other = &homes[homes.partition_point(|home| home.tid < tid)..];
                let other = other.first().filter(|home| home.tid == tid);
                match other.filter(|home| holds(pages, home.element, tid) == Ok(true)) {
                    Some(other) => {
                        let other = location_of(&pages.geometry().element, other.element);
                        findings.error(place, format!("{row} is in {other}, not in {named}"));
                    }
                    None => findings.warning(place, format!("{row} is not in {named}")),
                }
            }
        }
    }
}

/// True if an element has a row now. An unreadable page counts as one with it: the page is reported elsewhere.
fn holds(pages: &Pages<'_>, element: ElementId, tid: HeapTid) -> Result<bool, Corrupt> {
    let read = pages.element(element, |slot| {
        let is_inline = slot.heap_tids().any(|row| row == tid);
        let is_free = slot.state() == SlotState::Free;
        (
            is_inline && !is_free,
            slot.overflow().filter(|_| slot.is_live()),
        )
    });
    let (is_inline, mut next) = match read {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(true),
        Err(what) if is_wrong_link(&what) => return Err(what),
        Err(_) => return Ok(true),
    };
    if is_inline {
        return Ok(true);
    }
    for _ in 0..MOST_SLOTS {
        let Some(at) = next else { break };
        let read = pages.overflow(at, |slot| {
            let is_own = slot.is_live() && slot.element() == element;
            let is_here = is_own && slot.heap_tids().any(|row| row == tid);
            (is_here, slot.next().filter(|_| is_own))
        });
        match read {
            Ok(Some((false, after))) => next = after,
            // Damage of the chain is reported at the element.
            _ => return Ok(true),
        }
    }
    Ok(false)
}
