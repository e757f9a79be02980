# shellcheck shell=bash
# The types without an index: distances in a sequential scan, text and binary output and input, sums.

# Engines take turns with every statement, so that whatever else the machine does meets both: when the last of them has its
# tables.
bench_types() {
    local operator engines
    bench_types_scanned "$1" "$2"
    [[ $2 != wordnet ]] || bench_types_texts "$1"
    read -ra engines <<<"${ENGINES:-pgvector omendb}"
    [[ $1 == "${engines[-1]}" ]] || return 0
    for operator in '<->' '<#>' '<=>' '<+>'; do
        bench_types_distance "$2_scanned" "$operator"
    done
    [[ $2 == wordnet ]] || return 0
    bench_types_distance "$2_halves" '<->'
    bench_types_time texts 'text output' 'SELECT sum(octet_length(embedding::text)) FROM texts'
    bench_types_time texts 'text input' 'SELECT count(literal::vector) FROM texts'
    bench_types_time texts 'binary output' 'SELECT sum(length(vector_send(embedding))) FROM texts'
    bench_types_time texts 'binary input' "COPY texts_in FROM '$home/bench/texts.bin' (FORMAT binary)" 'TRUNCATE texts_in'
    bench_types_time texts 'sum' 'SELECT sum(embedding) FROM texts'
    bench_types_time texts 'avg' 'SELECT avg(embedding) FROM texts'
}

# 150,000 rows as vector, and as halfvec: more than a quarter of shared_buffers would be read anew by each scan.
bench_types_scanned() {
    [[ -z $(sql "$1" -c "SELECT to_regclass('$2_halves')") ]] || return 0
    sql "$1" -c "DROP TABLE IF EXISTS $2_scanned" -c "CREATE TABLE $2_scanned AS
        SELECT * FROM (SELECT * FROM $2 UNION ALL SELECT * FROM $2) AS twice LIMIT 150000" \
        -c "CREATE TABLE $2_halves AS SELECT id, embedding::halfvec AS embedding FROM $2_scanned" \
        -c "VACUUM ANALYZE $2_scanned" -c "VACUUM ANALYZE $2_halves"
}

# bench_types_distance TABLE OPERATOR
bench_types_distance() {
    bench_types_time "$1" "$2 in a scan" \
        "SELECT count(*) FROM $1 WHERE embedding $2 (SELECT embedding FROM $1 LIMIT 1) < -1000"
}

# 10,000 vectors of 1,536 dimensions, and their texts.
bench_types_texts() {
    [[ -z $(sql "$1" -c "SELECT to_regclass('texts')") ]] || return 0
    sql "$1" -c "CREATE TABLE texts AS SELECT embedding, embedding::text AS literal FROM (
        SELECT a.embedding || b.embedding || c.embedding || d.embedding AS embedding
          FROM wordnet a JOIN wordnet b ON b.id = a.id + 10000
            JOIN wordnet c ON c.id = a.id + 20000 JOIN wordnet d ON d.id = a.id + 30000
          WHERE a.id < 10000) AS texts" -c 'VACUUM ANALYZE texts' \
        -c "COPY (SELECT embedding FROM texts) TO '$home/bench/texts.bin' (FORMAT binary)" \
        -c 'CREATE UNLOGGED TABLE texts_in (embedding vector(1536))' \
        -c 'ALTER TABLE texts_in ALTER COLUMN embedding SET STORAGE PLAIN'
}

# bench_types_time TABLE WHAT STATEMENT [BEFORE]: rows a second, the median of fifteen turns. In each the statement is run once
# to warm up. BEFORE is run before each and not measured.
bench_types_time() {
    local engine rows turn=(${4:+-c '\timing off' -c "$4"} -c '\timing on' -c "$3") times
    times=$(for _ in {1..15}; do
        for engine in "${engines[@]}"; do
            sql "$engine" "${turn[@]}" "${turn[@]}" | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' |
                tail -1 | sed "s/^/$engine /"
        done
    done)
    for engine in "${engines[@]}"; do
        rows=$(sql "$engine" -c "SELECT count(*) FROM $1")
        bench_result "$1" "$2" "$engine" "$(bench_calculate "1000 * $rows / \
            $(sed -n "s/^$engine //p" <<<"$times" | sort -n | sed -n 8p)" %.0f)" rows/s
    done
}
