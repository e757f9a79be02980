//! Rows as a parallel worker sends them to the leader of a build: TID, row key and prepared value, one after the other.

use layout::HeapTid;
use quantize::Value;

use crate::pg::row::IndexRow;
use crate::table::readers::{Readers, Share};

/// In a parallel worker: prepares the rows of its share and sends them.
pub(crate) fn read_share(
    share: Share,
    mut prepare: impl FnMut(IndexRow<'_>, &mut Vec<u8>) -> Option<Value>,
) {
    let mut row_key = Vec::new();
    share.read(|tid, row, message| {
        row_key.clear();
        if let Some(value) = prepare(row, &mut row_key) {
            write(message, tid, &row_key, &value);
        }
    });
}

/// In the leader: calls `each` with every indexed row, in the order of the table. Returns the number of rows scanned; `None` if a worker
/// has ended early.
pub(super) fn receive(
    readers: Readers,
    mut each: impl FnMut(HeapTid, Value, &[u8]),
) -> Option<f64> {
    readers.scan(|mut rows| {
        while !rows.is_empty() {
            let (tid, row_key, value) = read(&mut rows).expect("as a worker has written it");
            each(tid, value, row_key);
        }
    })
}

fn write(message: &mut Vec<u8>, tid: HeapTid, row_key: &[u8], value: &Value) {
    let key_len = u16::try_from(row_key.len()).expect("a row key is short");
    message.extend_from_slice(&tid.block.to_ne_bytes());
    message.extend_from_slice(&tid.offset.to_ne_bytes());
    message.extend_from_slice(&key_len.to_ne_bytes());
    message.extend_from_slice(row_key);
    value.write(message);
}

/// Reads a row, and leaves the bytes after it.
fn read<'b>(bytes: &mut &'b [u8]) -> Option<(HeapTid, &'b [u8], Value)> {
    let block = u32::from_ne_bytes(*bytes.split_off(..4)?.first_chunk()?);
    let offset = u16::from_ne_bytes(*bytes.split_off(..2)?.first_chunk()?);
    let key_len = u16::from_ne_bytes(*bytes.split_off(..2)?.first_chunk()?);
    let row_key = bytes.split_off(..usize::from(key_len))?;
    Some((HeapTid { block, offset }, row_key, Value::read(bytes)?))
}
