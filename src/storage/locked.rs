//! Pages of one kind: checked views of locked pages and of copies, and changes within a record.
//!
//! A wrong page or slot is damage: it is reported with its block and ends the statement.

use std::marker::PhantomData;
use std::ops::Range;

use hnsw::ElementId;
use layout::{
    Corrupt, ElementPage, ElementPageMut, ElementSlotMut, FilterPage, FilterPageMut, Geometry,
    OverflowId, OverflowPage, OverflowPageMut, PAGE_SIZE, PageKind, SlotId, Slots, Special,
    UpperId, UpperPage, UpperPageMut, UpperSlotMut,
};

use super::buffer::{Access, Checked, Page, Reader};
use super::index::Index;
use super::record::{self, Record};
use crate::pg::strategy::Strategy;

/// A kind of page: its views, shared and exclusive.
pub(super) trait Kind {
    const KIND: PageKind;
    type View<'p>;
    type ViewMut<'p>;

    fn view<'p>(page: &'p [u8], geometry: &Geometry) -> Result<Self::View<'p>, Corrupt>;

    fn view_mut<'p>(page: &'p mut [u8], geometry: &Geometry) -> Result<Self::ViewMut<'p>, Corrupt>;

    /// The number of used slots.
    fn used(view: &Self::View<'_>, geometry: &Geometry) -> u16;
}

/// A kind of page with slots that may change alone.
pub(super) trait Patched: Kind {
    type Id: Id<Page = Self>;
    type SlotMut<'s>;

    fn slot_bytes<'p>(view: &Self::View<'p>, slot: u16) -> Result<&'p [u8], Corrupt>;

    fn slot_mut<'s>(bytes: &'s mut [u8], geometry: &Geometry)
    -> Result<Self::SlotMut<'s>, Corrupt>;
}

macro_rules! patched {
    ($($kind:ident: $id:ident, $slot:ident;)*) => {$(
        impl Patched for $kind {
            type Id = $id;
            type SlotMut<'s> = $slot<'s>;

            fn slot_bytes<'p>(view: &Self::View<'p>, slot: u16) -> Result<&'p [u8], Corrupt> {
                view.slot_bytes(slot)
            }

            fn slot_mut<'s>(
                bytes: &'s mut [u8],
                geometry: &Geometry,
            ) -> Result<$slot<'s>, Corrupt> {
                $slot::copied(bytes, geometry)
            }
        }
    )*};
}
patched! {
    Elements: ElementId, ElementSlotMut;
    Upper: UpperId, UpperSlotMut;
}

macro_rules! kinds {
    ($($kind:ident: $page:ident, $view:ident, $view_mut:ident, $used:expr;)*) => {$(
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

            fn used(view: &$view<'_>, geometry: &Geometry) -> u16 {
                let used: fn(&$view<'_>, &Geometry) -> u16 = $used;
                used(view, geometry)
            }
        }
    )*};
}
kinds! {
    Elements: Element, ElementPage, ElementPageMut, |view, _| view.used();
    Upper: Upper, UpperPage, UpperPageMut, |view, _| view.used();
    Overflow: Overflow, OverflowPage, OverflowPageMut, |view, _| view.used();
    Filters: Filter, FilterPage, FilterPageMut, |_, geometry| {
        geometry.keys.map_or(0, |keys| keys.per_page)
    };
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
    kind: PhantomData<K>,
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
            kind: PhantomData,
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
        read_as::<K, R>(self.index, self.block(), self.page.bytes(), read)
    }

    /// Copies the page and releases it.
    pub(super) fn copy(self) -> CopiedPage<'i, K> {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        bytes.copy_from_slice(self.page.bytes());
        CopiedPage {
            index: self.index,
            block: self.block(),
            bytes,
            kind: PhantomData,
        }
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

    /// Changes a slot in a record of its own: the cheapest change.
    pub(super) fn change_slot<R>(
        &self,
        slot: u16,
        change: impl FnOnce(&mut K::SlotMut<'_>) -> R,
    ) -> R
    where
        K: Patched,
    {
        let geometry = self.index.geometry();
        let mut bytes = self.read(|page| K::slot_bytes(&page, slot)).to_vec();
        let view = K::slot_mut(&mut bytes, geometry);
        let result = change(&mut self.index.expect(self.block(), view));
        let at = K::Id::slots(geometry).range(slot).start;
        record::patch(self.index.relation(), &self.page, at, &bytes);
        result
    }

    /// Initialises a page just added to the index, within a record.
    pub(super) fn init(&self, record: &mut Record, init: fn(&mut [u8], &Geometry)) {
        let image = record.new_page(&self.page);
        init(record.bytes(image), self.index.geometry());
    }

    /// The page's special area: its free slots, and its place in the list of pages with free slots.
    pub(super) fn special(&self) -> Special {
        let special = layout::special(self.page.bytes());
        self.index.expect(self.block(), special)
    }

    /// Makes the page the head of that list, before `next`.
    pub(super) fn list(&self, record: &mut Record, next: Option<u32>) {
        let image = record.page(&self.page);
        let listed = layout::list_page(record.bytes(image), next);
        self.index.expect(self.block(), listed);
    }

    /// Removes the page from that list, of which it is the head; returns the next page.
    pub(super) fn unlist(&self, record: &mut Record) -> Option<u32> {
        let image = record.page(&self.page);
        let next = layout::unlist_page(record.bytes(image));
        self.index.expect(self.block(), next)
    }
}

/// A copy of a page.
pub(super) struct CopiedPage<'i, K> {
    index: &'i Index,
    block: u32,
    bytes: Box<[u8; PAGE_SIZE]>,
    kind: PhantomData<K>,
}

impl<K: Kind> CopiedPage<'_, K> {
    /// Reads the copy through its view.
    pub(super) fn read<'p, R>(&'p self, read: impl FnOnce(K::View<'p>) -> Result<R, Corrupt>) -> R {
        read_as::<K, R>(self.index, self.block, &*self.bytes, read)
    }
}

/// A share-locked page of any kind.
pub(super) struct AnyPage<'i> {
    index: &'i Index,
    page: Page,
    kind: PageKind,
}

impl<'i> AnyPage<'i> {
    /// Locks a block that exists; if it is in no buffer, the strategy chooses one. `None` for a page added but never written,
    /// because of a crash.
    pub(super) fn lock_by(strategy: Strategy, index: &'i Index, block: u32) -> Option<Self> {
        let page = Page::lock_by(strategy, index.relation(), block, Access::Share);
        let kind = index.kind(block, page.bytes())?;
        Some(Self { index, page, kind })
    }

    /// The page if it is of a kind.
    pub(super) fn of_kind<K: Kind>(self) -> Option<LockedPage<'i, K>> {
        (self.kind == K::KIND).then(|| LockedPage::of(self.index, self.page))
    }

    pub(super) fn kind(&self) -> PageKind {
        self.kind
    }

    pub(super) fn block(&self) -> u32 {
        self.page.block()
    }

    /// The id of one of the page's slots; `None` beyond the last id.
    pub(super) fn id<I: Id>(&self, slot: u16) -> Option<I> {
        I::slots(self.index.geometry()).join(self.block(), slot)
    }

    /// Reads the page through the view of a kind.
    pub(super) fn read<'p, K: Kind, R>(
        &'p self,
        read: impl FnOnce(K::View<'p>) -> Result<R, Corrupt>,
    ) -> R {
        read_as::<K, R>(self.index, self.block(), self.page.bytes(), read)
    }
}

/// Calls `visit` with the view of each page, under the conditions of [`Reader::visit`]. Damage is raised when no lock is held.
pub(super) fn visit<K: Kind>(
    index: &Index,
    reader: &mut Reader<'_>,
    blocks: &[u32],
    mut visit: impl FnMut(Range<usize>, &K::View<'_>) -> Result<(), Corrupt>,
) {
    let geometry = index.geometry();
    let mut wrong = None;
    reader.visit(blocks, |range, page| {
        if wrong.is_some() {
            return None;
        }
        let block = blocks[range.start];
        let visited = K::view(page, geometry).and_then(|view| {
            visit(range, &view)?;
            let used = K::used(&view, geometry);
            Ok(Checked {
                kind: K::KIND,
                used,
            })
        });
        visited.map_err(|what| wrong = Some((block, what))).ok()
    });
    if let Some((block, what)) = wrong {
        index.corrupt(block, what);
    }
}

fn read_as<'p, K: Kind, R>(
    index: &Index,
    block: u32,
    page: &'p [u8],
    read: impl FnOnce(K::View<'p>) -> Result<R, Corrupt>,
) -> R {
    index.expect(block, K::view(page, index.geometry()).and_then(read))
}
