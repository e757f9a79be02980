//! Capacities of pages.

use hnsw::{ElementId, MAX_LEVEL};
use layout::{
    Geometry, MAX_M, MIN_M, OverflowId, SlotId, Slots, TooLarge, UpperId, group_len, max_code_len,
    widest_code_len,
};

/// Bytes between Postgres' header and the special area.
const CONTENTS: usize = 8192 - 24 - 16;

/// Scale, squared norm and error factor, then four bits per dimension.
fn four_bit_code(dimensions: usize) -> usize {
    12 + dimensions / 2
}

#[test]
fn slots_at_four_bits_are_as_small_as_promised() {
    // dimensions, bytes of a slot, slots per page, bits of an id for the slot; m = 16
    let table = [
        (128, 232, 35, 6),
        (384, 360, 22, 5),
        (768, 552, 14, 4),
        (1536, 936, 8, 3),
        (3072, 1704, 4, 2),
        (12_000, 6168, 1, 0),
        (15_900, 8120, 1, 0),
    ];
    for (dimensions, len, per_page, bits) in table {
        let Slots {
            len: found,
            per_page: slots,
            bits: width,
            ..
        } = Geometry::new(16, four_bit_code(dimensions).next_multiple_of(4))
            .unwrap()
            .element;
        assert_eq!(
            (found, slots, width),
            (len, per_page, bits),
            "{dimensions} dimensions"
        );
    }
}

#[test]
fn upper_lists_of_the_highest_level_fit_in_one_page() {
    for m in MIN_M..=MAX_M {
        let geometry = Geometry::new(m, 12).unwrap();
        assert_eq!(geometry.upper.len, 8 + 4 * m);
        assert!(geometry.upper.per_page >= u16::from(MAX_LEVEL), "m = {m}");
    }
}

#[test]
fn an_overflow_slot_is_136_bytes() {
    let overflow = Geometry::new(16, 12).unwrap().overflow;
    assert_eq!(
        (overflow.len, overflow.per_page, overflow.bits),
        (136, 59, 6)
    );
}

#[test]
fn the_longest_code_fits_and_a_longer_one_does_not() {
    for m in MIN_M..=MAX_M {
        let longest = max_code_len(m);
        let geometry = Geometry::new(m, longest).unwrap();
        assert_eq!(geometry.element.per_page, 1);
        assert!(
            geometry.element.len <= CONTENTS && geometry.element.len + 4 > CONTENTS,
            "m = {m}"
        );
        assert_eq!(
            Geometry::new(m, longest + 4),
            Err(TooLarge {
                m,
                code_len: longest + 4
            })
        );
    }
}

#[test]
fn the_widest_code_leaves_a_page_as_many_slots_and_no_room() {
    for m in [MIN_M, 16, MAX_M] {
        for column in [None, Some(0)] {
            let of_group = column.map_or(0, |_| group_len(m));
            let longest = max_code_len(m) - of_group;
            let per_page = |code_len| {
                let geometry = Geometry::new(m, code_len).unwrap().with_groups(column);
                geometry.unwrap().element.per_page
            };
            for code_len in (4..=longest).step_by(4) {
                let widest = widest_code_len(m, of_group, code_len);
                assert!(widest >= code_len);
                assert_eq!(per_page(widest), per_page(code_len));
                assert!(widest == longest || per_page(widest + 4) < per_page(code_len));
            }
            assert_eq!(widest_code_len(m, of_group, 9000), 9000);
        }
    }
}

#[test]
fn odd_codes_and_other_m_are_refused() {
    for (m, code_len) in [
        (16, 13),
        (16, 14),
        (MIN_M - 1, 12),
        (MAX_M + 1, 12),
        (0, 0),
        (usize::MAX, 12),
    ] {
        assert_eq!(Geometry::new(m, code_len), Err(TooLarge { m, code_len }));
    }
    assert_eq!(max_code_len(usize::MAX), 0);
}

/// Splitting inverts joining for the first and last blocks of the range of ids.
fn joins_and_splits<Id: SlotId + PartialEq + std::fmt::Debug>(slots: Slots<Id>) {
    assert!(u32::from(slots.per_page) <= 1 << slots.bits);
    let last_block = u32::MAX >> slots.bits;
    for block in [0, 1, 2, last_block - 1] {
        for slot in 0..slots.per_page {
            let id = slots.join(block, slot).expect("an id names this block");
            assert_eq!(slots.split(id), (block, slot));
        }
        assert_eq!(slots.join(block, slots.per_page), None);
    }
    if slots.bits > 0 {
        assert_eq!(
            slots.join(last_block + 1, 0),
            None,
            "the index has grown too large"
        );
    }
    assert_eq!(slots.join(u32::MAX, u16::MAX), None);
    // All ones are the null id.
    assert!(
        slots
            .join(last_block, slots.per_page - 1)
            .is_none_or(|id| id.raw() != u32::MAX)
    );
}

#[test]
fn ids_name_block_and_slot() {
    for (m, code_len) in [
        (2, 4),
        (16, 76),
        (16, 204),
        (16, 396),
        (100, 4),
        (2, max_code_len(2)),
        (16, 4096),
    ] {
        let geometry = Geometry::new(m, code_len).unwrap();
        joins_and_splits(geometry.element);
        joins_and_splits(geometry.upper);
        joins_and_splits(geometry.overflow);
    }
}

#[test]
fn ids_sort_in_page_order() {
    let slots = Geometry::new(16, 204).unwrap().element;
    let id = |block, slot| slots.join(block, slot).unwrap();
    assert!(id(1, 0) < id(1, 21) && id(1, 21) < id(2, 0) && id(2, 0) < id(70_000, 3));
}

#[test]
fn a_link_says_that_there_is_none() {
    assert_eq!(ElementId::from_link(u32::MAX), None);
    assert_eq!(OverflowId::from_link(7), Some(OverflowId(7)));
    assert_eq!(UpperId::to_link(None), u32::MAX);
    assert_eq!(UpperId::to_link(Some(UpperId(9))), 9);
}

#[test]
fn upper_lists_follow_each_other() {
    assert_eq!(UpperId(40).at(1), UpperId(40));
    assert_eq!(UpperId(40).at(3), UpperId(42));
}
