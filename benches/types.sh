# shellcheck shell=bash
# The types without an index: distances in a sequential scan, text and binary output and input, sums.

# The time of a scan depends on other users of the machine's memory, and on the position of the server's in it. So engines take
# turns with every statement, and the server starts anew before every other turn: when the last engine has its tables.
bench_types() {
    local engines start times="$home/bench/types.times"
    bench_types_scanned "$1" "$2"
    [[ $2 != wordnet ]] || bench_types_texts "$1"
    read -ra engines <<<"${ENGINES:-pgvector omendb}"
    [[ $1 == "${engines[-1]}" ]] || return 0
    : >"$times"
    for start in 1 2 3 4 5; do
        say "  start $start of 5"
        cluster_stop bench
        bench_server_start
        bench_types_statements "$2" | while IFS='|' read -r _ what statement before; do
            bench_types_turns "$what" "$statement" "$before" </dev/null >>"$times"
        done
    done
    bench_types_statements "$2" | while IFS='|' read -r table what _; do
        bench_types_result "$table" "$what" </dev/null
    done
}

# bench_types_statements SET: table|what is measured|statement|what is run before it and not measured
bench_types_statements() {
    local operator
    for operator in '<->' '<#>' '<=>' '<+>'; do
        bench_types_distance "$1_scanned" "$operator" vector
    done
    [[ $1 == wordnet ]] || return 0
    bench_types_distance "$1_halves" '<->' halfvec
    cat <<END
texts|text output|SELECT sum(octet_length(embedding::text)) FROM texts|
texts|text input|SELECT count(literal::vector) FROM texts|
texts|binary output|SELECT sum(length(vector_send(embedding))) FROM texts|
texts|binary input|COPY texts_in FROM '$home/bench/texts.bin' (FORMAT binary)|TRUNCATE texts_in
texts|sum|SELECT sum(embedding) FROM texts|
texts|avg|SELECT avg(embedding) FROM texts|
END
}

# bench_types_distance TABLE OPERATOR TYPE
bench_types_distance() {
    echo "$1|$2 of $3 in a scan|SELECT count(*) FROM $1 WHERE embedding $2 (SELECT embedding FROM $1 LIMIT 1) < -1000|"
}

# 150,000 rows as vector, and as halfvec: more than a quarter of shared_buffers would be read anew by each scan.
bench_types_scanned() {
    [[ -z $(sql "$1" -c "SELECT to_regclass('$2_halves')") ]] || return 0
    sql "$1" -c "DROP TABLE IF EXISTS $2_scanned" -c "CREATE TABLE $2_scanned AS
        SELECT * FROM (SELECT * FROM $2 UNION ALL SELECT * FROM $2) AS twice LIMIT 150000" \
        -c "CREATE TABLE $2_halves AS SELECT id, embedding::halfvec AS embedding FROM $2_scanned" \
        -c "VACUUM ANALYZE $2_scanned" -c "VACUUM ANALYZE $2_halves"
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

# bench_types_turns WHAT STATEMENT BEFORE: "WHAT|engine|milliseconds" of two turns. In each a new session runs the statement five
# times: twice to warm up, since it meets the shared buffers anew, and three times that count.
bench_types_turns() {
    local engine once=(${3:+-c '\timing off' -c "$3"} -c '\timing on' -c "$2")
    for _ in 1 2; do
        for engine in "${engines[@]}"; do
            sql "$engine" "${once[@]}" "${once[@]}" "${once[@]}" "${once[@]}" "${once[@]}" |
                sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -3 | sed "s/^/$1|$engine|/"
        done
    done
}

# bench_types_result TABLE WHAT: rows a second, the median of thirty times.
bench_types_result() {
    local engine rows median
    for engine in "${engines[@]}"; do
        rows=$(sql "$engine" -c "SELECT count(*) FROM $1")
        median=$(grep -F "$2|$engine|" "$times" | cut -d'|' -f3 | sort -n | sed -n 15p)
        bench_result "$1" "$2" "$engine" "$(bench_calculate "1000 * $rows / $median" %.0f)" rows/s
    done
}
