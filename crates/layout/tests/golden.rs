//! Bytes are forever: pages of every released layout are read, and the current one is written as it was released.
//!
//! A new layout version adds files; it never changes these. `OMENDB_WRITE_GOLDEN=1 cargo test -p layout` writes them.
#![cfg(target_endian = "little")]

use std::fs;
use std::path::PathBuf;

use filter::Widths;
use hnsw::{Calibration, ElementId, GROUP};
use layout::{
    Calibrated, CenterPage, ElementPage, ElementPageMut, EntryPoint, FilterPage, FilterPageMut,
    Frozen, Geometry, Group, HeapTid, Metapage, Metric, NewElement, OverflowId, OverflowPage,
    OverflowPageMut, PAGE_SIZE, SlotState, UpperId, UpperPage, UpperPageMut, VectorKind,
    init_center_page, list_page, special,
};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn read(name: &str) -> Vec<u8> {
    fs::read(golden(name)).expect("golden files are part of the repository")
}

fn geometry() -> Geometry {
    Geometry::new(4, 24).expect("small")
}

fn tid(number: u16) -> HeapTid {
    HeapTid {
        block: 0x0001_0000 * u32::from(number) + 0x0203,
        offset: number + 1,
    }
}

fn code(first: u8) -> Vec<u8> {
    (first..first + 24).collect()
}

fn ids(numbers: impl IntoIterator<Item = u32>) -> Vec<ElementId> {
    numbers.into_iter().map(ElementId).collect()
}

fn metapage() -> Metapage {
    Metapage {
        frozen: Frozen {
            kind: VectorKind::F32,
            metric: Metric::Cosine,
            code_bits: 4,
            dimensions: 24,
            seed: 0x0102_0304_0506_0708,
            geometry: geometry(),
            center_block: Some(1),
            built_elements: 1_000_000_000_001,
        },
        entry_point: Some(EntryPoint {
            element: geometry().element.join(5, 3).expect("small"),
            level: 2,
        }),
        element_free: Some(7),
        upper_free: None,
        overflow_free: Some(9),
        filter_first: None,
        filter_free: None,
        removals: 0,
        calibrated: None,
        learned: None,
        looked_at: 0,
    }
}

fn empty_metapage() -> Metapage {
    let frozen = Frozen {
        metric: Metric::L2,
        code_bits: 32,
        center_block: None,
        ..metapage().frozen
    };
    Metapage {
        frozen,
        entry_point: None,
        element_free: None,
        upper_free: None,
        overflow_free: None,
        filter_first: None,
        filter_free: None,
        removals: 0,
        calibrated: None,
        learned: None,
        looked_at: 0,
    }
}

fn half_metapage() -> Metapage {
    let frozen = Frozen {
        kind: VectorKind::F16,
        ..metapage().frozen
    };
    Metapage {
        frozen,
        ..metapage()
    }
}

fn bit_metapage() -> Metapage {
    let frozen = Frozen {
        kind: VectorKind::Bit,
        metric: Metric::Jaccard,
        code_bits: 1,
        dimensions: 64_000,
        center_block: None,
        ..metapage().frozen
    };
    Metapage {
        frozen,
        ..metapage()
    }
}

fn sparse_metapage() -> Metapage {
    let frozen = Frozen {
        kind: VectorKind::Sparse,
        metric: Metric::InnerProduct,
        code_bits: 8,
        dimensions: 1_000_000_000,
        center_block: None,
        ..metapage().frozen
    };
    Metapage {
        frozen,
        ..metapage()
    }
}

/// An index whose searches were calibrated.
fn calibrated_metapage() -> Metapage {
    let mut shares = [[0.0; 5]; 6];
    for (number, share) in (0_u8..).zip(shares.as_flattened_mut()) {
        *share = f32::from(number) / 16.0 - 0.25;
    }
    Metapage {
        calibrated: Some(Calibrated {
            calibration: Calibration {
                shares,
                efs: [0x0102, 0x0304, 0x0506, 0x0708, 0x090A, 0x0B0C],
            },
            blocks: 0x0102_0304,
            elements: 0x0506_0708,
            by_queries: false,
            most: 0x090A_0B0C,
            removed: 0x0D0E_0F10,
        }),
        ..metapage()
    }
}

/// An index whose searches were calibrated by queries.
fn metapage_by_queries() -> Metapage {
    let calibrated = calibrated_metapage().calibrated;
    Metapage {
        calibrated: calibrated.map(|calibrated| Calibrated {
            by_queries: true,
            ..calibrated
        }),
        ..metapage()
    }
}

/// An index with a `smallint` and a `bigint` column.
fn keyed_metapage() -> Metapage {
    let frozen = Frozen {
        geometry: keyed_geometry(),
        ..metapage().frozen
    };
    Metapage {
        frozen,
        filter_first: Some(11),
        filter_free: Some(13),
        ..metapage()
    }
}

/// The same with graphs of the values of the `bigint` column.
fn grouped_metapage() -> Metapage {
    let frozen = Frozen {
        geometry: grouped_geometry(),
        ..metapage().frozen
    };
    Metapage {
        frozen,
        ..keyed_metapage()
    }
}

/// An index that has learned centers since its build.
fn learned_metapage() -> Metapage {
    Metapage {
        learned: Some(0x0102_0304),
        looked_at: 0x0506_0708,
        ..metapage()
    }
}

/// The same with graphs of the values of the `bigint` column: it has looked for a center, and found none.
fn learned_grouped_metapage() -> Metapage {
    Metapage {
        looked_at: 17,
        ..grouped_metapage()
    }
}

/// An element with a code of the third center.
fn write_learned(page: &mut [u8]) {
    ElementPageMut::init(page, &geometry()).append(&NewElement {
        level: 0,
        code: &code(1),
        center: 2,
        neighbors: &ids(100..104),
        tids: &[tid(1)],
        upper: None,
        overflow: None,
        group: None,
    });
}

fn grouped_geometry() -> Geometry {
    keyed_geometry().with_groups(Some(1)).expect("small")
}

fn write_grouped(page: &mut [u8]) {
    let mut writer = ElementPageMut::init(page, &grouped_geometry());
    let in_group = ids([9, 8, 7]);
    let new = NewElement {
        level: 0,
        code: &code(1),
        center: 0,
        neighbors: &ids([1, 2]),
        tids: &[tid(1)],
        upper: None,
        overflow: None,
        group: Some((VALUE, &in_group)),
    };
    writer.append(&new);
    writer.append(&NewElement {
        group: Some((Group { image: None }, &[])),
        ..new
    });
    writer.append(&new);
    writer.free(2).expect("written above");
}

const VALUE: Group = Group {
    image: Some(0x0102_0304_0506_0708),
};

fn keyed_geometry() -> Geometry {
    geometry().with_keys(Widths::new(&[2, 8]))
}

fn row_key(images: [Option<u64>; 2]) -> Vec<u8> {
    let mut key = Vec::new();
    let widths = keyed_geometry().widths().expect("it has key columns");
    widths.write_key(&images, &mut key);
    key
}

fn write_filter(page: &mut [u8]) {
    let mut writer = FilterPageMut::init(page, &keyed_geometry(), Some(12));
    let keys = [
        row_key([Some(0x8102), Some(0x0102_0304_0506_0708)]),
        row_key([None, Some(9)]),
        row_key([Some(1), None]),
    ];
    for (entry, key) in (0..).zip(&keys) {
        writer.write(entry, ElementId(0x0102_0304), tid(entry), key);
    }
    writer.remove(|row| row == tid(1));
    list_page(page, Some(78)).expect("a good page");
}

fn write_elements(page: &mut [u8]) {
    let mut writer = ElementPageMut::init(page, &geometry());
    let plain = NewElement {
        level: 0,
        code: &code(1),
        center: 0,
        neighbors: &ids(100..108),
        tids: &[tid(1), tid(2)],
        upper: None,
        overflow: Some(OverflowId(0x0A0B_0C0D)),
        group: None,
    };
    writer.append(&plain);
    let neighbors = ids([7]);
    let high = NewElement {
        level: 2,
        neighbors: &neighbors,
        tids: &[tid(3)],
        upper: Some(UpperId(65)),
        ..plain
    };
    writer.append(&NewElement {
        code: &code(40),
        overflow: None,
        ..high
    });
    writer.append(&NewElement {
        code: &code(80),
        ..plain
    });
    writer.append(&plain);
    let mut dead = writer.slot(2).expect("written above");
    dead.remove_tids(|_| true);
    dead.set_overflow(None);
    dead.set_dead();
    writer.free(3).expect("written above");
    list_page(page, Some(77)).expect("a good page");
}

fn write_upper(page: &mut [u8]) {
    let mut writer = UpperPageMut::init(page, &geometry());
    writer
        .write_run(0, ElementId(0x0102_0304), 2)
        .expect("empty page");
    writer.write_run(2, ElementId(9), 1).expect("empty page");
    writer
        .slot(0)
        .expect("written above")
        .set_neighbors(&ids([1, 2, 3, 4]));
    writer
        .slot(1)
        .expect("written above")
        .set_neighbors(&ids([5]));
    writer.free_run(2, ElementId(9), 1).expect("written above");
}

fn write_overflow(page: &mut [u8]) {
    let mut writer = OverflowPageMut::init(page, &geometry());
    writer
        .write(0, ElementId(0x0102_0304), Some(OverflowId(1)), 0x0506_0708)
        .expect("empty page");
    writer
        .write(1, ElementId(0x0102_0304), None, 3)
        .expect("empty page");
    writer.write(2, ElementId(6), None, 0).expect("empty page");
    for number in 0..20 {
        writer.slot(0).expect("written above").add_tid(tid(number));
    }
    writer.slot(1).expect("written above").add_tid(tid(20));
    writer.free(2).expect("written above");
}

/// As above, with rows marked as dead: 4, 9 and 14 come first then.
fn write_overflow_dead(page: &mut [u8]) {
    write_overflow(page);
    let geometry = geometry();
    let mut writer = OverflowPageMut::view(page, &geometry).expect("written above");
    let mut slot = writer.slot(0).expect("written above");
    slot.mark_dead(|row| [4, 9, 14].map(tid).contains(&row));
}

/// The pages as this build writes them.
fn written() -> [(&'static str, Vec<u8>); 19] {
    let page = |write: &dyn Fn(&mut [u8])| {
        let mut page = vec![0; PAGE_SIZE];
        write(&mut page);
        page
    };
    [
        ("v1_meta.bin", page(&|page| metapage().init(page))),
        (
            "v1_meta_empty.bin",
            page(&|page| empty_metapage().init(page)),
        ),
        ("v1_meta_half.bin", page(&|page| half_metapage().init(page))),
        ("v1_meta_bit.bin", page(&|page| bit_metapage().init(page))),
        (
            "v1_meta_sparse.bin",
            page(&|page| sparse_metapage().init(page)),
        ),
        (
            "v1_meta_calibrated_2.bin",
            page(&|page| calibrated_metapage().init(page)),
        ),
        (
            "v1_meta_by_queries_2.bin",
            page(&|page| metapage_by_queries().init(page)),
        ),
        ("v2_meta.bin", page(&|page| keyed_metapage().init(page))),
        ("v2_filter.bin", page(&write_filter)),
        ("v3_meta.bin", page(&|page| grouped_metapage().init(page))),
        ("v3_element.bin", page(&write_grouped)),
        ("v4_meta.bin", page(&|page| learned_metapage().init(page))),
        (
            "v6_meta.bin",
            page(&|page| learned_grouped_metapage().init(page)),
        ),
        ("v4_element.bin", page(&write_learned)),
        ("v1_element.bin", page(&write_elements)),
        ("v1_upper.bin", page(&write_upper)),
        ("v1_overflow.bin", page(&write_overflow)),
        ("v1_overflow_dead.bin", page(&write_overflow_dead)),
        (
            "v1_center.bin",
            page(&|page| init_center_page(page, &[1.0, -2.5, 1e-3], Some(0x0102_0304))),
        ),
    ]
}

#[test]
fn pages_are_written_as_released() {
    for (name, page) in written() {
        if std::env::var_os("OMENDB_WRITE_GOLDEN").is_some_and(|value| value == "1") {
            fs::write(golden(name), &page).expect("the golden folder can be written");
        }
        let released = read(name);
        let differs = page.iter().zip(&released).position(|(new, old)| new != old);
        assert_eq!(
            (differs, released.len()),
            (None, PAGE_SIZE),
            "first different byte of {name}"
        );
    }
}

#[test]
fn v1_metapages_are_read() {
    assert_eq!(Metapage::read(&read("v1_meta.bin")), Ok(metapage()));
    assert_eq!(
        Metapage::read(&read("v1_meta_empty.bin")),
        Ok(empty_metapage())
    );
    assert_eq!(
        Metapage::read(&read("v1_meta_half.bin")),
        Ok(half_metapage())
    );
    assert_eq!(Metapage::read(&read("v1_meta_bit.bin")), Ok(bit_metapage()));
    assert_eq!(
        Metapage::read(&read("v1_meta_sparse.bin")),
        Ok(sparse_metapage())
    );
    assert_eq!(
        Metapage::read(&read("v1_meta_calibrated_2.bin")),
        Ok(calibrated_metapage())
    );
    assert_eq!(
        Metapage::read(&read("v1_meta_by_queries_2.bin")),
        Ok(metapage_by_queries())
    );
    // Before calibrations had versions, and of the first version: by other rules, and so none.
    for earlier in [
        "v1_meta_calibrated.bin",
        "v1_meta_calibrated_1.bin",
        "v1_meta_by_queries.bin",
    ] {
        assert_eq!(Metapage::read(&read(earlier)), Ok(metapage()), "{earlier}");
    }
    let page = read("v1_meta.bin");
    assert_eq!(&page[24..28], b"omen");
    assert_eq!(&page[8190..], [0x9D, 0xFF]);
}

#[test]
fn v2_metapages_are_read() {
    let read = Metapage::read(&read("v2_meta.bin"));
    assert_eq!(read, Ok(keyed_metapage()));
}

#[test]
fn v2_filter_pages_are_read() {
    let (page, geometry) = (read("v2_filter.bin"), keyed_geometry());
    let view = FilterPage::view(&page, &geometry).unwrap();
    assert_eq!(view.check(), Ok(()));
    assert_eq!(
        (view.next(), geometry.keys.unwrap().per_page),
        (Some(12), 368)
    );
    let used: Vec<_> = (0..4).map(|entry| view.is_used(entry)).collect();
    assert_eq!(used, [true, false, true, false]);
    assert_eq!(
        (view.element(0), view.heap_tid(2)),
        (ElementId(0x0102_0304), tid(2))
    );
    let mut keys = Vec::new();
    view.row_key(0, &mut keys);
    view.row_key(2, &mut keys);
    let first = row_key([Some(0x8102), Some(0x0102_0304_0506_0708)]);
    assert_eq!(keys, [first, row_key([Some(1), None])].concat());
    let zone = view.zone();
    assert_eq!(
        (
            zone.column(0).min,
            zone.column(0).max,
            zone.column(0).has_null
        ),
        (1, 0x8102, false)
    );
    assert!(zone.column(1).has_null);
    let special = view.special().unwrap();
    assert_eq!(
        (special.is_listed(), special.next(), special.free()),
        (true, Some(78), 366)
    );
}

#[test]
fn v3_metapages_are_read() {
    let read = Metapage::read(&read("v3_meta.bin"));
    assert_eq!(read, Ok(grouped_metapage()));
}

#[test]
fn v3_elements_are_read() {
    let (page, geometry) = (read("v3_element.bin"), grouped_geometry());
    let view = ElementPage::view(&page, &geometry).unwrap();
    assert_eq!((view.used(), geometry.element.len), (3, 84 + 12 + 16));
    let (first, second) = (view.slot(0).unwrap(), view.slot(1).unwrap());
    let lists = [0, GROUP].map(|level| first.list(level).collect::<Vec<_>>());
    assert_eq!(lists, [ids([1, 2]), ids([9, 8, 7])]);
    assert_eq!(
        (first.group(), second.group()),
        (Some(VALUE), Some(Group { image: None }))
    );
    assert_eq!(second.group_neighbors().len(), 0);
    assert_eq!(view.slot(2).unwrap().state(), SlotState::Free);
    // The image, the count and the mark of NULL: an element's last bytes before its neighbors in the group.
    let group = &page[24 + 84..24 + 84 + 12];
    assert_eq!(group, [8, 7, 6, 5, 4, 3, 2, 1, 3, 0, 0, 0]);
}

#[test]
fn metapages_with_learned_centers_are_read() {
    let page = read("v4_meta.bin");
    assert_eq!(Metapage::read(&page), Ok(learned_metapage()));
    assert_eq!(page[28..32], [4, 0, 0, 0]);
    let page = read("v6_meta.bin");
    assert_eq!(Metapage::read(&page), Ok(learned_grouped_metapage()));
    assert_eq!(page[28..32], [6, 0, 0, 0]);
}

#[test]
fn an_element_names_its_center() {
    let (page, geometry) = (read("v4_element.bin"), geometry());
    let view = ElementPage::view(&page, &geometry).unwrap();
    assert_eq!((view.slot(0).unwrap().center(), page[24 + 7]), (2, 2));
    assert_eq!(view.code(0).unwrap().center, 2);
    let page = read("v1_element.bin");
    let view = ElementPage::view(&page, &geometry).unwrap();
    assert_eq!(view.slot(0).unwrap().center(), 0);
}

#[test]
fn v1_elements_are_read() {
    let (page, geometry) = (read("v1_element.bin"), geometry());
    let view = ElementPage::view(&page, &geometry).unwrap();
    assert_eq!(
        (view.used(), geometry.element.len, geometry.element.per_page),
        (4, 84, 97)
    );
    let states: Vec<_> = (0..4)
        .map(|slot| view.slot(slot).unwrap().state())
        .collect();
    assert_eq!(
        states,
        [
            SlotState::Live,
            SlotState::Live,
            SlotState::Dead,
            SlotState::Free
        ]
    );

    let plain = view.slot(0).unwrap();
    assert_eq!(
        (plain.level(), plain.version(), plain.code()),
        (0, 0, &code(1)[..])
    );
    assert_eq!(plain.neighbors().collect::<Vec<_>>(), ids(100..108));
    assert_eq!(plain.heap_tids().collect::<Vec<_>>(), [tid(1), tid(2)]);
    assert_eq!(
        (plain.upper(), plain.overflow()),
        (None, Some(OverflowId(0x0A0B_0C0D)))
    );

    let high = view.slot(1).unwrap();
    assert_eq!((high.level(), high.code()), (2, &code(40)[..]));
    assert_eq!(high.neighbors().collect::<Vec<_>>(), ids([7]));
    assert_eq!(high.heap_tids().collect::<Vec<_>>(), [tid(3)]);
    assert_eq!((high.upper(), high.overflow()), (Some(UpperId(65)), None));

    let dead = view.slot(2).unwrap();
    assert_eq!(
        (dead.code(), dead.neighbors().len(), dead.heap_tids().len()),
        (&code(80)[..], 8, 0)
    );
    let free = view.slot(3).unwrap();
    assert_eq!(
        (free.version(), free.code(), free.neighbors().len()),
        (1, &[0; 24][..], 0)
    );

    let special = special(&page).unwrap();
    assert_eq!(
        (special.is_listed(), special.next(), special.free()),
        (true, Some(77), 94)
    );
}

#[test]
fn v1_upper_lists_are_read() {
    let (page, geometry) = (read("v1_upper.bin"), geometry());
    let view = UpperPage::view(&page, &geometry).unwrap();
    let read = |slot| {
        let list = view.slot(slot).unwrap();
        (
            list.is_live(),
            list.level(),
            list.element().0,
            list.neighbors().collect::<Vec<_>>(),
        )
    };
    assert_eq!(view.used(), 3);
    assert_eq!(read(0), (true, 1, 0x0102_0304, ids([1, 2, 3, 4])));
    assert_eq!(read(1), (true, 2, 0x0102_0304, ids([5])));
    assert_eq!(read(2), (false, 0, u32::MAX, vec![]));
}

#[test]
fn v1_overflow_rows_are_read() {
    let (page, geometry) = (read("v1_overflow.bin"), geometry());
    let view = OverflowPage::view(&page, &geometry).unwrap();
    let read = |slot| {
        let rows = view.slot(slot).unwrap();
        (
            rows.is_live(),
            rows.element().0,
            rows.next(),
            rows.heap_tids().collect::<Vec<_>>(),
        )
    };
    let serials = [0, 1].map(|slot| view.slot(slot).unwrap().serial());
    assert_eq!(serials, [0x0506_0708, 3]);
    assert_eq!(view.used(), 3);
    assert_eq!(
        read(0),
        (
            true,
            0x0102_0304,
            Some(OverflowId(1)),
            (0..20).map(tid).collect()
        )
    );
    assert_eq!(read(1), (true, 0x0102_0304, None, vec![tid(20)]));
    assert_eq!(read(2), (false, u32::MAX, None, vec![]));
}

#[test]
fn v1_dead_overflow_rows_are_read() {
    let geometry = geometry();
    for (name, dead, first) in [
        ("v1_overflow.bin", 0, [0, 1, 2, 3]),
        ("v1_overflow_dead.bin", 3, [4, 9, 14, 3]),
    ] {
        let page = read(name);
        let view = OverflowPage::view(&page, &geometry).unwrap();
        let slot = view.slot(0).unwrap();
        let rows: Vec<_> = slot.heap_tids().take(4).collect();
        assert_eq!((slot.dead(), slot.heap_tids().len()), (dead, 20));
        assert_eq!(rows, first.map(tid));
    }
}

#[test]
fn v1_centers_are_read() {
    let page = read("v1_center.bin");
    let view = CenterPage::view(&page).unwrap();
    assert_eq!(view.values().collect::<Vec<_>>(), [1.0, -2.5, 1e-3]);
    assert_eq!(view.next(), Some(0x0102_0304));
}
