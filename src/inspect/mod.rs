//! Inspection of an index: `hnsw_check` reports its damage, `hnsw_index_info` its contents, the view `hnsw_indexes` lists all.
//!
//! The functions copy every page under a share lock held for the copy only, and take the weakest lock on index and table: concurrent
//! reads and writes go on. Nothing read is trusted; impossible contents are a finding, not an error.
//!
//! Memory, charged to `maintenance_work_mem`: up to 41 bytes per element, for the list of elements and the check of links;
//! up to 12 per row, and 42 more with key columns; up to 6 per overflow slot.

mod budget;
mod entries;
mod findings;
mod links;
mod lists;
mod opened;
mod pages;
mod rows;
mod survey;

use layout::{Calibrated, Frozen, Metapage, Metric, PAGE_SIZE};
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_sys::Oid;

use self::budget::Budget;
use self::findings::{Finding, Findings};
use self::opened::{is_ours, open_index};
use self::pages::Pages;
use self::survey::{Survey, Surveyor};
use crate::error;
use crate::keys::KeyColumns;
use crate::opclass;
use crate::pg::call::sql_function;
use crate::pg::open::{self, OpenIndex};
use crate::pg::snapshot::{self, Snapshot};
use crate::pg::text::Text;
use crate::storage::index::{check_owner, codec};
use crate::storage::metapage::METAPAGE;

pub(crate) use self::opened::{open_own_parts, open_parts};

sql_function!(hnsw_check);
fn hnsw_check(
    index: Oid,
    heapallindexed: bool,
    raise: bool,
) -> TableIterator<
    'static,
    (
        name!(severity, String),
        name!(block, Option<i64>),
        name!(slot, Option<i32>),
        name!(finding, Text),
    ),
> {
    let open = open_index(index);
    let findings = check(&open, heapallindexed, raise);
    open.close();
    TableIterator::new(findings.into_iter().map(|finding| {
        (
            finding.severity.name().to_owned(),
            finding.place.block.map(i64::from),
            finding.place.slot.map(i32::from),
            Text(finding.what),
        )
    }))
}

sql_function!(hnsw_index_info);
#[expect(clippy::type_complexity, reason = "a list of columns")]
fn hnsw_index_info(
    index: Oid,
) -> TableIterator<
    'static,
    (
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
        name!(measure, &'static str),
        name!(layout_version, i32),
        name!(built_elements, i64),
        name!(key_columns, i32),
        name!(calibration_sample, Option<i64>),
        name!(calibration_targets, Option<Vec<f64>>),
        name!(calibration_slacks, Option<Vec<f64>>),
        name!(calibration_growth, Option<f64>),
        name!(graphs, Option<String>),
        name!(calibrated_by, Option<&'static str>),
    ),
> {
    let open = open_index(index);
    let info = Info::gather(&open);
    open.close();
    let Info {
        graphs,
        frozen,
        survey,
        unreachable,
        levels,
        calibrated,
    } = info;
    let counts = &survey.counts;
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let bytes = |pages: u64| number(pages * PAGE_SIZE as u64);
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let mean_degree = counts.links as f64 / counts.live.max(1) as f64;
    TableIterator::once((
        number(counts.live),
        number(counts.dead),
        number(counts.free),
        number(survey.rows.len() as u64),
        levels,
        mean_degree,
        number(unreachable),
        bytes(counts.element_pages),
        bytes(counts.upper_pages),
        bytes(counts.overflow_pages),
        bytes(survey.filter_pages.len() as u64),
        bytes(counts.other_pages),
        frozen.code_bits.into(),
        frozen.dimensions.cast_signed(),
        frozen.geometry.m.into(),
        metric_name(frozen.metric),
        frozen.geometry.layout_version().cast_signed(),
        number(frozen.built_elements),
        frozen
            .geometry
            .widths()
            .map_or(0, |widths| widths.count() as i32),
        calibrated.map(|(calibrated, _)| calibrated.elements.into()),
        calibrated.map(|_| hnsw::TARGETS.to_vec()),
        calibrated.map(|(calibrated, _)| slacks(&calibrated)),
        calibrated.map(|(_, growth)| growth),
        graphs,
        calibrated.map(|(calibrated, _)| match calibrated.by_queries {
            true => "queries",
            false => "elements",
        }),
    ))
}

/// The slacks of the targets for the nearest ten rows.
fn slacks(calibrated: &Calibrated) -> Vec<f64> {
    let shares = &calibrated.calibration.shares;
    shares.iter().map(|of_target| of_target[1].into()).collect()
}

sql_function!(hnsw_built_elements);
/// The elements that the last build wrote; NULL for anything that is not an index of ours with a sound metapage. Only the view
/// `hnsw_indexes` calls it.
fn hnsw_built_elements(index: Oid) -> Option<i64> {
    open::with_index(index, |index| {
        let has_pages = is_ours(index)
            && !open::is_others_temporary(index)
            && !open::is_absent_in_recovery(index)
            && index.blocks() > METAPAGE;
        let page = has_pages.then(|| pages::try_copy(index, METAPAGE).ok());
        let metapage = Metapage::read(&*page.flatten()?).ok()?;
        i64::try_from(metapage.frozen.built_elements).ok()
    })?
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

/// Checks an index and returns all findings.
fn check(open: &OpenIndex, heapallindexed: bool, raise: bool) -> Vec<Finding> {
    let mut findings = Findings::new(open.index, raise);
    let snapshot = heapallindexed.then(|| {
        if !open.is_valid() {
            error::index_not_valid(&open.index.name());
        }
        if snapshot::is_kept_by_transaction() && open.is_for_newer_snapshots() {
            error::snapshot_too_old_for_index(&open.index.name());
        }
        Snapshot::register()
    });
    if let Some(metapage) = read_metapage(open, &mut findings) {
        let (_, survey) = examine(open, &metapage, &mut findings);
        if let Some(snapshot) = &snapshot {
            rows::find_missing(open, &metapage.frozen, snapshot, &survey, &mut findings);
        }
    }
    if let Some(snapshot) = snapshot {
        snapshot.release();
    }
    findings.into_list()
}

/// Reads block 0; `None` if it is damaged: other pages cannot be interpreted without it.
fn read_metapage(open: &OpenIndex, findings: &mut Findings) -> Option<Metapage> {
    if open.index.blocks() == 0 {
        findings.error(METAPAGE, layout::Corrupt::NoSuchBlock(METAPAGE));
        return None;
    }
    let page = match pages::try_copy(open.index, METAPAGE) {
        Ok(page) => page,
        Err(message) => {
            findings.error(METAPAGE, message);
            return None;
        }
    };
    let metapage = match Metapage::read(&*page) {
        Ok(metapage) => metapage,
        Err(what) => {
            findings.error(METAPAGE, what);
            return None;
        }
    };
    if let Err(what) = check_owner(&metapage.frozen, &opclass::declared(open.index)) {
        findings.error(METAPAGE, what);
        return None;
    }
    let code_len = codec(&metapage.frozen, None).code_len();
    if code_len != metapage.frozen.geometry.code_len {
        let what = format!(
            "codes of {} bytes, not {code_len}",
            metapage.frozen.geometry.code_len
        );
        findings.error(METAPAGE, what);
        return None;
    }
    Some(metapage)
}

/// Checks pages, lists, links and rows. Returns the number of unreachable elements, and the survey with its rows sorted.
fn examine(open: &OpenIndex, metapage: &Metapage, findings: &mut Findings) -> (u64, Survey) {
    let pages = Pages::open(open.index, &metapage.frozen.geometry, |block, message| {
        findings.error(block, message);
    });
    let mut budget = Budget::new();
    let surveyor = Surveyor {
        pages: &pages,
        frozen: &metapage.frozen,
        table: open.table,
        table_blocks: 0,
        findings,
        budget: &mut budget,
        survey: Survey::default(),
    };
    let mut survey = surveyor.run();
    lists::check(&pages, &survey.listed, findings);
    rows::find_repeated(&pages, &mut survey.rows, findings);
    if metapage.frozen.geometry.keys.is_some() {
        entries::check_chain(&pages, &survey.filter_pages, findings);
        entries::compare(&pages, &mut survey.entries, &mut survey.homes, findings);
    }
    let members = std::mem::take(&mut survey.members);
    let linked = links::check(&pages, members, findings);
    (linked.unreachable, survey)
}

/// The data of `hnsw_index_info`.
struct Info {
    /// The name of the column whose values have graphs.
    graphs: Option<String>,
    frozen: Frozen,
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
}
