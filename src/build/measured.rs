//! Elements that are measured by the codes that pages hold: bits, sparse vectors, short ones, and those for L1.

use distance::{Cpu, Kernel, Kind, Metric, kernel};
use hnsw::build::Vectors;
use quantize::{CodeBits, Codec, Measure};

use super::feed::Codes;

/// Codes as a build by insertion sees them.
pub(super) struct Measured<'a> {
    codec: &'a Codec,
    /// Measures vectors whose codes are their floats.
    exact: Option<Kernel>,
    codes: &'a Codes,
    /// Only these, if not all.
    members: Option<&'a [u32]>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(codec: &'a Codec, codes: &'a Codes, members: Option<&'a [u32]>) -> Self {
        let exact = (codec.bits() == CodeBits::Exact)
            .then(|| kernel(Kind::F32, exact_metric(codec.measure()), Cpu::current()));
        Self {
            codec,
            exact,
            codes,
            members,
        }
    }

    fn code(&self, vector: u32) -> &[u8] {
        self.codes.get(
            self.members
                .map_or(vector, |members| members[vector as usize]),
        )
    }
}

/// The metric that orders like a measure, without its root.
fn exact_metric(measure: Measure) -> Metric {
    match measure {
        Measure::L2 => Metric::L2Squared,
        Measure::InnerProduct => Metric::InnerProduct,
        Measure::L1 => Metric::L1,
    }
}

impl Vectors for Measured<'_> {
    fn len(&self) -> usize {
        self.members.map_or(self.codes.count(), <[u32]>::len)
    }

    fn distance(&self, a: u32, b: u32) -> f32 {
        if let Some(kernel) = &self.exact {
            #[expect(clippy::cast_possible_truncation, reason = "kernels sum in f32")]
            return (kernel.one)(self.code(a), self.code(b)) as f32;
        }
        self.codec.between(self.code(a), self.code(b))
    }
}
