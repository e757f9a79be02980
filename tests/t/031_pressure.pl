# Pressure: little memory, no room for files, no room for WAL, statements that are ended at any moment. Each says what was
# short, or ends as requested; nothing that was committed is lost, nothing is damaged, no process crashes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wordnet;

my $node = Wordnet::node('pressure', "max_parallel_maintenance_workers = 1\nfull_page_writes = off\nrestart_after_crash = on");

sub sql { return $node->safe_psql('postgres', @_); }

# Kilobytes of memory that a backend has for itself, and that it had at most.
sql(<<'SQL');
CREATE FUNCTION memory(what text) RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), what || ':\s+(\d+)'))[1]::bigint $$;
CREATE FUNCTION small(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
  'SELECT ARRAY[hashint4(i) % 1000, hashint4(i + 1) % 1000, hashint4(i + 2) % 1000]::vector';
CREATE TABLE small AS SELECT i AS id, small(i)::vector(3) AS embedding FROM generate_series(1, 5000) i;
SQL

# Memory: every operation within the least settings that Postgres has for it.
my $least = q(SET work_mem = '64kB'; SET maintenance_work_mem = '1MB'; SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 2147483647;);
my $grown = sql(<<"SQL");
$least
SELECT '[1]'::vector AS loaded \\gset
SELECT memory('VmHWM') AS before \\gset
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops);
SELECT memory('VmHWM') - :before;
SQL
# The memory of any build, as README says: a leaf of each thread, a cell of 24 MB; and the shared buffers that it touched.
cmp_ok($grown, '<', (64 + 64) << 10, "a build with 1 MB grows by $grown kB");
is(Wordnet::check($node, all => 1), '', 'there is nothing to find in it');
is(sql(<<"SQL"), "100\n0\n0", 'inserts, vacuum and check with the least memory');
$least
INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id < 500;
DELETE FROM wordnet WHERE id BETWEEN 10100 AND 10499;
VACUUM wordnet;
SELECT count(*) FROM (SELECT id FROM wordnet WHERE id >= 10000 ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 1)) s;
SELECT count(*) FROM hnsw_check('wordnet_embedding') WHERE severity = 'error';
DELETE FROM wordnet WHERE id >= 10000;
VACUUM wordnet;
SELECT count(*) FROM hnsw_check('wordnet_embedding') WHERE severity = 'error';
SQL
# A scan that is to find all stops where its memory ends; it has more with more.
my ($few, $all) = split /\n/, sql(<<"SQL");
$least
CREATE INDEX small_embedding ON small USING hnsw (embedding vector_l2_ops);
SELECT count(*) FROM (SELECT id FROM small ORDER BY embedding <-> '[500,500,500]') s;
SET work_mem = '64MB';
SELECT count(*) FROM (SELECT id FROM small ORDER BY embedding <-> '[500,500,500]') s;
SQL
is($all, 5000, 'a scan with memory finds all rows');
cmp_ok($few, '<', 5000, "one with 64 kB finds $few of them");
cmp_ok($few, '>', 100, 'and more than a few');

# Rescans take nothing from one another: neither those of one query, nor many queries of a session. OMENDB_RESCANS says how many.
my $rescans = $ENV{OMENDB_RESCANS} || (Wordnet::long() ? 1_000_000 : 20_000);
my ($in_query, $in_session) = split /\n/, sql(<<"SQL");
SET enable_seqscan = off;
SET max_parallel_workers_per_gather = 0;
CREATE PROCEDURE rescan(times int) LANGUAGE plpgsql AS \$\$
DECLARE n bigint;
BEGIN
  SELECT count(*) INTO n FROM generate_series(1, times) i,
    LATERAL (SELECT id FROM small ORDER BY embedding <-> ARRAY[i % 1000, i % 999, 500]::vector LIMIT 1) s;
  IF n <> times THEN RAISE 'rows of % scans are %', times, n; END IF;
END \$\$;
CREATE PROCEDURE requery(times int) LANGUAGE plpgsql AS \$\$
BEGIN FOR i IN 1 .. times LOOP PERFORM id FROM small ORDER BY embedding <-> ARRAY[i % 1000, i % 999, 500]::vector LIMIT 1; END LOOP; END \$\$;
CALL rescan(2000);
CALL requery(2000);
SELECT memory('RssAnon') AS before \\gset
CALL rescan($rescans);
SELECT memory('RssAnon') - :before;
CALL requery($rescans / 4);
SELECT memory('RssAnon') - :before;
SQL
cmp_ok($in_query, '<', 2048, "$rescans rescans grow by $in_query kB");
cmp_ok($in_session, '<', 2048, 'so do a quarter as many queries');

# Limits that the system sets to a process: Postgres and we get the errors that a full disk or machine would give.
SKIP: {
  skip 'prlimit is not there: util-linux brings it', 1 if system 'prlimit --version >/dev/null 2>&1';

  # A session that is limited once it runs: its statements come through a pipe.
  sub limited {
    my ($limit, @statements) = @_;
    my ($in, $out) = ("SELECT vector_dims('[1]'::vector), pg_backend_pid();\n", '');
    my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>&1',
      IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
    while ($out !~ /^1\|\d+\n/) { eval { $psql->pump; 1 } or die "a session did not begin: $out" . join '', (split /^/, slurp_file($node->logfile))[-10 .. -1], "\n" }
    my ($pid) = $out =~ /^1\|(\d+)/;
    system('prlimit', '--pid', $pid, ref $limit ? $limit->($pid) : $limit) == 0 or die 'no limit was set';
    $in .= join '', "\\set VERBOSITY verbose\n", map { "$_;\n" } @statements;
    $psql->finish;
    return $out =~ s/^1\|\d+\n//r;
  }

  # No room for an index that is built: of an unlogged table, so that the file comes to its limit before WAL does.
  sql('CREATE UNLOGGED TABLE roomless AS SELECT id, embedding FROM wordnet; CHECKPOINT; SELECT pg_switch_wal()');
  my $full = limited('--fsize=819200', 'CREATE INDEX roomless_embedding ON roomless USING hnsw (embedding vector_l2_ops)');
  like($full, qr/could not (extend|write).*file .*(File too large|No space)/s, 'a build without room says so');
  is(sql(q(SELECT count(*) FROM pg_class WHERE relname = 'roomless_embedding')), '0', 'it leaves no index');
  sql('CREATE INDEX roomless_embedding ON roomless USING hnsw (embedding vector_l2_ops)');
  is(Wordnet::check($node, index => 'roomless_embedding', all => 1), '', 'with room it succeeds');

  # No room for a page that an insert adds. Rows of three dimensions take less room in the table than in the index.
  sql('REINDEX INDEX small_embedding; CHECKPOINT; SELECT pg_switch_wal()');
  my $size = sql(q(SELECT pg_relation_size('small_embedding')));
  my $inserted = limited("--fsize=$size", map { "INSERT INTO small VALUES (100000 + $_, small(100000 + $_))" } 1 .. 200);
  like($inserted, qr/could not extend file .*(File too large|No space)/, 'an insert without room says so');
  is(Wordnet::check($node, index => 'small_embedding'), '', 'it leaves no damage, and every row that was committed');
  my $kept = sql('SELECT count(*) FROM small WHERE id > 100000');
  cmp_ok($kept, '<', 200, "$kept rows found room");
  sql('INSERT INTO small SELECT 200000 + i, small(200000 + i) FROM generate_series(1, 200) i');
  is(Wordnet::check($node, index => 'small_embedding'), '', 'with room inserts go on');

  # No room for WAL: Postgres stops the whole server, and recovers it. What was committed before is there.
  sql(q(CHECKPOINT; SELECT pg_switch_wal(); INSERT INTO small VALUES (300000, small(300000)); SELECT pg_logical_emit_message(false, 'fill', repeat('x', 4000000))));
  my $log_before_stop = -s $node->logfile;
  my $stopped = limited('--fsize=3000000', 'INSERT INTO small SELECT 300000 + i, small(300000 + i) FROM generate_series(1, 20) i');
  like($stopped, qr/PANIC|server closed the connection|terminating connection/, 'an insert without room for WAL');
  Wordnet::wait_for_server($node, $log_before_stop);
  is(sql('SELECT count(*) FROM small WHERE id >= 300000'), '1', 'is rolled back, and what was committed before is not');
  is(Wordnet::check($node, index => 'small_embedding'), '', 'no damage is left');
  is(Wordnet::check($node), '', 'nor in other indexes');
  my $stops = () = slurp_file($node->logfile) =~ /PANIC/g;
  cmp_ok($stops, '<=', 1, 'the server stopped for want of WAL only');

  # A limit of so many bytes above what the session has.
  sub more_memory {
    my ($more) = @_;
    return sub { my ($pid) = @_;
      slurp_file("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m or die;
      '--as=' . ($1 * 1024 + $more) };
  }
  # Classifies the output of a session whose statements were short of memory. Only an ERROR may report it: a FATAL error
  # ends more than the statement.
  sub ended_with {
    my ($said, $result) = @_;
    return "other: $said" if $said =~ /FATAL|PANIC|server closed|connection to server was lost/;
    return 'out of memory' if $said =~ /ERROR:  (?:53200|.*(?:Cannot allocate memory|Resource temporarily unavailable))/;
    return $said =~ $result ? 'result' : "other: $said";
  }

  # No memory for a build, be it short by much or little: an error, never a crash.
  my %results = (result => 0, 'out of memory' => 0);
  my $log_before = -s $node->logfile;
  my @limits = map { $_ << 19 } 2, 4, 8, 16, 19, 20, 21, 32, 48, 64, 96, 128, 192, 256, 512;
  push @limits, map { int rand 64 << 20 } 1 .. 500 if Wordnet::long();
  for my $more (@limits) {
    for my $memory ('1MB', '64MB', '256MB') {
      my $said = limited(more_memory($more),
        "SET maintenance_work_mem = '$memory'", 'CREATE INDEX short ON wordnet USING hnsw (embedding vector_l2_ops)', 'DROP INDEX short');
      $results{ended_with($said, qr/^$/)}++;
    }
  }
  is(join(', ', grep { /^other/ } sort keys %results), '', 'a build without memory is an error');
  cmp_ok($results{$_}, '>', 0, "$_: $results{$_} times") for 'result', 'out of memory';
  is(sql(q(SELECT count(*) FROM pg_class WHERE relname = 'short')), '0', 'no index is left');

  # Nor for whatever else a user can make large. Scans are set to go to the end of the index.
  sql('CREATE TABLE many (id int, embedding vector(3)); INSERT INTO many SELECT i, ARRAY[sin(i), cos(i * 1.7), i % 100]::vector FROM generate_series(1, 150000) i');
  sql('CREATE INDEX many_embedding ON many USING hnsw (embedding vector_l2_ops)');
  my $far = q(SET enable_seqscan = off; SET enable_sort = off; SET jit = off; SET work_mem = '2GB'; SET hnsw.scan_mem_multiplier = 1000; SET hnsw.max_scan_tuples = 2000000000);
  my $scan = q(SELECT count(*) FROM (SELECT id FROM many ORDER BY embedding <-> '[0,0,50]' LIMIT 140000) s);
  my %large = (
    strict => [ qr/^140000$/, $far, $scan ],
    relaxed => [ qr/^140000$/, $far, 'SET hnsw.iterative_scan = relaxed_order', $scan ],
    first => [ qr/^140000$/, $far, 'SET hnsw.ef_search = 10000', $scan ],
    literal => [ qr/ERROR:  54000/, q(SELECT ('[' || repeat('1,', 10000000) || 'x]')::vector) ],
    zeros => [ qr/^9$/, q(SELECT length(array_fill(0::numeric, ARRAY[300000])::sparsevec::text)) ],
    check => [ qr/^0$/, q(SELECT count(*) FROM hnsw_check('many_embedding', true)) ],
    vacuum => [ qr/^$/, 'DELETE FROM many WHERE id % 10 = 3', 'VACUUM (INDEX_CLEANUP on) many' ],
    insert => [ qr/^$/, q(INSERT INTO many SELECT i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 500) i) ]);
  my %ended;
  for my $what (sort keys %large) {
    my ($result, @statements) = @{ $large{$what} };
    for my $megabytes (1, 2, 4, 8, 16, 32, 64, 128) {
      my $said = limited(more_memory($megabytes << 20), @statements);
      $ended{ended_with($said, $result)}{"$what with $megabytes MB more"} = 1;
    }
  }
  is(join(', ', grep { /^other/ } sort keys %ended), '', 'a result, or the error that memory is missing');
  cmp_ok(scalar keys %{ $ended{$_} }, '>', 0, "$_: " . join ', ', sort keys %{ $ended{$_} }) for 'out of memory', 'result';
  unlike(slurp_file($node->logfile, $log_before), qr/was terminated by signal|exited with exit code|memory allocation of/, 'nothing ended the server');

  # No thread for a build: it goes on in the session's own, where it is as interruptible.
  for my $workers (0, 4) {
    for my $memory ('1MB', '64MB') {
      my $build = "CREATE INDEX alone_embedding ON wordnet USING hnsw (embedding vector_%s_ops)";
      for my $metric ('l2', 'l1') {
        sql('DROP INDEX IF EXISTS alone_embedding, second_embedding');
        my $said = limited('--nproc=1', "SET max_parallel_maintenance_workers = $workers", "SET maintenance_work_mem = '$memory'",
          sprintf($build, $metric), sprintf($build, $metric) =~ s/alone/second/r);
        is($said, '', "two builds ($metric, $workers workers, $memory) without threads");
      }
      is(Wordnet::check($node, index => 'alone_embedding', all => 1), '', 'nothing is wrong with them');
      sql('DROP INDEX alone_embedding, second_embedding');
    }
  }
  my $cancelled = limited('--nproc=1', "SET statement_timeout = '20ms'", 'CREATE INDEX alone_embedding ON wordnet USING hnsw (embedding vector_l1_ops)');
  like($cancelled, qr/57014: canceling statement due to statement timeout/, 'a build without threads can be cancelled');
  is(sql(q(SELECT count(*) FROM pg_class WHERE relname = 'alone_embedding')), '0', 'and leaves no index');

  # Nor for functions of types, in a session that never came to an index.
  my $cast = q(SELECT length((('[' || repeat('1.25,', 15999) || '1]')::vector::sparsevec)::text));
  my @said = map { limited(more_memory($_ << 14), $cast) } 1 .. 64;
  is(join('', grep { /^other/ } map { ended_with($_, qr/^\d+$/) } @said), '', 'a cast without memory is an error');
  unlike(slurp_file($node->logfile), qr/was terminated by signal (?!6)/, 'no process crashed');
  # A failed allocation of Rust's ends in signal 6, as the PANIC for want of WAL did before.
  unlike(slurp_file($node->logfile, $log_before), qr/was terminated by signal|exited with exit code|memory allocation of/, 'none for want of memory');
}

# Ended at any moment: by a timeout, by a cancel request, by the end of the session. Builds are in 004_build.
sql(q(CREATE TABLE pool AS SELECT * FROM wordnet; CREATE PROCEDURE search_long() LANGUAGE plpgsql AS $$ BEGIN
  SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 2147483647;
  LOOP PERFORM count(*) FROM (SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 3)) s; END LOOP; END $$));
my %operation = (
  insert => 'INSERT INTO wordnet SELECT id + 20000, topic, text, embedding FROM pool',
  vacuum => 'VACUUM (INDEX_CLEANUP on) wordnet',
  check => q(SELECT count(*) FROM hnsw_check('wordnet_embedding', true)),
  scan => 'CALL search_long()',
  reindex => 'REINDEX INDEX wordnet_embedding');
my ($ended, $slowest) = (0, 0);
for my $round (1 .. (Wordnet::long() ? 20 : 2)) {
  for my $what (sort keys %operation) {
    for my $milliseconds (1, 7, 40, 150) {
      sql('DELETE FROM wordnet WHERE id % 7 = 3 OR id >= 20000; INSERT INTO wordnet SELECT * FROM pool WHERE id % 7 = 3') if $what eq 'vacuum';
      my ($status, $output, $error) = $node->psql('postgres', "SET statement_timeout = $milliseconds; $operation{$what}");
      like($error, qr/^$|canceling statement due to statement timeout/, "$what: a timeout of $milliseconds ms") or last;
      $ended++ if $error;
    }
    for my $function ('pg_cancel_backend', 'pg_terminate_backend') {
      my $session = Wordnet::session($node, "SET application_name = 'victim'", $operation{$what});
      $node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'victim' AND state = 'active' AND query !~ 'SET app')
        . ($what eq 'scan' ? '' : q( OR NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim')))) or die;
      sleep rand 0.2;
      my $start = time;
      sql("SELECT $function(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
      eval { Wordnet::output($session) };
      my $error = $@;
      $slowest = time - $start if $slowest < time - $start;
      like($error, qr/^$|canceling statement due to user request|terminating connection due to administrator command|server closed the connection|connection to server was lost/, "$what: $function");
      $ended++ if $error;
    }
  }
  is(Wordnet::check($node), '', 'no damage is left');
  is(Wordnet::lost($node), 0, 'every row can be found');
  sql('DELETE FROM wordnet WHERE id >= 20000; VACUUM wordnet');
  is(Wordnet::check($node), '', 'nor after a vacuum that may end');
}
cmp_ok($ended, '>', 10, "$ended statements were ended");
note sprintf 'the slowest took %.2f s to end', $slowest;
cmp_ok(Wordnet::recall($node), '>=', 0.95, 'recall after all that');

$node->stop;
done_testing();
