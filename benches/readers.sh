# shellcheck shell=bash
# Reading by parallel workers on a machine with few processors: an index on an expression that pauses for some two milliseconds at each row, as
# long as a row's work may take, so that readers share no processor. Seconds of the phase `loading tuples`, by the session alone and by 2 to 16
# workers. Only omendb, on rows of the demo.

# As pg_sleep counts, which takes twice as long.
readers_pause=1

bench_readers() {
    local workers alone='' seconds
    [[ $1 == omendb && $2 == demo ]] || return 0
    cluster_stop bench
    bench_server_start max_worker_processes=32 max_parallel_workers=32 max_parallel_maintenance_workers=16
    readers_table
    for workers in 0 2 4 8 16; do
        seconds=$(readers_seconds "$workers")
        bench_result readers "$workers workers" "$1" "$seconds" s
        alone=${alone:-$seconds}
        bench_result readers "$workers workers, times as fast as the session alone" "$1" "$(bench_calculate "$alone / $seconds" %.1f)" ''
    done
    sql omendb -c 'DROP TABLE readers' -c 'DROP FUNCTION paused'
    cluster_stop bench
    bench_server_start
}

# 20,000 rows in 63 ranges of blocks.
readers_table() {
    sql omendb -c 'DROP TABLE IF EXISTS readers' -c "CREATE TABLE readers AS
        SELECT embedding FROM demo, generate_series(1, 4)" -c 'VACUUM ANALYZE readers' \
        -c "CREATE OR REPLACE FUNCTION paused(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS \$\$
        BEGIN PERFORM pg_sleep($readers_pause / 1000.0); RETURN v; END \$\$"
}

# readers_seconds WORKERS
readers_seconds() {
    local watcher seconds=$home/readers_seconds
    sql omendb -c "ALTER TABLE readers SET (parallel_workers = $1)"
    readers_watch >"$seconds" &
    watcher=$!
    sql omendb -c 'CREATE INDEX readers_embedding ON readers USING hnsw ((paused(embedding)::vector(384)) vector_l2_ops)'
    wait "$watcher"
    sql omendb -c 'DROP INDEX readers_embedding'
    cat "$seconds"
}

# Seconds that the next build spends in its phase `loading tuples`.
readers_watch() {
    sql omendb -c "DO \$\$
        DECLARE started timestamptz; seen text;
        BEGIN
          LOOP
            PERFORM pg_stat_clear_snapshot();
            seen := (SELECT phase FROM pg_stat_progress_create_index WHERE relid = 'readers'::regclass);
            IF seen ~ 'loading' THEN started := coalesce(started, clock_timestamp()); END IF;
            EXIT WHEN started IS NOT NULL AND seen IS DISTINCT FROM 'building index: loading tuples';
            PERFORM pg_sleep(0.002);
          END LOOP;
          PERFORM set_config('bench.seconds', round(extract(epoch FROM clock_timestamp() - started), 2)::text, false);
        END \$\$" -c "SELECT current_setting('bench.seconds')"
}
