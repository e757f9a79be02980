# shellcheck shell=bash
# recall@10 of rows that were inserted into an empty index, beside the same index built anew: made-up rows of several kinds, by
# benches/arrivals.sql. SET is of no matter: it runs once for each engine.

arrivals_rows=(
    'positive 3 ip <#>' 'positive 32 ip <#>' 'positive 64 ip <#>'
    'lognormal 32 ip <#>' 'lognormal 64 ip <#>' 'lognormal 128 ip <#>' 'gauss 64 ip <#>'
    'lognormal 64 l2 <->' 'lengths 64 l2 <->' 'sparse 300 l2 <->' 'gauss 32 l2 <->' 'unit 64 cosine <=>'
)

bench_arrivals() {
    [[ $2 == wordnet ]] || return 0
    local row kind dimensions metric operator how ef recall
    sql "$1" -c 'DROP FUNCTION IF EXISTS arrivals, arrivals_recall, arrivals_vector, arrivals_normal' -f benches/arrivals.sql
    for row in "${arrivals_rows[@]}"; do
        read -r kind dimensions metric operator <<<"$row"
        while IFS='|' read -r how ef recall; do
            bench_result "$kind $dimensions" "$metric, $how, recall@10 at ef_search $ef" "$1" "$recall" ''
        done < <(sql "$1" -c "SELECT * FROM arrivals('$kind', $dimensions, 'vector_${metric}_ops', '$operator', ${ROWS:-10000})")
    done
}
