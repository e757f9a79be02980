# A standby under load: made from a base backup while rows change, searched while it replays, killed and started again,
# promoted; with a second index that has key columns and graphs. And recovery to a point in time. wal_consistency_checking compares every page that is replayed with the primary's.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wordnet;

my $seconds = Wordnet::long() ? 20 : 3;
# The WAL of three writers, each page compared at replay, may take minutes and gigabytes.
$PostgreSQL::Test::Utils::timeout_default *= 5 if Wordnet::long();
my $primary = Wordnet::node('primary', "wal_consistency_checking = 'all'\nwal_keep_size = 16GB\nmax_connections = 50",
  allows_streaming => 1, has_archiving => 1);
Wordnet::prepare_churn($primary);
Wordnet::index($primary, 'vector_l2_ops');
$primary->safe_psql('postgres', 'CREATE INDEX ' . Wordnet::KEYED);

sub sql { return $primary->safe_psql('postgres', @_); }

sub start_load {
  my ($seconds) = @_;
  return map { Wordnet::session($primary, "CALL churn($seconds)") } 1 .. 3;
}

# Vacuums while the load lasts, and does what is given between vacuums.
sub vacuum_meanwhile {
  my ($seconds, $between) = @_;
  my ($stop, $rounds) = (time + $seconds, 0);
  while (time < $stop) {
    sql('VACUUM (INDEX_CLEANUP on) wordnet');
    sql('REINDEX INDEX CONCURRENTLY ' . ($rounds % 2 ? 'wordnet_embedding' : 'wordnet_keyed')) if ++$rounds % 5 == 0;
    $between->() if $between;
    sleep 0.1;
  }
  return $rounds;
}

sub is_sound {
  my ($node, $moment) = @_;
  is(Wordnet::check($node), '', "$moment: no damage");
  is(Wordnet::lost($node), 0, "$moment: every row can be found");
  cmp_ok(Wordnet::recall($node), '>=', 0.95, "$moment: recall");
  is(Wordnet::keyed_faults($node, 0.95), '', "$moment: the index with key columns is sound");
}

sub same_on_both {
  my ($standby, $moment) = @_;
  $primary->wait_for_catchup($standby);
  is_deeply([ Wordnet::found($standby) ], [ Wordnet::found($primary) ], "$moment: the standby finds what the primary finds");
  is_sound($standby, $moment);
}

# A base backup under load, and a standby from it that searches while it replays. Conflicts with recovery may end a search;
# nothing else may.
my @load = start_load($seconds);
sleep 0.5;
$primary->backup('under_load');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'under_load', has_streaming => 1);
$standby->append_conf('postgresql.conf', "max_standby_streaming_delay = 100ms\nmax_connections = 100");
$standby->start;
# A conflict may end a session too, so new ones come all the time.
my @readers;
my $vacuums = vacuum_meanwhile($seconds, sub {
  push @readers, map { Wordnet::script($standby, "\\set ON_ERROR_STOP off\n$_") } "SELECT share_found(1);\n" x 20,
    "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT share_found(2); SELECT pg_sleep(0.3); SELECT share_found(2); COMMIT;\n";
});
Wordnet::output($_) for @load;
$primary->wait_for_catchup($standby);
$standby->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()});
$_->{run}->finish for @readers;
# Other lines of psql and the server: about a transaction that met a conflict, and about the end.
my $harmless = join '|', '^$', '^DETAIL', '^HINT', '^CONTEXT', '^SQL statement', '^PL/pgSQL function', '^\s', 'transaction is aborted',
  'no transaction in progress', 'terminating connection', 'server closed the connection', 'connection to server was lost',
  'no connection to the server';
my ($searches, $found, $conflicts, @others) = (0, 0, 0);
for (map { split /\n/, ${ $_->{output} } } @readers) {
  if (/^[01](\.\d+)?$/) { $searches++; $found += $_ }
  elsif (/conflict with recovery/) { $conflicts++ }
  else { push @others, $_ unless /$harmless/ }
}
is(join("\n", @others), '', "no error but $conflicts conflicts with recovery in searches on the standby, beside $vacuums vacuums");
unlike(slurp_file($standby->logfile), qr/terminated by signal|PANIC/, 'no process of the standby crashed');
cmp_ok($searches, '>=', 10, "$searches groups of searches succeeded");
cmp_ok($found / $searches, '>=', 0.9, 'recall while it replays');
same_on_both($standby, 'after the load');

# The standby is killed while it replays, several times.
@load = start_load($seconds);
my $restarts = 0;
vacuum_meanwhile($seconds, sub {
  Wordnet::crash($standby);
  Wordnet::start_again($standby);
  $restarts++;
});
Wordnet::output($_) for @load;
same_on_both($standby, "the standby killed $restarts times");

# Recovery to a point in time, from the backup that was taken under load.
@load = start_load($seconds);
sleep $seconds / 2;
sql("INSERT INTO wordnet SELECT 1000000, topic, text, embedding FROM pool WHERE id = 1; SELECT pg_create_restore_point('here')");
sql('INSERT INTO wordnet SELECT 1000001, topic, text, embedding FROM pool WHERE id = 1');
vacuum_meanwhile(0.5);
sql('SELECT pg_switch_wal()');
my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($primary, 'under_load', has_restoring => 1, standby => 0);
$restored->append_conf('postgresql.conf', "recovery_target_name = 'here'\nrecovery_target_action = 'promote'");
$restored->start;
$restored->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'recovery does not end';
is($restored->safe_psql('postgres', 'SELECT string_agg(id::text, $$,$$) FROM wordnet WHERE id >= 1000000'), '1000000', 'a point in time: what came before it is there');
is_sound($restored, 'a point in time');
$restored->safe_psql('postgres', 'CALL churn(0.5)');
$restored->safe_psql('postgres', 'VACUUM wordnet');
is(Wordnet::check($restored, mended => 1), '', 'a point in time: nothing is left to mend after a vacuum');
$restored->stop;

# The primary is lost under load, and the standby takes over.
Wordnet::crash($primary);
$_->{run}->finish for @load;
$standby->promote;
is_sound($standby, 'promoted');
$standby->safe_psql('postgres', 'CALL churn(0.5)');
$standby->safe_psql('postgres', 'VACUUM wordnet');
is_sound($standby, 'promoted and written to');
is(Wordnet::check($standby, mended => 1), '', 'promoted: nothing is left to mend after a vacuum');
for ($standby, $restored) {
  unlike(slurp_file($_->logfile), qr/inconsistent page found|PANIC|FATAL:  .*redo/, $_->name . ': replay made the pages of the primary');
}

$standby->stop;
done_testing();
