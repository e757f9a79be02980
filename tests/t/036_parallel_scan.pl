# Builds whose table parallel workers read: the same index as with one reader, whatever the rows and the columns, and workers that end
# with their leader.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = Wordnet::node('parallel_scan', <<'CONF');
max_parallel_maintenance_workers = 3
min_parallel_table_scan_size = 0
maintenance_work_mem = 256MB
CONF

sub sql { return $node->safe_psql('postgres', @_); }

# Runs statements; gives the number of workers that read a table for the last of them, and the error, if any.
sub run {
  my (@statements) = @_;
  my (undef, undef, $log) = $node->psql('postgres', join "\n", '\set VERBOSITY verbose', 'SET client_min_messages = debug1;',
    map { "$_;" } @statements);
  my @readers = $log =~ /build has (\d+) parallel workers read the table/g;
  my ($error) = $log =~ /(ERROR: .*|FATAL: .*)/s;
  return ($readers[-1] // 0, $error // '');
}

# An index built with a number of workers, or with none.
sub built {
  my ($definition, $readers, @settings) = @_;
  my ($seen, $error) = run(@settings, "CREATE INDEX built ON $definition");
  is("$seen $error", "$readers ", "$definition: $readers workers read");
  my $digest = Wordnet::digest($node, 'built');
  sql('DROP INDEX built');
  return $digest;
}

my $alone = 'SET max_parallel_maintenance_workers = 0';

# Rows that are updated, on the same page and elsewhere, deleted, copied, NULL and zero.
sql(<<'SQL');
ALTER TABLE wordnet ALTER embedding DROP NOT NULL;
UPDATE wordnet SET embedding = embedding WHERE id % 7 = 0;
DELETE FROM wordnet WHERE id % 11 = 0;
UPDATE wordnet SET text = text || '.' WHERE id % 5 = 0;
INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id % 50 = 1;
INSERT INTO wordnet VALUES (20000, '', '', array_fill(0, ARRAY[384])::vector), (20001, '', '', NULL);
CREATE TABLE other AS SELECT id, topic, embedding::halfvec(384) AS half, binary_quantize(embedding)::bit(384) AS bits,
  (embedding - (SELECT avg(embedding) FROM wordnet))::vector(384)::sparsevec(384) AS sparse,
  (embedding || embedding || embedding || embedding)::vector(1536) AS wide FROM wordnet;
SQL
for my $definition ('wordnet USING hnsw (embedding vector_l2_ops)', 'wordnet USING hnsw (embedding vector_cosine_ops)',
  'wordnet USING hnsw (embedding vector_ip_ops) WHERE id % 3 = 0',
  'wordnet USING hnsw ((subvector(embedding, 1, 30)::vector(30)) vector_l2_ops)',
  q{wordnet USING hnsw (embedding vector_l2_ops, topic, id) WITH (graphs = 'topic')},
  'other USING hnsw (half halfvec_l2_ops)', 'other USING hnsw (bits bit_hamming_ops)', 'other USING hnsw (sparse sparsevec_l2_ops)',
  'other USING hnsw (wide vector_l2_ops, topic)') {
  is(built($definition, 3), built($definition, 0, $alone), "$definition: the same index");
}

my $plain = 'wordnet USING hnsw (embedding vector_l2_ops)';
my $fast = "CREATE INDEX built ON $plain";
my $expected = built($plain, 0, $alone);
is(built($plain, 2, q{SET maintenance_work_mem = '96MB'}), $expected, 'each worker and the leader have 32 MB');
is(built($plain, 0, q{SET maintenance_work_mem = '64MB'}), $expected, 'one worker alone is no gain');
is(built($plain, 0, q{SET min_parallel_table_scan_size = '1GB'}), $expected, 'a small table');
is(built($plain, 0, 'SET max_parallel_workers = 0'), $expected, 'no worker to spare');

# Pages of TOAST count: the table alone has 1 MB, its values 30.
is(built('other USING hnsw (wide vector_l2_ops)', 3, q{SET min_parallel_table_scan_size = '2MB'}),
  built('other USING hnsw (wide vector_l2_ops)', 0, q{SET min_parallel_table_scan_size = '1GB'}), 'a small table of large values');

# A table's own number of workers goes before memory: by cells.
my $little = q{SET maintenance_work_mem = '2MB'};
is(built($plain, 3, 'ALTER TABLE wordnet SET (parallel_workers = 3)', $little), built($plain, 0, $alone, $little), 'by cells: the same index');
is(built($plain, 0, 'ALTER TABLE wordnet SET (parallel_workers = 0)'), $expected, 'a table that allows no workers');
sql('ALTER TABLE wordnet RESET (parallel_workers)');

is((run('CREATE TEMP TABLE mine AS SELECT * FROM wordnet', 'CREATE INDEX ON mine USING hnsw (embedding vector_l2_ops)'))[0], 0,
  'a temporary table');
is((run('CREATE UNLOGGED TABLE fleeting AS SELECT * FROM wordnet', 'CREATE INDEX ON fleeting USING hnsw (embedding vector_l2_ops)'))[0],
  3, 'an unlogged table');

# Rows of the own transaction, and an update that older snapshots may not find through the index.
for my $setting ('SET max_parallel_maintenance_workers = 3', $alone) {
  my ($with) = run($setting, 'DROP TABLE IF EXISTS chain',
    'CREATE TABLE chain WITH (fillfactor = 50) AS SELECT id, topic, text, embedding FROM wordnet',
    'BEGIN', 'UPDATE chain SET embedding = (SELECT embedding FROM wordnet WHERE id = 3) WHERE id = 1',
    'CREATE INDEX chained ON chain USING hnsw (embedding vector_l2_ops)', 'COMMIT');
  is($with, $setting eq $alone ? 0 : 3, "$setting: a table with a new version of a row");
  is(sql(q{SELECT indcheckxmin FROM pg_index WHERE indexrelid = 'chained'::regclass}), 't', "$setting: older snapshots avoid the index");
  is(Wordnet::check($node, index => 'chained', all => 1), '', "$setting: nothing to find");
}
sql('DROP TABLE chain');

# Beside writers.
my ($readers, $error) = run('CREATE INDEX CONCURRENTLY built ON wordnet USING hnsw (embedding vector_l2_ops)');
is("$readers $error", '3 ', 'a concurrent build');
is(Wordnet::check($node, index => 'built', all => 1), '', 'a concurrent build: nothing to find');
is((run('REINDEX INDEX CONCURRENTLY built'))[0], 3, 'a concurrent reindex');
is((run('REINDEX INDEX built'))[0], 3, 'a reindex');
is(Wordnet::digest($node, 'built'), $expected, 'a reindex: the same index');
is((run('VACUUM FULL wordnet'))[0], 3, 'VACUUM FULL');
sql('DROP INDEX built');

# Functions that may not run in workers keep them away; those that may fail in one.
sql(<<'SQL');
CREATE FUNCTION fails(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN IF public.vector_norm(v) = 0 THEN RAISE ''no direction''; END IF; RETURN v; END';
CREATE FUNCTION fails_anywhere(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  'BEGIN IF public.vector_norm(v) = 0 THEN RAISE ''no direction''; END IF; RETURN v; END';
CREATE FUNCTION slowly(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  'BEGIN PERFORM pg_sleep(0.01); RETURN v; END';
SQL

sub leaves_nothing {
  my ($what, $error, $expected) = @_;
  like($error, $expected, "$what: the error says so");
  $node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'})
    or die "$what: a worker stays";
  is(Wordnet::stray_files($node), '0', "$what: no file is left");
  is(sql("SELECT count(*) FROM pg_class WHERE relname = 'built'"), '0', "$what: no index is left");
}

($readers, $error) = run('CREATE INDEX built ON wordnet USING hnsw ((fails(embedding)::vector(384)) vector_l2_ops)');
is($readers, 0, 'a function that is not parallel safe');
leaves_nothing('an error in the leader', $error, qr/P0001: no direction/);
($readers, $error) = run('CREATE INDEX built ON wordnet USING hnsw ((fails_anywhere(embedding)::vector(384)) vector_l2_ops)');
is($readers, 3, 'a function that is parallel safe');
leaves_nothing('an error in a worker', $error, qr/P0001: no direction/);
($readers, $error) = run('DO $$ BEGIN
    EXECUTE \'CREATE INDEX built ON wordnet USING hnsw ((fails_anywhere(embedding)::vector(384)) vector_l2_ops)\';
  EXCEPTION WHEN OTHERS THEN RAISE NOTICE \'caught\'; END $$', $fast);
is("$readers $error", '3 ', 'a build after one whose error was caught');
is(Wordnet::digest($node, 'built'), built($plain, 0, $alone, 'DROP INDEX built'), 'it is the same index');

# Cancelled and terminated while rows are read, the leader and a worker.
for my $victim ('pid', q{(SELECT pid FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1)}) {
  for my $function ('pg_cancel_backend', 'pg_terminate_backend') {
    my $who = $victim eq 'pid' ? 'the leader' : 'a worker';
    my $session = Wordnet::session($node, '\set VERBOSITY verbose',
      'CREATE INDEX built ON wordnet USING hnsw ((slowly(embedding)::vector(384)) vector_l2_ops)');
    $node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type = 'parallel worker'})
      or die 'no workers read';
    sql("SELECT $function($victim) FROM pg_stat_progress_create_index");
    eval { Wordnet::output($session); 1 } and die 'the build was not ended';
    leaves_nothing("$function of $who", $@, qr/57014|57P01|canceling statement|terminating|connection to server was lost/);
  }
}
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|server process .* exited/, 'no process of the server crashed');

$node->stop;
done_testing();
