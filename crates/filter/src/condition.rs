//! The condition on the image of one column: all tests of it together.

/// Up to this many images are compared one by one.
pub(crate) const FEW: usize = 8;

/// An image passes if it lies in the range, in each set and has the bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) set: Option<Set>,
    /// Bits that must all be there.
    pub(crate) all: u64,
    /// Masks; all bits of one of each list must be there.
    pub(crate) any: Vec<Box<[u64]>>,
}

/// Images in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) images: Box<[u64]>,
    /// A bit for the hash of each image, so that most searches end here. Empty for few images.
    bits: Box<[u64]>,
}

impl Condition {
    /// Passes every image up to `max`.
    pub(crate) fn all_up_to(max: u64) -> Condition {
        Condition {
            lo: 0,
            hi: max,
            set: None,
            all: 0,
            any: Vec::new(),
        }
    }

    pub(crate) fn restrict(&mut self, lo: u64, hi: u64) {
        self.lo = self.lo.max(lo);
        self.hi = self.hi.min(hi);
        self.normalize();
    }

    pub(crate) fn restrict_to(&mut self, mut images: Vec<u64>) {
        images.sort_unstable();
        images.dedup();
        if let Some(set) = &self.set {
            images.retain(|&image| set.contains(image));
        }
        self.set = Some(Set::new(images));
        self.normalize();
    }

    /// Narrows range and set to each other, and drops a set that is a whole range.
    fn normalize(&mut self) {
        let Some(set) = self.set.take() else { return };
        let mut images = set.images.into_vec();
        images.retain(|image| (self.lo..=self.hi).contains(image));
        (self.lo, self.hi) = match (images.first(), images.last()) {
            (Some(&first), Some(&last)) => (first, last),
            _ => (1, 0),
        };
        let values = self.hi.wrapping_sub(self.lo).wrapping_add(1);
        if self.lo <= self.hi && values != images.len() as u64 {
            self.set = Some(Set::new(images));
        }
    }

    pub(crate) fn is_impossible(&self) -> bool {
        self.lo > self.hi || self.any.iter().any(|masks| masks.is_empty())
    }

    #[inline]
    pub(crate) fn passes(&self, image: u64) -> bool {
        self.lo <= image
            && image <= self.hi
            && image & self.all == self.all
            && self.set.as_ref().is_none_or(|set| set.contains(image))
            && self
                .any
                .iter()
                .all(|masks| masks.iter().any(|mask| image & mask == *mask))
    }

    /// True if an image from `min` to `max` can pass.
    pub(crate) fn may_pass(&self, min: u64, max: u64) -> bool {
        let (lo, hi) = (self.lo.max(min), self.hi.min(max));
        lo <= hi
            // A number that has the bits of another is not smaller.
            && self.all <= hi
            && self.set.as_ref().is_none_or(|set| set.meets(lo, hi))
            && self.any.iter().all(|masks| masks.iter().any(|&mask| mask <= hi))
    }
}

impl Set {
    fn new(images: Vec<u64>) -> Set {
        let mut bits = Vec::new();
        if images.len() > FEW {
            bits.resize(BITS / 64, 0);
            for &image in &images {
                let bit = bit_of(image);
                bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        Set {
            images: images.into(),
            bits: bits.into(),
        }
    }

    #[inline]
    pub(crate) fn contains(&self, image: u64) -> bool {
        let bit = bit_of(image);
        match self.bits.get(bit / 64) {
            Some(bits) if bits >> (bit % 64) & 1 == 0 => false,
            Some(_) => self.images.binary_search(&image).is_ok(),
            None => self.images.contains(&image),
        }
    }

    fn meets(&self, lo: u64, hi: u64) -> bool {
        let at = self.images.partition_point(|&image| image < lo);
        self.images.get(at).is_some_and(|&image| image <= hi)
    }
}

const BITS: usize = 4096;

/// The upper bits of a product: near numbers and numbers of few bits spread alike.
#[inline]
fn bit_of(image: u64) -> usize {
    (image.wrapping_mul(0x9E6C_63D0_876A_46AD) >> 52) as usize
}
