//! Checks every page, one after the other: its own contents, and its agreement with related pages.
//!
//! Concurrent writes are possible. A contradiction between two pages is therefore read again before it counts: both ends
//! must still say the same, with nothing freed in between.

use std::collections::BTreeMap;

use hnsw::{ElementId, Member};
use layout::{
    Corrupt, ElementPage, ElementSlot, FilterPage, Frozen, Geometry, Group, HeapTid, OverflowId,
    OverflowPage, PageKind, SlotState, Special, UpperId, UpperPage,
};

use super::budget::Budget;
use super::entries::{self, Entry, Home};
use super::findings::Findings;
use super::links;
use super::pages::{Pages, is_wrong_link};
use crate::pg::Relation;
use crate::storage::metapage::{self, METAPAGE};

/// The maximum line pointer of a table page.
const MAX_OFFSET: u16 = 2048;
/// The maximum number of walks along a chain under concurrent changes.
const WALKS: usize = 10;

/// Counts of pages and slots.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) element_pages: u64,
    pub(super) upper_pages: u64,
    pub(super) overflow_pages: u64,
    pub(super) other_pages: u64,
    pub(super) live: u64,
    pub(super) dead: u64,
    /// Slots of element pages available for new elements.
    pub(super) free: u64,
    /// Links of live elements on layer 0.
    pub(super) links: u64,
    pub(super) centers: u64,
}

/// A page marked as a member of the list of pages with free slots.
#[derive(Clone, Copy)]
pub(super) struct Sign {
    pub(super) block: u32,
    pub(super) kind: PageKind,
}

/// The contents of all pages.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) counts: Counts,
    pub(super) members: Vec<Member>,
    /// Rows as numbers (`HeapTid::key`), in the same order as their TIDs.
    pub(super) rows: Vec<u64>,
    /// The entries of filter pages, and the elements of the rows in an index with such pages.
    pub(super) entries: Vec<Entry>,
    pub(super) homes: Vec<Home>,
    pub(super) filter_pages: Vec<u32>,
    pub(super) listed: Vec<Sign>,
    /// Overflow slots in the chain of an element.
    chained: Vec<OverflowId>,
    center_pages: Vec<u32>,
    /// The centers that codes name, each with the first element that does.
    named: BTreeMap<u8, (u32, u16)>,
}

/// A survey in progress.
pub(super) struct Surveyor<'a, 'p> {
    pub(super) pages: &'a Pages<'p>,
    pub(super) frozen: &'a Frozen,
    pub(super) table: Relation,
    /// The number of table blocks at the last check.
    pub(super) table_blocks: u32,
    pub(super) findings: &'a mut Findings,
    pub(super) budget: &'a mut Budget,
    pub(super) survey: Survey,
}

/// An entry of a filter page, with the group of its row.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Grouped {
    element: ElementId,
    tid: HeapTid,
    group: Option<Group>,
}

impl Grouped {
    fn read(view: &FilterPage<'_>, geometry: &Geometry, entry: u16) -> Self {
        let mut key = Vec::new();
        view.row_key(entry, &mut key);
        Self {
            element: view.element(entry),
            tid: view.heap_tid(entry),
            group: geometry.group_of(&key),
        }
    }

    /// True if the element is live and has another group.
    fn is_of_another(&self, pages: &Pages<'_>) -> bool {
        let same = pages.element(self.element, |element| {
            !element.is_live() || element.group() == self.group
        });
        same == Ok(Some(false))
    }
}

impl Surveyor<'_, '_> {
    pub(super) fn run(mut self) -> Survey {
        for block in METAPAGE + 1..self.pages.blocks {
            self.page(block);
        }
        self.survey.chained.sort_unstable();
        self.overflow_owners();
        self.centers();
        self.survey.counts.other_pages += 1;
        self.survey
    }

    fn page(&mut self, block: u32) {
        let page = match self.pages.copy(block) {
            Ok(Some(page)) => page,
            Ok(None) => {
                self.survey.counts.other_pages += 1;
                return;
            }
            Err(what) => {
                self.survey.counts.other_pages += 1;
                return self.findings.warning(block, what);
            }
        };
        let special = match layout::special(&*page) {
            Ok(special) => special,
            Err(what) => {
                self.survey.counts.other_pages += 1;
                return self.findings.error(block, what);
            }
        };
        let kind = special.kind().expect("the special area was checked");
        let looked = match kind {
            PageKind::Element => self.element_page(block, &*page, special),
            PageKind::Upper => self.upper_page(block, &*page, special),
            PageKind::Overflow => self.overflow_page(block, &*page, special),
            PageKind::Filter => self.filter_page(block, &*page, special),
            PageKind::Center => {
                self.survey.counts.other_pages += 1;
                self.survey.center_pages.push(block);
                Ok(())
            }
            PageKind::Meta => {
                self.survey.counts.other_pages += 1;
                Err(Corrupt::UnknownPageKind(PageKind::Meta as u8))
            }
        };
        if let Err(what) = looked {
            return self.findings.error(block, what);
        }
        if special.is_listed() {
            let sign = Sign { block, kind };
            self.budget.push(&mut self.survey.listed, sign);
        }
    }

    /// Checks the page's count of free slots (the freed and the never used ones), and its membership in the list.
    fn count_free(&mut self, block: u32, special: Special, per_page: u16, used: u16, freed: u16) {
        let free = per_page - used + freed;
        if special.free() != free {
            let what = format!("{free} slots are free, not {}", special.free());
            self.findings.error(block, what);
        }
        if free > 0 && !special.is_listed() {
            let what = "page with free slots is in no list of such pages";
            self.findings.warning(block, what);
        }
    }

    fn element_page(&mut self, block: u32, page: &[u8], special: Special) -> Result<(), Corrupt> {
        self.survey.counts.element_pages += 1;
        let slots = &self.pages.geometry().element;
        let view = ElementPage::view(page, self.pages.geometry())?;
        let mut freed = 0;
        for number in 0..view.used() {
            let Some(element) = slots.join(block, number) else {
                self.findings
                    .error((block, number), "element beyond the last id");
                continue;
            };
            match view.slot(number) {
                Err(what) => self.findings.error((block, number), what),
                Ok(slot) if slot.state() == SlotState::Free => freed += 1,
                Ok(slot) => self.element((block, number), element, &slot),
            }
        }
        self.survey.counts.free += u64::from(special.free());
        self.count_free(block, special, slots.per_page, view.used(), freed);
        Ok(())
    }

    fn filter_page(&mut self, block: u32, page: &[u8], special: Special) -> Result<(), Corrupt> {
        self.budget.push(&mut self.survey.filter_pages, block);
        let view = FilterPage::view(page, self.pages.geometry())?;
        view.check()?;
        let mut row_key = Vec::new();
        for (number, tid, element) in view.rows() {
            row_key.clear();
            view.row_key(number, &mut row_key);
            let key = entries::fingerprint(&row_key);
            let entry = Entry { tid, element, key };
            self.budget.push(&mut self.survey.entries, entry);
        }
        if self.pages.geometry().grouped_by.is_some() {
            self.entry_groups(block, &view);
        }
        if special.free() > 0 && !special.is_listed() {
            let what = "page with free entries is in no list of such pages";
            self.findings.warning(block, what);
        }
        Ok(())
    }

    /// Checks that the row of each entry has the value of its element.
    fn entry_groups(&mut self, block: u32, view: &FilterPage<'_>) {
        let geometry = self.pages.geometry();
        for entry in (0..geometry.keys.map_or(0, |keys| keys.per_page)).filter(|&e| view.is_used(e))
        {
            let found = Grouped::read(view, geometry, entry);
            if !found.is_of_another(self.pages) {
                continue;
            }
            // The row may be gone, and its element's slot in use again: then the entry is gone too.
            let again = self.pages.copy(block).ok().flatten();
            let again = again.and_then(|page| {
                let view = FilterPage::view(&*page, geometry).ok()?;
                view.is_used(entry)
                    .then(|| Grouped::read(&view, geometry, entry))
            });
            if again == Some(found) && found.is_of_another(self.pages) {
                let HeapTid { block: of, offset } = found.tid;
                let what = format!(
                    "row ({of},{offset}) has another value than its element in the column with graphs"
                );
                self.findings.error((block, entry), what);
            }
        }
    }

    fn element(&mut self, place: (u32, u16), element: ElementId, slot: &ElementSlot<'_>) {
        let member = Member {
            element,
            level: slot.level(),
            live: slot.is_live(),
            group: links::fingerprint(slot.group()),
        };
        self.survey.named.entry(slot.center()).or_insert(place);
        self.budget.charge(links::BYTES);
        self.budget.push(&mut self.survey.members, member);
        for tid in slot.heap_tids() {
            self.row(place, element, tid);
        }
        if !slot.is_live() {
            self.survey.counts.dead += 1;
            if slot.heap_tids().len() > 0 {
                self.findings.error(place, "tombstone has rows");
            }
            return;
        }
        self.survey.counts.live += 1;
        self.survey.counts.links += slot.neighbors().len() as u64;
        self.upper_lists(place, element, slot);
        if let Some(first) = slot.overflow() {
            self.chain(place, element, first);
        }
    }

    fn row(&mut self, place: (u32, u16), element: ElementId, tid: HeapTid) {
        self.budget.push(&mut self.survey.rows, tid.key());
        if self.pages.geometry().keys.is_some() {
            let home = Home { tid, element };
            self.budget.push(&mut self.survey.homes, home);
        }
        if tid.block >= self.table_blocks {
            self.table_blocks = self.table.blocks();
        }
        if tid.block >= self.table_blocks {
            self.findings.error(place, Corrupt::NoSuchRow(tid.block));
        } else if !(1..=MAX_OFFSET).contains(&tid.offset) {
            self.findings
                .error(place, format!("row ({},{})", tid.block, tid.offset));
        }
    }

    /// Checks the upper lists of an element: each level has one, and the element owns it.
    fn upper_lists(&mut self, place: (u32, u16), element: ElementId, slot: &ElementSlot<'_>) {
        let Some(first) = slot.upper() else { return };
        for level in 1..=slot.level() {
            let list = self.pages.upper(first.at(level), |list| {
                list.is_live() && list.element() == element && list.level() == level
            });
            let wrong = match list {
                Ok(None | Some(true)) => continue,
                Ok(Some(false)) => format!("neighbors of level {level} are another element's"),
                Err(what) if is_wrong_link(&what) => {
                    format!("link to neighbors of level {level}: {what}")
                }
                Err(_) => continue,
            };
            if self.is_same(element, slot) {
                self.findings.error(place, wrong);
            }
        }
    }

    /// True if an element was not freed since it was read, and its upper lists have not moved.
    fn is_same(&self, element: ElementId, slot: &ElementSlot<'_>) -> bool {
        let same = self.pages.element(element, |now| {
            now.is_live() && now.version() == slot.version() && now.upper() == slot.upper()
        });
        same == Ok(Some(true))
    }

    /// Checks the overflow chain of an element: it owns every slot, and the serials decrease.
    fn chain(&mut self, place: (u32, u16), element: ElementId, first: OverflowId) {
        let mut trouble = None;
        let mut first = Some(first);
        for _ in 0..WALKS {
            match self.walk_chain(element, first) {
                Ok(slots) => {
                    for slot in slots {
                        self.budget.push(&mut self.survey.chained, slot);
                    }
                    return;
                }
                Err(found) => trouble = Some(found),
            }
            // Vacuum removes slots from chains: retry, from the current start of the chain.
            let now = self
                .pages
                .element(element, |now| now.overflow().filter(|_| now.is_live()));
            let Ok(Some(Some(now))) = now else { return };
            first = Some(now);
        }
        if let Some(Some(what)) = trouble {
            self.findings.error(place, what);
        }
    }

    /// Returns the slots of a chain, or its flaw; `Err(None)` if another check reports the flaw.
    fn walk_chain(
        &self,
        element: ElementId,
        mut next: Option<OverflowId>,
    ) -> Result<Vec<OverflowId>, Option<String>> {
        let mut slots = Vec::new();
        let mut above = u64::from(u32::MAX) + 1;
        while let Some(at) = next {
            let (block, number) = self.pages.geometry().overflow.split(at);
            let read = self.pages.overflow(at, |slot| {
                let own = slot.is_live() && slot.element() == element;
                (own, u64::from(slot.serial()), slot.next())
            });
            match read {
                Ok(None) => return Err(None),
                Err(what) if is_wrong_link(&what) => {
                    return Err(Some(format!("link to further rows: {what}")));
                }
                Err(_) => return Err(None),
                Ok(Some((false, ..))) => {
                    let what = format!(
                        "further rows in slot {number} of block {block} are another element's"
                    );
                    return Err(Some(what));
                }
                Ok(Some((true, serial, after))) => {
                    if serial >= above {
                        let what = format!(
                            "serials of further rows rise at slot {number} of block {block}"
                        );
                        return Err(Some(what));
                    }
                    above = serial;
                    slots.push(at);
                    next = after;
                }
            }
        }
        Ok(slots)
    }

    fn upper_page(&mut self, block: u32, page: &[u8], special: Special) -> Result<(), Corrupt> {
        self.survey.counts.upper_pages += 1;
        let slots = &self.pages.geometry().upper;
        let view = UpperPage::view(page, self.pages.geometry())?;
        let mut freed = 0;
        for number in 0..view.used() {
            let list = match view.slot(number) {
                Ok(list) => list,
                Err(what) => {
                    self.findings.error((block, number), what);
                    continue;
                }
            };
            if !list.is_live() {
                freed += 1;
            } else if let Some(id) = slots.join(block, number)
                && !self.has_owner(id, list.element(), list.level())
                && !self.has_owner_now(id)
            {
                self.findings
                    .error((block, number), "neighbors belong to no element");
            }
        }
        self.count_free(block, special, slots.per_page, view.used(), freed);
        Ok(())
    }

    /// True if an element owns this list. A damaged element counts as its owner.
    fn has_owner(&self, list: UpperId, element: ElementId, level: hnsw::Level) -> bool {
        let owner = self.pages.element(element, |owner| {
            owner.state() != SlotState::Free
                && owner.level() >= level
                && owner.upper().map(|first| first.at(level)) == Some(list)
        });
        match owner {
            Ok(owner) => owner.unwrap_or(true),
            Err(what) => !is_wrong_link(&what),
        }
    }

    /// As `has_owner`, with the current contents of the slot; also true if the slot has been freed.
    fn has_owner_now(&self, id: UpperId) -> bool {
        let now = self.pages.upper(id, |list| {
            list.is_live().then(|| (list.element(), list.level()))
        });
        match now {
            Ok(Some(Some((element, level)))) => self.has_owner(id, element, level),
            _ => true,
        }
    }

    fn overflow_page(&mut self, block: u32, page: &[u8], special: Special) -> Result<(), Corrupt> {
        self.survey.counts.overflow_pages += 1;
        let slots = &self.pages.geometry().overflow;
        let view = OverflowPage::view(page, self.pages.geometry())?;
        let mut freed = 0;
        for number in 0..view.used() {
            match view.slot(number) {
                Err(what) => self.findings.error((block, number), what),
                Ok(slot) if !slot.is_live() => freed += 1,
                Ok(slot) => {
                    for tid in slot.heap_tids() {
                        self.row((block, number), slot.element(), tid);
                    }
                }
            }
        }
        self.count_free(block, special, slots.per_page, view.used(), freed);
        Ok(())
    }

    /// Checks the membership of every overflow slot in the chain of its element.
    fn overflow_owners(&mut self) {
        if self.survey.counts.overflow_pages == 0 {
            return;
        }
        let slots = &self.pages.geometry().overflow;
        for block in METAPAGE + 1..self.pages.blocks {
            let Ok(Some(page)) = self.pages.copy(block) else {
                continue;
            };
            let Ok(view) = OverflowPage::view(&*page, self.pages.geometry()) else {
                continue;
            };
            for number in 0..view.used() {
                let (Ok(slot), Some(id)) = (view.slot(number), slots.join(block, number)) else {
                    continue;
                };
                if slot.is_live()
                    && self.survey.chained.binary_search(&id).is_err()
                    && self.is_unchained(id, slot.element())
                {
                    self.findings
                        .error((block, number), "further rows are in no element's chain");
                }
            }
        }
    }

    /// True if an unchained slot is still in use and still outside its element's chain.
    fn is_unchained(&self, id: OverflowId, element: ElementId) -> bool {
        for _ in 0..WALKS {
            let first = match self.pages.element(element, |owner| {
                owner.overflow().filter(|_| owner.is_live())
            }) {
                Ok(first) => first.flatten(),
                Err(what) if is_wrong_link(&what) => None,
                Err(_) => return false,
            };
            match self.walk_chain(element, first) {
                Ok(slots) if slots.contains(&id) => return false,
                Ok(_) => {
                    let now = self
                        .pages
                        .overflow(id, |slot| slot.is_live() && slot.element() == element);
                    return now == Ok(Some(true));
                }
                // A broken chain was reported at its element.
                Err(_) => {}
            }
        }
        false
    }

    /// Checks the centers, that every center page is in one of them, and that the index has those that codes name.
    fn centers(&mut self) {
        let mut chain = Vec::new();
        if let Some(first) = self.frozen.center_block {
            if self.center(first, &mut chain).is_none() {
                return;
            }
            self.survey.counts.centers += 1;
        }
        // An insert may have learned one since the survey began.
        let metapage = metapage::try_read(self.pages.index());
        let mut next = metapage.and_then(|metapage| metapage.learned);
        let mut numbers = 1;
        while let Some(first) = next {
            let Some(after) = self.center(first, &mut chain) else {
                return;
            };
            self.survey.counts.centers += 1;
            numbers += 1;
            next = after;
        }
        for block in std::mem::take(&mut self.survey.center_pages) {
            if !chain.contains(&block) {
                self.findings.error(block, "page is no part of a center");
            }
        }
        for (center, place) in std::mem::take(&mut self.survey.named) {
            if usize::from(center) >= numbers {
                let of = numbers;
                self.findings.error(place, Corrupt::Center { center, of });
            }
        }
    }

    /// Checks a center: as many finite numbers as dimensions. Returns the page after its own; `None` if it cannot be read.
    fn center(&mut self, first: u32, chain: &mut Vec<u32>) -> Option<Option<u32>> {
        let dimensions = self.frozen.dimensions as usize;
        let (mut next, mut values) = (Some(first), 0);
        while let Some(block) = next.filter(|_| values < dimensions) {
            if chain.contains(&block) {
                let what = "center pages are linked in a ring";
                self.findings.error(block, what);
                return None;
            }
            chain.push(block);
            let page = match self.pages.copy(block) {
                Ok(page) => page?,
                Err(what) => {
                    self.findings.error(METAPAGE, format!("center: {what}"));
                    return None;
                }
            };
            let view = match layout::CenterPage::view(&*page) {
                Ok(view) => view,
                Err(what) => {
                    self.findings.error(block, format!("center: {what}"));
                    return None;
                }
            };
            if !view.values().all(f32::is_finite) {
                self.findings.error(block, "center is not finite");
            }
            values += view.values().len();
            next = view.next();
        }
        if values != dimensions {
            let what = format!("center of {values} dimensions, not {dimensions}");
            self.findings.error(METAPAGE, what);
        }
        Some(next)
    }
}
