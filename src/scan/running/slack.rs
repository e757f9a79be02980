//! Searches with a target recall: they go on until the slack of the row to be returned next is reached.

use hnsw::{FIRST, Matters, Slack, measure_of};

use super::Running;
use crate::scan::last_scan::Ended;
use crate::scan::target::Target;

/// Distances estimated by a search with a target before the limits of the scan are looked at again.
const STEP: u64 = 4096;

impl Running {
    /// Searches until the slack of the target is reached for the next row; returns the distance up to which rows may be
    /// returned.
    pub(super) fn search_to_slack(&mut self, target: &Target) -> f64 {
        let first = !std::mem::replace(&mut self.has_searched, true);
        let rank = self.returned.count() + 1;
        if !first && !self.may_continue() {
            self.give_up();
            return f64::INFINITY;
        }
        let next = self.scratch.queue.bound().filter(|_| !first);
        let row = next.map(|distance| self.class.estimate(distance));
        let (matters, slack) = self.matters(first, rank, row, target);
        self.cost.rule = Ended::Slack(slack.share);
        if first || !self.is_reached(&slack, matters) {
            self.search_within(first, &slack, matters);
        }
        match (next, matters) {
            // The conversions between distances and estimates round.
            (Some(distance), _) if self.is_reached(&slack, matters) => distance,
            (_, Matters::First(_)) => f64::NEG_INFINITY,
            _ => self.class.lower_bound(slack.distance_of(self.reached), 0.0),
        }
    }

    /// The distance that decides about the end of a search for the row of a rank, and its slack: that of an early element for
    /// the first ten rows, unless rows were found to be dead or invisible and the next one is farther; then that of the row.
    fn matters(
        &self,
        first: bool,
        rank: usize,
        row: Option<f32>,
        target: &Target,
    ) -> (Matters, Slack) {
        let (measure, slack) = (measure_of(rank), target.slack(rank));
        let Some(row) = row else {
            return match first {
                true => (Matters::First(measure), slack),
                false if rank <= FIRST => (Matters::Rank(FIRST), slack),
                false => (Matters::Rank(1), slack),
            };
        };
        let tenth = self.scratch.search.first_distance(FIRST);
        if rank <= FIRST && row <= target.slack(FIRST).reach(tenth).max(tenth) {
            return (Matters::First(measure), slack);
        }
        (Matters::Row(row), target.slack(rank.max(FIRST + 1)))
    }

    /// True if the search has come as far as the slack asks for, and no nearer row is set aside.
    fn is_reached(&self, slack: &Slack, matters: Matters) -> bool {
        let search = &self.scratch.search;
        let distance = match matters {
            Matters::Row(row) if row > search.found_within() => return false,
            Matters::Row(row) => row,
            Matters::First(rank) => search.first_distance(rank),
            Matters::Rank(_) => return false,
        };
        slack.reach(distance) <= self.reached
    }

    /// Searches within a slack, and takes the found: at least one element, unless none is left or a limit is met.
    fn search_within(&mut self, mut from_entry_point: bool, slack: &Slack, matters: Matters) {
        loop {
            let start = std::mem::take(&mut from_entry_point);
            let before = self.scratch.search.counters().evaluations;
            let mut reached = f32::INFINITY;
            let is_undisturbed = self.search_by(start, 0, |search, graph, query| {
                reached = if start {
                    search.start_within(graph, query, slack, matters, STEP)
                } else {
                    search.extend(graph, query, slack, matters, before + STEP)
                };
            });
            self.reached = reached;
            if !is_undisturbed {
                self.forget_found();
                from_entry_point = true;
                continue;
            }
            let is_empty = self.scratch.search.found().0 == 0;
            let may_go_on = self.scratch.search.can_extend() && self.may_continue();
            let is_done = matches!(matters, Matters::Row(_)) || self.is_reached(slack, matters);
            if !is_empty || is_done || !may_go_on {
                break;
            }
        }
        self.take_found();
        if self.scratch.found.is_empty() && !self.may_continue() {
            self.give_up();
        }
    }
}
