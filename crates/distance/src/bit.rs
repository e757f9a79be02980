//! Bit strings: each distance once, over words of 64 bits. CPU levels differ only in their popcount instruction, and the
//! compiler selects it; no lanes are needed.

/// A distance function: its counts over a pair of words, and the distance from the counts.
pub(crate) trait Distance {
    /// Adds the counts of one pair of words.
    fn step(counts: &mut [u64; 2], a: u64, b: u64);
    /// The distance.
    fn finish(counts: [u64; 2]) -> f64;
}

/// The distance of two bit strings. Bits past the end of the shorter one are ignored.
#[inline(always)]
pub(crate) fn distance<D: Distance>(a: &[u8], b: &[u8]) -> f64 {
    let len = a.len().min(b.len());
    let (a, a_rest) = a[..len].as_chunks::<8>();
    let (b, b_rest) = b[..len].as_chunks::<8>();
    let mut counts = [0; 2];
    for (a, b) in a.iter().zip(b) {
        D::step(&mut counts, u64::from_ne_bytes(*a), u64::from_ne_bytes(*b));
    }
    D::step(&mut counts, last_word(a_rest), last_word(b_rest));
    D::finish(counts)
}

/// A partial word, padded with zeros.
#[inline(always)]
fn last_word(rest: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..rest.len()].copy_from_slice(rest);
    u64::from_ne_bytes(word)
}

/// The number of differing bits.
pub(crate) struct Hamming;

impl Distance for Hamming {
    #[inline(always)]
    fn step(counts: &mut [u64; 2], a: u64, b: u64) {
        counts[0] += u64::from((a ^ b).count_ones());
    }

    #[inline(always)]
    fn finish([different, _]: [u64; 2]) -> f64 {
        different as f64
    }
}

/// The fraction of the bits set in either string but not in both; 1 if no bit is set in both.
pub(crate) struct Jaccard;

impl Distance for Jaccard {
    #[inline(always)]
    fn step(counts: &mut [u64; 2], a: u64, b: u64) {
        counts[0] += u64::from((a & b).count_ones());
        counts[1] += u64::from((a | b).count_ones());
    }

    #[inline(always)]
    fn finish([both, either]: [u64; 2]) -> f64 {
        if both == 0 {
            1.0
        } else {
            1.0 - both as f64 / either as f64
        }
    }
}
