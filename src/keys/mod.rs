//! Key columns: the columns of an index beside its vector column, for filters.
#![forbid(unsafe_code)]

use filter::MAX_COLUMNS;
use pgrx::pg_sys;

use crate::error;
use crate::pg::Relation;
use crate::pg::creation::NewIndex;

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
