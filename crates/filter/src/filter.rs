//! A filter: tests on the columns of a row key.

use crate::condition::Condition;
use crate::widths::{MAX_COLUMNS, Widths};
use crate::zone::Zone;

/// A test of the image of one column. Only [`Test::Null`] lets NULL pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The image lies in the interval, bounds included.
    Range {
        /// The least image that passes.
        lo: u64,
        /// The largest image that passes.
        hi: u64,
    },
    /// The image is one of these, in any order.
    Among(Vec<u64>),
    /// The signature has all bits of one of these masks.
    Any(Vec<u64>),
    /// The signature has all these bits.
    All(u64),
    /// The value is NULL.
    Null,
    /// The value is not NULL.
    NotNull,
}

/// A conjunction of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    widths: Widths,
    /// Columns whose NULLs matter.
    pub(crate) tested: u8,
    /// Columns of `tested` that must be NULL.
    pub(crate) null: u8,
    conditions: [Option<Box<Condition>>; MAX_COLUMNS],
    impossible: bool,
}

impl Filter {
    /// A filter that passes every row.
    pub fn new(widths: Widths) -> Filter {
        Filter {
            widths,
            tested: 0,
            null: 0,
            conditions: [const { None }; MAX_COLUMNS],
            impossible: false,
        }
    }

    /// Adds a test.
    ///
    /// # Panics
    /// If the column does not exist.
    #[must_use]
    pub fn and(mut self, column: usize, test: Test) -> Filter {
        self.require(column, test);
        self
    }

    /// Adds a test, as [`Filter::and`].
    pub fn require(&mut self, column: usize, test: Test) {
        let max = self.widths.max_image(column);
        let bit = 1_u8 << column;
        let wants_null = test == Test::Null;
        if self.tested & bit != 0 && (self.null & bit != 0) != wants_null {
            self.impossible = true;
        }
        self.tested |= bit;
        if wants_null {
            self.null |= bit;
            return;
        }
        if test == Test::NotNull {
            return;
        }
        let condition =
            self.conditions[column].get_or_insert_with(|| Box::new(Condition::all_up_to(max)));
        match test {
            Test::Range { lo, hi } => condition.restrict(lo, hi),
            Test::Among(images) => condition.restrict_to(images),
            Test::All(mask) if mask > max => condition.restrict(1, 0),
            Test::All(mask) => condition.all |= mask,
            Test::Any(mut masks) => {
                masks.retain(|&mask| mask <= max);
                condition.any.push(fewer(masks));
            }
            Test::Null | Test::NotNull => {}
        }
        self.impossible |= condition.is_impossible();
    }

    /// The widths of the row keys that this filter reads.
    pub fn widths(&self) -> Widths {
        self.widths
    }

    /// The columns whose images are tested.
    pub fn columns(&self) -> impl Iterator<Item = usize> {
        (0..MAX_COLUMNS).filter(|&column| self.conditions[column].is_some())
    }

    /// True if no row can pass.
    pub fn is_impossible(&self) -> bool {
        self.impossible
    }

    /// True if every row passes.
    pub fn is_empty(&self) -> bool {
        self.tested == 0
    }

    /// The image that a column has in all rows that pass; `Some(None)` if it is NULL in all of them, `None` if they may differ.
    ///
    /// # Panics
    /// If the column does not exist.
    pub fn value_of(&self, column: usize) -> Option<Option<u64>> {
        assert!(column < self.widths.count(), "a key column");
        if self.null >> column & 1 == 1 {
            return Some(None);
        }
        let condition = self.conditions[column].as_deref()?;
        (condition.lo == condition.hi).then_some(Some(condition.lo))
    }

    /// True if no column but this one is tested.
    pub fn tests_only(&self, column: usize) -> bool {
        self.tested == 1 << column
    }

    /// True if a row passes.
    ///
    /// # Panics
    /// If the key is shorter than [`Widths::key_len`].
    #[inline]
    pub fn passes(&self, row_key: &[u8]) -> bool {
        !self.impossible
            && row_key[0] & self.tested == self.null
            && self.conditions().all(|(column, condition)| {
                self.widths
                    .image(row_key, column)
                    .is_some_and(|image| condition.passes(image))
            })
    }

    /// True if a zone can hold a passing row.
    pub fn may_match(&self, zone: &Zone) -> bool {
        !self.impossible
            && (0..self.widths.count()).all(|column| self.column_may_match(zone, column))
    }

    fn column_may_match(&self, zone: &Zone, column: usize) -> bool {
        let zone = zone.column(column);
        if self.tested >> column & 1 == 0 {
            return true;
        }
        if self.null >> column & 1 == 1 {
            return zone.has_null;
        }
        match &self.conditions[column] {
            Some(condition) => zone.has_value() && condition.may_pass(zone.min, zone.max),
            None => zone.has_value(),
        }
    }

    pub(crate) fn conditions(&self) -> impl Iterator<Item = (usize, &Condition)> {
        let columns = self.conditions.iter().enumerate();
        columns.filter_map(|(column, condition)| Some((column, condition.as_deref()?)))
    }
}

/// As many masks as bits at most: many masks become the bits of all, one each, which pass whatever the masks do.
fn fewer(masks: Vec<u64>) -> Box<[u64]> {
    if masks.contains(&0) {
        return [0].into();
    }
    if masks.len() <= 64 {
        return masks.into();
    }
    let union = masks.iter().fold(0, |union, mask| union | mask);
    (0..64)
        .map(|bit| 1 << bit)
        .filter(|bit| union & bit != 0)
        .collect()
}
