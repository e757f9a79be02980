# shellcheck shell=bash
# Rows a second of one client that inserts row by row, in one transaction, into an indexed table: the last
# 3,000 rows of a set into an index of all the others.

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
    sql "$1" -c "DROP TABLE $2_insert"
}
