//! Laws that hold for any vectors.

mod sets;

use hnsw::build::{Stopped, Watch, batched};
use hnsw::{
    Candidate, ElementId, Flaw, Level, MemoryGraph, Params, Room, Search, SearchOptions, Store,
    Vectors, repair_neighbors,
};
use proptest::prelude::*;
use sets::{Floats, Random, SHAPES, Shape, build, in_pool, insert_all, l2_squared, made_up};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

fn any_floats() -> impl Strategy<Value = Floats> {
    (
        prop::sample::select(&SHAPES[..]),
        0..300_usize,
        1..9_usize,
        any::<u64>(),
    )
        .prop_map(|(shape, n, dimensions, seed)| made_up(shape, n, dimensions, seed))
}

fn any_params() -> impl Strategy<Value = Params> {
    (2..12_usize, 4..48_usize).prop_map(|(m, ef_construction)| Params { m, ef_construction })
}

/// Values of k: one, a few, more than most sets hold.
fn any_ef() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), 2..20_usize, 20..400_usize]
}

/// A graph with tombstones.
struct WithDead<'a> {
    graph: &'a MemoryGraph,
    floats: &'a Floats,
    dead: &'a BTreeSet<u32>,
    measured: Vec<ElementId>,
}

impl Store for WithDead<'_> {
    type Query = Vec<f32>;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.graph.entry_point()
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        into.extend(
            self.graph
                .neighbors(of, level)
                .iter()
                .map(|&n| ElementId(n)),
        );
    }

    fn estimate(&mut self, query: &Vec<f32>, elements: &[ElementId], into: &mut Vec<Candidate>) {
        self.measured.extend(elements);
        into.extend(elements.iter().map(|&element| Candidate {
            distance: l2_squared(query, self.floats.row(element.0)),
            error: 0.0,
            element,
            live: !self.dead.contains(&element.0),
        }));
    }
}

/// Tombstones and a query, drawn by a seed.
fn draw(floats: &Floats, seed: u64) -> (BTreeSet<u32>, Vec<f32>) {
    let mut random = Random(seed);
    let one_in = 1 + random.below(6);
    let dead = (0..floats.len() as u32)
        .filter(|_| random.below(one_in + 1) == 0)
        .collect();
    let query = (0..floats.dimensions).map(|_| random.normal()).collect();
    (dead, query)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_built_graph_has_no_flaws(floats in any_floats(), params in any_params()) {
        let graph = build(&floats, &params, 2).unwrap();
        prop_assert_eq!(graph.flaws(), []);
        let mut order = graph.order().to_vec();
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..floats.len() as u32));
    }

    #[test]
    fn the_graph_is_the_same_for_any_number_of_threads(floats in any_floats(), params in any_params()) {
        let graph = build(&floats, &params, 1).unwrap();
        for threads in [2, 8] {
            prop_assert_eq!(&build(&floats, &params, threads).unwrap(), &graph);
        }
    }

    #[test]
    fn insertion_keeps_neighbors_within_capacity(floats in any_floats(), params in any_params()) {
        let mut flaws = insert_all(&floats, &params).flaws();
        // Pruning may disconnect an element; builders repair this in their last pass.
        flaws.retain(|finding| finding.flaw != Flaw::Unreachable);
        prop_assert_eq!(flaws, []);
    }

    #[test]
    fn a_search_finds_distinct_live_elements_nearest_first(
        floats in any_floats(), params in any_params(), ef in any_ef(), seed: u64, keep_discarded: bool,
    ) {
        let graph = build(&floats, &params, 2).unwrap();
        let (dead, query) = draw(&floats, seed);
        let mut store = WithDead { graph: &graph, floats: &floats, dead: &dead, measured: Vec::new() };
        let mut search = Search::new();
        let mut found = Vec::new();
        search.start(&mut store, &query, &SearchOptions { ef, keep_discarded });
        search.take_nearest(&mut found);
        prop_assert!(found.len() <= ef);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "in order, so distinct too");
        prop_assert!(found.iter().all(|c| c.live && !dead.contains(&c.element.0)));
        if keep_discarded {
            prop_assert_eq!(found.len(), ef.min(floats.len() - dead.len()));
        }
        prop_assert_eq!(search.counters().evaluations, store.measured.len() as u64);
    }

    #[test]
    fn a_resumed_search_finds_every_live_element_once(
        floats in any_floats(), params in any_params(), ef in any_ef(), seed: u64,
    ) {
        let graph = build(&floats, &params, 2).unwrap();
        let (dead, query) = draw(&floats, seed);
        let mut store = WithDead { graph: &graph, floats: &floats, dead: &dead, measured: Vec::new() };
        let options = SearchOptions { ef, keep_discarded: true };
        let mut search = Search::new();
        let (mut all, mut found) = (Vec::new(), Vec::new());
        search.start(&mut store, &query, &options);
        loop {
            search.take_nearest(&mut found);
            prop_assert!(found.len() <= ef);
            prop_assert!(found.is_sorted());
            all.extend(found.iter().map(|c| c.element.0));
            if !search.resume(&mut store, &query, &options) {
                break;
            }
        }
        prop_assert!(search.pop_discarded().is_none());
        all.sort_unstable();
        let live = (0..floats.len() as u32).filter(|e| !dead.contains(e));
        prop_assert!(all.into_iter().eq(live));
    }

    #[test]
    fn what_a_stopped_search_set_aside_comes_nearest_first(
        floats in any_floats(), params in any_params(), ef in any_ef(), seed: u64,
    ) {
        let graph = build(&floats, &params, 2).unwrap();
        let (dead, query) = draw(&floats, seed);
        let mut store = WithDead { graph: &graph, floats: &floats, dead: &dead, measured: Vec::new() };
        let mut search = Search::new();
        let mut found = Vec::new();
        search.start(&mut store, &query, &SearchOptions { ef, keep_discarded: true });
        search.take_nearest(&mut found);
        let rest: Vec<Candidate> = std::iter::from_fn(|| search.pop_discarded()).collect();
        prop_assert!(rest.is_sorted());
        prop_assert!(rest.iter().all(|c| c.live));
        if let (Some(last), Some(first)) = (found.last(), rest.first()) {
            prop_assert!(last < first);
        }
        let distinct: BTreeSet<ElementId> = found.iter().chain(&rest).map(|c| c.element).collect();
        prop_assert_eq!(distinct.len(), found.len() + rest.len());
    }

    #[test]
    fn a_search_leaves_nothing_behind_for_the_next(floats in any_floats(), params in any_params(), seed: u64) {
        let graph = build(&floats, &params, 2).unwrap();
        let (dead, query) = draw(&floats, seed);
        let mut store = WithDead { graph: &graph, floats: &floats, dead: &dead, measured: Vec::new() };
        let options = SearchOptions { ef: 7, keep_discarded: true };
        let (mut used, mut found, mut expected) = (Search::new(), Vec::new(), Vec::new());
        used.start(&mut store, &vec![0.5; floats.dimensions], &options);
        used.start(&mut store, &query, &options);
        used.take_nearest(&mut found);
        let mut fresh = Search::new();
        fresh.start(&mut store, &query, &options);
        fresh.take_nearest(&mut expected);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(used.counters(), fresh.counters());
        let rest = |search: &mut Search| std::iter::from_fn(|| search.pop_discarded()).collect::<Vec<_>>();
        prop_assert_eq!(rest(&mut used), rest(&mut fresh));
    }

    #[test]
    fn a_repaired_list_is_within_capacity_and_without_dead(
        floats in any_floats(), params in any_params(), seed: u64,
    ) {
        let graph = build(&floats, &params, 2).unwrap();
        let (dead, _) = draw(&floats, seed);
        for element in (0..floats.len() as u32).filter(|e| !dead.contains(e)) {
            let (gone, kept): (Vec<u32>, Vec<u32>) =
                graph.neighbors(ElementId(element), 0).iter().partition(|&n| dead.contains(n));
            let candidates = |elements: BTreeSet<u32>| {
                let mut candidates: Vec<Candidate> = elements.into_iter().map(|e| Candidate {
                    distance: floats.distance(&element, e), error: 0.0, element: ElementId(e), live: true,
                }).collect();
                candidates.sort_unstable();
                candidates
            };
            let of_gone = gone.iter().flat_map(|&g| graph.neighbors(ElementId(g), 0).iter().copied());
            let offered = of_gone.filter(|e| *e != element && !dead.contains(e) && !kept.contains(e));
            let (offered, kept) = (candidates(offered.collect()), candidates(kept.into_iter().collect()));
            let between = |a: &Candidate, b: &Candidate| floats.distance(&a.element.0, b.element.0);
            let repaired = repair_neighbors(&kept, &offered, Room { max: 2 * params.m, least: 0 }, between);
            prop_assert!(repaired.len() <= 2 * params.m);
            prop_assert!(repaired.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(kept.iter().all(|k| repaired.contains(k)));
            prop_assert!(!kept.is_empty() || offered.is_empty() || !repaired.is_empty());
        }
    }
}

#[test]
fn awkward_sets_are_built_without_flaws() {
    let params = Params {
        m: 8,
        ef_construction: 32,
    };
    for n in [0, 1, 2, 3, 17, 1000] {
        for shape in SHAPES {
            for dimensions in [1, 3] {
                let floats = made_up(shape, n, dimensions, 5);
                let graph = build(&floats, &params, 2).unwrap();
                assert_eq!(
                    graph.flaws(),
                    [],
                    "{shape:?}, {n} of {dimensions} dimensions"
                );
                assert_eq!(graph.entry_point().is_some(), n > 0);
            }
        }
    }
}

#[test]
fn fifty_vectors_two_hundred_times_each_are_all_reachable() {
    let mut floats = made_up(Shape::Clusters, 50, 8, 1);
    floats.values = floats.values.repeat(200);
    let graph = build(
        &floats,
        &Params {
            m: 16,
            ef_construction: 64,
        },
        2,
    )
    .unwrap();
    assert_eq!(graph.flaws(), []);
}

#[test]
fn a_graph_holds_the_bytes_it_announced() {
    for (n, m) in [(0, 16), (1, 2), (1000, 2), (5000, 16), (777, 100)] {
        let graph = MemoryGraph::try_new(n, m).unwrap();
        assert_eq!(graph.bytes(), MemoryGraph::bytes_needed(n, m));
    }
}

#[test]
fn a_build_that_is_told_to_stop_stops() {
    let floats = made_up(Shape::Clusters, 500, 4, 1);
    let watch = Watch::default();
    watch.stop.store(true, Ordering::Relaxed);
    let params = Params {
        m: 8,
        ef_construction: 32,
    };
    let stopped = in_pool(2, || batched(&floats, &params, &watch));
    assert_eq!(stopped.err(), Some(Stopped::Cancelled));
}

#[test]
fn progress_ends_at_the_number_of_elements() {
    let floats = made_up(Shape::Clusters, 500, 4, 1);
    let watch = Watch::default();
    let params = Params {
        m: 8,
        ef_construction: 32,
    };
    in_pool(2, || batched(&floats, &params, &watch)).unwrap();
    assert_eq!(watch.done.load(Ordering::Relaxed), 500);
}

/// A store whose entry point vanishes during a search, as if vacuum removed it.
struct Moving {
    entry_points: Vec<u32>,
    gone: u32,
}

impl Store for Moving {
    type Query = ();

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        let next = if self.entry_points.len() > 1 {
            self.entry_points.remove(0)
        } else {
            self.entry_points[0]
        };
        Some((ElementId(next), 0))
    }

    fn neighbors(&mut self, _: ElementId, _: Level, _: &mut Vec<ElementId>) {}

    fn estimate(&mut self, (): &(), elements: &[ElementId], into: &mut Vec<Candidate>) {
        let there = elements.iter().filter(|e| e.0 != self.gone);
        into.extend(there.map(|&element| Candidate {
            distance: 1.0,
            error: 0.0,
            element,
            live: true,
        }));
    }
}

/// Elements in a row, each nearer than the one before, of a search that is over after some of them.
struct Row {
    most: u32,
    read: u32,
}

impl Store for Row {
    type Query = ();

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        Some((ElementId(0), 0))
    }

    fn neighbors(&mut self, of: ElementId, _: Level, into: &mut Vec<ElementId>) {
        self.read += 1;
        into.push(ElementId(of.0 + 1));
    }

    fn estimate(&mut self, (): &(), elements: &[ElementId], into: &mut Vec<Candidate>) {
        into.extend(elements.iter().map(|&element| Candidate {
            distance: -(element.0 as f32),
            error: 0.0,
            element,
            live: true,
        }));
    }

    fn is_over(&self) -> bool {
        self.read == self.most
    }
}

#[test]
fn a_search_ends_when_its_store_says_so() {
    let options = SearchOptions {
        ef: 2,
        keep_discarded: true,
    };
    let (mut search, mut found) = (Search::new(), Vec::new());
    let mut row = Row { most: 7, read: 0 };
    search.start(&mut row, &(), &options);
    search.take_nearest(&mut found);
    let found: Vec<u32> = found.iter().map(|found| found.element.0).collect();
    assert_eq!((found, row.read), (vec![7, 6], 7));
    assert_eq!(search.counters().expansions, 7);
}

#[test]
fn a_search_whose_entry_point_is_gone_asks_for_the_new_one() {
    let options = SearchOptions {
        ef: 1,
        keep_discarded: false,
    };
    let mut search = Search::new();
    let mut found = Vec::new();
    search.start(
        &mut Moving {
            entry_points: vec![3, 4],
            gone: 3,
        },
        &(),
        &options,
    );
    search.take_nearest(&mut found);
    assert_eq!(found[0].element, ElementId(4));
    search.start(
        &mut Moving {
            entry_points: vec![3],
            gone: 3,
        },
        &(),
        &options,
    );
    search.take_nearest(&mut found);
    assert!(found.is_empty());
}
