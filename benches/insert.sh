# shellcheck shell=bash
# Rows a second of one client that inserts row by row, in one transaction, into an indexed table: the last
# 3,000 rows of a set into an index of all the others. Then how long an INSERT takes beside three others.

# shellcheck source=benches/build.sh
source benches/build.sh

bench_insert() {
    local rows=3000 last seconds
    last=$(sql "$1" -c "SELECT max(id) - $rows FROM $2")
    sql "$1" -c "DROP TABLE IF EXISTS $2_insert" -c "CREATE TABLE $2_insert AS SELECT * FROM $2 WHERE id <= $last"
    bench_create_index "$1" "$2_insert" "$2"
    seconds=$(sql "$1" -c '\timing on' -c "DO \$\$
        DECLARE fresh record;
        BEGIN
          FOR fresh IN SELECT id, embedding FROM $2 WHERE id > $last LOOP
            INSERT INTO $2_insert VALUES (fresh.id, fresh.embedding);
          END LOOP;
        END \$\$" | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | awk '{ print $1 / 1000 }')
    bench_result "$2" 'INSERT' "$1" "$(bench_calculate "$rows / $seconds" %.0f)" rows/s
    bench_insert_latency "$1" "$2" "$last"
    sql "$1" -c "DROP TABLE $2_insert"
}

# Milliseconds that an INSERT takes beside three others, each a transaction: half of them and 99 in 100 take no longer.
bench_insert_latency() {
    local log=$home/insert_latency script=$home/insert.sql
    sql "$1" -c "DROP TABLE IF EXISTS fresh" -c "CREATE TABLE fresh AS SELECT row_number() OVER () AS number, embedding FROM $2 WHERE id > $3" \
        -c "ALTER TABLE fresh ADD PRIMARY KEY (number)" -c 'CREATE SEQUENCE IF NOT EXISTS fresh_number' -c "SELECT setval('fresh_number', 1)" >/dev/null
    echo "INSERT INTO $2_insert SELECT number, embedding FROM fresh WHERE number = (SELECT nextval('fresh_number'));" >"$script"
    rm -f "$log".*
    PGHOST=$run PGPORT=$port PGUSER=postgres "$bin/pgbench" --no-vacuum --client=4 --jobs=1 --transactions=700 --protocol=prepared \
        --log --log-prefix="$log" --file="$script" "$1" >/dev/null 2>&1
    bench_result "$2" 'INSERT beside 3 others, median' "$1" "$(bench_insert_percentile "$log" 50)" ms
    bench_result "$2" 'INSERT beside 3 others, 99th percentile' "$1" "$(bench_insert_percentile "$log" 99)" ms
    sql "$1" -c 'DROP TABLE fresh' -c 'DROP SEQUENCE fresh_number'
}

bench_insert_percentile() {
    cat "$1".* | awk '{ print $3 }' | sort -n | awk -v share="$2" '{ at[NR] = $1 } END { printf "%.2f\n", at[int(NR * share / 100)] / 1000 }'
}
