//! Checks the invariants of the graph on pages: `hnsw::check`, with each finding verified by a second read.

use hnsw::{Candidate, ElementId, Extent, Flaw, GROUP, Inspect, Level, Member, Store};
use layout::{Corrupt, EntryPoint, Group, Metapage, SlotState};

use super::entries;
use super::findings::{Findings, Location, location_of};
use super::pages::{Pages, is_wrong_link};
use crate::storage::metapage::METAPAGE;

/// Bytes of the check per element: its copy in the list of members, its mark, its entry in the search queue, and one in the list of
/// groups.
pub(super) const BYTES: usize = size_of::<Member>()
    + size_of::<bool>()
    + size_of::<ElementId>()
    + size_of::<(u32, ElementId)>();

/// The fingerprint of a group; 0 in an index without groups.
pub(super) fn fingerprint(group: Option<Group>) -> u32 {
    group.map_or(0, |group| entries::fingerprint(&group.to_bytes()))
}

/// The graph on possibly damaged pages.
struct Graph<'a, 'p> {
    pages: &'a Pages<'p>,
    members: Vec<Member>,
}

impl Store for Graph<'_, '_> {
    type Query = ();

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        entry_point(self.pages).map(|entry| (entry.element, entry.level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        self.pages.neighbors(of, level, into);
    }

    fn estimate(&mut self, (): &(), _: &[ElementId], _: &mut Vec<Candidate>) {}
}

impl Inspect for Graph<'_, '_> {
    fn m(&self) -> usize {
        self.pages.geometry().m.into()
    }

    fn is_grouped(&self) -> bool {
        self.pages.geometry().grouped_by.is_some()
    }

    fn members(&mut self, into: &mut Vec<Member>) {
        into.append(&mut self.members);
    }
}

/// The current entry point.
fn entry_point(pages: &Pages<'_>) -> Option<EntryPoint> {
    let page = super::pages::try_copy(pages.index(), METAPAGE).ok()?;
    Metapage::read(&*page).ok()?.entry_point
}

/// The target of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Element {
        state: SlotState,
        version: u16,
        level: Level,
        group: Option<Group>,
    },
    /// Unreadable; reported at its own location.
    Damaged,
    Nothing(Corrupt),
}

fn target(pages: &Pages<'_>, element: ElementId) -> Target {
    let read = pages.element(element, |slot| Target::Element {
        state: slot.state(),
        version: slot.version(),
        level: slot.level(),
        group: slot.group(),
    });
    match read {
        Ok(target) => target.unwrap_or(Target::Damaged),
        Err(what) if is_wrong_link(&what) => Target::Nothing(what),
        Err(_) => Target::Damaged,
    }
}

/// The result of the check of the links.
pub(super) struct Linked {
    /// The number of live elements unreachable on layer 0.
    pub(super) unreachable: u64,
}

/// Checks all links.
pub(super) fn check(pages: &Pages<'_>, members: Vec<Member>, findings: &mut Findings) -> Linked {
    let mut links = Links {
        pages,
        findings,
        entry: Entry::Sound,
        unreachable: 0,
    };
    let mut graph = Graph { pages, members };
    let extent = hnsw::check(&mut graph, |finding| links.found(finding));
    links.conclude(extent);
    Linked {
        unreachable: links.unreachable,
    }
}

/// The state of the entry point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Sound,
    Missing,
    /// Reachability from it is meaningless.
    Damaged,
}

/// The place of a list, for messages.
fn on(level: Level) -> String {
    match level {
        GROUP => "in its group".to_owned(),
        level => format!("on layer {level}"),
    }
}

struct Links<'a, 'p> {
    pages: &'a Pages<'p>,
    findings: &'a mut Findings,
    entry: Entry,
    unreachable: u64,
}

impl Links<'_, '_> {
    fn found(&mut self, finding: hnsw::Finding) {
        let element = finding.element;
        let place = self.pages.geometry().element.split(element);
        match (finding.flaw, finding.neighbor) {
            (Flaw::EntryPoint, _) => self.entry_point(finding),
            (Flaw::Unreachable, _) => self.unreachable(finding),
            (Flaw::Overfull, _) => self
                .findings
                .error(place, format!("too many neighbors {}", on(finding.level))),
            (Flaw::SelfLink, _) => {
                let what = format!("link to itself {}", on(finding.level));
                self.findings.error(place, what);
            }
            (Flaw::Repeated, Some(neighbor)) => {
                let to = location_of(&self.pages.geometry().element, neighbor);
                let what = format!("two links to {to} {}", on(finding.level));
                self.findings.error(place, what);
            }
            (Flaw::Dangling | Flaw::TooLow | Flaw::OtherGroup | Flaw::Dead, Some(neighbor)) => {
                self.link(element, finding.level, neighbor);
            }
            (Flaw::Lonely, Some(other)) => self.lonely(element, other),
            (_, None) => {}
        }
    }

    /// Reports a wrong link, if it is still wrong: reads its target, the link, and the target again, unchanged.
    ///
    /// Tombstones keep the links from the time they had rows: vacuum frees one after the other once none of them is
    /// reachable, and freed slots are reused at once. The link of a tombstone only needs a slot as its target.
    fn link(&mut self, of: ElementId, level: Level, neighbor: ElementId) {
        let before = target(self.pages, neighbor);
        let group = self.group_of_live(of);
        let is_live = group.is_some();
        let mut list = Vec::new();
        self.pages.neighbors(of, level, &mut list);
        if !list.contains(&neighbor) || target(self.pages, neighbor) != before {
            return;
        }
        let slots = &self.pages.geometry().element;
        let place = slots.split(of);
        let to = format!("link {} to {}", on(level), location_of(slots, neighbor));
        match before {
            Target::Damaged => {}
            Target::Nothing(what) => self.findings.error(place, format!("{to}: {what}")),
            Target::Element { .. } if !is_live => {}
            Target::Element {
                state: SlotState::Dead,
                ..
            } => {
                self.findings
                    .warning(place, format!("{to}, which is a tombstone"));
            }
            Target::Element {
                state: SlotState::Free,
                ..
            } => {
                self.findings.warning(place, format!("{to}, which is free"));
            }
            Target::Element { level: own, .. } if level != GROUP && own < level => {
                let what = format!("{to}, an element of level {own}");
                self.findings.error(place, what);
            }
            Target::Element { group: other, .. } if level == GROUP && group != Some(other) => {
                let what = format!("{to}, an element of another group");
                self.findings.error(place, what);
            }
            Target::Element { .. } => {}
        }
    }

    /// The group of an element, `Some(None)` in an index without groups; `None` if the element is not live.
    fn group_of_live(&self, element: ElementId) -> Option<Option<Group>> {
        match target(self.pages, element) {
            Target::Element {
                state: SlotState::Live,
                group,
                ..
            } => Some(group),
            _ => None,
        }
    }

    /// Reports an element without neighbors in its group, if both ends are still there. An insert in progress may still link it.
    fn lonely(&mut self, element: ElementId, other: ElementId) {
        let group = self.group_of_live(element);
        let mut list = Vec::new();
        self.pages.neighbors(element, GROUP, &mut list);
        if group.is_some() && list.is_empty() && group == self.group_of_live(other) {
            let place = self.pages.geometry().element.split(element);
            let what = "element has no neighbors in its group, which has others";
            self.findings.warning(place, what);
        }
    }

    fn entry_point(&mut self, finding: hnsw::Finding) {
        let Some(entry) = entry_point(self.pages) else {
            self.entry = Entry::Missing;
            return;
        };
        let to = location_of(&self.pages.geometry().element, entry.element);
        let target = target(self.pages, entry.element);
        if entry_point(self.pages) != Some(entry) {
            return;
        }
        match target {
            Target::Element { state, level, .. } if state != SlotState::Free => {
                if level != entry.level {
                    let what = format!("entry point has level {level}, not {}", entry.level);
                    self.findings.error(METAPAGE, what);
                } else if level < finding.level {
                    let what = format!(
                        "entry point has level {level}, another element {}",
                        finding.level
                    );
                    self.findings.warning(METAPAGE, what);
                }
            }
            Target::Element { .. } => {
                self.entry = Entry::Damaged;
                let what = format!("entry point is {to}, which is free");
                self.findings.error(METAPAGE, what);
            }
            Target::Damaged => self.entry = Entry::Damaged,
            Target::Nothing(what) => {
                self.entry = Entry::Damaged;
                self.findings
                    .error(METAPAGE, format!("entry point is {to}: {what}"));
            }
        }
    }

    /// Concurrent writers move links during the search, so this is never an error.
    fn unreachable(&mut self, finding: hnsw::Finding) {
        if self.entry != Entry::Sound {
            return;
        }
        self.unreachable += u64::from(finding.level == 0);
        let place = self.pages.geometry().element.split(finding.element);
        let what = format!(
            "no way leads from the entry point to this element on layer {}",
            finding.level
        );
        self.findings.warning(place, what);
    }

    /// Reports elements without an entry point: an error if any has links, as linked elements had an entry point before; a
    /// warning otherwise, as a crash may leave single elements. Reports few links on average, which no single list shows.
    fn conclude(&mut self, extent: Extent) {
        let m = self.pages.geometry().m;
        if extent.is_sparse(m.into()) {
            let degree = extent.mean_degree();
            let what = format!(
                "elements have {degree:.1} neighbors on average, fewer than half of m = {m}"
            );
            self.findings.warning(Location::default(), what);
        }
        if self.entry != Entry::Missing || entry_point(self.pages).is_some() {
            return;
        }
        let live = extent.live();
        self.unreachable = live;
        let what = format!("no entry point, but {live} elements");
        if extent.links > 0 {
            self.findings.error(METAPAGE, what);
        } else {
            self.findings.warning(METAPAGE, what);
        }
    }
}
