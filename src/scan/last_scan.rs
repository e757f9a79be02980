//! Counts of the last scan in this session, for tests and for users with a slow query. No row before the first scan.

use std::cell::Cell;
use std::ffi::CStr;

use pgrx::iter::TableIterator;
use pgrx::name;

use crate::pg::call::sql_function;
use crate::pg::explain::{Property, Value};

/// The rule that ended the searches of a scan.
#[derive(Clone, Copy)]
pub(crate) enum Ended {
    /// `ef` elements were found.
    Found(usize),
    /// The slack of a target recall, for the last row.
    Slack(f32),
    /// The codes of all rows that pass the conditions on key columns were compared, or of all rows.
    AllCompared,
}

impl Default for Ended {
    fn default() -> Self {
        Self::Found(0)
    }
}

/// Counts of a scan's work for its last query.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Searches of the graph, first and resumed.
    pub(crate) walks: u64,
    /// Elements whose neighbors were read.
    pub(crate) expansions: u64,
    /// Elements whose codes were compared with the query.
    pub(crate) evaluations: u64,
    /// Index pages that were pinned and locked; unlocked reads do not count.
    pub(crate) pages: u64,
    /// Table rows fetched for their exact distances.
    pub(crate) rows: u64,
    /// Rows that pass the conditions on key columns; `None` if these were not counted.
    pub(crate) matches: Option<u64>,
    pub(crate) rule: Ended,
    /// True if searches went through the graph of a value.
    pub(crate) in_group: bool,
    /// The share of the nearest rows that the rule is expected to find; `None` if the index is not calibrated.
    pub(crate) recall: Option<f64>,
}

impl Cost {
    fn is_nothing(&self) -> bool {
        self.evaluations == 0 && self.matches.is_none()
    }

    /// The sums with those of a later query, whose rule ended the searches.
    pub(super) fn and(self, later: Self) -> Self {
        if later.is_nothing() {
            return self;
        }
        let matches = self.matches.into_iter().chain(later.matches);
        Self {
            walks: self.walks + later.walks,
            expansions: self.expansions + later.expansions,
            evaluations: self.evaluations + later.evaluations,
            pages: self.pages + later.pages,
            rows: self.rows + later.rows,
            matches: matches.reduce(|a, b| a + b),
            rule: later.rule,
            in_group: self.in_group || later.in_group,
            recall: later.recall,
        }
    }

    /// The way in which rows were found.
    fn method(&self) -> &'static CStr {
        match self.rule {
            Ended::AllCompared => c"codes",
            _ if self.in_group => c"graph of a value",
            _ => c"graph",
        }
    }

    /// The columns of `hnsw_last_scan` for EXPLAIN; `None` if nothing was searched.
    pub(crate) fn described(self) -> Option<Vec<Property>> {
        if self.is_nothing() {
            return None;
        }
        let mut properties = vec![
            (c"walks", Value::Count(self.walks)),
            (c"expansions", Value::Count(self.expansions)),
            (c"evaluations", Value::Count(self.evaluations)),
            (c"pages", Value::Count(self.pages)),
            (c"rows", Value::Count(self.rows)),
        ];
        properties.extend(match self.rule {
            Ended::Found(ef) => vec![
                (c"ended_by", Value::Word(c"ef_search")),
                (c"ef", Value::Count(ef as u64)),
            ],
            Ended::Slack(slack) => vec![
                (c"ended_by", Value::Word(c"target_recall")),
                (c"slack", Value::Number(slack.into())),
            ],
            Ended::AllCompared => vec![(c"ended_by", Value::Word(c"all_matches"))],
        });
        properties.extend(self.matches.map(|rows| (c"matches", Value::Count(rows))));
        properties.push((c"method", Value::Word(self.method())));
        properties.extend(self.recall.map(|share| (c"recall", Value::Number(share))));
        Some(properties)
    }
}

thread_local! {
    static LAST: Cell<Option<Cost>> = const { Cell::new(None) };
}

/// Called when a query of a scan ends.
pub(crate) fn set(cost: Cost) {
    LAST.set(Some(cost));
}

sql_function!(hnsw_last_scan);
#[expect(clippy::type_complexity, reason = "a list of columns")]
fn hnsw_last_scan() -> TableIterator<
    'static,
    (
        name!(walks, i64),
        name!(expansions, i64),
        name!(evaluations, i64),
        name!(pages, i64),
        name!(rows, i64),
        name!(ended_by, &'static str),
        name!(ef, Option<i32>),
        name!(slack, Option<f64>),
        name!(matches, Option<i64>),
        name!(method, &'static str),
        name!(recall, Option<f64>),
    ),
> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    TableIterator::new(LAST.get().into_iter().map(move |cost| {
        let (ended_by, ef, slack) = match cost.rule {
            Ended::Found(ef) => ("ef_search", i32::try_from(ef).ok(), None),
            Ended::Slack(share) => ("target_recall", None, Some(f64::from(share))),
            Ended::AllCompared => ("all_matches", None, None),
        };
        (
            number(cost.walks),
            number(cost.expansions),
            number(cost.evaluations),
            number(cost.pages),
            number(cost.rows),
            ended_by,
            ef,
            slack,
            cost.matches.map(number),
            cost.method().to_str().expect("ASCII"),
            cost.recall,
        )
    }))
}
