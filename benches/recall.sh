# shellcheck shell=bash
# Recall against omendb.target_recall with held-out queries: reached, evaluations beside those of the hnsw.ef_search of the same
# recall, and the worst 1 %; as built, after rows of another distribution came, and after half of the rows went. Milliseconds
# beside pgvector's, the time of a calibration and of hnsw_recall.
#
# Sets beside those of the other benches: clusters (tight groups) and spread (no groups, few near neighbors).

# shellcheck source=benches/query.sh
source benches/query.sh

bench_recall() {
    local phase k
    bench_recall_times "$1" "$2"
    [[ $1 == omendb ]] || return 0
    bench_recall_prepare "$2"
    for phase in built grown shrunk; do
        bench_recall_phase "$2" "$phase"
        for k in ${K:-1 10 100}; do bench_recall_measure "$2" "$phase" "$k"; done
    done
    sql omendb -c "DROP TABLE $2_live, $2_asked"
}

# bench_recall_times ENGINE SET: milliseconds of a query at recall .95 and .99 by hnsw.ef_search, and in omendb also for these
# targets, with the recall that they reach.
bench_recall_times() {
    local target_recall ef setting
    bench_need_index "$1" "$2"
    bench_query_functions "$1" "$2"
    for target_recall in .95 .99; do
        ef=$(bench_ef_for "$1" "$2" "$target_recall")
        [[ -z $ef ]] || bench_query_time "$1" "$2" "$target_recall" "$ef"
        [[ $1 == omendb ]] || continue
        setting="SET omendb.target_recall = $target_recall"
        bench_result "$2" "recall@10 for target $target_recall" "$1" "$(sql "$1" -c "$setting" -c "SELECT round($2_recall(), 4)")" ''
        bench_result "$2" "a query for target $target_recall" "$1" \
            "$(sql "$1" -c "$setting" -c "SELECT round($2_milliseconds(3), 3)")" ms
    done
}

# A copy of the set's rows but for those held out as queries, beside the set's own: the index of the other benches stays as it is.
bench_recall_prepare() {
    local before build calibration start
    sql omendb -c "DROP TABLE IF EXISTS $1_live, $1_asked, $1_curve" \
        -c "CREATE TABLE $1_live AS SELECT id, embedding FROM $1 WHERE id % 40 <> 7" \
        -c "CREATE TABLE $1_asked AS SELECT embedding FROM $1_query UNION ALL SELECT embedding FROM $1 WHERE id % 40 = 7" \
        -c "CREATE TABLE $1_curve (phase text, k int, setting text, value float8, recall float8, worst_percent float8,
            evaluations float8, milliseconds float8)"
    before=$(bench_processor_time)
    sql omendb -c "CREATE INDEX $1_live_embedding ON $1_live USING hnsw (embedding $(bench_operator_class "$1"))"
    build=$(bench_calculate "$(bench_processor_time) - $before")
    before=$(bench_processor_time)
    sql omendb -c "SELECT hnsw_calibrate('$1_live_embedding')" >/dev/null
    calibration=$(bench_calculate "$(bench_processor_time) - $before")
    bench_result "$1" 'hnsw_calibrate, share of the processor time of CREATE INDEX' omendb \
        "$(bench_calculate "$calibration / $build" %.3f)" ''
    start=$(date +%s.%N)
    sql omendb -c "SELECT recall FROM hnsw_recall('$1_live_embedding', 10, 100)" >/dev/null
    bench_result "$1" 'hnsw_recall of 100 queries' omendb "$(bench_calculate "$(date +%s.%N) - $start")" s
}

# bench_recall_phase SET PHASE: half as many rows more, each with the halves of its vector exchanged; half of all rows fewer.
bench_recall_phase() {
    case $2 in
        grown)
            sql omendb -c "INSERT INTO $1_live SELECT -id, (subvector(embedding, h + 1, d - h) || subvector(embedding, 1, h))
                FROM $1, LATERAL (SELECT vector_dims(embedding) AS d, vector_dims(embedding) / 2 AS h) s WHERE id % 2 = 0" ;;
        shrunk) sql omendb -c "DELETE FROM $1_live WHERE hashint4(id) % 2 = 0" -c "VACUUM $1_live" ;;
    esac
}

# bench_recall_measure SET PHASE K
bench_recall_measure() {
    local reached=recall@$3 line target recall ef share worst
    sql omendb -c "INSERT INTO $1_curve SELECT '$2', $3, setting, value, recall, worst_percent, evaluations, milliseconds
        FROM hnsw_recall_curve('$1_live_embedding', $3, ${QUERIES:-1000}, 'SELECT embedding FROM $1_asked LIMIT ${QUERIES:-1000}',
            ef_search => '{4,8,14,20,28,40,56,80,112,160,224,320,450,640,900}',
            target_recall => '{0.9,0.95,0.97,0.98,0.99,0.995}')"
    while IFS='|' read -r target recall ef share worst; do
        bench_result "$1" "$2: $reached for a target of $target" omendb "$recall" ''
        [[ -z $ef ]] || bench_result "$1" "$2: $reached for a target of $target, evaluations to those of ef_search" omendb "$share" ''
        [[ -z $ef ]] || bench_result "$1" "$2: $reached for a target of $target, worst 1 % less that of ef_search" omendb "$worst" ''
    done < <(bench_recall_compare "$1" "$2" "$3")
}

# bench_recall_compare SET PHASE K: for each target the recall reached, and ef_search, evaluations and worst 1 % of the fixed effort of
# the same recall, between two measured ones (linear in the recall).
bench_recall_compare() {
    sql omendb -c "
        WITH curve AS (SELECT * FROM $1_curve WHERE phase = '$2' AND k = $3),
            fixed AS (SELECT value, recall, evaluations, worst_percent, lead(recall) OVER w AS next_recall,
                lead(evaluations) OVER w AS next_evaluations, lead(worst_percent) OVER w AS next_worst
                FROM curve WHERE setting = 'hnsw.ef_search' WINDOW w AS (ORDER BY value))
        SELECT DISTINCT ON (t.value) t.value, round(t.recall::numeric, 4), f.value,
            round((t.evaluations / (f.evaluations + way * (f.next_evaluations - f.evaluations)))::numeric, 3),
            round((t.worst_percent - (f.worst_percent + way * (f.next_worst - f.worst_percent)))::numeric, 3)
        FROM curve t LEFT JOIN fixed f ON t.recall >= f.recall AND t.recall < f.next_recall,
            LATERAL (SELECT (t.recall - f.recall) / (f.next_recall - f.recall) AS way) s
        WHERE t.setting = 'omendb.target_recall' ORDER BY t.value, f.value"
}
