//! An open index: its frozen options, and the data cached by this backend between statements.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use distance::BitDistance;
use filter::Widths;
use hnsw::{ElementId, Params};
use layout::{Corrupt, Frozen, Geometry, Metapage, Metric, PageKind, VectorKind};
use quantize::{CodeBits, Codec, Codecs};

use super::buffer::Hints;
use super::centers;
use super::damage::corrupt;
use super::metapage::{self, METAPAGE};
use crate::pg::Relation;
use crate::pg::memory::{self, Reserve};

/// An index held open by Postgres, with its codec.
#[derive(Clone)]
pub(crate) struct Index {
    relation: Relation,
    cached: Rc<Cached>,
}

/// The data of an index cached by a backend until the index is changed or dropped.
struct Cached {
    file_number: u32,
    frozen: Frozen,
    /// Shared with whatever compares codes; replaced when the index has learned a center.
    codecs: RefCell<Arc<Codecs>>,
    /// The first page of the last center among them, if it was learned.
    learned: Cell<Option<u32>>,
    hints: RefCell<Hints>,
    /// The filter pages, in the order of their chain, as last read.
    filter_pages: RefCell<Rc<[u32]>>,
}

thread_local! {
    static CACHE: RefCell<HashMap<u32, Rc<Cached>>> = RefCell::default();
}

impl Index {
    /// Opens an index: from this backend's cache, or by reading its metapage and comparing it with the catalogs.
    pub(crate) fn open(relation: Relation, declared: Lookup) -> Self {
        memory::reserve(Reserve::Small);
        let oid = relation.oid().to_u32();
        let known = CACHE.with_borrow(|cached| cached.get(&oid).cloned());
        if let Some(cached) = known.filter(|cached| cached.file_number == relation.file_number()) {
            return Self { relation, cached };
        }
        let cached = Rc::new(Cached::read(relation, declared));
        CACHE.with_borrow_mut(|all| all.insert(oid, Rc::clone(&cached)));
        Self { relation, cached }
    }

    pub(crate) fn relation(&self) -> Relation {
        self.relation
    }

    pub(crate) fn frozen(&self) -> &Frozen {
        &self.cached.frozen
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.cached.frozen.geometry
    }

    /// The codecs of the centers known to this backend.
    pub(crate) fn codecs(&self) -> Arc<Codecs> {
        Arc::clone(&self.cached.codecs.borrow())
    }

    /// Reads the centers learned since, up to one named by the metapage.
    pub(super) fn follow(&self, learned: Option<u32>) {
        let known = self.cached.learned.get();
        if learned == known {
            return;
        }
        let mut codecs = Codecs::clone(&self.codecs());
        centers::follow(self.relation, self.frozen(), &mut codecs, learned, known);
        self.cached.codecs.replace(Arc::new(codecs));
        self.cached.learned.set(learned);
    }

    /// Reads the centers learned by others.
    pub(super) fn catch_up(&self) {
        self.follow(metapage::read(self.relation).learned);
    }

    /// Makes the center of an element's code known, or reports the element as damaged. No page is locked meanwhile.
    pub(super) fn know(&self, element: ElementId, center: u8) {
        if self.codecs().get(center).is_none() {
            self.catch_up();
        }
        let of = self.codecs().len();
        if usize::from(center) >= of {
            let (block, _) = self.geometry().element.split(element);
            self.corrupt(block, Corrupt::Center { center, of });
        }
    }

    pub(crate) fn hints(&self) -> &RefCell<Hints> {
        &self.cached.hints
    }

    pub(super) fn filter_pages(&self) -> &RefCell<Rc<[u32]>> {
        &self.cached.filter_pages
    }

    /// An upper bound of the number of elements in an index of the present size.
    pub(crate) fn most_elements(&self) -> u64 {
        u64::from(self.relation.blocks()) * u64::from(self.geometry().element.per_page)
    }

    /// `m` as frozen at creation, with the current option `ef_construction`.
    pub(crate) fn params(&self, ef_construction: usize) -> Params {
        Params {
            m: self.geometry().m.into(),
            ef_construction,
        }
    }

    /// Unwraps a value read from a block, or reports the block as damaged and ends the statement.
    pub(crate) fn expect<T>(&self, block: u32, read: Result<T, Corrupt>) -> T {
        read.unwrap_or_else(|what| self.corrupt(block, what))
    }

    /// Ends the statement if a link leads to a missing block, before Postgres raises an error of its own.
    pub(crate) fn check_block(&self, block: u32) {
        if block >= self.relation.blocks() {
            self.corrupt(block, Corrupt::NoSuchBlock(block));
        }
    }

    /// Returns the kind of a page; `None` for one added but never written, because of a crash.
    pub(crate) fn kind(&self, block: u32, page: &[u8]) -> Option<PageKind> {
        (!layout::is_new(page)).then(|| {
            let kind = layout::special(page).and_then(|special| special.kind());
            self.expect(block, kind)
        })
    }

    /// Reports a damaged page and ends the statement.
    pub(crate) fn corrupt(&self, block: u32, what: Corrupt) -> ! {
        corrupt(self.relation, block, what)
    }
}

/// Drops the cached data of one index, or of all: Postgres reports a change of it.
pub(crate) fn forget(oid: Option<u32>) {
    // No borrow is held across a call into Postgres, so this cannot fail; an invalidation must not raise errors.
    CACHE.with(|cached| {
        if let Ok(mut cached) = cached.try_borrow_mut() {
            match oid {
                Some(oid) => drop(cached.remove(&oid)),
                None => cached.clear(),
            }
        }
    });
}

/// The vectors an index is for, according to the catalogs.
pub(crate) struct Declared {
    pub(crate) kind: VectorKind,
    pub(crate) metric: Metric,
    /// `None` if the column lost its dimensions since the index was created.
    pub(crate) dimensions: Option<u32>,
    /// The widths of the key columns' images; `None` without key columns.
    pub(crate) keys: Option<Widths>,
}

/// Reads from the catalogs the vectors an index is for.
pub(crate) type Lookup = fn(Relation) -> Declared;

/// Compares a valid metapage with the catalogs: an error if it is for other vectors than they say.
pub(crate) fn check_owner(frozen: &Frozen, declared: &Declared) -> Result<(), Corrupt> {
    let own = frozen.kind == declared.kind
        && frozen.metric == declared.metric
        && frozen.geometry.widths() == declared.keys
        && declared
            .dimensions
            .is_none_or(|dimensions| dimensions == frozen.dimensions);
    own.then_some(()).ok_or(Corrupt::OtherIndex)
}

impl Cached {
    fn read(relation: Relation, declared: Lookup) -> Self {
        // A file without blocks is damage; report it here, before Postgres raises an error of its own.
        if relation.blocks() == METAPAGE {
            corrupt(relation, METAPAGE, Corrupt::NoSuchBlock(METAPAGE));
        }
        let Metapage {
            frozen, learned, ..
        } = metapage::read(relation);
        check_owner(&frozen, &declared(relation))
            .unwrap_or_else(|what| corrupt(relation, METAPAGE, what));
        let center = frozen
            .center_block
            .map(|block| centers::read(relation, block, frozen.dimensions as usize).0);
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
        let mut codecs = Codecs::new(codec);
        centers::follow(relation, &frozen, &mut codecs, learned, None);
        Self {
            file_number: relation.file_number(),
            codecs: RefCell::new(Arc::new(codecs)),
            learned: Cell::new(learned),
            frozen,
            hints: RefCell::default(),
            filter_pages: RefCell::new(Rc::from([])),
        }
    }
}

/// The minimum capacity of codes, in elements of a sparse vector, if there are no rows to determine it.
pub(crate) const SPARSE_ELEMENTS: usize = 256;

/// The codec described by the frozen options of an index.
pub(crate) fn codec(frozen: &Frozen, center: Option<&[f32]>) -> Codec {
    let (dimensions, code_len) = (frozen.dimensions as usize, frozen.geometry.code_len);
    let metric = match frozen.metric {
        Metric::L2 | Metric::Cosine => quantize::CodeMetric::L2,
        Metric::InnerProduct => quantize::CodeMetric::InnerProduct,
        Metric::L1 => quantize::CodeMetric::L1,
        Metric::Hamming => return Codec::of_bits(dimensions, BitDistance::Hamming, code_len),
        Metric::Jaccard => return Codec::of_bits(dimensions, BitDistance::Jaccard, code_len),
    };
    if frozen.kind == VectorKind::Sparse {
        return Codec::of_sparse(dimensions, metric, code_len);
    }
    let bits = CodeBits::of_number(frozen.code_bits).expect("the metapage is checked when read");
    Codec::new(dimensions, bits, metric, frozen.seed, center)
}
