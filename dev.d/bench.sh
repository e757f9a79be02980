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
        [[ -e benches/$name.sh ]] || die "there is no bench '$name'; there are build, query, insert, scale, arrivals, filtered, graphs, vacuum, recall, clients, cold, profile, types, growth and readers"
        # shellcheck source=/dev/null
        source "benches/$name.sh"
    done
    PG=${PG:-16}
    [[ ${ENGINES:-} == omendb ]] || pg_comes_in_wheel ||
        die "PG=$PG: pgvector comes with PostgreSQL 16 and 18 only; ENGINES=omendb measures omendb alone"
    bench_sets_read
    pg_prepare
    extension_install_privately
    # Beside the cluster of ./dev up.
    port=5433
    bench_server
    bench_warn_if_busy
    bench_own_forget
    for name in "${names[@]}"; do bench_run "$name"; done
    bench_report
}

# ENGINES=omendb and SETS=wordnet narrow a run; the other column then shows what was measured before.
bench_run() {
    local set engine
    for set in $(bench_sets "$1"); do
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
    if pg_comes_in_wheel; then bench_database pgvector vector built-with-the-wheel; fi
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

# The processor time that finished sessions have used, in seconds: what a busy machine does not distort.
bench_processor_time() {
    local postmaster
    postmaster=$(head -1 "$home/bench/postmaster.pid")
    # A session's time counts once the postmaster has seen it end, and one with much memory takes its time to end.
    while pgrep -P "$postmaster" -f '^(postgres: postgres |\[?postgres\]?( |$))' >/dev/null; do sleep 0.05; done
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
