# shellcheck shell=bash
# Queries where the disk is read: shared_buffers are a quarter of pgvector's index, and empty, as is the system's cache,
# before each round of 50 queries.

# shellcheck source=benches/query.sh
source benches/query.sh

bench_cold() {
    local ef round best='' milliseconds
    bench_need_index "$1" "$2"
    bench_query_functions "$1" "$2"
    ef=$(bench_ef_for "$1" "$2" .95)
    [[ $ef ]] || { say "  recall .95 is not reached at any ef_search"; return 0; }
    bench_cold_function "$1" "$2"
    for round in 0 1 2; do
        bench_cold_restart "$(bench_cold_buffers "$2")"
        milliseconds=$(sql "$1" -c "SET hnsw.ef_search = $ef" -c "SELECT round($2_cold($((50 * round))), 2)")
        # shellcheck disable=SC2086
        best=$(printf '%s\n' $best "$milliseconds" | sort -n | head -1)
    done
    bench_result "$2" 'a query from disk at recall .95' "$1" "$best" ms
    cluster_stop bench
    bench_server_start
}

# bench_cold_buffers SET: in kB, a quarter of pgvector's index of the set.
bench_cold_buffers() {
    bench_need_index pgvector "$1"
    sql pgvector -c "SELECT pg_relation_size('$1_embedding') / 4096"
}

# Milliseconds per query of 50 in a row, from a number on. The library is loaded before.
bench_cold_function() {
    sql "$1" <<SQL
CREATE OR REPLACE FUNCTION $2_cold(first int) RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  queries vector[] := array(SELECT embedding FROM $2_query WHERE id BETWEEN first AND first + 49);
  query vector;
  loaded float8 := queries[1] $(bench_operator "$2") queries[2];
  started timestamptz := clock_timestamp();
BEGIN
  FOREACH query IN ARRAY queries LOOP
    PERFORM id FROM $2 ORDER BY embedding $(bench_operator "$2") query LIMIT 10;
  END LOOP;
  RETURN 1000 * extract(epoch FROM clock_timestamp() - started) / cardinality(queries);
END \$\$;
SQL
}

# bench_cold_restart KILOBYTES: with so many of shared buffers, and nothing in memory. The catalogs come back before time
# is taken.
bench_cold_restart() {
    local engine
    cluster_stop bench
    bench_drop_caches
    bench_server_start "shared_buffers=${1}kB"
    for engine in pgvector omendb; do sql "$engine" -c "SELECT count(*) FROM pg_class, pg_proc"; done >/dev/null
}

bench_drop_caches() {
    sync
    if ! { echo 3 >/proc/sys/vm/drop_caches; } 2>/dev/null; then
        say "  the system's cache could not be emptied (it takes root): only shared buffers are cold"
    fi
}
