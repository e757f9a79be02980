//! The first twelve bytes of a code: the numbers of an estimate besides the levels.

/// Bytes of a head.
pub(crate) const HEAD: usize = 12;

/// The code format defines the fields; see `rotated.rs` and `scalar.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// The factor from levels to values.
    pub(crate) scale: f32,
    /// The code's own part of a distance, or of a value.
    pub(crate) base: f32,
    /// The error bound of an estimate.
    pub(crate) error_bound: u32,
}

impl Head {
    /// Splits a code into head and levels. In the machine's byte order, at any address.
    #[inline(always)]
    pub(crate) fn split(code: &[u8]) -> (Head, &[u8]) {
        let (head, levels) = code.split_at(HEAD);
        let field =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let scale = f32::from_bits(field(0));
        let base = f32::from_bits(field(4));
        let error_bound = field(8);
        (
            Head {
                scale,
                base,
                error_bound,
            },
            levels,
        )
    }

    pub(crate) fn write(self, code: &mut [u8]) {
        let fields = [self.scale.to_bits(), self.base.to_bits(), self.error_bound];
        for (bytes, field) in code.as_chunks_mut().0.iter_mut().zip(fields) {
            *bytes = field.to_ne_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = Head {
            scale: 0.5,
            base: f32::NEG_INFINITY,
            error_bound: 77,
        };
        let mut bytes = [9; 1 + HEAD + 3];
        head.write(&mut bytes[1..1 + HEAD]);
        assert_eq!(Head::split(&bytes[1..]), (head, &[9, 9, 9][..]));
    }
}
