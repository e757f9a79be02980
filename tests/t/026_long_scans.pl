# Scans that stand for long, beside everything: cursors with and without HOLD, LATERAL joins, filters that search themselves, in all
# modes, on the primary and on a standby. Between two fetches rows are inserted, updated, deleted and vacuumed, indexes built, and
# subtransactions aborted. What a scan returns is compared with a sequential scan under its snapshot.
#
# OMENDB_SEED chooses what happens between fetches, OMENDB_SCANS how many scans there are (20, and 400 under --long).
use strict;
use warnings;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $seed = $ENV{OMENDB_SEED} || time % 1_000_000;
my $scans = $ENV{OMENDB_SCANS} || (Wordnet::long() ? 400 : 20);
srand $seed;
diag "OMENDB_SEED=$seed";

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
# Vacuum keeps what a snapshot of the standby sees.
Wordnet::configure($primary, "hot_standby_feedback = on\nwal_receiver_status_interval = 1\nmax_connections = 30\nmax_standby_streaming_delay = -1");
$primary->start;
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->start;

sub sql { return $primary->safe_psql('postgres', @_); }
sql(<<'SQL');
CREATE EXTENSION omendb;
CREATE FUNCTION sample(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT array_agg(sin(i * 17 + j * j * 0.37 + i * j * 1.01))::vector FROM generate_series(1, 8) j';
-- Rows of one vector among the others: each tenth has one of five.
CREATE TABLE t (id int PRIMARY KEY, version int DEFAULT 0, v vector(8));
CREATE SEQUENCE fresh START 3001;
INSERT INTO t SELECT i, 0, sample(CASE WHEN i % 10 = 0 THEN i % 50 ELSE i END) FROM generate_series(1, 3000) i;
CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops) WITH (m = 8);
-- A filter that searches the index itself.
CREATE FUNCTION has_near(one vector) RETURNS boolean LANGUAGE sql STABLE AS
  'SELECT count(*) = 3 FROM (SELECT id FROM t ORDER BY v <-> one LIMIT 3) s';
SQL

sub any { return $_[rand @_] }
sub row { return 'id % ' . any(7, 11, 13) . ' = ' . int rand 7 }

# Actions of other sessions between fetches; none waits for the scan.
my %events = (
  update => sub { "UPDATE t SET version = version + 1, v = sample(id + version * 100000) WHERE " . row() },
  delete => sub { 'DELETE FROM t WHERE ' . row() },
  insert => sub { q{INSERT INTO t SELECT nextval('fresh'), 0, sample(currval('fresh')::int % 7000) FROM generate_series(1, 200)} },
  vacuum => sub { 'VACUUM (INDEX_CLEANUP on, TRUNCATE off) t' },
  build => sub { 'CREATE INDEX ON t USING hnsw (v vector_cosine_ops) WITH (m = 4, ef_construction = 8)' },
);
# Actions of the scan's own session between fetches; the first two change rows, which a standby does not. Their locks go
# with the savepoint.
my @own = (
  "SAVEPOINT s\nINSERT INTO t SELECT 1000000 + i, 0, sample(i) FROM generate_series(1, 30) i\nfetch 3\nROLLBACK TO s",
  "SAVEPOINT s\nINSERT INTO t SELECT 2000000 + i, -1, sample(i) FROM generate_series(1, 30) i\nDELETE FROM t WHERE version = -1\nfetch 3\nROLLBACK TO s",
  "SAVEPOINT s\nfetch 3\nRELEASE s",
  'DISCARD PLANS',
  'SELECT FROM (SELECT id FROM t ORDER BY v <-> (SELECT sample(3)) LIMIT 20) s',
  "SAVEPOINT s\nDECLARE other CURSOR FOR SELECT id FROM t ORDER BY v <-> (SELECT sample(9))\nFETCH 5 FROM other\nROLLBACK TO s",
);

# The kinds of scans. A row is id|version|distance, behind the number of its query.
my %queries = (
  plain => 'SELECT 1, id, version, v <-> sample(%1$d) AS d FROM t ORDER BY v <-> sample(%1$d)',
  filter => 'SELECT 1, id, version, v <-> sample(%1$d) AS d FROM t WHERE id %% 3 = 1 AND has_near(v) ORDER BY v <-> sample(%1$d)',
  lateral => 'SELECT q, n.* FROM generate_series(%1$d, %1$d + 19) q CROSS JOIN LATERAL
    (SELECT id, version, v <-> sample(q) AS d FROM t ORDER BY v <-> sample(q) LIMIT 5) n',
);

my %done;
for my $scan (1 .. $scans) {
  my ($kind, $mode, $hold, $on) =
    (any(sort keys %queries), any(qw(off strict_order relaxed_order)), any('', ' WITH HOLD'), any($primary, $primary, $standby));
  prepare();
  my $lines = scan($on, sprintf($queries{$kind}, int rand 10000), $mode, $hold);
  compare("$scan: $kind$hold, $mode, on " . $on->name, $kind, $mode, $lines);
  $done{"$kind, $mode"}++;
}
diag "$done{$_} scans: $_" for sort keys %done;
for ($primary, $standby) {
  is(Wordnet::check($_, index => 't_v'), '', $_->name . ': no damage');
}
$standby->stop;
$primary->stop;
done_testing();

# The table keeps its size, and has rows that are dead before the scan begins.
sub prepare {
  sql(<<'SQL');
DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT greatest(300, (SELECT count(*) FROM t) - 2700));
INSERT INTO t SELECT nextval('fresh'), 0, sample(currval('fresh')::int % 7000) FROM generate_series(1, greatest(0, 2900 - (SELECT count(*) FROM t)));
SQL
  sql("DROP INDEX $_") for split /\n/, sql("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 't'::regclass AND indexrelid::regclass::text NOT IN ('t_v', 't_pkey')");
  sql('REINDEX INDEX CONCURRENTLY t_v') if rand() < 0.2;
  $primary->wait_for_catchup($standby);
}

# The rows of a query by a sequential scan and by a cursor over the index, in one transaction, as it has one snapshot.
sub scan {
  my ($on, $query, $mode, $hold) = @_;
  my @fetches = map {
    my $count = any(1, 7, 100, 400);
    (rand() < 0.8 ? "fetch $count" : (), between($on))
  } 1 .. 6;
  my @script = ('BEGIN ISOLATION LEVEL REPEATABLE READ', "SET LOCAL hnsw.iterative_scan = $mode", 'SET LOCAL hnsw.max_scan_tuples = 1000000',
    'SET LOCAL hnsw.scan_mem_multiplier = 100', 'SET LOCAL hnsw.ef_search = 100', 'SET LOCAL enable_indexscan = off', '\echo exact', $query, '\echo plan',
    'SET LOCAL enable_indexscan = on', 'SET LOCAL enable_seqscan = off', 'SET LOCAL enable_sort = off', "EXPLAIN (COSTS OFF) $query",
    '\echo else', "DECLARE c CURSOR$hold FOR $query", @fetches, $hold ? ('COMMIT', 'other: ' . $events{vacuum}->()) : (), 'fetch ALL', $hold ? 'CLOSE c' : 'COMMIT');
  my $script = join '', map { /^\\|^other: / ? "$_\n" : "$_;\n" } @script;
  $script =~ s/^fetch (\w+);?$/\\echo got\nFETCH $1 FROM c;\n\\echo else/mg;
  my $psql = q(psql -XAtq -v ON_ERROR_STOP=1 -d ") . $primary->connstr('postgres') . q(" -c);
  $script =~ s/^other: (.*)$/\\! $psql "$1" 2>&1/mg;
  my (%lines, $what);
  for (split /\n/, $on->safe_psql('postgres', $script)) {
    if (/^(exact|plan|got|else)$/) { $what = $1 } else { push @{ $lines{$what} }, $_ }
  }
  return \%lines;
}

# One thing that happens between two fetches: each other time here, else in another session.
sub between {
  my ($on) = @_;
  # The standby has a moment to replay it; to wait for that may be in vain, where replay waits for the scan.
  return ('other: ' . $events{ any(sort keys %events) }->(), $on == $standby ? 'SELECT pg_sleep(0.05)' : ()) if rand() < 0.6;
  my @lines = split /\n/, $own[ $on == $primary ? rand @own : 2 + rand @own - 2 ];
  return @lines;
}

# Rows come once each, as the snapshot has them, in order unless relaxed. All come where the walk may go on to the end, but for
# a few in strict order.
sub compare {
  my ($name, $kind, $mode, $lines) = @_;
  my ($exact, $got) = map { rows_of(@{ $lines->{$_} // [] }) } qw(exact got);
  like(join("\n", @{ $lines->{plan} }), qr/Index Scan using t_v/, "$name: by the index");
  is(join("\n", grep { /ERROR|FATAL|WARNING/ } map { @$_ } values %$lines), '', "$name: no error");
  my %versions = map { ("$_->[0] $_->[1]", join ' ', @$_) } @$exact;
  my %seen;
  is(scalar(grep { $seen{"$_->[0] $_->[1]"}++ } @$got), 0, "$name: no row twice");
  my @other = grep { my $row = $versions{"$_->[0] $_->[1]"} // ''; $row ne "@$_" } @$got;
  # Only the nearest rows of a LATERAL join are known.
  is(join("\n", map { "@$_" } @other), '', "$name: rows are those of the snapshot") if $kind ne 'lateral';
  my ($query, $last) = (-1, 0);
  my $steps_back = 0;
  for (@$got) {
    $steps_back++ if $_->[0] == $query && $_->[3] < $last;
    ($query, $last) = @$_[ 0, 3 ];
  }
  is($steps_back, 0, "$name: rows in order") if $mode ne 'relaxed_order';
  my $share = @$exact ? (grep { $seen{"$_->[0] $_->[1]"} } @$exact) / @$exact : 1;
  my $least = $kind eq 'lateral' ? 0.9 : $mode eq 'relaxed_order' ? 1 : $mode eq 'strict_order' ? 0.9 : 0;
  cmp_ok($share, '>=', $least, "$name: " . @$got . ' of ' . @$exact . ' rows');
  cmp_ok(scalar @$got, '>=', min(@$exact, 1), "$name: there are rows");
}

sub rows_of { return [ map { [ split /\|/, $_ ] } @_ ] }
