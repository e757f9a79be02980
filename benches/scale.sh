# shellcheck shell=bash
# Growth with the rows: CREATE INDEX with 64 MB and with ample memory, queries, inserts and VACUUM of sets of 100,000 to a million rows
# (ROWS="100000 2000000" takes others), which are dropped afterwards. An index that takes more than an hour is left out.

# shellcheck source=benches/query.sh
source benches/query.sh
# shellcheck source=benches/vacuum.sh
source benches/vacuum.sh

bench_scale() {
    local hour="SET statement_timeout = '1h'"
    [[ $2 =~ ^$bench_mixture$ ]] || die "scale measures mixtures such as wordnet384_500000, not $2"
    if bench_build_with "$1" "$2" 3GB '' "$hour"; then
        bench_result "$2" 'index size' "$1" "$(sql "$1" -c "SELECT round(pg_relation_size('$2_embedding') / 1048576.0, 1)")" MB
        bench_scale_ratio "$1" "$2"
        bench_mark_index "$1" "$2"
        bench_query "$1" "$2"
        bench_scale_insert "$1" "$2"
        sql "$1" -c "DELETE FROM $2 WHERE id % 100 = 0"
        bench_vacuum_time "$1" "$2" "$2" '1 % deleted'
    fi
    if bench_build_with "$1" "$2" 64MB ' with 64MB' "$hour"; then
        bench_scale_compare "$1" "$2" 'CREATE INDEX with 64MB, to that with ample memory' \
            "$2" 'CREATE INDEX with 64MB' "$2" 'CREATE INDEX'
    fi
    sql "$1" -c "DROP TABLE $2, $2_query, $2_fresh"
}

# bench_scale_ratio ENGINE SET: beside the smallest set of this run.
bench_scale_ratio() {
    local first
    for first in $(bench_sets scale); do
        [[ ${first%_*} != "${2%_*}" ]] || break
    done
    bench_scale_compare "$1" "$2" "processor time of a row, to that of ${first##*_} rows" \
        "$2" 'CREATE INDEX, processor time of a row' "$first" 'CREATE INDEX, processor time of a row'
}

# bench_scale_compare ENGINE SET MEASURE SET MEASURE SET MEASURE: reports the quotient of two measurements as a third.
bench_scale_compare() {
    bench_result "$2" "$3" "$1" "$(sql postgres -c "SELECT round(a.value / b.value, 2) FROM result a, result b
        WHERE a.engine = '$1' AND a.set = '$4' AND a.measure = '$5' AND b.engine = '$1' AND b.set = '$6' AND b.measure = '$7'")" ''
}

# bench_scale_insert ENGINE SET: one client in one transaction, a statement each.
bench_scale_insert() {
    local milliseconds
    milliseconds=$(sql "$1" -c '\timing on' -c "DO \$\$
        DECLARE fresh record;
        BEGIN
          FOR fresh IN SELECT id, embedding FROM $2_fresh LOOP
            INSERT INTO $2 VALUES (fresh.id, fresh.embedding);
          END LOOP;
        END \$\$" | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p')
    bench_result "$2" INSERT "$1" "$(bench_calculate "1000 * $(sql "$1" -c "SELECT count(*) FROM $2_fresh") / $milliseconds" %.0f)" rows/s
}
