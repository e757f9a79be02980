use bytemuck::{Pod, Zeroable};
use filter::Widths;
use hnsw::{BANDS, Calibration, ElementId, Level, MAX_LEVEL, TARGETS};

use crate::geometry::SlotId;
use crate::page::{
    GROUPED_LAYOUT_VERSION, LAYOUT_VERSION, LEARNED, NO_BLOCK, PAGE_HEADER, PAGE_SIZE, PageKind,
    init_page, lower, set_lower, special_of,
};
use crate::{Corrupt, Geometry, NO_ELEMENT};

const MAGIC: u32 = u32::from_le_bytes(*b"omen");
const END: usize = PAGE_HEADER + size_of::<Raw>();

const _: () = assert!(size_of::<Raw>() == 256);

/// The bytes of a metapage, ordered so that every field is aligned without padding.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Raw {
    magic: u32,
    layout_version: u32,
    kind: u8,
    metric: u8,
    code_bits: u8,
    entry_level: u8,
    dimensions: u32,
    m: u16,
    slots_per_page: u16,
    code_len: u32,
    slot_len: u32,
    entry_point: u32,
    seed: u64,
    center_block: u32,
    element_free: u32,
    upper_free: u32,
    overflow_free: u32,
    built_elements: u64,
    removals: u64,
    /// The number of key columns and the widths of their images, or zeroes.
    keys: [u8; 8],
    filter_first: u32,
    filter_free: u32,
    /// The number of the key column whose values have graphs, counted from 1; or 0.
    grouped_by: u64,
    /// The first block of the last center learned; or 0.
    learned: u32,
    /// The elements there was room for when a center was last looked for.
    looked_at: u32,
    calibrated: RawCalibrated,
}

/// The bytes of a calibration.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Pod, Zeroable)]
struct RawCalibrated {
    /// 0 for none, or for one of before 0.1.0, which had its bytes behind `BEFORE` shares.
    version: u32,
    blocks: u32,
    /// With the bit `BY_QUERIES`.
    elements: u32,
    removed: u32,
    most: u32,
    efs: [u16; TARGETS.len()],
    shares: [u32; SHARES],
}

/// The numbers of a calibration.
const SHARES: usize = BANDS * TARGETS.len();

/// The version of calibrations: the meaning of their numbers. In the first the nearest row had its share by the distance of the
/// tenth, so that it means nothing now.
const CALIBRATION_VERSION: u32 = 2;

/// The bit of `elements` in a calibration by queries. Calibrations before it have samples of at most 1,000.
const BY_QUERIES: u32 = 1 << 31;

/// The shares at the place of bytes that were reserved before there were versions.
const BEFORE: usize = 10;

/// The kind of vector in the indexed column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum VectorKind {
    /// `vector`: 32-bit floats.
    F32 = 1,
    /// `halfvec`: 16-bit floats.
    F16 = 2,
    /// `bit`.
    Bit = 3,
    /// `sparsevec`: 32-bit floats with their positions.
    Sparse = 4,
}

impl VectorKind {
    /// The maximum dimensions of an indexed column.
    #[must_use]
    pub fn max_dimensions(self) -> u32 {
        match self {
            Self::F32 | Self::F16 => 16_000,
            Self::Bit => 64_000,
            Self::Sparse => 1_000_000_000,
        }
    }

    /// True if indexes support this kind and metric together.
    fn has(self, metric: Metric) -> bool {
        let is_of_bits = matches!(metric, Metric::Hamming | Metric::Jaccard);
        is_of_bits == (self == Self::Bit)
    }

    /// True if this kind has codes of `bits`.
    fn has_code_bits(self, bits: u8) -> bool {
        match self {
            Self::F32 | Self::F16 => matches!(bits, 1 | 2 | 4 | 8 | 32),
            Self::Bit => bits == 1,
            Self::Sparse => bits == 8,
        }
    }
}

/// The metric of an index, by its number in the metapage: each has an operator, which its operator classes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Metric {
    /// Euclidean distance.
    L2 = 1,
    /// Negative inner product.
    InnerProduct = 2,
    /// Cosine distance.
    Cosine = 3,
    /// Taxicab distance.
    L1 = 4,
    /// Hamming distance.
    Hamming = 5,
    /// Jaccard distance.
    Jaccard = 6,
}

impl TryFrom<u8> for VectorKind {
    type Error = Corrupt;

    fn try_from(kind: u8) -> Result<Self, Corrupt> {
        Ok(match kind {
            1 => Self::F32,
            2 => Self::F16,
            3 => Self::Bit,
            4 => Self::Sparse,
            _ => return Err(Corrupt::VectorKind(kind)),
        })
    }
}

impl TryFrom<u8> for Metric {
    type Error = Corrupt;

    fn try_from(metric: u8) -> Result<Self, Corrupt> {
        Ok(match metric {
            1 => Self::L2,
            2 => Self::InnerProduct,
            3 => Self::Cosine,
            4 => Self::L1,
            5 => Self::Hamming,
            6 => Self::Jaccard,
            _ => return Err(Corrupt::Metric(metric)),
        })
    }
}

/// Options fixed for the life of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// The kind of vector in the column.
    pub kind: VectorKind,
    /// The metric.
    pub metric: Metric,
    /// Bits of a code per dimension: 32 (exact), 8, 4, 2 or 1. Bit strings have 1, sparse vectors 8 per value.
    pub code_bits: u8,
    /// Dimensions of the column.
    pub dimensions: u32,
    /// The seed of the rotation.
    pub seed: u64,
    /// `m`, the length of a code, and the sizes derived from them.
    pub geometry: Geometry,
    /// The first page of the vector subtracted before encoding.
    pub center_block: Option<u32>,
    /// The number of elements written by the build.
    pub built_elements: u64,
}

/// The entry point of searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// An element of the highest level.
    pub element: ElementId,
    /// The level of the entry point.
    pub level: Level,
}

/// The slacks of searches with a target recall, found by a build or by `hnsw_calibrate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// The slacks.
    pub calibration: Calibration,
    /// The blocks of the index at that time; more now means that elements have been added.
    pub blocks: u32,
    /// The sampled elements, or the queries; less than 2^31.
    pub elements: u32,
    /// True if the slacks are those of a user's queries.
    pub by_queries: bool,
    /// The elements that the index had room for at that time.
    pub most: u32,
    /// The rows that vacuum has removed since.
    pub removed: u32,
}

impl Calibrated {
    fn raw(&self) -> RawCalibrated {
        let mut shares = [0; SHARES];
        let given = self.calibration.shares.as_flattened();
        for (raw, share) in shares.iter_mut().zip(given) {
            *raw = share.to_bits();
        }
        RawCalibrated {
            version: CALIBRATION_VERSION,
            blocks: self.blocks,
            elements: self.elements | if self.by_queries { BY_QUERIES } else { 0 },
            removed: self.removed,
            most: self.most,
            efs: self.calibration.efs,
            shares,
        }
    }
}

/// The contents of block 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metapage {
    /// Options.
    pub frozen: Frozen,
    /// The entry point; `None` while the index is empty.
    pub entry_point: Option<EntryPoint>,
    /// The first element page in the free list.
    pub element_free: Option<u32>,
    /// The first upper page in the free list.
    pub upper_free: Option<u32>,
    /// The first overflow page in the free list.
    pub overflow_free: Option<u32>,
    /// The first filter page; each names the next.
    pub filter_first: Option<u32>,
    /// The first filter page in the free list.
    pub filter_free: Option<u32>,
    /// Vacuums that have freed slots of elements. A vacuum raises it before it frees the first one, so a search that
    /// reads the same number before and after has met no freed slot.
    pub removals: u64,
    /// The calibration; `None` in an index of an earlier version or of few elements.
    pub calibrated: Option<Calibrated>,
    /// The first page of the last center learned; the pages of all centers learned before follow it.
    pub learned: Option<u32>,
    /// The elements there was room for when a center was last looked for.
    pub looked_at: u32,
}

impl Metapage {
    /// Reads block 0.
    ///
    /// # Errors
    /// If it is not a metapage, of another version, or contradicts itself.
    pub fn read(page: &[u8]) -> Result<Self, Corrupt> {
        if is_pgvectors(page) {
            return Err(Corrupt::Pgvectors);
        }
        special_of(page, PageKind::Meta)?;
        if usize::from(lower(page)) != END {
            return Err(Corrupt::Used(lower(page)));
        }
        let raw: Raw = bytemuck::pod_read_unaligned(&page[PAGE_HEADER..END]);
        if raw.magic != MAGIC {
            return Err(Corrupt::Magic(raw.magic));
        }
        if !(LAYOUT_VERSION..=GROUPED_LAYOUT_VERSION + LEARNED).contains(&raw.layout_version) {
            return Err(Corrupt::LayoutVersion(raw.layout_version));
        }
        if (raw.learned, raw.looked_at) != (0, 0) && raw.layout_version <= LEARNED {
            return Err(Corrupt::Reserved);
        }
        let frozen = raw.frozen()?;
        let is_keyed = frozen.geometry.keys.is_some();
        Ok(Self {
            frozen,
            entry_point: raw.entry_point(&frozen.geometry)?,
            element_free: block(raw.element_free),
            upper_free: block(raw.upper_free),
            overflow_free: block(raw.overflow_free),
            filter_first: block(raw.filter_first).filter(|_| is_keyed),
            filter_free: block(raw.filter_free).filter(|_| is_keyed),
            removals: raw.removals,
            calibrated: raw.calibrated.read()?,
            learned: (raw.learned != 0).then_some(raw.learned),
            looked_at: raw.looked_at,
        })
    }

    /// The version of the layout: an index that has looked for a center since its build has another.
    #[must_use]
    pub fn layout_version(&self) -> u32 {
        let has_looked = self.learned.is_some() || self.looked_at > 0;
        self.frozen.geometry.layout_version() + if has_looked { LEARNED } else { 0 }
    }

    /// Makes `page` a metapage.
    pub fn init(&self, page: &mut [u8]) {
        init_page(page, PageKind::Meta, 0);
        set_lower(page, END);
        self.write(page);
    }

    /// Overwrites all fields of an existing metapage.
    ///
    /// # Panics
    /// If `page` is shorter than a page.
    pub fn write(&self, page: &mut [u8]) {
        page[PAGE_HEADER..END].copy_from_slice(bytemuck::bytes_of(&self.raw()));
    }

    fn raw(&self) -> Raw {
        let Frozen {
            kind,
            metric,
            code_bits,
            dimensions,
            seed,
            geometry,
            center_block,
            built_elements,
        } = self.frozen;
        let in_page = |len: usize| u32::try_from(len).expect("less than a page");
        // An index without key columns keeps the bytes of layout version 1: zeroes.
        let none = geometry.keys.map_or(0, |_| NO_BLOCK);
        Raw {
            magic: MAGIC,
            layout_version: self.layout_version(),
            kind: kind as u8,
            metric: metric as u8,
            code_bits,
            entry_level: self.entry_point.map_or(0, |entry| entry.level),
            dimensions,
            m: geometry.m,
            slots_per_page: geometry.element.per_page,
            code_len: in_page(geometry.code_len),
            slot_len: in_page(geometry.element.len),
            entry_point: ElementId::to_link(self.entry_point.map(|entry| entry.element)),
            seed,
            center_block: center_block.unwrap_or(NO_BLOCK),
            element_free: self.element_free.unwrap_or(NO_BLOCK),
            upper_free: self.upper_free.unwrap_or(NO_BLOCK),
            overflow_free: self.overflow_free.unwrap_or(NO_BLOCK),
            built_elements,
            removals: self.removals,
            keys: keys_of(&geometry),
            filter_first: self.filter_first.unwrap_or(none),
            filter_free: self.filter_free.unwrap_or(none),
            grouped_by: geometry
                .grouped_by
                .map_or(0, |column| u64::from(column) + 1),
            learned: self.learned.unwrap_or(0),
            looked_at: self.looked_at,
            calibrated: self
                .calibrated
                .map_or(RawCalibrated::zeroed(), |calibrated| calibrated.raw()),
        }
    }
}

impl RawCalibrated {
    fn read(&self) -> Result<Option<Calibrated>, Corrupt> {
        match self.version {
            0 => return self.read_none(),
            1..CALIBRATION_VERSION => return Ok(None),
            CALIBRATION_VERSION => {}
            _ => return Err(Corrupt::Reserved),
        }
        let mut shares = [[0.0; BANDS]; TARGETS.len()];
        for (share, &raw) in shares.as_flattened_mut().iter_mut().zip(&self.shares) {
            *share = f32::from_bits(raw);
            if !share.is_finite() {
                return Err(Corrupt::Share(raw));
            }
        }
        Ok(Some(Calibrated {
            calibration: Calibration {
                shares,
                efs: self.efs,
            },
            blocks: self.blocks,
            elements: self.elements & !BY_QUERIES,
            by_queries: self.elements & BY_QUERIES != 0,
            most: self.most,
            removed: self.removed,
        }))
    }

    /// An index is not calibrated, or was before there were versions: by another rule, so that its shares mean nothing now.
    fn read_none(&self) -> Result<Option<Calibrated>, Corrupt> {
        let mut others = *self;
        // The bytes of one from before begin with its blocks, which are at least one.
        if others.shares[BEFORE] != 0 {
            others.shares[BEFORE..].fill(0);
        }
        let is_empty = others == Self::zeroed();
        is_empty.then_some(None).ok_or(Corrupt::Reserved)
    }
}

impl Raw {
    fn frozen(&self) -> Result<Frozen, Corrupt> {
        let (kind, metric) = (VectorKind::try_from(self.kind)?, self.metric.try_into()?);
        if !kind.has(metric) {
            return Err(Corrupt::Metric(self.metric));
        }
        if !kind.has_code_bits(self.code_bits) {
            return Err(Corrupt::CodeBits(self.code_bits));
        }
        if !(1..=kind.max_dimensions()).contains(&self.dimensions) {
            return Err(Corrupt::Dimensions(self.dimensions));
        }
        Ok(Frozen {
            kind,
            metric,
            code_bits: self.code_bits,
            dimensions: self.dimensions,
            seed: self.seed,
            geometry: self.geometry()?,
            center_block: block(self.center_block),
            built_elements: self.built_elements,
        })
    }

    /// The stored sizes are redundant, for readers of raw bytes; they must match the options.
    fn geometry(&self) -> Result<Geometry, Corrupt> {
        let contradiction = Corrupt::Geometry {
            m: self.m,
            code_len: self.code_len,
            slot_len: self.slot_len,
        };
        let geometry = usize::try_from(self.code_len)
            .ok()
            .and_then(|code_len| Geometry::new(self.m.into(), code_len).ok())
            .ok_or(contradiction)?
            .with_keys(self.widths()?)
            .with_groups(self.grouped_by()?)
            .map_err(|_| contradiction)?;
        let agrees = u32::try_from(geometry.element.len) == Ok(self.slot_len)
            && geometry.element.per_page == self.slots_per_page;
        if agrees {
            Ok(geometry)
        } else {
            Err(contradiction)
        }
    }

    /// The layout version without what centers learned add to it.
    fn built_layout(&self) -> u32 {
        match self.layout_version {
            learned if learned > LEARNED => learned - LEARNED,
            built => built,
        }
    }

    /// The key column whose values have graphs, which only layout version 3 has.
    fn grouped_by(&self) -> Result<Option<u8>, Corrupt> {
        let column = self.grouped_by.checked_sub(1);
        if column.is_some() != (self.built_layout() == GROUPED_LAYOUT_VERSION) {
            return Err(Corrupt::GroupedBy(self.grouped_by));
        }
        let columns = u64::from(self.keys[0]);
        match column.map(|column| u8::try_from(column).ok().filter(|_| column < columns)) {
            Some(None) => Err(Corrupt::GroupedBy(self.grouped_by)),
            Some(column) => Ok(column),
            None => Ok(None),
        }
    }

    /// The widths of the key columns' images, which layout version 1 has not.
    fn widths(&self) -> Result<Option<Widths>, Corrupt> {
        if self.built_layout() == LAYOUT_VERSION {
            let is_unset = self.keys == [0; 8] && self.filter_first == 0 && self.filter_free == 0;
            return if is_unset {
                Ok(None)
            } else {
                Err(Corrupt::Reserved)
            };
        }
        let [count, widths @ ..] = self.keys;
        let (used, unused) = widths
            .split_at_checked(count.into())
            .ok_or(Corrupt::KeyWidths(self.keys))?;
        Widths::new(used)
            .filter(|_| unused.iter().all(|&width| width == 0))
            .map(Some)
            .ok_or(Corrupt::KeyWidths(self.keys))
    }

    fn entry_point(&self, geometry: &Geometry) -> Result<Option<EntryPoint>, Corrupt> {
        if self.entry_level > MAX_LEVEL {
            return Err(Corrupt::Level(self.entry_level));
        }
        if self.entry_point == NO_ELEMENT {
            return if self.entry_level == 0 {
                Ok(None)
            } else {
                Err(Corrupt::EntryPoint(self.entry_point))
            };
        }
        let element = ElementId(self.entry_point);
        let (block, slot) = geometry.element.split(element);
        if block == 0 || slot >= geometry.element.per_page {
            return Err(Corrupt::EntryPoint(self.entry_point));
        }
        Ok(Some(EntryPoint {
            element,
            level: self.entry_level,
        }))
    }
}

/// The number of key columns and the widths of their images, as stored.
fn keys_of(geometry: &Geometry) -> [u8; 8] {
    let mut keys = [0; 8];
    if let Some(widths) = geometry.widths() {
        keys[0] = u8::try_from(widths.count()).expect("at most 7 columns");
        keys[1..=widths.count()].copy_from_slice(widths.as_slice());
    }
    keys
}

/// Numbers with which the first pages of pgvector's indexes begin and end: hnsw and ivfflat.
const PGVECTORS: [(u32, u16); 2] = [(0xA953_A953, 0xFF90), (0x014F_F1A7, 0xFF84)];

/// True for the first page of an index of pgvector.
fn is_pgvectors(page: &[u8]) -> bool {
    page.len() == PAGE_SIZE
        && PGVECTORS.iter().any(|(magic, page_id)| {
            page[PAGE_HEADER..].starts_with(&magic.to_ne_bytes())
                && page.ends_with(&page_id.to_ne_bytes())
        })
}

fn block(raw: u32) -> Option<u32> {
    (raw != NO_BLOCK).then_some(raw)
}
