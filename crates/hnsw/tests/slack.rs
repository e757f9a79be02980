//! Searches that end by distance: laws, and the recall that a calibration promises.

mod sets;

use hnsw::{
    Calibrator, ElementId, FIRST, Insertion, Matters, MemoryGraph, NEAR, NEIGHBORS, Params, Search,
    SearchOptions, Slack, Tracer, Vectors, measure_of,
};
use proptest::prelude::*;
use sets::{Floats, Shape, build, l2_squared, made_up};
use std::collections::BTreeSet;

const PARAMS: Params = Params {
    m: 8,
    ef_construction: 32,
};

fn slack(share: f32) -> Slack {
    Slack {
        share,
        unit: None,
        bound_scale: 1.0,
    }
}

/// The elements found by a search for the nearest `rank`, and its number of evaluations.
fn found(
    graph: &MemoryGraph,
    floats: &Floats,
    query: &[f32],
    slack: &Slack,
    rank: usize,
) -> (BTreeSet<u32>, u64) {
    let distance = |element: u32| l2_squared(query, floats.row(element));
    let (mut search, mut found) = (Search::new(), Vec::new());
    let matters = Matters::Rank(rank);
    search.start_within(&mut graph.view(), &distance, slack, matters, u64::MAX);
    search.take_nearest(&mut found);
    (
        found.iter().map(|found| found.element.0).collect(),
        search.counters().evaluations,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_larger_slack_never_finds_less(seed in 0..1000_u64, small in -0.4_f32..1.0, more in 0.0_f32..1.0, rank in 1..20_usize) {
        let (floats, queries) = made_up(Shape::Clusters, 1205, 8, seed).split(1200);
        let graph = build(&floats, &PARAMS, 1).unwrap();
        for query in 0..queries.len() as u32 {
            let (few, less) = found(&graph, &floats, queries.row(query), &slack(small), rank);
            let (many, most) = found(&graph, &floats, queries.row(query), &slack(small + more), rank);
            prop_assert!(few.is_subset(&many), "{} {}", few.len(), many.len());
            prop_assert!(less <= most);
        }
    }

    #[test]
    fn rows_asked_for_one_by_one_are_found_as_together(seed in 0..1000_u64, share in 0.0_f32..0.5) {
        let (floats, queries) = made_up(Shape::Clusters, 1205, 8, seed).split(1200);
        let graph = build(&floats, &PARAMS, 1).unwrap();
        let slack = slack(share);
        for query in 0..queries.len() as u32 {
            let distance = |element: u32| l2_squared(queries.row(query), floats.row(element));
            let (mut search, mut all, mut more) = (Search::new(), Vec::new(), Vec::new());
            let mut view = graph.view();
            search.start_within(&mut view, &distance, &slack, Matters::Rank(1), u64::MAX);
            for row in [0.5, 1.0, 2.0, 4.0] {
                let end = search.extend(&mut view, &distance, &slack, Matters::Row(row), u64::MAX);
                prop_assert!(end >= slack.reach(row));
                search.take_nearest(&mut more);
                all.extend(more.iter().map(|found| found.element.0));
            }
            let taken: BTreeSet<u32> = all.iter().copied().collect();
            prop_assert_eq!(taken.len(), all.len(), "each element is found once");
            let mut once = Search::new();
            once.start_within(&mut view, &distance, &slack, Matters::Rank(1), u64::MAX);
            once.extend(&mut view, &distance, &slack, Matters::Row(4.0), u64::MAX);
            prop_assert_eq!(once.counters().evaluations, search.counters().evaluations);
            once.take_nearest(&mut more);
            prop_assert!(more.iter().all(|found| taken.contains(&found.element.0)));
        }
    }

    /// Elements taken in between still count among the first.
    #[test]
    fn the_first_are_the_first_whatever_was_taken(seed in 0..1000_u64, share in 0.0_f32..0.3, more in 0.0_f32..0.3) {
        let (floats, queries) = made_up(Shape::Clusters, 1205, 8, seed).split(1200);
        let graph = build(&floats, &PARAMS, 1).unwrap();
        for query in 0..queries.len() as u32 {
            let distance = |element: u32| l2_squared(queries.row(query), floats.row(element));
            let (mut search, mut all) = (Search::new(), Vec::new());
            let mut view = graph.view();
            let first = Matters::First(10);
            search.start_within(&mut view, &distance, &slack(share), first, u64::MAX);
            search.take_nearest(&mut all);
            let reached = slack(share).reach(search.first_distance(10));
            let wider = slack(share + more);
            search.extend(&mut view, &distance, &wider, first, u64::MAX);
            prop_assert!(wider.reach(search.first_distance(10)) >= reached || more == 0.0
                || search.first_distance(10) < slack(share).distance_of(reached));
            let (mut once, mut rest) = (Search::new(), Vec::new());
            once.start_within(&mut view, &distance, &wider, first, u64::MAX);
            prop_assert_eq!(once.counters(), search.counters());
            prop_assert_eq!(once.first_distance(10), search.first_distance(10));
            search.take_nearest(&mut rest);
            all.append(&mut rest);
            let mut distances: Vec<f32> = all.iter().map(|found| found.distance).collect();
            distances.sort_by(f32::total_cmp);
            prop_assert_eq!(distances[9], search.first_distance(10));
        }
    }
}

#[test]
fn an_infinite_slack_finds_the_whole_graph() {
    let (floats, queries) = made_up(Shape::Clusters, 3001, 8, 3).split(3000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (all, _) = found(&graph, &floats, queries.row(0), &slack(f32::INFINITY), 1);
    assert_eq!(all.len(), 3000);
}

#[test]
fn more_rows_than_the_graph_has_are_the_whole_graph() {
    let (floats, queries) = made_up(Shape::Clusters, 301, 8, 3).split(300);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (all, _) = found(&graph, &floats, queries.row(0), &slack(0.0), 1000);
    assert_eq!(all.len(), 300);
}

#[test]
fn a_search_that_may_estimate_no_more_says_how_far_it_came() {
    let (floats, queries) = made_up(Shape::Clusters, 3001, 8, 3).split(3000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let distance = |element: u32| l2_squared(queries.row(0), floats.row(element));
    let mut search = Search::new();
    let (slack, mut view) = (slack(0.5), graph.view());
    let matters = Matters::Rank(10);
    let end = search.start_within(&mut view, &distance, &slack, matters, 60);
    assert!(search.can_extend() && end < f32::INFINITY);
    assert!((60..100).contains(&search.counters().evaluations));
    // The rest comes as the elements that a limit keeps a scan from.
    let (mut taken, mut left) = (Vec::new(), 0);
    search.take_nearest(&mut taken);
    while search.pop_discarded().is_some() {
        left += 1;
    }
    assert!(taken.len() + left <= search.counters().evaluations as usize);
    assert_eq!(
        search.extend(
            &mut view,
            &distance,
            &slack,
            Matters::Row(f32::MAX),
            u64::MAX
        ),
        f32::INFINITY
    );
}

#[test]
fn a_negative_slack_leaves_no_nearer_element_aside() {
    let (floats, queries) = made_up(Shape::Clusters, 3001, 8, 3).split(3000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let distance = |element: u32| l2_squared(queries.row(0), floats.row(element));
    let (mut search, mut view) = (Search::new(), graph.view());
    let slack = slack(-0.4);
    search.start_within(&mut view, &distance, &slack, Matters::Rank(10), u64::MAX);
    let (mut taken, mut left) = (Vec::new(), 0);
    for row in [2.0, 4.0, 6.0] {
        search.extend(&mut view, &distance, &slack, Matters::Row(row), u64::MAX);
        search.take_nearest(&mut taken);
    }
    while let Some(aside) = search.pop_discarded() {
        assert!(aside.distance > 6.0, "{}", aside.distance);
        left += 1;
    }
    assert!(left > 0);
}

#[test]
fn inner_products_have_the_unit_of_the_query() {
    let by_unit = |unit| Slack {
        share: 0.1,
        unit: Some(unit),
        bound_scale: 1.0,
    };
    assert_eq!(by_unit(10.0).reach(-7.0), -6.0);
    assert_eq!(Slack::share_of(-7.0, -6.0, Some(10.0)), 0.1);
    assert_eq!(by_unit(0.0).reach(-7.0), -7.0);
}

#[test]
fn a_reach_leads_back_to_its_distance() {
    for share in [-0.25, 0.0, 0.5] {
        let by_unit = Slack {
            share,
            unit: Some(8.0),
            bound_scale: 1.0,
        };
        for distance in [-3.0, 0.0, 0.5, 4.0] {
            let back = by_unit.distance_of(by_unit.reach(distance));
            assert!((back - distance).abs() < 1e-5, "{share} {distance} {back}");
            let of_share = slack(share);
            let back = of_share.distance_of(of_share.reach(distance));
            assert!((back - distance).abs() < 1e-5, "{share} {distance} {back}");
        }
    }
}

#[test]
fn the_reach_of_infinity_is_infinite() {
    for share in [-0.25, 0.0, 0.5] {
        assert_eq!(slack(share).reach(f32::INFINITY), f32::INFINITY);
    }
}

#[test]
fn a_distance_of_nothing_has_no_slack() {
    assert_eq!(slack(f32::INFINITY).reach(0.0), 0.0);
    assert_eq!(Slack::share_of(0.0, 1.0, None), f32::INFINITY);
    assert_eq!(Slack::share_of(0.0, 0.0, None), 0.0);
}

/// A calibration by 400 elements, and the evaluations that it took.
fn calibrate(graph: &MemoryGraph, floats: &Floats, count: usize) -> (hnsw::Calibration, u64) {
    let (mut calibrator, mut tracer) = (Calibrator::default(), Tracer::default());
    let mut store = Insertion {
        graph: &mut graph.clone(),
        vectors: floats,
    };
    for own in (0..floats.len() as u32).step_by(floats.len() / 400) {
        let (own, distances) = (ElementId(own), calibrator.distances(count));
        let trace = tracer.trace(&mut store, &own, None, (own, count), distances);
        calibrator.add(&trace.expect("memory"));
    }
    assert_eq!(calibrator.sampled(), 400);
    let evaluations = calibrator.evaluations();
    (calibrator.finish().expect("400 elements"), evaluations)
}

/// The recall of a target for so many rows, and the evaluations of all queries.
fn reached(
    graph: &MemoryGraph,
    (floats, queries): (&Floats, &Floats),
    share: f32,
    wanted: usize,
) -> (f64, u64) {
    let (hits, evaluations) = totals(floats, queries, wanted, |query| {
        found(graph, floats, query, &slack(share), measure_of(wanted))
    });
    let recall = hits as f64 / (wanted * queries.len()) as f64;
    (recall, evaluations)
}

/// Queries from the same distribution get about the recall that the calibration promises: of the nearest row, and of ten.
#[test]
fn a_calibrated_slack_keeps_its_target() {
    let (floats, queries) = made_up(Shape::Clusters, 8800, 24, 7).split(8000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (calibration, _) = calibrate(&graph, &floats, NEIGHBORS);
    for shares in calibration.shares.windows(2) {
        assert!(
            shares[0]
                .iter()
                .zip(shares[1])
                .all(|(less, more)| *less <= more)
        );
    }
    assert!(calibration.efs.is_sorted());
    for wanted in [1, 10] {
        let mut effort = Vec::new();
        for target in [0.9, 0.95, 0.99] {
            let share = calibration.share(target, wanted);
            let (recall, evaluations) = reached(&graph, (&floats, &queries), share, wanted);
            // 800 queries for one row each, calibrated by 400 elements: a few hundredths.
            let allowed = if wanted == 1 { 0.035 } else { 0.02 };
            assert!(
                (recall - target).abs() <= allowed,
                "{recall} for {target}, {wanted} rows"
            );
            effort.push(evaluations);
        }
        assert!(effort.is_sorted(), "{effort:?}");
    }
}

/// Where all elements are about equally far from each other, an element is found by much of the graph or not at all, and one in
/// another's list stands in the way of few.
#[test]
fn a_target_is_kept_where_no_element_has_near_ones() {
    let (floats, queries) = spread(12_800, 48).split(12_000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (calibration, _) = calibrate(&graph, &floats, FIRST);
    for target in [0.9, 0.95, 0.99] {
        let share = calibration.share(target, FIRST);
        let (recall, _) = reached(&graph, (&floats, &queries), share, FIRST);
        assert!((recall - target).abs() <= 0.02, "{recall} for {target}");
    }
}

/// Normally distributed values, each dimension narrower than the one before.
fn spread(rows: usize, dimensions: usize) -> Floats {
    let mut random = sets::Random(11);
    let width = |i: usize| 1.0 / (1.0 + (i % dimensions) as f32 / 24.0);
    let values = (0..rows * dimensions).map(|i| random.normal() * width(i));
    Floats {
        dimensions,
        values: values.collect(),
    }
}

/// The later bands are those of the tenth row then, as in an index that is too small for more.
#[test]
fn traces_for_ten_neighbors_take_less_and_find_the_same_slacks_for_ten() {
    let (floats, _) = made_up(Shape::Clusters, 8800, 24, 7).split(8000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (of_all, most) = calibrate(&graph, &floats, NEIGHBORS);
    let (of_ten, less) = calibrate(&graph, &floats, FIRST);
    assert!(4 * less < 3 * most, "{less} {most}");
    for (all, ten) in of_all.shares.iter().zip(of_ten.shares) {
        for band in 0..2 {
            assert!((all[band] - ten[band]).abs() < 0.05, "{all:?} {ten:?}");
        }
        assert!(ten[2..].iter().all(|later| *later == ten[1]), "{ten:?}");
    }
}

#[test]
fn a_calibrated_ef_keeps_its_target() {
    let (floats, queries) = made_up(Shape::Clusters, 8800, 24, 7).split(8000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (calibration, _) = calibrate(&graph, &floats, NEIGHBORS);
    for target in [0.9, 0.95, 0.99] {
        let ef = calibration.ef(target);
        let (hits, _) = totals(&floats, &queries, 10, |query| {
            found_by_ef(&graph, &floats, query, ef)
        });
        let recall = hits as f64 / (10 * queries.len()) as f64;
        assert!(
            (recall - target).abs() <= 0.02,
            "{recall} for {target} by {ef}"
        );
    }
}

/// The number of all queries' nearest rows found, and the evaluations for them.
fn totals(
    floats: &Floats,
    queries: &Floats,
    wanted: usize,
    mut search: impl FnMut(&[f32]) -> (BTreeSet<u32>, u64),
) -> (usize, u64) {
    let (mut hits, mut evaluations) = (0, 0);
    for query in (0..queries.len() as u32).map(|query| queries.row(query)) {
        let (found, cost) = search(query);
        let nearest = floats.nearest(query, wanted);
        hits += nearest.iter().filter(|row| found.contains(row)).count();
        evaluations += cost;
    }
    (hits, evaluations)
}

/// The elements found by a search for a fixed number, and its number of evaluations.
fn found_by_ef(
    graph: &MemoryGraph,
    floats: &Floats,
    query: &[f32],
    ef: usize,
) -> (BTreeSet<u32>, u64) {
    let options = SearchOptions {
        ef,
        keep_discarded: false,
    };
    let distance = |element: u32| l2_squared(query, floats.row(element));
    let (mut search, mut found) = (Search::new(), Vec::new());
    search.start(&mut graph.view(), &distance, &options);
    search.take_nearest(&mut found);
    (
        found.iter().map(|found| found.element.0).collect(),
        search.counters().evaluations,
    )
}

#[test]
fn a_slack_takes_fewer_evaluations_than_a_fixed_number_of_the_same_recall() {
    let (floats, queries) = made_up(Shape::Clusters, 8200, 24, 7).split(8000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    let (wanted, cost) = totals(&floats, &queries, 10, |query| {
        found(&graph, &floats, query, &slack(0.25), 10)
    });
    let (_, cost_of_ef) = (10..400)
        .step_by(10)
        .map(|ef| {
            totals(&floats, &queries, 10, |query| {
                found_by_ef(&graph, &floats, query, ef)
            })
        })
        .find(|(hits, _)| *hits >= wanted)
        .expect("a large ef finds all");
    assert!(cost < cost_of_ef, "{cost} {cost_of_ef}");
}

/// Rows beyond the fourth are handed out next, and are not to be searched for anew.
#[test]
fn the_first_ten_are_found_though_the_fourth_decides() {
    let (floats, queries) = made_up(Shape::Clusters, 3020, 8, 3).split(3000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    for share in [-0.3, 0.0, 0.02] {
        for query in (0..queries.len() as u32).map(|query| queries.row(query)) {
            let distance = |element: u32| l2_squared(query, floats.row(element));
            let (mut search, mut found) = (Search::new(), Vec::new());
            let (slack, first) = (slack(share), Matters::First(NEAR));
            search.start_within(&mut graph.view(), &distance, &slack, first, u64::MAX);
            search.take_nearest(&mut found);
            assert!(found.len() >= FIRST, "{} within {share}", found.len());
            assert!(search.first_distance(NEAR) <= search.first_distance(FIRST));
        }
    }
}

/// Rows may be handed out as far as that without another look at the elements set aside.
#[test]
fn what_is_set_aside_is_beyond_what_was_found() {
    let (floats, queries) = made_up(Shape::Clusters, 3020, 8, 3).split(3000);
    let graph = build(&floats, &PARAMS, 1).unwrap();
    for share in [-0.3, 0.0, 0.3] {
        for query in (0..queries.len() as u32).map(|query| queries.row(query)) {
            let distance = |element: u32| l2_squared(query, floats.row(element));
            let (mut search, mut found) = (Search::new(), Vec::new());
            let (slack, first) = (slack(share), Matters::First(NEAR));
            let mut view = graph.view();
            let end = search.start_within(&mut view, &distance, &slack, first, u64::MAX);
            let within = search.found_within();
            assert!(end <= within && within >= search.first_distance(FIRST));
            let row = Matters::Row(2.0 * within);
            search.take_nearest(&mut found);
            assert!(search.extend(&mut view, &distance, &slack, row, u64::MAX) >= end);
            assert!(search.found_within() >= 2.0 * within);
            while let Some(aside) = search.pop_discarded() {
                assert!(aside.distance > 2.0 * within, "{} {within}", aside.distance);
            }
        }
    }
}
