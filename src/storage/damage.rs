//! Reports of damaged pages.

use layout::Corrupt;

use crate::error;
use crate::pg::Relation;

/// Reports a damaged page, or one written by another extension, and ends the statement.
pub(crate) fn corrupt(relation: Relation, block: u32, what: Corrupt) -> ! {
    let name = relation.name();
    match what {
        Corrupt::Pgvectors => error::index_of_pgvector(&name),
        Corrupt::LayoutVersion(_) => error::other_layout(&name, block, what),
        _ => error::corrupt_page(&name, block, what),
    }
}
