# shellcheck shell=bash
# Growth of the time of CREATE INDEX with the rows, with one thread and with two: rows of sift, and beyond its 200,000
# the same moved by noise. Only omendb.

# shellcheck source=benches/build.sh
source benches/build.sh

bench_growth() {
    [[ $1 == omendb && $2 == sift ]] || return 0
    local rows threads
    for rows in 25000 50000 100000 200000 400000; do
        bench_growth_table "$rows"
        for threads in 1 2; do
            bench_create_index "$1" growth sift "SET max_parallel_maintenance_workers = $((threads - 1))"
            bench_result growth "$rows rows, $threads thread$([[ $threads == 1 ]] || echo s)" "$1" "$(bench_fact seconds)" s
        done
    done
    sql "$1" -c 'DROP TABLE growth'
}

bench_growth_table() {
    sql omendb -c 'DROP TABLE IF EXISTS growth' -c "CREATE TABLE growth AS
        SELECT id, embedding FROM sift WHERE id < $1
        UNION ALL
        SELECT a.id + 200000, (a.embedding + b.embedding * array_fill(0.1::real, ARRAY[128])::vector)::vector(128)
          FROM sift a JOIN sift b ON b.id = (a.id::bigint * 7919 + 101) % 200000 WHERE a.id + 200000 < $1" \
        -c 'ALTER TABLE growth ALTER embedding TYPE vector(128)' -c 'VACUUM ANALYZE growth'
}
