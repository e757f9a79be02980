# Builds: the same rows make the same index whatever the number of threads, and a build that ends early leaves nothing.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = Wordnet::node('build', 'max_parallel_maintenance_workers = 1');

sub sql { return $node->safe_psql('postgres', @_); }

# Each operator class, with rows that are duplicates of others and rows that are left out.
sql('INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id % 50 = 0');
sql(q{INSERT INTO wordnet SELECT 20000, '', '', array_fill(0, ARRAY[384])::vector});
sql('CREATE TABLE short AS SELECT id, subvector(embedding, 1, 20)::vector(20) AS embedding FROM wordnet');
for my $class (qw(vector_l2_ops vector_ip_ops vector_cosine_ops vector_l1_ops)) {
  for my $table ('wordnet', 'short') {
    my %digests;
    # The second build with two threads shows that nothing depends on which of them is faster.
    for my $workers (0, 1, 1) {
      sql("SET max_parallel_maintenance_workers = $workers; CREATE INDEX built ON $table USING hnsw (embedding $class) WITH (m = 12)");
      $digests{ Wordnet::digest($node, 'built') } = 1;
      is(Wordnet::check($node, index => 'built', all => 1), '', "$table, $class: nothing to find") if !$workers;
      sql('DROP INDEX built');
    }
    is(keys %digests, 1, "$table, $class: the same index each time: @{[ sort keys %digests ]}");
  }
}
sql('CREATE INDEX built ON short USING hnsw (embedding vector_l2_ops)');
my $first = Wordnet::digest($node, 'built');
sql('REINDEX INDEX built');
is(Wordnet::digest($node, 'built'), $first, 'a reindex makes the same index');
sql('ALTER TABLE short SET (parallel_workers = 0); REINDEX INDEX built');
is(Wordnet::digest($node, 'built'), $first, 'so does one that the table limits to a single thread');

# hnsw_estimate: rows and size of an index, and the memory that lets its build work without cells.
my %by_cells;
for my $megabytes (1, 4, 8, 16, 64) {
  my $limit = "SET maintenance_work_mem = '${megabytes}MB'";
  my $estimate = sql("$limit; SELECT by_cells FROM hnsw_estimate('short', 'embedding')");
  $by_cells{$estimate} = 1;
  my (undef, undef, $log) = $node->psql('postgres', "$limit; SET client_min_messages = debug1; REINDEX INDEX built");
  is($estimate, $log =~ /build goes by \d+ cells/ ? 't' : 'f', "a build with $megabytes MB goes as estimated");
}
is(keys %by_cells, 2, 'by cells and in memory');
sql('INSERT INTO short SELECT id, embedding * array_fill(n, ARRAY[20])::vector FROM short, generate_series(2, 8) n');
is(sql("SELECT abs(e.rows - t.rows) < 100 FROM hnsw_estimate('short', 'embedding') e, (SELECT count(*) AS rows FROM short) t"),
  't', 'rows of a table that is read in part');
sql('DROP TABLE short');

# A build that fails leaves nothing but its error.
sub leaves_nothing {
  my ($what, $error, $expected) = @_;
  like($error, $expected, "$what: the error says so");
  is(Wordnet::stray_files($node), '0', "$what: no file is left");
  is(sql('SELECT count(*) FROM pg_ls_tmpdir()'), '0', "$what: no temporary file is left");
  is(sql("SELECT count(*) FROM pg_class WHERE relname = 'built'"), '0', "$what: no index is left");
}

sub failure {
  my (@statements) = @_;
  my ($status, $output, $error) = $node->psql('postgres', join "\n", '\set VERBOSITY verbose', map { "$_;" } @statements);
  return $error;
}

my $slow = 'CREATE INDEX built ON wordnet USING hnsw (embedding vector_l1_ops) WITH (m = 100, ef_construction = 1000)';
my $fast = 'CREATE INDEX built ON wordnet USING hnsw (embedding vector_l2_ops)';

# With little memory rows go to temporary files.
my $little = q(SET maintenance_work_mem = '1MB');
leaves_nothing('too little room for files', failure($little, q(SET temp_file_limit = '2MB'), $fast),
  qr/53400: temporary file size exceeds temp_file_limit/);

# A timeout at any moment. Where even the longest is not enough, the build is slow and not wrong.
my $timeouts = 0;
for my $milliseconds (1, 3, 10, 30, 50, 100, 150, 200, 300) {
  my $error = failure("SET statement_timeout = $milliseconds", $fast);
  $timeouts++ if $error =~ /57014: canceling statement due to statement timeout/;
  sql('DROP INDEX IF EXISTS built') unless $error;
  like($error, qr/^$|57014/, "a timeout of $milliseconds ms cancels the build or comes too late");
}
cmp_ok($timeouts, '>=', 1, 'a timeout comes in time');
is(Wordnet::stray_files($node), '0', 'timeouts: no file is left');

# Ended from outside, while rows are read and while threads construct the graph.
sub end_in_phase {
  my ($phase, $function, @statements) = @_;
  my $session = Wordnet::session($node, '\set VERBOSITY verbose', @statements);
  $node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase = 'building index: $phase'")
    or die "no build is $phase";
  sql("SELECT $function(pid) FROM pg_stat_progress_create_index");
  eval { Wordnet::output($session); 1 } and die 'the build was not ended';
  my $error = $@;
  $node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_progress_create_index')
    or die 'the build does not end';
  return $error;
}

sql(<<'SQL');
CREATE FUNCTION slowly(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(0.01); RETURN v; END';
SQL
my $slow_rows = 'CREATE INDEX built ON wordnet USING hnsw ((slowly(embedding)::vector(384)) vector_l2_ops)';
my %says = (pg_cancel_backend => qr/57014|canceling statement due to user request/,
  pg_terminate_backend => qr/57P01|terminating connection due to administrator command/);
for my $function (sort keys %says) {
  leaves_nothing("$function while rows are read", end_in_phase('loading tuples', $function, $slow_rows), $says{$function});
  leaves_nothing("$function while the graph is built", end_in_phase('building graph', $function, $slow), $says{$function});
  leaves_nothing("$function while rows are read to a file", end_in_phase('loading tuples', $function, "$little; $slow_rows"), $says{$function});
  leaves_nothing("$function while cells are built", end_in_phase('building graph', $function, "$little; $slow"), $says{$function});
}

# An error of the user's own function in the middle.
sql(<<'SQL');
CREATE FUNCTION fails(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS
  'BEGIN IF public.vector_norm(v) = 0 THEN RAISE ''no direction''; END IF; RETURN v; END';
SQL
leaves_nothing('an error in an expression',
  failure('CREATE INDEX built ON wordnet USING hnsw ((fails(embedding)::vector(384)) vector_l2_ops)'), qr/P0001: no direction/);

# A check takes memory too, and no more than it may.
sql('CREATE TABLE many AS SELECT ARRAY[i % 500, i / 500]::vector(2) AS embedding FROM generate_series(1, 100000) i');
sql("SET maintenance_work_mem = '1GB'; CREATE INDEX many_index ON many USING hnsw (embedding vector_l2_ops) WITH (m = 4, ef_construction = 8)");
like(failure(q(SET maintenance_work_mem = '1MB'), q(SELECT FROM hnsw_check('many_index'))),
  qr/54000: check of hnsw index needs \d+ kB or more, maintenance_work_mem is 1024 kB/, 'a check with too little memory');
is(Wordnet::check($node, index => 'many_index'), '', 'the same with enough of it');
sql('DROP TABLE many');

# The server is as it was, and so are sessions in which a build was cancelled.
is(failure("SET statement_timeout = 30", $slow, 'RESET statement_timeout') =~ /57014/, 1, 'a build is cancelled once more');
my ($status, $output) = $node->psql('postgres', "SET statement_timeout = 30;\n$slow;\nRESET statement_timeout;\n$fast;\nSELECT 'built'",
  on_error_stop => 0);
is($output, 'built', 'a session goes on after its build was cancelled');
sql('ALTER INDEX built RENAME TO wordnet_embedding');
is(Wordnet::lost($node), 0, 'its next build finds every row');
is(Wordnet::check($node, all => 1), '', 'its next build has nothing to find');
cmp_ok(Wordnet::recall($node), '>=', 0.95, 'its next build has its recall');
unlike(slurp_file($node->logfile), qr/PANIC|was terminated by signal|server process .* exited/, 'no process of the server crashed');

$node->stop;
done_testing();
