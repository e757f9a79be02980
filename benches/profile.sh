# shellcheck shell=bash
# The work of a search, on average, and the processor time of its backend by function: `hnsw_last_scan()` and, where there is
# perf and it may sample, shares of samples. omendb alone.

# shellcheck source=benches/query.sh
source benches/query.sh

bench_profile() {
    [[ $1 == omendb ]] || return 0
    local recall ef
    bench_need_index "$1" "$2"
    bench_query_functions "$1" "$2"
    bench_profile_function "$2"
    for recall in .95 .99; do
        ef=$(bench_ef_for "$1" "$2" "$recall")
        [[ $ef ]] || continue
        bench_profile_work "$2" "$recall" "$ef"
        ! command -v perf >/dev/null || bench_profile_time "$2" "$recall" "$ef"
    done
}

# bench_profile_work SET RECALL EF
bench_profile_work() {
    local what count
    while IFS='|' read -r what count; do
        bench_result "$1" "$what of a query at recall $2" omendb "$count" ''
    done < <(sql omendb -c "SET hnsw.ef_search = $3" -c "SELECT * FROM $1_work()")
}

# Averages over all queries, the second time that they are asked.
bench_profile_function() {
    sql omendb <<SQL
CREATE OR REPLACE FUNCTION $1_work() RETURNS TABLE (what text, count numeric) LANGUAGE plpgsql AS \$\$
DECLARE
  query vector;
  work record;
  sums numeric[] := '{0,0,0,0,0}';
BEGIN
  FOR query IN SELECT embedding FROM $1_query, generate_series(0, 1) AS round ORDER BY round LOOP
    PERFORM id FROM $1 ORDER BY embedding $(bench_operator "$1") query LIMIT 10;
    SELECT * FROM hnsw_last_scan() INTO work;
    sums := ARRAY[sums[1] + 1, sums[2] + work.expansions, sums[3] + work.evaluations, sums[4] + work.pages, sums[5] + work.rows];
  END LOOP;
  RETURN QUERY SELECT name, round(sum / sums[1], 1)
    FROM unnest(ARRAY['', 'expansions', 'evaluations', 'pages pinned', 'rows measured'], sums) AS s (name, sum) WHERE name <> '';
END \$\$;
SQL
}

# bench_profile_time SET RECALL EF: what each group of functions takes of a query's microseconds.
bench_profile_time() {
    local backend microseconds samples=$home/perf.data loop
    microseconds=$(sql omendb -c "SET hnsw.ef_search = $3" -c "SELECT round(1000 * $1_milliseconds(3), 1)")
    sql omendb -c "SET hnsw.ef_search = $3" -c "SET application_name = 'profiled'" -c "SELECT $1_milliseconds(1000)" >/dev/null 2>&1 &
    loop=$!
    until backend=$(sql postgres -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'profiled'") && [[ $backend ]]; do :; done
    sleep 1
    if perf record -q -e cpu-clock -F 5000 -o "$samples" -p "$backend" -- sleep 4 2>/dev/null; then
        bench_result "$1" "microseconds of a query at recall $2" omendb "$microseconds" us
        while read -r what share; do
            bench_result "$1" "${what//_/ } at recall $2" omendb "$(bench_calculate "$microseconds * $share / 100" %.1f)" us
        done < <(perf report -q -i "$samples" --stdio --sort symbol --percent-limit 0 2>/dev/null | bench_profile_groups)
    else
        say "  perf may not sample here: no shares of time"
    fi
    sql postgres -c "SELECT pg_terminate_backend($backend)" >/dev/null
    wait "$loop" || true
}

# Lines of a perf report to groups of functions with their percents. What compilers put into a function counts as its own.
bench_profile_groups() {
    sed -E 's/IPC.*//; s/^ *([0-9.]+)% +\[(.)\] +(.*)$/\1 \2 \3/' | awk '
        function group(kind, name) {
            if (kind == "k") return "kernel"
            if (name ~ /quantize::|Query::|estimate/) return "codes"
            if (name ~ /PageGraph|storage::|unlocked|Reader/) return "slots_and_pages"
            if (name ~ /am::scan|RerankQueue/) return "rerank queue"
            if (name ~ /hnsw::|Search|Visited|BinaryHeap|sort/) return "walk"
            if (name ~ /toast|Toast|_bt_|btget|btrescan|index_getnext|index_rescan/) return "values_out_of_line"
            if (name ~ /heap|Heap|Row|Buffer|LWLock|hash_search/) return "rows"
            if (name ~ /distance::|wrapper/) return "distances"
            if (name ~ /[mp]alloc|AllocSet|MemoryContext|pfree|_int_free|cfree/) return "memory"
            return "executor"
        }
        NF >= 3 { name = $3; for (i = 4; i <= NF; i++) name = name " " $i; sum[group($2, name)] += $1 }
        END { for (what in sum) if (sum[what] >= 0.5) print what, sum[what] }' | sort -k2nr
}
