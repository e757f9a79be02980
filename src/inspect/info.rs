//! The contents of an index, for `hnsw_index_info`.

use layout::{Calibrated, Frozen, Metric, PAGE_SIZE};
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_sys::Oid;

use super::findings::Findings;
use super::opened::open_index;
use super::survey::Survey;
use super::{examine, read_metapage};
use crate::keys::KeyColumns;
use crate::pg::call::sql_function;
use crate::pg::open::OpenIndex;

/// The columns of `hnsw_index_info`.
type Row = (
    name!(elements, i64),
    name!(tombstones, i64),
    name!(free_slots, i64),
    name!(rows, i64),
    name!(levels, i32),
    name!(mean_degree, f64),
    name!(unreachable, i64),
    name!(element_bytes, i64),
    name!(upper_bytes, i64),
    name!(overflow_bytes, i64),
    name!(filter_bytes, i64),
    name!(other_bytes, i64),
    name!(code_bits, i32),
    name!(dimensions, i32),
    name!(m, i32),
    name!(metric, &'static str),
    name!(layout_version, i32),
    name!(built_elements, i64),
    name!(key_columns, i32),
    name!(calibration_sample, Option<i64>),
    name!(calibration_targets, Option<Vec<f64>>),
    name!(calibration_slacks, Option<Vec<f64>>),
    name!(calibration_growth, Option<f64>),
    name!(graphs, Option<String>),
    name!(calibrated_by, Option<&'static str>),
    name!(centers, i32),
);

sql_function!(hnsw_index_info);
fn hnsw_index_info(index: Oid) -> TableIterator<'static, Row> {
    let open = open_index(index);
    let info = Info::gather(&open);
    open.close();
    TableIterator::once(info.into_row())
}

/// The data of `hnsw_index_info`.
struct Info {
    /// The name of the column whose values have graphs.
    graphs: Option<String>,
    frozen: Frozen,
    layout_version: u32,
    survey: Survey,
    unreachable: u64,
    levels: i32,
    /// With the share of its blocks by which the index has grown since.
    calibrated: Option<(Calibrated, f64)>,
}

impl Info {
    /// Gathers the data; raises an error on damage.
    fn gather(open: &OpenIndex) -> Self {
        let mut findings = Findings::new(open.index, true);
        let metapage = read_metapage(open, &mut findings).expect("damage ends the statement");
        let (unreachable, survey) = examine(open, &metapage, &mut findings);
        let grouped_by = metapage.frozen.geometry.grouped_by;
        Self {
            graphs: grouped_by.map(|number| KeyColumns::of(open.index).name(open.index, number)),
            frozen: metapage.frozen,
            layout_version: metapage.layout_version(),
            levels: metapage
                .entry_point
                .map_or(0, |entry| i32::from(entry.level) + 1),
            survey,
            unreachable,
            calibrated: metapage.calibrated.map(|calibrated| {
                let before = f64::from(calibrated.blocks);
                let growth = f64::from(open.index.blocks()) / before - 1.0;
                (calibrated, growth.max(0.0))
            }),
        }
    }

    fn into_row(self) -> Row {
        let frozen = &self.frozen;
        let counts = &self.survey.counts;
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let bytes = |pages: u64| number(pages * PAGE_SIZE as u64);
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let mean_degree = counts.links as f64 / counts.live.max(1) as f64;
        (
            number(counts.live),
            number(counts.dead),
            number(counts.free),
            number(self.survey.rows.len() as u64),
            self.levels,
            mean_degree,
            number(self.unreachable),
            bytes(counts.element_pages),
            bytes(counts.upper_pages),
            bytes(counts.overflow_pages),
            bytes(self.survey.filter_pages.len() as u64),
            bytes(counts.other_pages),
            frozen.code_bits.into(),
            frozen.dimensions.cast_signed(),
            frozen.geometry.m.into(),
            metric_name(frozen.metric),
            self.layout_version.cast_signed(),
            number(frozen.built_elements),
            frozen
                .geometry
                .widths()
                .map_or(0, |widths| widths.count() as i32),
            self.calibrated
                .map(|(calibrated, _)| calibrated.elements.into()),
            self.calibrated.map(|_| hnsw::TARGETS.to_vec()),
            self.calibrated.map(|(calibrated, _)| slacks(&calibrated)),
            self.calibrated.map(|(_, growth)| growth),
            self.graphs,
            self.calibrated
                .map(|(calibrated, _)| match calibrated.by_queries {
                    true => "queries",
                    false => "elements",
                }),
            i32::try_from(counts.centers).unwrap_or(i32::MAX),
        )
    }
}

/// The slacks of the targets for the nearest ten rows.
fn slacks(calibrated: &Calibrated) -> Vec<f64> {
    let shares = &calibrated.calibration.shares;
    shares.iter().map(|of_target| of_target[1].into()).collect()
}

/// The name of a metric as in the names of operator classes.
fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::L2 => "l2",
        Metric::InnerProduct => "ip",
        Metric::Cosine => "cosine",
        Metric::L1 => "l1",
        Metric::Hamming => "hamming",
        Metric::Jaccard => "jaccard",
    }
}
