# A long life: eight writers and four readers with autovacuum at work, REINDEX CONCURRENTLY and a standby beside them, then cycles in
# which a tenth of the rows goes and others come. Nothing fails or deadlocks, recall stays that of a rebuilt index, the index keeps
# its size, and the standby has the same.
#
# 15 seconds and 20 small cycles; under --long 10 minutes, or OMENDB_SECONDS, and 20 cycles of the whole demo.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wordnet;

my $seconds = $ENV{OMENDB_SECONDS} || (Wordnet::long() ? 600 : 15);
my $node = Wordnet::node('soak', <<'CONF', allows_streaming => 1);
max_connections = 30
autovacuum = on
autovacuum_naptime = 1s
autovacuum_vacuum_cost_delay = 0
log_autovacuum_min_duration = 0
wal_keep_size = 4GB
CONF
Wordnet::prepare_churn($node);
Wordnet::index($node, 'vector_l2_ops');
sub sql { return $node->safe_psql('postgres', @_); }
sql(<<'SQL');
ALTER TABLE wordnet SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_insert_threshold = 100);
CREATE TABLE recalls (recall float8);
CREATE PROCEDURE search(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
  WHILE clock_timestamp() < stop LOOP
    INSERT INTO recalls SELECT share_found(10);
    COMMIT;
  END LOOP;
END $$;
SQL

sub size { return sql(q{SELECT pg_relation_size('wordnet_embedding')}); }

# The recall of the index as it is and of one that is built anew, and how much larger it is.
sub compared_with_rebuilt {
  my ($moment) = @_;
  my ($recall, $size) = (Wordnet::recall($node), size());
  sql('REINDEX INDEX wordnet_embedding');
  my ($rebuilt, $rebuilt_size) = (Wordnet::recall($node), size());
  note sprintf '%s: recall %.4f, %.4f rebuilt; %d bytes, %d rebuilt', $moment, $recall, $rebuilt, $size, $rebuilt_size;
  return ($recall - $rebuilt, $size / $rebuilt_size);
}

$node->backup('first');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'first', has_streaming => 1);
$standby->start;

my $stop = time + $seconds;
my @sessions = map { Wordnet::session($node, $_) } ("CALL churn($seconds)") x 8, ("CALL search($seconds)") x 4;
my $reindexed = 0;
while (time < $stop) {
  sql('REINDEX INDEX CONCURRENTLY wordnet_embedding');
  $reindexed++;
  sleep($seconds < 60 ? 2 : 10);
}
Wordnet::output($_) for @sessions;
my ($rounds, $mean) = split /\|/, sql('SELECT count(*), avg(recall) FROM recalls');
cmp_ok($mean, '>=', 0.95, sprintf 'no session failed; recall %.4f in %d searches beside %d inserts and %d times REINDEX CONCURRENTLY',
  $mean, 10 * $rounds, sql('SELECT last_value - 100000 FROM new_id'), $reindexed);
# A REINDEX does not wait for autovacuum.
my $log = slurp_file($node->logfile) =~ s/ERROR:  canceling autovacuum task//gr;
unlike($log, qr/ERROR:|FATAL:|PANIC:|deadlock/, 'nor did autovacuum');
my $vacuums = () = $log =~ /automatic vacuum of table "postgres.public.wordnet"/g;
cmp_ok($vacuums, '>', 0, "$vacuums automatic vacuums");
sql('ALTER TABLE wordnet SET (autovacuum_enabled = off)');
sql('VACUUM (INDEX_CLEANUP on) wordnet');
is(Wordnet::check($node, all => 1), '', 'nothing is left to mend after a vacuum');
is(Wordnet::lost($node), 0, 'every row can be found');
$node->wait_for_catchup($standby);
is_deeply([ Wordnet::found($standby) ], [ Wordnet::found($node) ], 'the standby finds what the primary finds');
is(Wordnet::check($standby), '', 'nor is there damage on the standby');
$standby->stop;
my ($drift, $growth) = compared_with_rebuilt('after the soak');
cmp_ok($drift, '>=', -0.01, 'recall after the soak is that of a rebuilt index');

# A tenth of the rows goes, and as many come, time and again.
sql('DELETE FROM wordnet WHERE id NOT IN (SELECT id FROM wordnet ORDER BY id LIMIT 1500); VACUUM wordnet; REINDEX INDEX wordnet_embedding') unless Wordnet::long();
my $before = size();
for my $cycle (1 .. 20) {
  sql('DELETE FROM wordnet WHERE id IN (SELECT id FROM wordnet ORDER BY random() LIMIT (SELECT count(*) / 10 FROM wordnet)); VACUUM (INDEX_CLEANUP on) wordnet');
  sql('INSERT INTO wordnet SELECT nextval($$new_id$$), topic, text, embedding FROM pool ORDER BY random() LIMIT (SELECT count(*) / 9 FROM wordnet)');
}
cmp_ok(size() / $before, '<=', 1.1, sprintf 'the index is %.3f times its size after 20 cycles', size() / $before);
is(Wordnet::check($node), '', 'no damage after 20 cycles');
is(Wordnet::lost($node), 0, 'every row can be found after 20 cycles');
($drift, $growth) = compared_with_rebuilt('after 20 cycles');
cmp_ok($drift, '>=', -0.01, 'recall after 20 cycles is that of a rebuilt index');
cmp_ok($growth, '<=', 1.1, 'nor is it larger than a rebuilt index by more than a tenth');

$node->stop;
done_testing();
