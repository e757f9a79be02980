//! Every write reads back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use filter::Widths;
use hnsw::{Calibration, ElementId, GROUP, Level, MAX_LEVEL};
use layout::{
    CENTER_VALUES, Calibrated, CenterPage, Corrupt, ElementPage, ElementPageMut, ElementSlotMut,
    EntryPoint, Frozen, Geometry, Group, HeapTid, INLINE_TIDS, Metapage, Metric, NewElement,
    OVERFLOW_TIDS, OverflowId, OverflowPage, OverflowPageMut, PAGE_SIZE, PageKind, SlotState,
    StoredCode, UpperId, UpperPage, UpperPageMut, VectorKind, init_center_page, is_new, list_page,
    special, unlist_page,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Element {
    level: Level,
    code: Vec<u8>,
    center: u8,
    neighbors: Vec<ElementId>,
    tids: Vec<HeapTid>,
    upper: Option<UpperId>,
    overflow: Option<OverflowId>,
}

impl Element {
    fn to_write(&self) -> NewElement<'_> {
        NewElement {
            level: self.level,
            code: &self.code,
            center: self.center,
            neighbors: &self.neighbors,
            tids: &self.tids,
            upper: self.upper,
            overflow: self.overflow,
            group: None,
        }
    }

    fn read(page: &[u8], geometry: &Geometry, slot: u16) -> Self {
        let slot = ElementPage::view(page, geometry)
            .unwrap()
            .slot(slot)
            .unwrap();
        Self {
            level: slot.level(),
            code: slot.code().to_vec(),
            center: slot.center(),
            neighbors: slot.neighbors().collect(),
            tids: slot.heap_tids().collect(),
            upper: slot.upper(),
            overflow: slot.overflow(),
        }
    }
}

fn page() -> Vec<u8> {
    // Old contents of the buffer must have no influence.
    vec![0xAA; PAGE_SIZE]
}

fn geometry() -> impl Strategy<Value = Geometry> {
    (2usize..=100, 1usize..=300)
        .prop_map(|(m, words)| Geometry::new(m, words * 4).expect("fits in a page"))
}

fn tid() -> impl Strategy<Value = HeapTid> {
    (any::<u32>(), any::<u16>()).prop_map(|(block, offset)| HeapTid { block, offset })
}

fn ids(most: usize) -> impl Strategy<Value = Vec<ElementId>> {
    vec(any::<u32>().prop_map(ElementId), 0..=most)
}

fn link() -> impl Strategy<Value = u32> {
    0..u32::MAX
}

fn element(geometry: &Geometry) -> impl Strategy<Value = Element> + use<> {
    let parts = (
        0..=MAX_LEVEL,
        (vec(any::<u8>(), geometry.code_len), any::<u8>()),
        ids(2 * usize::from(geometry.m)),
        vec(tid(), 0..=INLINE_TIDS),
        link(),
        option::of(link()),
    );
    parts.prop_map(
        |(level, (code, center), neighbors, tids, upper, overflow)| Element {
            level,
            code,
            center,
            neighbors,
            tids,
            upper: (level > 0).then_some(UpperId(upper)),
            overflow: overflow.map(OverflowId),
        },
    )
}

fn frozen() -> impl Strategy<Value = Frozen> {
    let metric = prop_oneof![
        Just(Metric::L2),
        Just(Metric::InnerProduct),
        Just(Metric::Cosine),
        Just(Metric::L1)
    ];
    let code_bits = prop_oneof![Just(32u8), Just(8), Just(4), Just(2), Just(1)];
    let widths = option::of(vec(prop::sample::select(vec![1u8, 2, 4, 8]), 1..=7));
    let numbers = (1u32..=16_000, any::<u64>(), any::<u64>());
    let center = option::of(link());
    (geometry(), widths, metric, code_bits, center, numbers).prop_map(
        |(geometry, widths, metric, code_bits, center_block, numbers)| Frozen {
            kind: VectorKind::F32,
            metric,
            code_bits,
            dimensions: numbers.0,
            seed: numbers.1,
            geometry: geometry.with_keys(widths.and_then(|widths| Widths::new(&widths))),
            center_block,
            built_elements: numbers.2,
        },
    )
}

fn calibrated() -> impl Strategy<Value = Calibrated> {
    (1u32..=16_000, any::<u32>(), any::<bool>()).prop_map(|(blocks, removed, by_queries)| {
        Calibrated {
            calibration: Calibration {
                shares: [[-0.25, 0.0, 0.125, 1.5, 8.0]; 6],
                efs: [15, 25, 50, 90, 150, u16::MAX],
            },
            blocks,
            elements: 200,
            by_queries,
            most: u32::MAX,
            removed,
        }
    })
}

fn metapage() -> impl Strategy<Value = Metapage> {
    let entry = option::of((1u32..1000, any::<prop::sample::Index>(), 0..=MAX_LEVEL));
    let free = (option::of(link()), option::of(link()), option::of(link()));
    let filter = (option::of(link()), option::of(link()));
    let calibrated = option::of(calibrated());
    let learned = (option::of(1..u32::MAX), any::<u32>());
    (
        frozen(),
        entry,
        free,
        filter,
        any::<u64>(),
        calibrated,
        learned,
    )
        .prop_map(
            |(frozen, entry, free, filter, removals, calibrated, learned)| {
                let slots = &frozen.geometry.element;
                let entry_point = entry.map(|(block, slot, level)| {
                    let slot = u16::try_from(slot.index(slots.per_page.into())).unwrap();
                    let element = slots.join(block, slot).unwrap();
                    EntryPoint { element, level }
                });
                let has_keys = frozen.geometry.keys.is_some();
                Metapage {
                    frozen,
                    entry_point,
                    element_free: free.0,
                    upper_free: free.1,
                    overflow_free: free.2,
                    filter_first: filter.0.filter(|_| has_keys),
                    filter_free: filter.1.filter(|_| has_keys),
                    removals,
                    calibrated,
                    learned: learned.0,
                    looked_at: learned.1,
                }
            },
        )
}

proptest! {
    #[test]
    fn a_tid_is_six_bytes_and_back(tid in tid()) {
        prop_assert_eq!(HeapTid::from_bytes(tid.to_bytes()), tid);
        let [high0, high1, low0, low1, offset0, offset1] = tid.to_bytes();
        let high = u32::from(u16::from_ne_bytes([high0, high1]));
        prop_assert_eq!(high << 16 | u32::from(u16::from_ne_bytes([low0, low1])), tid.block);
        prop_assert_eq!(u16::from_ne_bytes([offset0, offset1]), tid.offset);
    }

    #[test]
    fn metapages_are_read_as_written(first in metapage(), second in metapage()) {
        let mut page = page();
        first.init(&mut page);
        prop_assert_eq!(Metapage::read(&page), Ok(first));
        second.write(&mut page);
        prop_assert_eq!(Metapage::read(&page), Ok(second));
    }

    #[test]
    fn elements_are_read_as_written(
        (geometry, elements) in geometry().prop_flat_map(|g| (Just(g), vec(element(&g), 1..20)))
    ) {
        let mut page = page();
        let mut writer = ElementPageMut::init(&mut page, &geometry);
        let written = elements.iter().take(geometry.element.per_page.into()).count();
        for (at, element) in elements.iter().enumerate() {
            let slot = writer.append(&element.to_write());
            prop_assert_eq!(slot.map(usize::from), (at < written).then_some(at));
        }
        let view = ElementPage::view(&page, &geometry).unwrap();
        prop_assert_eq!(usize::from(view.used()), written);
        let room = usize::from(geometry.element.per_page) - written;
        prop_assert_eq!(usize::from(special(&page).unwrap().free()), room);
        for (slot, element) in (0u16..).zip(&elements[..written]) {
            prop_assert_eq!(&Element::read(&page, &geometry, slot), element);
            let code = StoredCode { state: SlotState::Live, center: element.center, bytes: &element.code };
            prop_assert_eq!(view.code(slot), Ok(code));
        }
    }

    #[test]
    fn pages_are_read_at_any_address(
        (geometry, element) in geometry().prop_flat_map(|g| (Just(g), element(&g))), shift in 0usize..8
    ) {
        let mut memory = vec![0; PAGE_SIZE + 8];
        let page = &mut memory[shift..shift + PAGE_SIZE];
        ElementPageMut::init(page, &geometry).append(&element.to_write()).unwrap();
        prop_assert_eq!(Element::read(page, &geometry, 0), element);
    }

    #[test]
    fn center_pages_are_read_as_written(values in vec(any::<f32>(), 1..=CENTER_VALUES), next in option::of(link())) {
        let mut page = page();
        init_center_page(&mut page, &values, next);
        let view = CenterPage::view(&page).unwrap();
        let bits: Vec<_> = values.iter().map(|value| value.to_bits()).collect();
        prop_assert_eq!(view.values().map(f32::to_bits).collect::<Vec<_>>(), bits);
        prop_assert_eq!(view.next(), next);
    }

    #[test]
    fn an_element_page_keeps_what_it_is_told(
        (geometry, steps) in geometry().prop_flat_map(|g| (Just(g), vec(step(&g), 1..60)))
    ) {
        run_steps(&geometry, &steps)?;
    }

    #[test]
    fn an_upper_page_keeps_what_it_is_told(
        m in 2u16..=100, steps in vec((any::<bool>(), 1..=MAX_LEVEL, any::<prop::sample::Index>()), 1..80)
    ) {
        run_upper_steps(&Geometry::new(m.into(), 12).unwrap(), &steps)?;
    }

    #[test]
    fn an_overflow_slot_keeps_its_rows(
        rows in vec(tid(), 0..=OVERFLOW_TIDS + 3), doomed in vec(any::<bool>(), OVERFLOW_TIDS + 3),
        element in link(), next in option::of(link()), serial in any::<u32>()
    ) {
        let geometry = Geometry::new(16, 12).unwrap();
        let mut page = page();
        let mut writer = OverflowPageMut::init(&mut page, &geometry);
        let first = writer.shared().find_free().unwrap();
        writer.write(first, ElementId(element), None, serial).unwrap();
        let mut slot = writer.slot(first).unwrap();
        slot.set_next(next.map(OverflowId));
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(slot.add_tid(*row), at < OVERFLOW_TIDS);
        }
        let held = &rows[..rows.len().min(OVERFLOW_TIDS)];
        prop_assert_eq!(slot.shared().heap_tids().collect::<Vec<_>>(), held);

        let mut verdicts = doomed.iter();
        let removed = slot.remove_tids(|_| *verdicts.next().unwrap());
        let kept: Vec<_> = held.iter().zip(&doomed).filter(|(_, doomed)| !**doomed).map(|(row, _)| *row).collect();
        prop_assert_eq!(removed, held.len() - kept.len());
        let view = OverflowPage::view(&page, &geometry).unwrap().slot(first).unwrap();
        prop_assert_eq!(view.heap_tids().collect::<Vec<_>>(), kept);
        prop_assert_eq!((view.element(), view.next()), (ElementId(element), next.map(OverflowId)));
        prop_assert_eq!(view.serial(), serial);
    }
}

proptest! {
    #[test]
    fn rows_marked_as_dead_come_first_and_stay_marked(
        count in 0..=OVERFLOW_TIDS, first in vec(any::<bool>(), OVERFLOW_TIDS), then in vec(any::<bool>(), OVERFLOW_TIDS),
        removed in vec(any::<bool>(), OVERFLOW_TIDS)
    ) {
        let geometry = Geometry::new(16, 12).unwrap();
        let mut page = page();
        let mut writer = OverflowPageMut::init(&mut page, &geometry);
        writer.write(0, ElementId(1), None, 7).unwrap();
        let mut slot = writer.slot(0).unwrap();
        let row = |offset: usize| HeapTid { block: 9, offset: u16::try_from(offset).unwrap() };
        for at in 0..count {
            slot.add_tid(row(at));
        }
        let marked = |marks: &[bool], tid: HeapTid| marks[usize::from(tid.offset)];
        let newly = slot.mark_dead(|tid| marked(&first, tid));
        prop_assert_eq!(newly, first[..count].iter().filter(|&&dead| dead).count());
        slot.mark_dead(|tid| marked(&then, tid));
        slot.remove_tids(|tid| marked(&removed, tid));

        let (dead, alive): (Vec<_>, Vec<_>) = (0..count).filter(|&at| !removed[at]).partition(|&at| first[at] || then[at]);
        let mut found: Vec<_> = slot.shared().heap_tids().map(|tid| usize::from(tid.offset)).collect();
        prop_assert_eq!(slot.shared().dead(), dead.len());
        found[..dead.len()].sort_unstable();
        found[dead.len()..].sort_unstable();
        prop_assert_eq!(found, [dead, alive].concat());
        prop_assert_eq!(slot.shared().serial(), 7);
    }
}

/// Something done to an element page; positions are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Add(Element),
    Free(u16),
    Change(u16, Change),
}

/// A change of an element.
#[derive(Clone, Debug)]
enum Change {
    Die,
    SetNeighbors(Vec<ElementId>),
    AddTid(HeapTid),
    RemoveTids { odd: bool },
    SetOverflow(Option<OverflowId>),
}

fn step(geometry: &Geometry) -> impl Strategy<Value = Step> + use<> {
    let change = prop_oneof![
        1 => Just(Change::Die),
        4 => ids(2 * usize::from(geometry.m)).prop_map(Change::SetNeighbors),
        2 => tid().prop_map(Change::AddTid),
        1 => any::<bool>().prop_map(|odd| Change::RemoveTids { odd }),
        1 => option::of(link()).prop_map(|to| Change::SetOverflow(to.map(OverflowId))),
    ];
    prop_oneof![
        6 => element(geometry).prop_map(Step::Add),
        3 => any::<u16>().prop_map(Step::Free),
        10 => (any::<u16>(), change).prop_map(|(at, change)| Step::Change(at, change)),
    ]
}

/// The expected contents of a page: elements by slot with state, and the times each slot was freed.
#[derive(Default)]
struct Model {
    elements: BTreeMap<u16, (SlotState, Element)>,
    versions: BTreeMap<u16, u16>,
}

fn run_steps(geometry: &Geometry, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut page = page();
    ElementPageMut::init(&mut page, geometry);
    let mut model = Model::default();
    for step in steps {
        let mut writer = ElementPageMut::view(&mut page, geometry).unwrap();
        take_step(&mut writer, &mut model, step, geometry)?;
        check_model(&page, geometry, &model)?;
    }
    Ok(())
}

fn take_step(
    page: &mut ElementPageMut<'_>,
    model: &mut Model,
    step: &Step,
    geometry: &Geometry,
) -> Result<(), TestCaseError> {
    let full = model.elements.len() == usize::from(geometry.element.per_page);
    let pick = |at: &u16| {
        let slots: Vec<_> = model.elements.keys().copied().collect();
        slots.get(usize::from(*at) % slots.len().max(1)).copied()
    };
    match step {
        Step::Add(element) => {
            let slot = page.shared().find_free();
            prop_assert_eq!(slot.is_none(), full);
            if let Some(slot) = slot {
                page.write(slot, &element.to_write()).unwrap();
                model
                    .elements
                    .insert(slot, (SlotState::Live, element.clone()));
            }
        }
        Step::Free(at) => {
            if let Some(slot) = pick(at) {
                page.free(slot).unwrap();
                // A second call changes nothing.
                page.free(slot).unwrap();
                model.elements.remove(&slot);
                *model.versions.entry(slot).or_default() += 1;
            }
        }
        Step::Change(at, change) => {
            if let Some(slot) = pick(at) {
                let (state, element) = model.elements.get_mut(&slot).unwrap();
                let mut slot = page.slot(slot).unwrap();
                if matches!(change, Change::Die) {
                    *state = SlotState::Dead;
                    slot.set_dead();
                }
                make_change(&mut slot, element, change)?;
            }
        }
    }
    Ok(())
}

fn make_change(
    slot: &mut ElementSlotMut<'_>,
    model: &mut Element,
    change: &Change,
) -> Result<(), TestCaseError> {
    match change {
        Change::Die => {}
        Change::SetNeighbors(neighbors) => {
            slot.set_neighbors(neighbors);
            model.neighbors.clone_from(neighbors);
        }
        Change::AddTid(tid) => {
            let fits = model.tids.len() < INLINE_TIDS;
            prop_assert_eq!(slot.add_tid(*tid), fits);
            model.tids.extend(fits.then_some(*tid));
        }
        Change::RemoveTids { odd } => {
            let doomed = |tid: HeapTid| (tid.offset % 2 == 1) == *odd;
            let before = model.tids.len();
            model.tids.retain(|tid| !doomed(*tid));
            prop_assert_eq!(slot.remove_tids(doomed), before - model.tids.len());
        }
        Change::SetOverflow(overflow) => {
            slot.set_overflow(*overflow);
            model.overflow = *overflow;
        }
    }
    Ok(())
}

fn check_model(page: &[u8], geometry: &Geometry, model: &Model) -> Result<(), TestCaseError> {
    let view = ElementPage::view(page, geometry).unwrap();
    let free = usize::from(geometry.element.per_page) - model.elements.len();
    prop_assert_eq!(usize::from(view.special().unwrap().free()), free);
    for at in 0..view.used() {
        let slot = view.slot(at).unwrap();
        prop_assert_eq!(
            slot.version(),
            model.versions.get(&at).copied().unwrap_or(0)
        );
        let state = model
            .elements
            .get(&at)
            .map_or(SlotState::Free, |(state, _)| *state);
        prop_assert_eq!(
            (slot.state(), slot.is_live()),
            (state, state == SlotState::Live)
        );
        let read = Element::read(page, geometry, at);
        match model.elements.get(&at) {
            Some((_, element)) => prop_assert_eq!(&read, element),
            None => {
                prop_assert!(read.code.iter().all(|&byte| byte == 0) && read.neighbors.is_empty());
            }
        }
    }
    Ok(())
}

fn run_upper_steps(
    geometry: &Geometry,
    steps: &[(bool, Level, prop::sample::Index)],
) -> Result<(), TestCaseError> {
    let mut page = page();
    UpperPageMut::init(&mut page, geometry);
    // First slot → (element, levels); elements are numbered in order.
    let mut runs: BTreeMap<u16, (ElementId, Level)> = BTreeMap::new();
    for (number, (add, levels, which)) in (0u32..).zip(steps) {
        let mut writer = UpperPageMut::view(&mut page, geometry).unwrap();
        if *add {
            let Some(first) = writer.shared().find_free_run(*levels) else {
                continue;
            };
            let element = ElementId(number);
            writer.write_run(first, element, *levels).unwrap();
            for level in 1..=*levels {
                let mut list = writer.slot(first + u16::from(level) - 1).unwrap();
                list.set_neighbors(&[ElementId(1000 + u32::from(level))]);
            }
            runs.insert(first, (element, *levels));
        } else if !runs.is_empty() {
            let (&first, &(element, levels)) = runs.iter().nth(which.index(runs.len())).unwrap();
            // Another element's old link frees nothing, nor does a second call.
            writer
                .free_run(first, ElementId(u32::MAX - 1), levels)
                .unwrap();
            prop_assert!(writer.shared().slot(first).unwrap().is_live());
            writer.free_run(first, element, levels).unwrap();
            writer.free_run(first, element, levels).unwrap();
            runs.remove(&first);
        }
        check_runs(&page, geometry, &runs)?;
    }
    Ok(())
}

fn check_runs(
    page: &[u8],
    geometry: &Geometry,
    runs: &BTreeMap<u16, (ElementId, Level)>,
) -> Result<(), TestCaseError> {
    let view = UpperPage::view(page, geometry).unwrap();
    let mut owners = BTreeMap::new();
    for (&first, &(element, levels)) in runs {
        for level in 1..=levels {
            let overlaps = owners.insert(first + u16::from(level) - 1, (element, level));
            prop_assert_eq!(overlaps, None);
        }
    }
    for at in 0..view.used() {
        let slot = view.slot(at).unwrap();
        let owner = slot.is_live().then(|| (slot.element(), slot.level()));
        prop_assert_eq!(owner, owners.get(&at).copied());
        let expected = owner.map(|(_, level)| ElementId(1000 + u32::from(level)));
        prop_assert_eq!(slot.neighbors().next(), expected);
    }
    let free = usize::from(geometry.upper.per_page) - owners.len();
    prop_assert_eq!(usize::from(view.special().unwrap().free()), free);
    Ok(())
}

#[test]
fn a_freed_slot_is_taken_before_the_page_grows() {
    let geometry = Geometry::new(4, 8).unwrap();
    let mut page = page();
    let mut writer = ElementPageMut::init(&mut page, &geometry);
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &[],
        tids: &[],
        upper: None,
        overflow: None,
        group: None,
    };
    for expected in 0..5 {
        assert_eq!(writer.append(&new), Some(expected));
    }
    writer.free(3).unwrap();
    writer.free(1).unwrap();
    assert_eq!(writer.shared().find_free(), Some(1));
    writer.write(1, &new).unwrap();
    assert_eq!(writer.shared().slot(1).unwrap().version(), 1);
    assert_eq!(writer.shared().find_free(), Some(3));
    assert_eq!(writer.append(&new), Some(5), "appending does not look back");
}

#[test]
fn what_lay_behind_the_used_part_does_not_matter() {
    let geometry = Geometry::new(4, 8).unwrap();
    let mut page = page();
    ElementPageMut::init(&mut page, &geometry);
    page[24..8176].fill(0xAA);
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &[],
        tids: &[],
        upper: None,
        overflow: None,
        group: None,
    };
    ElementPageMut::view(&mut page, &geometry)
        .unwrap()
        .append(&new)
        .unwrap();
    assert_eq!(
        ElementPage::view(&page, &geometry)
            .unwrap()
            .slot(0)
            .unwrap()
            .version(),
        0
    );
    assert!(
        page[24 + 36..24 + 68].iter().all(|&byte| byte == 0),
        "unused places of the list"
    );
}

#[test]
fn a_shorter_list_leaves_zeroes_behind() {
    let geometry = Geometry::new(4, 8).unwrap();
    let mut page = page();
    let mut writer = ElementPageMut::init(&mut page, &geometry);
    let neighbors = [ElementId(u32::MAX / 3); 8];
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &neighbors,
        tids: &[],
        upper: None,
        overflow: None,
        group: None,
    };
    writer.append(&new).unwrap();
    writer.slot(0).unwrap().set_neighbors(&neighbors[..3]);
    assert_eq!(page[24 + 36..24 + 48], [0x55; 12]);
    assert_eq!(page[24 + 48..24 + 68], [0; 20]);
}

#[test]
fn lists_of_layer_0_and_of_the_group_change_apart() {
    let geometry = Geometry::new(4, 8).unwrap().with_keys(Widths::new(&[8]));
    let geometry = geometry.with_groups(Some(0)).unwrap();
    let mut page = page();
    let mut writer = ElementPageMut::init(&mut page, &geometry);
    let ids = |range: std::ops::Range<u32>| range.map(ElementId).collect::<Vec<_>>();
    let group = Group { image: Some(77) };
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &ids(0..8),
        tids: &[],
        upper: None,
        overflow: None,
        group: Some((group, &ids(10..14))),
    };
    writer.append(&new).unwrap();
    writer.append(&new).unwrap();
    let mut slot = writer.slot(0).unwrap();
    slot.set_list(GROUP, &ids(20..22));
    slot.set_list(0, &ids(30..35));
    for (number, own, in_group) in [(0, 30..35, 20..22), (1, 0..8, 10..14)] {
        let slot = ElementPage::view(&page, &geometry)
            .unwrap()
            .slot(number)
            .unwrap();
        assert_eq!(slot.list(0).collect::<Vec<_>>(), ids(own));
        assert_eq!(slot.list(GROUP).collect::<Vec<_>>(), ids(in_group));
        assert_eq!(slot.group(), Some(group));
    }
}

#[test]
fn an_index_without_groups_has_no_group() {
    let geometry = Geometry::new(4, 8).unwrap();
    assert_eq!(geometry.with_groups(None), Ok(geometry));
    let mut page = page();
    let mut writer = ElementPageMut::init(&mut page, &geometry);
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &[ElementId(5)],
        tids: &[],
        upper: None,
        overflow: None,
        group: None,
    };
    writer.append(&new).unwrap();
    writer.slot(0).unwrap().set_list(GROUP, &[ElementId(6)]);
    let slot = ElementPage::view(&page, &geometry)
        .unwrap()
        .slot(0)
        .unwrap();
    assert_eq!((slot.group(), slot.list(GROUP).len()), (None, 0));
    assert_eq!(slot.neighbors().collect::<Vec<_>>(), [ElementId(5)]);
}

#[test]
fn an_overflow_slot_is_given_back_once() {
    let geometry = Geometry::new(4, 8).unwrap();
    let mut page = page();
    let mut writer = OverflowPageMut::init(&mut page, &geometry);
    writer.write(0, ElementId(1), None, 0).unwrap();
    writer.write(1, ElementId(2), None, 0).unwrap();
    writer.free(0).unwrap();
    writer.free(0).unwrap();
    assert!(!writer.shared().slot(0).unwrap().is_live());
    assert_eq!(
        (writer.shared().find_free(), special(&page).unwrap().free()),
        (Some(0), 58)
    );
}

#[test]
fn only_free_slots_are_taken() {
    let geometry = Geometry::new(4, 8).unwrap();
    let mut page = page();
    let mut writer = ElementPageMut::init(&mut page, &geometry);
    let new = NewElement {
        level: 0,
        code: &[1; 8],
        center: 0,
        neighbors: &[],
        tids: &[],
        upper: None,
        overflow: None,
        group: None,
    };
    writer.append(&new).unwrap();
    assert_eq!(
        writer.write(0, &new),
        Err(Corrupt::State(SlotState::Live as u8))
    );
    assert_eq!(
        writer.write(2, &new),
        Err(Corrupt::Slot { slot: 2, used: 1 })
    );
    assert_eq!(
        special(&page).unwrap().free(),
        geometry.element.per_page - 1
    );
}

#[test]
fn an_upper_run_may_begin_in_freed_slots_and_end_in_new_ones() {
    let geometry = Geometry::new(16, 8).unwrap();
    let mut page = page();
    let mut writer = UpperPageMut::init(&mut page, &geometry);
    writer.write_run(0, ElementId(7), 2).unwrap();
    writer.write_run(2, ElementId(8), 1).unwrap();
    writer.free_run(2, ElementId(8), 1).unwrap();
    assert_eq!(writer.shared().find_free_run(3), Some(2));
    writer.write_run(2, ElementId(9), 3).unwrap();
    assert_eq!(writer.shared().used(), 5);
    assert_eq!(writer.shared().slot(4).unwrap().level(), 3);
}

#[test]
fn pages_enter_and_leave_the_free_list() {
    let geometry = Geometry::new(16, 8).unwrap();
    let mut page = page();
    OverflowPageMut::init(&mut page, &geometry);
    let before = special(&page).unwrap();
    assert!(!before.is_listed() && before.next().is_none());
    list_page(&mut page, Some(12)).unwrap();
    assert!(special(&page).unwrap().is_listed());
    // The free list's link survives changes of the slots.
    OverflowPageMut::view(&mut page, &geometry)
        .unwrap()
        .write(0, ElementId(1), None, 0)
        .unwrap();
    assert_eq!(special(&page).unwrap().next(), Some(12));
    assert_eq!(unlist_page(&mut page), Ok(Some(12)));
    let after = special(&page).unwrap();
    assert!(!after.is_listed() && after.next().is_none());
    assert_eq!((before.free(), after.free()), (59, 58));
}

#[test]
fn a_page_that_nobody_wrote_is_new() {
    assert!(is_new(&[0; PAGE_SIZE]));
    let mut page = page();
    ElementPageMut::init(&mut page, &Geometry::new(16, 8).unwrap());
    assert!(!is_new(&page));
    assert_eq!(special(&page).unwrap().kind(), Ok(PageKind::Element));
}
