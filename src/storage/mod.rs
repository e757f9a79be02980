//! The graph in the pages of an index. README.md describes page kinds, lock order, WAL and vacuum.

pub(crate) mod allocate;
pub(crate) mod buffer;
pub(crate) mod bulk;
pub(crate) mod calibrate;
mod centers;
mod codes;
mod damage;
mod gate;
pub(crate) mod index;
pub(crate) mod insert;
pub(crate) mod keys;
mod learn;
mod locked;
pub(crate) mod metapage;
mod neighbors;
pub(crate) mod page_graph;
pub(crate) mod pass;
pub(crate) mod record;
pub(crate) mod rows;
pub(crate) mod sample;
pub(crate) mod vacuum;

pub(crate) use gate::Gate;
pub(crate) use index::Index;
pub(crate) use page_graph::PageGraph;
