//! The shape of a row key.

/// The most key columns of an index; their null bits fit one byte.
pub const MAX_COLUMNS: usize = 7;

/// The widths in bytes of the images of up to [`MAX_COLUMNS`] key columns.
///
/// A *row key* is one byte of null bits (bit `c` for column `c`) and the images in column order, little-endian and without
/// padding. The image of a NULL is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    count: u8,
    widths: [u8; MAX_COLUMNS],
}

impl Widths {
    /// Returns `None` unless there are 1 to [`MAX_COLUMNS`] widths, each 1, 2, 4 or 8.
    pub fn new(widths: &[u8]) -> Option<Widths> {
        let valid = !widths.is_empty()
            && widths.len() <= MAX_COLUMNS
            && widths.iter().all(|width| matches!(width, 1 | 2 | 4 | 8));
        valid.then(|| {
            let mut all = [0; MAX_COLUMNS];
            all[..widths.len()].copy_from_slice(widths);
            Widths {
                count: widths.len() as u8,
                widths: all,
            }
        })
    }

    /// The number of key columns.
    pub fn count(&self) -> usize {
        usize::from(self.count)
    }

    /// The width in bytes of a column's image.
    ///
    /// # Panics
    /// If the column does not exist.
    pub fn get(&self, column: usize) -> usize {
        usize::from(self.as_slice()[column])
    }

    /// The widths in column order.
    pub fn as_slice(&self) -> &[u8] {
        &self.widths[..self.count()]
    }

    /// The length in bytes of a row key.
    pub fn key_len(&self) -> usize {
        self.offset(self.count())
    }

    /// The place in a row key where a column's image begins.
    pub fn offset(&self, column: usize) -> usize {
        1 + self.widths[..column]
            .iter()
            .map(|&width| usize::from(width))
            .sum::<usize>()
    }

    /// The largest image of a column.
    pub fn max_image(&self, column: usize) -> u64 {
        u64::MAX >> (64 - 8 * self.get(column))
    }

    /// Appends the row key of these images, a `None` for each NULL.
    ///
    /// # Panics
    /// If there is not one image for each column, or one exceeds its width.
    pub fn write_key(&self, images: &[Option<u64>], into: &mut Vec<u8>) {
        assert_eq!(images.len(), self.count(), "one image for each column");
        let nulls = (0..).zip(images).fold(0, |nulls, (column, image)| {
            nulls | u8::from(image.is_none()) << column
        });
        into.push(nulls);
        for (column, image) in images.iter().enumerate() {
            let image = image.unwrap_or(0);
            assert!(
                image <= self.max_image(column),
                "image {image} exceeds its width"
            );
            into.extend_from_slice(&image.to_le_bytes()[..self.get(column)]);
        }
    }

    /// A column's image in a row key, or `None` for NULL.
    ///
    /// # Panics
    /// If the key is shorter than [`Widths::key_len`].
    #[inline]
    pub fn image(&self, row_key: &[u8], column: usize) -> Option<u64> {
        (row_key[0] >> column & 1 == 0)
            .then(|| read_image(&row_key[self.offset(column)..], self.get(column)))
    }
}

/// Reads an image of 1, 2, 4 or 8 bytes.
#[inline]
pub(crate) fn read_image(bytes: &[u8], width: usize) -> u64 {
    fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
        *bytes.first_chunk().expect("an image of its whole width")
    }
    match width {
        1 => bytes[0].into(),
        2 => u16::from_le_bytes(first(bytes)).into(),
        4 => u32::from_le_bytes(first(bytes)).into(),
        _ => u64::from_le_bytes(first(bytes)),
    }
}
