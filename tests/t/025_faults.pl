# An error everywhere: the n-th call into PostgreSQL that an operation makes raises an ERROR, or a cancel comes with it, or the system
# has no memory for the n-th allocation; for every n, or some. Afterwards the same session goes on: nothing is held that should not
# be, no index is damaged, every row is found. tests/faults/faults.c makes the calls fail, of the library as it is released.
#
# OMENDB_FAULT_SAMPLE says how many n of each operation, kind and way are tried at most: by default 2, and 1,000 under --long, which
# is all but for a few. OMENDB_SEED chooses them. OMENDB_FAULT_OPERATION is a pattern of the operations to try.
use strict;
use warnings;
use List::Util qw(min shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Indexed;
use Wordnet;

my $library = $ENV{OMENDB_FAULTS} or plan skip_all => 'faults are made on x86_64 only';
my $seed = $ENV{OMENDB_SEED} || time % 1_000_000;
my $sample = $ENV{OMENDB_FAULT_SAMPLE} || (Wordnet::long() ? 1000 : 2);
my $pattern = $ENV{OMENDB_FAULT_OPERATION} // '.*';
srand $seed;
diag "OMENDB_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('faults');
$node->init;
Wordnet::configure($node, "shared_buffers = 16MB\nlog_min_messages = panic\nbgwriter_lru_maxpages = 0\ncheckpoint_timeout = 1h");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }

Indexed::create($node);
sql(<<"SQL");
CREATE FUNCTION fault_arm(kind text, n bigint, how text) RETURNS void AS '$library' LANGUAGE C STRICT;
CREATE FUNCTION fault_seen() RETURNS bigint AS '$library' LANGUAGE C;
CREATE FUNCTION fault_where() RETURNS text AS '$library' LANGUAGE C;
CREATE FUNCTION fault_leaks() RETURNS text AS '$library' LANGUAGE C;
CREATE FUNCTION fault_memory() RETURNS bigint AS '$library' LANGUAGE C;
CREATE SEQUENCE fresh START 10000;
CREATE TABLE first (id serial, v vector(3));
CREATE INDEX first_v ON first USING hnsw (v vector_l2_ops);
CREATE TABLE many (id serial, v vector(3));
INSERT INTO many (v) SELECT sample(i, 3) FROM generate_series(1, 6000) i;
CALL add('deep', 1, 100); CALL add('wide', 1, 30); CALL add('stack', 1, 70); CALL add('keyed', 1, 100);
CREATE INDEX built_v ON built USING hnsw (v vector_l2_ops);
-- Rows that a vacuum finds dead, and as many new ones.
CREATE PROCEDURE replace(name text, rows int) LANGUAGE plpgsql AS \$\$
BEGIN
  EXECUTE format('DELETE FROM %1\$s WHERE id IN (SELECT id FROM %1\$s ORDER BY id %% 7, id LIMIT %2\$s)', name, rows);
  CALL add(name, nextval('fresh')::int * 10, rows);
END \$\$;
SQL

my $nearest = "ORDER BY v <-> (SELECT sample(5, 3))";
# Each operation: its table, the statements before each try, the statement, those after it, and those that mend its remainders. A
# vacuum that ends early has removed links and not yet made all rows reachable again: the next one does.
my @operations = (
  [ 'first insert', 'first', 'TRUNCATE first', "CALL add('first', 1, 1)" ],
  [ 'insert', 'deep', '', "CALL add('deep', nextval('fresh')::int, 2)", 'DELETE FROM deep WHERE id > 400' ],
  [ 'insert of a wide row', 'wide', '', "CALL add('wide', nextval('fresh')::int, 1)", 'DELETE FROM wide WHERE id > 60' ],
  [ 'insert of an equal row', 'stack', '', "CALL add('stack', 1, 22)", 'DELETE FROM stack WHERE id > 200' ],
  [ 'insert with keys', 'keyed', '', "CALL add('keyed', nextval('fresh')::int, 2)", 'DELETE FROM keyed WHERE id > 400' ],
  [ 'insert in a savepoint', 'deep', 'BEGIN; SAVEPOINT s', "CALL add('deep', nextval('fresh')::int, 2)", "ROLLBACK TO s; SELECT 'leaks: ' || fault_leaks(); COMMIT" ],
  [ 'search', 'deep', '', "SELECT FROM (SELECT id FROM deep $nearest LIMIT 10) s" ],
  [ 'search of wide rows', 'wide', '', "SELECT FROM (SELECT id FROM wide ORDER BY v <=> (SELECT sample(5, 1000)) LIMIT 10) s" ],
  [ 'search in a savepoint', 'wide', 'BEGIN; SAVEPOINT s', "SELECT FROM (SELECT id FROM wide ORDER BY v <=> (SELECT sample(5, 1000)) LIMIT 10) s",
    "ROLLBACK TO s; SELECT 'leaks: ' || fault_leaks(); COMMIT" ],
  [ 'strict iterative search', 'deep', "SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = 10",
    "SELECT FROM (SELECT id FROM deep WHERE id % 3 = 0 $nearest LIMIT 15) s", 'RESET hnsw.iterative_scan; RESET hnsw.ef_search' ],
  [ 'relaxed iterative search', 'deep', "SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = 10",
    "SELECT FROM (SELECT id FROM deep WHERE id % 3 = 0 $nearest LIMIT 15) s", 'RESET hnsw.iterative_scan; RESET hnsw.ef_search' ],
  [ 'filtered search', 'keyed', '', "SELECT FROM (SELECT id FROM keyed WHERE a < 60 AND b > 'text 2' ORDER BY v <-> (SELECT sample(5, 8)) LIMIT 10) s" ],
  [ 'search with a target', 'built', 'SET omendb.target_recall = 0.95', 'SELECT FROM (SELECT id FROM built ORDER BY v <-> (SELECT sample(5, 100)) LIMIT 10) s', 'RESET omendb.target_recall' ],
  [ 'search that marks dead rows', 'stack', 'DELETE FROM stack; VACUUM (INDEX_CLEANUP on) stack; CALL add($$stack$$, 1, 60); DELETE FROM stack WHERE ctid IN (SELECT ctid FROM stack ORDER BY ctid LIMIT 50)',
    "SELECT FROM (SELECT id FROM stack ORDER BY v <-> '[1,2,3]' LIMIT 100) s" ],
  (map { my ($name, $table, $rows) = @$_; my $vacuum = "VACUUM (INDEX_CLEANUP on) $table";
    [ $name, $table, "CALL replace('$table', $rows)", $vacuum, '', $vacuum ] }
    [ 'vacuum', 'deep', 20 ], [ 'vacuum of equal rows', 'stack', 40 ], [ 'vacuum of keys', 'keyed', 10 ]),
  [ 'build', 'built', 'DROP INDEX IF EXISTS built_v', 'CREATE INDEX built_v ON built USING hnsw (v vector_l2_ops)' ],
  [ 'build by parallel workers', 'built', 'DROP INDEX IF EXISTS built_v; ALTER TABLE built SET (parallel_workers = 2)',
    'CREATE INDEX built_v ON built USING hnsw (v vector_l2_ops)', 'ALTER TABLE built RESET (parallel_workers)' ],
  [ 'build by cells', 'many', "DROP INDEX IF EXISTS many_v; SET maintenance_work_mem = '1MB'", 'CREATE INDEX many_v ON many USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8)', 'RESET maintenance_work_mem' ],
  [ 'concurrent build', 'built', 'DROP INDEX IF EXISTS built_v', 'CREATE INDEX CONCURRENTLY built_v ON built USING hnsw (v vector_l2_ops)' ],
  [ 'rebuild with keys', 'keyed', '', 'REINDEX INDEX keyed_v' ],
  [ 'check', 'deep', '', "SELECT FROM hnsw_check('deep_v', heapallindexed => true)" ],
  [ 'check of keys', 'keyed', '', "SELECT FROM hnsw_check('keyed_v', heapallindexed => true)" ],
  [ 'report', 'stack', '', "SELECT FROM hnsw_index_info('stack_v')" ],
);
my @ways = map { my $kind = $_; map { [ $kind, $_ ] } $kind eq 'malloc' ? 'nothing' : $kind eq 'interrupt' ? 'cancel' : qw(error cancel) }
  qw(read write alloc detoast catalog parallel interrupt malloc);

# One session does all: psql prints what follows each try.
my ($tried, $fired, %places, %kinds) = (0, 0);
for (grep { $_->[0] =~ /^(?:$pattern)$/ } @operations) {
  my ($operation, $table, $before, $statement, $after, $mend) = @$_;
  my $try = sub {
    my ($kind, $n, $how) = @_;
    return join "\n", map { "$_;" } "\\echo try $kind $how $n\n$before", "SELECT fault_arm('$kind', $n, '$how')", $statement, ($after // ''),
      "SELECT concat('fired: ', fault_where()), 'seen: ' || fault_seen(), 'leaks: ' || fault_leaks(), 'memory: ' || fault_memory()",
      (map { ("SELECT fault_arm('read', 0, 'count')", damage($table), $_) } $mend // ()), "SELECT 'wrong: ' || wrong(false, '$table')",
      "SELECT 'locks: ' || string_agg(locktype || ' ' || coalesce(relation::regclass::text, ''), ', ') FROM pg_locks WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid' AND relation IS DISTINCT FROM 'pg_locks'::regclass";
  };
  # Counts the calls of each kind; no call fails.
  my @counts = session(map { $try->($_, 0, 'count') } map { $_->[0] } @ways);
  is(scalar @counts, scalar @ways, "$operation: the session went on while calls were counted");
  my @early = map { @{ $_->{bad} } } @counts;
  is(scalar @early, 0, "$operation: nothing is wrong without a fault") or diag join "\n", @early[ 0 .. min(9, $#early) ];
  my %calls = map { $_->{kind} => $_->{seen} } @counts;
  my @tries = map {
    my ($kind, $how) = @$_;
    my @all = 1 .. $calls{$kind} // 0;
    map { [ $kind, $_, $how ] } @all > $sample ? (shuffle @all)[ 0 .. $sample - 1 ] : @all;
  } @ways;
  cmp_ok(scalar @tries, '>', 0, "$operation: there are calls to fail");
  my @results = session(map { $try->(@$_) } @tries);
  is(scalar @results, scalar @tries, "$operation: the session went on through all tries");
  my @bad = grep { @{ $_->{bad} } } @results;
  is(scalar @bad, 0, "$operation: " . @tries . ' tries') or diag join "\n", map { "$_->{try}: fired in $_->{fired}\n  " . join "\n  ", @{ $_->{bad} } } @bad[ 0 .. min(9, $#bad) ];
  # Memory for the next search or insert is kept, and the reserve is large after the first build, vacuum or check; a failed
  # allocation takes it away.
  my @memory = map { $_->{memory} } grep { $_->{kind} ne 'malloc' } @results;
  cmp_ok($memory[-1] - $memory[1], '<', 1 << 20, "$operation: memory does not grow");
  $tried += @tries;
  $places{ $_->{fired} }++ for grep { $_->{fired} } @results;
  $kinds{ $_->{kind} }++ for grep { $_->{fired} } @results;
}
is(join(' ', grep { !$kinds{$_} } map { $_->[0] } @ways), '', 'calls of every kind failed') unless $ENV{OMENDB_FAULT_OPERATION};
$fired += $_ for values %places;
diag "$fired faults in $tried tries: " . join ', ', map { "$places{$_} $_" } sort keys %places;

$node->stop;
done_testing();

# Damage of a table's indexes, which no vacuum mends.
sub damage {
  my ($table) = @_;
  return "SELECT 'damage: ' || f FROM indexed i, hnsw_check(i.index, heapallindexed => i.valid) f WHERE i.name = '$table'::regclass AND severity = 'error'";
}

# Runs tries in one session. Returns the results of each: its kind, how many calls there were, where one failed, and everything wrong.
sub session {
  my $script = PostgreSQL::Test::Utils::tempdir() . '/script.sql';
  append_to_file($script, join "\n", 'SET enable_seqscan = off; SET client_min_messages = warning;', @_);
  my $output = '';
  IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $script ], '<', \undef, '>', \$output, '2>&1');
  my @results;
  for (split /\n/, $output) {
    if (/^try (\S+) (.*)/) {
      push @results, { try => "$1 $2", kind => $1, bad => [], fired => '' };
    } elsif (/^fired: (.*)\|seen: (\d+)\|leaks: (.*)\|memory: (\d+)$/) {
      @{ $results[-1] }{qw(fired seen memory)} = ($1, $2, $4);
      push @{ $results[-1]{bad} }, $3 if $3;
    } else {
      push @{ $results[-1]{bad} }, $_ unless is_expected($_);
    }
  }
  return grep { defined $_->{memory} } @results;
}

# An empty line is the result of a function without one.
sub is_expected {
  return $_[0] =~ /^(|leaks: |locks: )$/ || $_[0] =~ /ERROR:  (injected fault|canceling statement due to user request|out of memory)$/
    || $_[0] =~ /^(CONTEXT|DETAIL|HINT|LINE|LOCATION|PL\/pgSQL|SQL )/ || $_[0] =~ /^ +\^?/;
}
