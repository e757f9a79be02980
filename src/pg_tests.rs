//! Tests that need a backend: guards an ERROR unwinds, memory contexts, threads, the signal mask.
//!
//! `./dev test --pgrx` runs these through cargo-pgrx, each in a transaction that is rolled back. ERRORs are raised below
//! SQL and caught by PL/pgSQL, to take the same path as users' errors.

// cargo-pgrx generates its own script from records macros leave in the library; this line includes the users' script in it.
pgrx::extension_sql_file!("../sql/omendb.sql", name = "omendb", bootstrap);

/// The two functions pgrx-tests calls.
#[cfg(test)]
pub(crate) mod pg_test {
    pub(crate) fn setup(_options: Vec<&str>) {}

    /// Keeps other processes from pinning pages or growing memory while a test measures them.
    pub(crate) fn postgresql_conf_options() -> Vec<&'static str> {
        vec![
            "autovacuum = off",
            "bgwriter_lru_maxpages = 0",
            "checkpoint_timeout = '1h'",
            "max_parallel_maintenance_workers = 2",
        ]
    }
}

#[expect(unsafe_code, reason = "asks Postgres and libc for what they hold")]
#[pgrx::pg_schema]
mod tests {
    use std::time::Duration;

    use layout::PAGE_SIZE;
    use pgrx::pg_sys::Oid;
    use pgrx::prelude::*;

    use crate::pg::{Relation, signal};
    use crate::storage::buffer::{Access, Page};
    use crate::storage::metapage::METAPAGE;
    use crate::storage::record::Record;

    #[pg_test]
    fn a_page_is_free_after_an_error() {
        let oid = make_index("page_at_error");
        for (function, message) in [
            ("fail_with_page", "on purpose"),
            ("fail_at_second_page", "could not read block"),
        ] {
            let found = error_of(&format!("SELECT tests.{function}({})", oid.to_u32()), 1);
            assert!(found.contains(message), "{function}: {found}");
            let index = open(oid);
            assert!(is_free(index), "{function} left a lock or a pin behind");
            assert_eq!(
                interrupts_held_off(),
                0,
                "{function}: a lock released twice"
            );
            close(index);
        }
    }

    #[pg_extern]
    fn fail_with_page(index: Oid) {
        let index = open(index);
        let _page = Page::lock(index, METAPAGE, Access::Exclusive);
        assert!(!is_free(index), "a locked page passes for a free one");
        error!("on purpose");
    }

    /// Postgres raises the ERROR here, while the first page is locked.
    #[pg_extern]
    fn fail_at_second_page(index: Oid) {
        let index = open(index);
        let _page = Page::lock(index, METAPAGE, Access::Exclusive);
        let beyond = index.blocks() + 10;
        drop(Page::lock(index, beyond, Access::Share));
    }

    #[pg_test]
    fn a_record_changes_its_page_only_when_committed() {
        let oid = make_index("record_at_error");
        let index = open(oid);
        let before = bytes(index);

        let page = Page::lock(index, METAPAGE, Access::Exclusive);
        drop(change(index, &page));
        drop(page);
        assert!(bytes(index) == before, "a dropped record changed its page");

        let statement = format!("SELECT tests.fail_with_record({})", oid.to_u32());
        assert_eq!(error_of(&statement, 1), "on purpose");
        assert!(is_free(index), "a record left its page locked");
        assert!(
            bytes(index) == before,
            "a record changed its page though an ERROR came between"
        );

        let page = Page::lock(index, METAPAGE, Access::Exclusive);
        change(index, &page).commit();
        drop(page);
        let after = bytes(index);
        assert_eq!(after[PAGE_SIZE - 1], !before[PAGE_SIZE - 1]);
        assert!(after[CONTENTS..PAGE_SIZE - 1] == before[CONTENTS..PAGE_SIZE - 1]);
        assert_ne!(after[LSN], before[LSN], "a commit that wrote no WAL");
        close(index);
    }

    #[pg_extern]
    fn fail_with_record(index: Oid) {
        let index = open(index);
        let page = Page::lock(index, METAPAGE, Access::Exclusive);
        let _record = change(index, &page);
        error!("on purpose");
    }

    /// The offset of a page's contents, and the bytes of its LSN before them.
    const CONTENTS: usize = 24;
    const LSN: std::ops::Range<usize> = 0..8;

    /// Returns a record that changes the last byte of a page, since a page's hole never covers it.
    fn change(index: Relation, page: &Page) -> Record {
        let mut record = Record::begin(index);
        let image = record.page(page);
        let last = &mut record.bytes(image)[PAGE_SIZE - 1];
        *last = !*last;
        record
    }

    fn bytes(index: Relation) -> Vec<u8> {
        Page::lock(index, METAPAGE, Access::Share).bytes().to_vec()
    }

    #[pg_test]
    fn failed_scans_leave_no_memory() {
        make_index("scan_at_error");
        run("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off");
        let scan = "SELECT 1 / (id - id) FROM scan_at_error ORDER BY v <-> '[1,2,3]' LIMIT 1";
        let plan: pgrx::Json = one(&format!("EXPLAIN (FORMAT JSON) {scan}"));
        assert!(
            plan.0.to_string().contains("scan_at_error_v_idx"),
            "{:?}",
            plan.0
        );
        assert_no_growth(scan, "division by zero");
    }

    #[pg_test]
    fn failed_aggregates_leave_no_memory() {
        // Vectors long enough to be stored out of line, so that reading one makes a copy.
        run("CREATE TABLE aggregate_at_error (id int, v vector);
             INSERT INTO aggregate_at_error
             SELECT id, array_fill(id, ARRAY[1000 + id / 20])::vector FROM generate_series(1, 20) id");
        assert_no_growth(
            "SELECT avg(v) FROM aggregate_at_error",
            "expected 1000 dimensions, not 1001",
        );
        let pairs = "SELECT sum(a.v <-> b.v) FROM aggregate_at_error a, aggregate_at_error b";
        assert_no_growth(pairs, "different vector dimensions 1000 and 1001");
    }

    const TIMES: usize = 1000;
    /// The most bytes a failure may leave behind on average, since caches vary: less than the smallest allocation.
    const BREATH: usize = 16;

    /// Other sessions may make this one reload its caches, but not each time; a leak shows each time.
    fn assert_no_growth(statement: &str, message: &str) {
        // The first runs fill the caches of catalogs and plans.
        assert_eq!(error_of(statement, 50), message);
        let mut grew = Vec::new();
        for _ in 0..3 {
            let (contexts, heap) = (memory_of_contexts(), memory_of_heap());
            assert_eq!(error_of(statement, TIMES), message);
            let contexts = memory_of_contexts().saturating_sub(contexts);
            let heap = memory_of_heap().saturating_sub(heap);
            if contexts.max(heap) < TIMES * BREATH {
                return;
            }
            grew.push((contexts, heap));
        }
        panic!("{TIMES} times {statement}: contexts and heap grew by {grew:?} bytes");
    }

    #[pg_test]
    fn a_failed_build_leaves_no_thread() {
        // More rows than the sample for the mean, so that the threads are at work when the ERROR comes.
        run("CREATE TABLE build_at_error (id int);
             INSERT INTO build_at_error SELECT generate_series(1, 2500);
             CREATE FUNCTION vector_or_error(id int) RETURNS public.vector IMMUTABLE LANGUAGE plpgsql AS $$
             BEGIN
                 IF id = 2500 THEN
                     RAISE '%', (SELECT count(*) FROM pg_ls_dir('/proc/self/task'));
                 END IF;
                 RETURN array_fill(id, ARRAY[1000]);
             END $$");
        let before = threads();
        let build = "CREATE INDEX ON build_at_error
                     USING hnsw ((vector_or_error(id)::vector(1000)) vector_l2_ops)";
        let message = error_of(build, 1);
        let during: usize = message.parse().expect(&message);
        assert!(
            during > before,
            "the build had no threads: {during}, as before"
        );
        // A joined thread may stay visible for a moment.
        for _ in 0..100 {
            if threads() == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} threads where {before} were before", threads());
    }

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
    }

    #[pg_test]
    fn the_signal_mask_comes_back_as_it_was() {
        // A mask no code would set by itself.
        set_mask(libc::SIG_BLOCK, libc::SIGWINCH);
        let before = blocked();
        let (main, thread) = signal::with_all_blocked(|| {
            let thread = std::thread::spawn(blocked);
            (blocked(), thread.join())
        });
        let after = blocked();
        set_mask(libc::SIG_UNBLOCK, libc::SIGWINCH);

        assert!(before.contains(&libc::SIGWINCH) && !before.contains(&libc::SIGTERM));
        assert_eq!(after, before);
        let thread = thread.expect("a thread that only looks at its mask");
        for signal in [
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGALRM,
            libc::SIGURG,
        ] {
            assert!(
                main.contains(&signal) && thread.contains(&signal),
                "signal {signal} was not blocked"
            );
        }
    }

    fn set_mask(how: i32, signal: i32) {
        // SAFETY: the set is made before it is read.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, signal);
            libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
        }
    }

    /// Returns the signals blocked in this thread.
    fn blocked() -> Vec<i32> {
        // SAFETY: nothing is changed, and the set is filled before it is read.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set);
            (1..=libc::SIGRTMAX())
                .filter(|&signal| libc::sigismember(&raw const set, signal) == 1)
                .collect()
        }
    }

    /// Creates a table of this name with a small index; returns the index.
    fn make_index(table: &str) -> Oid {
        run(&format!(
            "CREATE TABLE {table} (id int, v vector(3));
             INSERT INTO {table} SELECT id, ARRAY[id, id % 7, id % 11] FROM generate_series(1, 200) id;
             CREATE INDEX {table}_v_idx ON {table} USING hnsw (v vector_l2_ops)"
        ));
        one(&format!("SELECT '{table}_v_idx'::regclass::oid"))
    }

    /// Runs a failing statement `times` times, each in a subtransaction, and returns the last message.
    fn error_of(statement: &str, times: usize) -> String {
        run(
            "CREATE OR REPLACE FUNCTION pg_temp.error_of(statement text, times bigint) RETURNS text
             LANGUAGE plpgsql AS $$
             DECLARE
                 message text;
             BEGIN
                 FOR i IN 1..times LOOP
                     BEGIN
                         message := NULL;
                         EXECUTE statement;
                     EXCEPTION WHEN OTHERS THEN
                         message := SQLERRM;
                     END;
                 END LOOP;
                 RETURN coalesce(message, 'no error');
             END $$",
        );
        one(&format!(
            "SELECT pg_temp.error_of($statement${statement}$statement$, {times})"
        ))
    }

    fn run(statements: &str) {
        Spi::run(statements).expect("the statements are right");
    }

    fn one<T: FromDatum + IntoDatum>(query: &str) -> T {
        let value = Spi::get_one(query).expect("the query is right");
        value.expect("the query returns a value")
    }

    fn open(index: Oid) -> Relation {
        // SAFETY: what this opens is closed by `close` or by the end of the transaction.
        unsafe {
            Relation::new(pg_sys::index_open(
                index,
                pg_sys::AccessShareLock.cast_signed(),
            ))
        }
    }

    fn close(index: Relation) {
        // SAFETY: `open` opened it.
        unsafe { pg_sys::index_close(index.raw(), pg_sys::NoLock.cast_signed()) }
    }

    /// True if no backend, this one included, has the first page pinned or locked.
    fn is_free(index: Relation) -> bool {
        // SAFETY: the relation is open; the pin taken here is given back.
        unsafe {
            let buffer = pg_sys::ReadBuffer(index.raw(), METAPAGE);
            let free = pg_sys::ConditionalLockBufferForCleanup(buffer);
            if free {
                pg_sys::UnlockReleaseBuffer(buffer);
            } else {
                pg_sys::ReleaseBuffer(buffer);
            }
            free
        }
    }

    fn interrupts_held_off() -> u32 {
        // SAFETY: a number that only this thread writes.
        unsafe { pg_sys::InterruptHoldoffCount }
    }

    fn memory_of_contexts() -> usize {
        // SAFETY: the context that lives as long as the backend.
        unsafe { pg_sys::MemoryContextMemAllocated(pg_sys::TopMemoryContext, true) }
    }

    /// The bytes allocated from the C library, by Postgres' contexts and by Rust.
    fn memory_of_heap() -> usize {
        // SAFETY: asks for numbers only.
        let held = unsafe { libc::mallinfo2() };
        held.uordblks + held.hblkhd
    }
}
