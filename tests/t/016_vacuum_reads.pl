# Pages that a vacuum reads for few dead rows, and what it leaves of the graph, with much memory and with little. Issue 12, A9.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = PostgreSQL::Test::Cluster->new('vacuum_reads');
$node->init;
Wordnet::configure($node);
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }
sql('CREATE EXTENSION omendb');

# Clusters far from each other, between which few ways lead.
sql(<<'SQL');
CREATE TABLE t (id int, embedding vector(3));
INSERT INTO t SELECT i, ARRAY[i % 8 * 1000 + hashint4(i) % 100 / 10.0, hashint4(-i) % 100 / 10.0, hashint4(i * 7) % 1000 / 100.0]::vector
  FROM generate_series(1, 60000) i;
CREATE INDEX t_embedding ON t USING hnsw (embedding vector_l2_ops) WITH (m = 8);
SQL

sub damage { return sql("SELECT * FROM hnsw_check('t_embedding', heapallindexed => true)"); }

sub delete_and_vacuum {
  my ($which, $memory) = @_;
  sql("DELETE FROM t WHERE $which");
  sql("SET maintenance_work_mem = '$memory'; VACUUM (INDEX_CLEANUP on) t");
}

# Does so; returns how often, on the average, a page of the index was read.
sub times_read {
  my ($which, $memory) = @_;
  sql("SELECT pg_stat_reset_single_table_counters('t_embedding'::regclass)");
  delete_and_vacuum($which, $memory);
  my $read = "SELECT (idx_blks_read + idx_blks_hit)::float8 / (pg_relation_size('t_embedding') / 8192)
    FROM pg_statio_all_indexes WHERE indexrelname = 't_embedding'";
  $node->poll_query_until('postgres', "SELECT ($read) > 1") or die 'no statistics';
  return sql($read);
}

is(damage(), '', 'built');
cmp_ok(times_read('id = 4711', '64MB'), '<=', 2.5, 'a vacuum for one row reads little more than the index twice');
is(damage(), '', 'one row vacuumed');
my $little = times_read('id = 4712', '1MB');
cmp_ok($little, '>', 2.5, 'with little memory lists are read again');
cmp_ok($little, '<=', 4, 'about once more');
is(damage(), '', 'another one vacuumed, with little memory');

# Removed rows cut clusters off: they are linked again.
for my $memory ('64MB', '1MB') {
  delete_and_vacuum($_, $memory) for 'id % 8 IN (1, 2) AND id % 10 < 9', 'hashint4(id) % 3 = 0', 'embedding <-> (SELECT embedding FROM t LIMIT 1) < 4';
  is(damage(), '', "much vacuumed with $memory");
  sql('INSERT INTO t SELECT id + 100000, embedding FROM t WHERE id % 2 = 1');
}
is(damage(), '', 'and more rows came');

# Short lists of which most neighbors are dead are completed by a search with enough candidates: as good as built anew.
sql(<<'SQL');
CREATE TABLE b (id int, v bit(52));
CREATE FUNCTION some_bits(i int) RETURNS bit(52) LANGUAGE sql IMMUTABLE AS
  'SELECT (hashint4(i)::bigint << 26 # hashint4(-i))::bit(52)';
INSERT INTO b SELECT i, some_bits(i) FROM generate_series(1, 8000) i;
CREATE INDEX b_v ON b USING hnsw (v bit_hamming_ops) WITH (m = 4, ef_construction = 8);
SQL

# Of 100 queries, the share of the 20 nearest that are found.
sub recall {
  return sql(<<'SQL');
SET enable_indexscan = off;
CREATE TEMP TABLE q AS SELECT v, array(SELECT b.v <~> q.v AS d FROM b ORDER BY d LIMIT 20) AS near
  FROM (SELECT some_bits(i) AS v FROM generate_series(100001, 100100) i) q;
RESET enable_indexscan; SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 100;
SELECT avg((SELECT count(*) FROM (SELECT b.v <~> q.v AS d FROM b ORDER BY b.v <~> q.v LIMIT 20) s WHERE d <= near[20])) / 20 FROM q;
SQL
}
sql('DELETE FROM b WHERE id % 4 <> 0');
sql('VACUUM (INDEX_CLEANUP on) b');
my $vacuumed = recall();
sql('REINDEX INDEX b_v');
my $built = recall();
cmp_ok($vacuumed, '>=', $built - 0.03, "three quarters of the rows vacuumed: recall $vacuumed, built anew $built");
is(sql("SELECT * FROM hnsw_check('b_v', heapallindexed => true)"), '', 'and it is sound');

done_testing();
