use crate::Corrupt;
use crate::page::{
    CONTENTS, PAGE_HEADER, PageKind, init_page, lower, set_lower, set_next, special_of,
};

const VALUE: usize = size_of::<f32>();
/// Values in a center page.
pub const CENTER_VALUES: usize = CONTENTS / VALUE;

/// A page of the vector subtracted before encoding.
pub struct CenterPage<'a> {
    values: &'a [u8],
    next: Option<u32>,
}

impl<'a> CenterPage<'a> {
    /// Checks the page's header and special area.
    ///
    /// # Errors
    /// If the page is not a center page.
    pub fn view(page: &'a [u8]) -> Result<Self, Corrupt> {
        let special = special_of(page, PageKind::Center)?;
        let lower = lower(page);
        let values = &page[PAGE_HEADER..usize::from(lower)];
        // An empty page would make a circular chain endless.
        if values.is_empty() || !values.len().is_multiple_of(VALUE) {
            return Err(Corrupt::Used(lower));
        }
        Ok(Self {
            values,
            next: special.next(),
        })
    }

    /// This page's part of the vector.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f32> + use<'a> {
        self.values
            .as_chunks::<VALUE>()
            .0
            .iter()
            .map(|value| f32::from_ne_bytes(*value))
    }

    /// The block with the next part.
    #[must_use]
    pub fn next(&self) -> Option<u32> {
        self.next
    }
}

/// Makes `page` a center page with a part of the vector, followed by the part in block `next`.
///
/// # Panics
/// If there are no values or more than [`CENTER_VALUES`].
pub fn init_center_page(page: &mut [u8], values: &[f32], next: Option<u32>) {
    assert!(
        (1..=CENTER_VALUES).contains(&values.len()),
        "a part of the center fills its page or less"
    );
    init_page(page, PageKind::Center, 0);
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let end = PAGE_HEADER + bytes.len();
    page[PAGE_HEADER..end].copy_from_slice(bytes);
    set_lower(page, end);
    set_next(page, next);
}
