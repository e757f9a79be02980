//! Valid and invalid literals and messages: each gives a value that reads back the same, or a problem.

use std::cmp::Ordering;
use std::ffi::{CStr, CString};

use distance::f16;
use proptest::prelude::*;
use values::sparse::{MAX_NON_ZERO, SparseVector, check_header, compare};
use values::{Element, Problem, dense};

/// Stands in for `strtof`: no hexadecimal numbers.
fn read_number(text: &CStr) -> (f32, usize) {
    fast_float2::parse_partial::<f32, _>(text.to_bytes()).unwrap_or((0.0, 0))
}

fn parse_dense<T: Element>(literal: &str) -> Result<Vec<T>, Problem> {
    dense::parse(&CString::new(literal).expect("no zero bytes"), read_number)
}

fn parse_sparse(literal: &str) -> Result<SparseVector, Problem> {
    SparseVector::parse(
        &CString::new(literal).expect("no zero bytes"),
        -1,
        read_number,
    )
}

fn dense_text<T: Element>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|x| x.to_f32().to_string()).collect();
    format!("[{}]", values.join(","))
}

fn sparse_text(vector: &SparseVector) -> String {
    let elements = vector.elements();
    let pairs = elements.indices.iter().zip(elements.values);
    let pairs: Vec<String> = pairs
        .map(|(index, x)| format!("{}:{x}", index + 1))
        .collect();
    format!("{{{}}}/{}", pairs.join(","), vector.dimensions())
}

fn is_sound(vector: &SparseVector) -> bool {
    let elements = vector.elements();
    let places = elements.indices.iter().map(|index| usize::try_from(*index));
    (1..=1_000_000_000).contains(&vector.dimensions())
        && elements.indices.len() == elements.values.len()
        && elements.values.len() <= MAX_NON_ZERO
        && elements.indices.is_sorted_by(|a, b| a < b)
        && places
            .into_iter()
            .all(|place| place.is_ok_and(|place| place < vector.dimensions()))
        && elements.values.iter().all(|x| x.is_finite() && *x != 0.0)
}

fn check_dense<T: Element + PartialEq + std::fmt::Debug>(
    literal: &str,
) -> Result<(), TestCaseError> {
    if let Ok(values) = parse_dense::<T>(literal) {
        prop_assert!((1..=dense::MAX_DIMENSIONS).contains(&values.len()));
        prop_assert!(values.iter().all(|x| x.to_f32().is_finite()));
        prop_assert_eq!(parse_dense::<T>(&dense_text(&values)), Ok(values));
    }
    Ok(())
}

fn check_sparse(literal: &str) -> Result<(), TestCaseError> {
    if let Ok(vector) = parse_sparse(literal) {
        prop_assert!(is_sound(&vector), "{vector:?}");
        prop_assert_eq!(parse_sparse(&sparse_text(&vector)), Ok(vector));
    }
    Ok(())
}

fn check_literal(literal: &str) -> Result<(), TestCaseError> {
    check_dense::<f32>(literal)?;
    check_dense::<f16>(literal)?;
    check_sparse(literal)
}

/// A literal with some bytes replaced, removed or inserted.
fn mutated(literal: &str, changes: &[(usize, u8, u8)]) -> String {
    const BYTES: &[u8] = b"0123456789[]{}:,/+-.eExXpnaif \t\x0b\"";
    let mut bytes = literal.as_bytes().to_vec();
    for (at, kind, byte) in changes {
        let at = at % (bytes.len() + 1);
        let byte = BYTES[usize::from(*byte) % BYTES.len()];
        match kind % 3 {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => bytes[at] = byte,
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => (),
        }
    }
    String::from_utf8(bytes).expect("ASCII")
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f32>().prop_map(|x| x.to_string()),
        any::<f32>().prop_map(|x| format!("{x:e}")),
        (-9..9_i32).prop_map(|x| x.to_string()),
    ]
}

fn dense_literal() -> impl Strategy<Value = String> {
    prop::collection::vec(number(), 1..6).prop_map(|numbers| format!("[{}]", numbers.join(",")))
}

fn sparse_literal() -> impl Strategy<Value = String> {
    let pair = (0..9_u8, number()).prop_map(|(index, x)| format!("{index}:{x}"));
    (prop::collection::vec(pair, 0..5), 0..12_u8)
        .prop_map(|(pairs, dimensions)| format!("{{{}}}/{dimensions}", pairs.join(",")))
}

fn changes() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    prop::collection::vec(any::<(usize, u8, u8)>(), 0..4)
}

fn small_vector() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-2..3_i8).prop_map(f32::from), 1..6)
}

fn sparse(values: &[f32]) -> SparseVector {
    SparseVector::from_dense(values.iter().copied(), -1).expect("few finite values")
}

/// The cases of each law: `OMENDB_VALUES` of them, or 50,000.
fn cases() -> u32 {
    let wanted = std::env::var("OMENDB_VALUES").ok();
    wanted.map_or(50_000, |cases| {
        cases.parse().expect("OMENDB_VALUES is a number")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_mutated_dense_literal_reads_back_or_has_a_problem(literal in dense_literal(), changes in changes()) {
        check_literal(&mutated(&literal, &changes))?;
    }

    #[test]
    fn a_mutated_sparse_literal_reads_back_or_has_a_problem(literal in sparse_literal(), changes in changes()) {
        check_literal(&mutated(&literal, &changes))?;
    }

    #[test]
    fn any_text_reads_back_or_has_a_problem(literal in "[\\[{0-9:,.eE/ \\]}+-]{0,24}") {
        check_literal(&literal)?;
    }

    #[test]
    fn any_message_is_a_sound_vector_or_has_a_problem(
        header in (any::<i32>(), -1..4_i32, -1..2_i32),
        small in 0..6_i32,
        elements in prop::collection::vec((-1..5_i32, any::<f32>()), 0..4),
    ) {
        for dimensions in [header.0, small] {
            let Ok((dimensions, non_zero)) = check_header([dimensions, header.1, header.2], -1) else {
                continue;
            };
            prop_assert!(non_zero <= dimensions);
            let indices: Vec<u8> = elements.iter().flat_map(|(index, _)| index.to_be_bytes()).collect();
            let values: Vec<u8> = elements.iter().flat_map(|(_, value)| value.to_be_bytes()).collect();
            if let Ok(vector) = SparseVector::receive(dimensions, &indices, &values) {
                prop_assert!(is_sound(&vector), "{vector:?}");
                prop_assert_eq!(vector.elements().values.len(), elements.len());
            }
        }
    }

    #[test]
    fn sparse_vectors_compare_as_the_dense_ones_they_stand_for(a in small_vector(), b in small_vector()) {
        let expected = a.partial_cmp(&b).unwrap();
        let (left, right) = (sparse(&a), sparse(&b));
        let found = compare((a.len(), left.elements()), (b.len(), right.elements()));
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn elements_come_back_from_network_order(bits in any::<u32>()) {
        let mut message = Vec::new();
        f32::from_bits(bits).send(&mut message);
        f16::from_bits(bits as u16).send(&mut message);
        prop_assert_eq!(&message[..4], bits.to_be_bytes());
        prop_assert_eq!(<f32 as Element>::receive(&message[..4]).to_bits(), bits);
        prop_assert_eq!(<f16 as Element>::receive(&message[4..]).to_bits(), bits as u16);
    }
}

#[test]
fn dense_literals_have_the_problems_they_have() {
    let out_of_range = |number: &str| Err(Problem::OutOfRange(number.into()));
    let rows: [(&str, Result<(), Problem>); 14] = [
        ("", Err(Problem::NoBracket('['))),
        (" [ 1 , 2 ] ", Ok(())),
        ("[]", Err(Problem::NoDimensions)),
        ("[1,]", Err(Problem::Syntax)),
        ("[1", Err(Problem::Syntax)),
        ("[1]]", Err(Problem::JunkAfterBracket)),
        ("[nan]", Err(Problem::Nan)),
        ("[-inf]", Err(Problem::Infinite)),
        ("[65504]", Ok(())),
        ("[65519.9]", Ok(())),
        ("[65520]", out_of_range("65520")),
        ("[ -7e4 ]", out_of_range("-7e4")),
        ("[1e400]", out_of_range("1e400")),
        ("[1e-400]", Ok(())),
    ];
    for (literal, expected) in rows {
        assert_eq!(parse_dense::<f16>(literal).map(drop), expected, "{literal}");
    }
    assert_eq!(
        parse_dense::<f32>(&format!("[{}1]", "1,".repeat(16_000))),
        Err(Problem::TooManyDimensions(16_000))
    );
}

#[test]
fn sparse_literals_have_the_problems_they_have() {
    let out_of_range = |number: &str| Err(Problem::OutOfRange(number.into()));
    let rows: [(&str, Result<(), Problem>); 27] = [
        ("{}/1", Ok(())),
        (" { 3 : 1 , 1 : 2 } / 3 ", Ok(())),
        ("[1]", Err(Problem::NoBracket('{'))),
        ("{", Err(Problem::Syntax)),
        ("{1", Err(Problem::Syntax)),
        ("{1:", Err(Problem::Syntax)),
        ("{1:1", Err(Problem::Syntax)),
        ("{1:1,}/2", Err(Problem::Syntax)),
        ("{1.5:1}/2", Err(Problem::Syntax)),
        ("{}", Err(Problem::EndOfInput)),
        ("{1:1}2", Err(Problem::EndOfInput)),
        ("{}/", Err(Problem::Syntax)),
        ("{}/5a", Err(Problem::JunkAfterDimensions)),
        ("{}/0", Err(Problem::NoDimensions)),
        ("{}/-1", Err(Problem::NoDimensions)),
        ("{}/1000000000", Ok(())),
        (
            "{}/1000000001",
            Err(Problem::TooManyDimensions(1_000_000_000)),
        ),
        (
            "{}/99999999999999999999",
            Err(Problem::TooManyDimensions(1_000_000_000)),
        ),
        ("{0:1}/2", Err(Problem::IndexOutOfBounds)),
        ("{3:1}/2", Err(Problem::IndexOutOfBounds)),
        (
            "{-99999999999999999999:1}/2",
            Err(Problem::IndexOutOfBounds),
        ),
        ("{2:1,2:1}/2", Err(Problem::DuplicateIndex)),
        ("{9:0,9:-0}/2", Ok(())),
        ("{1:1e39}/2", out_of_range("1e39")),
        ("{1:-1e-46}/2", out_of_range("-1e-46")),
        ("{1:0e9,2:1e-45}/2", Ok(())),
        ("{1:inf}/2", Err(Problem::Infinite)),
    ];
    for (literal, expected) in rows {
        assert_eq!(parse_sparse(literal).map(drop), expected, "{literal}");
    }
}

#[test]
fn a_column_has_its_dimensions_before_indices_are_looked_at() {
    let literal = CString::new("{9:1}/3").unwrap();
    let wrong = Problem::WrongDimensions {
        expected: 2,
        found: 3,
    };
    assert_eq!(SparseVector::parse(&literal, 2, read_number), Err(wrong));
    let outside = Err(Problem::IndexOutOfBounds);
    assert_eq!(SparseVector::parse(&literal, 3, read_number), outside);
}

#[test]
fn a_sparse_vector_has_at_most_16000_elements() {
    let literal = |count: usize| {
        let pairs: Vec<String> = (1..=count).map(|index| format!("{index}:1")).collect();
        format!("{{{}}}/20000", pairs.join(","))
    };
    assert!(parse_sparse(&literal(16_000)).is_ok());
    assert_eq!(parse_sparse(&literal(16_001)), Err(Problem::TooManyNonZero));
    let mut values = vec![1.0; 16_000];
    values.resize(20_000, 0.0);
    assert!(SparseVector::from_dense(values.iter().copied(), -1).is_ok());
    values[19_999] = 1.0;
    let found = SparseVector::from_dense(values.into_iter(), -1);
    assert_eq!(found, Err(Problem::TooManyNonZero));
}

#[test]
fn messages_have_the_problems_they_have() {
    let rows = [
        ([5, 2, 0], Ok((5, 2))),
        ([0, 0, 0], Err(Problem::NoDimensions)),
        ([-1, 0, 0], Err(Problem::NoDimensions)),
        (
            [1_000_000_001, 0, 0],
            Err(Problem::TooManyDimensions(1_000_000_000)),
        ),
        ([5, -1, 0], Err(Problem::NegativeCount)),
        ([20_000, 16_001, 0], Err(Problem::TooManyNonZero)),
        ([5, 6, 0], Err(Problem::MoreThanDimensions)),
        ([5, 2, 7], Err(Problem::Unused(7))),
        ([1, 1, -1], Err(Problem::Unused(-1))),
    ];
    for (header, expected) in rows {
        assert_eq!(check_header(header, -1), expected, "{header:?}");
    }
    let receive = |elements: &[(i32, f32)]| {
        let indices: Vec<u8> = elements
            .iter()
            .flat_map(|(index, _)| index.to_be_bytes())
            .collect();
        let values: Vec<u8> = elements
            .iter()
            .flat_map(|(_, value)| value.to_be_bytes())
            .collect();
        SparseVector::receive(5, &indices, &values).map(drop)
    };
    assert_eq!(receive(&[(0, 1.0), (4, 2.0)]), Ok(()));
    assert_eq!(receive(&[(-1, 1.0)]), Err(Problem::IndexOutOfBounds));
    assert_eq!(receive(&[(5, 1.0)]), Err(Problem::IndexOutOfBounds));
    assert_eq!(receive(&[(1, 1.0), (0, 1.0)]), Err(Problem::IndexOrder));
    assert_eq!(receive(&[(1, 1.0), (1, 1.0)]), Err(Problem::DuplicateIndex));
    assert_eq!(receive(&[(1, 0.0)]), Err(Problem::Zero));
    assert_eq!(receive(&[(1, -0.0)]), Err(Problem::Zero));
    assert_eq!(receive(&[(1, f32::NAN)]), Err(Problem::Nan));
}

#[test]
fn mapping_leaves_out_what_has_become_zero() {
    let vector = sparse(&[1.0, 0.0, 1e-45, -2.0]);
    let halved = SparseVector::map(4, vector.elements(), |x| x / 2.0);
    assert_eq!(halved, sparse(&[0.5, 0.0, 0.0, -1.0]));
}

#[test]
fn places_beyond_the_shorter_vector_do_not_count() {
    let (short, long) = (sparse(&[1.0]), sparse(&[1.0, -5.0]));
    let order = compare((1, short.elements()), (2, long.elements()));
    assert_eq!(order, Ordering::Less);
}
