//! The values of a group of rows, column by column, as their bounds.

use crate::widths::{MAX_COLUMNS, Widths};

/// The bounds of the row keys of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    columns: [ColumnZone; MAX_COLUMNS],
}

/// The bounds of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnZone {
    /// The least image; above `max` if there is no value.
    pub min: u64,
    /// The largest image.
    pub max: u64,
    /// True if a row has NULL.
    pub has_null: bool,
}

impl ColumnZone {
    /// No row.
    pub const EMPTY: ColumnZone = ColumnZone {
        min: u64::MAX,
        max: 0,
        has_null: false,
    };

    /// True if a row has a value.
    pub fn has_value(&self) -> bool {
        self.min <= self.max
    }

    fn add(&mut self, image: Option<u64>) {
        match image {
            Some(image) => {
                self.min = self.min.min(image);
                self.max = self.max.max(image);
            }
            None => self.has_null = true,
        }
    }
}

impl Zone {
    /// The zone of no row.
    pub const EMPTY: Zone = Zone {
        columns: [ColumnZone::EMPTY; MAX_COLUMNS],
    };

    /// A zone from the bounds of its columns.
    ///
    /// # Panics
    /// If there are more than [`MAX_COLUMNS`].
    pub fn from_columns(columns: &[ColumnZone]) -> Zone {
        let mut zone = Zone::EMPTY;
        zone.columns[..columns.len()].copy_from_slice(columns);
        zone
    }

    /// The bounds of a column.
    ///
    /// # Panics
    /// If the column is not below [`MAX_COLUMNS`].
    pub fn column(&self, column: usize) -> ColumnZone {
        self.columns[column]
    }

    /// Widens the zone by a row. Returns whether it changed.
    ///
    /// # Panics
    /// If the key is shorter than [`Widths::key_len`].
    pub fn add(&mut self, widths: Widths, row_key: &[u8]) -> bool {
        let before = *self;
        for column in 0..widths.count() {
            self.columns[column].add(widths.image(row_key, column));
        }
        *self != before
    }
}
