# shellcheck shell=bash
# Semantic search over the WordNet embeddings that the project ships, for a person to watch.

dev_demo() {
    local shards=0
    demo_read_options "$@"
    pg_prepare
    extension_install_privately
    cluster_start main
    extension_create
    step "loading 5,000 embeddings into database demo"
    demo_load
    demo_title
    demo_index
    local query
    for query in 53 73 61; do demo_search "$query"; done
    demo_numbers
    demo_farewell
    ((shards == 0)) || demo_shards "$shards"
}

demo_read_options() {
    (($# > 0)) || return 0
    [[ $# == 2 && $1 == --shards && $2 =~ ^[1-9]$ ]] || die "demo knows --shards NUMBER, 1 to 9, not '$*'"
    shards=$2
}

# The server reads the data itself, from a copy that its user can reach.
demo_load() {
    rm -rf "$home/demo"
    cp -R demo "$home/demo"
    chmod -R a+rX "$home/demo"
    sql postgres -c 'DROP DATABASE IF EXISTS demo' -c 'CREATE DATABASE demo'
    sql demo -c 'CREATE EXTENSION omendb'
    sql demo -v demo="$home/demo" -f "$home/demo/load.sql" -f "$home/demo/measure.sql"
}

demo_title() {
    local version
    version=$(sql demo -c "SELECT extversion FROM pg_extension WHERE extname = 'omendb'")
    printf '\nomendb %s in PostgreSQL %s: searching 5,000 WordNet entries by meaning\n' \
        "$version" "$(sql demo -c "SELECT split_part(current_setting('server_version'), ' ', 1)")"
}

demo_index() {
    local log=$home/demo.log build status=0
    printf '\nCREATE INDEX ON wordnet USING hnsw (embedding vector_cosine_ops)\n'
    sql demo -c '\timing on' \
        -c "SET max_parallel_maintenance_workers = $(($(nproc) - 1))" \
        -c 'CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_cosine_ops)' \
        -c '\timing off' -c 'ANALYZE wordnet' >"$log" 2>&1 &
    build=$!
    progress_watch demo "$build"
    wait "$build" || status=$?
    ((status == 0)) || die "CREATE INDEX failed: $(<"$log")"
    build_ms=$(sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' "$log" | tail -1)
}

demo_search() {
    local width
    width=$(tput cols 2>/dev/null || echo 80)
    printf '\nnearest to: '
    sql demo -c "SELECT $(demo_cut $((width - 13))) FROM wordnet_query WHERE id = $1"
    sql demo -F '  ' -c "
        SELECT to_char(distance, '0.000'), $(demo_cut $((width - 9)))
          FROM (SELECT w.text, w.embedding <=> (SELECT embedding FROM wordnet_query WHERE id = $1) AS distance
                  FROM wordnet w ORDER BY distance LIMIT 5) AS found"
}

# SQL for a text that is no longer than that: what was cut ends in an ellipsis.
demo_cut() { echo "CASE WHEN length(text) > $1 THEN left(text, $1 - 1) || '…' ELSE text END"; }

demo_numbers() {
    local with without
    with=$(sql demo -c "SELECT round(milliseconds(3), 2)")
    without=$(sql demo -c 'SET enable_indexscan = off' -c "SELECT round(milliseconds(1), 2)")
    printf '\n'
    demo_number 'recall against exact search' "$(sql demo -c 'SELECT round(recall(), 3)')" \
        "hnsw.ef_search = $(sql demo -c "LOAD '\$libdir/omendb'" -c 'SHOW hnsw.ef_search'), 100 queries"
    demo_number 'a query with the index' "$with ms" 'in the server, one client, LIMIT 10'
    demo_number 'a query without it' "$without ms" 'exact, reads every row'
    demo_number 'building the index' "$(awk "BEGIN { printf \"%.2f s\", $build_ms / 1000 }")" "$(nproc) threads"
    demo_number 'size of the index' \
        "$(sql demo -c "SELECT round(pg_relation_size('wordnet_embedding') / 1048576.0, 1)") MB" \
        "the table: $(sql demo -c "SELECT round(pg_table_size('wordnet') / 1048576.0, 1)") MB"
}

demo_number() { printf '  %-28s %10s   %s\n' "$@"; }

demo_farewell() {
    cat <<END

Try it yourself:

  ./dev psql -d demo
    SELECT text FROM wordnet ORDER BY embedding <=>
      (SELECT embedding FROM wordnet WHERE text LIKE 'rainy season%') LIMIT 5;

  ./dev down      stops the server
END
}
