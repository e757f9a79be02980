//! Any bytes give a value or a fault, never a panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hnsw::{Calibration, ElementId, MAX_LEVEL};
use layout::{
    Calibrated, CenterPage, Corrupt, ElementPage, ElementPageMut, EntryPoint, Frozen, Geometry,
    Group, HeapTid, Metapage, Metric, NewElement, OverflowId, OverflowPage, OverflowPageMut,
    PAGE_SIZE, PageKind, SlotState, UpperId, UpperPage, UpperPageMut, VectorKind, init_center_page,
    is_new, list_page, special, unlist_page,
};
use proptest::collection::vec;
use proptest::prelude::*;

const CODE_LEN: usize = 20;

fn geometry() -> Geometry {
    Geometry::new(5, CODE_LEN).unwrap()
}

fn element(level: u8) -> NewElement<'static> {
    NewElement {
        level,
        code: &[9; CODE_LEN],
        center: 0,
        neighbors: &[ElementId(70), ElementId(71)],
        tids: &[HeapTid {
            block: 3,
            offset: 4,
        }],
        upper: (level > 0).then_some(UpperId(5)),
        overflow: Some(OverflowId(6)),
        group: None,
    }
}

#[test]
fn a_group_is_checked() {
    let geometry = geometry().with_keys(filter::Widths::new(&[8]));
    let geometry = geometry.with_groups(Some(0)).unwrap();
    let mut page = vec![0; PAGE_SIZE];
    let new = NewElement {
        group: Some((Group { image: Some(1) }, &[])),
        ..element(0)
    };
    ElementPageMut::init(&mut page, &geometry)
        .append(&new)
        .unwrap();
    let at = 24 + 28 + CODE_LEN + 4 * 10;
    let read = |page: &[u8]| {
        let view = ElementPage::view(page, &geometry).unwrap();
        view.slot(0).map(|slot| slot.group())
    };
    assert_eq!(read(&page), Ok(new.group.map(|(group, _)| group)));
    page[at + 8] = 6;
    let (count, capacity) = (6, 5);
    assert_eq!(read(&page), Err(Corrupt::Count { count, capacity }));
    page[at + 8] = 5;
    page[at + 11] = 1;
    assert_eq!(read(&page), Err(Corrupt::Reserved));
    page[at + 11] = 0;
    page[at + 10] = 1;
    assert_eq!(read(&page), Ok(Some(Group { image: None })));
    page[at + 10] = 2;
    assert_eq!(read(&page), Err(Corrupt::Null(2)));
}

fn element_page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    let mut writer = ElementPageMut::init(&mut page, &geometry());
    for level in 0..40 {
        writer.append(&element(level % (MAX_LEVEL + 1))).unwrap();
    }
    writer.slot(4).unwrap().set_dead();
    writer.free(5).unwrap();
    page
}

fn upper_page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    let mut writer = UpperPageMut::init(&mut page, &geometry());
    for (at, levels) in (0u16..).zip(1..8u8) {
        writer
            .write_run(writer.shared().used(), ElementId(at.into()), levels)
            .unwrap();
        writer.slot(at).unwrap().set_neighbors(&[ElementId(8)]);
    }
    writer.free_run(1, ElementId(1), 2).unwrap();
    page
}

fn overflow_page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    let mut writer = OverflowPageMut::init(&mut page, &geometry());
    for slot in 0..9 {
        writer
            .write(slot, ElementId(slot.into()), Some(OverflowId(3)), 7)
            .unwrap();
        writer.slot(slot).unwrap().add_tid(HeapTid {
            block: 1,
            offset: slot,
        });
    }
    writer.free(2).unwrap();
    page
}

fn center_page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    init_center_page(&mut page, &[1.5; 100], Some(9));
    page
}

fn metapage() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE];
    let frozen = Frozen {
        kind: VectorKind::F32,
        metric: Metric::Cosine,
        code_bits: 4,
        dimensions: 16,
        seed: 77,
        geometry: geometry(),
        center_block: Some(1),
        built_elements: 40,
    };
    let element = geometry().element.join(2, 7).unwrap();
    let entry_point = Some(EntryPoint { element, level: 3 });
    Metapage {
        frozen,
        entry_point,
        element_free: Some(4),
        upper_free: None,
        overflow_free: None,
        filter_first: None,
        filter_free: None,
        removals: 5,
        calibrated: None,
        learned: None,
        looked_at: 0,
    }
    .init(&mut page);
    page
}

fn pages() -> [Vec<u8>; 5] {
    [
        metapage(),
        element_page(),
        upper_page(),
        overflow_page(),
        center_page(),
    ]
}

/// Reads everything readable, as every kind of page.
fn read_everything(page: &[u8], geometry: &Geometry) {
    let _ = is_new(page);
    let _ = special(page).map(|special| {
        (
            special.kind(),
            special.free(),
            special.is_listed(),
            special.next(),
        )
    });
    let _ = Metapage::read(page);
    if let Ok(center) = CenterPage::view(page) {
        let bits = center.values().map(f32::to_bits);
        let _ = (bits.fold(0, |all, bits| all ^ bits), center.next());
    }
    if let Ok(elements) = ElementPage::view(page, geometry) {
        read_elements(&elements, geometry);
    }
    if let Ok(upper) = UpperPage::view(page, geometry) {
        read_upper(&upper);
    }
    if let Ok(overflow) = OverflowPage::view(page, geometry) {
        read_overflow(&overflow);
    }
}

/// The page's slots, and some beyond.
fn slots(used: u16) -> impl Iterator<Item = u16> {
    (0..=used).chain([u16::MAX])
}

fn read_elements(elements: &ElementPage<'_>, geometry: &Geometry) {
    let _ = (elements.special(), elements.find_free());
    for at in slots(elements.used()) {
        let _ = elements.code(at);
        let Ok(slot) = elements.slot(at) else {
            continue;
        };
        let _ = (slot.state(), slot.is_live(), slot.level(), slot.version());
        let _ = (slot.code().len(), slot.heap_tids().count());
        let upper = slot.upper().map(|upper| upper.at(slot.level()));
        let _ = upper.map(|upper| geometry.upper.split(upper));
        let overflow = slot.overflow();
        let _ = overflow.map(|overflow| geometry.overflow.split(overflow));
        slot.neighbors()
            .for_each(|id| _ = geometry.element.split(id));
    }
}

fn read_upper(upper: &UpperPage<'_>) {
    let _ = (upper.special(), upper.find_free_run(3));
    for slot in slots(upper.used()).filter_map(|at| upper.slot(at).ok()) {
        let _ = (slot.is_live(), slot.level(), slot.element());
        let _ = slot.neighbors().count();
    }
}

fn read_overflow(overflow: &OverflowPage<'_>) {
    let _ = (overflow.special(), overflow.find_free());
    for slot in slots(overflow.used()).filter_map(|at| overflow.slot(at).ok()) {
        let _ = (slot.is_live(), slot.element(), slot.next());
        let _ = slot.heap_tids().count();
    }
}

/// Changes everything writable, as every kind of page.
fn change_everything(page: &[u8], geometry: &Geometry, slot: u16) {
    let changed = &mut page.to_vec()[..];
    let _ = (list_page(changed, Some(3)), unlist_page(changed));
    let tid = HeapTid {
        block: 1,
        offset: 2,
    };
    if let Ok(mut elements) = ElementPageMut::view(changed, geometry) {
        if let Ok(mut element) = elements.slot(slot) {
            let _ = (
                element.add_tid(tid),
                element.remove_tids(|tid| tid.offset == 2),
            );
            element.set_overflow(None);
            element.set_neighbors(&[ElementId(1)]);
            element.set_dead();
        }
        let _ = (
            elements.free(slot),
            elements.write(slot, &element(1)),
            elements.append(&element(0)),
        );
        let _ = elements
            .shared()
            .find_free()
            .map(|slot| elements.write(slot, &element(2)));
    }
    if let Ok(mut upper) = UpperPageMut::view(changed, geometry) {
        if let Ok(mut list) = upper.slot(slot) {
            list.set_neighbors(&[ElementId(1)]);
        }
        let _ = (
            upper.free_run(slot, ElementId(0), 3),
            upper.write_run(slot, ElementId(0), 3),
        );
        let _ = upper
            .shared()
            .find_free_run(2)
            .map(|first| upper.write_run(first, ElementId(0), 2));
    }
    if let Ok(mut overflow) = OverflowPageMut::view(changed, geometry) {
        if let Ok(mut rows) = overflow.slot(slot) {
            let _ = (rows.add_tid(tid), rows.remove_tids(|tid| tid.offset == 2));
            rows.set_next(None);
        }
        let _ = (
            overflow.free(slot),
            overflow.write(slot, ElementId(0), None, 0),
        );
        let _ = overflow
            .shared()
            .find_free()
            .map(|slot| overflow.write(slot, ElementId(0), None, 0));
    }
    read_everything(changed, geometry);
}

/// Gives a page a valid header of a kind, so that its contents are read.
fn dress(page: &mut [u8], kind: u8, lower: u16, free: u16) {
    page[12..14].copy_from_slice(&lower.to_ne_bytes());
    page[14..16].copy_from_slice(&8176u16.to_ne_bytes());
    page[16..18].copy_from_slice(&8176u16.to_ne_bytes());
    page[8176..8178].copy_from_slice(&[kind, 0]);
    page[8178..8180].copy_from_slice(&free.to_ne_bytes());
    page[8184..8188].fill(0);
    page[8188..8190].copy_from_slice(&1u16.to_ne_bytes());
    page[8190..8192].copy_from_slice(&0xFF9Du16.to_ne_bytes());
}

proptest! {
    #[test]
    fn no_bytes_panic(page in vec(any::<u8>(), PAGE_SIZE), m in 2usize..=100, words in 1usize..=1000) {
        let geometry = Geometry::new(m, words * 4).unwrap();
        read_everything(&page, &geometry);
        change_everything(&page, &geometry, 0);
    }

    #[test]
    fn no_length_panics(page in vec(any::<u8>(), 0..PAGE_SIZE + 100)) {
        read_everything(&page, &geometry());
        change_everything(&page, &geometry(), 0);
    }

    #[test]
    fn no_bytes_within_a_page_panic(
        mut page in vec(any::<u8>(), PAGE_SIZE), kind in 1u8..=5, slots in 0u16..140, free in 0u16..=200, at in 0u16..140
    ) {
        let geometry = geometry();
        let len = match kind {
            1 => 256,
            3 => geometry.upper.len,
            4 => geometry.overflow.len,
            _ => geometry.element.len,
        };
        let lower = 24 + usize::from(slots) * len;
        dress(&mut page, kind, u16::try_from(lower.min(8176)).unwrap(), free);
        // Half of all states are valid, so that the rest of a slot is read.
        for slot in page[24..8176].chunks_mut(len) {
            slot[0] %= 8;
        }
        read_everything(&page, &geometry);
        change_everything(&page, &geometry, at);
    }

    #[test]
    fn no_change_of_bytes_panics(
        which in 0usize..5, changes in vec((0usize..PAGE_SIZE, any::<u8>()), 1..30),
        heads in vec((0usize..60, 0usize..28, any::<u8>()), 0..10), at in 0u16..60
    ) {
        let geometry = geometry();
        let mut page = pages()[which].clone();
        for (at, byte) in changes.iter().filter(|(at, _)| *at >= 24 && *at < 8176) {
            page[*at] = *byte;
        }
        for (slot, at, byte) in heads {
            page[24 + slot * geometry.element.len + at] = byte;
        }
        read_everything(&page, &geometry);
        change_everything(&page, &geometry, at);
        for (at, byte) in changes {
            page[at] = byte;
        }
        read_everything(&page, &geometry);
        change_everything(&page, &geometry, at);
    }
}

/// A page with some bytes changed.
fn with(mut page: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    page[at..at + bytes.len()].copy_from_slice(bytes);
    page
}

#[test]
fn a_page_of_another_kind_is_named() {
    let geometry = geometry();
    let found = PageKind::Center;
    let wrong = |expected| Some(Corrupt::PageKind { expected, found });
    assert_eq!(Metapage::read(&center_page()).err(), wrong(PageKind::Meta));
    assert_eq!(
        ElementPage::view(&center_page(), &geometry).err(),
        wrong(PageKind::Element)
    );
    assert_eq!(
        UpperPage::view(&center_page(), &geometry).err(),
        wrong(PageKind::Upper)
    );
    assert_eq!(
        OverflowPage::view(&center_page(), &geometry).err(),
        wrong(PageKind::Overflow)
    );
    let wrong = Corrupt::PageKind {
        expected: PageKind::Center,
        found: PageKind::Meta,
    };
    assert_eq!(CenterPage::view(&metapage()).err(), Some(wrong));
    assert_eq!(
        wrong.to_string(),
        "meta page where center page was expected"
    );
}

#[test]
fn what_is_wrong_with_any_page_is_named() {
    let header = |lower, upper, special| Corrupt::Header {
        lower,
        upper,
        special,
    };
    let table: [(usize, &[u8], Corrupt); 10] = [
        (8190, &[0, 0], Corrupt::PageId(0)),
        (8188, &2u16.to_ne_bytes(), Corrupt::LayoutVersion(2)),
        (8176, &[0], Corrupt::UnknownPageKind(0)),
        (8176, &[7], Corrupt::UnknownPageKind(7)),
        (8177, &[2], Corrupt::Reserved),
        (8184, &[1], Corrupt::Reserved),
        (12, &23u16.to_ne_bytes(), header(23, 8176, 8176)),
        (12, &8177u16.to_ne_bytes(), header(8177, 8176, 8176)),
        (14, &8175u16.to_ne_bytes(), header(280, 8175, 8176)),
        (16, &8192u16.to_ne_bytes(), header(280, 8176, 8192)),
    ];
    for (at, bytes, expected) in table {
        assert_eq!(special(&with(metapage(), at, bytes)), Err(expected));
    }
    assert_eq!(special(&[0; PAGE_SIZE]), Err(header(0, 0, 0)));
    assert_eq!(special(&[]), Err(Corrupt::PageSize(0)));
}

#[test]
fn an_index_that_pgvector_built_is_named() {
    let (hnsw, ivfflat) = ((0xA953_A953_u32, 0xFF90_u16), (0x014F_F1A7, 0xFF84));
    for (magic, page_id) in [hnsw, ivfflat] {
        let begun = with(metapage(), 24, &magic.to_ne_bytes());
        assert_eq!(
            Metapage::read(&begun),
            Err(Corrupt::Magic(magic)),
            "the page id is ours"
        );
        let whole = with(begun, 8190, &page_id.to_ne_bytes());
        assert_eq!(Metapage::read(&whole), Err(Corrupt::Pgvectors));
    }
    let mixed = with(metapage(), 24, &hnsw.0.to_ne_bytes());
    let mixed = with(mixed, 8190, &ivfflat.1.to_ne_bytes());
    assert_eq!(
        Metapage::read(&mixed),
        Err(Corrupt::PageId(ivfflat.1)),
        "the beginning of one and the end of the other"
    );
}

#[test]
fn a_slack_that_no_calibration_finds_is_named() {
    let mut metapage = Metapage::read(&metapage()).unwrap();
    metapage.calibrated = Some(Calibrated {
        calibration: Calibration {
            shares: [[0.25; 5]; 6],
            efs: [40; 6],
        },
        blocks: 9,
        elements: 200,
        by_queries: false,
        most: 2500,
        removed: 1,
    });
    let mut page = vec![0; PAGE_SIZE];
    metapage.init(&mut page);
    assert_eq!(Metapage::read(&page), Ok(metapage));
    for share in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let page = with(page.clone(), 276, &share.to_bits().to_ne_bytes());
        let expected = Corrupt::Share(share.to_bits());
        assert_eq!(Metapage::read(&page), Err(expected), "{share}");
    }
    // A calibration without a version is none, and leaves no bytes; no version is above 2.
    for version in [0_u32, 3] {
        let page = with(page.clone(), 128, &version.to_ne_bytes());
        assert_eq!(Metapage::read(&page), Err(Corrupt::Reserved), "{version}");
    }
}

#[test]
fn what_is_wrong_with_a_metapage_is_named() {
    let geometry = geometry();
    let (m, code_len, slot_len) = (5, 20, 88);
    let contradiction = |m, code_len, slot_len| Corrupt::Geometry {
        m,
        code_len,
        slot_len,
    };
    let beyond = geometry.element.join(2, 0).unwrap().0 + u32::from(geometry.element.per_page);
    let table: [(usize, &[u8], Corrupt); 30] = [
        (12, &284u16.to_ne_bytes(), Corrupt::Used(284)),
        (24, &1u32.to_ne_bytes(), Corrupt::Magic(1)),
        (28, &0u32.to_ne_bytes(), Corrupt::LayoutVersion(0)),
        (28, &7u32.to_ne_bytes(), Corrupt::LayoutVersion(7)),
        // Version 5 is version 2 with centers learned.
        (28, &5u32.to_ne_bytes(), Corrupt::KeyWidths([0; 8])),
        (120, &[1], Corrupt::Reserved),
        (124, &[1], Corrupt::Reserved),
        // Version 2 is for key columns, version 1 for none.
        (28, &2u32.to_ne_bytes(), Corrupt::KeyWidths([0; 8])),
        (96, &[1], Corrupt::Reserved),
        (104, &[1], Corrupt::Reserved),
        (108, &[1], Corrupt::Reserved),
        (32, &[5], Corrupt::VectorKind(5)),
        // Bit strings have metrics of their own.
        (32, &[3], Corrupt::Metric(3)),
        (33, &[0], Corrupt::Metric(0)),
        (33, &[5], Corrupt::Metric(5)),
        (33, &[7], Corrupt::Metric(7)),
        (32, &[3, 6, 4], Corrupt::CodeBits(4)),
        (32, &[4, 1, 32], Corrupt::CodeBits(32)),
        (34, &[3], Corrupt::CodeBits(3)),
        (35, &[16], Corrupt::Level(16)),
        (36, &0u32.to_ne_bytes(), Corrupt::Dimensions(0)),
        (36, &16_001u32.to_ne_bytes(), Corrupt::Dimensions(16_001)),
        (
            40,
            &6u16.to_ne_bytes(),
            contradiction(6, code_len, slot_len),
        ),
        (
            42,
            &91u16.to_ne_bytes(),
            contradiction(m, code_len, slot_len),
        ),
        (44, &24u32.to_ne_bytes(), contradiction(m, 24, slot_len)),
        (48, &92u32.to_ne_bytes(), contradiction(m, code_len, 92)),
        (52, &u32::MAX.to_ne_bytes(), Corrupt::EntryPoint(u32::MAX)),
        (52, &0u32.to_ne_bytes(), Corrupt::EntryPoint(0)),
        (52, &beyond.to_ne_bytes(), Corrupt::EntryPoint(beyond)),
        (279, &[1], Corrupt::Reserved),
    ];
    for (at, bytes, expected) in table {
        assert_eq!(
            Metapage::read(&with(metapage(), at, bytes)),
            Err(expected),
            "byte {at}"
        );
    }
}

#[test]
fn wrong_widths_of_key_columns_are_named() {
    for widths in [
        [0; 8],
        [1, 3, 0, 0, 0, 0, 0, 0],
        [1, 4, 4, 0, 0, 0, 0, 0],
        [8; 8],
    ] {
        let page = with(metapage(), 28, &2u32.to_ne_bytes());
        let page = with(page, 96, &widths);
        assert_eq!(Metapage::read(&page), Err(Corrupt::KeyWidths(widths)));
    }
}

#[test]
fn another_version_is_named() {
    let newer = Metapage::read(&with(metapage(), 28, &7u32.to_ne_bytes())).unwrap_err();
    assert_eq!(newer.to_string(), "layout version is 7, not 1 to 6");
}

#[test]
fn what_is_wrong_with_an_element_is_named() {
    let geometry = geometry();
    let page = element_page();
    let (level0, level1) = (24, 24 + geometry.element.len);
    let table: [(usize, &[u8], Corrupt); 8] = [
        (level0, &[0], Corrupt::State(0)),
        (level0, &[4], Corrupt::State(4)),
        (level0 + 1, &[16], Corrupt::Level(16)),
        (
            level0 + 2,
            &11u16.to_ne_bytes(),
            Corrupt::Count {
                count: 11,
                capacity: 10,
            },
        ),
        (
            level0 + 6,
            &[3],
            Corrupt::Count {
                count: 3,
                capacity: 2,
            },
        ),
        (level0 + 20, &[0; 4], Corrupt::UpperLink { level: 0 }),
        (level1 + 20, &[0xFF; 4], Corrupt::UpperLink { level: 1 }),
        (level1 + 1, &[0], Corrupt::UpperLink { level: 0 }),
    ];
    for (at, bytes, expected) in table {
        let page = with(page.clone(), at, bytes);
        let slot = u16::from(at >= level1);
        assert_eq!(
            ElementPage::view(&page, &geometry)
                .unwrap()
                .slot(slot)
                .err(),
            Some(expected),
            "byte {at}"
        );
    }
    let view = ElementPage::view(&page, &geometry).unwrap();
    let beyond = Corrupt::Slot { slot: 40, used: 40 };
    assert_eq!(
        (view.slot(40).err(), view.code(40).err()),
        (Some(beyond), Some(beyond))
    );
    assert_eq!(view.code(4).unwrap().state, SlotState::Dead);
    assert_eq!(view.code(5).unwrap().state, SlotState::Free);
}

#[test]
fn what_is_wrong_with_a_page_of_slots_is_named() {
    let geometry = geometry();
    let per_page = geometry.element.per_page;
    let odd = 24 + 88 * 3 + 1u16;
    let table: [(usize, &[u8], Corrupt); 3] = [
        (12, &odd.to_ne_bytes(), Corrupt::Used(odd)),
        (
            8178,
            &(per_page + 1).to_ne_bytes(),
            Corrupt::Free {
                free: per_page + 1,
                used: 40,
            },
        ),
        (
            8178,
            &(per_page - 41).to_ne_bytes(),
            Corrupt::Free {
                free: per_page - 41,
                used: 40,
            },
        ),
    ];
    for (at, bytes, expected) in table {
        assert_eq!(
            ElementPage::view(&with(element_page(), at, bytes), &geometry).err(),
            Some(expected)
        );
    }
}

#[test]
fn what_is_wrong_with_upper_and_overflow_slots_is_named() {
    let geometry = geometry();
    let upper: [(usize, &[u8], Corrupt); 5] = [
        (24, &[2], Corrupt::State(2)),
        (25, &[0], Corrupt::Level(0)),
        (25, &[16], Corrupt::Level(16)),
        (
            26,
            &6u16.to_ne_bytes(),
            Corrupt::Count {
                count: 6,
                capacity: 5,
            },
        ),
        (24, &[3], Corrupt::Level(1)),
    ];
    for (at, bytes, expected) in upper {
        let page = with(upper_page(), at, bytes);
        assert_eq!(
            UpperPage::view(&page, &geometry).unwrap().slot(0).err(),
            Some(expected),
            "byte {at}"
        );
    }
    let overflow: [(usize, &[u8], Corrupt); 3] = [
        (24, &[2], Corrupt::State(2)),
        (
            25,
            &[21],
            Corrupt::Count {
                count: 21,
                capacity: 20,
            },
        ),
        (
            26,
            &[200],
            Corrupt::Count {
                count: 200,
                capacity: 1,
            },
        ),
    ];
    for (at, bytes, expected) in overflow {
        let page = with(overflow_page(), at, bytes);
        assert_eq!(
            OverflowPage::view(&page, &geometry).unwrap().slot(0).err(),
            Some(expected),
            "byte {at}"
        );
    }
    let torn = with(center_page(), 12, &425u16.to_ne_bytes());
    assert_eq!(CenterPage::view(&torn).err(), Some(Corrupt::Used(425)));
    let empty = with(center_page(), 12, &24u16.to_ne_bytes());
    assert_eq!(CenterPage::view(&empty).err(), Some(Corrupt::Used(24)));
}
