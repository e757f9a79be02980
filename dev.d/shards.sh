# shellcheck shell=bash
# The demo's table spread over several private servers by postgres_fdw, and the same searches in it: demo/shards.sql.

# demo_shards NUMBER: after the demo itself, whose server is the coordinator.
demo_shards() {
    local i ports=''
    for ((i = 1; i <= $1; i++)); do
        cluster_start "shard$i" "port=$((port + i))"
        ports+=${ports:+,}$((port + i))
        step "creating an empty table with an index on shard $i"
        shard_sql "$i" postgres -c 'DROP DATABASE IF EXISTS demo' -c 'CREATE DATABASE demo'
        shard_sql "$i" demo -f "$home/demo/shard.sql"
    done
    step "spreading 5,000 rows over $1 shards"
    sql demo -v host="$run" -v ports="$ports" -v dbname=demo -f "$home/demo/shards.sql"
    printf '\n5,000 rows on one server and on %s shards, LIMIT 10\n' "$1"
    demo_measure 'one server' nearest
    demo_measure 'postgres_fdw' nearest_sharded
    demo_measure 'all shards at once' nearest_at_once
    cat <<END

Try it yourself:

  ./dev psql -d demo
    EXPLAIN (VERBOSE, COSTS OFF) SELECT id, text FROM sharded ORDER BY embedding <=>
      (SELECT embedding FROM wordnet_query WHERE id = 53) LIMIT 5;

  demo/shards.sql and demo/shard.sql set it up; docs/scaling.md explains them
END
}

# shard_sql NUMBER DATABASE ARGUMENT...
shard_sql() {
    local number=$1
    shift
    port=$((port + number)) sql "$@"
}

demo_measure() {
    local recall ms
    IFS='|' read -r recall ms < <(sql demo -c "SELECT round(recall, 3), round(ms, 2) FROM measure('$2')")
    demo_number "$1" "$ms ms" "recall $recall"
}
