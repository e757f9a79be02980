# shellcheck shell=bash
# CREATE INDEX with two threads (the leader and one worker): time with ample and with little memory, the memory that
# the backend holds at most, WAL, and what is left behind.

bench_build() {
    # pgvector takes minutes for one set.
    if [[ $2 == wordnet ]]; then bench_build_with "$1" "$2" 64MB ' with 64MB'; fi
    bench_build_with "$1" "$2" 1GB ''
    bench_result "$2" 'index size' "$1" "$(sql "$1" -c "SELECT round(pg_relation_size('$2_embedding') / 1048576.0, 1)")" MB
    bench_mark_index "$1" "$2"
}

# bench_build_with ENGINE SET MEMORY SUFFIX [STATEMENT...]: reports under names that end so.
bench_build_with() {
    local seconds rows before processor
    before=$(bench_processor_time)
    bench_create_index "$1" "$2" "$2" "SET maintenance_work_mem = '$3'" "${@:5}" || return
    processor=$(bench_calculate "$(bench_processor_time) - $before")
    rows=$(sql "$1" -c "SELECT count(*) FROM $2")
    seconds=$(bench_fact seconds)
    bench_result "$2" "CREATE INDEX$4" "$1" "$seconds" s
    bench_result "$2" "CREATE INDEX, processor time$4" "$1" "$processor" s
    bench_result "$2" "CREATE INDEX, processor time of a row$4" "$1" "$(bench_calculate "1e6 * $processor / $rows" %.1f)" us
    bench_result "$2" "vectors a second$4" "$1" "$(bench_calculate "$rows / $seconds" %.0f)" ''
    bench_result "$2" "memory of the backend at most$4" "$1" "$(bench_calculate "$(bench_fact memory) / 1024" %.0f)" MB
    bench_result "$2" "WAL$4" "$1" "$(bench_calculate "$(bench_fact wal) / 1048576" %.1f)" MB
}

# bench_create_index ENGINE TABLE SET [STATEMENT...]: after these statements; what was measured is kept for bench_fact.
bench_create_index() {
    local engine=$1 table=$2 class sampler settings=() statement status=0
    class=$(bench_operator_class "$3")
    shift 3
    for statement in "$@"; do settings+=(-c "$statement"); done
    bench_facts=$home/build_facts
    : >"$bench_facts"
    sql "$engine" -c "DROP INDEX IF EXISTS ${table}_embedding" -c CHECKPOINT
    bench_sample_memory "$engine" &
    sampler=$!
    sql "$engine" "${settings[@]}" -c "SELECT 'wal_before=' || (pg_current_wal_insert_lsn() - '0/0')" -c '\timing on' \
        -c "CREATE INDEX ${table}_embedding ON $table USING hnsw (embedding $class)" -c '\timing off' \
        -c "SELECT 'wal_after=' || (pg_current_wal_insert_lsn() - '0/0')" >>"$bench_facts" || status=$?
    kill "$sampler" 2>/dev/null || true
    wait "$sampler" 2>/dev/null || true
    return "$status"
}

# bench_fact NAME: of the last index created.
bench_fact() {
    case $1 in
        seconds) sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' "$bench_facts" | tail -1 | awk '{ printf "%.2f\n", $1 / 1000 }' ;;
        memory) sed -nE 's/^memory=//p' "$bench_facts" | sort -n | tail -1 ;;
        wal) awk -F= '/^wal_/ { at[$1] = $2 } END { printf "%d\n", at["wal_after"] - at["wal_before"] }' "$bench_facts" ;;
    esac
}

# The memory in kB that a backend which builds an index has for itself: what it shares with others (the table's pages
# in the buffers, and pgvector's graph) is left out.
bench_sample_memory() {
    local pid
    until pid=$(sql "$1" -c 'SELECT pid FROM pg_stat_progress_create_index LIMIT 1') && [[ $pid ]]; do :; done
    while [[ -r /proc/$pid/status ]]; do
        awk '/^Rss(Anon|File)/ { sum += $2 } END { if (sum) print "memory=" sum }' "/proc/$pid/status" 2>/dev/null >>"$bench_facts" || break
        sleep 0.02
    done
}

# The library that an index was made by, so that other benches know whether to make it anew.
bench_mark_index() { sql "$1" -c "COMMENT ON INDEX $2_embedding IS '$(bench_library "$1")'"; }

bench_library() {
    if [[ $1 == omendb ]]; then cksum <"$target/release/libomendb.so"; else echo pgvector; fi
}

# bench_need_index ENGINE SET: makes it unless this very library has made it.
bench_need_index() {
    local made_by
    made_by=$(sql "$1" -c "SELECT obj_description(to_regclass('$2_embedding'), 'pg_class')")
    [[ $made_by != "$(bench_library "$1")" ]] || return 0
    say "making the index of $2"
    bench_create_index "$1" "$2" "$2"
    bench_mark_index "$1" "$2"
}
