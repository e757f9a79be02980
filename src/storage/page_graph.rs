//! The graph as searches see it: `hnsw::Store` over buffers.

use hnsw::{Candidate, ElementId, Level, Store};
use layout::{Corrupt, ElementPage, SlotState, UpperPage};
use quantize::Query;

use super::buffer::{Hints, Reader};
use super::index::Index;
use super::metapage;

/// The graph in an index's pages.
pub(crate) struct PageGraph<'a> {
    index: &'a Index,
    reader: Reader<'a>,
    /// Elements of the batch being measured in page order, and the block of each.
    batch: Vec<ElementId>,
    blocks: Vec<u32>,
}

impl<'a> PageGraph<'a> {
    pub(crate) fn new(index: &'a Index, hints: &'a mut Hints) -> Self {
        let reader = Reader::new(index.relation(), hints);
        Self {
            index,
            reader,
            batch: Vec::new(),
            blocks: Vec::new(),
        }
    }

    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// Shows each element's page to `visit`, pages in ascending order, with the element's slot in it.
    /// Elements come in page order too. What `visit` finds wrong is raised when no lock is held.
    pub(crate) fn visit_elements(
        &mut self,
        elements: &[ElementId],
        mut visit: impl FnMut(ElementId, &ElementPage<'_>, u16) -> Result<(), Corrupt>,
    ) {
        let slots = self.index.geometry().element;
        self.batch.clear();
        self.batch.extend_from_slice(elements);
        self.batch.sort_unstable();
        self.blocks.clear();
        self.blocks
            .extend(self.batch.iter().map(|&element| slots.split(element).0));
        self.check_blocks();
        self.prefetch();
        let geometry = self.index.geometry();
        let batch = &self.batch;
        let mut wrong = None;
        self.reader.visit(&self.blocks, |range, page| {
            if wrong.is_some() {
                return;
            }
            let block = slots.split(batch[range.start]).0;
            let visited = ElementPage::view(page, geometry).and_then(|view| {
                batch[range]
                    .iter()
                    .try_for_each(|&element| visit(element, &view, slots.split(element).1))
            });
            if let Err(what) = visited {
                wrong = Some((block, what));
            }
        });
        if let Some((block, what)) = wrong {
            self.index.corrupt(block, what);
        }
    }

    /// Whether an element has rows.
    pub(crate) fn is_live(&mut self, element: ElementId) -> bool {
        let mut live = false;
        self.visit_elements(&[element], |_, page, slot| {
            live = page.slot(slot)?.is_live();
            Ok(())
        });
        live
    }

    /// The neighbors of elements on layer 0, sorted, each once.
    pub(crate) fn neighbors_of_all(&mut self, elements: &[ElementId]) -> Vec<ElementId> {
        let mut all = Vec::with_capacity(elements.len() * usize::from(2 * self.index.geometry().m));
        self.visit_elements(elements, |_, page, slot| {
            all.extend(page.slot(slot)?.neighbors());
            Ok(())
        });
        all.sort_unstable();
        all.dedup();
        all
    }

    /// A link to a block that is not there is damage, to be said before Postgres says it in its own words.
    fn check_blocks(&mut self) {
        if let (Some(&first), Some(&last)) = (self.blocks.first(), self.blocks.last())
            && (first == metapage::METAPAGE || !self.reader.has_block(last))
        {
            let block = if first == metapage::METAPAGE {
                first
            } else {
                last
            };
            self.index.corrupt(block, Corrupt::NoSuchBlock(block));
        }
    }

    /// Brings all slots of the batch near before the first is read.
    fn prefetch(&self) {
        let slots = self.index.geometry().element;
        for &element in &self.batch {
            let (block, slot) = slots.split(element);
            self.reader.prefetch(block, slots.range(slot));
        }
    }

    /// Where the upper neighbor lists of an element are; none if it is gone or has no such level.
    fn upper_neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        let mut list = None;
        self.visit_elements(&[of], |_, page, slot| {
            let element = page.slot(slot)?;
            if element.state() != SlotState::Free && element.level() >= level {
                list = element.upper().map(|upper| upper.at(level));
            }
            Ok(())
        });
        let Some(list) = list else { return };
        let geometry = self.index.geometry();
        let (block, slot) = geometry.upper.split(list);
        if !self.reader.has_block(block) {
            self.index.corrupt(block, Corrupt::NoSuchBlock(block));
        }
        let mut read = Ok(());
        self.reader.visit(&[block], |_, page| {
            read = UpperPage::view(page, geometry)
                .and_then(|view| view.slot(slot))
                .map(|list| {
                    // The run may have been given to another element since.
                    if list.is_live() && list.element() == of && list.level() == level {
                        into.extend(list.neighbors());
                    }
                });
        });
        if let Err(what) = read {
            self.index.corrupt(block, what);
        }
    }
}

impl Store for PageGraph<'_> {
    type Query = Query;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        let entry = metapage::read(self.index.relation()).entry_point?;
        Some((entry.element, entry.level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        if level > 0 {
            return self.upper_neighbors(of, level, into);
        }
        self.visit_elements(&[of], |_, page, slot| {
            let element = page.slot(slot)?;
            if element.state() != SlotState::Free {
                into.extend(element.neighbors());
            }
            Ok(())
        });
    }

    fn measure(&mut self, query: &Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        self.visit_elements(elements, |element, page, slot| {
            let (state, code) = page.code(slot)?;
            if state != SlotState::Free {
                let (distance, error) = query.estimate(code);
                into.push(Candidate {
                    distance,
                    error,
                    element,
                    live: state == SlotState::Live,
                });
            }
            Ok(())
        });
    }
}
