//! Laws of images, filters and zones.

use filter::{Entries, Filter, MAX_COLUMNS, Test, Widths, Zone, image};
use proptest::prelude::*;

/// Rows as images, a `None` for NULL.
type Row = Vec<Option<u64>>;

#[derive(Clone, Debug)]
struct Case {
    widths: Widths,
    rows: Vec<Row>,
    used: Vec<bool>,
    tests: Vec<(usize, Test)>,
}

/// The meaning of a test, in the plainest words.
fn accepts(test: &Test, image: Option<u64>) -> bool {
    match (test, image) {
        (Test::Null, image) => image.is_none(),
        (_, None) => false,
        (Test::NotNull, Some(_)) => true,
        (Test::Range { lo, hi }, Some(image)) => *lo <= image && image <= *hi,
        (Test::Among(images), Some(image)) => images.contains(&image),
        (Test::Any(masks), Some(image)) => masks.iter().any(|mask| image & mask == *mask),
        (Test::All(mask), Some(image)) => image & mask == *mask,
    }
}

/// Few different numbers, at the ends of the width among others.
fn number(width: u8) -> impl Strategy<Value = u64> {
    let max = u64::MAX >> (64 - 8 * u32::from(width));
    prop_oneof![
        4 => 0..12_u64,
        1 => (0..3_u64).prop_map(move |below| max - below),
        1 => any::<u64>().prop_map(move |number| number & max),
    ]
}

/// An operand, which may lie beyond the width.
fn operand() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..12_u64, 1 => (0..8_u8).prop_map(|shift| u64::MAX >> (8 * shift)), 1 => any::<u64>()]
}

fn test() -> impl Strategy<Value = Test> {
    let few = || prop::collection::vec(operand(), 0..6);
    let many = prop::collection::vec(operand(), 0..80);
    prop_oneof![
        (operand(), operand()).prop_map(|(lo, hi)| Test::Range { lo, hi }),
        operand().prop_map(|only| Test::Range { lo: only, hi: only }),
        few().prop_map(Test::Among),
        many.prop_map(Test::Among),
        few().prop_map(Test::Any),
        operand().prop_map(Test::All),
        Just(Test::Null),
        Just(Test::NotNull),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let widths = prop::collection::vec(prop::sample::select(vec![1_u8, 2, 4, 8]), 1..=MAX_COLUMNS);
    (widths, 0..600_usize).prop_flat_map(|(widths, count)| {
        let row: Vec<_> = widths
            .iter()
            .map(|&width| prop::option::weighted(0.8, number(width)))
            .collect();
        let columns = widths.len();
        (
            Just(Widths::new(&widths).expect("valid widths")),
            prop::collection::vec(row, count),
            prop::collection::vec(prop::bool::weighted(0.9), count),
            prop::collection::vec((0..columns, test()), 0..4),
        )
            .prop_map(|(widths, rows, used, tests)| Case {
                widths,
                rows,
                used,
                tests,
            })
    })
}

impl Case {
    fn filter(&self) -> Filter {
        let tests = self.tests.iter().cloned();
        tests.fold(Filter::new(self.widths), |filter, (column, test)| {
            filter.and(column, test)
        })
    }

    fn accepts(&self, row: &Row) -> bool {
        self.tests
            .iter()
            .all(|(column, test)| accepts(test, row[*column]))
    }

    fn key(&self, row: &Row) -> Vec<u8> {
        let mut key = Vec::new();
        self.widths.write_key(row, &mut key);
        assert_eq!(key.len(), self.widths.key_len());
        key
    }

    fn select(&self, filter: &Filter) -> Vec<u16> {
        let used: Vec<u8> = self.used.iter().map(|&used| used.into()).collect();
        let keys: Vec<Vec<u8>> = self.rows.iter().map(|row| self.key(row)).collect();
        let nulls: Vec<u8> = keys.iter().map(|key| key[0]).collect();
        // One byte before the images, so that they are not aligned.
        let column = |column| {
            let (at, width) = (self.widths.offset(column), self.widths.get(column));
            let images = keys.iter().flat_map(|key| &key[at..][..width]);
            [0].iter().chain(images).copied().collect::<Vec<u8>>()
        };
        let columns: Vec<Vec<u8>> = (0..self.widths.count()).map(column).collect();
        let mut images: [&[u8]; MAX_COLUMNS] = [&[]; MAX_COLUMNS];
        for (images, column) in images.iter_mut().zip(&columns) {
            *images = &column[1..];
        }
        let mut selected = vec![7];
        filter.select(
            &Entries {
                used: &used,
                nulls: &nulls,
                images,
            },
            &mut selected,
        );
        assert_eq!(selected.remove(0), 7, "earlier results stay");
        selected
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_filter_passes_what_all_tests_accept(case in case()) {
        let filter = case.filter();
        for row in &case.rows {
            prop_assert_eq!(filter.passes(&case.key(row)), case.accepts(row));
        }
    }

    #[test]
    fn select_finds_the_entries_in_use_that_pass(case in case()) {
        let filter = case.filter();
        let passing = (0..).zip(&case.rows).zip(&case.used);
        let passing: Vec<u16> = passing
            .filter(|((_, row), used)| **used && filter.passes(&case.key(row)))
            .map(|((number, _), _)| number)
            .collect();
        prop_assert_eq!(case.select(&filter), passing);
    }

    #[test]
    fn nothing_passes_an_impossible_filter(case in case()) {
        let filter = case.filter();
        if filter.is_impossible() {
            prop_assert!(case.rows.iter().all(|row| !case.accepts(row)));
            prop_assert!(case.select(&filter).is_empty());
        }
    }

    #[test]
    fn a_zone_is_never_denied_with_a_passing_row(case in case()) {
        let filter = case.filter();
        for rows in case.rows.chunks(3) {
            let mut zone = Zone::EMPTY;
            for row in rows {
                zone.add(case.widths, &case.key(row));
                prop_assert!(!zone.add(case.widths, &case.key(row)), "the row is in the zone");
            }
            if rows.iter().any(|row| case.accepts(row)) {
                prop_assert!(filter.may_match(&zone));
            }
        }
    }

    #[test]
    fn a_row_key_returns_its_images(case in case()) {
        for row in &case.rows {
            let key = case.key(row);
            for (column, &image) in row.iter().enumerate() {
                prop_assert_eq!(case.widths.image(&key, column), image);
            }
        }
    }

    #[test]
    fn images_of_integers_keep_order(a: i64, b: i64) {
        prop_assert_eq!(a.cmp(&b), image::of_i64(a).cmp(&image::of_i64(b)));
        let (a, b) = (a as i32, b as i32);
        prop_assert_eq!(a.cmp(&b), image::of_i32(a).cmp(&image::of_i32(b)));
        prop_assert_eq!((a as u32).cmp(&(b as u32)), image::of_u32(a as u32).cmp(&image::of_u32(b as u32)));
        let (a, b) = (a as i16, b as i16);
        prop_assert_eq!(a.cmp(&b), image::of_i16(a).cmp(&image::of_i16(b)));
    }

    #[test]
    fn images_of_floats_keep_order(a in any_f64(), b in any_f64()) {
        prop_assert_eq!(sql_order(a, b), image::of_f64(a).cmp(&image::of_f64(b)));
        let (a, b) = (a as f32, b as f32);
        prop_assert_eq!(sql_order(a.into(), b.into()), image::of_f32(a).cmp(&image::of_f32(b)));
    }

    #[test]
    fn prefixes_keep_order(a: Vec<u8>, b: Vec<u8>, same in 0..12_usize) {
        let a = [&vec![1; same][..], &a].concat();
        let b = [&vec![1; same][..], &b].concat();
        prop_assert!(a >= b || image::prefix(&a) <= image::prefix(&b));
    }

    #[test]
    fn signatures_never_deny_what_arrays_share(a: Vec<u8>, b: Vec<u8>) {
        let signature = |elements: &[u8]| image::signature(elements.iter().map(|&element| image::hash(&[element])));
        let widths = Widths::new(&[8]).expect("valid widths");
        let mut key = Vec::new();
        widths.write_key(&[Some(signature(&a))], &mut key);
        let passes = |test| Filter::new(widths).and(0, test).passes(&key);
        let masks = b.iter().map(|&element| signature(&[element])).collect();
        let (overlaps, contains) = (b.iter().any(|element| a.contains(element)), b.iter().all(|element| a.contains(element)));
        prop_assert!(!overlaps || passes(Test::Any(masks)));
        prop_assert!(!contains || passes(Test::All(signature(&b))));
    }
}

fn any_f64() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            -f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE
        ]),
        any::<f64>(),
        -3.0..3.0,
    ]
}

/// The order of floats in SQL: NaNs are equal and above all.
fn sql_order(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

#[test]
fn widths_are_one_to_seven_powers_of_two() {
    assert!(Widths::new(&[]).is_none());
    assert!(Widths::new(&[3]).is_none());
    assert!(Widths::new(&[16]).is_none());
    assert!(Widths::new(&[1; 8]).is_none());
    let widths = Widths::new(&[4, 1, 8, 2, 1, 1, 1]).expect("valid widths");
    assert_eq!(
        (widths.count(), widths.key_len(), widths.offset(2)),
        (7, 19, 6)
    );
}

#[test]
fn impossible_filters_are_known() {
    let filter = |tests: &[Test]| {
        let widths = Widths::new(&[2]).expect("valid widths");
        tests
            .iter()
            .cloned()
            .fold(Filter::new(widths), |filter, test| filter.and(0, test))
    };
    let impossible: &[&[Test]] = &[
        &[Test::Range { lo: 2, hi: 1 }],
        &[Test::Range { lo: 1, hi: 4 }, Test::Range { lo: 5, hi: 9 }],
        &[Test::Range {
            lo: 70_000,
            hi: 70_000,
        }],
        &[Test::Among(vec![])],
        &[Test::Among(vec![70_000])],
        &[Test::Among(vec![1, 2]), Test::Among(vec![3, 5])],
        &[Test::Among(vec![1, 9]), Test::Range { lo: 2, hi: 8 }],
        &[Test::Any(vec![])],
        &[Test::Null, Test::NotNull],
        &[Test::Range { lo: 1, hi: 4 }, Test::Null],
    ];
    for tests in impossible {
        assert!(filter(tests).is_impossible(), "{tests:?}");
    }
    assert!(!filter(&[Test::Null, Test::Null]).is_impossible());
    assert!(!filter(&[Test::Among(vec![1, 9]), Test::Range { lo: 2, hi: 9 }]).is_impossible());
}
