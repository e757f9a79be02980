//! Locked pages of one kind: checked views, and changes within a record.
//!
//! A wrong page or slot is damage: it is reported with its block and ends the statement.

use hnsw::ElementId;
use layout::{
    Corrupt, ElementPage, ElementPageMut, FilterPage, FilterPageMut, Geometry, OverflowId,
    OverflowPage, OverflowPageMut, PageKind, SlotId, Slots, UpperId, UpperPage, UpperPageMut,
};

use super::buffer::{Access, Page};
use super::index::Index;
use super::record::Record;
use crate::pg::strategy::Strategy;

/// A kind of page: its views, shared and exclusive.
pub(super) trait Kind {
    const KIND: PageKind;
    type View<'p>;
    type ViewMut<'p>;

    fn view<'p>(page: &'p [u8], geometry: &Geometry) -> Result<Self::View<'p>, Corrupt>;

    fn view_mut<'p>(page: &'p mut [u8], geometry: &Geometry) -> Result<Self::ViewMut<'p>, Corrupt>;
}

macro_rules! kinds {
    ($($kind:ident: $page:ident, $view:ident, $view_mut:ident;)*) => {$(
        pub(super) struct $kind;

        impl Kind for $kind {
            const KIND: PageKind = PageKind::$page;
            type View<'p> = $view<'p>;
            type ViewMut<'p> = $view_mut<'p>;

            fn view<'p>(page: &'p [u8], geometry: &Geometry) -> Result<$view<'p>, Corrupt> {
                $view::view(page, geometry)
            }

            fn view_mut<'p>(
                page: &'p mut [u8],
                geometry: &Geometry,
            ) -> Result<$view_mut<'p>, Corrupt> {
                $view_mut::view(page, geometry)
            }
        }
    )*};
}
kinds! {
    Elements: Element, ElementPage, ElementPageMut;
    Upper: Upper, UpperPage, UpperPageMut;
    Overflow: Overflow, OverflowPage, OverflowPageMut;
    Filters: Filter, FilterPage, FilterPageMut;
}

/// The id of a slot in a kind of page.
pub(super) trait Id: SlotId {
    type Page: Kind;

    fn slots(geometry: &Geometry) -> &Slots<Self>;
}

impl Id for ElementId {
    type Page = Elements;

    fn slots(geometry: &Geometry) -> &Slots<Self> {
        &geometry.element
    }
}

impl Id for UpperId {
    type Page = Upper;

    fn slots(geometry: &Geometry) -> &Slots<Self> {
        &geometry.upper
    }
}

impl Id for OverflowId {
    type Page = Overflow;

    fn slots(geometry: &Geometry) -> &Slots<Self> {
        &geometry.overflow
    }
}

/// A pinned and locked page of one kind.
pub(super) struct LockedPage<'i, K> {
    index: &'i Index,
    page: Page,
    kind: std::marker::PhantomData<K>,
}

/// Locks the page of a slot; also returns the slot's number. A link to a missing block is damage.
pub(super) fn lock<I: Id>(index: &Index, id: I, access: Access) -> (LockedPage<'_, I::Page>, u16) {
    index.check_block(I::slots(index.geometry()).split(id).0);
    lock_known(index, id, access)
}

/// Locks the page of a slot known to exist; also returns the slot's number.
pub(super) fn lock_known<I: Id>(
    index: &Index,
    id: I,
    access: Access,
) -> (LockedPage<'_, I::Page>, u16) {
    let (block, slot) = I::slots(index.geometry()).split(id);
    (LockedPage::lock(index, block, access), slot)
}

impl<'i, K: Kind> LockedPage<'i, K> {
    /// Locks a block that exists.
    pub(super) fn lock(index: &'i Index, block: u32, access: Access) -> Self {
        Self::lock_by(Strategy::NONE, index, block, access)
    }

    /// Like [`LockedPage::lock`]; if the block is in no buffer, the strategy chooses one.
    pub(super) fn lock_by(
        strategy: Strategy,
        index: &'i Index,
        block: u32,
        access: Access,
    ) -> Self {
        Self::of(
            index,
            Page::lock_by(strategy, index.relation(), block, access),
        )
    }

    pub(super) fn of(index: &'i Index, page: Page) -> Self {
        Self {
            index,
            page,
            kind: std::marker::PhantomData,
        }
    }

    pub(super) fn index(&self) -> &'i Index {
        self.index
    }

    pub(super) fn block(&self) -> u32 {
        self.page.block()
    }

    pub(super) fn page(&self) -> &Page {
        &self.page
    }

    /// Reads the page through its view.
    pub(super) fn read<'p, R>(&'p self, read: impl FnOnce(K::View<'p>) -> Result<R, Corrupt>) -> R {
        let view = K::view(self.page.bytes(), self.index.geometry());
        self.index.expect(self.block(), view.and_then(read))
    }

    /// Changes the page within a record, which registers it at its first change.
    pub(super) fn change<R>(
        &self,
        record: &mut Record,
        change: impl FnOnce(&mut K::ViewMut<'_>) -> Result<R, Corrupt>,
    ) -> R {
        let image = record.page(&self.page);
        let view = K::view_mut(record.bytes(image), self.index.geometry());
        self.index
            .expect(self.block(), view.and_then(|mut view| change(&mut view)))
    }

    /// Changes the page in a record of its own.
    pub(super) fn change_alone<R>(
        &self,
        change: impl FnOnce(&mut K::ViewMut<'_>) -> Result<R, Corrupt>,
    ) -> R {
        let mut record = Record::begin(self.index.relation());
        let result = self.change(&mut record, change);
        record.commit();
        result
    }
}
