//! Checks the lists of pages with free slots: every listed page is in its list once, and has the kind of the list.

use layout::{Corrupt, Metapage, PageKind};

use super::findings::Findings;
use super::pages::{Pages, is_wrong_link, try_copy};
use super::survey::Sign;
use crate::storage::metapage::METAPAGE;

/// The maximum number of walks along a list under concurrent changes.
const WALKS: usize = 10;

pub(super) fn check(pages: &Pages<'_>, listed: &[Sign], findings: &mut Findings) {
    let kinds = [
        PageKind::Element,
        PageKind::Upper,
        PageKind::Overflow,
        PageKind::Filter,
    ];
    for kind in kinds {
        let mut trouble = None;
        let mut met = None;
        for _ in 0..WALKS {
            match walk(pages, kind) {
                Ok(blocks) => {
                    met = Some(blocks);
                    break;
                }
                Err(found) => trouble = found,
            }
        }
        match (met, trouble) {
            (Some(met), _) => unmet(pages, kind, listed, met, findings),
            (None, Some((block, what))) => {
                findings.error(
                    block,
                    format!("list of {kind} pages with free slots: {what}"),
                );
            }
            (None, None) => {}
        }
    }
}

/// Reports pages marked as listed but absent from the list. Walks the list again first: pages may have been added at its
/// head since.
fn unmet(
    pages: &Pages<'_>,
    kind: PageKind,
    listed: &[Sign],
    mut met: Vec<u32>,
    findings: &mut Findings,
) {
    met.sort_unstable();
    let is_unmet = |sign: &&Sign| sign.kind == kind && met.binary_search(&sign.block).is_err();
    let suspects: Vec<u32> = listed
        .iter()
        .filter(is_unmet)
        .map(|sign| sign.block)
        .collect();
    if suspects.is_empty() {
        return;
    }
    let mut met_now = walk(pages, kind).unwrap_or_default();
    met_now.sort_unstable();
    for block in suspects {
        if met_now.binary_search(&block).is_err() && is_listed(pages, block, kind) {
            let what = "page says that it is in a list of pages with free slots, and is not";
            findings.warning(block, what);
        }
    }
}

fn is_listed(pages: &Pages<'_>, block: u32, kind: PageKind) -> bool {
    let Ok(Some(page)) = pages.copy(block) else {
        return false;
    };
    layout::special(&*page).is_ok_and(|now| now.is_listed() && now.kind() == Ok(kind))
}

/// The flaw of a list and its block; `None` if another check reports it.
type Trouble = Option<(u32, String)>;

/// Returns the pages of a list, in list order.
fn walk(pages: &Pages<'_>, kind: PageKind) -> Result<Vec<u32>, Trouble> {
    let metapage = try_copy(pages.index(), METAPAGE).ok();
    let metapage = metapage.and_then(|page| Metapage::read(&*page).ok());
    let metapage = metapage.ok_or(None)?;
    let mut next = match kind {
        PageKind::Upper => metapage.upper_free,
        PageKind::Overflow => metapage.overflow_free,
        PageKind::Filter => metapage.filter_free,
        _ => metapage.element_free,
    };
    let (mut blocks, mut from) = (Vec::new(), METAPAGE);
    while let Some(block) = next {
        if blocks.len() > pages.index().blocks() as usize {
            return Err(Some((from, "pages are linked in a ring".to_owned())));
        }
        let read = pages.copy(block);
        let special = match read {
            Ok(Some(page)) => layout::special(&*page),
            Ok(None) => return Err(None),
            Err(what) => Err(what),
        };
        let special = match special {
            Ok(special) => special,
            Err(what) if is_wrong_link(&what) => return Err(Some((from, what.to_string()))),
            Err(_) => return Err(None),
        };
        let found = special.kind().expect("the special area was checked");
        if found != kind {
            let what = Corrupt::PageKind {
                expected: kind,
                found,
            };
            return Err(Some((from, format!("block {block}: {what}"))));
        }
        if !special.is_listed() {
            return Err(Some((from, format!("block {block} says it is not listed"))));
        }
        blocks.push(block);
        (from, next) = (block, special.next());
    }
    Ok(blocks)
}
