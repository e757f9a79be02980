# Rows of one vector that are dead: a search that finds them so marks them in the index, and the next one passes over them. What
# a snapshot may still see, here or on a standby, is not passed over. Issue 12, A8. wal_consistency_checking compares the pages
# that a standby replays with those of the primary.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = PostgreSQL::Test::Cluster->new('dead_rows');
$node->init(allows_streaming => 1);
Wordnet::configure($node, "wal_consistency_checking = 'all'\nmax_connections = 50");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }
sql('CREATE EXTENSION omendb');

# Equal vectors with ids from 1, and a few others that are further away.
sub table_of {
  my ($name, $equal) = @_;
  sql(<<"SQL");
CREATE TABLE $name (id int, embedding vector(3));
INSERT INTO $name SELECT i, '[1,2,3]' FROM generate_series(1, $equal) i;
INSERT INTO $name SELECT -i, ARRAY[10 + i, i, 0]::vector FROM generate_series(1, 50) i;
CREATE INDEX ${name}_embedding ON $name USING hnsw (embedding vector_l2_ops);
SQL
}

my $by_index = "SET enable_seqscan = off; SET enable_sort = off;";

# The ids of the nearest rows, and how many rows the search measured.
sub nearest {
  my ($table, $count, $on) = @_;
  my $out = ($on // $node)->safe_psql('postgres', "$by_index
    SELECT string_agg(id::text, ' ') FROM (SELECT id FROM $table ORDER BY embedding <-> '[1,2,3]' LIMIT $count) s;
    SELECT rows FROM hnsw_last_scan();");
  return split /\n/, $out;
}

sub is_sound {
  my ($table, $moment) = @_;
  is(sql("SELECT * FROM hnsw_check('${table}_embedding', heapallindexed => true)"), '', "$moment: no damage");
}

# A session whose snapshot is kept.
sub keep_snapshot {
  my ($on, $table) = @_;
  my $session = $on->background_psql('postgres', on_error_stop => 1);
  $session->query_safe("$by_index BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM $table;");
  return $session;
}

sub count_in {
  my ($session, $table) = @_;
  return $session->query_safe("SET hnsw.iterative_scan = relaxed_order;
    SELECT count(*) FROM (SELECT id FROM $table ORDER BY embedding <-> '[1,2,3]' LIMIT 3000) s WHERE id > 0;");
}

# Dead to everybody: the first search measures them all, the second one does not.
table_of('t', 5000);
sql('DELETE FROM t WHERE id BETWEEN 1 AND 4990');
my ($found, $rows) = nearest('t', 5);
like($found, qr/^(499\d|5000)( (499\d|5000)){4}$/, 'the rows that live are found');
cmp_ok($rows, '>', 4900, 'a search that meets dead rows measures them');
($found, $rows) = nearest('t', 5);
cmp_ok($rows, '<', 100, 'the next one passes over them');
($found) = nearest('t', 10);
is(join(' ', sort { $a <=> $b } split / /, $found), join(' ', 4991 .. 5000), 'and finds all that live');
is_sound('t', 'with rows marked');
sql("INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(6001, 6030) i");
($found) = nearest('t', 40);
is(join(' ', sort { $a <=> $b } split / /, $found), join(' ', 4991 .. 5000, 6001 .. 6030), 'so it does with rows that came later');

# Vacuum takes them away, and their places in table and index are taken again.
for my $round (1 .. 3) {
  sql('VACUUM (INDEX_CLEANUP on) t');
  is_sound('t', "vacuum $round");
  sql("INSERT INTO t SELECT i, '[1,2,3]' FROM generate_series(${round}0001, ${round}5000) i");
  is((nearest('t', 5040))[0] =~ tr/ //, 5039, "round $round: rows in the places of dead ones are found");
  is_sound('t', "round $round");
  sql("DELETE FROM t WHERE id > 10000");
  nearest('t', 5);
  cmp_ok((nearest('t', 5))[1], '<', 200, "round $round: dead ones are passed over");
}

# A row visible to a snapshot is not marked, whoever searches, and the snapshot's owner finds it.
table_of('kept', 2000);
my $session = keep_snapshot($node, 'kept');
sql('DELETE FROM kept WHERE id <= 1990');
nearest('kept', 5) for 1 .. 2;
is(count_in($session, 'kept'), 2000, 'an old snapshot finds its rows');
cmp_ok((nearest('kept', 5))[1], '>', 1900, 'rows that it sees are not marked');
$session->quit;
nearest('kept', 5) for 1 .. 2;
cmp_ok((nearest('kept', 5))[1], '<', 100, 'they are when it is gone');

# A standby's snapshot may be older than all of the primary: marks come to it, and do not count there. The rows fit one page of
# the table with room left, or the search would prune it, which ends the standby's search in Postgres' own way.
$node->backup('standby');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'standby', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;
table_of('small', 60);
$node->wait_for_catchup($standby);
$session = keep_snapshot($standby, 'small');
sql('DELETE FROM small WHERE id <= 57');
nearest('small', 3) for 1 .. 2;
cmp_ok((nearest('small', 3))[1], '<', 50, 'marked on the primary');
# A search does not wait until its marks are on disk, and a standby is sent nothing before; a commit does.
sql('CREATE TABLE last ()');
$node->wait_for_catchup($standby);
is(count_in($session, 'small'), 60, 'a snapshot of the standby finds its rows');
is((nearest('small', 3, $standby))[0] =~ tr/ //, 2, 'a newer one there finds what lives');
$session->quit;
$standby->promote;
cmp_ok((nearest('small', 3, $standby))[1], '<', 50, 'promoted, it goes by the marks');
is($standby->safe_psql('postgres', "SELECT * FROM hnsw_check('small_embedding', heapallindexed => true)"), '', 'and is sound');
unlike(slurp_file($standby->logfile), qr/inconsistent page|FATAL:.*consisten/, 'pages are those of the primary');

# Rows count against hnsw.max_scan_tuples, not only vectors: 3,000 rows of 100 vectors.
sql(<<'SQL');
CREATE TABLE groups (id int, embedding vector(3));
INSERT INTO groups SELECT i, ARRAY[i % 100, i % 7, 0]::vector FROM generate_series(1, 7000) i;
CREATE INDEX groups_embedding ON groups USING hnsw (embedding vector_l2_ops);
SQL
$rows = sql("$by_index SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 1000; SET hnsw.ef_search = 10;
  SELECT id FROM groups WHERE id < 0 ORDER BY embedding <-> '[1,2,3]' LIMIT 5;
  SELECT rows FROM hnsw_last_scan();");
cmp_ok($rows, '<', 2000, 'a search ends when it has measured hnsw.max_scan_tuples rows');
cmp_ok($rows, '>=', 1000, 'and not before');

# Inserts of a vector beside vacuums that take thousands of its emptied slots out of the chain, and searches that mark.
table_of('busy', 30000);
sql('DELETE FROM busy WHERE id > 100');
my @writers = map { Wordnet::session($node, "DO \$\$ BEGIN FOR i IN 1..1500 LOOP
  INSERT INTO busy VALUES (${_}00000 + i, '[1,2,3]'); DELETE FROM busy WHERE id = ${_}00000 + i - 3;
  COMMIT; END LOOP; END \$\$") } 1 .. 3;
for (1 .. 6) {
  sql('VACUUM (INDEX_CLEANUP on) busy');
  nearest('busy', 5) for 1 .. 3;
}
Wordnet::output($_) for @writers;
is((nearest('busy', 109))[0] =~ tr/ //, 108, 'all rows that live are found');
is(sql("$by_index SELECT count(*) FROM (SELECT id FROM busy ORDER BY embedding <-> '[1,2,3]' LIMIT 109) s WHERE id < 0"), 0,
  'each of the vector is nearer than any other');
is_sound('busy', 'inserts, vacuums and searches');

done_testing();
