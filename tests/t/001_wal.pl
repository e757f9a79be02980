# WAL: a standby finds what the primary finds, and replay makes the very pages that the primary wrote.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

# With wal_consistency_checking the standby compares each replayed page with the primary's, and stops where they differ.
my $primary = Wordnet::node('primary', "wal_consistency_checking = 'all'", allows_streaming => 1);
$primary->backup('start');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'start', has_streaming => 1);
$standby->start;

sub sql { return $primary->safe_psql('postgres', @_); }

# After each step: both servers find the same rows in the same order, and walk through all of them.
sub same_on_both {
  my ($step, $floor) = @_;
  $primary->wait_for_catchup($standby);
  is_deeply([ Wordnet::found($standby) ], [ Wordnet::found($primary) ], "$step: the standby finds what the primary finds");
  is(Wordnet::lost($standby), 0, "$step: the standby can find every row");
  is(Wordnet::check($primary), '', "$step: no damage on the primary");
  is(Wordnet::check($standby), '', "$step: no damage on the standby");
  cmp_ok(Wordnet::recall($standby), '>=', $floor, "$step: recall on the standby");
}

sql('CREATE TABLE pool AS SELECT * FROM wordnet; DELETE FROM wordnet WHERE id % 2 = 1');
Wordnet::index($primary, 'vector_l2_ops');
same_on_both('build', 0.95);
is(Wordnet::check($standby, all => 1), '', 'build: nothing at all to find on the standby');
sql('CREATE UNLOGGED TABLE unlogged (embedding vector(3)); CREATE INDEX unlogged_index ON unlogged USING hnsw (embedding vector_l2_ops)');
$primary->wait_for_catchup($standby);
my (undef, undef, $refused) = $standby->psql('postgres', "SELECT * FROM hnsw_check('unlogged_index')");
like($refused, qr/cannot access unlogged indexes during recovery/, 'an unlogged index has no pages on a standby');

sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 2 = 1 AND id < 1500');
same_on_both('insert', 0.95);

sql("BEGIN; INSERT INTO wordnet SELECT id + 100000, topic, text, embedding FROM pool WHERE id < 200; ROLLBACK");
sql('DELETE FROM wordnet WHERE id % 3 = 0; VACUUM wordnet');
same_on_both('delete and vacuum', 0.95);

sql('INSERT INTO wordnet SELECT * FROM pool WHERE id % 3 = 0 AND id < 1500');
sql(q{UPDATE wordnet SET text = text || ' ' WHERE id < 300; VACUUM wordnet});
same_on_both('insert into freed slots and update', 0.95);

# Rows of one vector fill the element, then slots of their own; vacuum takes rows from the middle of them.
sql('INSERT INTO wordnet SELECT 200000 + i, topic, text, embedding FROM pool, generate_series(1, 300) i WHERE id = 7');
sql('DELETE FROM wordnet WHERE id BETWEEN 200050 AND 200200; VACUUM wordnet');
same_on_both('duplicates', 0.95);

sql('DELETE FROM wordnet WHERE id >= 200000; VACUUM wordnet; REINDEX INDEX wordnet_embedding');
same_on_both('reindex', 0.95);

sql('CHECKPOINT; REINDEX INDEX CONCURRENTLY wordnet_embedding; INSERT INTO wordnet SELECT * FROM pool WHERE id % 6 = 3 AND id > 1500');
same_on_both('concurrent reindex', 0.95);

# A standby that is restarted goes on from the middle; one that is promoted takes inserts and vacuums.
$standby->restart;
sql('DELETE FROM wordnet WHERE id % 7 = 0; VACUUM wordnet');
same_on_both('restart', 0.95);
$primary->stop;
unlike(slurp_file($standby->logfile), qr/inconsistent page found|PANIC|FATAL:  .*redo/, 'replay made the pages of the primary');
$standby->promote;
$standby->safe_psql('postgres', 'INSERT INTO wordnet SELECT * FROM pool WHERE id % 7 = 0; DELETE FROM wordnet WHERE id % 5 = 0; VACUUM wordnet');
is(Wordnet::lost($standby), 0, 'promoted: every row can be found');
is(Wordnet::check($standby), '', 'promoted: no damage');
cmp_ok(Wordnet::recall($standby), '>=', 0.95, 'promoted: recall');

$standby->stop;
done_testing();
