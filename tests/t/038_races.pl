# Unlocked reads while buffers change hands: a library that pauses within them (src/pg/races.rs), as few buffers as a server takes,
# and relations that come and go. Each search finds the rows, in the order, that a sequential scan has found; each copy that was
# accepted has the bytes of its page; and the reads have found hundreds of changed buffers. For `./dev test --races`.
#
# OMENDB_SECONDS is the time for each number of buffers.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

$ENV{OMENDB_RACES} or plan skip_all => 'only ./dev test --races builds a library that pauses';
my $seconds = $ENV{OMENDB_SECONDS} || 20;

my $node = PostgreSQL::Test::Cluster->new('races');
$node->init;
Wordnet::configure($node, 'max_connections = 20');
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }

sql(<<'SQL');
CREATE EXTENSION omendb;
CREATE FUNCTION unlocked_reads() RETURNS bigint[] AS '$libdir/omendb', 'unlocked_reads_wrapper' LANGUAGE c;
CREATE FUNCTION sample(i int, dims int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(sin(i * 17 + j * j * 0.37 + i * j * 1.01))::vector FROM generate_series(1, dims) j';

-- Values in the row, and values in the TOAST table.
CREATE TABLE short (id int, v vector(24));
INSERT INTO short SELECT i, sample(i, 24) FROM generate_series(1, 12000) i;
CREATE TABLE wide (id int, v vector(1000));
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, sample(i, 1000) FROM generate_series(1, 400) i;
CREATE INDEX short_v ON short USING hnsw (v vector_l2_ops);
CREATE INDEX wide_v ON wide USING hnsw (v vector_l2_ops);
CREATE TABLE other (id int, v vector(24));
CREATE INDEX other_v ON other USING hnsw (v vector_l2_ops);

-- What a sequential scan finds for queries beside rows.
CREATE FUNCTION queries(dims int) RETURNS SETOF vector LANGUAGE plpgsql AS
  'BEGIN RETURN QUERY SELECT sample(100000 + i, dims) FROM generate_series(1, 40) i; END';
CREATE TABLE expected (relation text, query vector, ids int[], distances float8[]);
SET enable_indexscan = off;
INSERT INTO expected
  SELECT 'short', q, array_agg(id ORDER BY d), array_agg(d ORDER BY d) FROM queries(24) q,
    LATERAL (SELECT id, v <-> q AS d FROM short ORDER BY d LIMIT 10) s GROUP BY q;
INSERT INTO expected
  SELECT 'wide', q, array_agg(id ORDER BY d), array_agg(d ORDER BY d) FROM queries(1000) q,
    LATERAL (SELECT id, v <-> q AS d FROM wide ORDER BY d LIMIT 10) s GROUP BY q;

CREATE FUNCTION found(relation text, query vector, OUT ids int[], OUT distances float8[]) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SELECT array_agg(id), array_agg(d) FROM (SELECT id, v <-> $1 AS d FROM %I ORDER BY v <-> $1 LIMIT 10) s', relation)
    USING query INTO ids, distances;
END $$;

CREATE TABLE counts (relation text, searches int, reads bigint[]);
CREATE PROCEDURE search(name text, seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  wanted expected; got record; searches int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    FOR wanted IN SELECT * FROM expected WHERE relation = name ORDER BY random() LIMIT 5 LOOP
      got := found(name, wanted.query);
      IF got.ids <> wanted.ids OR got.distances <> wanted.distances THEN
        RAISE '% found % at %, not % at %', name, got.ids, got.distances, wanted.ids, wanted.distances;
      END IF;
      searches := searches + 1;
    END LOOP;
    COMMIT;
  END LOOP;
  INSERT INTO counts VALUES (name, searches, unlocked_reads());
END $$;

-- One statement has one snapshot for both scans, of rows that come and go.
CREATE PROCEDURE search_other(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  query vector; near float8[]; nearest float8[]; searches int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    query := sample(100000 + searches, 24);
    SELECT (SELECT array_agg(d) FROM (SELECT v <-> query AS d FROM other ORDER BY v <-> query LIMIT 10) s),
        (SELECT array_agg(d) FROM (SELECT l2_distance(v, query) AS d FROM other ORDER BY d LIMIT 10) s) INTO near, nearest;
    IF near IS DISTINCT FROM nearest THEN
      RAISE 'other found %, not %', near, nearest;
    END IF;
    searches := searches + 1;
    COMMIT;
  END LOOP;
  INSERT INTO counts VALUES ('other', searches, unlocked_reads());
END $$;

-- New files for `other`, and tables that are dropped again.
CREATE PROCEDURE replace(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  batch int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    batch := batch + 1;
    TRUNCATE other;
    INSERT INTO other SELECT i, sample(i, 24) FROM generate_series(batch, batch + 40) i;
    COMMIT;
    CREATE TABLE passing AS SELECT i AS id, sample(i, 24)::vector(24) AS v FROM generate_series(batch, batch + 200) i;
    CREATE INDEX ON passing USING hnsw (v vector_l2_ops);
    PERFORM id FROM passing ORDER BY v <-> sample(batch, 24) LIMIT 10;
    COMMIT;
    DROP TABLE passing;
    COMMIT;
  END LOOP;
  INSERT INTO counts VALUES ('passing', batch, unlocked_reads());
END $$;
SQL

my $by_index = 'SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 100';
my $lost = sql(<<"SQL");
$by_index;
DELETE FROM expected e WHERE (SELECT f.ids <> e.ids FROM found(relation, query) f);
SELECT string_agg(relation || ' ' || n, ', ') FROM (SELECT relation, count(*) AS n FROM expected GROUP BY 1 HAVING count(*) < 20) s;
SQL
is($lost, '', 'without races searches find what a sequential scan finds');
like(sql("$by_index; EXPLAIN SELECT id FROM $_ ORDER BY v <-> (SELECT query FROM expected LIMIT 1) LIMIT 10"), qr/Index Scan using ${_}_v/,
  "searches of $_ take the index")
  for 'short', 'wide';

sub races {
  my ($buffers) = @_;
  $node->append_conf('postgresql.conf', "shared_buffers = $buffers");
  $node->restart;
  sql('TRUNCATE counts');
  my @sessions = map { Wordnet::session($node, $by_index, $_) } (
    "CALL search('short', $seconds)", "CALL search('short', $seconds)", "CALL search('wide', $seconds)", "CALL search_other($seconds)",
    "CALL replace($seconds)");
  Wordnet::output($_) for @sessions;
  pass("$buffers: all searches found the rows of a sequential scan");
  my ($searches, $paused, $changed, $stale, $compared, $wrong) = split /\|/, sql(<<'SQL');
SELECT sum(searches), sum(reads[1]), sum(reads[2]), sum(reads[3]), sum(reads[4]) FILTER (WHERE stays), sum(reads[5]) FILTER (WHERE stays)
  FROM (SELECT *, relation IN ('short', 'wide') AS stays FROM counts) s
SQL
  note "$buffers: " . sql("SELECT string_agg(format('%s %s %s', relation, searches, reads), '; ') FROM counts");
  cmp_ok($changed, '>=', 300, "$buffers: buffers changed hands within $changed of $paused reads that paused, in $searches searches");
  cmp_ok($stale, '>=', 300, "$buffers: $stale hints were out of date when they were used");
  cmp_ok($compared, '>=', 100, "$buffers: $compared copies compared with the file");
  is($wrong, 0, "$buffers: none of them had bytes of another page");
}

races($_) for '128kB', '512kB', '1MB';
is(sql("SELECT * FROM hnsw_check('$_', heapallindexed => true)"), '', "$_: no damage") for 'short_v', 'wide_v', 'other_v';
done_testing();
