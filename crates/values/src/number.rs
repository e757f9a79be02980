//! Numbers as text.

/// Appends the shortest text that reads back as the same number, if `real` would write it without an exponent: from 0.0001
/// up to a million, as nearly all elements are. Says whether it did.
///
/// Of the shortest texts it is the one nearest to the number, the even one of two, as Postgres has it.
pub fn write_plain(value: f32, into: &mut Vec<u8>) -> bool {
    let is_plain = (1e-4..1e6).contains(&value.abs());
    if is_plain {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        into.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    }
    is_plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f32) -> Option<String> {
        let mut text = Vec::new();
        write_plain(value, &mut text).then(|| String::from_utf8(text).unwrap())
    }

    #[test]
    fn plain_numbers_have_no_exponent_and_no_fraction_of_zero() {
        let table = [
            (1e-4, "0.0001"),
            (0.000_123_456_79, "0.00012345679"),
            (-0.1, "-0.1"),
            (1.0, "1"),
            (-250.5, "-250.5"),
            (100_000.0, "100000"),
            (999_999.94, "999999.94"),
        ];
        for (value, text) in table {
            assert_eq!(written(value).as_deref(), Some(text));
        }
    }

    #[test]
    fn numbers_that_are_written_otherwise_are_left_alone() {
        for value in [
            0.0,
            -0.0,
            9.999e-5,
            1e6,
            1e38,
            1e-45,
            f32::NAN,
            f32::INFINITY,
        ] {
            assert_eq!(written(value), None);
        }
    }

    /// As short as Rust's own, which rounds halves up where `real` rounds them to even.
    #[test]
    fn plain_numbers_are_short_and_read_back_the_same() {
        let from = 1e-4_f32.to_bits();
        for bits in (from..1e6_f32.to_bits()).step_by(997) {
            for value in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let text = written(value).expect("a plain number");
                assert_eq!(text.parse(), Ok(value));
                assert_eq!(text.len(), value.to_string().len(), "{text}");
            }
        }
    }
}
