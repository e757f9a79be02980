//! The query of a scan, prepared for codes and for rows.

use quantize::CenteredQuery;

use crate::opclass::OperatorClass;
use crate::storage::Index;
use crate::types::indexed::{self, Indexed};

/// The query, for codes and for rows.
pub(super) struct Prepared {
    pub(super) codes: CenteredQuery<'static>,
    pub(super) exact: indexed::Query,
    /// True for NULL: all rows are equally near, although distances are computed from zero instead.
    pub(super) is_null: bool,
    /// False for codes of zero in place of a query without a direction or a value.
    pub(super) is_directed: bool,
}

impl Prepared {
    /// A query without a direction or a value: zero.
    fn anywhere(index: &Index, class: &OperatorClass) -> Self {
        let dimensions = index.frozen().dimensions as usize;
        let zero = class.zero(dimensions);
        Self {
            codes: index.codecs().query(zero),
            exact: indexed::Query::zero(class.kind(), dimensions),
            is_null: false,
            is_directed: false,
        }
    }

    pub(super) fn new(index: &Index, class: &OperatorClass, query: Option<&Indexed<'_>>) -> Self {
        let Some(query) = query else {
            return Self {
                is_null: true,
                ..Self::anywhere(index, class)
            };
        };
        let dimensions = index.frozen().dimensions as usize;
        if query.dimensions() != dimensions {
            let operator = class.operator();
            operator.reject_dimensions(query.dimensions(), dimensions);
        }
        let exact = indexed::Query::new(query);
        match class.prepare(query) {
            Some(prepared) => Self {
                codes: index.codecs().query(prepared),
                exact,
                is_null: false,
                is_directed: true,
            },
            None => Self {
                exact,
                ..Self::anywhere(index, class)
            },
        }
    }
}
