# Every prefix of the WAL: a workload makes every kind of record that an index can have, and a copy of the server as it was before
# is recovered to the end of one record after the other. At each end, no index is damaged, every visible row is found by its own
# value, and rows come, go and are vacuumed as if nothing had happened.
#
# OMENDB_RECORDS says how many ends are tried: by default 40, and 3,000 under --long. OMENDB_SEED chooses them, some of every step
# of the workload. OMENDB_JOBS recoveries run side by side (2).
use strict;
use warnings;
use File::Temp;
use List::Util qw(min shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Indexed;
use Wordnet;

my $seed = $ENV{OMENDB_SEED} || time % 1_000_000;
my $wanted = $ENV{OMENDB_RECORDS} || (Wordnet::long() ? 3000 : 40);
my $jobs = $ENV{OMENDB_JOBS} || 2;
srand $seed;
diag "OMENDB_SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('recorded');
$node->init(extra => ['--wal-segsize=1']);
# One checkpoint, before the workload, and the WAL kept from there on.
Wordnet::configure($node, "wal_level = replica\nmax_wal_size = 10GB\ncheckpoint_timeout = 1h\nwal_keep_size = 5GB\nbgwriter_lru_maxpages = 0");
$node->start;
sub sql { return $node->safe_psql('postgres', @_); }

Indexed::create($node);
is(sql('SELECT wrong(true)'), '', 'nothing is wrong with empty indexes');
# Without the templates a copy is a third as large.
$node->safe_psql('postgres', "UPDATE pg_database SET datistemplate = false");
sql("DROP DATABASE $_") for 'template0', 'template1';

# The server as it was, copied while it is down.
$node->stop;
my $base = PostgreSQL::Test::Utils::tempdir() . '/base';
my $wal = $node->data_dir . '/pg_wal';
system_or_bail('cp', '-a', $node->data_dir, $base);
unlink glob("$base/pg_wal/0*");
append_to_file("$base/postgresql.conf", <<"CONF");
fsync = off
restore_command = 'cp $wal/%f "%p" 2>/dev/null'
recovery_target_action = promote
shared_buffers = 16MB
log_min_messages = warning
CONF
append_to_file("$base/recovery.signal", '');
$node->start;

# The steps of the workload, in order. An entry that begins with + is one of two sessions at once.
my @steps = (
  'first elements' => [ map { "CALL add('$_', 1, 1)" } qw(deep wide stack keyed) ],
  'full lists, levels, pages of elements, upper lists and keys, a second center' => [ "CALL add('deep', 2, 160)", "CALL add('wide', 2, 40)", "CALL add('keyed', 2, 140)" ],
  'rows of one value, an overflow slot and its page' => [ "CALL add('stack', 2, 70)" ],
  'unlogged' => [ "CALL add('volatile', 1, 20)" ],
  'each row a transaction' => [ "DO 'BEGIN FOR i IN 3100 .. 3115 LOOP CALL add(''deep'', i, 1); COMMIT; END LOOP; END'" ],
  'rolled back' => [ "BEGIN; CALL add('deep', 200, 8); CALL add('stack', 200, 8); SAVEPOINT s; CALL add('keyed', 200, 4); ROLLBACK TO s;
    CALL add('wide', 200, 2); ROLLBACK" ],
  'a savepoint rolled back' => [ "BEGIN; SAVEPOINT s; CALL add('deep', 300, 8); ROLLBACK TO s; CALL add('deep', 320, 4); COMMIT" ],
  'updates' => [ map { "UPDATE $_ SET id = id + 1000 WHERE id % 7 = 1" } qw(deep wide stack keyed) ],
  'vacuum of a few' => [ map { ("DELETE FROM $_ WHERE id % 9 = 2", "VACUUM (INDEX_CLEANUP on) $_") } qw(deep wide stack keyed) ],
  'slots taken again' => [ map { "CALL add('$_', 400, 12)" } qw(deep wide stack keyed) ],
  'marks of dead rows' => [ "DELETE FROM stack WHERE id < 60",
    map { "SET enable_seqscan = off; SELECT FROM (SELECT id FROM stack ORDER BY v <-> '[1,2,3]' LIMIT 100) s" } 1, 2 ],
  'vacuum of most' => [ map { ("DELETE FROM $_ WHERE id % 5 <> 0", "VACUUM (INDEX_CLEANUP on) $_") } qw(deep wide stack keyed) ],
  'two sessions and a vacuum' => [ "+BEGIN; CALL add('deep', 500, 30); CALL add('wide', 500, 8); COMMIT; CALL add('keyed', 500, 20)",
    "+DELETE FROM deep WHERE id % 2 = 1; VACUUM (INDEX_CLEANUP on) deep; VACUUM (INDEX_CLEANUP on) wide; CALL add('deep', 600, 20)" ],
  'a build' => [ 'CREATE INDEX built_v ON built USING hnsw (v vector_l2_ops)' ],
  'inserts after a build' => [ "CALL add('built', 1000, 10)" ],
  'a build again' => [ 'REINDEX INDEX built_v' ],
  'concurrent builds' => [ 'DROP INDEX built_v', 'CREATE INDEX CONCURRENTLY built_v ON built USING hnsw (v vector_ip_ops) WITH (m = 4)',
    'DROP INDEX built_v', 'CREATE INDEX CONCURRENTLY built_v ON built USING hnsw (v vector_cosine_ops) WITH (m = 4)' ],
  'a concurrent build beside inserts' => [ "+REINDEX INDEX CONCURRENTLY built_v", "+DO 'BEGIN FOR i IN 1 .. 8 LOOP CALL add(''built'', 1100 + i, 1); COMMIT; END LOOP; END'" ],
  'a build with key columns' => [ 'REINDEX INDEX CONCURRENTLY keyed_v' ],
  'a build rolled back' => [ 'BEGIN; REINDEX INDEX wide_v; ROLLBACK' ],
  'a table written anew' => [ 'ALTER TABLE wide ALTER id TYPE bigint', 'VACUUM FULL deep' ],
  'emptied by vacuum, and first elements again' => [ map { ("DELETE FROM $_", "VACUUM (INDEX_CLEANUP on) $_", "CALL add('$_', 700, 5)") } qw(deep stack keyed) ],
  'truncated' => [ "BEGIN; TRUNCATE wide; CALL add('wide', 800, 3); COMMIT", "CALL add('wide', 810, 3)", 'DROP INDEX built_v' ],
);

# The least that a step leaves: [element, upper, overflow and other pages] of an index at least, after the step.
my %pages = (
  'full lists, levels, pages of elements, upper lists and keys, a second center' => { deep_v => [ 2, 1, 0, 1 ], wide_v => [ 2, 1, 0, 3 ], keyed_v => [ 1, 1, 0, 3 ] },
  'rows of one value, an overflow slot and its page' => { stack_v => [ 1, 0, 1, 1 ] },
);

my @ends;
while (my ($step, $statements) = splice @steps, 0, 2) {
  my $before = sql('SELECT pg_current_wal_insert_lsn()');
  my @sessions = map { Wordnet::script($node, "$_;\n") } map { /^\+(.*)/s ? $1 : () } @$statements;
  Wordnet::output($_) for @sessions;
  $node->safe_psql('postgres', $_) for grep { !/^\+/ } @$statements;
  for my $index (sort keys %{ $pages{$step} // {} }) {
    my @pages = split / /, sql("SELECT element_bytes / 8192, upper_bytes / 8192, overflow_bytes / 8192, (filter_bytes + other_bytes) / 8192 FROM hnsw_index_info('$index')") =~ tr/|/ /r;
    my @least = @{ $pages{$step}{$index} };
    is(scalar(grep { $pages[$_] < $least[$_] } 0 .. 3), 0, "$step: $index has @pages pages, at least @least");
  }
  push @ends, [ $step, records($before, sql('SELECT pg_current_wal_insert_lsn()')) ];
}
is(sql('SELECT wrong(false)'), '', 'nothing is wrong in the end');
$node->stop('immediate');

# The records between two positions that say something of indexes, their tables or transactions.
sub records {
  my ($from, $to) = @_;
  # A commit flushes what was inserted before it.
  sql('SELECT txid_current()');
  my ($lines) = run_command([ 'pg_waldump', '-p', $wal, '-s', $from, '-e', $to ]);
  return map { /^rmgr: (\S+).* lsn: ([0-9A-F]+\/[0-9A-F]+)/ ? [ $2, $1 ] : () } grep { is_ours($_) } split /\n/, $lines;
}
# Catalogs have files with lower numbers.
sub is_ours {
  my ($line) = @_;
  return $line =~ /^rmgr: (Transaction|Storage)/ || $line =~ m{rel \d+/\d+/(\d+)} && $1 >= 16384;
}

my %kinds;
$kinds{$_->[1]}++ for map { my ($step, @records) = @$_; @records } @ends;
diag 'records: ' . join ', ', map { "$kinds{$_} $_" } sort keys %kinds;
diag "$_->[0]: $#$_" for @ends;

# Some of every step, in turn.
my @left = map { my ($step, @records) = @$_; [ $step, shuffle @records ] } @ends;
my @chosen;
while (@chosen < $wanted and my @with = grep { @$_ > 1 } @left) {
  for (shuffle @with) {
    push @chosen, [ $_->[0], @{ splice @$_, 1, 1 } ];
    last if @chosen == $wanted;
  }
}

is(scalar @chosen, min($wanted, scalar map { my (undef, @records) = @$_; @records } @ends), 'as many ends as wanted are chosen');
is(join(' ', grep { !$kinds{$_} } qw(Generic Storage Transaction Heap XLOG)), '', 'there are records of each kind');

# Recovers copies in memory, where there is such a file system, and tries them in a server of one process: the recovery is that of
# any server, and nothing waits for a postmaster.
my $folder = -w '/dev/shm' ? '/dev/shm' : PostgreSQL::Test::Utils::tempdir();
my $script = join '', map { "$_;\n\n" } 'SELECT wrong(false)', 'CALL change()', 'VACUUM (INDEX_CLEANUP on) deep',
  (map { "VACUUM (INDEX_CLEANUP on) $_" } qw(wide stack keyed built volatile)), 'SELECT wrong(true)', q{SELECT 'all ' || 'done'};
# Within a vacuum links are gone and rows not yet reachable again: nothing is damaged, and the next vacuum makes all reachable.
my $mending = join '', map { "$_;\n\n" } q{SELECT 'wrong = ' || f FROM indexed i, hnsw_check(i.index, heapallindexed => i.valid) f WHERE i.ready AND severity = 'error'},
  map { "VACUUM (INDEX_CLEANUP on) $_" } qw(deep wide stack keyed);
my @running;
my %tried;
while (@chosen or @running) {
  while (@chosen and @running < $jobs) {
    my ($step, $lsn, $kind) = @{ shift @chosen };
    my $copy = File::Temp->newdir(DIR => $folder);
    my ($input, $output) = ($step =~ /vacuum/ ? "$mending$script" : $script, '');
    my $run = IPC::Run::start([ 'sh', '-c', <<"SH" ], '<', \$input, '>', \$output, '2>&1');
cp -a $base $copy/data && exec postgres --single -j -D $copy/data -c recovery_target_lsn=$lsn postgres
SH
    push @running, [ $step, "$lsn ($kind)", $copy, $run, \$output ];
  }
  my ($step, $end, $copy, $run, $output) = @{ shift @running };
  my $ended = $run->finish;
  # One with assertions warns at the end of its recovery that a folder is open.
  my ($recovery, $statements) = split /stand-alone backend/, $$output, 2;
  my $fine = $ended && ($statements // '') =~ /"all done"/ && $statements !~ /ERROR|WARNING|wrong = / && $$output !~ /FATAL|PANIC|TRAP/;
  ok($fine, "$step: recovered to $end") or diag $$output;
  $tried{$step}++ if $fine;
}
diag scalar(map { (1) x $_ } values %tried) . ' ends of records tried';

done_testing();
