//! Elements compared by their page codes: bits, sparse vectors, short vectors, and vectors under L1.

use hnsw::build::Vectors;
use quantize::{Codec, Query};

use super::feed::Codes;

/// Page codes as the vectors of a build by insertion.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a> {
    codec: &'a Codec,
    codes: &'a Codes,
    /// The elements to include; `None` for all.
    members: Option<&'a [u32]>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(codec: &'a Codec, codes: &'a Codes, members: Option<&'a [u32]>) -> Self {
        Self {
            codec,
            codes,
            members,
        }
    }

    pub(super) fn code(&self, vector: u32) -> &[u8] {
        self.codes.get(
            self.members
                .map_or(vector, |members| members[vector as usize]),
        )
    }
}

impl Vectors for Measured<'_> {
    type Base<'v>
        = Query
    where
        Self: 'v;

    fn len(&self) -> usize {
        self.members.map_or(self.codes.count(), <[u32]>::len)
    }

    fn base(&self, vector: u32) -> Query {
        self.codec.query_from_code(self.code(vector))
    }

    fn distance(&self, base: &Query, vector: u32) -> f32 {
        base.distance(self.code(vector))
    }

    fn half_square(&self, vector: u32) -> f32 {
        hnsw::half_square(self.codec.metric(), || {
            self.base(vector).distance(self.code(vector))
        })
    }
}
