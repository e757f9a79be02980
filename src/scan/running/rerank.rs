//! Exact distances of rows, from the table.

use layout::Corrupt;

use super::Running;
use crate::scan::found::{Alike, Found};
use crate::scan::scratch::Scratch;
use crate::storage::rows::{self, Chain, ReadSlot};
use crate::types::indexed::Indexed;

/// Rows prefetched together.
const AHEAD: usize = 12;

/// Bytes of a row to prefetch; the hardware prefetcher loads the following ones.
const ROW_START: usize = 256;

impl Running {
    /// Prefetches the nearest rows, because most of them will be reranked, one after the other: first all row pointers, then,
    /// once these are loaded, the rows.
    pub(super) fn prefetch_rows(&mut self) {
        if self.scratch.found.is_empty() {
            return;
        }
        let Scratch { found, tids, .. } = &mut *self.scratch;
        tids.clear();
        {
            let mut graph = self.index.graph();
            let nearest = found.iter().take(AHEAD);
            tids.extend(nearest.filter_map(|found| rows::likely(&mut graph, found.element)));
        }
        let rows = &mut self.rows;
        tids.retain(|&tid| rows.has_block(tid.block));
        let Some(hints) = rows.hints() else { return };
        let mut far = [0; AHEAD];
        let mut count = 0;
        for &tid in &*tids {
            match hints.pointer(tid) {
                Some(pointer) => distance::prefetch_at(pointer, size_of::<u32>()),
                None => {
                    far[count] = tid.block;
                    count += 1;
                }
            }
        }
        rows.prefetch(&far[..count]);
        for row in tids.iter().filter_map(|&tid| hints.row(tid)) {
            distance::prefetch_at(row, ROW_START);
        }
    }

    /// Computes exact distances of the rows of `found`, from the table.
    pub(super) fn rerank(&mut self, found: Found, bound: f64) {
        let mut alike = if let Found::Rows(_, alike) = found {
            alike
        } else {
            Alike::default()
        };
        let (more, from) = self.read_rows(&found);
        self.reserve_queue(1, self.scratch.tids.len());
        let (rows, query) = (&mut self.rows, &self.query);
        for &tid in &self.scratch.tids {
            if self.returned.contains(tid) {
                continue;
            }
            if !rows.has_block(tid.block) {
                let damaged = found.block(&self.index);
                self.index.corrupt(damaged, Corrupt::NoSuchRow(tid.block));
            }
            #[expect(
                unsafe_code,
                reason = "the column's type is known to the operator class only"
            )]
            // SAFETY: the indexed column is of the operator class's type.
            let distance = rows.with_value(tid, |value| unsafe {
                let row = Indexed::from_raw(self.class.kind(), value);
                self.class.operator().distance(&query.exact, &row)
            });
            self.cost.rows += 1;
            if let Some(distance) = distance {
                alike = alike.with(distance);
                self.scratch.queue.push_exact(tid, distance);
            } else if let Some(from) = from.filter(|_| self.may_mark && rows.is_dead()) {
                self.dead.push(&self.index, &from, tid);
            }
        }
        if let Some(chain) = more {
            self.scratch
                .queue
                .push_estimate(Found::Rows(chain, alike), alike.bound(bound));
        }
    }

    /// Reads row pointers into `self.scratch.tids`. Returns the position of the element's next ones, and for further rows the
    /// slot they were read from.
    fn read_rows(&mut self, found: &Found) -> (Option<Chain>, Option<ReadSlot>) {
        self.scratch.tids.clear();
        match *found {
            Found::Element(element) => {
                // The borrow ends before rows are reranked: an index expression may run a query over this very index.
                let mut graph = self.index.graph();
                let more = rows::inline(&mut graph, element, &mut self.scratch.tids);
                self.cost.pages += graph.visits();
                drop(graph);
                if more.is_some() {
                    self.retain_passing();
                }
                (more, None)
            }
            Found::Rows(chain, _) => {
                self.cost.pages += 1;
                let reading = chain.read(&self.index, self.marked, &mut self.scratch.tids);
                self.retain_passing();
                (reading.after, reading.from)
            }
        }
    }

    /// Drops rows that do not pass the conditions on key columns. Only for elements with many rows: to find the rows that pass costs
    /// more than to read a row in vain, which the executor rejects.
    fn retain_passing(&mut self) {
        if let Some(filtered) = &mut self.conditions.filtered {
            filtered.retain(&self.index, &mut self.scratch.tids);
        }
    }
}
