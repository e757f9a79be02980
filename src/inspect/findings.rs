//! The findings of a check, as rows.

use std::fmt::Display;

use layout::{SlotId, Slots};

use crate::error;
use crate::pg::Relation;

/// The maximum of kept findings per severity; further ones are only counted.
const MOST: usize = 10_000;

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// Vacuum repairs it, or it costs only some space or speed.
    Warning,
    /// Damage: searches may fail or miss rows. `REINDEX` helps.
    Error,
}

impl Severity {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A location in an index; empty for the index as a whole.
#[derive(Clone, Copy, Default)]
pub(super) struct Location {
    pub(super) block: Option<u32>,
    pub(super) slot: Option<u16>,
}

impl From<u32> for Location {
    fn from(block: u32) -> Self {
        Self {
            block: Some(block),
            slot: None,
        }
    }
}

impl From<(u32, u16)> for Location {
    fn from((block, slot): (u32, u16)) -> Self {
        Self {
            block: Some(block),
            slot: Some(slot),
        }
    }
}

/// A flaw and its location.
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) place: Location,
    pub(super) what: String,
}

/// All findings of a check.
pub(super) struct Findings {
    index: Relation,
    /// True if the first error ends the statement.
    raise: bool,
    list: Vec<Finding>,
    warnings: usize,
    errors: usize,
}

impl Findings {
    pub(super) fn new(index: Relation, raise: bool) -> Self {
        Self {
            index,
            raise,
            list: Vec::new(),
            warnings: 0,
            errors: 0,
        }
    }

    /// Records damage, or raises it as an error. The caller must hold no page lock.
    pub(super) fn error(&mut self, place: impl Into<Location>, what: impl Display) {
        let place = place.into();
        if self.raise {
            match place.block {
                Some(block) => error::corrupt_page(&self.index.name(), block, what),
                None => error::corrupt_index(&self.index.name(), what),
            }
        }
        self.errors += 1;
        if self.errors <= MOST {
            self.add(Severity::Error, place, &what);
        }
    }

    pub(super) fn warning(&mut self, place: impl Into<Location>, what: impl Display) {
        self.warnings += 1;
        if self.warnings <= MOST {
            self.add(Severity::Warning, place.into(), &what);
        }
    }

    fn add(&mut self, severity: Severity, place: Location, what: &impl Display) {
        self.list.push(Finding {
            severity,
            place,
            what: what.to_string(),
        });
    }

    /// The findings: damage first, each severity in the order of discovery.
    pub(super) fn into_list(mut self) -> Vec<Finding> {
        for (severity, count) in [
            (Severity::Error, self.errors),
            (Severity::Warning, self.warnings),
        ] {
            if count > MOST {
                let what = format!("{} further findings are left out", count - MOST);
                self.add(severity, Location::default(), &what);
            }
        }
        self.list
            .sort_by_key(|finding| finding.severity != Severity::Error);
        self.list
    }
}

/// The location of an id, for messages.
pub(super) fn location_of<Id: SlotId>(slots: &Slots<Id>, id: Id) -> String {
    let (block, slot) = slots.split(id);
    format!("slot {slot} of block {block}")
}
