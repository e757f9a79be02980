# shellcheck shell=bash
# omendb beside pgvector: one server, one database each, the same tables, the same statements.
#
# Each benches/NAME.sh defines bench_NAME ENGINE SET; `./dev bench NAME` runs it for every engine and data
# set. A measurement is a row of table result in database postgres.

bench_names=(build query insert)

dev_bench() {
    local names=("$@") name
    ((${#names[@]} > 0)) || names=("${bench_names[@]}")
    for name in "${names[@]}"; do
        [[ -e benches/$name.sh ]] || die "there is no bench '$name'; there are build, query, insert, arrivals, filtered, graphs, vacuum, recall, clients, cold, profile, types and growth"
        # shellcheck source=/dev/null
        source "benches/$name.sh"
    done
    PG=${PG:-16}
    pg_comes_in_wheel || die "PG=$PG: pgvector comes with PostgreSQL 16 and 18 only"
    pg_prepare
    data_find
    [[ -n ${DATA_DIR:-} ]] || die "benches need the large data sets"
    extension_install_privately
    # Beside the cluster of ./dev up.
    port=5433
    bench_server
    bench_warn_if_busy
    for name in "${names[@]}"; do bench_run "$name"; done
    bench_report
}

# ENGINES=omendb and SETS=wordnet narrow a run; the other column then shows what was measured before.
bench_run() {
    local set engine
    for set in ${SETS:-wordnet sift}; do
        for engine in ${ENGINES:-pgvector omendb}; do
            step "$1: $set, $engine"
            bench_load "$engine" "$set"
            "bench_$1" "$engine" "$set"
        done
    done
}

bench_warn_if_busy() {
    local load
    read -r load _ </proc/loadavg
    if ((${load%.*} > 0)); then
        say "this machine is busy (load $load on $(nproc) processors): trust ratios and processor time only"
    fi
}

bench_settings=(shared_buffers=1GB maintenance_work_mem=1GB max_parallel_maintenance_workers=1 jit=off
    max_parallel_workers_per_gather=0 fsync=off autovacuum=off max_wal_size=16GB checkpoint_timeout=1h)

# bench_server_start [SETTING=VALUE...]: beside or instead of those above.
bench_server_start() {
    local settings=("${bench_settings[@]}")
    # pgvector's parallel build takes maintenance_work_mem from shared memory, which containers may lack.
    if (($(df -k --output=avail /dev/shm 2>/dev/null | tail -1 || echo 0) < 1500000)); then
        settings+=(dynamic_shared_memory_type=mmap)
    fi
    cluster_start bench "${settings[@]}" "$@"
}

bench_server() {
    bench_server_start
    sql postgres -c 'CREATE TABLE IF NOT EXISTS result (
        set text, measure text, engine text, value numeric, unit text, measured timestamptz DEFAULT now(),
        PRIMARY KEY (set, measure, engine))'
    bench_database pgvector vector built-with-the-wheel
    bench_database omendb omendb "$(cksum <sql/omendb.sql)"
}

# bench_database ENGINE EXTENSION STATE: made anew when the SQL that it was made from has changed.
bench_database() {
    local was
    was=$(sql postgres -c "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '$1'")
    [[ $was != "$3" ]] || return 0
    sql postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1"
    sql "$1" -c "CREATE EXTENSION $2"
    sql postgres -c "COMMENT ON DATABASE $1 IS '$3'"
}

# bench_load ENGINE SET: its tables, unless they are there.
bench_load() {
    local vectors queries dimensions
    [[ -z $(sql "$1" -c "SELECT to_regclass('$2_query')") ]] || return 0
    case $2 in
        text768 | wide) bench_load_made "$1" "$2"; return ;;
        clusters | spread) bench_load_drawn "$1" "$2"; return ;;
        wordnet) vectors=wordnet_base.f16.npy queries=wordnet_queries.f32.npy dimensions=384 ;;
        sift) vectors=sift_base.u8.npy queries=sift_queries.u8.npy dimensions=128 ;;
        *) die "there is no data set $2; there are wordnet, sift, text768, wide, clusters and spread" ;;
    esac
    say "loading $2 into $1"
    sql "$1" -c "DROP TABLE IF EXISTS $2" -c "CREATE TABLE $2 (id int, embedding vector($dimensions))" \
        -c "CREATE TABLE $2_loading (id int, embedding vector($dimensions), nearest int[])"
    perl benches/npy_copy.pl "$DATA_DIR/$vectors" | sql "$1" -c "COPY $2 FROM STDIN WITH (FORMAT binary)"
    perl benches/npy_copy.pl "$DATA_DIR/$queries" "$DATA_DIR/$2_truth_top100.i32.npy" |
        sql "$1" -c "COPY $2_loading FROM STDIN WITH (FORMAT binary)"
    sql "$1" -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM ANALYZE $2" -c "ANALYZE $2_query"
}

# bench_load_made ENGINE SET: vectors that are longer than those of wordnet, made of copies of them, each turned another way (its
# halves or quarters change places, which keeps distances) and moved by a fifth of another row. The exact neighbors are
# found where rows are not kept out of line: that is many times faster.
bench_load_made() {
    local rows queries copies vector noise
    case $2 in
        text768) rows=35000 queries=500 copies=(a c) ;;
        wide) rows=50000 queries=200 copies=(a b c d) ;;
    esac
    bench_load "$1" wordnet
    say "making $2 of wordnet in $1"
    vector="($(bench_made_vector "${copies[@]}"))::vector($((384 * ${#copies[@]})))"
    noise=$(bench_made_noise "${copies[@]}")
    sql "$1" -c "DROP TABLE IF EXISTS $2, noise, $2_plain, $2_loading" \
        -c 'CREATE TABLE noise AS SELECT row_number() OVER (ORDER BY id) - 1 AS id,
            embedding * array_fill(0.2::real, ARRAY[384])::vector AS embedding FROM wordnet WHERE id % 11 = 0' \
        -c 'ALTER TABLE noise ADD PRIMARY KEY (id)' \
        -c "CREATE TABLE $2 (id int, embedding vector($((384 * ${#copies[@]}))))" \
        -c "INSERT INTO $2 SELECT id, $vector FROM wordnet v, $noise WHERE id < $rows" \
        -c "CREATE TABLE $2_plain (LIKE $2)" -c "ALTER TABLE $2_plain ALTER embedding SET STORAGE PLAIN" \
        -c "INSERT INTO $2_plain SELECT * FROM $2" \
        -c "CREATE TABLE $2_loading AS SELECT id, $vector AS embedding, '{}'::int[] AS nearest
            FROM wordnet_query v, $noise WHERE id < $queries" \
        -c "UPDATE $2_loading q SET nearest = array(SELECT id FROM $2_plain ORDER BY embedding <=> q.embedding LIMIT 10)" \
        -c "DROP TABLE noise, $2_plain" \
        -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM ANALYZE $2" -c "ANALYZE $2_query"
}

# bench_load_drawn ENGINE SET: vectors drawn at random, the same in each engine. clusters: 256 centers of 64 dimensions with their rows
# close around them, in a handful of directions; spread: 96 dimensions, each narrower than the one before, and no groups.
bench_load_drawn() {
    local rows queries dimensions vector
    case $2 in
        clusters) rows=60000 queries=500 dimensions=64
            vector='array_agg(c.at[j] + 0.25 * random_normal() / sqrt(j) ORDER BY j)' ;;
        spread) rows=40000 queries=500 dimensions=96 vector='array_agg(random_normal() / (1 + j / 24.0) ORDER BY j)' ;;
    esac
    say "drawing $2 in $1"
    sql "$1" -c "DROP TABLE IF EXISTS $2, $2_loading, center" -c 'SELECT setseed(0.5)' \
        -c "CREATE TABLE center AS SELECT c, array_agg(random_normal() ORDER BY j) AS at
            FROM generate_series(0, 255) c, generate_series(1, $dimensions) j GROUP BY c" -c 'ALTER TABLE center ADD PRIMARY KEY (c)' \
        -c "CREATE TABLE $2 (id int, embedding vector($dimensions))" \
        -c "INSERT INTO $2 SELECT i, (SELECT $vector FROM center c, generate_series(1, $dimensions) j WHERE c.c = hashint4(i) & 255)::vector
            FROM generate_series(1, $((rows + queries))) i" \
        -c "CREATE TABLE $2_loading AS SELECT id, embedding, '{}'::int[] AS nearest FROM $2 WHERE id > $rows" \
        -c "DELETE FROM $2 WHERE id > $rows" \
        -c "UPDATE $2_loading q SET nearest = array(SELECT id FROM $2 ORDER BY embedding $(bench_operator "$2") q.embedding LIMIT 10)" \
        -c 'DROP TABLE center' -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM FULL $2" -c "ANALYZE $2" -c "ANALYZE $2_query"
}

# bench_made_vector COPY...: an expression.
bench_made_vector() {
    local copy vector=''
    for copy in "$@"; do
        case $copy in
            a) vector+='(embedding' ;;
            b) vector+=' || ((subvector(embedding, 97, 288) || subvector(embedding, 1, 96))' ;;
            c) vector+=' || ((subvector(embedding, 193, 192) || subvector(embedding, 1, 192))' ;;
            d) vector+=' || ((subvector(embedding, 289, 96) || subvector(embedding, 1, 288))' ;;
        esac
        vector+=" + noise.$copy)"
    done
    echo "$vector"
}

# bench_made_noise COPY...: as many rows of noise for a row v.
bench_made_noise() {
    local copy lookups=()
    for copy in "$@"; do
        lookups+=("(SELECT embedding FROM noise WHERE id = (v.id::bigint * 7919 + ascii('$copy') * 331) % 10000) AS $copy")
    done
    local IFS=,
    echo "LATERAL (SELECT ${lookups[*]}) AS noise"
}

bench_operator() { case $1 in sift | clusters | spread) echo '<->' ;; *) echo '<=>' ;; esac; }

bench_operator_class() { case $1 in sift | clusters | spread) echo vector_l2_ops ;; *) echo vector_cosine_ops ;; esac; }

# The processor time that finished sessions have used, in seconds: what a busy machine does not distort.
bench_processor_time() {
    local postmaster
    postmaster=$(head -1 "$home/bench/postmaster.pid")
    # A session's time counts once the postmaster has seen it end.
    sleep 0.2
    awk -v ticks="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($14 + $15) / ticks }' "/proc/$postmaster/stat"
}

# bench_calculate EXPRESSION [FORMAT]
bench_calculate() { awk "BEGIN { printf \"${2:-%.2f}\", $1 }"; }

# bench_result SET MEASURE ENGINE VALUE UNIT
bench_result() {
    say "  $2: $4 $5"
    sql postgres -c "INSERT INTO result VALUES ('$1', '$2', '$3', $4, '$5')
        ON CONFLICT (set, measure, engine) DO UPDATE SET value = excluded.value, measured = excluded.measured"
}

bench_report() {
    local folder=$dev/bench file
    mkdir -p "$folder"
    file=$folder/$(date +%Y%m%d-%H%M%S).json
    run_psql postgres -X -q -P footer=off -c "
        SELECT set, measure, unit, max(value) FILTER (WHERE engine = 'pgvector') AS pgvector,
               max(value) FILTER (WHERE engine = 'omendb') AS omendb,
               round(max(value) FILTER (WHERE engine = 'omendb')
                   / nullif(max(value) FILTER (WHERE engine = 'pgvector'), 0), 3) AS ratio
          FROM result GROUP BY set, measure, unit ORDER BY set DESC, min(measured)"
    sql postgres -c "
        SELECT json_build_object('measured', now(), 'revision', '$(git rev-parse --short HEAD 2>/dev/null || true)',
            'server', version(), 'threads', $(nproc), 'processor', '$(bench_processor)',
            'settings', '${bench_settings[*]}', 'results', json_agg(result ORDER BY set, measure, engine))
          FROM result" >"$file"
    say "also written to $file"
}

bench_processor() { sed -nE 's/^model name\s*: //p' /proc/cpuinfo | head -1 | tr -d "'"; }
