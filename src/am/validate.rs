//! Validates operator classes, for `amvalidate()`. A class without a distance function, or with a key function of another signature, is
//! an ERROR besides when an index is made with it.

use pgrx::pg_sys;

use crate::error;
use crate::pg::query::SqlText;
use crate::pg::{boundary, query};

/// A query for the faults of a class, one a row.
const FAULTS: &str = include_str!("validate.sql");

/// Returns true if a class has no faults; reports each as INFO, as the methods of Postgres do.
pub(super) unsafe extern "C-unwind" fn amvalidate(class: pg_sys::Oid) -> bool {
    boundary(|| {
        let statement = SqlText::new(&FAULTS.replace("$1", &class.to_u32().to_string()));
        let mut is_valid = true;
        query::own_texts_of(&statement, |fault| {
            is_valid = false;
            error::invalid_operator_class(&fault);
        });
        is_valid
    })
}
