//! Images of values. Released: an index on disk holds them, so none may change.

/// Order-preserving, 2 bytes.
pub fn of_i16(value: i16) -> u64 {
    (value as u16 ^ 1 << 15).into()
}

/// Order-preserving, 4 bytes.
pub fn of_i32(value: i32) -> u64 {
    (value as u32 ^ 1 << 31).into()
}

/// Order-preserving, 8 bytes.
pub fn of_i64(value: i64) -> u64 {
    value as u64 ^ 1 << 63
}

/// Order-preserving, 4 bytes.
pub fn of_u32(value: u32) -> u64 {
    value.into()
}

/// Order-preserving, 4 bytes. Negative zero equals zero; all NaNs are equal and the largest.
pub fn of_f32(value: f32) -> u64 {
    let bits = (value + 0.0).to_bits();
    let image = if value.is_nan() {
        u32::MAX
    } else if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    image.into()
}

/// Order-preserving, 8 bytes. Negative zero equals zero; all NaNs are equal and the largest.
pub fn of_f64(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if value.is_nan() {
        u64::MAX
    } else if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The first 8 bytes, the order that of the bytes; missing ones count as 0.
pub fn prefix(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(padded(&bytes[..bytes.len().min(8)]))
}

/// A hash of 8 bytes, made for this format: each word of 8 bytes is mixed in by a multiplication of 128 bits whose halves are
/// then joined, the length last.
pub fn hash(bytes: &[u8]) -> u64 {
    const WORD: u64 = 0xB5C1_88D6_D2F5_4E3B;
    const END: u64 = 0x9E6C_63D0_876A_46AD;
    let mix = |state: u64, word: u64, factor: u64| {
        let product = u128::from(state ^ word) * u128::from(factor);
        (product as u64 ^ (product >> 64) as u64).rotate_left(23) ^ factor
    };
    let state = bytes.chunks(8).fold(0, |state, word| {
        mix(state, u64::from_le_bytes(padded(word)), WORD)
    });
    mix(mix(state, bytes.len() as u64, END), 0, WORD)
}

/// Two bits of 64 for an element of an array, from the hash of the element.
pub fn element_bits(hash: u64) -> u64 {
    let first = hash & 63;
    let distance = 1 + (hash >> 6) % 63;
    1 << first | 1 << ((first + distance) & 63)
}

/// The signature of an array: the bits of all its elements; 0 if it has none.
pub fn signature(hashes: impl IntoIterator<Item = u64>) -> u64 {
    hashes
        .into_iter()
        .fold(0, |bits, hash| bits | element_bits(hash))
}

/// The signature of an array of elements that cannot be hashed so that equal ones agree.
pub const ANY_ELEMENTS: u64 = u64::MAX;

fn padded(bytes: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        let bytes: Vec<u8> = (0..=255).collect();
        let hashes = [0, 1, 3, 7, 8, 9, 16, 255].map(|len| hash(&bytes[..len]));
        assert_eq!(hashes.map(|hash| format!("{hash:016x}")), GOLDEN);
    }

    const GOLDEN: [&str; 8] = [
        "0648d2bc92fd1eae",
        "a656b459bcb5d82f",
        "1580fdc39d11858e",
        "c06bc6e6d2cae168",
        "3d0a29bf6eedbcaa",
        "221320f12c0bc5d9",
        "f81ae00a1f4db488",
        "956537e58822aa62",
    ];

    #[test]
    fn hash_sees_every_byte_and_the_length() {
        let zeros = [0_u8; 40];
        let mut seen: Vec<u64> = (0..=40).map(|len| hash(&zeros[..len])).collect();
        for at in 0..40 {
            let mut bytes = zeros;
            bytes[at] = 1;
            seen.push(hash(&bytes));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn hashes_of_numbers_spread_over_all_bits() {
        let mut ones = [0_u32; 64];
        for number in 0..4096_u64 {
            let hash = hash(&number.to_le_bytes());
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (hash >> bit & 1) as u32;
            }
        }
        // Six standard deviations of a fair coin.
        assert!(
            ones.iter().all(|ones| ones.abs_diff(2048) < 192),
            "{ones:?}"
        );
    }

    #[test]
    fn floats_are_ordered_with_one_zero_and_nan_last() {
        assert_eq!(of_f32(-0.0), of_f32(0.0));
        assert_eq!(of_f64(-0.0), of_f64(0.0));
        assert_eq!(of_f32(f32::NAN), of_f32(-f32::NAN));
        assert_eq!(of_f64(f64::NAN), of_f64(-f64::NAN));
        assert!(of_f32(f32::NAN) > of_f32(f32::INFINITY));
        assert!(of_f64(f64::NAN) > of_f64(f64::INFINITY));
    }

    #[test]
    fn each_element_sets_two_bits() {
        assert!((0..10_000_u64).all(|hash| element_bits(hash).count_ones() == 2));
        assert_eq!(signature([]), 0);
    }
}
