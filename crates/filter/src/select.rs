//! The entries of a page that pass a filter, found column by column.

use crate::condition::{Condition, FEW, Set};
use crate::filter::Filter;
use crate::widths::{MAX_COLUMNS, read_image};

/// The row keys of a page, column by column.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// 1 for each entry in use, otherwise 0. Its length is the number of entries.
    pub used: &'a [u8],
    /// The null bits of each entry.
    pub nulls: &'a [u8],
    /// The images of each column, little-endian, without padding; at least an image for each entry.
    pub images: [&'a [u8]; MAX_COLUMNS],
}

/// Entries per step: their marks stay in the first-level cache.
const BLOCK: usize = 256;
/// Marks gathered in one word of bits.
const WORD: usize = 64;

impl Filter {
    /// Appends the numbers of the entries that pass, in ascending order.
    ///
    /// # Panics
    /// If an array is shorter than its entries, or there are more than 65,536.
    pub fn select(&self, entries: &Entries<'_>, into: &mut Vec<u16>) {
        if self.is_impossible() {
            return;
        }
        let count = entries.used.len();
        assert!(count <= 1 << 16, "{count} entries of a page");
        for start in (0..count).step_by(BLOCK) {
            let mut marks = [0; BLOCK];
            let len = BLOCK.min(count - start);
            self.mark(entries, start, &mut marks[..len]);
            collect(&marks, start, into);
        }
    }

    /// Sets the mark of each entry from `start` that passes to 1, all others to 0.
    fn mark(&self, entries: &Entries<'_>, start: usize, marks: &mut [u8]) {
        let used = &entries.used[start..][..marks.len()];
        let nulls = &entries.nulls[start..][..marks.len()];
        for ((mark, used), nulls) in marks.iter_mut().zip(used).zip(nulls) {
            *mark = used & u8::from(nulls & self.tested == self.null);
        }
        for (column, condition) in self.conditions() {
            let width = self.widths().get(column);
            let images = &entries.images[column][start * width..][..marks.len() * width];
            match width {
                1 => apply::<u8, 1>(condition, images, marks),
                2 => apply::<u16, 2>(condition, images, marks),
                4 => apply::<u32, 4>(condition, images, marks),
                _ => apply::<u64, 8>(condition, images, marks),
            }
        }
    }
}

/// An image at its own width: the fewer bytes, the more fit an instruction.
trait Image<const WIDTH: usize>: Copy + PartialOrd {
    fn read(bytes: [u8; WIDTH]) -> Self;
    /// The image of an in-range number; its low bits otherwise.
    fn of(image: u64) -> Self;
    fn minus(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
}

macro_rules! image {
    ($type:ty, $width:literal) => {
        impl Image<$width> for $type {
            #[inline(always)]
            fn read(bytes: [u8; $width]) -> $type {
                <$type>::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn of(image: u64) -> $type {
                image as $type
            }
            #[inline(always)]
            fn minus(self, other: $type) -> $type {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn and(self, other: $type) -> $type {
                self & other
            }
        }
    };
}

image!(u8, 1);
image!(u16, 2);
image!(u32, 4);
image!(u64, 8);

/// Clears the marks of the images that the condition rejects.
fn apply<I: Image<WIDTH>, const WIDTH: usize>(
    condition: &Condition,
    images: &[u8],
    marks: &mut [u8],
) {
    let (images, _) = images.as_chunks::<WIDTH>();
    let all = condition.all;
    if condition.lo == condition.hi {
        let only = I::of(condition.lo);
        keep(images, marks, |image: I| image == only);
    } else {
        let (lo, width) = (
            I::of(condition.lo),
            I::of(condition.hi).minus(I::of(condition.lo)),
        );
        keep(images, marks, |image: I| image.minus(lo) <= width);
    }
    match &condition.set {
        Some(set) if set.images.len() <= FEW => {
            keep_few(images, marks, &set.images, |image: I, one| image == one);
        }
        Some(set) => keep_many(images, marks, set),
        None => {}
    }
    if all != 0 {
        let all = I::of(all);
        keep(images, marks, |image: I| image.and(all) == all);
    }
    for masks in &condition.any {
        keep_few(images, marks, masks, |image: I, mask| {
            image.and(mask) == mask
        });
    }
}

#[inline(always)]
fn keep<I: Image<WIDTH>, const WIDTH: usize>(
    images: &[[u8; WIDTH]],
    marks: &mut [u8],
    passes: impl Fn(I) -> bool,
) {
    for (mark, &image) in marks.iter_mut().zip(images) {
        *mark &= u8::from(passes(I::read(image)));
    }
}

/// Keeps the marks of images that pass with one of the operands.
#[inline(always)]
fn keep_few<I: Image<WIDTH>, const WIDTH: usize>(
    images: &[[u8; WIDTH]],
    marks: &mut [u8],
    operands: &[u64],
    passes: impl Fn(I, I) -> bool,
) {
    let mut any = [0; BLOCK];
    for &operand in operands {
        let operand = I::of(operand);
        for (any, &image) in any.iter_mut().zip(images) {
            *any |= u8::from(passes(I::read(image), operand));
        }
    }
    for (mark, any) in marks.iter_mut().zip(any) {
        *mark &= any;
    }
}

/// Looks each image up that still has its mark.
fn keep_many<const WIDTH: usize>(images: &[[u8; WIDTH]], marks: &mut [u8], set: &Set) {
    for (mark, image) in marks.iter_mut().zip(images) {
        *mark = u8::from(*mark != 0 && set.contains(read_image(image, WIDTH)));
    }
}

/// Appends the places of the marks, counted from `start`. Marks become bits first: where one in ten is set, the end of each word
/// of eight marks would be a branch that no processor predicts.
fn collect(marks: &[u8; BLOCK], start: usize, into: &mut Vec<u16>) {
    let (words, _) = marks.as_chunks::<WORD>();
    for (number, word) in words.iter().enumerate() {
        let mut bits = bits_of(word);
        while bits != 0 {
            into.push((start + WORD * number + bits.trailing_zeros() as usize) as u16);
            bits &= bits - 1;
        }
    }
}

/// A bit for each mark.
fn bits_of(marks: &[u8; WORD]) -> u64 {
    /// Each byte's lowest bit moves to the highest byte, to the place of the byte's number.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = marks.as_chunks::<8>();
    let bits = |eight: &[u8; 8]| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56;
    eights
        .iter()
        .rev()
        .fold(0, |before, eight| before << 8 | bits(eight))
}
