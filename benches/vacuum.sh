# shellcheck shell=bash
# VACUUM after a hundredth, a tenth and half of the rows were deleted, one after the other, with recall after each and that of
# an index built anew in the end; and the size of an index whose rows were all deleted, vacuumed and inserted again.
#
# ROWS=30000 takes so many rows of a set: pgvector vacuums minutes on end.

# shellcheck source=benches/build.sh
source benches/build.sh

bench_vacuum() {
    local table=$2_vacuum percent
    bench_vacuum_table "$1" "$2" "$table" "${ROWS:-2147483647}"
    bench_create_index "$1" "$table" "$2"
    for percent in 1 10 50; do
        sql "$1" -c "DELETE FROM $table WHERE id IN (SELECT id FROM $table ORDER BY hashint4(id + $percent)
            LIMIT (SELECT count(*) * $percent / 100 FROM $table))"
        bench_vacuum_time "$1" "$2" "$table" "$percent % deleted"
        bench_result "$2" "recall@10 with $percent % vacuumed" "$1" "$(bench_vacuum_recall "$1" "$2" "$table")" ''
    done
    bench_create_index "$1" "$table" "$2"
    bench_result "$2" 'recall@10 of an index built anew then' "$1" "$(bench_vacuum_recall "$1" "$2" "$table")" ''
    bench_vacuum_size "$1" "$2" "$table"
    sql "$1" -c "DROP TABLE $table, ${table}_query"
}

# bench_vacuum_table ENGINE SET TABLE ROWS: with 200 queries, whose nearest rows are filled in when they are asked for.
bench_vacuum_table() {
    sql "$1" -c "DROP TABLE IF EXISTS $3, $3_query" \
        -c "CREATE TABLE $3 AS SELECT id, embedding FROM $2 WHERE id < $4" \
        -c "CREATE TABLE $3_query AS SELECT * FROM $2_query WHERE id < 200"
}

# bench_vacuum_time ENGINE SET TABLE WHAT
bench_vacuum_time() {
    local before milliseconds
    before=$(bench_processor_time)
    milliseconds=$(sql "$1" -c CHECKPOINT -c '\timing on' -c "VACUUM (INDEX_CLEANUP ON) $3" | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -1)
    bench_result "$2" "VACUUM, $4" "$1" "$(bench_calculate "$milliseconds / 1000")" s
    bench_result "$2" "VACUUM, $4, processor time" "$1" "$(bench_calculate "$(bench_processor_time) - $before")" s
}

# bench_vacuum_recall ENGINE SET TABLE: at hnsw.ef_search = 40, against a scan of the table.
bench_vacuum_recall() {
    local order
    order="ORDER BY embedding $(bench_operator "$2") q.embedding LIMIT 10"
    sql "$1" -c "SET enable_indexscan = off" -c "UPDATE $3_query q SET nearest = array(SELECT id FROM $3 $order)"
    sql "$1" -c 'SET enable_seqscan = off' -c "SELECT round(avg((SELECT count(*) FROM unnest(nearest) n
            WHERE n = ANY (array(SELECT id FROM $3 $order)))) / 10, 4) FROM $3_query q"
}

# bench_vacuum_size ENGINE SET TABLE
bench_vacuum_size() {
    local size="SELECT pg_relation_size('$3_embedding')" before
    sql "$1" -c "DELETE FROM $3 WHERE id >= (SELECT id FROM $3 ORDER BY id OFFSET 10000 LIMIT 1)" -c "VACUUM FULL $3" \
        -c "CREATE TABLE $3_again AS SELECT * FROM $3"
    before=$(sql "$1" -c "$size")
    sql "$1" -c "DELETE FROM $3" -c "VACUUM (INDEX_CLEANUP ON) $3" -c "INSERT INTO $3 SELECT * FROM $3_again" -c "DROP TABLE $3_again"
    bench_result "$2" 'size after all rows were replaced, to that before' "$1" "$(bench_calculate "$(sql "$1" -c "$size") / $before" %.3f)" ''
}
