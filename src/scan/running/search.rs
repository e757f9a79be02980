//! Rounds of a search: the first starts at the entry point, or at elements of a group, each later one resumes with a larger `ef`.

use hnsw::{Candidate, Counters, GROUP, Search, SearchOptions};
use quantize::CenteredQuery;

use super::Running;
use crate::error;
use crate::scan::filtered::Filtered;
use crate::scan::found::Found;
use crate::scan::target::Rule;
use crate::settings::IterativeScan;
use crate::storage::{Gate, PageGraph};

/// After a scan has compared one in this many of the elements of the index, or of its group, it is taken to want all rows.
const SEEN_BEFORE_ALL: f64 = 4.0;

impl Running {
    /// Starts or resumes the search; false if it finds nothing more.
    pub(super) fn find_more(&mut self) -> bool {
        self.scratch.found.clear();
        let before = self.emit_below;
        if self.conditions.is_exact {
            return self.find_more_compared();
        }
        let is_few = self
            .conditions
            .filtered
            .as_ref()
            .is_some_and(Filtered::is_few)
            || self.wants_all();
        if !is_few {
            self.emit_below = match self.rule {
                Rule::Found(_) => self.search_to_number(),
                Rule::Target(target) => self.search_to_slack(&target),
            };
        }
        if self.conditions.group.is_some() && self.scratch.found.is_empty() {
            self.conditions.is_given_up = true;
        }
        if is_few || self.conditions.is_given_up {
            self.leave_group();
            return self.compare_all();
        }
        // In relaxed order searches do not grow, and each finds rows the last one missed.
        let is_late = self.limits.iterative == IterativeScan::RelaxedOrder
            && before.is_finite()
            && self.emit_below.is_finite();
        self.settled = if is_late { before } else { self.emit_below };
        self.prefetch_rows();
        self.reserve_queue(self.scratch.found.len(), 0);
        for candidate in &self.scratch.found {
            let bound = self.class.lower_bound(candidate.distance, candidate.error);
            self.scratch
                .queue
                .push_estimate(Found::Element(candidate.element), bound);
        }
        !self.scratch.found.is_empty()
    }

    /// Searches for `next_ef` elements; returns the distance up to which rows may be returned. The last finds may have nearer
    /// neighbors not found yet: they wait until a search has gone well beyond them.
    fn search_to_number(&mut self) -> f64 {
        let goes_on = self.next_round();
        let settled = (self.scratch.found.len() * 4 / 5).saturating_sub(1);
        match self.scratch.found.get(settled) {
            Some(candidate) if goes_on && self.limits.iterative != IterativeScan::Off => self
                .emit_below
                .max(self.class.lower_bound(candidate.distance, 0.0)),
            _ => f64::INFINITY,
        }
    }

    pub(super) fn take_found(&mut self) {
        self.reserve_found(self.scratch.search.found().0);
        self.scratch.search.take_nearest(&mut self.scratch.found);
        self.found += self.scratch.found.len();
    }

    /// Returns candidates estimated on the way before the scan ends.
    pub(super) fn give_up(&mut self) {
        self.reserve_found(self.scratch.search.found().1);
        self.scratch
            .found
            .extend(std::iter::from_fn(|| self.scratch.search.pop_discarded()));
    }

    /// Fills `self.scratch.found`; false if the search ends with it.
    fn next_round(&mut self) -> bool {
        let first = !std::mem::replace(&mut self.has_searched, true);
        let iterative = self.limits.iterative != IterativeScan::Off;
        if !first && !iterative {
            return false;
        }
        if !first && !self.may_continue() {
            if self.conditions.filtered.is_some() || self.conditions.group.is_some() {
                self.conditions.is_given_up = true;
                return false;
            }
            self.give_up();
            return false;
        }
        if !self.search_for(first, self.next_ef) && !self.conditions.is_given_up {
            self.start_again();
        }
        if self.conditions.is_given_up {
            return false;
        }
        self.take_found();
        if !iterative {
            self.scratch.found.truncate(self.limits.ef);
        }
        // Each search doubles `ef`, so that many rows take few searches.
        if self.may_grow() {
            self.next_ef = self.next_ef.saturating_mul(2);
        }
        true
    }

    /// Searches from the entry point, or resumes, for a number of elements. False as `search_by`.
    fn search_for(&mut self, from_entry_point: bool, ef: usize) -> bool {
        let options = SearchOptions {
            ef,
            keep_discarded: self.limits.iterative != IterativeScan::Off,
        };
        let group = self.conditions.group.take();
        self.cost.in_group = group.is_some();
        let is_whole = self.search_by(from_entry_point, ef, |search, graph, query| {
            if from_entry_point && let Some(group) = &group {
                graph.start_elsewhere(group.removals);
                search.start_from(graph, query, (&group.entries, GROUP), &options);
            } else if from_entry_point {
                search.start(graph, query, &options);
            } else {
                search.resume(graph, query, &options);
            }
        });
        self.conditions.group = group;
        is_whole
    }

    /// Runs a search for a number of elements. False if a vacuum has freed slots of elements since the search started at the
    /// entry point: some of them may have been candidates to resume from, and their paths ended there.
    pub(super) fn search_by(
        &mut self,
        from_entry_point: bool,
        ef: usize,
        run: impl FnOnce(&mut Search, &mut PageGraph<'_>, &CenteredQuery<'static>),
    ) -> bool {
        let query = &self.query.codes;
        let mut filtered = self.conditions.filtered.as_mut();
        let gate = filtered
            .as_mut()
            .map(|filtered| filtered.gate(&self.index, ef, from_entry_point));
        let mut graph = self.index.graph().with_gate(gate.as_ref());
        let before = if from_entry_point {
            Counters::default()
        } else {
            self.scratch.search.counters()
        };
        run(&mut self.scratch.search, &mut graph, query);
        if from_entry_point {
            self.removals = graph.removals_at_start();
        }
        let now = self.scratch.search.counters();
        self.cost.walks += 1;
        self.cost.pages += graph.visits();
        self.cost.evaluations += now.evaluations - before.evaluations;
        self.cost.expansions += now.expansions - before.expansions;
        if self.scratch.search.is_out_of_memory() {
            error::out_of_memory(self.scratch.memory());
        }
        let is_whole = graph.removals() == self.removals;
        drop(graph);
        self.conditions.is_given_up = gate.as_ref().is_some_and(Gate::is_shut);
        let compared = gate.map_or(0.0, |gate| gate.found());
        if let Some(filtered) = filtered {
            filtered.spend(now.evaluations - before.evaluations, compared);
        }
        is_whole
    }

    /// Searches from the entry point, or from elements of the group read again, until no vacuum interferes, for as many elements as
    /// were found so far plus the next `ef`.
    /// Rows returned before are passed over.
    fn start_again(&mut self) {
        self.forget_found();
        let ef = self.next_ef.saturating_add(self.found);
        self.found = 0;
        loop {
            if let Some(group) = &mut self.conditions.group {
                group.read_entries(&self.index, &mut self.cost.pages);
            }
            if self.search_for(true, ef) || self.conditions.is_given_up {
                return;
            }
        }
    }

    /// True if searches grow, as long as memory suffices for it.
    fn may_grow(&self) -> bool {
        self.limits.is_strict() && 3 * self.scratch.memory() < self.limits.max_memory
    }

    /// True if a scan by numbers has seen a good part of the index, or of the group. To compare all codes as they lie takes less time than to
    /// walk to the rest, and no row comes too late any more.
    #[expect(clippy::cast_precision_loss, reason = "counts of elements")]
    fn wants_all(&self) -> bool {
        if !self.has_searched || !matches!(self.rule, Rule::Found(_)) || !self.may_grow() {
            return false;
        }
        let seen = self.scratch.search.counters().evaluations as f64;
        let all = self.index.most_elements() as f64;
        let all = self
            .conditions
            .group
            .as_ref()
            .map_or(all, |group| group.rows.min(all));
        seen * SEEN_BEFORE_ALL >= all
    }

    /// Drops everything found and not returned, before a search starts at the entry point again.
    pub(super) fn forget_found(&mut self) {
        self.scratch.queue.clear();
        self.late = 0;
        self.returned.remember();
        self.emit_below = f64::NEG_INFINITY;
        self.settled = f64::NEG_INFINITY;
    }

    pub(super) fn may_continue(&self) -> bool {
        self.cost.evaluations.max(self.cost.rows) < self.limits.max_visited
            && self.memory() < self.limits.max_memory
    }

    /// The maximum bytes for everything found so far.
    fn memory(&self) -> usize {
        let filtered = self
            .conditions
            .filtered
            .as_ref()
            .map_or(0, Filtered::memory);
        self.scratch.memory() + self.returned.memory() + filtered
    }

    pub(super) fn reserve_found(&mut self, count: usize) {
        if self.scratch.found.try_reserve(count).is_err() {
            error::out_of_memory(count * size_of::<Candidate>());
        }
    }
}
