# A table spread over three servers by postgres_fdw: what is shipped, what is found, what happens when a shard is down.
# demo/shard.sql and demo/shards.sql set the servers up: people copy them.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $coordinator = Wordnet::node('coordinator');

sub sql { return $coordinator->safe_psql('postgres', join '', map { "$_;\n" } @_); }

plan skip_all => 'postgres_fdw and dblink are not installed'
  if sql("SELECT count(*) FROM pg_available_extensions WHERE name IN ('postgres_fdw', 'dblink')") < 2;

my @shards = map { start_shard("shard$_") } 1 .. 3;
my $ports = join ',', map { $_->port } @shards;
$coordinator->safe_psql('postgres', <<"SQL");
\\set host '@{[ $coordinator->host ]}'
\\set ports $ports
\\set dbname postgres
\\i $ENV{OMENDB_DEMO}/measure.sql
\\i $ENV{OMENDB_DEMO}/shards.sql
SQL

sub start_shard {
  my ($name) = @_;
  my $node = PostgreSQL::Test::Cluster->new($name);
  $node->init;
  Wordnet::configure($node);
  $node->start;
  $node->safe_psql('postgres', "\\i $ENV{OMENDB_DEMO}/shard.sql");
  return $node;
}

sub on_shards {
  my ($query) = @_;
  return map { $_->safe_psql('postgres', $query) } @shards;
}

# A column of pg_stat_user_indexes, summed up over the shards, once the sessions of their queries have ended.
sub counted {
  my ($column) = @_;
  my $sum = 0;
  $sum += $_ for on_shards("SELECT $column FROM pg_stat_user_indexes WHERE indexrelname = 'wordnet_embedding'");
  return $sum;
}

my @counts = on_shards('SELECT count(*) FROM wordnet');
is($counts[0] + $counts[1] + $counts[2], 5000, 'all rows are on the shards');
cmp_ok($_, '>', 1500, 'a third of them on each') for @counts;

# Plans.
my $search = 'ORDER BY embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10';
my $plan = sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM sharded $search");
is(() = $plan =~ /Remote SQL: SELECT id, embedding FROM public\.wordnet ORDER BY \(embedding OPERATOR\(public\.<=>\) \$1/g, 3,
  'each shard sorts') or diag($plan);
like($plan, qr/Merge Append/, 'the coordinator merges');
$plan = sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM sharded_1 ORDER BY embedding <=> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10");
like($plan, qr/Remote SQL: SELECT id, embedding .* LIMIT 10::bigint/, 'the limit goes to a shard that is asked alone') or diag($plan);
$plan = sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM sharded WHERE id = 7 $search");
is(() = $plan =~ /Foreign Scan/g, 1, 'a query that names the key asks one shard') or diag($plan);
$plan = sql("EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM sharded WHERE topic = 'noun.plant' $search");
is(() = $plan =~ /WHERE \(\(topic = 'noun\.plant'(::text)?\)\) ORDER BY/g, 3, 'filters are shipped') or diag($plan);
$plan = sql(q{ALTER SERVER shard1 OPTIONS (DROP extensions)}, "EXPLAIN (VERBOSE, COSTS OFF) SELECT id FROM sharded_1 $search",
  q{ALTER SERVER shard1 OPTIONS (ADD extensions 'omendb')});
unlike($plan, qr/Remote SQL:.*ORDER BY/, 'without the option `extensions` nothing is sorted on the shard');

# Results, and by which way.
my ($scans, $rows) = (counted('idx_scan'), counted('idx_tup_fetch'));
my @ids = split /\n/, sql("SELECT id FROM sharded $search");
is(scalar keys %{ { map { $_ => 1 } @ids } }, 10, 'ten distinct rows');
Wordnet::wait_until(sub { counted('idx_scan') == $scans + 3 }, 'the shards to count three scans');
is(counted('idx_tup_fetch') - $rows, 30, 'a shard reads no more rows than fetch_size');
my ($recall) = split /\|/, sql("SELECT recall, 'ms ' || ms FROM measure('nearest_sharded')");
cmp_ok($recall, '>=', 0.98, 'recall through postgres_fdw');
($recall) = split /\|/, sql("SELECT recall, 'ms ' || ms FROM measure('nearest_at_once')");
cmp_ok($recall, '>=', 0.98, 'recall through the function that asks all shards at once');
is(sql('SELECT count(*), count(DISTINCT id) FROM nearest_on_shards((SELECT embedding FROM wordnet_query WHERE id = 1), 100)'),
  '100|100', 'it finds as many rows as wanted');

# Settings do not travel, the server's option does.
on_shards(q{CREATE VIEW setting AS SELECT current_setting('hnsw.ef_search') AS ef_search FROM (SELECT '[1]'::vector) loaded});
sql(q{CREATE FOREIGN TABLE setting (ef_search text) SERVER shard1});
is(sql('SET hnsw.ef_search = 77', 'SELECT ef_search FROM setting'), '40', 'a setting of the coordinator has no effect on a shard');
is(sql(q{ALTER SERVER shard1 OPTIONS (SET options '-c hnsw.ef_search=77')}, 'SELECT ef_search FROM setting'), '77',
  'the option of the server has');

# Writes.
sql(q{INSERT INTO sharded SELECT 100000 + id, topic, 'copied', embedding FROM wordnet WHERE id < 300});
my @copied = on_shards(q{SELECT count(*) FROM wordnet WHERE text = 'copied'});
is($copied[0] + $copied[1] + $copied[2], 300, 'rows are inserted through the parent');
is(sql('SELECT id FROM sharded WHERE id <> 5 ORDER BY embedding <=> (SELECT embedding FROM wordnet WHERE id = 5) LIMIT 1'), '100005',
  'and found');
$plan = sql(q{EXPLAIN (VERBOSE, COSTS OFF) UPDATE sharded SET text = 'moved' WHERE text = 'copied' AND vector_norm(embedding) > 0});
is(() = $plan =~ /Remote SQL: UPDATE public\.wordnet/g, 3, 'updates are shipped whole') or diag($plan);
is(sql(q{WITH u AS (UPDATE sharded SET text = 'moved' WHERE text = 'copied' RETURNING 1) SELECT count(*) FROM u}), 300, 'rows are updated');
sql(q{DELETE FROM sharded WHERE text = 'moved'});
is(sql('SELECT count(*) FROM sharded'), 5000, 'rows are deleted');
is(join(' ', map { Wordnet::check($_) } @shards), '  ', 'no shard has damage');

# A shard that is down.
$shards[1]->stop;
my ($status, undef, $error) = $coordinator->psql('postgres', "SELECT id FROM sharded $search");
isnt($status, 0, 'a query that needs a shard that is down fails');
like($error, qr/could not connect to server "shard2"/, 'the error names the shard');
my $script = <<"SQL";
\\set ON_ERROR_STOP off
SELECT count(*) FROM nearest_on_shards((SELECT embedding FROM wordnet_query WHERE id = 1), 10);
SELECT count(*) FROM sharded_1;
SQL
my $session = Wordnet::script($coordinator, $script);
$session->{run}->finish;
like(${ $session->{output} }, qr/could not establish connection/, 'the function says so too');
like(${ $session->{output} }, qr/^$counts[0]$/m, 'the other shards go on');
$shards[1]->start;
is(sql('SELECT count(*) FROM nearest_on_shards((SELECT embedding FROM wordnet_query WHERE id = 1), 10)'), 10, 'and all are asked when it is back');

done_testing();
