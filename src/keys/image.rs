//! Images of values: unsigned numbers in the order of the values (`crates/filter`).

use filter::image;
use pgrx::pg_sys;

use crate::pg::scalar::{Column, Elements, Scalar, Type};

/// The image of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// Images in the order of values.
    Ordered(Type),
    /// A hash of a type's values: for equality only.
    Hash(Type),
    /// The signature of an array.
    Signature,
    /// The first bytes of a text.
    Prefix,
    /// The number that the class's key function returns.
    Function,
    /// The same for all values: their bytes show neither order nor equality.
    Blind,
}

/// Interval's units in an image: a power of two, so that the longest interval fits.
const INTERVAL_UNIT_BITS: u32 = 10;

impl Image {
    /// The image of a column. Only classes with the operators of our own have other images than by their key function.
    pub(super) fn of(column: &Column) -> Self {
        let Some(of) = column.value_type() else {
            return Self::Function;
        };
        if of.is_collated() && !column.has_deterministic_collation() {
            return Self::Blind;
        }
        match of {
            Type::Text => match column.operator_function(1).to_u32() {
                pg_sys::F_TEXT_PATTERN_LT => Self::Prefix,
                _ => Self::Hash(of),
            },
            Type::Bpchar | Type::Name | Type::Bytea | Type::Network => Self::Hash(of),
            Type::Array => Self::Signature,
            _ => Self::Ordered(of),
        }
    }

    /// Bytes of an image.
    pub(super) fn width(self) -> u8 {
        match self {
            Self::Ordered(Type::Bool | Type::Char) | Self::Blind => 1,
            Self::Ordered(Type::Int2) => 2,
            Self::Ordered(Type::Int4 | Type::Oid | Type::Enum | Type::Float4 | Type::Date) => 4,
            _ => 8,
        }
    }

    /// True if different values have different images.
    pub(super) fn is_exact(self) -> bool {
        let Self::Ordered(of) = self else {
            return false;
        };
        !matches!(of, Type::Numeric | Type::Uuid | Type::Interval)
    }

    /// True if images compare as values do. The order of an enum's labels is not that of their OIDs.
    pub(super) fn is_ordered(self) -> bool {
        match self {
            Self::Ordered(of) => of != Type::Enum,
            Self::Prefix | Self::Function => true,
            Self::Hash(_) | Self::Signature | Self::Blind => false,
        }
    }

    /// True if a value is of the column's own type.
    pub(super) fn is_of(self, value: &Scalar<'_>) -> bool {
        match (self, value) {
            (Self::Blind, _)
            | (Self::Function, Scalar::Key(_))
            | (Self::Hash(_) | Self::Prefix, Scalar::Bytes(_))
            | (Self::Signature, Scalar::Array(_)) => true,
            (Self::Ordered(of), value) => matches!(
                (of, value),
                (Type::Bool, Scalar::Bool(_))
                    | (Type::Char, Scalar::Byte(_))
                    | (Type::Int2, Scalar::Int2(_))
                    | (Type::Int4, Scalar::Int4(_))
                    | (Type::Int8, Scalar::Int8(_))
                    | (Type::Oid | Type::Enum, Scalar::Oid(_))
                    | (Type::Float4, Scalar::Float4(_))
                    | (Type::Float8, Scalar::Float8(_))
                    | (Type::Numeric, Scalar::Numeric(_))
                    | (Type::Date, Scalar::Date(_))
                    | (Type::Timestamp, Scalar::Timestamp(_))
                    | (Type::Interval, Scalar::Interval(_))
                    | (Type::Uuid, Scalar::Uuid(_))
            ),
            _ => false,
        }
    }

    /// The image of one of the column's values.
    pub(super) fn image(self, value: &Scalar<'_>) -> u64 {
        match self {
            Self::Blind => 0,
            Self::Prefix => bytes(value).map_or(0, image::prefix),
            _ => of_value(value),
        }
    }
}

fn bytes<'a>(value: &'a Scalar<'_>) -> Option<&'a [u8]> {
    match value {
        Scalar::Bytes(bytes) => Some(bytes.get()),
        _ => None,
    }
}

/// The image of a value, strings by their hash.
fn of_value(value: &Scalar<'_>) -> u64 {
    match value {
        Scalar::Bool(value) => u64::from(*value),
        Scalar::Byte(value) => u64::from(*value),
        Scalar::Int2(value) => image::of_i16(*value),
        Scalar::Int4(value) | Scalar::Date(value) => image::of_i32(*value),
        Scalar::Int8(value) | Scalar::Timestamp(value) | Scalar::Key(value) => {
            image::of_i64(*value)
        }
        Scalar::Oid(value) => image::of_u32(*value),
        Scalar::Float4(value) => image::of_f32(*value),
        Scalar::Float8(value) | Scalar::Numeric(value) => image::of_f64(*value),
        Scalar::Interval(value) => of_interval(*value),
        Scalar::Uuid(value) => image::prefix(value),
        Scalar::Bytes(value) => image::hash(value.get()),
        Scalar::Array(elements) => signature(elements),
    }
}

/// The longest interval, of 2^31 months, is less than 2^63 units.
fn of_interval(microseconds: i128) -> u64 {
    let units = i64::try_from(microseconds >> INTERVAL_UNIT_BITS);
    image::of_i64(units.expect("an interval of 2^73 microseconds at most"))
}

/// The signature of an array; its NULLs count for nothing, as they are equal to nothing that is searched for.
pub(super) fn signature(elements: &Elements<'_>) -> u64 {
    if elements.is_empty() {
        return 0;
    }
    masks(elements).map_or(image::ANY_ELEMENTS, |masks| {
        masks.fold(0, |bits, mask| bits | mask)
    })
}

/// The bits of each element that is not NULL; `None` if elements of their type cannot be compared by their images.
pub(super) fn masks(elements: &Elements<'_>) -> Option<impl Iterator<Item = u64>> {
    let values = elements.values()?;
    Some(values.map(|value| image::element_bits(element_hash(&value))))
}

fn element_hash(value: &Scalar<'_>) -> u64 {
    match value {
        Scalar::Uuid(value) => image::hash(value),
        value => image::hash(&of_value(value).to_le_bytes()),
    }
}
