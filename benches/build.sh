# shellcheck shell=bash
# CREATE INDEX with two threads (the leader and one worker), and what it leaves behind.

bench_build() {
    local seconds rows before
    before=$(bench_processor_time)
    seconds=$(bench_index "$1" "$2" "$2")
    rows=$(sql "$1" -c "SELECT count(*) FROM $2")
    bench_result "$2" 'CREATE INDEX' "$1" "$seconds" s
    bench_result "$2" 'CREATE INDEX, processor time' "$1" "$(bench_calculate "$(bench_processor_time) - $before")" s
    bench_result "$2" 'vectors a second' "$1" "$(bench_calculate "$rows / $seconds" %.0f)" ''
    bench_result "$2" 'index size' "$1" "$(sql "$1" -c "SELECT round(pg_relation_size('$2_embedding') / 1048576.0, 1)")" MB
    bench_mark_index "$1" "$2"
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
    [[ $made_by == "$(bench_library "$1")" ]] || bench_build "$1" "$2"
}
