//! Filter pages: the key columns of rows, column by column, so that a scan reads only what its conditions test.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};
use filter::{ColumnZone, Entries, MAX_COLUMNS, Widths, Zone};
use hnsw::ElementId;

use crate::heap_tid::TID_LEN;
use crate::page::{
    CONTENTS, NO_BLOCK, PAGE_HEADER, PageKind, SPECIAL, init_page, lower, set_free, set_lower,
    special_of,
};
use crate::{Corrupt, Geometry, HeapTid, Special};

const HEAD: usize = size_of::<Head>();
const BOUNDS: usize = size_of::<Bounds>();

const _: () = assert!(HEAD == 8 && BOUNDS == 16);

/// The start of the contents; a [`Bounds`] for each key column follows.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Head {
    /// The next filter page of the index.
    next: u32,
    /// Bit `c`: an entry has NULL in column `c`.
    nulls: u8,
    reserved: [u8; 3],
}

/// The least and the largest image of a column in the page; `min` is above `max` if there is none.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Bounds {
    min: u64,
    max: u64,
}

/// The arrangement of a filter page: arrays of one length, an item of each for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterShape {
    /// The widths of the images.
    pub widths: Widths,
    /// Entries per page.
    pub per_page: u16,
}

impl FilterShape {
    /// Bytes of an entry beside its images: element, TID, null bits and the mark of its use.
    const ENTRY: usize = size_of::<u32>() + TID_LEN + 2;

    /// The arrangement for key columns of these widths.
    #[must_use]
    pub fn new(widths: Widths) -> Self {
        let entry = Self::ENTRY + widths.key_len() - 1;
        let room = CONTENTS - HEAD - BOUNDS * widths.count();
        Self {
            widths,
            per_page: u16::try_from(room / entry).expect("less than a page"),
        }
    }

    fn bounds(&self, column: usize) -> usize {
        debug_assert!(column <= self.widths.count(), "an array follows the bounds");
        PAGE_HEADER + HEAD + BOUNDS * column
    }

    /// The bytes of the page's header, its head and its bounds.
    #[must_use]
    pub fn head(&self) -> Range<usize> {
        0..self.elements()
    }

    /// The bytes of the entries' elements.
    #[must_use]
    pub fn elements_range(&self) -> Range<usize> {
        self.elements()..self.images(0)
    }

    /// The bytes of the images of a column.
    #[must_use]
    pub fn images_range(&self, column: usize) -> Range<usize> {
        self.images(column)..self.images(column + 1)
    }

    /// The bytes of the entries' null bits and of the marks of their use.
    #[must_use]
    pub fn flags(&self) -> Range<usize> {
        self.nulls()..self.end()
    }

    fn entries(&self) -> usize {
        self.per_page.into()
    }

    fn elements(&self) -> usize {
        self.bounds(self.widths.count())
    }

    fn images(&self, column: usize) -> usize {
        let before = self.widths.offset(column) - 1;
        self.elements() + self.entries() * (size_of::<u32>() + before)
    }

    fn tids(&self) -> usize {
        self.images(self.widths.count())
    }

    fn nulls(&self) -> usize {
        self.tids() + self.entries() * TID_LEN
    }

    fn used(&self) -> usize {
        self.nulls() + self.entries()
    }

    fn end(&self) -> usize {
        self.used() + self.entries()
    }
}

/// A read view of a filter page.
pub struct FilterPage<'a> {
    page: &'a [u8],
    shape: FilterShape,
    head: Head,
}

impl<'a> FilterPage<'a> {
    /// Checks the page's header, head and special area.
    ///
    /// # Errors
    /// If the page is not a filter page of this geometry.
    #[inline]
    pub fn view(page: &'a [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        let special = special_of(page, PageKind::Filter)?;
        let shape = geometry.keys.ok_or(Corrupt::PageKind {
            expected: PageKind::Element,
            found: PageKind::Filter,
        })?;
        if usize::from(lower(page)) != shape.end() {
            return Err(Corrupt::Used(lower(page)));
        }
        if special.free() > shape.per_page {
            return Err(Corrupt::Free {
                free: special.free(),
                used: shape.per_page,
            });
        }
        let head: Head = bytemuck::pod_read_unaligned(&page[PAGE_HEADER..PAGE_HEADER + HEAD]);
        if head.reserved != [0; 3] {
            return Err(Corrupt::Reserved);
        }
        Ok(Self { page, shape, head })
    }

    /// The next filter page of the index.
    #[inline]
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        (self.head.next != NO_BLOCK).then_some(self.head.next)
    }

    /// Bounds that contain the keys of all entries.
    #[inline]
    #[must_use]
    pub fn zone(&self) -> Zone {
        let mut columns = [ColumnZone::EMPTY; MAX_COLUMNS];
        let count = self.shape.widths.count();
        for (number, column) in columns[..count].iter_mut().enumerate() {
            let at = self.shape.bounds(number);
            let bounds: Bounds = bytemuck::pod_read_unaligned(&self.page[at..at + BOUNDS]);
            *column = ColumnZone {
                min: bounds.min,
                max: bounds.max,
                has_null: self.head.nulls >> number & 1 != 0,
            };
        }
        Zone::from_columns(&columns[..count])
    }

    /// The keys of all entries, used or not.
    #[inline]
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        let widths = &self.shape.widths;
        let mut images: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        let mut rest = &self.page[self.shape.images(0)..];
        for (column, images) in images[..widths.count()].iter_mut().enumerate() {
            (*images, rest) = rest.split_at(self.shape.entries() * widths.get(column));
        }
        Entries {
            used: self.used(),
            nulls: &self.page[self.shape.nulls()..self.shape.used()],
            images,
        }
    }

    /// True for an entry in use.
    ///
    /// # Panics
    /// If there is no such entry.
    #[must_use]
    pub fn is_used(&self, entry: u16) -> bool {
        self.used()[usize::from(entry)] == 1
    }

    /// The element that holds an entry's row.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    #[must_use]
    pub fn element(&self, entry: u16) -> ElementId {
        let at = self.shape.elements() + usize::from(entry) * size_of::<u32>();
        ElementId(bytemuck::pod_read_unaligned(
            &self.page[at..at + size_of::<u32>()],
        ))
    }

    /// The row of an entry.
    ///
    /// # Panics
    /// If there is no such entry.
    #[inline]
    #[must_use]
    pub fn heap_tid(&self, entry: u16) -> HeapTid {
        let at = self.shape.tids() + usize::from(entry) * TID_LEN;
        HeapTid::from_bytes(bytemuck::pod_read_unaligned(&self.page[at..at + TID_LEN]))
    }

    /// The number of entries in use.
    #[must_use]
    pub fn count(&self) -> u16 {
        let free = self.special().map_or(0, |special| special.free());
        self.shape.per_page - free.min(self.shape.per_page)
    }

    /// The rows of all entries in use.
    pub fn heap_tids(&self) -> impl Iterator<Item = HeapTid> {
        (0..self.shape.per_page)
            .filter(|&entry| self.is_used(entry))
            .map(|entry| self.heap_tid(entry))
    }

    /// The number, the row and the element of each entry in use.
    pub fn rows(&self) -> impl Iterator<Item = (u16, HeapTid, ElementId)> {
        (0..self.shape.per_page)
            .filter(|&entry| self.is_used(entry))
            .map(|entry| (entry, self.heap_tid(entry), self.element(entry)))
    }

    /// Appends the row key of an entry.
    ///
    /// # Panics
    /// If there is no such entry.
    pub fn row_key(&self, entry: u16, into: &mut Vec<u8>) {
        let widths = &self.shape.widths;
        into.push(self.page[self.shape.nulls() + usize::from(entry)]);
        for column in 0..widths.count() {
            let width = widths.get(column);
            let at = self.shape.images(column) + usize::from(entry) * width;
            into.extend_from_slice(&self.page[at..at + width]);
        }
    }

    /// The first entry not in use.
    #[must_use]
    pub fn find_free(&self) -> Option<u16> {
        let first = self.used().iter().position(|&used| used != 1)?;
        u16::try_from(first).ok()
    }

    /// The page's special area.
    ///
    /// # Errors
    /// If it is corrupt.
    pub fn special(&self) -> Result<Special, Corrupt> {
        crate::special(self.page)
    }

    /// Compares the page's counts and bounds with its entries, for checks of a whole index.
    ///
    /// # Errors
    /// If an entry is neither used nor unused, the count of free entries is wrong, or an entry lies outside the bounds.
    pub fn check(&self) -> Result<(), Corrupt> {
        let odd = self.used().iter().find(|&&used| used > 1);
        if let Some(&used) = odd {
            return Err(Corrupt::State(used));
        }
        let used = self.used().iter().filter(|&&used| used == 1).count();
        let used = u16::try_from(used).expect("less than a page");
        let free = self.special()?.free();
        if free != self.shape.per_page - used {
            return Err(Corrupt::Free { free, used });
        }
        let mut key = Vec::new();
        for entry in (0..self.shape.per_page).filter(|&entry| self.is_used(entry)) {
            key.clear();
            self.row_key(entry, &mut key);
            if self.zone().add(self.shape.widths, &key) {
                return Err(Corrupt::Zone { entry });
            }
        }
        Ok(())
    }

    #[inline]
    fn used(&self) -> &'a [u8] {
        &self.page[self.shape.used()..self.shape.end()]
    }
}

/// A write view of a filter page.
pub struct FilterPageMut<'a> {
    page: &'a mut [u8],
    shape: FilterShape,
}

impl<'a> FilterPageMut<'a> {
    /// Makes `page` a filter page without entries, followed by `next`.
    ///
    /// # Panics
    /// If the geometry has no key columns.
    pub fn init(page: &'a mut [u8], geometry: &Geometry, next: Option<u32>) -> Self {
        let shape = geometry
            .keys
            .expect("only an index with key columns has filter pages");
        init_page(page, PageKind::Filter, shape.per_page);
        set_lower(page, shape.end());
        let mut view = Self { page, shape };
        view.set_head(&Zone::EMPTY, next.unwrap_or(NO_BLOCK));
        view
    }

    /// As [`FilterPage::view`].
    ///
    /// # Errors
    /// If the page is not a filter page of this geometry.
    pub fn view(page: &'a mut [u8], geometry: &Geometry) -> Result<Self, Corrupt> {
        let shape = FilterPage::view(page, geometry)?.shape;
        Ok(Self { page, shape })
    }

    /// A read view of the page.
    #[must_use]
    pub fn shared(&self) -> FilterPage<'_> {
        FilterPage {
            page: self.page,
            shape: self.shape,
            head: bytemuck::pod_read_unaligned(&self.page[PAGE_HEADER..PAGE_HEADER + HEAD]),
        }
    }

    /// Links the next filter page of the index.
    pub fn set_next(&mut self, next: Option<u32>) {
        let zone = self.shared().zone();
        self.set_head(&zone, next.unwrap_or(NO_BLOCK));
    }

    /// Writes an entry into a place from [`FilterPage::find_free`], and widens the bounds.
    ///
    /// # Panics
    /// If there is no such entry, or the row key is not of the index's widths.
    pub fn write(&mut self, entry: u16, element: ElementId, tid: HeapTid, row_key: &[u8]) {
        let shape = self.shape;
        assert_eq!(
            row_key.len(),
            shape.widths.key_len(),
            "all row keys of an index are equally long"
        );
        let was_used = self.shared().is_used(entry);
        let free = self.free();
        let number = usize::from(entry);
        let mut put = |array: usize, bytes: &[u8]| {
            let at = array + number * bytes.len();
            self.page[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(shape.elements(), &element.0.to_ne_bytes());
        put(shape.tids(), &tid.to_bytes());
        put(shape.nulls(), &row_key[..1]);
        put(shape.used(), &[1]);
        for column in 0..shape.widths.count() {
            let image = shape.widths.offset(column)..shape.widths.offset(column + 1);
            put(shape.images(column), &row_key[image]);
        }
        if !was_used {
            set_free(self.page, free.saturating_sub(1));
        }
        let mut zone = self.shared().zone();
        if zone.add(shape.widths, row_key) {
            let next = self.shared().head.next;
            self.set_head(&zone, next);
        }
    }

    /// Removes the entries of the rows for which `remove` is true, and narrows the bounds. Returns the number of entries
    /// removed.
    pub fn remove(&mut self, mut remove: impl FnMut(HeapTid) -> bool) -> u16 {
        let (mut zone, mut removed, mut key) = (Zone::EMPTY, 0, Vec::new());
        for entry in 0..self.shape.per_page {
            let view = self.shared();
            if !view.is_used(entry) {
                continue;
            }
            if remove(view.heap_tid(entry)) {
                let at = self.shape.used() + usize::from(entry);
                self.page[at] = 0;
                removed += 1;
            } else {
                key.clear();
                view.row_key(entry, &mut key);
                zone.add(self.shape.widths, &key);
            }
        }
        let next = self.shared().head.next;
        self.set_head(&zone, next);
        let free = self.free().saturating_add(removed);
        set_free(self.page, free.min(self.shape.per_page));
        removed
    }

    fn free(&self) -> u16 {
        // The special area was checked when the view was made.
        self.shared().special().map_or(0, |special| special.free())
    }

    fn set_head(&mut self, zone: &Zone, next: u32) {
        let mut nulls = 0;
        for number in 0..self.shape.widths.count() {
            let column = zone.column(number);
            nulls |= u8::from(column.has_null) << number;
            let at = self.shape.bounds(number);
            let bounds = Bounds {
                min: column.min,
                max: column.max,
            };
            self.page[at..at + BOUNDS].copy_from_slice(bytemuck::bytes_of(&bounds));
        }
        let head = Head {
            next,
            nulls,
            reserved: [0; 3],
        };
        self.page[PAGE_HEADER..PAGE_HEADER + HEAD].copy_from_slice(bytemuck::bytes_of(&head));
    }
}

const _: () = assert!(SPECIAL - PAGE_HEADER == CONTENTS);
