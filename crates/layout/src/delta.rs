//! Changed bytes of a page in the format of generic WAL (Postgres' access/transam/generic_xlog.c): fragments, each a u16 offset
//! in the page, a u16 length, and the new bytes.

/// The bytes of a fragment before its data.
const FRAGMENT_HEAD: usize = 4;
/// Bytes are compared by words of this length.
const WORD: usize = 4;

/// Appends the fragments that turn `old`, the bytes of a page from `at` on, into `new`.
///
/// # Panics
/// If they differ in length, or do not fit in a page.
pub fn write_delta(at: usize, old: &[u8], new: &[u8], into: &mut Vec<u8>) {
    assert_eq!(old.len(), new.len(), "bytes are replaced by as many");
    let words = old.chunks(WORD).zip(new.chunks(WORD)).enumerate();
    let mut changed = words
        .filter(|(_, (old, new))| differ(old, new))
        .map(|(i, (_, new))| i * WORD..i * WORD + new.len());
    let Some(mut fragment) = changed.next() else {
        return;
    };
    for word in changed {
        // Fewer equal bytes than the head of another fragment has are cheaper written anew.
        if word.start <= fragment.end + FRAGMENT_HEAD {
            fragment.end = word.end;
        } else {
            write_fragment(at + fragment.start, &new[fragment], into);
            fragment = word;
        }
    }
    write_fragment(at + fragment.start, &new[fragment], into);
}

/// A whole word is compared at once: a comparison of slices is a call of `memcmp`.
fn differ(old: &[u8], new: &[u8]) -> bool {
    match (<[u8; WORD]>::try_from(old), <[u8; WORD]>::try_from(new)) {
        (Ok(old), Ok(new)) => old != new,
        _ => old != new,
    }
}

fn write_fragment(at: usize, bytes: &[u8], into: &mut Vec<u8>) {
    for number in [at, bytes.len()] {
        let number = u16::try_from(number).expect("places in a page fit in two bytes");
        into.extend(number.to_ne_bytes());
    }
    into.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Postgres replays it (`applyPageRedo`).
    fn apply(mut delta: &[u8], page: &mut [u8]) {
        let number = |bytes: &[u8]| usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        while !delta.is_empty() {
            let (at, len) = (number(delta), number(&delta[2..]));
            page[at..at + len].copy_from_slice(&delta[4..4 + len]);
            delta = &delta[4 + len..];
        }
    }

    fn delta(at: usize, old: &[u8], new: &[u8]) -> Vec<u8> {
        let mut delta = Vec::new();
        write_delta(at, old, new, &mut delta);
        delta
    }

    #[test]
    fn equal_bytes_have_no_fragments() {
        assert!(delta(24, &[7; 61], &[7; 61]).is_empty());
        assert!(delta(24, &[], &[]).is_empty());
    }

    #[test]
    fn near_changes_share_a_fragment() {
        let old = [0; 64];
        let mut new = old;
        new[2] = 1;
        new[9] = 1;
        assert_eq!(delta(100, &old, &new).len(), FRAGMENT_HEAD + 12);
        new[40] = 1;
        assert_eq!(delta(100, &old, &new).len(), 2 * FRAGMENT_HEAD + 16);
    }

    #[test]
    fn a_replayed_delta_gives_the_new_bytes_and_no_others() {
        let mut random = 1_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        for _ in 0..500 {
            let page: Vec<u8> = (0..8192).map(|_| next(256).to_le_bytes()[0]).collect();
            let len = next(600);
            let at = next(8192 - len);
            let mut changed = page.clone();
            for _ in 0..next(9) {
                if len > 0 {
                    changed[at + next(len)] = next(256).to_le_bytes()[0];
                }
            }
            let delta = delta(at, &page[at..at + len], &changed[at..at + len]);
            let mut replayed = page;
            apply(&delta, &mut replayed);
            assert!(replayed == changed);
        }
    }
}
