//! Allocates free slots: from the list of pages with free slots, or from a page added to the index.
//!
//! Each kind of slot page has a list, with its head in the metapage. A page found full leaves the list; vacuum puts pages
//! with freed slots back. An insert therefore reads one page, no matter how many pages are full.

use layout::{
    Corrupt, ElementPageMut, FilterPageMut, Geometry, Metapage, OverflowPageMut, PageKind,
    UpperPageMut,
};
use pgrx::pg_sys::ForkNumber::MAIN_FORKNUM;

use super::buffer::{Access, Page};
use super::index::Index;
use super::locked::{Elements, Filters, Id, Kind, LockedPage, Overflow, Upper};
use super::metapage::{self, Locked};
use super::record::Record;

/// A kind of page with slots, and with a list of its pages that have free ones.
pub(super) trait Slotted: Kind {
    fn init(page: &mut [u8], geometry: &Geometry);

    /// The first of `run` consecutive free slots.
    fn find_free(view: &Self::View<'_>, run: u8) -> Option<u16>;

    /// The head of the list.
    fn head(metapage: &mut Metapage) -> &mut Option<u32>;

    /// Links a page just added to the others of its kind, if all are in a chain.
    fn link(_: &LockedPage<'_, Self>, _: &mut Record, _: &mut Metapage)
    where
        Self: Sized,
    {
    }
}

impl Slotted for Elements {
    fn init(page: &mut [u8], geometry: &Geometry) {
        ElementPageMut::init(page, geometry);
    }

    fn find_free(view: &Self::View<'_>, _: u8) -> Option<u16> {
        view.find_free()
    }

    fn head(metapage: &mut Metapage) -> &mut Option<u32> {
        &mut metapage.element_free
    }
}

impl Slotted for Upper {
    fn init(page: &mut [u8], geometry: &Geometry) {
        UpperPageMut::init(page, geometry);
    }

    fn find_free(view: &Self::View<'_>, run: u8) -> Option<u16> {
        view.find_free_run(run)
    }

    fn head(metapage: &mut Metapage) -> &mut Option<u32> {
        &mut metapage.upper_free
    }
}

impl Slotted for Overflow {
    fn init(page: &mut [u8], geometry: &Geometry) {
        OverflowPageMut::init(page, geometry);
    }

    fn find_free(view: &Self::View<'_>, _: u8) -> Option<u16> {
        view.find_free()
    }

    fn head(metapage: &mut Metapage) -> &mut Option<u32> {
        &mut metapage.overflow_free
    }
}

impl Slotted for Filters {
    fn init(page: &mut [u8], geometry: &Geometry) {
        FilterPageMut::init(page, geometry, None);
    }

    fn find_free(view: &Self::View<'_>, _: u8) -> Option<u16> {
        view.find_free()
    }

    fn head(metapage: &mut Metapage) -> &mut Option<u32> {
        &mut metapage.filter_free
    }

    fn link(page: &LockedPage<'_, Self>, record: &mut Record, metapage: &mut Metapage) {
        let next = metapage.filter_first.replace(page.block());
        page.change(record, |page| {
            page.set_next(next);
            Ok(())
        });
    }
}

/// An exclusively locked page with free slots, and the first of these.
pub(super) struct FreeSlot<'i, K> {
    page: LockedPage<'i, K>,
    pub(super) slot: u16,
    is_new: bool,
}

impl<K: Slotted> FreeSlot<'_, K> {
    /// The id of the first slot.
    pub(super) fn id<I: Id<Page = K>>(&self) -> I {
        I::slots(self.page.index().geometry())
            .join(self.page.block(), self.slot)
            .unwrap_or_else(|| crate::error::index_full())
    }

    /// True for a slot of a page added to the index.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Changes the page within a record; a new page is initialised there.
    pub(super) fn change<R>(
        &self,
        record: &mut Record,
        change: impl FnOnce(&mut K::ViewMut<'_>) -> Result<R, Corrupt>,
    ) -> R {
        if self.is_new && !record.has(self.page.page()) {
            self.page.init(record, K::init);
        }
        self.page.change(record, change)
    }
}

/// A page that may have been added to the index for its free slots.
pub(super) trait Allocated {
    fn is_new(&self) -> bool;

    /// Makes a new page the head of its list, and links it to others.
    fn list(&self, record: &mut Record, metapage: &mut Metapage);
}

impl<K: Slotted> Allocated for FreeSlot<'_, K> {
    fn is_new(&self) -> bool {
        self.is_new
    }

    fn list(&self, record: &mut Record, metapage: &mut Metapage) {
        list(&self.page, record, metapage);
        K::link(&self.page, record, metapage);
    }
}

/// Commits a record with the filled slots; new pages become heads of their lists in the same record, a filter page of the chain
/// of all filter pages too.
pub(super) fn commit(index: &Index, mut record: Record, pages: &[&dyn Allocated]) {
    if pages.iter().all(|page| !page.is_new()) {
        return record.commit();
    }
    let mut metapage = Locked::acquire(index.relation());
    for page in pages.iter().filter(|page| page.is_new()) {
        page.list(&mut record, &mut metapage.contents);
    }
    metapage.write(&mut record);
    record.commit();
}

/// Finds `run` consecutive free slots.
pub(super) fn find<K: Slotted>(index: &Index, run: u8) -> FreeSlot<'_, K> {
    let relation = index.relation();
    loop {
        let listed = *K::head(&mut metapage::read(relation));
        let Some(block) = listed else {
            return extend(index);
        };
        index.check_block(block);
        let page = LockedPage::<K>::lock(index, block, Access::Exclusive);
        match page.read(|view| Ok(K::find_free(&view, run))) {
            Some(slot) => {
                return FreeSlot {
                    page,
                    slot,
                    is_new: false,
                };
            }
            None if page.special().free() == 0 => leave_list(&page),
            // Free slots, but too few consecutive ones.
            None if K::KIND == PageKind::Upper => return extend(index),
            None => index.corrupt(block, Corrupt::NoneFree),
        }
    }
}

/// Commits a record that frees slots of a page. The page becomes the head of its list in the same record, unless it is in the
/// list already.
pub(super) fn commit_freed<K: Slotted>(mut record: Record, page: &LockedPage<'_, K>) {
    if page.special().is_listed() {
        return record.commit();
    }
    let mut metapage = Locked::acquire(page.index().relation());
    list(page, &mut record, &mut metapage.contents);
    metapage.write(&mut record);
    record.commit();
}

/// Makes a page the head of its list.
fn list<K: Slotted>(page: &LockedPage<'_, K>, record: &mut Record, metapage: &mut Metapage) {
    let next = K::head(metapage).replace(page.block());
    page.list(record, next);
}

fn extend<K: Slotted>(index: &Index) -> FreeSlot<'_, K> {
    let page = Page::extend(index.relation(), MAIN_FORKNUM);
    FreeSlot {
        page: LockedPage::of(index, page),
        slot: 0,
        is_new: true,
    }
}

/// Takes a full page off its list, if it still is the head.
fn leave_list<K: Slotted>(page: &LockedPage<'_, K>) {
    let relation = page.index().relation();
    let mut metapage = Locked::acquire(relation);
    let head = K::head(&mut metapage.contents);
    if *head != Some(page.block()) {
        return;
    }
    let mut record = Record::begin(relation);
    *head = page.unlist(&mut record);
    metapage.write(&mut record);
    record.commit();
}
