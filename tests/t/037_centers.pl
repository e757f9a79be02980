# An index made empty learns the center of its rows while it grows. Rows that come one by one are then found as well as rows of a build,
# however far their mean is from zero, and whatever happens while a center is learned: crashes, standbys, other sessions, vacuum.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $primary = PostgreSQL::Test::Cluster->new('centers');
$primary->init(allows_streaming => 1);
Wordnet::configure($primary, "wal_consistency_checking = 'all'\nmax_connections = 50");
$primary->start;
sub sql { return $primary->safe_psql('postgres', @_); }

sql(<<'SQL');
CREATE EXTENSION omendb;
-- About normal values, variance 1, around a mean.
CREATE FUNCTION around(mean float8, dimensions int) RETURNS vector LANGUAGE sql VOLATILE AS
  'SELECT array_agg(mean + 1.7320508 * (random() + random() + random() + random() - 2))::vector FROM generate_series(1, dimensions)';
CREATE FUNCTION recall(rows regclass, operator text, ef int, queries int, by text DEFAULT 'SELECT v FROM query') RETURNS numeric
  LANGUAGE plpgsql SET enable_sort = on AS $$
DECLARE
  share numeric;
BEGIN
  PERFORM set_config('hnsw.ef_search', ef::text, true), set_config('enable_seqscan', 'off', true);
  EXECUTE format($query$
    WITH q AS MATERIALIZED (SELECT row_number() OVER () AS n, v FROM (%4$s LIMIT %3$s) q),
    found AS MATERIALIZED (SELECT q.n, f.id FROM q, LATERAL (SELECT id FROM %1$s t ORDER BY t.v %2$s q.v LIMIT 10) f),
    nearest AS MATERIALIZED (SELECT q.n, e.id FROM q, LATERAL (SELECT id FROM %1$s t ORDER BY (t.v %2$s q.v) + 0, id LIMIT 10) e)
    SELECT (SELECT count(*) FROM found JOIN nearest USING (n, id))::numeric / count(*) FROM nearest
  $query$, rows, operator, queries, by) INTO share;
  RETURN round(share, 4);
END $$;
CREATE FUNCTION lost(rows regclass, operator text) RETURNS bigint LANGUAGE plpgsql SET hnsw.ef_search = 400 AS $$
DECLARE
  lost bigint;
BEGIN
  PERFORM set_config('enable_seqscan', 'off', true);
  EXECUTE format('SELECT count(*) FROM %1$s t WHERE NOT EXISTS
    (SELECT FROM (SELECT id FROM %1$s n ORDER BY n.v %2$s t.v LIMIT 1) n WHERE n.id = t.id)', rows, operator) INTO lost;
  RETURN lost;
END $$;
CREATE FUNCTION centers(index regclass) RETURNS int LANGUAGE sql AS 'SELECT centers FROM hnsw_index_info(index)';
SQL

sub check { return sql("SELECT severity, finding FROM hnsw_check('$_[0]', heapallindexed => true)"); }

# Recall at ef_search 10, 40 and 100.
sub recalls { my ($name, $operator) = @_; return map { sql("SELECT recall('$name', '$operator', $_, 300)") } 10, 40, 100; }

# Recall in a table whose rows came one by one, beside that of the same rows in an index built of them.
sub is_as_built {
  my ($name, $what, $class, $operator, $below) = @_;
  ($class, $operator, $below) = ($class // 'vector_l2_ops', $operator // '<->', $below // 0.03);
  is(check("${name}_v"), '', "$what: no damage");
  sql("CREATE TABLE built AS TABLE $name; CREATE INDEX built_v ON built USING hnsw (v $class)");
  my ($grown, $built) = map { [ recalls($_, $operator) ] } $name, 'built';
  sql('DROP TABLE built');
  cmp_ok($grown->[$_], '>=', $built->[$_] - $below, "$what: recall @$grown, built @$built, number $_") for 0 .. 2;
}

# Means far from zero, and none; some kinds of codes and each metric that has centers.
for my $kind (
  [ 'far', 'vector', 64, 10, 'l2', '<->' ], [ 'near', 'vector', 64, 3, 'l2', '<->' ], [ 'zero', 'vector', 64, 0, 'l2', '<->' ],
  [ 'half', 'halfvec', 64, 3, 'l2', '<->' ], [ 'cosine', 'vector', 100, 2, 'cosine', '<=>' ], [ 'ip', 'vector', 64, 3, 'ip', '<#>' ]) {
  my ($name, $type, $dimensions, $mean, $metric, $operator) = @$kind;
  sql("SELECT setseed(0.5); CREATE TABLE $name (id serial, v $type($dimensions)); CREATE INDEX ${name}_v ON $name USING hnsw (v ${type}_${metric}_ops)");
  is(sql("SELECT centers('${name}_v')"), 0, "$name: an empty index has no center");
  sql("CREATE TABLE IF NOT EXISTS query (v vector); TRUNCATE query; SELECT setseed(0.7); INSERT INTO query SELECT around($mean, $dimensions) FROM generate_series(1, 300)");
  sql("ALTER TABLE query ALTER v TYPE $type");
  my $rows = 0;
  for my $grown ($name eq 'far' ? (1, 300, 1000, 5000) : (3000)) {
    sql("SELECT setseed(0.1); INSERT INTO $name (v) SELECT around($mean, $dimensions) FROM generate_series($rows + 1, $grown)");
    $rows = $grown;
    if ($grown == 1) {
      is(sql("SELECT centers('${name}_v')"), 1, 'the first row is a center');
      next;
    }
    is(sql("SELECT centers('${name}_v')"), $mean ? 2 : 1, "$name: $grown rows: the mean is another") unless $name eq 'ip';
    is_as_built($name, "$name: $grown rows", "${type}_${metric}_ops", $operator);
  }
  sql("ALTER TABLE query ALTER v TYPE vector");
}
is(sql("SELECT layout_version FROM hnsw_index_info('far_v')"), 4, 'an index with centers of its own has another layout version');

# Short vectors among long ones: the codes of either are as fine as without a center.
sql(<<'SQL');
TRUNCATE query; SELECT setseed(0.7); INSERT INTO query SELECT around(0, 64) * array_fill(0.01, ARRAY[64])::vector FROM generate_series(1, 300);
CREATE TABLE lengths (id serial, v vector(64)); CREATE INDEX lengths_v ON lengths USING hnsw (v vector_l2_ops);
INSERT INTO lengths (v) SELECT CASE WHEN i % 2 = 1 THEN around(60, 64) ELSE around(0, 64) * array_fill(0.01, ARRAY[64])::vector END FROM generate_series(1, 3000) i;
SQL
is_as_built('lengths', 'short vectors among long ones');

# A load in order: the first rows are of one kind, and tell nothing of the others.
sql(<<'SQL');
TRUNCATE query; SELECT setseed(0.7); INSERT INTO query SELECT around(-4, 64) FROM generate_series(1, 300);
CREATE TABLE sorted (id serial, v vector(64)); CREATE INDEX sorted_v ON sorted USING hnsw (v vector_l2_ops);
INSERT INTO sorted (v) SELECT around(CASE WHEN i <= 500 THEN 4 ELSE -4 END, 64) FROM generate_series(1, 4000) i;
SQL
cmp_ok(sql("SELECT centers('sorted_v')"), '>', 2, 'other rows later: the index learns again');
is_as_built('sorted', 'rows of another kind first', undef, undef, 0.07);

# A session that knew fewer centers, on the primary and on a standby, finds and inserts rows with codes of new ones.
sql('CREATE TABLE late (id serial, v vector(64)); CREATE INDEX late_v ON late USING hnsw (v vector_l2_ops); INSERT INTO late (v) SELECT around(5, 64) FROM generate_series(1, 3)');
sql('CREATE TABLE go (step int)');
$primary->backup('before');
my $standby = PostgreSQL::Test::Cluster->new('centers_standby');
$standby->init_from_backup($primary, 'before', has_streaming => 1);
$standby->start;
my $wait = "DO 'BEGIN WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.05); END LOOP; END';\n";
my $look = "SELECT count(*) FROM (SELECT FROM late ORDER BY v <-> (SELECT v FROM late ORDER BY id LIMIT 1) LIMIT 1000) s;\n";
my $settings = "SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order;\n";
my @sessions = (Wordnet::script($primary, "$settings$look${wait}INSERT INTO late (v) SELECT around(5, 64) FROM generate_series(1, 100);\n$look"),
  Wordnet::script($standby, "$settings$look$wait$look"));
Wordnet::wait_until(sub { $_->{run}->pump_nb for @sessions; return @sessions == grep { ${ $_->{output} } =~ /^3$/m } @sessions }, 'both sessions to search');
sql('INSERT INTO late (v) SELECT around(5, 64) FROM generate_series(1, 900)');
cmp_ok(sql("SELECT centers('late_v')"), '>=', 2, 'a center was learned meanwhile');
$primary->wait_for_catchup($standby);
sql('INSERT INTO go VALUES (1)');
my ($on_primary, $on_standby) = map { Wordnet::output($_) } @sessions;
is($on_primary, "3\n1000\n", 'a session that knew one center searches codes of two');
like($on_standby, qr/^3\n9\d\d\n|^3\n1000\n/, 'so does one on a standby');
is(sql("SELECT lost('late', '<->')"), 0, 'rows by both sessions are found');
is(check('late_v'), '', 'the index is sound');
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT finding FROM hnsw_check('late_v')"), '', 'so is that on the standby');

# Clients that fill an empty index together, each row a transaction.
sql('CREATE TABLE crowd (id serial, v vector(64)); CREATE INDEX crowd_v ON crowd USING hnsw (v vector_l2_ops)');
my $insert = "DO 'BEGIN FOR i IN 1 .. 150 LOOP INSERT INTO crowd (v) SELECT around(5, 64); COMMIT; END LOOP; END'";
Wordnet::output($_) for map { Wordnet::session($primary, $insert) } 1 .. 10;
sql('TRUNCATE query; INSERT INTO query SELECT around(5, 64) FROM generate_series(1, 300)');
cmp_ok(sql("SELECT centers('crowd_v')"), '>=', 2, 'ten clients: the index has learned');
is(sql("SELECT lost('crowd', '<->')"), 0, 'ten clients: every row is found');
is_as_built('crowd', 'ten clients');

# Equal rows share an element, before and after a center is learned; an index emptied by vacuum goes on with what it knows.
sql(q{INSERT INTO crowd (v) SELECT v FROM (SELECT v FROM crowd ORDER BY id DESC LIMIT 1) s, generate_series(1, 100)});
is(sql("SELECT rows - elements FROM hnsw_index_info('crowd_v')"), 100, 'equal rows share an element');
sql('DELETE FROM crowd WHERE id % 4 > 0; VACUUM (INDEX_CLEANUP on) crowd');
is(check('crowd_v'), '', 'after a vacuum: no damage');
is(sql("SELECT lost('crowd', '<->')"), sql('SELECT count(*) - count(DISTINCT v) FROM crowd'), 'after a vacuum: every row is found');
sql('DELETE FROM crowd; VACUUM (INDEX_CLEANUP on) crowd; INSERT INTO crowd (v) SELECT around(5, 64) FROM generate_series(1, 1000)');
is_as_built('crowd', 'emptied and filled again');

# What measures an index knows its centers.
cmp_ok(sql("SELECT recall FROM hnsw_recall('far_v', ef_search => 200)"), '>=', 0.95, 'hnsw_recall compares codes of all centers');
cmp_ok(sql("SELECT hnsw_calibrate('far_v')"), '>=', 100, 'hnsw_calibrate traces codes of all centers');
sql('TRUNCATE query; SELECT setseed(0.7); INSERT INTO query SELECT around(10, 64) FROM generate_series(1, 300)');
cmp_ok(sql("SET omendb.target_recall = 0.95; SELECT recall('far', '<->', 40, 300)"), '>=', 0.92, 'a target of .95');

# A file written anew under one number: within a transaction, and at each commit of a temporary table.
is(sql(<<'SQL'), "2\n300\n300\n2\n2", 'a file written anew has centers of its own');
BEGIN; CREATE TABLE fresh (id serial, v vector(64)); CREATE INDEX fresh_v ON fresh USING hnsw (v vector_l2_ops);
INSERT INTO fresh (v) SELECT around(5, 64) FROM generate_series(1, 300); TRUNCATE fresh;
INSERT INTO fresh (v) SELECT around(-5, 64) FROM generate_series(1, 300);
SELECT centers('fresh_v'); SET LOCAL enable_seqscan = off; SET LOCAL hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT FROM fresh ORDER BY v <-> (SELECT v FROM fresh LIMIT 1) LIMIT 300) s; COMMIT;
CREATE TEMP TABLE passing (id serial, v vector(64)) ON COMMIT DELETE ROWS; CREATE INDEX passing_v ON passing USING hnsw (v vector_l2_ops);
BEGIN; INSERT INTO passing (v) SELECT around(5, 64) FROM generate_series(1, 300); SET LOCAL enable_seqscan = off; SET LOCAL hnsw.iterative_scan = relaxed_order;
SELECT count(*) FROM (SELECT FROM passing ORDER BY v <-> (SELECT v FROM passing LIMIT 1) LIMIT 300) s; SELECT centers('passing_v'); COMMIT;
BEGIN; INSERT INTO passing (v) SELECT around(-5, 64) FROM generate_series(1, 300); SELECT centers('passing_v'); COMMIT;
SQL

# A crash while rows arrive.
sql('CREATE TABLE killed (id serial, v vector(64)); CREATE INDEX killed_v ON killed USING hnsw (v vector_l2_ops)');
my $load = Wordnet::session($primary, "DO 'BEGIN FOR i IN 1 .. 20000 LOOP INSERT INTO killed (v) SELECT around(5, 64); COMMIT; END LOOP; END'");
sleep 1 until sql('SELECT count(*) FROM killed') > 100;
Wordnet::crash($primary);
$load->{run}->finish;
$primary->start;
is(sql("SELECT count(*) FROM hnsw_check('killed_v', heapallindexed => true) WHERE severity = 'error'"), 0, 'after a crash: no damage');
sql('INSERT INTO killed (v) SELECT around(5, 64) FROM generate_series(1, 500)');
is(sql("SELECT lost('killed', '<->')"), 0, 'after a crash: every row is found');
cmp_ok(sql("SELECT centers('killed_v')"), '>=', 2, 'after a crash: the index has learned');

done_testing();
