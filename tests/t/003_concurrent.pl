# Races: inserts, deletes, updates, vacuums and searches all at once. Nothing fails, no search finds a row twice, and in the
# end every row is found; in an index with key columns and a graph for each topic too.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $seconds = Wordnet::long() ? 60 : 12;
my $node = Wordnet::node('concurrent', 'max_connections = 30');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pool AS SELECT * FROM wordnet;
CREATE UNIQUE INDEX ON pool (id);
DELETE FROM wordnet WHERE id % 2 = 1;
CREATE SEQUENCE new_id START 100000;
CREATE TABLE searches (kind text, done int, missed int);

CREATE FUNCTION any_of_pool() RETURNS pool LANGUAGE sql VOLATILE AS
  'SELECT * FROM pool WHERE id = (SELECT floor(random() * 5000)::int)';

-- Writes as worker number `worker`, which alone touches rows whose ids leave that rest by 4. After each insert its row is
-- searched for, through the index, and among the rows of its topic.
CREATE PROCEDURE write(worker int, seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  source pool; inserted int; nearest float8; nearest_of_topic float8; done int := 0; missed int := 0; missed_of_topic int := 0;
BEGIN
  PERFORM setseed(worker / 10.0);
  WHILE clock_timestamp() < stop LOOP
    source := any_of_pool();
    inserted := 4 * nextval('new_id') + worker;
    INSERT INTO wordnet VALUES (inserted, source.topic, source.text, source.embedding);
    COMMIT;
    SELECT embedding <-> source.embedding INTO nearest FROM wordnet ORDER BY embedding <-> source.embedding LIMIT 1;
    done := done + 1;
    missed := missed + (nearest IS DISTINCT FROM 0)::int;
    SELECT embedding <=> source.embedding INTO nearest_of_topic FROM wordnet WHERE topic = source.topic
      ORDER BY embedding <=> source.embedding LIMIT 1;
    missed_of_topic := missed_of_topic + (coalesce(nearest_of_topic, 1) > 1e-6)::int;
    CASE done % 5
      WHEN 0 THEN DELETE FROM wordnet WHERE id = inserted - 4 * 40;
      WHEN 1 THEN DELETE FROM wordnet WHERE id IN
        (SELECT id FROM wordnet WHERE id % 4 = worker AND id < 100000 ORDER BY random() LIMIT 5);
      WHEN 2 THEN UPDATE wordnet SET embedding = (any_of_pool()).embedding WHERE id = inserted;
      WHEN 3 THEN UPDATE wordnet SET topic = (any_of_pool()).topic WHERE id = inserted;
      ELSE
        UPDATE wordnet SET text = text || '.' WHERE id = inserted;
        ROLLBACK;
    END CASE;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES ('own row', done, missed), ('own row of its topic', done, missed_of_topic);
END $$;

-- The same vector from several sessions, so that rows of one element are added and taken away together.
CREATE PROCEDURE write_duplicates(worker int, seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  source pool;
BEGIN
  SELECT * INTO source FROM pool WHERE id = 4321;
  WHILE clock_timestamp() < stop LOOP
    INSERT INTO wordnet SELECT 4 * nextval('new_id') + worker, source.topic, source.text, source.embedding
      FROM generate_series(1, 30);
    COMMIT;
    DELETE FROM wordnet WHERE id > 100000 AND id % 4 = worker AND text = source.text AND random() < 0.7;
    COMMIT;
  END LOOP;
END $$;

-- A search for 10 rows gives 10, distinct, in ascending order.
CREATE PROCEDURE search(seconds float8, how_many int) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  query vector; ids int[]; distances float8[]; done int := 0; short int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    SELECT embedding INTO query FROM wordnet_query WHERE id = (SELECT floor(random() * 100)::int);
    SELECT array_agg(id), array_agg(d) INTO ids, distances FROM
      (SELECT id, embedding <-> query AS d FROM wordnet ORDER BY embedding <-> query LIMIT how_many) s;
    IF cardinality(ids) <> (SELECT count(DISTINCT id) FROM unnest(ids) id) THEN
      RAISE 'a search found a row twice: %', ids;
    END IF;
    IF distances <> (SELECT array_agg(d ORDER BY d) FROM unnest(distances) d) THEN
      RAISE 'a search found rows out of order: %', distances;
    END IF;
    done := done + 1;
    short := short + (cardinality(ids) < how_many)::int;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES ('nearest ' || how_many, done, short);
END $$;

-- A search for 10 rows of a topic gives 10, or all there are, distinct, in ascending order.
CREATE PROCEDURE search_topics(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  query vector; wanted text; ids int[]; distances float8[]; visible bigint; done int := 0; short int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    SELECT embedding INTO query FROM wordnet_query WHERE id = (SELECT floor(random() * 100)::int);
    wanted := (any_of_pool()).topic;
    SELECT (SELECT count(*) FROM wordnet WHERE topic = wanted), array_agg(id), array_agg(d) INTO visible, ids, distances FROM
      (SELECT id, embedding <=> query AS d FROM wordnet WHERE topic = wanted ORDER BY embedding <=> query LIMIT 10) s;
    IF cardinality(ids) <> (SELECT count(DISTINCT id) FROM unnest(ids) id) THEN
      RAISE 'a search of a topic found a row twice: %', ids;
    END IF;
    IF distances <> (SELECT array_agg(d ORDER BY d) FROM unnest(distances) d) THEN
      RAISE 'a search of a topic found rows out of order: %', distances;
    END IF;
    done := done + 1;
    short := short + (coalesce(cardinality(ids), 0) < least(10, visible))::int;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES ('nearest 10 of a topic', done, short);
END $$;

-- Scans that pause beside vacuums, by cursors: each returns every row of its snapshot, once (all but a few in strict order).
CREATE PROCEDURE read_slowly(seconds float8, mode text) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  query vector; ids int[]; next int; expected int; done int := 0; short int := 0; scan refcursor;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
    PERFORM set_config('hnsw.iterative_scan', mode, true), set_config('hnsw.max_scan_tuples', '1000000', true),
      set_config('hnsw.scan_mem_multiplier', '100', true), set_config('hnsw.ef_search', '1', true);
    SELECT embedding INTO query FROM wordnet_query WHERE id = (SELECT floor(random() * 100)::int);
    PERFORM set_config('enable_indexscan', 'off', true);
    SELECT count(*) INTO expected FROM wordnet;
    PERFORM set_config('enable_indexscan', 'on', true);
    ids := ARRAY[]::int[];
    OPEN scan FOR SELECT id FROM wordnet ORDER BY embedding <-> query LIMIT 1000000;
    LOOP
      FETCH scan INTO next;
      EXIT WHEN NOT FOUND;
      ids := ids || next;
      IF cardinality(ids) IN (1, 50) THEN PERFORM pg_sleep(random() / 2); END IF;
    END LOOP;
    CLOSE scan;
    IF cardinality(ids) <> (SELECT count(DISTINCT id) FROM unnest(ids) id) THEN
      RAISE 'a scan that paused returned a row twice';
    END IF;
    -- In strict order a row that comes too late is left out: there rows are counted, not scans.
    IF mode = 'strict_order' THEN
      done := done + expected;
      short := short + expected - cardinality(ids);
    ELSE
      done := done + 1;
      short := short + (cardinality(ids) < expected)::int;
    END IF;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES ('paused, ' || mode, done, short);
END $$;

-- Each index checked while all the others write: no damage, and every row that was there when a check began is found.
CREATE PROCEDURE check_index(seconds float8) LANGUAGE plpgsql AS $$
DECLARE
  stop timestamptz := clock_timestamp() + make_interval(secs => seconds);
  found text; done int := 0;
BEGIN
  WHILE clock_timestamp() < stop LOOP
    SELECT string_agg(format('%s/%s %s', block, slot, finding), ', ') INTO found
      FROM unnest(ARRAY['wordnet_embedding', 'wordnet_keyed']) index, hnsw_check(index::regclass, heapallindexed => true)
      WHERE severity = 'error';
    IF found IS NOT NULL THEN RAISE 'damage: %', found; END IF;
    done := done + 1;
    COMMIT;
  END LOOP;
  INSERT INTO searches VALUES ('check', done, 0);
END $$;
SQL

sub run_at_once {
  my ($node, $seconds) = @_;
  my $through_index = 'SET enable_seqscan = off; SET enable_sort = off';
  my @sessions = map { Wordnet::session($node, $through_index, $_) } (
    (map { "CALL write($_, $seconds)" } 0 .. 2),
    (map { "CALL write_duplicates($_, $seconds)" } 1, 3),
    "CALL search($seconds, 10)", "CALL search($seconds, 200)", "CALL search_topics($seconds)",
    "CALL read_slowly($seconds, 'relaxed_order')", "CALL read_slowly($seconds, 'strict_order')", "CALL check_index($seconds)");
  my $stop = time + $seconds;
  my $vacuums = 0;
  while (time < $stop) {
    $node->safe_psql('postgres', $vacuums++ % 3 ? 'VACUUM wordnet' : 'VACUUM (INDEX_CLEANUP on) wordnet');
    $node->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY $_") for Wordnet::long() && $vacuums % 20 == 0 ? qw(wordnet_embedding wordnet_keyed) : ();
  }
  Wordnet::output($_) for @sessions;
  return $vacuums;
}

Wordnet::index($node, 'vector_l2_ops');
$node->safe_psql('postgres', 'CREATE INDEX ' . Wordnet::KEYED);
my $vacuums = run_at_once($node, $seconds);
cmp_ok($vacuums, '>=', 2, "no session failed, beside $vacuums vacuums");

my %searches = map { /(.*)\|(\d+)\|(\d+)/ or die; $1 => [ $2, $3 ] } split /\n/,
  $node->safe_psql('postgres', 'SELECT kind, sum(done), sum(missed) FROM searches GROUP BY kind');
for my $kind ('own row', 'own row of its topic', 'nearest 10', 'nearest 200', 'nearest 10 of a topic', 'paused, relaxed_order', 'paused, strict_order', 'check') {
  my ($done, $missed) = @{ $searches{$kind} };
  cmp_ok($done, '>', 0, "$kind: $done searches, $missed of them in vain");
  cmp_ok($missed, '<=', $done / 100, "$kind: as good as all are found");
}

is(Wordnet::lost($node), 0, 'every row can be found');
is(Wordnet::not_first($node), 0, 'rows are found by their own vectors');
cmp_ok(Wordnet::recall($node, ef_search => 100), '>=', 0.95, 'recall');
$node->safe_psql('postgres', 'VACUUM wordnet');
is(Wordnet::lost($node), 0, 'every row can be found after another vacuum');
is(Wordnet::check($node), '', 'no damage');
is(Wordnet::keyed_faults($node, 0.95), '', 'the index with key columns is sound');
note 'what vacuum left: ', Wordnet::check($node, all => 1);

# An empty index takes its first rows from many sessions at once.
$node->safe_psql('postgres', 'TRUNCATE wordnet, searches');
my @first = map { Wordnet::session($node, "INSERT INTO wordnet SELECT * FROM pool WHERE id % 4 = $_ AND id < 1000") } 0 .. 3;
Wordnet::output($_) for @first;
is($node->safe_psql('postgres', 'SELECT count(*) FROM wordnet'), '1000', 'first rows from four sessions');
is(Wordnet::lost($node), 0, 'every first row can be found');
is(Wordnet::check($node), '', 'no damage by first rows');
is(Wordnet::check($node, index => 'wordnet_keyed'), '', 'nor in the index with key columns');

# So does one whose rows are all being deleted and vacuumed.
my @last = map { Wordnet::session($node, 'DELETE FROM wordnet WHERE id < 1000', 'VACUUM wordnet',
    "INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM pool WHERE id % 4 = $_ AND id < 1000") } 0 .. 3;
# Vacuums of one table that come at once wait for each other; none of them fails.
Wordnet::output($_) for @last;
$node->safe_psql('postgres', 'VACUUM wordnet');
is(Wordnet::lost($node), 0, 'every row can be found after all were replaced');
is(Wordnet::check($node), '', 'no damage after all were replaced');
is(Wordnet::check($node, index => 'wordnet_keyed'), '', 'nor in the index with key columns');

$node->stop;
done_testing();
