//! An open index: what is frozen about it, and what this backend remembers of it between statements.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use distance::BitMetric;
use hnsw::Params;
use layout::{CenterPage, Corrupt, Frozen, Geometry, IndexMetric, VectorKind};
use quantize::{CodeBits, Codec};

use super::buffer::{Access, Hints, Page};
use super::metapage::{self, METAPAGE};
use crate::error;
use crate::pg::Relation;
use crate::pg::memory::{self, Reserve};

/// An index that Postgres holds open, with its codec.
#[derive(Clone)]
pub(crate) struct Index {
    relation: Relation,
    kept: Rc<Kept>,
}

/// What a backend keeps of an index until it is changed or dropped.
struct Kept {
    file_number: u32,
    frozen: Frozen,
    codec: Codec,
    hints: RefCell<Hints>,
}

thread_local! {
    static KEPT: RefCell<HashMap<u32, Rc<Kept>>> = RefCell::default();
}

impl Index {
    /// Opens an index by its metapage, or by what is remembered of it.
    pub(crate) fn open(relation: Relation) -> Self {
        memory::reserve(Reserve::Small);
        let oid = relation.oid().to_u32();
        let known = KEPT.with_borrow(|kept| kept.get(&oid).cloned());
        if let Some(kept) = known.filter(|kept| kept.file_number == relation.file_number()) {
            return Self { relation, kept };
        }
        let kept = Rc::new(Kept::read(relation));
        KEPT.with_borrow_mut(|all| all.insert(oid, Rc::clone(&kept)));
        Self { relation, kept }
    }

    pub(crate) fn relation(&self) -> Relation {
        self.relation
    }

    pub(crate) fn frozen(&self) -> &Frozen {
        &self.kept.frozen
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.kept.frozen.geometry
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.kept.codec
    }

    pub(crate) fn hints(&self) -> &RefCell<Hints> {
        &self.kept.hints
    }

    /// No index of this size holds more elements.
    pub(crate) fn most_elements(&self) -> u64 {
        u64::from(self.relation.blocks()) * u64::from(self.geometry().element.per_page)
    }

    /// `m` as frozen, with the effort of construction that the options say now.
    pub(crate) fn params(&self, ef_construction: usize) -> Params {
        Params {
            m: self.geometry().m.into(),
            ef_construction,
        }
    }

    /// What was read from a block, or the error that it is damaged.
    pub(crate) fn expect<T>(&self, block: u32, read: Result<T, Corrupt>) -> T {
        read.unwrap_or_else(|what| self.corrupt(block, what))
    }

    /// Reports a damaged page and ends the statement.
    pub(crate) fn corrupt(&self, block: u32, what: Corrupt) -> ! {
        corrupt(self.relation, block, what)
    }
}

/// Forgets an index, or all of them: Postgres says that something about it has changed.
pub(crate) fn forget(oid: Option<u32>) {
    // A borrow is never held across a call into Postgres, so this cannot fail; an invalidation must not raise errors.
    KEPT.with(|kept| {
        if let Ok(mut kept) = kept.try_borrow_mut() {
            match oid {
                Some(oid) => drop(kept.remove(&oid)),
                None => kept.clear(),
            }
        }
    });
}

/// What the catalogs say that an index is for.
pub(crate) struct Declared {
    pub(crate) kind: VectorKind,
    pub(crate) metric: IndexMetric,
    /// None if the column lost its dimensions since the index was made.
    pub(crate) dimensions: Option<u32>,
}

static DECLARED: OnceLock<fn(Relation) -> Declared> = OnceLock::new();

/// Sets who knows what an index is for: the access method does, by its operator classes.
pub(crate) fn declared_by(tell: fn(Relation) -> Declared) {
    // Whoever loads the library again sets the same.
    let _ = DECLARED.set(tell);
}

/// What is wrong with a metapage that is in order by itself: it is for other vectors than the catalogs say.
pub(crate) fn check_owner(relation: Relation, frozen: &Frozen) -> Result<(), Corrupt> {
    let Some(tell) = DECLARED.get() else {
        return Ok(());
    };
    let declared = tell(relation);
    let own = frozen.kind == declared.kind
        && frozen.metric == declared.metric
        && declared
            .dimensions
            .is_none_or(|dimensions| dimensions == frozen.dimensions);
    own.then_some(()).ok_or(Corrupt::OtherIndex)
}

impl Kept {
    fn read(relation: Relation) -> Self {
        // A file without blocks is damage, to be said before Postgres says it in its own words.
        if relation.blocks() == METAPAGE {
            corrupt(relation, METAPAGE, Corrupt::NoSuchBlock(METAPAGE));
        }
        let frozen = metapage::read(relation).frozen;
        check_owner(relation, &frozen).unwrap_or_else(|what| corrupt(relation, METAPAGE, what));
        let center = frozen
            .center_block
            .map(|block| read_center(relation, block, frozen.dimensions as usize));
        let codec = codec(&frozen, center.as_deref());
        let Geometry {
            m,
            code_len,
            element,
            ..
        } = frozen.geometry;
        if codec.code_len() != code_len {
            let in_page = |len| u32::try_from(len).unwrap_or(u32::MAX);
            let contradiction = Corrupt::Geometry {
                m,
                code_len: in_page(code_len),
                slot_len: in_page(element.len),
            };
            corrupt(relation, METAPAGE, contradiction);
        }
        Self {
            file_number: relation.file_number(),
            codec,
            frozen,
            hints: RefCell::default(),
        }
    }
}

/// Elements of a sparse vector that codes have room for at least, where no rows say how many it should be.
pub(crate) const SPARSE_ELEMENTS: usize = 256;

/// The codec that an index's frozen options describe.
pub(crate) fn codec(frozen: &Frozen, center: Option<&[f32]>) -> Codec {
    let (dimensions, code_len) = (frozen.dimensions as usize, frozen.geometry.code_len);
    let metric = match frozen.metric {
        IndexMetric::L2 | IndexMetric::Cosine => quantize::CodeMetric::L2,
        IndexMetric::InnerProduct => quantize::CodeMetric::InnerProduct,
        IndexMetric::L1 => quantize::CodeMetric::L1,
        IndexMetric::Hamming => return Codec::of_bits(dimensions, BitMetric::Hamming, code_len),
        IndexMetric::Jaccard => return Codec::of_bits(dimensions, BitMetric::Jaccard, code_len),
    };
    if frozen.kind == VectorKind::Sparse {
        return Codec::of_sparse(dimensions, metric, code_len);
    }
    let bits = CodeBits::of_number(frozen.code_bits).expect("the metapage is checked when read");
    Codec::new(dimensions, bits, metric, frozen.seed, center)
}

/// The vector that is subtracted before encoding, from its chain of pages.
fn read_center(relation: Relation, first: u32, dimensions: usize) -> Vec<f32> {
    let mut center = Vec::with_capacity(dimensions);
    let mut next = Some(first);
    while let Some(block) = next {
        if block >= relation.blocks() {
            corrupt(relation, block, Corrupt::NoSuchBlock(block));
        }
        let page = Page::lock(relation, block, Access::Share);
        let view =
            CenterPage::view(page.bytes()).unwrap_or_else(|what| corrupt(relation, block, what));
        center.extend(view.values());
        next = view.next().filter(|_| center.len() < dimensions);
    }
    if center.len() != dimensions {
        corrupt(
            relation,
            first,
            Corrupt::Dimensions(u32::try_from(center.len()).unwrap_or(u32::MAX)),
        );
    }
    center
}

/// Reports a damaged page, or one that another extension wrote, and ends the statement.
pub(crate) fn corrupt(relation: Relation, block: u32, what: Corrupt) -> ! {
    if what == Corrupt::Pgvectors {
        error::index_of_pgvector(&relation.name());
    }
    error::corrupt_page(&relation.name(), block, what)
}
