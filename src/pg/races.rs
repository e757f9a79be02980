//! Makes the races of unlocked reads frequent: pauses between the loads of a read, and counts what has happened meanwhile.
//!
//! Only a library built with the feature `races` does so, for `./dev test --races`; in any other these functions do nothing.

#[cfg(feature = "races")]
pub(crate) use on::{begin, copied, end, found, load};

/// A read begins: chooses whether and where it pauses.
#[cfg(not(feature = "races"))]
#[inline]
pub(crate) fn begin() {}

/// The next load of a page's bytes, between both looks at the descriptor.
#[cfg(not(feature = "races"))]
#[inline]
pub(crate) fn load() {}

/// A read ends. `is_held` says whether the second look was good; `has_page` looks once more.
#[cfg(not(feature = "races"))]
#[inline]
pub(crate) fn end(_is_held: bool, _has_page: impl FnOnce() -> bool) {}

/// A buffer holds a page, which a caller will soon want: pauses at times. `has_page` looks once more.
#[cfg(not(feature = "races"))]
#[inline]
pub(crate) fn found(_has_page: impl FnOnce() -> bool) {}

/// A copy of bytes of a page that ended well: `place` gives the words of the page's tag and the bytes' offset.
#[cfg(not(feature = "races"))]
#[inline]
pub(crate) fn copied(_place: impl FnOnce() -> ([u32; 5], usize), _bytes: &[u8]) {}

#[cfg(feature = "races")]
mod on {
    use std::cell::Cell;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use pgrx::pg_sys;

    use crate::pg::call::sql_function;

    /// One of so many reads pauses.
    const ONE_OF: u64 = 4;
    /// The longest pause, in microseconds.
    const LONGEST: u64 = 1000;
    /// A read pauses within its first 2^6 loads: a copy of 1 kB.
    const LOADS: u64 = 7;

    /// The reads of this session.
    #[derive(Clone, Copy, Default)]
    struct Counts {
        /// Reads with a pause.
        paused: i64,
        /// Paused reads whose second look found another page in the buffer, or none.
        changed: i64,
        /// Buffers that held a page, and no longer held it after a pause.
        stale: i64,
        /// Copies made with a pause and compared with the file.
        compared: i64,
        /// Compared copies that had other bytes.
        wrong: i64,
    }

    thread_local! {
        static COUNTS: Cell<Counts> = const { Cell::new(Counts { paused: 0, changed: 0, stale: 0, compared: 0, wrong: 0 }) };
        static RANDOM: Cell<u64> = const { Cell::new(0) };
        /// The loads before the pause; `None` if there is none to come.
        static BEFORE: Cell<Option<u64>> = const { Cell::new(None) };
        static HAS_PAUSED: Cell<bool> = const { Cell::new(false) };
    }

    /// Xorshift (Marsaglia 2003), from the process's number on.
    fn random(below: u64) -> u64 {
        let mut state = RANDOM.get();
        if state == 0 {
            state = u64::from(std::process::id()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        RANDOM.set(state);
        (state >> 8) % below
    }

    fn count(change: impl FnOnce(&mut Counts)) {
        let mut counts = COUNTS.get();
        change(&mut counts);
        COUNTS.set(counts);
    }

    pub(crate) fn begin() {
        HAS_PAUSED.set(false);
        BEFORE.set((random(ONE_OF) == 0).then(|| random(1 << random(LOADS))));
    }

    pub(crate) fn load() {
        match BEFORE.get() {
            None => {}
            Some(0) => {
                BEFORE.set(None);
                HAS_PAUSED.set(true);
                pause();
            }
            Some(before) => BEFORE.set(Some(before - 1)),
        }
    }

    fn pause() {
        std::thread::sleep(Duration::from_micros(random(LONGEST)));
    }

    pub(crate) fn end(is_held: bool, has_page: impl FnOnce() -> bool) {
        BEFORE.set(None);
        if HAS_PAUSED.get() {
            count(|counts| {
                counts.paused += 1;
                counts.changed += i64::from(!is_held && !has_page());
            });
        }
    }

    pub(crate) fn found(has_page: impl FnOnce() -> bool) {
        if random(ONE_OF) == 0 {
            pause();
            count(|counts| counts.stale += i64::from(!has_page()));
        }
    }

    /// Compares bytes with those of the file, which are the same if nobody has written to the page since the last checkpoint.
    pub(crate) fn copied(place: impl FnOnce() -> ([u32; 5], usize), bytes: &[u8]) {
        if !HAS_PAUSED.get() {
            return;
        }
        let ([_, database, file, _, block], offset) = place();
        let mut written = vec![0; bytes.len()];
        let at = u64::from(block) * u64::from(pg_sys::BLCKSZ) + offset as u64;
        let is_read = File::open(format!("base/{database}/{file}"))
            .and_then(|file| file.read_exact_at(&mut written, at))
            .is_ok();
        count(|counts| {
            counts.compared += i64::from(is_read);
            counts.wrong += i64::from(is_read && written != bytes);
        });
    }

    /// The counts of this session: paused, changed, stale, compared, wrong.
    fn unlocked_reads() -> Vec<i64> {
        let counts = COUNTS.get();
        vec![
            counts.paused,
            counts.changed,
            counts.stale,
            counts.compared,
            counts.wrong,
        ]
    }

    sql_function!(unlocked_reads);
}
