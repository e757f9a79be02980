# shellcheck shell=bash
# Recall, and milliseconds per query at a recall: `SELECT id ... ORDER BY ... LIMIT 10` in a plpgsql loop.

# shellcheck source=benches/build.sh
source benches/build.sh

bench_query() {
    local target_recall ef
    bench_need_index "$1" "$2"
    bench_query_functions "$1" "$2"
    bench_result "$2" 'bytes of index per row' "$1" \
        "$(sql "$1" -c "SELECT pg_relation_size('$2_embedding') / (SELECT count(*) FROM $2)")" ''
    for target_recall in .95 .99; do
        ef=$(bench_ef_for "$1" "$2" "$target_recall")
        [[ $ef ]] || { say "  recall $target_recall is not reached at any ef_search"; continue; }
        bench_result "$2" "ef_search for recall $target_recall" "$1" "$ef" ''
        bench_query_time "$1" "$2" "$target_recall" "$ef"
    done
    bench_curve "$1" "$2"
}

# bench_curve ENGINE SET: recall and milliseconds by ef_search, for benches/curves.pl.
bench_curve() {
    local ef
    for ef in 10 20 40 80 160 320 640; do
        bench_result "$2" "recall@10 at ef_search $ef" "$1" \
            "$(sql "$1" -c "SET hnsw.ef_search = $ef" -c "SELECT round($2_recall(), 4)")" ''
        bench_result "$2" "a query at ef_search $ef" "$1" \
            "$(sql "$1" -c "SET hnsw.ef_search = $ef" -c "SELECT round($2_milliseconds(1), 3)")" ms
    done
}

# bench_ef_for ENGINE SET RECALL: the smallest ef_search that reaches it, if any does.
bench_ef_for() { sql "$1" -c "SELECT $2_ef_for($3)"; }

# bench_query_time ENGINE SET RECALL EF
bench_query_time() {
    local rounds=3 before queries
    queries=$(sql "$1" -c "SELECT count(*) FROM $2_query")
    before=$(bench_processor_time)
    bench_result "$2" "a query at recall $3" "$1" \
        "$(sql "$1" -c "SET hnsw.ef_search = $4" -c "SELECT round($2_milliseconds($rounds), 3)")" ms
    bench_result "$2" "a query at recall $3, processor time" "$1" \
        "$(bench_calculate "1000 * ($(bench_processor_time) - $before) / ($queries * ($rounds + 1))" %.3f)" ms
}

# Functions with the table and operator written out, so that their plans are cached.
bench_query_functions() {
    sql "$1" <<SQL
CREATE OR REPLACE FUNCTION $2_recall() RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  query record;
  found int[];
  hits bigint := 0;
  asked bigint := 0;
BEGIN
  FOR query IN SELECT embedding, nearest FROM $2_query LOOP
    found := array(SELECT id FROM $2 ORDER BY embedding $(bench_operator "$2") query.embedding LIMIT 10);
    hits := hits + cardinality(array(SELECT unnest(found) INTERSECT SELECT unnest(query.nearest)));
    -- More than ten where some are as far away as the tenth.
    asked := asked + least(cardinality(query.nearest), 10);
  END LOOP;
  RETURN hits / asked::numeric;
END \$\$;

-- The smallest ef_search, of a grid, whose recall is enough.
CREATE OR REPLACE FUNCTION $2_ef_for(recall numeric) RETURNS int LANGUAGE plpgsql AS \$\$
DECLARE
  ef int;
BEGIN
  FOREACH ef IN ARRAY ARRAY[10, 12, 15, 18, 21, 24, 27, 30, 33, 36, 40, 45, 50, 60, 70, 80, 90, 100,
      120, 140, 160, 180, 200, 250, 300, 400, 500, 600, 800, 1000] LOOP
    PERFORM set_config('hnsw.ef_search', ef::text, true);
    IF $2_recall() >= recall THEN RETURN ef; END IF;
  END LOOP;
  RETURN NULL;
END \$\$;

-- The best round over all queries, after one to warm up.
CREATE OR REPLACE FUNCTION $2_milliseconds(rounds int) RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  queries vector[] := array(SELECT embedding FROM $2_query);
  query vector;
  started timestamptz;
  best interval;
BEGIN
  FOR round IN 0..rounds LOOP
    started := clock_timestamp();
    FOREACH query IN ARRAY queries LOOP
      PERFORM id FROM $2 ORDER BY embedding $(bench_operator "$2") query LIMIT 10;
    END LOOP;
    IF round > 0 THEN best := least(best, clock_timestamp() - started); END IF;
  END LOOP;
  RETURN 1000 * extract(epoch FROM best) / cardinality(queries);
END \$\$;
SQL
}
