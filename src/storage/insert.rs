//! Inserts a row into the graph in an index's pages: `hnsw::StoreMut` over buffers.
//!
//! The element with its upper lists is one record, each link to it another. A crash in between leaves an element possibly
//! unreachable for searches; vacuum links it.

use std::cell::RefCell;

use hnsw::{Candidate, ElementId, GROUP, Level, Lists, Search, Store, StoreMut, Vectors};
use layout::{EntryPoint, Group, HeapTid, NewElement};
use quantize::{CenteredQuery, Coded, Value};

use super::allocate::{self, Allocated, FreeSlot};
use super::codes::Codes;
use super::index::Index;
use super::locked::{Elements, Upper};
use super::metapage::{self, Locked};
use super::page_graph::PageGraph;
use super::record::Record;
use super::{keys, learn, rows};
use crate::pg::lock::InsertLock;

/// Not the id of an element.
const NEW: ElementId = ElementId(u32::MAX);

thread_local! {
    static SEARCH: RefCell<Search> = RefCell::new(Search::new());
}

/// Adds a row to the index. `value` is already prepared for the operator class (normalised for cosine); `row_key` is empty if the
/// index has no key columns.
pub(crate) fn insert(
    index: &Index,
    ef_construction: usize,
    value: Value,
    row_key: &[u8],
    tid: HeapTid,
) {
    let lock = lock(index);
    if lock.is_exclusive() {
        learn::first(index, &value);
    }
    let codecs = index.codecs();
    let mut code = vec![0; index.geometry().code_len];
    let center = codecs.encode(&value, &mut code);
    let query = codecs.query(value);
    let level = hnsw::level_of(tid.key(), index.geometry().m.into());
    let (lock, group) = lock_group(index, lock, &query, index.geometry().group_of(row_key));
    let mut insertion = Insertion {
        graph: index.graph(),
        center,
        code,
        tid,
        element: None,
        has_grown: false,
        ef_construction,
        group,
    };
    let params = index.params(ef_construction);
    // Taken out for the duration of the insert, so an error in between leaves no borrow behind.
    let mut search = SEARCH.take();
    let new = hnsw::insert(&mut insertion, &mut search, &query, &params, level);
    match new {
        Some(new) => insertion.link_in_group(new),
        None => insertion.link_joined(),
    }
    SEARCH.set(search);
    let element = insertion.element.expect("the row has joined an element");
    let has_grown = insertion.has_grown;
    drop(insertion);
    if index.geometry().keys.is_some() {
        keys::add(index, element, tid, row_key);
    }
    lock.release();
    if has_grown {
        learn::again(index);
    }
}

/// Takes the insert lock, shared: inserts run concurrently. An insert without a live entry point to start from runs alone:
/// otherwise two inserts could each become the first element, with no link between them.
fn lock(index: &Index) -> InsertLock {
    let relation = index.relation();
    let lock = InsertLock::share(relation);
    if has_live_entry_point(index) {
        return lock;
    }
    lock.release();
    InsertLock::exclusive(relation)
}

/// Finds the group of a row, with the insert lock. An insert without a live element of its group to start from runs alone, too.
fn lock_group(
    index: &Index,
    mut lock: InsertLock,
    query: &CenteredQuery<'static>,
    group: Option<Group>,
) -> (InsertLock, Option<InGroup>) {
    let relation = index.relation();
    let Some(group) = group else {
        return (lock, None);
    };
    let mut in_group = InGroup::find(index, query, group);
    if !in_group.has_live_entry() && !lock.is_exclusive() {
        lock.release();
        lock = InsertLock::exclusive(relation);
        in_group = InGroup::find(index, query, group);
    }
    (lock, Some(in_group))
}

/// Reads the metapage: whether it names a live entry point, and the centers learned by others.
fn has_live_entry_point(index: &Index) -> bool {
    let metapage = metapage::read(index.relation());
    index.follow(metapage.learned);
    let entry = metapage.entry_point;
    entry.is_some_and(|entry| index.graph().is_live(entry.element))
}

/// An insert in progress.
struct Insertion<'a> {
    graph: PageGraph<'a>,
    center: u8,
    code: Vec<u8>,
    tid: HeapTid,
    /// The element that holds the row, once there is one.
    element: Option<ElementId>,
    /// True once a page of elements was added.
    has_grown: bool,
    ef_construction: usize,
    /// `None` in an index without groups.
    group: Option<InGroup>,
}

/// The place of a row in the graph of its group.
struct InGroup {
    group: Group,
    /// Elements of the group to start a search at.
    entries: Vec<Candidate>,
    /// The nearest elements of the group.
    nearest: Vec<Candidate>,
    /// The neighbors of the new element.
    chosen: Vec<ElementId>,
}

/// Elements to start a search of a group at, and the filter pages read for more than one of them.
const ENTRIES: usize = 32;
const PAGES: usize = 1024;

impl InGroup {
    /// Finds elements of a group to start at: at least a live one, if there is one with an entry.
    fn find(index: &Index, query: &CenteredQuery<'static>, group: Group) -> Self {
        let mut found = Self {
            group,
            entries: Vec::new(),
            nearest: Vec::new(),
            chosen: Vec::new(),
        };
        let some = keys::of_group(index, group, ENTRIES, PAGES);
        index.graph().estimate(query, &some, &mut found.entries);
        if !found.has_live_entry() {
            let live = keys::find_in_group(index, group, |found| index.graph().is_live(found));
            index
                .graph()
                .estimate(query, live.as_slice(), &mut found.entries);
        }
        found
    }

    fn has_live_entry(&self) -> bool {
        self.entries.iter().any(|entry| entry.live)
    }
}

impl<'a> Insertion<'a> {
    fn index(&self) -> &'a Index {
        self.graph.index()
    }

    /// Finds the nearest elements of the row's group.
    fn search_group(&mut self, query: &CenteredQuery<'static>) {
        let Some(group) = &mut self.group else { return };
        Search::new().layer(
            &mut self.graph,
            query,
            &group.entries,
            GROUP,
            self.ef_construction,
            &mut group.nearest,
        );
    }

    /// Chooses the new element's neighbors in its group: half as many as a list holds, so that others have room.
    fn choose_in_group(&mut self) -> Option<(Group, Vec<ElementId>)> {
        let max = usize::from(self.index().geometry().m) / 2;
        let group = self.group.as_mut()?;
        let code = Coded {
            center: self.center,
            bytes: &self.code,
        };
        let chosen = choose(&mut self.graph, code, &group.nearest, max);
        group.chosen = chosen.iter().map(|chosen| chosen.element).collect();
        Some((group.group, group.chosen.clone()))
    }

    /// Links the element that the row has joined in its group, unless a search found it there: the insert that added it goes on, or
    /// has failed before it came to the group.
    fn link_joined(&mut self) {
        let Some(element) = self.element else { return };
        let is_found = |group: &InGroup| group.nearest.iter().any(|near| near.element == element);
        if self.group.as_ref().is_none_or(is_found) {
            return;
        }
        if let Some((_, chosen)) = self.choose_in_group() {
            self.graph.push(element, GROUP, &chosen);
            self.link_in_group(element);
        }
    }

    /// Links the new element in its group, as on the layers.
    fn link_in_group(&mut self, new: ElementId) {
        if let Some(group) = self.group.take() {
            hnsw::link_back(&mut self.graph, &group.chosen, GROUP, new);
        }
    }
}

impl Store for Insertion<'_> {
    type Query = CenteredQuery<'static>;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point()
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        self.graph.neighbors(of, level, into);
    }

    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        self.graph.estimate(query, elements, into);
    }

    fn prepare(&mut self, next: ElementId) {
        self.graph.prepare(next);
    }
}

impl<'a> StoreMut for Insertion<'a> {
    type Lists = PageGraph<'a>;

    fn select(&mut self, _: &Self::Query, candidates: &[Candidate], max: usize) -> Vec<Candidate> {
        let code = Coded {
            center: self.center,
            bytes: &self.code,
        };
        choose(&mut self.graph, code, candidates, max)
    }

    fn add_duplicate(&mut self, query: &Self::Query, candidates: &[Candidate]) -> bool {
        self.search_group(query);
        let code = Coded {
            center: self.center,
            bytes: &self.code,
        };
        // Equal codes have bitwise equal distances; few other codes do.
        let own = query.distance(&self.index().codecs(), code);
        let own = own.expect("the center of one's own code is known");
        let in_group = self.group.as_ref().map(|group| group.nearest.as_slice());
        let identity = (code, self.group.as_ref().map(|group| group.group));
        self.element = in_group
            .unwrap_or_default()
            .iter()
            .chain(candidates)
            .filter(|candidate| candidate.live && candidate.distance.to_bits() == own.to_bits())
            .map(|candidate| candidate.element)
            .find(|&element| rows::add(self.index(), element, identity, self.tid));
        self.element.is_some()
    }

    fn add(&mut self, _: &Self::Query, neighbors: &[Vec<Candidate>]) -> ElementId {
        let index = self.index();
        let lists: Vec<Vec<ElementId>> = neighbors
            .iter()
            .map(|list| list.iter().map(|neighbor| neighbor.element).collect())
            .collect();
        let level = Level::try_from(lists.len() - 1).expect("levels are capped");
        let group = self.choose_in_group();
        let free = allocate::find::<Elements>(index, 1);
        let element = free.id();
        let free_upper = (level > 0).then(|| allocate::find::<Upper>(index, level));
        let mut record = Record::begin(index.relation());
        let new = NewElement {
            level,
            code: &self.code,
            center: self.center,
            neighbors: &lists[0],
            tids: &[self.tid],
            upper: free_upper.as_ref().map(FreeSlot::id),
            overflow: None,
            group: group
                .as_ref()
                .map(|(group, chosen)| (*group, chosen.as_slice())),
        };
        free.change(&mut record, |page| page.write(free.slot, &new));
        if let Some(free) = &free_upper {
            write_upper(&mut record, free, element, &lists[1..]);
        }
        let mut pages: Vec<&dyn Allocated> = vec![&free];
        pages.extend(free_upper.as_ref().map(|free| free as &dyn Allocated));
        let has_grown = free.is_new();
        allocate::commit(index, record, &pages);
        self.has_grown = has_grown;
        self.element = Some(element);
        element
    }

    fn lists(&mut self) -> &mut PageGraph<'a> {
        &mut self.graph
    }

    fn raise_entry_point(&mut self, element: ElementId, level: Level) {
        let relation = self.index().relation();
        let present = metapage::read(relation).entry_point;
        if present.is_some_and(|entry| entry.level >= level && self.graph.is_live(entry.element)) {
            return;
        }
        let mut metapage = Locked::acquire(relation);
        let latest = metapage.contents.entry_point;
        if latest == present || latest.is_none_or(|entry| entry.level < level) {
            metapage.contents.entry_point = Some(EntryPoint { element, level });
            metapage.commit();
        }
    }
}

/// The neighbors of a new element with this code. It has no page yet, so its id is one that no element has.
fn choose(
    graph: &mut PageGraph<'_>,
    code: Coded<'_>,
    candidates: &[Candidate],
    max: usize,
) -> Vec<Candidate> {
    let elements: Vec<ElementId> = candidates
        .iter()
        .map(|candidate| candidate.element)
        .collect();
    let codes = Codes::read(graph, &elements).with(NEW, code);
    let held = |candidate: &&Candidate| codes.holds(candidate.element.0);
    let live: Vec<Candidate> = candidates.iter().filter(held).copied().collect();
    let mut chosen = Vec::with_capacity(max);
    hnsw::choose(&codes, NEW.0, &live, max, &mut chosen);
    chosen
}

fn write_upper(
    record: &mut Record,
    free: &FreeSlot<'_, Upper>,
    element: ElementId,
    lists: &[Vec<ElementId>],
) {
    let level = Level::try_from(lists.len()).expect("levels are capped");
    free.change(record, |page| {
        page.write_run(free.slot, element, level)?;
        lists
            .iter()
            .zip(free.slot..)
            .try_for_each(|(list, slot)| page.slot(slot).map(|mut slot| slot.set_neighbors(list)))
    });
}
