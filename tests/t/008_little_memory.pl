# Builds whose rows do not fit in maintenance_work_mem: as good as others, and with every row.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $node = Wordnet::node('little_memory', "max_parallel_maintenance_workers = 1\nrestart_after_crash = on");

sub sql { return $node->safe_psql('postgres', @_); }

# Damage, and rows that are not in the index: what there is of it, or 0.
sub damage {
  my ($index) = @_;
  return sql("SELECT coalesce(string_agg(concat_ws(' ', severity, block, slot, finding), E'\\n'), '0') FROM hnsw_check('$index', heapallindexed => true)");
}

# Builds with so much memory, and says in how many cells.
sub build {
  my ($memory, $statement) = @_;
  my ($status, $output, $error) = $node->psql('postgres',
    "SET client_min_messages = debug1; SET maintenance_work_mem = '$memory'; $statement");
  is($status, 0, "$statement with $memory") or diag $error;
  return $error =~ /hnsw index build goes by (\d+) cells/ ? $1 : 1;
}

# Each operator class, with rows that are duplicates of others and rows that are left out.
sql('INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id % 50 = 0');
sql('INSERT INTO wordnet SELECT 16000 + i, topic, text, embedding FROM wordnet, generate_series(1, 70) i WHERE id = 7');
sql(q{INSERT INTO wordnet SELECT 20000, '', '', array_fill(0, ARRAY[384])::vector});
for my $class (qw(vector_l2_ops vector_ip_ops vector_cosine_ops vector_l1_ops)) {
  my %recall;
  for my $memory ('1GB', '1MB') {
    my $cells = build($memory, "CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding $class)");
    is($cells > 1, $memory eq '1MB', "$class: $cells cells with $memory");
    $recall{$memory} = Wordnet::recall($node, operator_class => $class);
    is(damage('wordnet_embedding'), '0', "$class: nothing is wrong or missing with $memory");
    # A zero vector has no direction, and no place in an index for cosine distance.
    my $left_out = $class eq 'vector_cosine_ops' ? 1 : 0;
    is(Wordnet::lost($node, operator_class => $class), $left_out, "$class: every row can be found with $memory");
    sql('INSERT INTO wordnet SELECT id + 30000, topic, text, embedding FROM wordnet WHERE id < 100; DELETE FROM wordnet WHERE id >= 30000; VACUUM wordnet');
    is(damage('wordnet_embedding'), '0', "$class: nor after inserts and a vacuum");
    sql('DROP INDEX wordnet_embedding');
  }
  cmp_ok($recall{'1MB'}, '>=', $recall{'1GB'} - 0.01, sprintf '%s: recall %.4f and %.4f', $class, @recall{'1MB', '1GB'});
}

# Graphs of values: the graph of all elements fits in less memory than that graph and a value's, which may have all elements.
sub build_topics {
  my ($memory, $options) = @_;
  my $cells = build($memory, "CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops, topic) $options");
  is(damage('wordnet_embedding'), '0', "topics, $options: nothing is wrong or missing with $memory");
  sql('DROP INDEX wordnet_embedding');
  return $cells;
}
my $graphs = 'WITH (graphs = topic)';
is(build_topics('1GB', $graphs), 1, 'the graphs of all topics fit in 1GB');
my $megabytes = 24;
$megabytes-- while $megabytes > 1 && build_topics("${megabytes}MB", $graphs) == 1;
cmp_ok($megabytes, '<', 24, "the graphs of topics do not fit in ${megabytes}MB");
is(build_topics("${megabytes}MB", ''), 1, 'a graph without them does');
cmp_ok(build_topics('1MB', $graphs), '>', 1, 'the graphs of topics do not fit in 1MB');

# Short vectors, nine tenths of them in a place so small that cells have to be divided again, and many equal ones.
sql(<<'SQL');
CREATE TABLE crowd (id int, embedding vector(8));
SELECT setseed(0.5);
INSERT INTO crowd SELECT i, ARRAY(SELECT (CASE WHEN i % 10 = 0 THEN 1000 ELSE 0.001 END * random())::real FROM generate_series(1, 8) WHERE i > 0)
  FROM generate_series(1, 90000) i;
INSERT INTO crowd SELECT 100000 + i, array_fill((i % 5)::real, ARRAY[8]) FROM generate_series(1, 3000) i;
SQL
for my $class (qw(vector_l2_ops vector_l1_ops)) {
  my $cells = build('1MB', "CREATE INDEX crowd_embedding ON crowd USING hnsw (embedding $class) WITH (m = 6, ef_construction = 16)");
  cmp_ok($cells, '>', 2, "crowd, $class: $cells cells");
  is(damage('crowd_embedding'), '0', "crowd, $class: nothing is wrong or missing");
  sql('DROP INDEX crowd_embedding');
}

# Rows that are all equal are one element, however many there are.
sql('CREATE TABLE equal AS SELECT i AS id, array_fill(0.5::real, ARRAY[64])::vector(64) AS embedding FROM generate_series(1, 20000) i');
sql(q(INSERT INTO equal SELECT 20000 + i, array_fill((i::real), ARRAY[64])::vector(64) FROM generate_series(1, 5000) i));
build('1MB', 'CREATE INDEX equal_embedding ON equal USING hnsw (embedding vector_l2_ops)');
is(damage('equal_embedding'), '0', 'equal: nothing is wrong or missing');
is(sql('SELECT elements, rows FROM hnsw_index_info(\'equal_embedding\')'), '5001|25000', 'equal: an element for each vector');

# The same index for any number of threads, and for tables that are not logged.
for my $kind ('', 'UNLOGGED', 'TEMP') {
  my $info = sql(<<"SQL");
SET maintenance_work_mem = '1MB';
CREATE $kind TABLE copy AS SELECT id, embedding FROM wordnet;
CREATE INDEX copy_embedding ON copy USING hnsw (embedding vector_l2_ops);
SELECT count(*) FROM hnsw_check('copy_embedding');
SET enable_seqscan = off;
SELECT array_agg(id) FROM (SELECT id FROM copy ORDER BY embedding <-> (SELECT embedding FROM copy WHERE id = 1) LIMIT 3) found;
DROP TABLE copy;
SQL
  like($info, qr/^0\n\{1,/, "a table that is @{[ $kind || 'logged' ]}");
}

# Rows that are written while the index is built.
for my $memory ('1GB', '1MB') {
  my $writer = Wordnet::session($node, <<'SQL');
DO $$ BEGIN
  FOR i IN 1 .. 300 LOOP
    INSERT INTO wordnet SELECT 40000 + i, topic, text, embedding + (SELECT embedding FROM wordnet WHERE id = 4999 - i) FROM wordnet WHERE id = i;
    UPDATE wordnet SET embedding = embedding * array_fill(2, ARRAY[384])::vector WHERE id = i + 1000;
    DELETE FROM wordnet WHERE id = i + 2000;
    COMMIT;
    PERFORM pg_sleep(0.002);
  END LOOP;
END $$;
SQL
  build($memory, 'CREATE INDEX CONCURRENTLY wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops)');
  Wordnet::output($writer);
  is(damage('wordnet_embedding'), '0', "rows written while it is built with $memory: nothing is wrong or missing");
  sql('DROP INDEX wordnet_embedding; DELETE FROM wordnet WHERE id > 40000');
}

# A crash while rows lie in files.
my $victim = Wordnet::session($node, "SET maintenance_work_mem = '1MB'",
  'CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l1_ops) WITH (m = 100, ef_construction = 1000)');
$node->poll_query_until('postgres', q(SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE phase = 'building index: building graph'))
  or die 'the graph is not built';
cmp_ok(sql('SELECT count(*) FROM pg_ls_tmpdir()'), '>', 0, 'rows lie in temporary files');
my $log_before = -s $node->logfile;
kill 'KILL', sql('SELECT pid FROM pg_stat_progress_create_index');
eval { Wordnet::output($victim) };
Wordnet::wait_for_server($node, $log_before);
is(sql('SELECT count(*) FROM pg_ls_tmpdir()'), '0', 'after a crash no temporary file is left');
is(sql(q(SELECT count(*) FROM pg_class WHERE relname = 'wordnet_embedding')), '0', 'nor an index');

$node->stop;
done_testing();
