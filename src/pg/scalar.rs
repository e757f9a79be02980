//! Values of key columns, read into Rust: from rows of an index and from the conditions of a scan.
#![expect(unsafe_code, reason = "reads datums and varlena pointers")]

use std::ffi::CStr;

use pgrx::{direct_function_call, pg_sys};

use super::relation::attribute_number;
use super::row::IndexRow;
use super::varlena::Varlena;
use super::{Relation, text};

/// Types whose values are read here. Types that share a representation and an order share a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    /// `"char"`.
    Char,
    Int2,
    Int4,
    /// Also `time` and `money`.
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Date,
    /// Also `timestamptz`.
    Timestamp,
    Enum,
    Uuid,
    /// Also `varchar`.
    Text,
    Bpchar,
    Name,
    Bytea,
    /// `inet` and `cidr`.
    Network,
    Interval,
    Array,
}

impl Type {
    /// The type of this OID, of a domain's base type; `None` if its values cannot be read.
    pub(crate) fn of(oid: pg_sys::Oid) -> Option<Self> {
        // SAFETY: looks the type up in the catalogs.
        let oid = unsafe { pg_sys::getBaseType(oid) };
        Some(match oid {
            pg_sys::BOOLOID => Self::Bool,
            pg_sys::CHAROID => Self::Char,
            pg_sys::INT2OID => Self::Int2,
            pg_sys::INT4OID => Self::Int4,
            pg_sys::INT8OID | pg_sys::TIMEOID | pg_sys::MONEYOID => Self::Int8,
            pg_sys::OIDOID => Self::Oid,
            pg_sys::FLOAT4OID => Self::Float4,
            pg_sys::FLOAT8OID => Self::Float8,
            pg_sys::NUMERICOID => Self::Numeric,
            pg_sys::DATEOID => Self::Date,
            pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => Self::Timestamp,
            pg_sys::UUIDOID => Self::Uuid,
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Self::Text,
            pg_sys::BPCHAROID => Self::Bpchar,
            pg_sys::NAMEOID => Self::Name,
            pg_sys::BYTEAOID => Self::Bytea,
            pg_sys::INETOID | pg_sys::CIDROID => Self::Network,
            pg_sys::INTERVALOID => Self::Interval,
            // SAFETY: as above.
            _ if unsafe { pg_sys::type_is_enum(oid) } => Self::Enum,
            // SAFETY: as above.
            _ if unsafe { pg_sys::get_element_type(oid) } != pg_sys::InvalidOid => Self::Array,
            _ => return None,
        })
    }

    /// True if values are compared by a collation.
    pub(crate) fn is_collated(self) -> bool {
        matches!(self, Self::Text | Self::Bpchar | Self::Name | Self::Array)
    }
}

/// A value. Those that are equal in SQL have equal contents here, but for floats and arrays.
pub(crate) enum Scalar<'a> {
    Bool(bool),
    Byte(u8),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    /// An OID, or the OID of an enum's label.
    Oid(u32),
    Float4(f32),
    Float8(f64),
    /// The nearest float of a `numeric`; infinite beyond the range of floats.
    Numeric(f64),
    /// Days since 2000-01-01; the extremes are infinite.
    Date(i32),
    /// Microseconds since 2000-01-01; the extremes are infinite.
    Timestamp(i64),
    /// Microseconds, a month taken for 30 days, a day for 24 hours, as comparisons do.
    Interval(i128),
    Uuid([u8; 16]),
    Bytes(Bytes<'a>),
    Array(Elements<'a>),
    /// The result of the operator class's own key function.
    Key(i64),
}

/// The bytes of a string, without those that comparisons pass over.
pub(crate) enum Bytes<'a> {
    Plain(&'a [u8]),
    /// A varlena, and the number of bytes of it that count.
    Varlena(Varlena<'a>, usize),
}

/// Bytes of a plain varlena's header.
const HEADER: usize = size_of::<u32>();

impl Bytes<'_> {
    pub(crate) fn get(&self) -> &[u8] {
        match self {
            Bytes::Plain(bytes) => bytes,
            Bytes::Varlena(value, len) => &value.bytes()[HEADER..][..*len],
        }
    }

    /// # Safety
    /// The datum is a varlena and stays as long as the bytes.
    unsafe fn of(datum: pg_sys::Datum, is_padded: bool) -> Self {
        // SAFETY: the caller's promise.
        let value = unsafe { Varlena::detoast(datum) };
        let content = &value.bytes()[HEADER..];
        let len = if is_padded {
            content.trim_ascii_end_spaces().len()
        } else {
            content.len()
        };
        Self::Varlena(value, len)
    }
}

trait TrimSpaces {
    fn trim_ascii_end_spaces(&self) -> &[u8];
}

impl TrimSpaces for [u8] {
    fn trim_ascii_end_spaces(&self) -> &[u8] {
        let end = self.iter().rposition(|&byte| byte != b' ');
        &self[..end.map_or(0, |last| last + 1)]
    }
}

/// The way to read a datum.
#[derive(Clone, Copy)]
enum Reader {
    Type(Type),
    /// The key function of an index's column.
    Function(Relation, usize),
}

/// The support function that returns the key of a value, as `int8`.
pub(crate) const KEY: u16 = 4;

impl Reader {
    /// # Safety
    /// The datum is of the reader's type, and stays as long as the value.
    unsafe fn read<'a>(self, datum: pg_sys::Datum) -> Scalar<'a> {
        let Self::Type(of) = self else {
            // SAFETY: the caller's promise.
            return Scalar::Key(unsafe { self.call(datum) });
        };
        // By value: the low bytes of a datum.
        let bits = datum.value() as u64;
        // SAFETY: the caller's promise; values by reference are of these C types.
        unsafe {
            match of {
                Type::Bool => Scalar::Bool(bits & 0xff != 0),
                Type::Char => Scalar::Byte(bits as u8),
                Type::Int2 => Scalar::Int2(bits as i16),
                Type::Int4 => Scalar::Int4(bits as i32),
                Type::Int8 => Scalar::Int8(bits.cast_signed()),
                Type::Oid | Type::Enum => Scalar::Oid(bits as u32),
                Type::Float4 => Scalar::Float4(f32::from_bits(bits as u32)),
                Type::Float8 => Scalar::Float8(f64::from_bits(bits)),
                Type::Numeric => Scalar::Numeric(numeric(datum)),
                Type::Date => Scalar::Date(bits as i32),
                Type::Timestamp => Scalar::Timestamp(bits.cast_signed()),
                Type::Interval => Scalar::Interval(interval(*datum.cast_mut_ptr())),
                Type::Uuid => Scalar::Uuid(*datum.cast_mut_ptr::<[u8; 16]>()),
                Type::Name => {
                    let name = CStr::from_ptr(datum.cast_mut_ptr());
                    Scalar::Bytes(Bytes::Plain(name.to_bytes()))
                }
                Type::Text | Type::Bytea | Type::Network => Scalar::Bytes(Bytes::of(datum, false)),
                Type::Bpchar => Scalar::Bytes(Bytes::of(datum, true)),
                Type::Array => Scalar::Array(Elements::of(datum)),
            }
        }
    }

    /// # Safety
    /// This is a function, and the datum is of its argument's type.
    unsafe fn call(self, datum: pg_sys::Datum) -> i64 {
        let Self::Function(index, column) = self else {
            unreachable!("the caller's promise");
        };
        // SAFETY: the index is open, and its class has the function; a NULL result is an ERROR in core.
        unsafe {
            let function = pg_sys::index_getprocinfo(index.raw(), attribute_number(column), KEY);
            let collation = *(*index.raw()).rd_indcollation.add(column);
            let key = pg_sys::FunctionCall1Coll(function, collation, datum);
            (key.value() as u64).cast_signed()
        }
    }
}

/// # Safety
/// The datum is a `numeric`.
unsafe fn numeric(datum: pg_sys::Datum) -> f64 {
    // SAFETY: the function takes one numeric and returns a float8.
    unsafe { direct_function_call(pg_sys::numeric_float8_no_overflow, &[Some(datum)]) }
        .expect("numeric_float8_no_overflow returns no null")
}

/// The value that Postgres compares intervals by.
fn interval(value: pg_sys::Interval) -> i128 {
    const DAY: i128 = 86_400_000_000;
    let days = i128::from(value.month) * 30 + i128::from(value.day);
    i128::from(value.time) + days * DAY
}

/// The elements of an array of any dimensions.
pub(crate) struct Elements<'a> {
    /// `None` if values of their type cannot be read.
    reader: Option<Reader>,
    datums: &'a [pg_sys::Datum],
    nulls: &'a [bool],
    /// The array itself, to which elements by reference point.
    _array: Varlena<'a>,
}

impl Elements<'_> {
    /// # Safety
    /// The datum is an array and stays as long as the elements.
    unsafe fn of<'a>(datum: pg_sys::Datum) -> Elements<'a> {
        let (mut datums, mut nulls, mut len) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        let (mut width, mut by_value, mut align) = (0, false, 0);
        // SAFETY: the caller's promise; the lists are allocated in the current memory context.
        unsafe {
            let array = Varlena::detoast(datum);
            let header = array
                .bytes()
                .as_ptr()
                .cast_mut()
                .cast::<pg_sys::ArrayType>();
            let of = (*header).elemtype;
            pg_sys::get_typlenbyvalalign(of, &raw mut width, &raw mut by_value, &raw mut align);
            pg_sys::deconstruct_array(
                header,
                of,
                width.into(),
                by_value,
                align,
                &raw mut datums,
                &raw mut nulls,
                &raw mut len,
            );
            let len = usize::try_from(len).expect("not negative");
            Elements {
                reader: Type::of(of).map(Reader::Type),
                datums: std::slice::from_raw_parts(datums, len),
                nulls: std::slice::from_raw_parts(nulls, len),
                _array: array,
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.datums.is_empty()
    }

    pub(crate) fn has_nulls(&self) -> bool {
        self.nulls.contains(&true)
    }

    /// The elements that are not NULL; `None` if their type is not one that is read.
    pub(crate) fn values(&self) -> Option<impl Iterator<Item = Scalar<'_>>> {
        let reader = self.reader?;
        let elements = self.datums.iter().zip(self.nulls);
        Some(
            elements
                .filter(|(_, is_null)| !**is_null)
                .map(move |(datum, _)| {
                    // SAFETY: the array's header names the type, or the operand's key function takes it.
                    unsafe { reader.read(*datum) }
                }),
        )
    }
}

impl Drop for Elements<'_> {
    fn drop(&mut self) {
        // During unwinding, the memory context frees both.
        if !self.datums.is_empty() && !std::thread::panicking() {
            // SAFETY: `of` allocated them, and nothing else refers to them.
            unsafe {
                pg_sys::pfree(self.datums.as_ptr().cast_mut().cast());
                pg_sys::pfree(self.nulls.as_ptr().cast_mut().cast());
            }
        }
    }
}

/// A column of an open index whose values are read.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    index: Relation,
    /// Counted from 0.
    pub(crate) place: usize,
    reader: Reader,
}

impl Column {
    /// Returns `None` if the column's operator class has no key function, and its type is not one that is read.
    pub(crate) fn of(index: Relation, place: usize) -> Option<Self> {
        let reader = if index.support_function(place, KEY) == pg_sys::InvalidOid {
            Reader::Type(Type::of(index.column_type(place))?)
        } else {
            Reader::Function(index, place)
        };
        Some(Self {
            index,
            place,
            reader,
        })
    }

    /// The key function and the type that it returns, by their names, unless it takes one value of the column and returns bigint.
    pub(crate) fn wrong_function(&self) -> Option<(String, String)> {
        let Reader::Function(index, place) = self.reader else {
            return None;
        };
        let function = index.support_function(place, KEY);
        // SAFETY: the function is in the catalogs; the names are strings, the arguments an array in the current memory context.
        unsafe {
            let (mut arguments, mut count) = (std::ptr::null_mut(), 0);
            let returns = pg_sys::get_func_signature(function, &raw mut arguments, &raw mut count);
            if returns == pg_sys::INT8OID
                && count == 1
                && pg_sys::IsBinaryCoercible(index.column_type(place), *arguments)
            {
                return None;
            }
            let name = |name| text::to_string(CStr::from_ptr(name));
            Some((
                name(pg_sys::format_procedure_qualified(function)),
                name(pg_sys::format_type_be(returns)),
            ))
        }
    }

    /// The type of values; `None` if they are read by the class's key function.
    pub(crate) fn value_type(&self) -> Option<Type> {
        match self.reader {
            Reader::Type(of) => Some(of),
            Reader::Function(..) => None,
        }
    }

    /// The column's collation, if values that differ in bytes can be equal by it.
    pub(crate) fn has_deterministic_collation(&self) -> bool {
        // SAFETY: the index has the column; the collation is in the catalogs.
        unsafe {
            let collation = *(*self.index.raw()).rd_indcollation.add(self.place);
            collation == pg_sys::InvalidOid || pg_sys::get_collation_isdeterministic(collation)
        }
    }

    /// The function of the operator of this strategy in the column's class; invalid if it has none.
    pub(crate) fn operator_function(&self, strategy: i16) -> pg_sys::Oid {
        // SAFETY: the index has the column; a missing operator is invalid, and so is its function.
        unsafe {
            let family = *(*self.index.raw()).rd_opfamily.add(self.place);
            let on = *(*self.index.raw()).rd_opcintype.add(self.place);
            match pg_sys::get_opfamily_member(family, on, on, strategy) {
                pg_sys::InvalidOid => pg_sys::InvalidOid,
                operator => pg_sys::get_opcode(operator),
            }
        }
    }

    /// The value of a row of the index; `None` for NULL.
    pub(crate) fn read<'a>(&self, row: IndexRow<'a>) -> Option<Scalar<'a>> {
        let value = row.values[self.place];
        // SAFETY: the row is of the index (`IndexRow::new`).
        (!row.nulls[self.place]).then(|| unsafe { self.reader.read(value) })
    }
}

/// A condition of a scan on a column of its index.
#[derive(Clone, Copy)]
pub(crate) struct Condition<'a>(&'a pg_sys::ScanKeyData);

impl<'a> Condition<'a> {
    /// # Safety
    /// The key is a scan's, as Postgres has set it. It is read by columns of the scan's index only.
    pub(crate) unsafe fn new(key: &'a pg_sys::ScanKeyData) -> Self {
        Self(key)
    }

    /// The number of the index's column, counted from 0.
    pub(crate) fn place(&self) -> usize {
        usize::try_from(self.0.sk_attno - 1).expect("a column of the index")
    }

    pub(crate) fn strategy(&self) -> u16 {
        self.0.sk_strategy
    }

    fn has(&self, flag: u32) -> bool {
        self.0.sk_flags.cast_unsigned() & flag != 0
    }

    /// True for `IS NULL`.
    pub(crate) fn is_null_test(&self) -> bool {
        self.has(pg_sys::SK_SEARCHNULL)
    }

    /// True for `IS NOT NULL`.
    pub(crate) fn is_not_null_test(&self) -> bool {
        self.has(pg_sys::SK_SEARCHNOTNULL)
    }

    /// True for `column operator NULL`.
    pub(crate) fn is_with_null(&self) -> bool {
        self.has(pg_sys::SK_ISNULL)
    }

    /// True for `column operator ANY (array)`.
    pub(crate) fn is_any(&self) -> bool {
        self.has(pg_sys::SK_SEARCHARRAY)
    }

    /// The operand; `None` if its type is not one that is read.
    pub(crate) fn operand(&self, column: &Column) -> Option<Scalar<'a>> {
        let reader = self.reader(column)?;
        // SAFETY: the operand is of the key's subtype (`new`).
        Some(unsafe { reader.read(self.0.sk_argument) })
    }

    /// The operands of a condition with `ANY`.
    pub(crate) fn operands(&self, column: &Column) -> Elements<'a> {
        // SAFETY: such a condition has an array, of elements of the key's subtype (`new`).
        let mut elements = unsafe { Elements::of(self.0.sk_argument) };
        elements.reader = self.reader(column);
        elements
    }

    /// A polymorphic subtype stands for the column's own type.
    fn reader(&self, column: &Column) -> Option<Reader> {
        let subtype = self.0.sk_subtype;
        // SAFETY: the index has the column.
        let own = unsafe { *(*column.index.raw()).rd_opcintype.add(column.place) };
        if subtype == own || subtype == pg_sys::InvalidOid {
            return Some(column.reader);
        }
        Some(Reader::Type(Type::of(subtype)?))
    }
}
