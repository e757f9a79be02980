# shellcheck shell=bash
# The data sets of ./dev bench: a table SET of rows in each engine's database, and SET_query with the exact nearest rows of each query.

# Each of the sets that are tables of the user, by name.
declare -A bench_own_spec

# Base, dimensions, rows.
bench_mixture='(wordnet|demo)(128|384)_([1-9][0-9]*)'

# Finds the data and checks SETS; of a TABLE:COLUMN there its set's name is left.
bench_sets_read() {
    local set name names=()
    DATA_DIR=${OMENDB_DATA:-$root/../shared/data}
    if [[ ! -r $DATA_DIR/wordnet_base.f16.npy ]]; then
        unset DATA_DIR
        say "large data sets not found (OMENDB_DATA=DIR names their folder): unless SETS says otherwise, rows are made of the 5,000 of the demo"
    fi
    for set in ${SETS:-}; do
        name=$set
        if [[ $set == *:* ]]; then
            name=$(bench_own_name "$set")
            bench_own_spec[$name]=$set
            [[ ${FROM:-} ]] || die "SETS=$set: FROM='dbname=...' says which database has the table"
        elif [[ $set =~ ^(wordnet|sift|text768|wide) && -z ${DATA_DIR:-} ]]; then
            die "SETS=$set needs the large data sets; OMENDB_DATA=DIR names their folder"
        elif [[ ! $set =~ ^(wordnet|sift|text768|wide|demo|clusters|spread|$bench_mixture)$ ]]; then
            die "there is no data set $set; there are wordnet, sift, text768, wide, demo, clusters, spread, mixtures as wordnet384_500000, wordnet128_500000 and demo384_50000, and TABLE:COLUMN"
        fi
        names+=("$name")
    done
    SETS=${names[*]}
}

# bench_sets BENCH: those of SETS, or the usual ones of a bench.
bench_sets() {
    local base=wordnet dimensions rows
    [[ ${DATA_DIR:-} ]] || base=demo
    if [[ $SETS ]]; then
        echo "$SETS"
    elif [[ $1 == scale ]]; then
        for dimensions in 384 128; do
            for rows in ${ROWS:-100000 500000 1000000}; do echo "$base${dimensions}_$rows"; done
        done
    elif [[ $1 == readers ]]; then
        echo demo
    elif [[ $base == demo ]]; then
        echo demo384_50000
    else
        echo wordnet sift
    fi
}

# bench_load ENGINE SET: its tables, unless they are there.
bench_load() {
    [[ -z $(sql "$1" -c "SELECT to_regclass('$2_query')") ]] || return 0
    say "loading $2 into $1"
    case $2 in
        wordnet) bench_load_arrays "$1" "$2" 384 wordnet_base.f16.npy wordnet_queries.f32.npy ;;
        sift) bench_load_arrays "$1" "$2" 128 sift_base.u8.npy sift_queries.u8.npy ;;
        demo) bench_load_demo "$1" ;;
        text768 | wide) bench_load_made "$1" "$2" ;;
        clusters | spread) bench_load_drawn "$1" "$2" ;;
        own_*) bench_load_own "$1" "$2" ;;
        *)
            [[ $2 =~ ^$bench_mixture$ ]]
            bench_load_mixed "$1" "$2" "${BASH_REMATCH[@]:1:3}"
            ;;
    esac
    sql "$1" -c "ANALYZE $2_query"
}

# bench_load_arrays ENGINE SET DIMENSIONS VECTORS QUERIES: from the large data sets.
bench_load_arrays() {
    sql "$1" -c "DROP TABLE IF EXISTS $2, $2_loading" -c "CREATE TABLE $2 (id int, embedding vector($3))" \
        -c "CREATE TABLE $2_loading (id int, embedding vector($3), nearest int[])"
    perl benches/npy_copy.pl "$DATA_DIR/$4" | sql "$1" -c "COPY $2 FROM STDIN WITH (FORMAT binary)"
    perl benches/npy_copy.pl "$DATA_DIR/$5" "$DATA_DIR/$2_truth_top100.i32.npy" |
        sql "$1" -c "COPY $2_loading FROM STDIN WITH (FORMAT binary)"
    sql "$1" -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM ANALYZE $2"
}

# bench_load_demo ENGINE: the rows and queries that the demo ships.
bench_load_demo() {
    sql "$1" -c 'DROP TABLE IF EXISTS demo, demo_loading' -c 'CREATE TABLE demo (id int, embedding vector(384))' \
        -c 'CREATE TABLE demo_loading (id int, embedding vector(384), nearest int[])'
    gzip -dc demo/wordnet.tsv.gz | cut -f 1,4 | sql "$1" -c 'COPY demo FROM STDIN'
    gzip -dc demo/wordnet_query.tsv.gz | cut -f 1,3,4 | sql "$1" -c 'COPY demo_loading FROM STDIN'
    sql "$1" -c 'ALTER TABLE demo_loading RENAME TO demo_query' -c 'VACUUM ANALYZE demo'
}

# bench_load_mixed ENGINE SET BASE DIMENSIONS ROWS: normalize(a + 0.6 b) of pairs of rows of a base, their first values; rows made
# likewise are the queries and, in SET_fresh, rows to insert.
bench_load_mixed() {
    local count queries=${QUERIES:-200} fresh=3000
    bench_load "$1" "$3"
    count=$(sql "$1" -c "SELECT count(*) FROM $3")
    sql "$1" -c "DROP TABLE IF EXISTS $2, $2_fresh, $2_loading" -c "CREATE TABLE $2 (id int, embedding vector($4))" \
        -c "CREATE TABLE $2_fresh (LIKE $2)" -c "CREATE TABLE $2_loading (LIKE $2)"
    bench_mix "$1" "$2" "$3" "$count" "$4" 0 "$5"
    bench_mix "$1" "$2_loading" "$3" "$count" "$4" "$5" "$queries"
    bench_mix "$1" "$2_fresh" "$3" "$count" "$4" $(($5 + queries)) "$fresh"
    sql "$1" -c "VACUUM ANALYZE $2"
    bench_load_nearest "$1" "$2"
}

# bench_mix ENGINE TABLE BASE COUNT DIMENSIONS FIRST ROWS: appends rows with ids from FIRST on, mixed of the COUNT rows of a base.
bench_mix() {
    sql "$1" -c "SET work_mem = '1GB'" -c "INSERT INTO $2
        SELECT i, l2_normalize(subvector(a.embedding, 1, $5) + subvector(b.embedding, 1, $5) * array_fill(0.6::real, ARRAY[$5])::vector)
          FROM generate_series($6, $6 + $7 - 1) i JOIN $3 a ON a.id = i % $4
            JOIN $3 b ON b.id = (i * 7919::bigint + (i / $4 + 1) * 104729::bigint) % $4"
}

# bench_load_nearest ENGINE SET: makes SET_query of SET_loading, whose queries get ids from 0 on and the ids of their exact nearest rows,
# among them all that are as far away as the tenth.
bench_load_nearest() {
    sql "$1" -c "CREATE TABLE $2_nearest AS SELECT (row_number() OVER (ORDER BY id) - 1)::int AS id, embedding,
            array(SELECT id FROM $2 ORDER BY embedding $(bench_operator "$2") q.embedding FETCH FIRST 10 ROWS WITH TIES) AS nearest
            FROM $2_loading q" \
        -c "DROP TABLE $2_loading" -c "ALTER TABLE $2_nearest RENAME TO $2_query"
}

# bench_own_name TABLE:COLUMN[:METRIC]: a name for its tables here.
bench_own_name() {
    local table column metric
    IFS=: read -r table column metric <<<"$1"
    [[ ${metric:=cosine} =~ ^(cosine|l2|ip)$ ]] || die "SETS=$1: metrics are cosine, l2 and ip, not '$metric'"
    echo "own_$(tr '[:upper:]' '[:lower:]' <<<"${table}_$column" | tr -c 'a-z0-9\n' _ | cut -c 1-30)_$metric"
}

# The tables of the user may have changed since the last run.
bench_own_forget() {
    local set engine
    for set in "${!bench_own_spec[@]}"; do
        for engine in ${ENGINES:-pgvector omendb}; do sql "$engine" -c "DROP TABLE IF EXISTS $set, ${set}_query"; done
    done
}

# bench_load_own ENGINE SET: the rows of a user's table in database FROM, which is only read. Every so many of them is a query
# instead: 200 in all, or QUERIES. A column of real[] or halfvec becomes one of vector.
bench_load_own() {
    local table column dimensions count queries=${QUERIES:-200}
    IFS=: read -r table column _ <<<"${bench_own_spec[$2]}"
    dimensions=$(bench_own_read "SELECT cardinality(string_to_array($column::text, ',')) FROM $table WHERE $column IS NOT NULL LIMIT 1")
    [[ $dimensions ]] || die "$table has no row with a $column"
    ((dimensions <= 2000)) || die "$column has $dimensions dimensions; an index of vector may have 2,000"
    sql "$1" -c "DROP TABLE IF EXISTS $2, $2_loading" -c "CREATE TABLE $2 (id int, embedding vector($dimensions))"
    bench_own_read "COPY (SELECT row_number() OVER () - 1, translate($column::text, '{}', '[]') FROM $table
        WHERE $column IS NOT NULL ${ROWS:+LIMIT $ROWS}) TO STDOUT" | sql "$1" -c "COPY $2 FROM STDIN"
    count=$(sql "$1" -c "SELECT count(*) FROM $2")
    ((count >= 10 * queries)) || die "$table has $count rows with a $column, and $queries queries need ten times as many; QUERIES=N takes fewer"
    sql "$1" -c "CREATE TABLE $2_loading AS SELECT * FROM $2 WHERE id % ($count / $queries) = 0 ORDER BY id LIMIT $queries" \
        -c "DELETE FROM $2 USING $2_loading q WHERE $2.id = q.id" -c "VACUUM FULL $2" -c "VACUUM ANALYZE $2"
    bench_load_nearest "$1" "$2"
}

# bench_own_read STATEMENT: in the user's database.
bench_own_read() {
    "$bin/psql" -d "$FROM" -X -q -A -t -v ON_ERROR_STOP=1 -c 'SET default_transaction_read_only = on' -c "$1"
}

# bench_load_made ENGINE SET: vectors that are longer than those of wordnet, made of copies of them, each turned another way (its
# halves or quarters change places, which keeps distances) and moved by a fifth of another row. The exact neighbors are
# found where rows are not kept out of line: that is many times faster.
bench_load_made() {
    local rows queries copies vector noise
    case $2 in
        text768) rows=35000 queries=500 copies=(a c) ;;
        wide) rows=50000 queries=200 copies=(a b c d) ;;
    esac
    bench_load "$1" wordnet
    vector="($(bench_made_vector "${copies[@]}"))::vector($((384 * ${#copies[@]})))"
    noise=$(bench_made_noise "${copies[@]}")
    sql "$1" -c "DROP TABLE IF EXISTS $2, noise, $2_plain, $2_loading" \
        -c 'CREATE TABLE noise AS SELECT row_number() OVER (ORDER BY id) - 1 AS id,
            embedding * array_fill(0.2::real, ARRAY[384])::vector AS embedding FROM wordnet WHERE id % 11 = 0' \
        -c 'ALTER TABLE noise ADD PRIMARY KEY (id)' \
        -c "CREATE TABLE $2 (id int, embedding vector($((384 * ${#copies[@]}))))" \
        -c "INSERT INTO $2 SELECT id, $vector FROM wordnet v, $noise WHERE id < $rows" \
        -c "CREATE TABLE $2_plain (LIKE $2)" -c "ALTER TABLE $2_plain ALTER embedding SET STORAGE PLAIN" \
        -c "INSERT INTO $2_plain SELECT * FROM $2" \
        -c "CREATE TABLE $2_loading AS SELECT id, $vector AS embedding, '{}'::int[] AS nearest
            FROM wordnet_query v, $noise WHERE id < $queries" \
        -c "UPDATE $2_loading q SET nearest = array(SELECT id FROM $2_plain ORDER BY embedding <=> q.embedding LIMIT 10)" \
        -c "DROP TABLE noise, $2_plain" \
        -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM ANALYZE $2"
}

# bench_load_drawn ENGINE SET: vectors drawn at random, the same in each engine. clusters: 256 centers of 64 dimensions with their rows
# close around them, in a handful of directions; spread: 96 dimensions, each narrower than the one before, and no groups.
bench_load_drawn() {
    local rows queries dimensions vector
    case $2 in
        clusters) rows=60000 queries=500 dimensions=64
            vector='array_agg(c.at[j] + 0.25 * random_normal() / sqrt(j) ORDER BY j)' ;;
        spread) rows=40000 queries=500 dimensions=96 vector='array_agg(random_normal() / (1 + j / 24.0) ORDER BY j)' ;;
    esac
    sql "$1" -c "DROP TABLE IF EXISTS $2, $2_loading, center" -c 'SELECT setseed(0.5)' \
        -c "CREATE TABLE center AS SELECT c, array_agg(random_normal() ORDER BY j) AS at
            FROM generate_series(0, 255) c, generate_series(1, $dimensions) j GROUP BY c" -c 'ALTER TABLE center ADD PRIMARY KEY (c)' \
        -c "CREATE TABLE $2 (id int, embedding vector($dimensions))" \
        -c "INSERT INTO $2 SELECT i, (SELECT $vector FROM center c, generate_series(1, $dimensions) j WHERE c.c = hashint4(i) & 255)::vector
            FROM generate_series(1, $((rows + queries))) i" \
        -c "CREATE TABLE $2_loading AS SELECT id, embedding, '{}'::int[] AS nearest FROM $2 WHERE id > $rows" \
        -c "DELETE FROM $2 WHERE id > $rows" \
        -c "UPDATE $2_loading q SET nearest = array(SELECT id FROM $2 ORDER BY embedding $(bench_operator "$2") q.embedding LIMIT 10)" \
        -c 'DROP TABLE center' -c "ALTER TABLE $2_loading RENAME TO $2_query" -c "VACUUM FULL $2" -c "ANALYZE $2"
}

# bench_made_vector COPY...: an expression.
bench_made_vector() {
    local copy vector=''
    for copy in "$@"; do
        case $copy in
            a) vector+='(embedding' ;;
            b) vector+=' || ((subvector(embedding, 97, 288) || subvector(embedding, 1, 96))' ;;
            c) vector+=' || ((subvector(embedding, 193, 192) || subvector(embedding, 1, 192))' ;;
            d) vector+=' || ((subvector(embedding, 289, 96) || subvector(embedding, 1, 288))' ;;
        esac
        vector+=" + noise.$copy)"
    done
    echo "$vector"
}

# bench_made_noise COPY...: as many rows of noise for a row v.
bench_made_noise() {
    local copy lookups=()
    for copy in "$@"; do
        lookups+=("(SELECT embedding FROM noise WHERE id = (v.id::bigint * 7919 + ascii('$copy') * 331) % 10000) AS $copy")
    done
    local IFS=,
    echo "LATERAL (SELECT ${lookups[*]}) AS noise"
}

bench_operator() {
    case $1 in
        sift | demo | clusters | spread | own_*_l2) echo '<->' ;;
        own_*_ip) echo '<#>' ;;
        *) echo '<=>' ;;
    esac
}

bench_operator_class() {
    case $(bench_operator "$1") in
        '<->') echo vector_l2_ops ;;
        '<#>') echo vector_ip_ops ;;
        *) echo vector_cosine_ops ;;
    esac
}
