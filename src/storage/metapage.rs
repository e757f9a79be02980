//! Block 0: reads and changes the metapage.

use layout::Metapage;

use super::buffer::{Access, Page};
use super::damage::corrupt;
use super::record::{Image, Record};
use crate::pg::Relation;

/// The block of the metapage.
pub(crate) const METAPAGE: u32 = 0;

/// Reads the metapage.
pub(crate) fn read(index: Relation) -> Metapage {
    let page = Page::lock(index, METAPAGE, Access::Share);
    decode(index, page.bytes())
}

/// Reads the metapage; `None` if it is not one of ours, or damaged.
pub(crate) fn try_read(index: Relation) -> Option<Metapage> {
    let page = Page::lock(index, METAPAGE, Access::Share);
    Metapage::read(page.bytes()).ok()
}

/// The metapage, exclusively locked: the last lock of any operation.
pub(crate) struct Locked {
    index: Relation,
    page: Page,
    pub(crate) contents: Metapage,
}

impl Locked {
    pub(crate) fn acquire(index: Relation) -> Self {
        let page = Page::lock(index, METAPAGE, Access::Exclusive);
        let contents = decode(index, page.bytes());
        Self {
            index,
            page,
            contents,
        }
    }

    /// Adds the changed contents to a record.
    pub(crate) fn write(&self, record: &mut Record) -> Image {
        let image = record.page(&self.page);
        self.contents.write(record.bytes(image));
        image
    }

    /// Announces the freeing of element slots by a vacuum: searches begun earlier start again.
    pub(crate) fn announce_removal(mut self) {
        self.contents.removals = self.contents.removals.wrapping_add(1);
        self.commit();
    }

    /// Writes the changed contents in a separate record.
    pub(crate) fn commit(self) {
        let mut record = Record::begin(self.index);
        self.write(&mut record);
        record.commit();
    }
}

fn decode(index: Relation, bytes: &[u8]) -> Metapage {
    Metapage::read(bytes).unwrap_or_else(|what| corrupt(index, METAPAGE, what))
}
