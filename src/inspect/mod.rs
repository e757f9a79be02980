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
mod info;
mod links;
mod lists;
mod opened;
mod pages;
mod rows;
mod survey;

use layout::Metapage;
use pgrx::iter::TableIterator;
use pgrx::name;
use pgrx::pg_sys::Oid;

use self::budget::Budget;
use self::findings::{Finding, Findings};
use self::opened::{is_ours, open_index};
use self::pages::Pages;
use self::survey::{Survey, Surveyor};
use crate::error;
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
