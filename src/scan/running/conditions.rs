//! Conditions on key columns: which searches find the rows that pass, or the comparison of all their codes. Scans without conditions that
//! have seen much of the index compare all codes too.

use filter::Filter;
use hnsw::{ElementId, Store};

use super::Running;
use crate::scan::filtered::{self, Filtered, GroupGraph, RUN};
use crate::scan::found::Found;
use crate::scan::last_scan::Ended;
use crate::scan::scratch::Scratch;
use crate::scan::target::Rule;
use crate::storage::pass;

/// The conditions of a query, and the way to the rows that pass them.
#[derive(Default)]
pub(super) struct Conditions {
    /// The rows that pass, if there are conditions.
    pub(super) filtered: Option<Filtered>,
    /// Conditions left to the executor so far.
    pub(super) pending: Option<Filter>,
    /// The graph that searches go through in place of the whole one.
    pub(super) group: Option<GroupGraph>,
    /// True once the codes of all rows that pass are compared: nothing is left to find.
    pub(super) is_exact: bool,
    /// True if a gated search was given up.
    pub(super) is_given_up: bool,
}

impl Running {
    /// Chooses how to find the rows that pass the conditions on key columns.
    pub(super) fn apply(&mut self, filter: Filter) {
        let pages = &mut self.cost.pages;
        let group = GroupGraph::of(&self.index, &filter, pages);
        let is_alone = group.as_ref().is_some_and(|group| group.is_alone);
        if !is_alone && filtered::passes_most(&self.index, &filter, pages) {
            self.conditions.pending = Some(filter);
            return;
        }
        self.conditions.group = group;
        if is_alone {
            self.next_ef = GroupGraph::first_ef(self.next_ef);
        } else {
            self.select(filter);
        }
    }

    /// Finds the rows that pass the conditions on key columns, and searches from the beginning. Rows returned before are passed
    /// over.
    fn select(&mut self, filter: Filter) {
        let (mut filtered, pages) = Filtered::select(&self.index, filter, self.limits.max_memory);
        if let Some(group) = &self.conditions.group {
            filtered.within(group);
        }
        self.cost.pages += pages;
        self.cost.matches = Some(filtered.count() as u64);
        if let Rule::Found(number) = self.rule {
            self.next_ef = match self.conditions.group {
                Some(_) => GroupGraph::first_ef(number.first),
                None => filtered.first_ef(number.first),
            };
        }
        self.conditions.filtered = Some(filtered);
        self.has_searched = false;
        self.found = 0;
        self.forget_found();
    }

    /// Applies conditions left to the executor so far; false if there are none.
    pub(super) fn apply_pending(&mut self) -> bool {
        let Some(filter) = self.conditions.pending.take() else {
            return false;
        };
        self.select(filter);
        true
    }

    /// Goes on without the graph of a group: its search found no more, and may have missed rows.
    pub(super) fn leave_group(&mut self) {
        if let Some(filter) = self
            .conditions
            .group
            .take()
            .and_then(GroupGraph::into_filter)
        {
            self.select(filter);
        }
    }

    /// Gives searches up for the codes of all elements with a row that passes the conditions on key columns, if there are any. Rows returned
    /// before are passed over.
    pub(super) fn compare_all(&mut self) -> bool {
        self.scratch.queue.clear();
        self.returned.remember();
        self.conditions.is_exact = true;
        self.conditions.is_given_up = false;
        self.cost.rule = Ended::AllCompared;
        // Rows returned before may have come instead of nearer ones.
        if self.returned.count() == 0 {
            self.cost.recall = Some(1.0);
        }
        let memory = self.limits.max_memory;
        let may_repeat = self
            .conditions
            .filtered
            .as_ref()
            .is_some_and(Filtered::may_repeat);
        self.scratch.nearest.begin(memory, may_repeat);
        self.compare_elements();
        self.take_compared()
    }

    /// Takes more of the elements whose codes were compared; false if none is left.
    pub(super) fn find_more_compared(&mut self) -> bool {
        if self.take_compared() {
            return true;
        }
        let is_left = self.scratch.nearest.go_on();
        if is_left {
            self.compare_elements();
        }
        is_left && self.take_compared()
    }

    /// Moves the nearest of the elements compared to the queue; false if none is left.
    fn take_compared(&mut self) -> bool {
        let count = self.scratch.nearest.next_count();
        if count == 0 {
            return false;
        }
        self.reserve_queue(count, 0);
        let Scratch { nearest, queue, .. } = &mut *self.scratch;
        self.emit_below = nearest.take(|(bound, element)| {
            queue.push_estimate(Found::Element(element), bound);
        });
        self.settled = self.emit_below;
        true
    }

    /// Compares the codes of all elements with a row that passes; of all elements where there are no conditions.
    fn compare_elements(&mut self) {
        match self.conditions.filtered.take() {
            Some(filtered) => {
                self.compare_passing(&filtered);
                self.conditions.filtered = Some(filtered);
            }
            None => self.compare_index(),
        }
        self.scratch.nearest.finish();
    }

    fn compare_passing(&mut self, filtered: &Filtered) {
        let index = self.index.clone();
        // A run is compared while the next one is loaded.
        let mut loaded = Vec::with_capacity(RUN);
        filtered.each_run(&index, |run| {
            index.graph().load(run);
            self.compare(&loaded);
            loaded.clear();
            loaded.extend_from_slice(run);
        });
        self.compare(&loaded);
    }

    fn compare_index(&mut self) {
        let index = self.index.clone();
        let (query, class) = (&self.query.codes, self.class);
        let (nearest, cost) = (&mut self.scratch.nearest, &mut self.cost);
        pass::each_code_page(&index, |codecs, page| {
            cost.pages += 1;
            cost.evaluations += page.len() as u64;
            for &(element, code) in page {
                let (distance, error) = query.estimate(codecs, code).expect("its center is known");
                nearest.push((class.lower_bound(distance, error), element));
            }
        });
    }

    /// Compares the codes of some elements, each named once, in the order of pages.
    fn compare(&mut self, run: &[ElementId]) {
        let Scratch { found, nearest, .. } = &mut *self.scratch;
        found.clear();
        let query = &self.query.codes;
        let mut graph = self.index.graph();
        graph.estimate(query, run, found);
        self.cost.pages += graph.visits();
        self.cost.evaluations += run.len() as u64;
        for candidate in found {
            let bound = self.class.lower_bound(candidate.distance, candidate.error);
            nearest.push((bound, candidate.element));
        }
    }
}
