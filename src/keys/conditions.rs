//! Tests of images from the conditions of a scan.

use filter::{Filter, Test, image};

use super::KeyColumn;
use super::image::{Image, masks, signature};
use crate::pg::scalar::{Condition, Scalar, Type};

/// Strategies of operator classes.
const LESS: u16 = 1;
const LESS_OR_EQUAL: u16 = 2;
pub(crate) const EQUAL: u16 = 3;
const GREATER_OR_EQUAL: u16 = 4;
const GREATER: u16 = 5;
const OVERLAPS: u16 = 6;
const CONTAINS: u16 = 7;

/// An operand among the images of a column.
enum Place {
    /// Below or above the values of the column's type.
    Below,
    Above,
    /// At this image; `exact` if values of this image equal the operand.
    At {
        image: u64,
        exact: bool,
    },
}

/// No image passes.
const NOTHING: Test = Test::Among(Vec::new());

/// Adds the test of a condition. A condition whose operand cannot be compared with images passes all values: its operators are
/// strict, so NULL does not pass.
pub(super) fn add(
    filter: &mut Filter,
    number: usize,
    column: &KeyColumn,
    condition: &Condition<'_>,
) {
    let test = if condition.is_null_test() {
        Test::Null
    } else if condition.is_not_null_test() {
        Test::NotNull
    } else if condition.is_with_null() {
        NOTHING
    } else if column.image == Image::Blind {
        Test::NotNull
    } else if condition.is_any() {
        of_any(column, condition)
    } else {
        condition
            .operand(&column.column)
            .map_or(Test::NotNull, |operand| {
                of_operator(column.image, condition.strategy(), &operand)
            })
    };
    filter.require(number, test);
}

/// The test of `column operator ANY (array)`.
fn of_any(column: &KeyColumn, condition: &Condition<'_>) -> Test {
    let operands = condition.operands(&column.column);
    let Some(values) = operands.values() else {
        return if operands.is_empty() {
            NOTHING
        } else {
            Test::NotNull
        };
    };
    let tests = values.map(|value| of_operator(column.image, condition.strategy(), &value));
    let mut equal = Vec::new();
    let mut range: Option<(u64, u64)> = None;
    for test in tests {
        match test {
            Test::Range { lo, hi } if lo == hi => equal.push(lo),
            Test::Range { lo, hi } => {
                let (least, most) = range.unwrap_or((lo, hi));
                range = Some((least.min(lo), most.max(hi)));
            }
            Test::Among(images) if images.is_empty() => {}
            _ => return Test::NotNull,
        }
    }
    let Some((lo, hi)) = range else {
        return Test::Among(equal);
    };
    let (lo, hi) = equal
        .into_iter()
        .fold((lo, hi), |(lo, hi), image| (lo.min(image), hi.max(image)));
    Test::Range { lo, hi }
}

/// The test of `column operator operand`.
fn of_operator(image: Image, strategy: u16, operand: &Scalar<'_>) -> Test {
    if image == Image::Signature {
        return of_arrays(strategy, operand);
    }
    if strategy != EQUAL && !image.is_ordered() {
        return Test::NotNull;
    }
    let Some(place) = place(image, operand) else {
        return Test::NotNull;
    };
    match (strategy, place) {
        (LESS | LESS_OR_EQUAL, Place::Below)
        | (EQUAL, Place::Below | Place::Above)
        | (GREATER | GREATER_OR_EQUAL, Place::Above)
        | (
            LESS,
            Place::At {
                image: 0,
                exact: true,
            },
        )
        | (
            GREATER,
            Place::At {
                image: u64::MAX,
                exact: true,
            },
        ) => NOTHING,
        (LESS, Place::At { image, exact: true }) => Test::Range {
            lo: 0,
            hi: image - 1,
        },
        (LESS | LESS_OR_EQUAL, Place::At { image, .. }) => Test::Range { lo: 0, hi: image },
        (EQUAL, Place::At { image, .. }) => Test::Range {
            lo: image,
            hi: image,
        },
        (GREATER, Place::At { image, exact: true }) => Test::Range {
            lo: image + 1,
            hi: u64::MAX,
        },
        (GREATER | GREATER_OR_EQUAL, Place::At { image, .. }) => Test::Range {
            lo: image,
            hi: u64::MAX,
        },
        _ => Test::NotNull,
    }
}

/// The place of an operand, whose type may be another of the column's operator family; `None` for a type of no family of ours.
fn place(image: Image, operand: &Scalar<'_>) -> Option<Place> {
    let Image::Ordered(of) = image else {
        return own_place(image, operand);
    };
    match (of, operand) {
        (Type::Int2 | Type::Int4 | Type::Int8, operand) => {
            Some(of_integer(image, integer(operand)?))
        }
        (Type::Float4, Scalar::Float8(value)) => {
            // Rounding keeps order: a float4 below the operand is not above the operand's nearest float4.
            #[expect(clippy::cast_possible_truncation, reason = "see above")]
            let nearest = *value as f32;
            Some(Place::At {
                image: image::of_f32(nearest),
                exact: f64::from(nearest) == *value,
            })
        }
        (Type::Float8, Scalar::Float4(value)) => Some(Place::At {
            image: image::of_f64((*value).into()),
            exact: true,
        }),
        (Type::Date, Scalar::Timestamp(value)) => Some(of_timestamp(*value)),
        (Type::Timestamp, Scalar::Date(days)) => Some(of_date(*days)),
        _ => own_place(image, operand),
    }
}

fn own_place(image: Image, operand: &Scalar<'_>) -> Option<Place> {
    image.is_of(operand).then(|| Place::At {
        image: image.image(operand),
        exact: image.is_exact(),
    })
}

fn integer(value: &Scalar<'_>) -> Option<i64> {
    match value {
        Scalar::Int2(value) => Some((*value).into()),
        Scalar::Int4(value) => Some((*value).into()),
        Scalar::Int8(value) => Some(*value),
        _ => None,
    }
}

fn of_integer(image: Image, value: i64) -> Place {
    let beyond = if value < 0 {
        Place::Below
    } else {
        Place::Above
    };
    let of = match image {
        Image::Ordered(Type::Int2) => i16::try_from(value).map(image::of_i16),
        Image::Ordered(Type::Int4) => i32::try_from(value).map(image::of_i32),
        _ => Ok(image::of_i64(value)),
    };
    of.map_or(beyond, |image| Place::At { image, exact: true })
}

const DAY: i64 = 86_400_000_000;

/// A timestamp among dates: at its day, which is at or before it.
fn of_timestamp(value: i64) -> Place {
    let days = match value {
        i64::MIN => i32::MIN,
        i64::MAX => i32::MAX,
        _ => i32::try_from(value.div_euclid(DAY)).expect("fewer days than 2^27"),
    };
    Place::At {
        image: image::of_i32(days),
        exact: false,
    }
}

/// A date among timestamps: at its first moment. Dates go on where timestamps end.
fn of_date(days: i32) -> Place {
    let is_infinite = days == i32::MIN || days == i32::MAX;
    let start = i64::from(days).checked_mul(DAY).filter(|_| !is_infinite);
    let end = if days < 0 { i64::MIN } else { i64::MAX };
    Place::At {
        image: image::of_i64(start.unwrap_or(end)),
        exact: false,
    }
}

/// The test of an array with an array.
fn of_arrays(strategy: u16, operand: &Scalar<'_>) -> Test {
    let Scalar::Array(elements) = operand else {
        return Test::NotNull;
    };
    let signature = signature(elements);
    match strategy {
        EQUAL => Test::Range {
            lo: signature,
            hi: signature,
        },
        // NULL is contained in nothing.
        CONTAINS if elements.has_nulls() => NOTHING,
        CONTAINS => Test::All(signature),
        OVERLAPS if elements.is_empty() => NOTHING,
        OVERLAPS => masks(elements).map_or(Test::NotNull, |masks| Test::Any(masks.collect())),
        _ => Test::NotNull,
    }
}
