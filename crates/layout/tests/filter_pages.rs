//! Filter pages keep what is written, and no bytes in one cause a panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use filter::{Filter, Test, Widths};
use hnsw::ElementId;
use layout::{Corrupt, FilterPage, FilterPageMut, Geometry, HeapTid, PAGE_SIZE};
use proptest::collection::vec;
use proptest::prelude::*;

/// An entry: element, row, row key.
type Entry = (u32, HeapTid, Vec<u8>);

fn geometry(widths: &[u8]) -> Geometry {
    Geometry::new(4, 24)
        .unwrap()
        .with_keys(Some(Widths::new(widths).unwrap()))
}

fn widths() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(vec![1u8, 2, 4, 8]), 1..=7)
}

fn tid(number: u32) -> HeapTid {
    HeapTid {
        block: number / 100,
        offset: u16::try_from(number % 100 + 1).unwrap(),
    }
}

fn row_key(widths: &Widths, seed: u64) -> Vec<u8> {
    let images: Vec<_> = (0..widths.count())
        .map(|column| {
            let image = seed.rotate_left(9 * u32::try_from(column).unwrap());
            (!image.is_multiple_of(5)).then_some(image & widths.max_image(column))
        })
        .collect();
    let mut key = Vec::new();
    widths.write_key(&images, &mut key);
    key
}

fn check_model(page: &[u8], geometry: &Geometry, model: &BTreeMap<u16, Entry>) {
    let view = FilterPage::view(page, geometry).unwrap();
    view.check().unwrap();
    let per_page = geometry.keys.unwrap().per_page;
    assert_eq!(
        usize::from(view.special().unwrap().free()),
        usize::from(per_page) - model.len()
    );
    for entry in 0..per_page {
        assert_eq!(view.is_used(entry), model.contains_key(&entry));
    }
    for (&entry, (element, row, key)) in model {
        let mut read = Vec::new();
        view.row_key(entry, &mut read);
        assert_eq!(
            (view.element(entry), view.heap_tid(entry), &read),
            (ElementId(*element), *row, key)
        );
    }
    let mut all = Vec::new();
    Filter::new(geometry.widths().unwrap()).select(&view.entries(), &mut all);
    assert!(
        all.iter().eq(model.keys()),
        "a filter without tests passes all entries"
    );
}

#[test]
fn two_integers_make_405_entries() {
    assert_eq!(geometry(&[4, 4]).keys.unwrap().per_page, 405);
    assert_eq!(geometry(&[8; 7]).keys.unwrap().per_page, 118);
}

#[test]
fn a_page_of_an_index_without_keys_is_refused() {
    let mut page = vec![0; PAGE_SIZE];
    FilterPageMut::init(&mut page, &geometry(&[4]), None);
    let plain = Geometry::new(4, 24).unwrap();
    assert!(matches!(
        FilterPage::view(&page, &plain).map(|_| ()),
        Err(Corrupt::PageKind { .. })
    ));
}

#[test]
fn check_finds_wrong_counts_marks_and_bounds() {
    let geometry = geometry(&[2]);
    let mut good = vec![0; PAGE_SIZE];
    let mut writer = FilterPageMut::init(&mut good, &geometry, Some(9));
    writer.write(
        0,
        ElementId(7),
        tid(1),
        &row_key(&geometry.widths().unwrap(), 1),
    );
    let (bounds, mark) = (
        24 + 8,
        usize::from(u16::from_ne_bytes([good[12], good[13]])) - 1,
    );
    let broken = |at: usize, byte: u8| {
        let mut page = good.clone();
        page[at] = byte;
        FilterPage::view(&page, &geometry).and_then(|view| view.check())
    };
    assert_eq!(broken(0, 0), Ok(()));
    assert_eq!(broken(mark, 2), Err(Corrupt::State(2)));
    assert!(matches!(broken(mark, 1), Err(Corrupt::Free { .. })));
    assert_eq!(broken(bounds, 5), Err(Corrupt::Zone { entry: 0 }));
    assert_eq!(broken(24 + 5, 1), Err(Corrupt::Reserved));
}

proptest! {
    #[test]
    fn entries_are_kept(
        widths in widths(),
        steps in vec((any::<bool>(), any::<u32>(), 0u32..300, any::<u64>()), 0..300),
        next in prop::option::of(0u32..1000),
    ) {
        let geometry = geometry(&widths);
        let widths = geometry.widths().unwrap();
        let mut page = vec![0; PAGE_SIZE];
        FilterPageMut::init(&mut page, &geometry, next);
        let mut model = BTreeMap::new();
        for (is_insert, element, row, seed) in steps {
            let mut view = FilterPageMut::view(&mut page, &geometry).unwrap();
            match view.shared().find_free().filter(|_| is_insert) {
                Some(entry) => {
                    let key = row_key(&widths, seed);
                    view.write(entry, ElementId(element), tid(row), &key);
                    model.insert(entry, (element, tid(row), key));
                }
                None => {
                    let removed = view.remove(|found| found == tid(row));
                    let before = model.len();
                    model.retain(|_, entry: &mut Entry| entry.1 != tid(row));
                    prop_assert_eq!(usize::from(removed), before - model.len());
                }
            }
            prop_assert_eq!(FilterPage::view(&page, &geometry).unwrap().next(), next);
        }
        check_model(&page, &geometry, &model);
    }

    #[test]
    fn the_zone_admits_every_entry(widths in widths(), seeds in vec(any::<u64>(), 1..100), pick in any::<prop::sample::Index>()) {
        let geometry = geometry(&widths);
        let widths = geometry.widths().unwrap();
        let mut page = vec![0; PAGE_SIZE];
        let mut writer = FilterPageMut::init(&mut page, &geometry, None);
        for (entry, &seed) in (0..).zip(&seeds) {
            writer.write(entry, ElementId(1), tid(u32::from(entry)), &row_key(&widths, seed));
        }
        writer.remove(|row| row.offset % 3 == 0);
        let entry = u16::try_from(pick.index(seeds.len())).unwrap();
        let view = FilterPage::view(&page, &geometry).unwrap();
        prop_assume!(view.is_used(entry));
        let mut key = Vec::new();
        view.row_key(entry, &mut key);
        let mut filter = Filter::new(widths);
        for column in 0..widths.count() {
            let test = widths.image(&key, column).map_or(Test::Null, |image| Test::Range { lo: image, hi: image });
            filter.require(column, test);
        }
        prop_assert!(filter.may_match(&view.zone()));
        let mut found = Vec::new();
        filter.select(&view.entries(), &mut found);
        prop_assert!(found.contains(&entry));
    }

    #[test]
    fn no_bytes_panic(mut page in vec(any::<u8>(), PAGE_SIZE), widths in widths(), free in 0u16..600) {
        let geometry = geometry(&widths);
        let mut dressed = vec![0; PAGE_SIZE];
        FilterPageMut::init(&mut dressed, &geometry, None);
        page[..24].copy_from_slice(&dressed[..24]);
        page[29..32].fill(0);
        page[8176..].copy_from_slice(&dressed[8176..]);
        page[8178..8180].copy_from_slice(&free.to_ne_bytes());
        if let Ok(view) = FilterPage::view(&page, &geometry) {
            let _ = (view.check(), view.next(), view.find_free());
            let mut found = Vec::new();
            Filter::new(geometry.widths().unwrap()).select(&view.entries(), &mut found);
        }
        if let Ok(mut view) = FilterPageMut::view(&mut page, &geometry) {
            let key = row_key(&geometry.widths().unwrap(), 3);
            view.write(0, ElementId(0), tid(0), &key);
            view.remove(|row| row.offset % 2 == 0);
        }
    }
}
