# Scans that last: filters on real data, rescans without end, cursors beside vacuums, memory, a server that starts again.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = Wordnet::node('scans');
Wordnet::index($node, 'vector_cosine_ops');

sub sql { return $node->safe_psql('postgres', @_); }

# The lines that a session says, with statements of others in between: those after `other:` run in a session of their own.
sub lines_of {
  my ($script) = @_;
  my $psql = q(psql -XAtq -v ON_ERROR_STOP=1 -d ") . $node->connstr('postgres') . q(" -c);
  $script =~ s/^other: (.*)$/\\! $psql "$1" 2>&1/mg;
  return split /\n/, sql($script);
}

# Filters that reject half of the rows, 99 of 100, 999 of 1,000: the LIMIT is met, by the nearest.
sql(<<'SQL');
ALTER TABLE wordnet ADD COLUMN share float8;
UPDATE wordnet SET share = (hashint4(id) & 65535) / 65536.0;
VACUUM FULL ANALYZE wordnet;
CREATE FUNCTION search(most float8, count int) RETURNS TABLE (query int, id int, d float8) LANGUAGE sql AS $$
  SELECT q.id, n.id, n.d FROM wordnet_query q CROSS JOIN LATERAL
    (SELECT w.id, w.embedding <=> q.embedding AS d FROM wordnet w WHERE share < most ORDER BY w.embedding <=> q.embedding LIMIT count) n
$$;
SQL

sub check_filter {
  my ($mode, $most, $count) = @_;
  my ($wanted, $rows, $distinct, $hits) = split /\|/, sql(<<"SQL");
SET enable_indexscan = off;
CREATE TEMP TABLE exact AS SELECT query, count(*) AS rows, max(d) AS furthest FROM search($most, $count) GROUP BY query;
RESET enable_indexscan;
SET enable_seqscan = off;
SET enable_sort = off;
SET hnsw.iterative_scan = $mode;
CREATE TEMP TABLE found AS SELECT * FROM search($most, $count);
SELECT (SELECT sum(rows) FROM exact), count(*), count(DISTINCT (query, id)), sum((d <= furthest)::int) FROM found JOIN exact USING (query);
SQL
  my $what = "$mode, $most of the rows, LIMIT $count";
  is($rows, $wanted, "$what: the LIMIT is met");
  is($distinct, $rows, "$what: rows are distinct");
  cmp_ok($hits / $wanted, '>=', 0.95, sprintf "$what: recall %.4f", $hits / $wanted);
}

for my $mode ('strict_order', 'relaxed_order') {
  check_filter($mode, @$_) for [ 0.5, 10 ], [ 0.01, 10 ], [ 0.001, 3 ];
}

# A cursor stands while rows that it has not come to are deleted, vacuumed and replaced. Those deleted before it was declared
# go at once, and their places are taken by others; those deleted later it still sees. No vacuum waits for it.
{
  my ($seen, $distinct, $ascending, $wrong, $before) = map { split /\|/ } grep { /\|/ } lines_of(<<'SQL');
DELETE FROM wordnet WHERE id % 3 = 0;
SET enable_seqscan = off;
SET hnsw.max_scan_tuples = 1000000;
SET hnsw.scan_mem_multiplier = 100;
CREATE TABLE seen (n serial, id int, d float8);
CREATE TABLE old AS SELECT id FROM wordnet;
CREATE PROCEDURE take(cursor refcursor, count int) LANGUAGE plpgsql AS $$
DECLARE
  row record;
BEGIN
  FOR i IN 1..count LOOP
    FETCH cursor INTO row;
    EXIT WHEN NOT FOUND;
    INSERT INTO seen (id, d) VALUES (row.id, row.d);
  END LOOP;
END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE c CURSOR FOR SELECT id, embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 1) AS d FROM wordnet
  ORDER BY embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 1);
CALL take('c', 100);
other: SET statement_timeout = '60s'; VACUUM wordnet
other: INSERT INTO wordnet SELECT id + 100000, topic, text, embedding, share FROM wordnet WHERE id % 3 = 1
CALL take('c', 500);
other: DELETE FROM wordnet WHERE id % 3 = 1
other: SET statement_timeout = '60s'; VACUUM wordnet
CALL take('c', 100000);
COMMIT;
SELECT count(*), count(DISTINCT id), bool_and(d >= previous), count(*) FILTER (WHERE id NOT IN (SELECT id FROM old)),
  (SELECT count(*) FROM old) FROM (SELECT *, lag(d) OVER (ORDER BY n) AS previous FROM seen) s;
SQL
  cmp_ok($seen, '>=', 0.95 * $before, "a cursor sees $seen of $before rows, whatever others do");
  is($distinct, $seen, 'each of them once');
  is($ascending, 't', 'in order');
  is($wrong, 0, 'and none that came later');
  is(Wordnet::check($node), '', 'no damage');
  sql('VACUUM wordnet');
  is(Wordnet::lost($node, operator_class => 'vector_cosine_ops'), 0, 'every row can be found');
}

# The same where values are out of line: vacuum takes away values, and their numbers, beside the cursor.
{
  my ($seen, $wrong) = map { split /\|/ } grep { /\|/ } lines_of(<<'SQL');
CREATE TABLE long (id int, embedding vector(768));
INSERT INTO long SELECT row_number() OVER (ORDER BY id), embedding || embedding FROM wordnet LIMIT 1500;
CREATE INDEX long_embedding ON long USING hnsw (embedding vector_l2_ops);
CREATE TABLE distances AS SELECT id, embedding <-> (SELECT embedding FROM long WHERE id = 1) AS d FROM long;
DELETE FROM long WHERE id % 2 = 0;
SET enable_seqscan = off;
TRUNCATE seen;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DECLARE c CURSOR FOR SELECT id, embedding <-> (SELECT embedding FROM long WHERE id = 1) AS d FROM long
  ORDER BY embedding <-> (SELECT embedding FROM long WHERE id = 1) LIMIT 300;
CALL take('c', 20);
other: SET statement_timeout = '60s'; VACUUM long
other: INSERT INTO long SELECT id, subvector(embedding, 385, 384) || subvector(embedding, 1, 384) FROM long
other: DELETE FROM long WHERE id % 3 = 0
other: SET statement_timeout = '60s'; VACUUM long
CALL take('c', 300);
COMMIT;
SELECT count(DISTINCT id), count(*) FILTER (WHERE s.d IS DISTINCT FROM distances.d) FROM seen s JOIN distances USING (id);
SQL
  is($seen, 300, 'a cursor over values out of line sees its rows');
  is($wrong, 0, 'at their distances');
}

# A statement that searches 100,000 times takes no more memory than one that searches 5,000 times.
sub kilobytes {
  my ($what) = @_;
  return "SELECT substring(pg_read_file('/proc/self/status') from '$what:\\s+(\\d+)') || '|'";
}

SKIP: {
  skip 'the memory of a process is read from /proc', 5 unless -r '/proc/self/status';
  for my $table ('wordnet', 'long') {
    my $search = sub {
      my ($times) = @_;
      return <<"SQL";
SELECT count(n.id) FROM generate_series(1, $times / 50) s CROSS JOIN q CROSS JOIN LATERAL
  (SELECT t.id FROM $table t ORDER BY t.embedding <=> q.embedding LIMIT 1) n;
SQL
    };
    my ($before, $after) = map { s/\|//r } grep { /\|/ } lines_of(<<"SQL");
CREATE INDEX IF NOT EXISTS long_cosine ON long USING hnsw (embedding vector_cosine_ops);
CREATE TEMP TABLE q AS SELECT embedding FROM $table LIMIT 50;
SET enable_seqscan = off;
SET enable_memoize = off;
SET hnsw.ef_search = 1;
@{[ $search->(5_000) ]}
@{[ kilobytes('VmHWM') ]};
@{[ $search->(100_000) ]}
@{[ kilobytes('VmHWM') ]};
SQL
    cmp_ok($after - $before, '<', 2048, "$table: memory after 5,000 and 100,000 searches of one statement: $before kB, $after kB");
  }

  # A scan that goes on stops at hnsw.scan_mem_multiplier times work_mem.
  my $scan = sub {
    my ($multiplier) = @_;
    return lines_of(<<"SQL");
SET enable_seqscan = off;
SET work_mem = '256kB';
SET hnsw.max_scan_tuples = 2147483647;
SET hnsw.scan_mem_multiplier = $multiplier;
SELECT count(*) FROM (SELECT id FROM many ORDER BY embedding <-> '[1,2,3,4]' LIMIT 10) s;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM many ORDER BY embedding <-> '[1,2,3,4]';
@{[ kilobytes('RssAnon') ]};
DO 'DECLARE c refcursor := ''c''; rows int; BEGIN MOVE ALL IN c; GET DIAGNOSTICS rows = ROW_COUNT; PERFORM set_config(''t.rows'', rows::text, false); END';
@{[ kilobytes('RssAnon') ]};
SELECT current_setting('t.rows') || '|';
SQL
  };
  sql(<<'SQL');
CREATE TABLE many AS SELECT i AS id, ARRAY[hashint4(i) % 1000, hashint4(-i) % 1000, hashint4(i + 100000) % 1000, i % 1000]::vector(4) AS embedding
  FROM generate_series(1, 50000) i;
CREATE INDEX many_embedding ON many USING hnsw (embedding vector_l2_ops);
SQL
  my ($before, $after, $rows) = map { s/\|//r } grep { /\|/ } $scan->(1);
  cmp_ok($after - $before, '<', 2048, "a scan that may take 256 kB took the process from $before kB to $after kB");
  cmp_ok($rows, '<', 40_000, "it stopped after $rows of 50,000 rows");
  ($before, $after, $rows) = map { s/\|//r } grep { /\|/ } $scan->(400);
  cmp_ok($rows, '>', 49_000, "one that may take more gave $rows");
}

# After a restart sessions know nothing of where pages were.
my @before = Wordnet::found($node, operator_class => 'vector_cosine_ops');
$node->restart;
my @after = Wordnet::found($node, operator_class => 'vector_cosine_ops');
is_deeply(\@after, \@before, 'a server that was started again finds the same');
# Where rows may be pruned that an old snapshot sees, a scan by such a snapshot is an error and not a wrong answer.
SKIP: {
  skip 'PostgreSQL 17 and later have no old_snapshot_threshold', 2 if $node->pg_version >= 17;
  $node->append_conf('postgresql.conf', 'old_snapshot_threshold = 0');
  $node->restart;
  my $search = "SELECT count(*) FROM (SELECT id FROM wordnet ORDER BY embedding <=> (SELECT embedding FROM wordnet_query LIMIT 1) LIMIT 10) s";
  is(sql("SET enable_seqscan = off; $search"), 10, 'a new snapshot is no older than the threshold');
  my ($code, $out, $err) = $node->psql('postgres', join "\n",
    'SET enable_seqscan = off;', 'BEGIN ISOLATION LEVEL REPEATABLE READ;', "$search;",
    'SELECT pg_sleep(6);', # with a threshold of 0, snapshots are old after five seconds
    q(\! psql -XAtq -d ") . $node->connstr('postgres') . q(" -c 'DELETE FROM wordnet WHERE id % 2 = 0' -c 'VACUUM (INDEX_CLEANUP on) wordnet'),
    "$search;", 'COMMIT;');
  like($err, qr/snapshot too old/, 'an old snapshot is an error');
}

$node->stop;
done_testing();
