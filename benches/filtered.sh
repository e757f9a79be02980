# shellcheck shell=bash
# `SELECT id ... WHERE condition ORDER BY distance LIMIT 10`, by the share of rows that pass: recall@10 and milliseconds a query with
# default settings. In omendb the columns of the conditions are key columns of the hnsw index; pgvector scans its hnsw index
# iteratively, in strict order. Both are beside a plan without the hnsw index: btree indexes and a sort, which are exact.

# Share of the rows that pass in percent, condition. `own` and `far` are cells of the query q: near rows, and rows far away.
filtered_conditions=(
    '100 half < 2' '50 half = 1' '10 tenth = 1' '1 hundredth = 1' '0.1 thousandth = 1' '0.01 ten_thousandth = 1'
    '5 tenth = 1 AND half = 1' '10 place BETWEEN 200 AND 299' '5 cell = q.own' '5 cell = q.far'
)
filtered_columns='half, tenth, hundredth, thousandth, ten_thousandth, place, cell'

bench_filtered() {
    local condition class
    class=$(bench_operator_class "$2")
    filtered_tables "$1" "$2"
    if [[ $1 == omendb ]]; then
        filtered_unfiltered "$1" "$2" ' without key columns' "embedding $class"
        filtered_unfiltered "$1" "$2" ' with two key columns' "embedding $class, tenth, hundredth"
        filtered_build "$1" "$2" '' "embedding $class, $filtered_columns"
    else
        filtered_build "$1" "$2" '' "embedding $class"
    fi
    filtered_btrees "$1" "$2"
    for condition in "${filtered_conditions[@]}"; do
        filtered_measure "$1" "$2" "${condition%% *} %, ${condition#* }" "${condition#* }"
    done
}

# filtered_tables ENGINE SET: filtered_SET, the rows with columns to filter by, filtered_SET_query, and filtered_SET_fresh, rows to insert,
# unless they are there.
filtered_tables() {
    local operator
    operator=$(bench_operator "$2")
    [[ -z $(sql "$1" -c "SELECT to_regclass('filtered_$2_fresh')") ]] || return 0
    sql "$1" -c "DROP TABLE IF EXISTS filtered_$2, filtered_$2_query, filtered_$2_fresh" -c "SELECT setseed(0.5)" \
        -c "CREATE TEMP TABLE center AS SELECT row_number() OVER (ORDER BY id)::int AS cell, embedding FROM $2
            WHERE id % (SELECT count(*) / 20 FROM $2) = 0 LIMIT 20" \
        -c "CREATE TABLE filtered_$2 AS SELECT id, embedding, floor(random() * 2)::int AS half, floor(random() * 10)::int AS tenth,
            floor(random() * 100)::int AS hundredth, floor(random() * 1000)::int AS thousandth,
            floor(random() * 10000)::int AS ten_thousandth, floor(random() * 1000)::int AS place,
            (SELECT cell FROM center c ORDER BY c.embedding $operator v.embedding LIMIT 1) AS cell FROM $2 v ORDER BY id" \
        -c "CREATE TABLE filtered_$2_query AS SELECT embedding,
            (SELECT cell FROM center c ORDER BY c.embedding $operator q.embedding LIMIT 1) AS own,
            (SELECT cell FROM center c ORDER BY c.embedding $operator q.embedding OFFSET 10 LIMIT 1) AS far
            FROM $2_query q LIMIT ${QUERIES:-100}" \
        -c "CREATE TABLE filtered_$2_fresh AS SELECT id, (embedding + other) * array_fill(0.5::real, ARRAY[vector_dims(embedding)])::vector AS embedding, half, tenth, hundredth, thousandth,
            ten_thousandth, place, cell FROM (SELECT *, lag(embedding) OVER (ORDER BY id) AS other FROM filtered_$2) f
            WHERE id % (SELECT count(*) / 3000 FROM filtered_$2) = 1 LIMIT 3000"
    sql "$1" -c "VACUUM ANALYZE filtered_$2"
}

# filtered_btrees ENGINE SET: a btree index on each column.
filtered_btrees() {
    local column
    for column in ${filtered_columns//,/}; do
        sql "$1" -c "CREATE INDEX IF NOT EXISTS filtered_$2_$column ON filtered_$2 ($column)"
    done
}

# filtered_unfiltered ENGINE SET SUFFIX COLUMNS: what key columns cost where no condition needs them: the build, a query, inserts.
filtered_unfiltered() {
    filtered_build "$@"
    filtered_functions "$1" "$2" true
    bench_result "filtered $2" "a query without condition$3" "$1" \
        "$(sql "$1" -c 'SET enable_seqscan = off; SET enable_sort = off' -c 'SELECT round(filtered_milliseconds(), 4)')" ms
    bench_result "filtered $2" "INSERT$3" "$1" "$(filtered_insert "$1" "$2")" rows/s
}

# filtered_insert ENGINE SET: rows a second of one client that inserts the rows of filtered_SET_fresh, a statement each, in one
# transaction, which is undone.
filtered_insert() {
    sql "$1" -c "DO \$\$
        DECLARE fresh filtered_$2; started timestamptz := clock_timestamp(); rate numeric;
        BEGIN
          FOR fresh IN SELECT * FROM filtered_$2_fresh LOOP
            INSERT INTO filtered_$2 VALUES (fresh.*);
          END LOOP;
          rate := (SELECT count(*) FROM filtered_$2_fresh) / extract(epoch FROM clock_timestamp() - started);
          RAISE EXCEPTION 'undone' USING ERRCODE = 'UNDON';
        EXCEPTION WHEN SQLSTATE 'UNDON' THEN
          PERFORM set_config('bench.rate', round(rate)::text, false);
        END \$\$" -c "SELECT current_setting('bench.rate')" -c "VACUUM filtered_$2"
}

# filtered_build ENGINE SET SUFFIX COLUMNS [OPTIONS]
filtered_build() {
    local seconds
    sql "$1" -c "DROP INDEX IF EXISTS filtered_$2_embedding"
    seconds=$(sql "$1" -c '\timing on' -c "CREATE INDEX filtered_$2_embedding ON filtered_$2 USING hnsw ($4) ${5:-}" |
        sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p')
    bench_result "filtered $2" "CREATE INDEX$3" "$1" "$(bench_calculate "$seconds / 1000")" s
    bench_result "filtered $2" "index size$3" "$1" \
        "$(sql "$1" -c "SELECT round(pg_relation_size('filtered_$2_embedding') / 1048576.0, 1)")" MB
}

# filtered_measure ENGINE SET NAME CONDITION
filtered_measure() {
    local through='SET hnsw.iterative_scan = strict_order; SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off'
    if [[ $1 == omendb ]]; then through='SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off'; fi
    filtered_functions "$1" "$2" "$4"
    bench_result "filtered $2" "$3: recall@10" "$1" "$(sql "$1" -c "$through" -c 'SELECT round(filtered_recall(), 4)')" ''
    bench_result "filtered $2" "$3: a query" "$1" "$(sql "$1" -c "$through" -c 'SELECT round(filtered_milliseconds(), 3)')" ms
    bench_result "filtered $2" "$3: a query, btree and sort" "$1" \
        "$(sql "$1" -c 'SET enable_indexscan = off' -c 'SELECT round(filtered_milliseconds(), 3)')" ms
    bench_result "filtered $2" "$3: a query, by the planner" "$1" "$(sql "$1" -c 'SELECT round(filtered_milliseconds(), 3)')" ms
}

# filtered_functions ENGINE SET CONDITION: filtered_recall(), filtered_evaluations() of omendb, the mean of the codes compared, and
# filtered_milliseconds(), the best of three rounds after one to warm up. The condition is written out, so that plans are cached.
filtered_functions() {
    local statement
    statement="SELECT id FROM filtered_$2 WHERE $3 ORDER BY embedding $(bench_operator "$2") q.embedding LIMIT 10"
    sql "$1" <<SQL
CREATE OR REPLACE FUNCTION filtered_exact(q filtered_$2_query) RETURNS int[] LANGUAGE plpgsql
  SET enable_indexscan = off SET enable_bitmapscan = on SET enable_seqscan = on SET enable_sort = on AS \$\$
BEGIN
  RETURN array($statement);
END \$\$;
CREATE OR REPLACE FUNCTION filtered_recall() RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  q filtered_$2_query;
  nearest int[];
  hits numeric := 0;
  asked numeric := 0;
BEGIN
  FOR q IN SELECT * FROM filtered_$2_query LOOP
    nearest := filtered_exact(q);
    asked := asked + cardinality(nearest);
    hits := hits + cardinality(array(SELECT unnest(nearest) INTERSECT SELECT unnest(array($statement))));
  END LOOP;
  RETURN hits / asked;
END \$\$;
CREATE OR REPLACE FUNCTION filtered_evaluations() RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  q filtered_$2_query;
  compared numeric := 0;
  asked numeric := 0;
BEGIN
  FOR q IN SELECT * FROM filtered_$2_query LOOP
    PERFORM ${statement#SELECT };
    compared := compared + (SELECT evaluations FROM hnsw_last_scan());
    asked := asked + 1;
  END LOOP;
  RETURN compared / asked;
END \$\$;
CREATE OR REPLACE FUNCTION filtered_milliseconds() RETURNS numeric LANGUAGE plpgsql AS \$\$
DECLARE
  asked filtered_$2_query[] := array(SELECT q FROM filtered_$2_query q);
  q filtered_$2_query;
  started timestamptz;
  best interval;
BEGIN
  FOR round IN 0..3 LOOP
    started := clock_timestamp();
    FOREACH q IN ARRAY asked LOOP
      PERFORM ${statement#SELECT };
    END LOOP;
    IF round > 0 THEN best := least(best, clock_timestamp() - started); END IF;
  END LOOP;
  RETURN extract(epoch FROM best) * 1000 / cardinality(asked);
END \$\$;
SQL
}
