# Searches that look at pages without pin or lock, while buffers change hands all the time and pages change: inserts,
# updates, deletes, vacuums, REINDEX and TRUNCATE beside them. No search fails, finds a row twice or out of order, or takes
# something odd that it saw for damage; and in the end nothing is damaged or lost.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $seconds = Wordnet::long() ? 60 : 6;
my $node = Wordnet::node('eviction', 'max_connections = 20');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pool AS SELECT * FROM wordnet;
CREATE UNIQUE INDEX ON pool (id);
DELETE FROM wordnet WHERE id % 2 = 1;
CREATE TABLE other (id int, embedding vector(384));
CREATE INDEX other_embedding ON other USING hnsw (embedding vector_cosine_ops);
CREATE SEQUENCE new_id START 100000;
CREATE TABLE searches (kind text, done int, short int);

CREATE PROCEDURE write(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  batch int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    batch := batch + 1;
    INSERT INTO wordnet SELECT nextval('new_id'), topic, text, embedding FROM pool
      WHERE id IN (SELECT floor(random() * 5000)::int FROM generate_series(1, 5));
    UPDATE wordnet SET embedding = (SELECT embedding FROM pool WHERE id = batch % 5000)
      WHERE id = (SELECT max(id) FROM wordnet);
    DELETE FROM wordnet WHERE id IN (SELECT id FROM wordnet WHERE id >= 100000 ORDER BY random() LIMIT 4);
    COMMIT;
  END LOOP;
END $$;

-- Every row of `other` goes and others come; every other time by the transaction that made the file.
CREATE PROCEDURE refill(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  batch int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    batch := batch + 1;
    TRUNCATE other;
    IF batch % 2 = 0 THEN
      INSERT INTO other SELECT id, embedding FROM pool WHERE id % 200 = batch % 200;
      TRUNCATE other;
    END IF;
    INSERT INTO other SELECT id, embedding FROM pool WHERE id % 100 = batch % 100;
    COMMIT;
    PERFORM pg_sleep(0.05);
  END LOOP;
END $$;

CREATE PROCEDURE search(relation text, operator text, how_many int, seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  query vector; ids int[]; distances float8[]; done int := 0; short int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    SELECT embedding INTO query FROM wordnet_query WHERE id = (SELECT floor(random() * 100)::int);
    EXECUTE format('SELECT array_agg(id), array_agg(d) FROM
      (SELECT id, embedding %1$s $1 AS d FROM %2$s ORDER BY embedding %1$s $1 LIMIT %3$s) s', operator, relation, how_many)
      INTO ids, distances USING query;
    IF cardinality(ids) <> (SELECT count(DISTINCT id) FROM unnest(ids) id) THEN
      RAISE 'a search found a row twice: %', ids;
    END IF;
    IF distances <> (SELECT array_agg(d ORDER BY d) FROM unnest(distances) d) THEN
      RAISE 'a search found rows out of order: %', distances;
    END IF;
    done := done + 1;
    short := short + (coalesce(cardinality(ids), 0) < how_many)::int;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES (relation, done, short);
END $$;
SQL
Wordnet::index($node, 'vector_l2_ops');

sub run_at_once {
  my ($buffers) = @_;
  $node->append_conf('postgresql.conf', "shared_buffers = $buffers");
  $node->restart;
  $node->safe_psql('postgres', 'TRUNCATE searches');
  my $through_index = 'SET enable_seqscan = off; SET enable_sort = off; SET hnsw.iterative_scan = strict_order';
  my @sessions = map { Wordnet::session($node, $through_index, $_) } (
    "CALL write($seconds)", "CALL refill($seconds)",
    "CALL search('wordnet', '<->', 10, $seconds)", "CALL search('wordnet', '<->', 100, $seconds)",
    "CALL search('other', '<=>', 10, $seconds)");
  my ($stop, $rounds) = (time + $seconds, 0);
  while (time < $stop) {
    $node->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) wordnet');
    $node->safe_psql('postgres', 'REINDEX INDEX wordnet_embedding') if $rounds++ % 4 == 3;
  }
  Wordnet::output($_) for @sessions;
  pass("$buffers: no session failed, beside $rounds vacuums");
  my ($done, $short) = split /\|/,
    $node->safe_psql('postgres', "SELECT sum(done), sum(short) FROM searches WHERE kind = 'wordnet'");
  cmp_ok($short, '<=', $done / 100, "$buffers: $done searches, $short of them short of rows");
  is(Wordnet::check($node), '', "$buffers: no damage");
  is(Wordnet::check($node, index => 'other_embedding'), '', "$buffers: no damage where everything was truncated");
  is(Wordnet::lost($node), 0, "$buffers: every row can be found");
  cmp_ok(Wordnet::recall($node, ef_search => 100), '>=', 0.95, "$buffers: recall");
}

# As few buffers as all this can live with (a REINDEX pins 32 when it logs pages), where hardly a page is used twice before it
# goes; and enough that pages are looked at without pin, and yet evicted soon.
run_at_once($_) for '512kB', '2MB';
done_testing();
