//! Laws of the build by leaves, whole and in cells, and its recall against insertion in batches.

mod sets;

use hnsw::build::cells::{
    CELLS_OF_A_VECTOR, Cells, Layer, Method, Task, UpperLayers, by_insertion, by_leaves, join,
};
use hnsw::build::{
    FREE, LayerExtent, ListRanges, Neighbor, Stopped, Watch, batched, batched_group,
    connect_ranges, leaves, leaves_of_group,
};
use hnsw::{
    Candidate, ElementId, Finding, GROUP, Inspect, Level, Member, MemoryGraph, Params, Search,
    SearchOptions, Store, check, level_of,
};
use quantize::{CodeMetric, CodeSet, EncodedRow};
use sets::{Floats, Random, SHAPES, Shape, in_pool, made_up, read_real};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

fn encode(floats: &Floats, metric: CodeMetric) -> CodeSet {
    let mut codes = CodeSet::new(floats.dimensions, metric);
    let mut row = EncodedRow::new();
    for i in 0..(floats.values.len() / floats.dimensions) as u32 {
        row.encode(floats.row(i));
        codes.push(&row);
    }
    codes
}

fn subset(codes: &CodeSet, ids: &[u32]) -> CodeSet {
    let mut subset = CodeSet::new(codes.dimensions(), codes.metric());
    ids.iter().for_each(|&id| subset.push_from(codes, id));
    subset
}

/// A graph built in cells, with the temporary files of such a build in memory.
#[derive(Debug, PartialEq)]
struct InCells {
    capacity: usize,
    layer0: Vec<u32>,
    /// The entry point, and the lists of each layer above.
    entry_point: Option<(u32, Level)>,
    upper: Vec<Vec<(u32, Vec<u32>)>>,
    levels: Vec<Level>,
}

impl ListRanges for InCells {
    fn read(&mut self, first: u32, lists: &mut [u32]) {
        let start = first as usize * self.capacity;
        lists.copy_from_slice(&self.layer0[start..start + lists.len()]);
    }

    fn write(&mut self, first: u32, lists: &[u32]) {
        let start = first as usize * self.capacity;
        self.layer0[start..start + lists.len()].copy_from_slice(lists);
    }
}

/// The elements of an `InCells`, with distances by a function.
struct Searched<'a>(&'a InCells);

impl Store for Searched<'_> {
    type Query = Box<dyn Fn(u32) -> f32>;

    fn entry_point(&mut self) -> Option<(ElementId, Level)> {
        self.0
            .entry_point
            .map(|(element, level)| (ElementId(element), level))
    }

    fn neighbors(&mut self, of: ElementId, level: Level, into: &mut Vec<ElementId>) {
        if level > 0 {
            let lists = &self.0.upper[usize::from(level) - 1];
            if let Ok(at) = lists.binary_search_by_key(&of.0, |list| list.0) {
                into.extend(lists[at].1.iter().map(|&n| ElementId(n)));
            }
            return;
        }
        let list = &self.0.layer0[of.0 as usize * self.0.capacity..][..self.0.capacity];
        into.extend(list.iter().filter(|&&n| n != FREE).map(|&n| ElementId(n)));
    }

    fn estimate(&mut self, query: &Self::Query, elements: &[ElementId], into: &mut Vec<Candidate>) {
        into.extend(elements.iter().map(|&element| Candidate {
            distance: query(element.0),
            error: 0.0,
            element,
            live: true,
        }));
    }
}

impl Inspect for Searched<'_> {
    fn m(&self) -> usize {
        self.0.capacity / 2
    }

    fn members(&mut self, into: &mut Vec<Member>) {
        into.extend((0..).zip(&self.0.levels).map(|(element, &level)| Member {
            element: ElementId(element),
            level,
            live: true,
            group: 0,
        }));
    }
}

impl InCells {
    fn flaws(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        check(&mut Searched(self), |finding| findings.push(finding));
        findings
    }
}

/// A build in cells; the layers below `whole_from` are built cell by cell.
fn in_cells(
    codes: &CodeSet,
    cells: usize,
    whole_from: Level,
    params: &Params,
) -> Result<InCells, Stopped> {
    let watch = Watch::default();
    let n = codes.len();
    let found = Cells::choose(codes, cells, &watch)?;
    let nearest = found.nearest(codes, CELLS_OF_A_VECTOR, &watch)?;
    let each = nearest.len() / n;
    let levels: Vec<Level> = (0..n as u64).map(|i| level_of(i, params.m)).collect();
    let top = levels.iter().copied().max().unwrap_or(0);
    let mut lists = vec![vec![Vec::new(); n]; usize::from(top) + 1];
    let mut build = |elements: &[u32], level: Level, whole: bool| {
        let layer = by_leaves(&subset(codes, elements), params, level, whole, &watch)?;
        for (element, near) in layer.lists() {
            lists[usize::from(level)][elements[element as usize] as usize].extend(near.iter().map(
                |near| Neighbor {
                    element: elements[near.element as usize],
                    ..*near
                },
            ));
        }
        Ok::<_, Stopped>(())
    };
    let on = |level: Level| move |&element: &u32| level_of(u64::from(element), params.m) >= level;
    for cell in 0..found.count() as u32 {
        let is_in = |&i: &u32| nearest[i as usize * each..][..each].contains(&cell);
        for level in 0..whole_from.min(top + 1) {
            let elements: Vec<u32> = (0..n as u32).filter(is_in).filter(on(level)).collect();
            build(&elements, level, false)?;
        }
    }
    for level in whole_from..=top {
        let elements: Vec<u32> = (0..n as u32).filter(on(level)).collect();
        build(&elements, level, true)?;
    }
    assemble(lists, levels, params, &watch)
}

/// Joins the lists of all layers and connects them.
fn assemble(
    mut lists: Vec<Vec<Vec<Neighbor>>>,
    levels: Vec<Level>,
    params: &Params,
    watch: &Watch,
) -> Result<InCells, Stopped> {
    let capacity = 2 * params.m;
    let mut layer0 = Vec::new();
    for list in &mut lists[0] {
        join(list, capacity);
        let ids = list.iter().map(|near| near.element);
        layer0.extend(ids.chain(std::iter::repeat(FREE)).take(capacity));
    }
    let upper_elements: Vec<u32> = (0..levels.len() as u32)
        .filter(|&element| levels[element as usize] > 0)
        .collect();
    let upper_levels: Vec<Level> = levels.iter().copied().filter(|&level| level > 0).collect();
    let mut upper = UpperLayers::try_new(upper_elements, &upper_levels, params.m)?;
    for (level, lists) in (0..).zip(&mut lists).skip(1) {
        for (element, list) in (0..).zip(lists).filter(|(_, list)| !list.is_empty()) {
            join(list, params.m);
            upper.set_neighbors(element, level, list.iter().map(|near| near.element));
        }
    }
    upper.connect(watch)?;
    let members: Vec<(u32, Level)> = upper.elements().collect();
    let lists_of = |level: Level| {
        let on_it = members.iter().filter(move |member| member.1 >= level);
        on_it
            .map(|&(element, _)| (element, upper.neighbors(element, level).collect()))
            .collect()
    };
    let mut graph = InCells {
        capacity,
        layer0,
        entry_point: upper
            .entry_point()
            .or((!levels.is_empty()).then_some((0, 0))),
        upper: (1..lists.len() as Level).map(lists_of).collect(),
        levels,
    };
    let extent = LayerExtent {
        n: graph.levels.len() as u32,
        capacity,
        entry_point: graph.entry_point.map_or(0, |(element, _)| element),
        lists_per_range: 700,
    };
    connect_ranges(&mut graph, &extent, watch, || {})?;
    Ok(graph)
}

/// Further shapes of sets.
fn more_sets() -> Vec<Floats> {
    let zeros = Floats {
        dimensions: 3,
        values: vec![0.0; 3 * 50],
    };
    let line = Floats {
        dimensions: 1,
        values: (0..3000).map(|i| i as f32).collect(),
    };
    let mut random = Random(3);
    let gaussian = Floats {
        dimensions: 20,
        values: (0..20 * 4000).map(|_| random.normal()).collect(),
    };
    let fifty = made_up(Shape::Clusters, 50, 12, 4);
    let copies = Floats {
        dimensions: 12,
        values: fifty.values.repeat(200),
    };
    vec![zeros, line, gaussian, copies]
}

fn all_sets() -> Vec<Floats> {
    let mut sets = more_sets();
    for shape in SHAPES {
        for n in [0, 1, 2, 3000] {
            sets.push(made_up(shape, n, 8, 5));
        }
    }
    sets
}

fn assert_is_sound(graph: &MemoryGraph, what: &str) {
    assert_eq!(graph.flaws(), [], "{what}");
    let order: BTreeSet<u32> = graph.order().iter().copied().collect();
    assert_eq!(
        order.len(),
        graph.len(),
        "{what}: an order has every element"
    );
    assert_eq!(graph.order().len(), graph.len(), "{what}: once");
}

#[test]
fn graphs_of_any_vectors_are_sound() {
    for (number, floats) in all_sets().iter().enumerate() {
        for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
            for params in [
                PARAMS,
                Params {
                    m: 3,
                    ef_construction: 10,
                },
            ] {
                let codes = encode(floats, metric);
                let graph = in_pool(2, || leaves(&codes, &params, &Watch::default())).unwrap();
                assert_eq!(graph.len(), codes.len());
                assert_is_sound(&graph, &format!("set {number}, {metric:?}, {params:?}"));
            }
        }
    }
}

#[test]
fn graphs_built_in_cells_are_sound() {
    for (number, floats) in all_sets().iter().enumerate() {
        let codes = encode(floats, CodeMetric::L2);
        if codes.is_empty() {
            continue;
        }
        for whole_from in [1, 2, 15] {
            let graph = in_pool(2, || in_cells(&codes, 5, whole_from, &PARAMS)).unwrap();
            assert_eq!(graph.flaws(), [], "set {number} in cells");
        }
    }
}

#[test]
fn the_graph_is_the_same_for_any_number_of_threads() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), CodeMetric::L2);
    let whole = |threads| in_pool(threads, || leaves(&codes, &PARAMS, &Watch::default())).unwrap();
    let cells = |threads| in_pool(threads, || in_cells(&codes, 4, 2, &PARAMS)).unwrap();
    for threads in [2, 8] {
        assert_eq!(whole(1), whole(threads));
        assert_eq!(cells(1), cells(threads));
    }
}

#[test]
fn a_build_counts_its_elements_and_stops_when_told() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), CodeMetric::L2);
    let watch = Watch::default();
    in_pool(2, || leaves(&codes, &PARAMS, &watch)).unwrap();
    assert_eq!(watch.done.load(Ordering::Relaxed), 5000);
    watch.stop.store(true, Ordering::Relaxed);
    let stopped = in_pool(2, || leaves(&codes, &PARAMS, &watch));
    assert_eq!(stopped.err(), Some(Stopped::Cancelled));
}

#[test]
fn groups_count_no_elements() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), CodeMetric::L2);
    let members: Vec<u32> = (0..4000).collect();
    let watch = Watch::default();
    watch.done.store(5000, Ordering::Relaxed);
    let graph = in_pool(2, || leaves_of_group(&codes, &members, &PARAMS, &watch)).unwrap();
    assert_eq!((graph.len(), graph.m()), (4000, PARAMS.m / 2));
    in_pool(2, || batched_group(&codes, &PARAMS, &watch)).unwrap();
    in_pool(2, || by_leaves(&codes, &PARAMS, GROUP, false, &watch)).unwrap();
    in_pool(2, || by_insertion(&codes, &PARAMS, GROUP, &watch)).unwrap();
    assert_eq!(watch.done.load(Ordering::Relaxed), 5000);
}

#[test]
fn a_cell_counts_its_part_of_each_element() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), CodeMetric::L2);
    let watch = Watch::default();
    let done = || watch.done.load(Ordering::Relaxed);
    in_pool(2, || by_insertion(&codes, &PARAMS, 0, &watch)).unwrap();
    assert_eq!(done(), (5000 / CELLS_OF_A_VECTOR) as u64);
    in_pool(2, || by_insertion(&codes, &PARAMS, 1, &watch)).unwrap();
    assert_eq!(done(), (5000 / CELLS_OF_A_VECTOR) as u64);
    in_pool(2, || by_leaves(&codes, &PARAMS, 0, false, &watch)).unwrap();
    assert!(done() <= 5000);
}

#[test]
fn groups_of_a_cell_lie_one_after_the_other() {
    let codes = encode(&made_up(Shape::Clusters, 300, 16, 1), CodeMetric::L2);
    let watch = Watch::default();
    let layer = |from: u32, to: u32| {
        let members = subset(&codes, &(from..to).collect::<Vec<_>>());
        by_leaves(&members, &PARAMS, GROUP, false, &watch).unwrap()
    };
    let mut all = Layer::of_groups(300, PARAMS.m).unwrap();
    all.add_group(&layer(0, 100));
    all.add_group(&layer(100, 300));
    let mut elements: Vec<u32> = Vec::new();
    for (element, near) in all.lists() {
        elements.push(element);
        assert!((1..=PARAMS.m).contains(&near.len()));
        for near in near {
            assert_eq!(near.element < 100, element < 100, "of one group");
            assert_eq!(near.distance, codes.distance(element, near.element));
        }
    }
    elements.sort_unstable();
    assert_eq!(elements, (0..300).collect::<Vec<_>>());
}

/// recall@10 at ef 40, by the codes' own distances.
fn recall(graph: &MemoryGraph, codes: &CodeSet, queries: impl Iterator<Item = u32>) -> f64 {
    recall_of(codes, queries, |search, options, query| {
        let distance = |element: u32| codes.distance(query, element);
        search.start(&mut graph.view(), &distance, options);
    })
}

fn recall_in_cells(graph: &InCells, codes: &CodeSet, queries: impl Iterator<Item = u32>) -> f64 {
    recall_of(codes, queries, |search, options, query| {
        let distances: Vec<f32> = (0..codes.len() as u32)
            .map(|e| codes.distance(query, e))
            .collect();
        let distance: Box<dyn Fn(u32) -> f32> =
            Box::new(move |element| distances[element as usize]);
        search.start(&mut Searched(graph), &distance, options);
    })
}

fn recall_of(
    codes: &CodeSet,
    queries: impl Iterator<Item = u32>,
    start: impl Fn(&mut Search, &SearchOptions, u32),
) -> f64 {
    let options = SearchOptions {
        ef: 40,
        keep_discarded: false,
    };
    let (mut search, mut found) = (Search::new(), Vec::new());
    let (mut hits, mut count) = (0, 0);
    for query in queries {
        let distance = |element: u32| codes.distance(query, element);
        let mut truth: Vec<u32> = (0..codes.len() as u32).collect();
        let nearer = |a: &u32, b: &u32| distance(*a).total_cmp(&distance(*b)).then(a.cmp(b));
        truth.select_nth_unstable_by(9, nearer);
        start(&mut search, &options, query);
        search.take_nearest(&mut found);
        hits += found
            .iter()
            .take(10)
            .filter(|c| truth[..10].contains(&c.element.0))
            .count();
        count += 10;
    }
    f64::from(hits as u32) / f64::from(count)
}

#[test]
fn leaves_are_as_good_as_batches() {
    let mut random = Random(9);
    let mut scaled = made_up(Shape::Clusters, 8000, 24, 7);
    for row in scaled.values.chunks_mut(24) {
        let length = 0.5 + random.below(1000) as f32 / 1000.0;
        row.iter_mut().for_each(|value| *value *= length);
    }
    for metric in [CodeMetric::L2, CodeMetric::InnerProduct] {
        let codes = encode(&scaled, metric);
        let queries = || (0..8000).step_by(80);
        let graph = |build: fn(&CodeSet, &Params, &Watch) -> Result<MemoryGraph, Stopped>| {
            in_pool(2, || build(&codes, &PARAMS, &Watch::default())).unwrap()
        };
        let by_batches = recall(&graph(batched), &codes, queries());
        let by_leaves = recall(&graph(leaves), &codes, queries());
        let in_cells = recall_in_cells(
            &in_pool(2, || in_cells(&codes, 6, 1, &PARAMS)).unwrap(),
            &codes,
            queries(),
        );
        assert!(
            by_leaves > by_batches - 0.01,
            "{metric:?} {by_leaves} against {by_batches}"
        );
        assert!(
            in_cells > by_batches - 0.02,
            "{metric:?} {in_cells} against {by_batches}"
        );
    }
}

#[test]
fn real_embeddings_are_found_as_well_as_by_batches() {
    let Some(floats) = read_real("wordnet_base.f16.npy", 20_000) else {
        eprintln!("SKIPPED: no wordnet set in OMENDB_DATA");
        return;
    };
    let codes = encode(&floats, CodeMetric::L2);
    let queries = || (0..20_000).step_by(100);
    let whole = in_pool(2, || leaves(&codes, &PARAMS, &Watch::default())).unwrap();
    let batches = in_pool(2, || batched(&codes, &PARAMS, &Watch::default())).unwrap();
    let by_leaves = recall(&whole, &codes, queries());
    let by_batches = recall(&batches, &codes, queries());
    let in_cells = recall_in_cells(
        &in_pool(2, || in_cells(&codes, 5, 1, &PARAMS)).unwrap(),
        &codes,
        queries(),
    );
    assert!(
        by_leaves > by_batches - 0.003,
        "{by_leaves} against {by_batches}"
    );
    assert!(
        in_cells > by_batches - 0.01,
        "{in_cells} against {by_batches}"
    );
}

#[test]
fn a_cell_by_insertion_has_lists_nearest_first() {
    let codes = encode(&made_up(Shape::Clusters, 1000, 8, 2), CodeMetric::L2);
    for level in [0, 1] {
        let layer = in_pool(2, || {
            by_insertion(&codes, &PARAMS, level, &Watch::default())
        })
        .unwrap();
        let mut elements = 0;
        for (element, near) in layer.lists() {
            let capacity = if level == 0 { 32 } else { 16 };
            assert!((1..=capacity).contains(&near.len()));
            assert!(near.is_sorted_by(|a, b| a.distance <= b.distance));
            let is_measured =
                |near: &Neighbor| near.distance == codes.distance(element, near.element);
            assert!(near.iter().all(is_measured));
            elements += 1;
        }
        assert_eq!(elements, 1000);
    }
}

#[test]
fn less_memory_makes_more_cells() {
    in_pool(2, || {
        for method in [Method::Leaves, Method::Insertion] {
            let task = Task {
                n: 1_000_000,
                dimensions: 384,
                method,
                bytes_of_vector: 650,
                params: PARAMS,
                is_grouped: false,
            };
            let (mut cells, mut whole_from) = (1, 1);
            for budget in [1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 26, 1 << 22] {
                let plan = task.plan(budget);
                assert!(plan.cells >= cells, "less memory, more cells");
                assert!(plan.whole_from >= whole_from, "fewer layers as a whole");
                assert!(plan.cells * plan.largest_cell >= CELLS_OF_A_VECTOR * task.n);
                (cells, whole_from) = (plan.cells, plan.whole_from);
            }
            assert!(cells > 60, "{cells}");
            let grouped = Task {
                is_grouped: true,
                ..task
            };
            assert!(
                grouped.plan(1 << 29).largest_cell < task.plan(1 << 29).largest_cell,
                "lists of groups take memory of a cell"
            );
            assert_eq!(Task { n: 0, ..task }.plan(0).cells, CELLS_OF_A_VECTOR);
        }
    });
}
