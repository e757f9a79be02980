//! Codes are permanent: the same vector has the same bytes in every release, on every machine.
#![cfg(target_endian = "little")]

use distance::BitDistance;
use quantize::{CodeBits, CodeMetric, Codec, Value};

/// Values that every machine computes alike.
fn vector(dimensions: usize) -> Vec<f32> {
    (0..dimensions)
        .map(|i| ((i * i * 7 + i * 3) % 23) as f32 - 9.5)
        .collect()
}

fn code(codec: &Codec) -> Vec<u8> {
    let mut code = vec![0; codec.code_len()];
    codec.encode(&vector(codec.dimensions()), &mut code);
    code
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fowler, Noll and Vo's hash, for codes too long to print.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

#[test]
fn codes_have_the_bytes_they_always_had() {
    let center = [1.5; 37];
    #[rustfmt::skip]
    let cases = [
        (CodeBits::B8, CodeMetric::L2, None, "92f5e83dfe27b8441a42c03b9f9d0d6600744daaa5406241644962be92aa467260957578e0380875d3527349a391ad3a52000000"),
        (CodeBits::B4, CodeMetric::L2, None, "2c21fd3ffe27b8441a42a93d69997176d037157aca547644a694a63b590a0407"),
        (CodeBits::B2, CodeMetric::L2, None, "563af040fe27b8441a42b13e7606041d3819151626282504"),
        (CodeBits::B1, CodeMetric::L2, None, "a3a07241fe27b8441a422b3f1f15100008040003"),
        (CodeBits::B4, CodeMetric::L2, Some(&center[..]), "c5020940fe3fbb441b42b03d599a7285c0462689ba546654a683863b59090406"),
        (CodeBits::B4, CodeMetric::InnerProduct, None, "2c21fd3f000000001a42a93d69997176d037157aca547644a694a63b590a0407"),
        (CodeBits::B4, CodeMetric::InnerProduct, Some(&center[..]), "c5020940fcff57421b42b03d599a7285c0462689ba546654a683863b59090406"),
        (CodeBits::B8, CodeMetric::L1, None, "b1b0b03d000018c1c0b7373f007480236846c5dc8bdcc54668238074002eff5d5dff2e007480236846c5dc8bdcc5466823000000"),
        (CodeBits::B2, CodeMetric::L1, None, "abaaea40000018c156559b4214210a1411253e27362f1611"),
    ];
    for (bits, metric, center, expected) in cases {
        let codec = Codec::new(37, bits, metric, 20_240_229, center);
        assert_eq!(
            hex(&code(&codec)),
            expected,
            "{bits:?} {metric:?} {}",
            center.is_some()
        );
    }
}

#[test]
fn long_codes_have_the_bytes_they_always_had() {
    let cases = [
        (128, CodeBits::B4, 0x60AC_B2A9_E71D_4247),
        (384, CodeBits::B8, 0x8189_7257_1E80_61EB),
        (384, CodeBits::B4, 0xEFFE_999E_7F88_19C3),
        (1536, CodeBits::B4, 0xBD1D_F505_EF06_8AC4),
        (1537, CodeBits::B2, 0x8897_DC03_5434_8E48),
        (16_000, CodeBits::B1, 0xD1FA_924D_DB3C_1008),
    ];
    for (dimensions, bits, expected) in cases {
        let codec = Codec::new(dimensions, bits, CodeMetric::L2, 1, None);
        assert_eq!(fnv(&code(&codec)), expected, "{dimensions} {bits:?}");
    }
}

#[test]
fn exact_codes_are_the_vector() {
    let codec = Codec::new(3, CodeBits::Exact, CodeMetric::L2, 1, None);
    let mut code = [0; 12];
    codec.encode(&[1.0, -2.5, 0.0], &mut code);
    assert_eq!(hex(&code), "0000803f000020c000000000");
}

fn code_of(codec: &Codec, value: &Value) -> String {
    let mut code = vec![0xAA; codec.code_len()];
    codec.encode_value(value, &mut code);
    hex(&code)
}

#[test]
fn codes_of_bits_are_the_string_or_its_beginning() {
    let string = Value::Bits(vec![0x01, 0x23, 0x45, 0x67, 0x89, 0xA0]);
    let whole = Codec::of_bits(44, BitDistance::Hamming, 100);
    assert_eq!(code_of(&whole, &string), "0123456789a00000");
    let beginning = Codec::of_bits(44, BitDistance::Jaccard, 7);
    assert_eq!(code_of(&beginning, &string), "01234567");
}

#[test]
fn codes_of_sparse_vectors_have_the_bytes_they_always_had() {
    let vector = Value::Sparse {
        indices: vec![2, 300, 301, 29_999],
        values: vec![1.0, -127.0, 0.25, 63.6],
    };
    let cases = [
        (
            30_000,
            CodeMetric::L2,
            28,
            "0000803f02cdcc3e0100803e0300000002002c012f75000001814000",
        ),
        (
            30_000,
            CodeMetric::L1,
            28,
            "0000803f02cdcc3e0100803e0300000002002c012f75000001814000",
        ),
        (
            1_000_000_000,
            CodeMetric::InnerProduct,
            28,
            "0000803f02cdcc3e7cf0833f020000002c0100002f75000081400000",
        ),
    ];
    for (dimensions, metric, len, expected) in cases {
        let codec = Codec::of_sparse(dimensions, metric, len);
        assert_eq!(
            code_of(&codec, &vector),
            expected,
            "{dimensions} {metric:?}"
        );
    }
}
