use hnsw::ElementId;

const ID_LEN: usize = size_of::<u32>();

/// The ids of a list; `bytes` holds exactly the valid ones and needs no alignment.
#[inline]
pub(crate) fn ids(bytes: &[u8]) -> impl ExactSizeIterator<Item = ElementId> + '_ {
    bytes
        .as_chunks::<ID_LEN>()
        .0
        .iter()
        .map(|id| ElementId(u32::from_ne_bytes(*id)))
}

/// The bytes of the first `count` ids.
#[inline]
pub(crate) fn first(bytes: &[u8], count: u16) -> &[u8] {
    &bytes[..usize::from(count) * ID_LEN]
}

/// Overwrites a list and zeroes the remaining bytes; returns the count.
///
/// # Panics
/// If there are more ids than the capacity.
pub(crate) fn write(place: &mut [u8], neighbors: &[ElementId]) -> u16 {
    let places = place.as_chunks_mut::<ID_LEN>().0;
    assert!(
        neighbors.len() <= places.len(),
        "a list keeps to its capacity"
    );
    let (used, rest) = places.split_at_mut(neighbors.len());
    for (place, id) in used.iter_mut().zip(neighbors) {
        *place = id.0.to_ne_bytes();
    }
    rest.fill([0; ID_LEN]);
    u16::try_from(neighbors.len()).expect("a page holds fewer ids than 16 bits count")
}
