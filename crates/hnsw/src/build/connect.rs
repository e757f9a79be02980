//! The last pass of a build: whatever cannot be reached from the entry point is linked to something that can.

use super::{Stopped, Vectors, Watch};
use crate::vectors::ElementQuery;
use crate::{ElementId, Level, MemoryGraph, Search};

/// How many reachable elements are looked at, to find the nearest with room for one more neighbor.
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

/// The same without vectors: what is near to an element is found over its own links.
pub(super) fn connect_by_links(graph: &mut MemoryGraph, watch: &Watch) -> Result<(), Stopped> {
    connect_by(graph, watch, reached_over_links)
}

/// `near` finds elements reached, nearest first; never none.
fn connect_by(
    graph: &mut MemoryGraph,
    watch: &Watch,
    near: impl Fn(&MemoryGraph, &Reached, ElementId, Level) -> Vec<ElementId>,
) -> Result<(), Stopped> {
    let Some((entry_point, top)) = graph.entry_point() else {
        return Ok(());
    };
    // From above, as the search for a place on a layer comes through the layers above it.
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

/// Elements that can be reached on a layer.
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

    /// Adds an element and all that can be reached from it.
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

/// Gives `element` to the nearest reached element with room, or else to the nearest reached of all.
fn link(graph: &mut MemoryGraph, near: &[ElementId], element: ElementId, level: Level) {
    let capacity = graph.capacity(level);
    let roomy = near
        .iter()
        .find(|&&e| graph.neighbors(e, level).len() < capacity);
    if let Some(&by) = roomy {
        push(graph, by, level, element);
        return;
    }
    // The new link takes the place of another, whose target is reached through the new neighbor from now on.
    let by = near[0];
    let mut neighbors = graph.neighbors(by, level).to_vec();
    let displaced = neighbors.pop().expect("a full list is not empty");
    neighbors.push(element.0);
    graph.set_neighbors(by, level, neighbors.into_iter());
    push(graph, element, level, ElementId(displaced));
}

/// Elements reached, nearest to `element` first; never empty.
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

/// Elements reached, fewest links away from `element` first; never empty.
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

/// Adds a neighbor; a full list gives up its last. That is the list of an element that was not reached before, so no
/// way leads over the link given up.
fn push(graph: &mut MemoryGraph, of: ElementId, level: Level, new: ElementId) {
    let mut neighbors = graph.neighbors(of, level).to_vec();
    if neighbors.contains(&new.0) {
        return;
    }
    neighbors.truncate(graph.capacity(level) - 1);
    neighbors.push(new.0);
    graph.set_neighbors(of, level, neighbors.into_iter());
}
