use bytemuck::{Pod, Zeroable};

/// Bytes of a group.
pub const GROUP_BYTES: usize = 12;
/// Bytes before the neighbors of the same group: the group, with the count in its padding.
pub(crate) const GROUP_HEAD: usize = size_of::<RawGroup>();

const _: () = assert!(GROUP_HEAD == GROUP_BYTES);

/// A group: the value that all rows of an element have in the column whose values have graphs of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The image of the value; `None` for NULL.
    pub image: Option<u64>,
}

/// A group in a slot.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(crate) struct RawGroup {
    image: [u8; 8],
    pub(crate) count: u16,
    /// 0 or 1.
    pub(crate) is_null: u8,
    pub(crate) reserved: u8,
}

impl Group {
    /// The bytes of a group.
    #[must_use]
    pub fn to_bytes(self) -> [u8; GROUP_BYTES] {
        bytemuck::cast(self.raw(0))
    }

    /// A group from its bytes.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        bytemuck::pod_read_unaligned::<RawGroup>(&bytes[..GROUP_BYTES]).group()
    }

    pub(crate) fn raw(self, count: u16) -> RawGroup {
        RawGroup {
            image: self.image.unwrap_or(0).to_ne_bytes(),
            count,
            is_null: u8::from(self.image.is_none()),
            reserved: 0,
        }
    }
}

impl RawGroup {
    pub(crate) fn group(self) -> Group {
        let image = u64::from_ne_bytes(self.image);
        Group {
            image: (self.is_null == 0).then_some(image),
        }
    }
}
