# Crashes at random moments: while rows are inserted, updated and deleted, a server is killed that builds, vacuums or rebuilds
# the index. After each recovery what was committed is there and found, nothing is damaged, a vacuum leaves nothing to mend,
# and recall is what it was. A second index has key columns and a graph for each topic.
#
# OMENDB_SEED chooses the moments, OMENDB_KILLS how many: by default 5, and 100 under --long.
use strict;
use warnings;
use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Wordnet;

my $seed = $ENV{OMENDB_SEED} || time % 1_000_000;
my $kills = $ENV{OMENDB_KILLS} || (Wordnet::long() ? 100 : 5);
srand $seed;
diag "OMENDB_SEED=$seed";

my $node = Wordnet::node('stress', "wal_level = replica\nmax_connections = 20\nrestart_after_crash = on");
my %definition = (wordnet_embedding => 'wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops)', wordnet_keyed => Wordnet::KEYED);

sub sql { return $node->safe_psql('postgres', @_); }

sub any { return $_[rand @_]; }

# Activities beside the writers, with the longest time in seconds until the kill, and the statement for an index.
my %activity = (
  'inserts, updates and deletes' => [ 1.2, sub { '' } ],
  'CREATE INDEX' => [ 0.5, sub { "CREATE INDEX $definition{$_[0]}" } ],
  'CREATE INDEX CONCURRENTLY' => [ 0.8, sub { "CREATE INDEX CONCURRENTLY $definition{$_[0]}" } ],
  'VACUUM' => [ 1.2, sub { 'VACUUM (INDEX_CLEANUP on) wordnet' } ],
  'REINDEX CONCURRENTLY' => [ 1.2, sub { "REINDEX INDEX CONCURRENTLY $_[0]" } ],
);

# Writers, each statement a transaction. They say what is committed, and none touches a row twice or another's rows: `before` is
# the last id that was given before they started.
my %writer = (
  insert => q{SELECT format('INSERT INTO wordnet SELECT nextval(%L), topic, text, embedding FROM pool WHERE id = %s RETURNING %L || id',
      'new_id', floor(random() * 5000), '+') FROM generate_series(1, 20000)},
  update => q{SELECT format('UPDATE wordnet SET topic = (SELECT topic FROM pool WHERE id = %2$s), embedding = (SELECT embedding FROM pool WHERE id = %2$s) WHERE id = %1$s RETURNING %3$L || id || %4$L',
      id, (id * 7 + :'salt') % 5000, '=', ' ' || (id * 7 + :'salt') % 5000) FROM wordnet WHERE id < 1500 ORDER BY random()},
  delete => q{SELECT format('DELETE FROM wordnet WHERE id = %s RETURNING %L || id', id, '-') FROM wordnet WHERE id BETWEEN 1500 AND :'before' ORDER BY random()},
);

sub start_writers {
  my $salt = int rand 5000;
  my $before = sql('SELECT last_value FROM new_id');
  return map { Wordnet::script($node, "\\set salt $salt\n\\set before $before\n$writer{$_} \\gexec\n") } sort keys %writer;
}

# The commits reported by writers before they, or their server, came to an end: these rows must be there now.
sub committed {
  my (@writers) = @_;
  for (@writers) {
    $_->{run}->finish or ${ $_->{output} } =~ /terminating connection|server closed the connection|connection to server was lost/
      or die "a writer failed: ${ $_->{output} }";
  }
  my @said = map { split /\n/, ${ $_->{output} } } @writers;
  return {
    inserted => [ map { /^\+(\d+)$/ } @said ],
    deleted => [ map { /^-(\d+)$/ } @said ],
    updated => [ map { /^=(\d+) (\d+)$/ ? [ $1, $2 ] : () } @said ],
  };
}

# Kills all of a server at once, sometimes in the recovery once more; or one of its backends, and it recovers by itself.
sub kill_server {
  if (rand() < 0.25) {
    # The one chosen may have ended meanwhile, as a session does that has built its index.
    1 until kill 'KILL', sql('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = $$client backend$$ ORDER BY random() LIMIT 1');
    return 'one backend';
  }
  Wordnet::crash($node);
  return 'all' unless rand() < 0.25;
  system_log('pg_ctl', '-W', '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start');
  sleep rand 0.3;
  my @all;
  Wordnet::wait_until(sub { @all = Wordnet::processes($node) }, 'the server to say who it is');
  kill 9, @all;
  Wordnet::wait_until(sub { !kill 0, @all }, 'the recovering server to end');
  return 'all, and again in recovery';
}

# Settings of the next server: how much has to be replayed, and from what. Pages are compared only with full_page_writes: Postgres
# does not bear a change of a page that it skips, since a later record drops the relation, when it is to compare that page.
sub configure {
  my $settings = join '', map { "$_\n" } 'shared_buffers = ' . any('1MB', '8MB', '64MB'),
    any("full_page_writes = off\nwal_consistency_checking = ''", "full_page_writes = on\nwal_consistency_checking = ''",
      "full_page_writes = on\nwal_consistency_checking = 'all'");
  $node->append_conf('postgresql.conf', $settings);
}

sub ids { return '{' . join(',', @_) . '}'; }

# The number of committed rows that are not as they were, and of those that a search for their own vectors does not find, among all
# rows and among those of their topic.
sub missing {
  my ($committed) = @_;
  my ($inserted, $deleted) = map { ids(@$_) } @$committed{qw(inserted deleted)};
  my ($updated, $to) = map { my $n = $_; ids(map { $_->[$n] } @{ $committed->{updated} }) } 0, 1;
  return sql(<<"SQL");
SET enable_seqscan = off;
SET hnsw.ef_search = 200;
SELECT (SELECT count(*) FROM unnest('$inserted'::int[]) AS i (id) WHERE id NOT IN (SELECT id FROM wordnet)),
  (SELECT count(*) FROM wordnet WHERE id = ANY ('$deleted')),
  (SELECT count(*) FROM unnest('$updated'::int[], '$to'::int[]) u (id, source)
     WHERE (SELECT embedding FROM wordnet WHERE id = u.id) IS DISTINCT FROM (SELECT embedding FROM pool WHERE id = u.source)),
  (SELECT count(*) FROM wordnet w WHERE (id = ANY ('$inserted') OR id = ANY ('$updated')) AND
     id NOT IN (SELECT id FROM (SELECT id FROM wordnet n ORDER BY n.embedding <-> w.embedding LIMIT 40) s)),
  (SELECT count(*) FROM wordnet w WHERE (id = ANY ('$inserted') OR id = ANY ('$updated')) AND
     id NOT IN (SELECT id FROM (SELECT id FROM wordnet n WHERE n.topic = w.topic ORDER BY n.embedding <=> w.embedding LIMIT 40) s));
SQL
}

sub index_states { return sql(q{SELECT relname || ' ' || indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname ~ '^wordnet_(embedding|keyed)' ORDER BY 1}); }

# A build that was cut short has left nothing, or, if it was concurrent, something to be dropped.
sub mend_index {
  sql("DROP INDEX $1") while index_states() =~ /^(\S+) false$/m;
  for my $index (sort keys %definition) {
    sql("CREATE INDEX $definition{$index}") unless index_states() =~ /^$index true$/m;
  }
}

sql(<<'SQL');
CREATE TABLE pool AS SELECT * FROM wordnet;
ALTER TABLE pool ADD PRIMARY KEY (id);
DELETE FROM wordnet WHERE id >= 3000;
CREATE SEQUENCE new_id START 100000;
SQL
mend_index();
my $recall = Wordnet::recall($node);
note "recall before: $recall";

my (%killed, %changes);
my @activities = shuffle(sort keys %activity);
for my $round (1 .. $kills) {
  my $name = $activities[ $round % @activities ];
  my ($seconds, $activity) = @{ $activity{$name} };
  my $index = any(sort keys %definition);
  my $statement = $activity->($index);
  # The table keeps its size, and each round starts with rows to vacuum.
  sql('DELETE FROM wordnet WHERE id IN (SELECT id FROM wordnet WHERE id >= 1500 ORDER BY random() OFFSET 1400)');
  sql('INSERT INTO wordnet SELECT nextval($$new_id$$), topic, text, embedding FROM pool ORDER BY random() LIMIT greatest(0, 2800 - (SELECT count(*) FROM wordnet))');
  sql('DELETE FROM wordnet WHERE id IN (SELECT id FROM wordnet WHERE id >= 1500 ORDER BY random() LIMIT 300)') if $name eq 'VACUUM';
  sql("DROP INDEX $index") if $name =~ /^CREATE/;
  sql('CHECKPOINT') if rand() < 0.5;

  my @writers = start_writers();
  my @others = map { Wordnet::script($node, $_) } ($statement ? "$statement;\n" x ($name =~ /^CREATE/ ? 1 : 1000) : ()),
    (rand() < 0.3 ? "CHECKPOINT;\nSELECT pg_sleep(0.1);\n" x 1000 : ());
  sleep 0.05 + rand $seconds;
  my $log_before = -s $node->logfile;
  my $how = kill_server();
  my $committed = committed(@writers);
  $_->{run}->finish for @others;
  configure();
  if ($how eq 'one backend') {
    Wordnet::wait_for_server($node, $log_before);
    $node->restart if rand() < 0.5;
  } else {
    Wordnet::start_again($node);
  }
  $killed{"$name: $how"}++;
  $changes{$_} += @{ $committed->{$_} } for keys %$committed;

  my $moment = "kill $round ($name of $index; $how)";
  my $states = index_states();
  mend_index();
  is(Wordnet::check($node), '', "$moment: no damage");
  is(missing($committed), '0|0|0|0|0', "$moment: what was committed is there, and found by its vector");
  is(Wordnet::lost($node), 0, "$moment: every row can be found");
  is(Wordnet::not_first($node, rows => 500, ef_search => 200), 0, "$moment: rows are found by their own vectors");
  cmp_ok(Wordnet::recall($node), '>=', $recall - 0.02, "$moment: recall");
  is(Wordnet::keyed_faults($node, $recall - 0.02), '', "$moment: the index with key columns is sound");
  ok($states =~ /^$_ true$/m, "$moment: $_ was there and is there") for grep { $name !~ /^CREATE/ || $_ ne $index } sort keys %definition;
  # Half of the crashes find what others left behind.
  if (rand() < 0.5 or $round == $kills) {
    sql('VACUUM (INDEX_CLEANUP on) wordnet');
    is(Wordnet::check($node, mended => 1, index => $_), '', "$moment: nothing is left to mend in $_ after a vacuum") for sort keys %definition;
  }
}

my $final = Wordnet::recall($node);
sql('REINDEX INDEX wordnet_embedding');
my $rebuilt = Wordnet::recall($node);
cmp_ok($final, '>=', $rebuilt - 0.02, sprintf 'recall %.4f in the end, %.4f of a rebuilt index', $final, $rebuilt);
diag "$kills kills; committed by then: " . join ', ', map { "$changes{$_} $_" } sort keys %changes;
diag "  $killed{$_} during $_" for sort keys %killed;

$node->stop;
done_testing();
