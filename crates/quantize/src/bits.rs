//! Bit strings: the code is the string, or its longest prefix that fits.
//!
//! Distances of whole strings are exact. Distances of prefixes are estimates with guaranteed bounds: the missing bits can
//! only add to the differing ones, and share at most the query's own bits beyond the prefix.

use distance::{BitDistance, Cpu, Kernel, bit_kernel};

/// Longer strings are folded to this length for choosing cells.
const FOLDED: usize = 1024;

/// Encodes bit strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bits {
    function: BitDistance,
    kernel: Kernel,
    differing: Kernel,
    count: usize,
    code_len: usize,
}

/// A query against codes of bit strings.
#[derive(Clone, Debug)]
pub(crate) struct BitsQuery {
    bits: Bits,
    code: Vec<u8>,
    zeros: Vec<u8>,
    /// The query's set bits beyond the code's prefix.
    beyond: f64,
}

impl Bits {
    /// Codes of `code_len` bytes for strings of `count` bits.
    pub(crate) fn new(function: BitDistance, count: usize, code_len: usize) -> Bits {
        Bits {
            function,
            kernel: bit_kernel(function, Cpu::current()),
            differing: bit_kernel(BitDistance::Hamming, Cpu::current()),
            count,
            code_len,
        }
    }

    /// Bytes of a code: the string's length, or less if the room is smaller; a multiple of 4, at least 4.
    pub(crate) fn code_len(count: usize, room: usize) -> usize {
        count.div_ceil(32).min(room / 4).max(1) * 4
    }

    pub(crate) fn encode(&self, string: &[u8], code: &mut [u8]) {
        let len = string.len().min(code.len());
        code[..len].copy_from_slice(&string[..len]);
        code[len..].fill(0);
    }

    pub(crate) fn query(&self, string: &[u8]) -> BitsQuery {
        let mut code = vec![0; self.code_len];
        self.encode(string, &mut code);
        let left_out = &string[string.len().min(self.code_len)..];
        let beyond = left_out.iter().map(|byte| byte.count_ones()).sum::<u32>();
        BitsQuery {
            bits: *self,
            beyond: beyond.into(),
            ..self.query_from_code(&code)
        }
    }

    pub(crate) fn query_from_code(&self, code: &[u8]) -> BitsQuery {
        BitsQuery {
            bits: *self,
            code: code.to_vec(),
            zeros: vec![0; code.len()],
            beyond: 0.0,
        }
    }

    /// The number of values for choosing cells.
    pub(crate) fn routing_dimensions(&self) -> usize {
        self.count.min(8 * self.code_len).min(FOLDED)
    }

    /// Bits as numbers; long strings are folded: every `FOLDED`th bit adds to the same sum.
    pub(crate) fn routing_values(&self, code: &[u8], into: &mut [f32]) {
        into.fill(0.0);
        let dimensions = into.len();
        let bits = self.count.min(8 * code.len());
        for bit in (0..bits).filter(|bit| code[bit / 8] & (0x80 >> (bit % 8)) != 0) {
            into[bit % dimensions] += 1.0;
        }
    }

    /// Extrapolates the distance of two prefixes to whole strings.
    fn scaled(&self, distance: f64) -> f32 {
        let held = 8 * self.code_len;
        if self.function == BitDistance::Hamming && held < self.count {
            return (distance * self.count as f64 / held as f64) as f32;
        }
        distance as f32
    }
}

impl BitsQuery {
    pub(crate) fn distance(&self, code: &[u8]) -> f32 {
        self.bits.scaled((self.bits.kernel.one)(&self.code, code))
    }

    pub(crate) fn estimate(&self, code: &[u8]) -> (f32, f32) {
        let distance = self.distance(code);
        if self.bits.count <= 8 * self.bits.code_len {
            return (distance, 0.0);
        }
        let nearest = match self.bits.function {
            BitDistance::Hamming => (self.bits.kernel.one)(&self.code, code),
            BitDistance::Jaccard => self.nearest_jaccard(code),
        };
        // Half a unit more than the rounding error.
        let error = f64::from(distance) * (1.0 + f64::from(f32::EPSILON)) - nearest;
        (distance, error.max(0.0) as f32)
    }

    /// As if the missing bits equalled the query's.
    fn nearest_jaccard(&self, code: &[u8]) -> f64 {
        let count = |string: &[u8]| (self.bits.differing.one)(string, &self.zeros);
        let differing = (self.bits.differing.one)(&self.code, code);
        let both = (count(&self.code) + count(code) - differing) / 2.0;
        let either = both + differing;
        if both + self.beyond == 0.0 {
            return 1.0;
        }
        1.0 - (both + self.beyond) / (either + self.beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn strings(bytes: usize, shares: [u8; 2]) -> impl Strategy<Value = [Vec<u8>; 2]> {
        let string = move |share: u8| {
            prop::collection::vec(
                prop::collection::vec(any::<u8>(), 8).prop_map(move |drawn| {
                    (0..8).fold(0, |byte, bit| {
                        byte | u8::from(drawn[bit] < share) << (7 - bit)
                    })
                }),
                bytes,
            )
        };
        (string(shares[0]), string(shares[1])).prop_map(<[_; 2]>::from)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn bounds_hold_whatever_part_of_a_string_a_code_has(
            ([a, b], held) in (1..40_usize, any::<[u8; 2]>())
                .prop_flat_map(|(bytes, shares)| (strings(bytes, shares), 1..=bytes.div_ceil(4)))
        ) {
            for function in BitDistance::ALL {
                let bits = Bits::new(function, 8 * a.len(), 4 * held);
                let mut code = vec![0xAA; 4 * held];
                bits.encode(&b, &mut code);
                let (distance, error) = bits.query(&a).estimate(&code);
                let exact = (bits.kernel.one)(&a, &b);
                let bound = f64::from(distance) - f64::from(error);
                prop_assert!(bound <= exact + 1e-6 * exact, "{function:?} {bound} {exact}");
                prop_assert!(error >= 0.0);
                if 4 * held >= a.len() {
                    prop_assert_eq!((f64::from(distance), error), (f64::from(exact as f32), 0.0));
                }
            }
        }
    }

    #[test]
    fn a_beginning_stands_for_the_whole() {
        let bits = Bits::new(BitDistance::Hamming, 64, 4);
        let mut code = [0; 4];
        bits.encode(&[0xFF, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], &mut code);
        assert_eq!(code, [0xFF, 0, 0, 0]);
        assert_eq!(bits.query(&[0; 8]).distance(&code), 16.0);
        let (distance, error) = bits.query(&[0; 8]).estimate(&code);
        assert!((distance - error - 8.0).abs() < 1e-4);
    }

    #[test]
    fn codes_have_as_many_bits_as_there_is_room_for() {
        assert_eq!(Bits::code_len(1, 8000), 4);
        assert_eq!(Bits::code_len(33, 8000), 8);
        assert_eq!(Bits::code_len(64_000, 8001), 8000);
        assert_eq!(Bits::code_len(64_000, 7999), 7996);
        assert_eq!(Bits::code_len(64_000, 0), 4);
    }

    #[test]
    fn strings_that_differ_in_few_bits_have_routing_values_that_differ_little() {
        let bits = Bits::new(BitDistance::Hamming, 3000, 376);
        assert_eq!(bits.routing_dimensions(), FOLDED);
        let (mut a, mut b) = (vec![0.0; FOLDED], vec![0.0; FOLDED]);
        let mut code = vec![0xF0; 376];
        bits.routing_values(&code, &mut a);
        assert_eq!(a.iter().sum::<f32>(), 1500.0, "no bit behind the last");
        code[200] ^= 0x11;
        bits.routing_values(&code, &mut b);
        let squares = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b));
        assert_eq!(squares.sum::<f32>(), 2.0);
    }
}
