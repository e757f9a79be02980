//! The last pass of a build: links every unreachable element to a reachable one.

use super::{Stopped, Vectors, Watch};
use crate::vectors::ElementQuery;
use crate::{ElementId, Level, MemoryGraph, Search};

/// The number of reachable elements examined for the nearest one with a free entry in its list.
const EF: usize = 32;

/// Makes every element of every layer reachable from the entry point over the links of that layer alone.
///
/// The entry point must be set, and be an element of the highest level.
pub(crate) fn connect<V: Vectors>(
    graph: &mut MemoryGraph,
    vectors: &V,
    watch: &Watch,
) -> Result<(), Stopped> {
    connect_by(graph, watch, |graph, reached, element, level| {
        reached_near(graph, vectors, reached, element, level)
    })
}

/// The same without vectors: nearby elements are found over an element's own links.
pub(super) fn connect_by_links(graph: &mut MemoryGraph, watch: &Watch) -> Result<(), Stopped> {
    connect_by(graph, watch, reached_over_links)
}

/// `near` returns reached elements, nearest first; at least one.
fn connect_by(
    graph: &mut MemoryGraph,
    watch: &Watch,
    near: impl Fn(&MemoryGraph, &Reached, ElementId, Level) -> Vec<ElementId>,
) -> Result<(), Stopped> {
    let Some((entry_point, top)) = graph.entry_point() else {
        return Ok(());
    };
    // From the top layer down, as the search for a link on a layer descends through the layers above it.
    for level in (0..=top).rev() {
        let mut reached = Reached::try_new(graph.len())?;
        reached.walk(graph, entry_point, level);
        for element in (0..graph.len() as u32).map(ElementId) {
            if graph.level(element) >= level && !reached.contains(element) {
                watch.check()?;
                let near = near(graph, &reached, element, level);
                link(graph, &near, element, level);
                reached.walk(graph, element, level);
            }
        }
    }
    Ok(())
}

/// The reachable elements of a layer.
struct Reached {
    elements: Vec<bool>,
    to_expand: Vec<ElementId>,
}

impl Reached {
    fn try_new(n: usize) -> Result<Self, Stopped> {
        let mut elements = Vec::new();
        elements.try_reserve_exact(n)?;
        elements.resize(n, false);
        Ok(Self {
            elements,
            to_expand: Vec::new(),
        })
    }

    fn contains(&self, element: ElementId) -> bool {
        self.elements[element.0 as usize]
    }

    /// Adds an element and all elements reachable from it.
    fn walk(&mut self, graph: &MemoryGraph, from: ElementId, level: Level) {
        self.add(from);
        while let Some(element) = self.to_expand.pop() {
            for &neighbor in graph.neighbors(element, level) {
                if !self.elements[neighbor as usize] {
                    self.add(ElementId(neighbor));
                }
            }
        }
    }

    fn add(&mut self, element: ElementId) {
        self.elements[element.0 as usize] = true;
        self.to_expand.push(element);
    }
}

/// Links `element` from the nearest reached element with a free entry, or else from the nearest reached of all.
pub(super) fn link(graph: &mut MemoryGraph, near: &[ElementId], element: ElementId, level: Level) {
    let capacity = graph.capacity(level);
    let roomy = near
        .iter()
        .find(|&&e| graph.neighbors(e, level).len() < capacity);
    if let Some(&by) = roomy {
        push(graph, by, level, element);
        return;
    }
    // The new link replaces another, whose target becomes reachable through the new neighbor.
    let by = near[0];
    let mut neighbors = graph.neighbors(by, level).to_vec();
    let displaced = neighbors.pop().expect("a full list is not empty");
    neighbors.push(element.0);
    graph.set_neighbors(by, level, neighbors.into_iter());
    push(graph, element, level, ElementId(displaced));
}

/// Reached elements, nearest to `element` first; never empty.
fn reached_near<V: Vectors>(
    graph: &MemoryGraph,
    vectors: &V,
    reached: &Reached,
    element: ElementId,
    level: Level,
) -> Vec<ElementId> {
    let query = ElementQuery::new(vectors, element.0);
    let mut search = Search::new();
    let mut view = graph.view();
    let mut near = Vec::new();
    if let Some(descent) = search.descend(&mut view, &query, level) {
        search.layer(&mut view, &query, &[descent.nearest], level, EF, &mut near);
    }
    let mut near: Vec<_> = near
        .iter()
        .map(|c| c.element)
        .filter(|&e| reached.contains(e))
        .collect();
    if near.is_empty() {
        near.extend(graph.entry_point().map(|(element, _)| element));
    }
    near
}

/// Reached elements, fewest links away from `element` first; never empty.
fn reached_over_links(
    graph: &MemoryGraph,
    reached: &Reached,
    element: ElementId,
    level: Level,
) -> Vec<ElementId> {
    let mut found = vec![element];
    let mut next = 0;
    while next < found.len() && found.len() < EF {
        for neighbor in graph
            .neighbors(found[next], level)
            .iter()
            .map(|&n| ElementId(n))
        {
            if !found.contains(&neighbor) {
                found.push(neighbor);
            }
        }
        next += 1;
    }
    found.retain(|&e| reached.contains(e));
    if found.is_empty() {
        found.extend(graph.entry_point().map(|(element, _)| element));
    }
    found
}

/// Adds a neighbor; a full list drops its last. The list belongs to an element unreached so far, so no path uses the
/// dropped link.
fn push(graph: &mut MemoryGraph, of: ElementId, level: Level, new: ElementId) {
    let mut neighbors = graph.neighbors(of, level).to_vec();
    if neighbors.contains(&new.0) {
        return;
    }
    neighbors.truncate(graph.capacity(level) - 1);
    neighbors.push(new.0);
    graph.set_neighbors(of, level, neighbors.into_iter());
}
