# shellcheck shell=bash
# Searches a second of 1, 2, 8 and 32 clients at once, at the ef_search for recall .95: pgbench over one socket, the
# statement prepared once. And of two clients while a third inserts rows.

# shellcheck source=benches/query.sh
source benches/query.sh

bench_clients() {
    local clients ef
    bench_need_index "$1" "$2"
    bench_query_functions "$1" "$2"
    ef=$(bench_ef_for "$1" "$2" .95)
    [[ $ef ]] || { say "  recall .95 is not reached at any ef_search"; return 0; }
    sql "$1" -c "CREATE UNIQUE INDEX IF NOT EXISTS $2_query_id ON $2_query (id)"
    bench_clients_script "$1" "$2" "$2" >"$home/search.sql"
    for clients in 1 2 8 32; do
        bench_result "$2" "searches of $clients client$([[ $clients == 1 ]] || echo s)" "$1" \
            "$(bench_clients_rate "$1" "$ef" "$clients" "$home/search.sql")" /s
    done
    [[ $2 != wordnet ]] || bench_clients_busy "$1" "$2" "$ef"
}

# bench_clients_script ENGINE TABLE SET: searches TABLE for a random query of SET.
bench_clients_script() {
    local last
    last=$(sql "$1" -c "SELECT max(id) FROM $3_query")
    echo "\\set query random(0, $last)"
    echo "SELECT id FROM $2 ORDER BY embedding $(bench_operator "$3")
        (SELECT embedding FROM $3_query WHERE id = :query) LIMIT 10;"
}

# bench_clients_rate ENGINE EF CLIENTS SCRIPT: transactions a second, after a round to warm up.
bench_clients_rate() {
    bench_pgbench "$1" "$2" -c "$3" -T 1 -f "$4" >/dev/null
    bench_pgbench "$1" "$2" -c "$3" -T 5 -f "$4" | bench_clients_tps
}

bench_clients_tps() { sed -nE 's/^tps = ([0-9]+).*/\1/p'; }

# bench_pgbench ENGINE EF OPTION...: threads of its own as far as there are processors.
bench_pgbench() {
    local engine=$1 ef=$2
    shift 2
    PGHOST=$run PGPORT=$port PGUSER=postgres PGDATABASE=$engine PGOPTIONS="-c hnsw.ef_search=$ef" \
        "$bin/pgbench" -n -M prepared -j "$(nproc)" "$@" 2>&1
}

# bench_clients_busy ENGINE SET EF: on 20,000 rows, with as many inserted as come to it.
bench_clients_busy() {
    local inserted
    sql "$1" -c 'DROP TABLE IF EXISTS busy' -c "CREATE TABLE busy AS SELECT * FROM $2 WHERE id < 20000" \
        -c 'CREATE SEQUENCE IF NOT EXISTS busy_row START 20000' -c 'ALTER SEQUENCE busy_row RESTART' \
        -c "CREATE UNIQUE INDEX IF NOT EXISTS $2_id ON $2 (id)" \
        -c "CREATE INDEX busy_embedding ON busy USING hnsw (embedding $(bench_operator_class "$2"))" -c 'VACUUM ANALYZE busy'
    bench_clients_script "$1" busy "$2" >"$home/search.sql"
    bench_result busy 'searches of 2 clients' "$1" "$(bench_clients_rate "$1" "$3" 2 "$home/search.sql")" /s
    echo "INSERT INTO busy SELECT * FROM $2 WHERE id = (SELECT nextval('busy_row'));" >"$home/insert.sql"
    bench_pgbench "$1" "$3" -c 1 -T 7 -f "$home/insert.sql" >"$home/insert.log" &
    inserted=$!
    bench_result busy 'searches of 2 clients beside inserts' "$1" "$(bench_clients_rate "$1" "$3" 2 "$home/search.sql")" /s
    wait "$inserted"
    bench_result busy 'rows inserted beside searches' "$1" "$(bench_clients_tps <"$home/insert.log")" /s
    sql "$1" -c 'DROP TABLE busy' -c 'DROP SEQUENCE busy_row'
}
