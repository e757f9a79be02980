//! Allocates free slots: from the list of pages with free slots, or from a page added to the index.
//!
//! Each kind of slot page has a list, with its head in the metapage. A page found full leaves the list; vacuum puts pages
//! with freed slots back. An insert therefore reads one page, no matter how many pages are full.

use layout::{
    Corrupt, ElementPage, ElementPageMut, FilterPage, FilterPageMut, Metapage, OverflowPage,
    OverflowPageMut, PageKind, SlotId, Slots, Special, UpperPage, UpperPageMut,
};
use pgrx::pg_sys::ForkNumber::MAIN_FORKNUM;

use super::buffer::{Access, Page};
use super::index::Index;
use super::locked::{Kind, LockedPage};
use super::metapage::{self, Locked};
use super::record::{Image, Record};

/// An exclusively locked page with free slots, and the first of these.
pub(crate) struct FreeSlot {
    pub(crate) page: Page,
    pub(crate) slot: u16,
    kind: PageKind,
    is_new: bool,
}

impl FreeSlot {
    pub(crate) fn block(&self) -> u32 {
        self.page.block()
    }

    /// The id of the first slot.
    pub(crate) fn id<Id: SlotId>(&self, slots: &Slots<Id>) -> Id {
        slots
            .join(self.block(), self.slot)
            .unwrap_or_else(|| crate::error::index_full())
    }

    /// Registers the page in a record; a new page is initialised there.
    fn register(&self, index: &Index, record: &mut Record) -> Image {
        if !self.is_new || record.has(&self.page) {
            return record.page(&self.page);
        }
        let image = record.new_page(&self.page);
        init(index, self.kind, record.bytes(image));
        image
    }

    /// Changes the page, of kind `K`, within a record.
    pub(super) fn change<K: Kind, R>(
        &self,
        index: &Index,
        record: &mut Record,
        change: impl FnOnce(&mut K::ViewMut<'_>) -> Result<R, Corrupt>,
    ) -> R {
        assert!(K::KIND == self.kind, "a page of another kind");
        let image = self.register(index, record);
        let view = K::view_mut(record.bytes(image), index.geometry());
        index.expect(self.block(), view.and_then(|mut view| change(&mut view)))
    }
}

/// Commits a record with the filled slots; new pages become heads of their lists in the same record, a filter page of the chain
/// of all filter pages too.
pub(crate) fn commit(index: &Index, mut record: Record, slots: &[&FreeSlot]) {
    if slots.iter().all(|free| !free.is_new) {
        return record.commit();
    }
    let mut metapage = Locked::acquire(index.relation());
    for free in slots.iter().filter(|free| free.is_new) {
        let image = record.page(&free.page);
        let head = head(&mut metapage.contents, free.kind);
        layout::list_page(record.bytes(image), *head)
            .expect("the page was initialised in this record");
        *head = Some(free.block());
        if free.kind == PageKind::Filter {
            let first = metapage.contents.filter_first.replace(free.block());
            let view = FilterPageMut::view(record.bytes(image), index.geometry());
            index.expect(free.block(), view).set_next(first);
        }
    }
    metapage.write(&mut record);
    record.commit();
}

/// Finds `run` consecutive free slots of a kind.
pub(crate) fn find(index: &Index, kind: PageKind, run: u8) -> FreeSlot {
    let relation = index.relation();
    loop {
        let listed = *head(&mut metapage::read(relation), kind);
        let Some(block) = listed else {
            return extend(index, kind);
        };
        index.check_block(block);
        let page = Page::lock(relation, block, Access::Exclusive);
        let free = free_run(index, kind, page.bytes(), run);
        match index.expect(block, free) {
            Room::At(slot) => {
                return FreeSlot {
                    page,
                    slot,
                    kind,
                    is_new: false,
                };
            }
            Room::TooNarrow if kind == PageKind::Upper => return extend(index, kind),
            Room::TooNarrow => index.corrupt(block, Corrupt::NoneFree),
            Room::None => leave_list(index, kind, &page),
        }
    }
}

/// Commits a record that frees slots of a page. The page becomes the head of its list in the same record, unless it is in the
/// list already.
pub(super) fn commit_freed<K: Kind>(mut record: Record, page: &LockedPage<'_, K>) {
    let (index, block) = (page.index(), page.block());
    let image = record.page(page.page());
    let special = index.expect(block, layout::special(record.bytes(image)));
    if special.is_listed() {
        return record.commit();
    }
    let mut metapage = Locked::acquire(index.relation());
    let head = head(&mut metapage.contents, K::KIND);
    index.expect(block, layout::list_page(record.bytes(image), *head));
    *head = Some(block);
    metapage.write(&mut record);
    record.commit();
}

enum Room {
    At(u16),
    /// Free slots, but too few consecutive ones.
    TooNarrow,
    None,
}

fn free_run(index: &Index, kind: PageKind, page: &[u8], run: u8) -> Result<Room, Corrupt> {
    let geometry = index.geometry();
    let (slot, special): (Option<u16>, Special) = match kind {
        PageKind::Element => {
            let view = ElementPage::view(page, geometry)?;
            (view.find_free(), view.special()?)
        }
        PageKind::Upper => {
            let view = UpperPage::view(page, geometry)?;
            (view.find_free_run(run), view.special()?)
        }
        PageKind::Overflow => {
            let view = OverflowPage::view(page, geometry)?;
            (view.find_free(), view.special()?)
        }
        PageKind::Filter => {
            let view = FilterPage::view(page, geometry)?;
            (view.find_free(), view.special()?)
        }
        PageKind::Meta | PageKind::Center => unreachable!("pages without slots are in no list"),
    };
    Ok(match slot {
        Some(slot) => Room::At(slot),
        None if special.free() > 0 => Room::TooNarrow,
        None => Room::None,
    })
}

fn extend(index: &Index, kind: PageKind) -> FreeSlot {
    let page = Page::extend(index.relation(), MAIN_FORKNUM);
    FreeSlot {
        page,
        slot: 0,
        kind,
        is_new: true,
    }
}

fn init(index: &Index, kind: PageKind, page: &mut [u8]) {
    let geometry = index.geometry();
    match kind {
        PageKind::Element => drop(ElementPageMut::init(page, geometry)),
        PageKind::Upper => drop(UpperPageMut::init(page, geometry)),
        PageKind::Overflow => drop(OverflowPageMut::init(page, geometry)),
        PageKind::Filter => _ = FilterPageMut::init(page, geometry, None),
        PageKind::Meta | PageKind::Center => {
            unreachable!("pages without slots are not allocated here")
        }
    }
}

/// Takes a full page off its list, if it still is the head.
fn leave_list(index: &Index, kind: PageKind, page: &Page) {
    let mut metapage = Locked::acquire(index.relation());
    let head = head(&mut metapage.contents, kind);
    if *head != Some(page.block()) {
        return;
    }
    let mut record = Record::begin(index.relation());
    let image = record.page(page);
    *head = index.expect(page.block(), layout::unlist_page(record.bytes(image)));
    metapage.write(&mut record);
    record.commit();
}

fn head(metapage: &mut Metapage, kind: PageKind) -> &mut Option<u32> {
    match kind {
        PageKind::Element => &mut metapage.element_free,
        PageKind::Upper => &mut metapage.upper_free,
        PageKind::Overflow => &mut metapage.overflow_free,
        PageKind::Filter => &mut metapage.filter_free,
        PageKind::Meta | PageKind::Center => unreachable!("pages without slots are in no list"),
    }
}
