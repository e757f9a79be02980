# shellcheck shell=bash
# The types without an index: distances in a sequential scan, text and binary output and input, sums.

bench_types() {
    bench_types_time "$1" "$2" 'distances in a scan' \
        "SELECT count(*) FROM $2 WHERE embedding $(bench_operator "$2") (SELECT embedding FROM $2 LIMIT 1) < 0"
    [[ $2 == wordnet ]] || return 0
    bench_types_texts "$1"
    bench_types_time "$1" texts 'text output' 'SELECT sum(length(embedding::text)) FROM texts'
    bench_types_time "$1" texts 'text input' 'SELECT count(literal::vector) FROM texts'
    bench_types_time "$1" texts 'binary output' 'SELECT sum(length(vector_send(embedding))) FROM texts'
    bench_types_time "$1" texts 'sum' 'SELECT sum(embedding) FROM texts'
    bench_types_time "$1" texts 'avg' 'SELECT avg(embedding) FROM texts'
}

# 10,000 vectors of 1,536 dimensions, and their texts.
bench_types_texts() {
    [[ -z $(sql "$1" -c "SELECT to_regclass('texts')") ]] || return 0
    sql "$1" -c "CREATE TABLE texts AS SELECT embedding, embedding::text AS literal FROM (
        SELECT a.embedding || b.embedding || c.embedding || d.embedding AS embedding
          FROM wordnet a JOIN wordnet b ON b.id = a.id + 10000
            JOIN wordnet c ON c.id = a.id + 20000 JOIN wordnet d ON d.id = a.id + 30000
          WHERE a.id < 10000) AS texts" -c 'VACUUM ANALYZE texts'
}

# bench_types_time ENGINE TABLE WHAT STATEMENT: rows a second, the best of three after one to warm up.
bench_types_time() {
    local rows best
    rows=$(sql "$1" -c "SELECT count(*) FROM $2")
    best=$(sql "$1" -c '\timing on' -c "$4" -c "$4" -c "$4" -c "$4" |
        sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -3 | sort -n | head -1)
    bench_result "$2" "$3" "$1" "$(bench_calculate "1000 * $rows / $best" %.0f)" rows/s
}
