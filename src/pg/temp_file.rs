//! Temporary files: counted against `temp_file_limit`, removed at the end of the transaction, aborted or not.
#![expect(unsafe_code, reason = "calls Postgres' buffered files")]

use pgrx::{PgLogLevel, PgMemoryContexts, PgSqlErrorCode, ereport, pg_sys};

use super::interrupt;

/// Postgres splits a temporary file into physical files of this size (`MAX_PHYSICAL_FILESIZE`, buffile.c).
const SEGMENT: u64 = 1 << 30;

/// The memory context of temporary files. The context current during a table scan would be reset after each row.
#[derive(Clone, Copy)]
pub(crate) struct TempFiles(pg_sys::MemoryContext);

impl TempFiles {
    /// Uses the current memory context. It must outlive the files.
    pub(crate) fn here() -> Self {
        // SAFETY: called in the main thread of a backend.
        Self(unsafe { pg_sys::CurrentMemoryContext })
    }

    /// Creates a file. Postgres removes it when it is closed, or when the transaction ends.
    pub(crate) fn create(self) -> TempFile {
        let create = |_: &mut PgMemoryContexts| {
            // SAFETY: the memory context lives as long as the file.
            unsafe { pg_sys::BufFileCreateTemp(false) }
        };
        // SAFETY: the context is live.
        let file = unsafe { PgMemoryContexts::For(self.0).switch_to(create) };
        TempFile {
            file,
            len: 0,
            position: 0,
        }
    }
}

/// A temporary file.
pub(crate) struct TempFile {
    file: *mut pg_sys::BufFile,
    len: u64,
    /// The offset of Postgres' next read or write.
    position: u64,
}

impl TempFile {
    /// The length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.write_at(self.len, bytes);
    }

    /// Overwrites bytes from `offset` on, or appends if it is the end.
    pub(crate) fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        self.seek(offset);
        // SAFETY: the file is open, and the bytes are only read. An error of the disk is an ERROR.
        unsafe { pg_sys::BufFileWrite(self.file, bytes.as_ptr().cast_mut().cast(), bytes.len()) }
        self.position += bytes.len() as u64;
        self.len = self.len.max(self.position);
    }

    /// Fills `bytes` from `offset` on; an ERROR if the file is too short.
    pub(crate) fn read_at(&mut self, offset: u64, bytes: &mut [u8]) {
        self.seek(offset);
        // SAFETY: the file is open, and `bytes` has this many bytes to write to.
        let read =
            unsafe { pg_sys::BufFileRead(self.file, bytes.as_mut_ptr().cast(), bytes.len()) };
        if read != bytes.len() {
            raise_too_short(read, bytes.len());
        }
        self.position += read as u64;
    }

    /// Moves to an offset. Checks for interrupts, since loops over files can run long.
    fn seek(&mut self, offset: u64) {
        interrupt::check();
        if offset == self.position {
            return;
        }
        let (segment, within) = (offset / SEGMENT, offset % SEGMENT);
        let segment = i32::try_from(segment).expect("a file of less than 2^61 bytes");
        let within = i64::try_from(within).expect("less than a segment");
        // SAFETY: the file is open. Seeking writes the buffer, and an error of the disk is an ERROR.
        let failed =
            unsafe { pg_sys::BufFileSeek(self.file, segment, within, libc::SEEK_SET) != 0 };
        if failed {
            raise_too_short(0, 0);
        }
        self.position = offset;
    }
}

/// Something other than this backend has changed a temporary file.
fn raise_too_short(read: usize, wanted: usize) {
    ereport!(
        PgLogLevel::ERROR,
        PgSqlErrorCode::ERRCODE_IO_ERROR,
        format!("could not read temporary file: {read} bytes of {wanted}")
    );
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: open until now; not unwinding, so Postgres has not closed it.
            unsafe { pg_sys::BufFileClose(self.file) }
        }
    }
}
