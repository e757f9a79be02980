//! Key columns: the columns of an index beside its vector column, for filters.
#![forbid(unsafe_code)]

mod conditions;
mod image;

use filter::{Filter, MAX_COLUMNS, Widths};
use pgrx::pg_sys;

use crate::error;
use crate::pg::Relation;
use crate::pg::creation::NewIndex;
use crate::pg::row::IndexRow;
use crate::pg::scalar::{Column, Condition};
use image::Image;

pub(crate) use conditions::EQUAL;

/// The support function that makes a column the one to order by.
pub(crate) const DISTANCE: u16 = 1;

/// The index's column of vectors, counted from 0: the one whose operator class has a distance. An ERROR unless there is exactly
/// one.
pub(crate) fn vector_column(index: Relation) -> usize {
    let functions = (0..index.columns()).map(|column| index.support_function(column, DISTANCE));
    the_one(functions, index)
}

/// Returns the vector column of a new index. An ERROR unless all other columns can be key columns.
pub(crate) fn check(new: &NewIndex) -> usize {
    let functions = new.support_functions(DISTANCE);
    let keys = functions.len() - 1;
    let column = the_one(functions.into_iter(), new.relation);
    if keys > MAX_COLUMNS {
        error::too_many_key_columns(&new.relation.access_method(), MAX_COLUMNS, keys);
    }
    column
}

/// The place of the one valid function.
fn the_one(functions: impl Iterator<Item = pg_sys::Oid>, index: Relation) -> usize {
    let mut found = (0..)
        .zip(functions)
        .filter(|(_, function)| *function != pg_sys::InvalidOid);
    match (found.next(), found.count()) {
        (Some((column, _)), 0) => column,
        (Some(_), others) => error::too_many_vector_columns(&index.access_method(), 1 + others),
        (None, _) => error::no_vector_column(&index.access_method()),
    }
}

/// The key columns of an open index, in order; the vector column is left out.
pub(crate) struct KeyColumns {
    columns: Vec<KeyColumn>,
    /// `None` if there are none.
    widths: Option<Widths>,
}

struct KeyColumn {
    column: Column,
    image: Image,
}

impl KeyColumns {
    /// An ERROR if the values of a column have no images.
    pub(crate) fn of(index: Relation) -> Self {
        let vector = vector_column(index);
        let columns = (0..index.columns()).filter(|&place| place != vector);
        let columns: Vec<KeyColumn> = columns.map(|place| KeyColumn::of(index, place)).collect();
        let widths: Vec<u8> = columns.iter().map(|column| column.image.width()).collect();
        Self {
            columns,
            widths: Widths::new(&widths),
        }
    }

    /// The places in the index of the columns with distinct images for distinct values.
    pub(crate) fn comparable(&self) -> impl Iterator<Item = usize> {
        let columns = self.columns.iter();
        columns
            .filter(|column| column.image != Image::Blind)
            .map(|column| column.column.place)
    }

    /// The number, among the key columns, of the one of this name. An ERROR that lists their names if there is none.
    pub(crate) fn number_of(&self, index: Relation, name: &str) -> u8 {
        let number = self.find(index, name).unwrap_or_else(|| {
            let numbers = (0..).take(self.columns.len());
            let names = numbers.map(|number| self.name(index, number));
            error::no_such_key_column(name, &names.collect::<Vec<_>>())
        });
        u8::try_from(number).expect("at most 7 columns")
    }

    /// The place in the index of the key column of this name; `None` if there is none.
    pub(crate) fn place_of(&self, index: Relation, name: &str) -> Option<usize> {
        let number = self.find(index, name)?;
        Some(self.columns[number].column.place)
    }

    /// The first key column whose name, that of the table's column or its own in the index, is this.
    fn find(&self, index: Relation, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| {
            let (own, of_table) = index.column_names(column.column.place);
            of_table.as_ref().unwrap_or(&own) == name || own == name
        })
    }

    /// The name of a key column.
    pub(crate) fn name(&self, index: Relation, number: u8) -> String {
        let column = &self.columns[usize::from(number)];
        let (own, of_table) = index.column_names(column.column.place);
        of_table.unwrap_or(own)
    }

    /// The shape of row keys; `None` for an index without key columns.
    pub(crate) fn widths(&self) -> Option<Widths> {
        self.widths
    }

    /// Appends the row key of a row; nothing for an index without key columns.
    pub(crate) fn row_key(&self, row: IndexRow<'_>, into: &mut Vec<u8>) {
        let Some(widths) = self.widths else { return };
        let mut images = [None; MAX_COLUMNS];
        for (image, column) in images.iter_mut().zip(&self.columns) {
            *image = column
                .column
                .read(row)
                .map(|value| column.image.image(&value));
        }
        widths.write_key(&images[..self.columns.len()], into);
    }
}

/// The filter of a scan's conditions; those on the vector column are passed over. `widths` are those of the index's row keys. Only
/// columns with a condition are looked up.
pub(crate) fn filter<'a>(
    index: Relation,
    widths: Widths,
    conditions: impl Iterator<Item = Condition<'a>>,
) -> Filter {
    let vector = vector_column(index);
    let mut filter = Filter::new(widths);
    for condition in conditions.filter(|condition| condition.place() != vector) {
        let place = condition.place();
        let number = place - usize::from(place > vector);
        let column = KeyColumn::of(index, place);
        conditions::add(&mut filter, number, &column, &condition);
    }
    filter
}

impl KeyColumn {
    fn of(index: Relation, place: usize) -> Self {
        let Some(column) = Column::of(index, place) else {
            error::no_key_function(&index.access_method(), &index.column_type_name(place))
        };
        if let Some((function, returns)) = column.wrong_function() {
            error::wrong_key_function(&index.access_method(), &function, &returns);
        }
        Self {
            column,
            image: Image::of(&column),
        }
    }
}
