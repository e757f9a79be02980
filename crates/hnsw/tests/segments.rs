//! Laws of the build by segments, whole and in cells, and its recall against insertion in batches.

mod sets;

use hnsw::build::cells::{CELLS_OF_A_VECTOR, Cells, Link, PiecewiseBuild, plan};
use hnsw::build::{Stopped, Watch, batched, segments};
use hnsw::{MemoryGraph, Params, Search, SearchOptions};
use quantize::{CodeSet, EncodedRow, Measure};
use sets::{Floats, Random, SHAPES, Shape, in_pool, made_up, read_real};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

const PARAMS: Params = Params {
    m: 16,
    ef_construction: 64,
};

fn encode(floats: &Floats, measure: Measure) -> CodeSet {
    let mut codes = CodeSet::new(floats.dimensions, measure);
    let mut row = EncodedRow::new();
    for i in 0..(floats.values.len() / floats.dimensions) as u32 {
        row.encode(floats.row(i));
        codes.push(&row);
    }
    codes
}

fn subset(codes: &CodeSet, ids: &[u32]) -> CodeSet {
    let mut subset = CodeSet::new(codes.dimensions(), codes.measure());
    ids.iter().for_each(|&id| subset.push_from(codes, id));
    subset
}

/// A piecewise build that keeps everything in memory.
fn in_cells(codes: &CodeSet, cells: usize, params: &Params) -> Result<MemoryGraph, Stopped> {
    let watch = Watch::default();
    let n = codes.len();
    let found = Cells::choose(codes, cells, &watch)?;
    let nearest = found.nearest(codes, CELLS_OF_A_VECTOR, &watch)?;
    let each = nearest.len() / n;
    let mut build = PiecewiseBuild::try_new(n, params, &watch)?;
    let range = n.div_ceil(3);
    let mut ranges = vec![Vec::new(); 3];
    let keep = |ranges: &mut Vec<Vec<Link>>, links: Vec<Link>| {
        links
            .into_iter()
            .for_each(|link| ranges[link.of as usize / range].push(link));
    };
    for cell in 0..found.count() as u32 {
        let elements: Vec<u32> = (0..n as u32)
            .filter(|&i| nearest[i as usize * each..][..each].contains(&cell))
            .collect();
        keep(
            &mut ranges,
            build.build_cell(&elements, &subset(codes, &elements))?,
        );
    }
    let mut both = vec![Vec::new(); 3];
    for links in ranges {
        keep(&mut both, build.merge(links)?);
    }
    for links in both {
        build.enter(links)?;
    }
    let upper = subset(codes, &build.upper_elements()?);
    build.finish(&upper)
}

/// Shapes of the list that the other builder's tests do not have.
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
        for measure in [Measure::L2, Measure::InnerProduct] {
            for params in [
                PARAMS,
                Params {
                    m: 3,
                    ef_construction: 10,
                },
            ] {
                let codes = encode(floats, measure);
                let graph = in_pool(2, || segments(&codes, &params, &Watch::default())).unwrap();
                assert_eq!(graph.len(), codes.len());
                assert_is_sound(&graph, &format!("set {number}, {measure:?}, {params:?}"));
            }
        }
    }
}

#[test]
fn graphs_built_in_cells_are_sound() {
    for (number, floats) in all_sets().iter().enumerate() {
        let codes = encode(floats, Measure::L2);
        if codes.is_empty() {
            continue;
        }
        let graph = in_pool(2, || in_cells(&codes, 5, &PARAMS)).unwrap();
        assert_is_sound(&graph, &format!("set {number} in cells"));
    }
}

#[test]
fn the_graph_is_the_same_for_any_number_of_threads() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), Measure::L2);
    let whole =
        |threads| in_pool(threads, || segments(&codes, &PARAMS, &Watch::default())).unwrap();
    let cells = |threads| in_pool(threads, || in_cells(&codes, 4, &PARAMS)).unwrap();
    for threads in [2, 8] {
        assert_eq!(whole(1), whole(threads));
        assert_eq!(cells(1), cells(threads));
    }
}

#[test]
fn a_build_counts_its_elements_and_stops_when_told() {
    let codes = encode(&made_up(Shape::Clusters, 5000, 16, 1), Measure::L2);
    let watch = Watch::default();
    in_pool(2, || segments(&codes, &PARAMS, &watch)).unwrap();
    assert_eq!(watch.done.load(Ordering::Relaxed), 5000);
    watch.stop.store(true, Ordering::Relaxed);
    let stopped = in_pool(2, || segments(&codes, &PARAMS, &watch));
    assert_eq!(stopped.err(), Some(Stopped::Cancelled));
}

/// recall@10 at ef 40, by the codes' own distances.
fn recall(graph: &MemoryGraph, codes: &CodeSet, queries: impl Iterator<Item = u32>) -> f64 {
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
        search.start(&mut graph.view(), &distance, &options);
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
fn segments_are_as_good_as_batches() {
    let mut random = Random(9);
    let mut scaled = made_up(Shape::Clusters, 8000, 24, 7);
    for row in scaled.values.chunks_mut(24) {
        let length = 0.5 + random.below(1000) as f32 / 1000.0;
        row.iter_mut().for_each(|value| *value *= length);
    }
    for measure in [Measure::L2, Measure::InnerProduct] {
        let codes = encode(&scaled, measure);
        let queries = || (0..8000).step_by(80);
        let graph = |build: fn(&CodeSet, &Params, &Watch) -> Result<MemoryGraph, Stopped>| {
            in_pool(2, || build(&codes, &PARAMS, &Watch::default())).unwrap()
        };
        let by_batches = recall(&graph(batched), &codes, queries());
        let by_segments = recall(&graph(segments), &codes, queries());
        let in_cells = recall(
            &in_pool(2, || in_cells(&codes, 6, &PARAMS)).unwrap(),
            &codes,
            queries(),
        );
        assert!(
            by_segments > by_batches - 0.01,
            "{measure:?} {by_segments} against {by_batches}"
        );
        assert!(
            in_cells > by_batches - 0.02,
            "{measure:?} {in_cells} against {by_batches}"
        );
    }
}

#[test]
fn real_embeddings_are_found_as_well_as_by_batches() {
    let Some(floats) = read_real("wordnet_base.f16.npy", 20_000) else {
        eprintln!("SKIPPED: no wordnet set in OMENDB_DATA");
        return;
    };
    let codes = encode(&floats, Measure::L2);
    let queries = || (0..20_000).step_by(100);
    let whole = in_pool(2, || segments(&codes, &PARAMS, &Watch::default())).unwrap();
    let batches = in_pool(2, || batched(&codes, &PARAMS, &Watch::default())).unwrap();
    let by_segments = recall(&whole, &codes, queries());
    let by_batches = recall(&batches, &codes, queries());
    let in_cells = recall(
        &in_pool(2, || in_cells(&codes, 5, &PARAMS)).unwrap(),
        &codes,
        queries(),
    );
    assert!(
        by_segments > by_batches - 0.003,
        "{by_segments} against {by_batches}"
    );
    assert!(
        in_cells > by_batches - 0.01,
        "{in_cells} against {by_batches}"
    );
}

#[test]
fn a_plan_divides_only_what_does_not_fit() {
    in_pool(2, || {
        let n = 1_000_000;
        assert_eq!(plan(n, 384, &PARAMS, usize::MAX).cells, 1);
        let mut cells = 1;
        for budget in [1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 22] {
            let plan = plan(n, 384, &PARAMS, budget);
            assert!(plan.cells >= cells, "less memory, more cells");
            let room = plan.cells * plan.largest_cell;
            assert!(
                plan.cells == 1 || room >= CELLS_OF_A_VECTOR * n,
                "room for all"
            );
            cells = plan.cells;
        }
        assert!(cells > 100);
        assert_eq!(plan(0, 384, &PARAMS, 0).cells, CELLS_OF_A_VECTOR);
    });
}
