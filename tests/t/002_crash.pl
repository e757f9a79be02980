# Crashes: the server is killed while it builds, inserts and vacuums. What was committed is found after recovery.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Wordnet;

my $seed = $ENV{OMENDB_SEED} // 1;
srand $seed;
note "OMENDB_SEED=$seed";

sub after_crash {
  my ($node, $moment) = @_;
  Wordnet::start_again($node);
  is(Wordnet::check($node), '', "$moment: no damage");
  is(Wordnet::lost($node), 0, "$moment: every committed row can be found");
  is(Wordnet::not_first($node), 0, "$moment: rows are found by their own vectors");
  cmp_ok(Wordnet::recall($node), '>=', 0.95, "$moment: recall");
}

# Right after a build, logged page by page or, with wal_level = minimal, not at all.
for my $level ('minimal', 'replica') {
  my $node = Wordnet::node("build_$level", "wal_level = $level\nmax_wal_senders = 0");
  Wordnet::index($node, 'vector_l2_ops');
  Wordnet::crash($node);
  after_crash($node, "after a build with wal_level = $level");
  $node->safe_psql('postgres', <<'SQL');
BEGIN;
CREATE TABLE anew (LIKE wordnet INCLUDING ALL);
INSERT INTO anew SELECT * FROM wordnet;
DROP TABLE wordnet;
ALTER TABLE anew RENAME TO wordnet;
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops);
INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id < 100;
COMMIT;
SQL
  Wordnet::crash($node);
  Wordnet::start_again($node);
  is(Wordnet::lost($node), 0, "after a build and inserts in one transaction with wal_level = $level");
  is(Wordnet::check($node), '', "no damage after them with wal_level = $level");
  # An unlogged table is empty after a crash, and its index takes rows again.
  $node->safe_psql('postgres', <<'SQL');
CREATE UNLOGGED TABLE unlogged AS SELECT id, embedding FROM wordnet;
CREATE INDEX unlogged_embedding ON unlogged USING hnsw (embedding vector_l2_ops);
SQL
  Wordnet::crash($node);
  Wordnet::start_again($node);
  is($node->safe_psql('postgres', <<'SQL'), "0\n10", "unlogged: empty after a crash, then as new (wal_level = $level)");
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM unlogged ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10) s;
INSERT INTO unlogged SELECT id, embedding FROM wordnet LIMIT 50;
SELECT count(*) FROM (SELECT id FROM unlogged ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 0) LIMIT 10) s;
SQL
  $node->stop;
}

# During inserts, deletes and vacuums, again and again in one server.
my $node = Wordnet::node('changes', "wal_level = replica\nmax_wal_senders = 0\nfull_page_writes = on");
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pool AS SELECT * FROM wordnet;
DELETE FROM wordnet WHERE id >= 2000;
CREATE SEQUENCE new_id START 100000;
-- A row or some rows in each transaction.
CREATE PROCEDURE insert_rows(worker int) LANGUAGE plpgsql AS $$
BEGIN
  FOR n IN 1 .. 100000 LOOP
    INSERT INTO wordnet SELECT nextval('new_id'), topic, text, embedding FROM pool
      WHERE id >= 2000 AND id % 2 = worker ORDER BY random() LIMIT 1 + n % 3;
    COMMIT;
  END LOOP;
END $$;
CREATE PROCEDURE delete_rows() LANGUAGE plpgsql AS $$
BEGIN
  LOOP
    DELETE FROM wordnet WHERE id IN (SELECT id FROM wordnet ORDER BY random() LIMIT 10);
    COMMIT;
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;
SQL
Wordnet::index($node, 'vector_l2_ops');

for my $round (1 .. (Wordnet::long() ? 20 : 4)) {
  $node->safe_psql('postgres', 'CHECKPOINT') if $round % 2;
  my $first = $node->safe_psql('postgres', 'SELECT last_value FROM new_id');
  my @sessions = map { Wordnet::session($node, "CALL insert_rows($_)") } 0, 1;
  push @sessions, Wordnet::session($node, 'CALL delete_rows()');
  push @sessions, Wordnet::session($node, ('VACUUM wordnet') x 1000) if $round > 1;
  $node->poll_query_until('postgres', "SELECT last_value > $first + 100 FROM new_id") or die 'nothing is inserted';
  sleep(rand);
  Wordnet::crash($node);
  $_->{run}->kill_kill for @sessions;
  after_crash($node, "round $round");
  # An insert cut short may have left an element that nothing links to; a vacuum must bear it.
  $node->safe_psql('postgres', 'DELETE FROM wordnet WHERE id % 10 = 3; VACUUM wordnet');
  is(Wordnet::lost($node), 0, "round $round: every row can be found after a vacuum");
  is(Wordnet::check($node), '', "round $round: no damage after a vacuum");
}

# During builds: the index is there whole or not at all, and the next build succeeds.
$node->safe_psql('postgres', 'DROP INDEX wordnet_embedding; CHECKPOINT');
for my $delay (0.02, 0.3) {
  my $build = Wordnet::session($node,
    'CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l1_ops) WITH (m = 64, ef_construction = 1000)');
  $node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM pg_stat_progress_create_index')
    or die 'no build began';
  sleep($delay);
  Wordnet::crash($node);
  $build->{run}->kill_kill;
  Wordnet::start_again($node);
  my $is_built = $node->safe_psql('postgres', "SELECT count(*) FROM pg_class WHERE relname = 'wordnet_embedding'");
  my $lost = $is_built ? Wordnet::lost($node, operator_class => 'vector_l1_ops') : 0;
  is($lost, 0, "a build killed after $delay s: " . ($is_built ? 'whole' : 'gone'));
  is(Wordnet::check($node, all => 1), '', "no damage to what was built in $delay s") if $is_built;
  $node->safe_psql('postgres', 'DROP INDEX IF EXISTS wordnet_embedding');
}
Wordnet::index($node, 'vector_l2_ops');
is(Wordnet::lost($node), 0, 'a build after killed builds');
is(Wordnet::check($node, all => 1), '', 'nothing to find in it');

$node->stop;
done_testing();
