# A database of pgvector goes on with omendb when its library is replaced: nothing is run in it, its data stay byte for byte,
# functions do what they did, and an index of pgvector's is an error until it is built anew.
use strict;
use warnings;
use Alias;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'pgvector is not in this PostgreSQL' unless Alias::has_pgvector();

my $server = Alias->new('takeover');
my $node = $server->node('takeover');
$node->safe_psql('postgres', 'CREATE EXTENSION vector');
my $pgvectors_version = $node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'vector'");
note("pgvector $pgvectors_version");

# An index of either access method on each kind, and more of those on vector; the rows have everything that the types can hold.
my @indexes = (
  ['vector', 'vector(4)', '<->', 'vector_l2_ops'], ['vector', 'vector(4)', '<#>', 'vector_ip_ops'],
  ['vector', 'vector(4)', '<=>', 'vector_cosine_ops'], ['vector', 'vector(4)', '<+>', 'vector_l1_ops'],
  ['halfvec', 'halfvec(4)', '<->', 'halfvec_l2_ops'], ['halfvec', 'halfvec(4)', '<=>', 'halfvec_cosine_ops'],
  ['sparsevec', 'sparsevec(4)', '<->', 'sparsevec_l2_ops'], ['bit', 'bit(4)', '<~>', 'bit_hamming_ops'],
  ['bit', 'bit(4)', '<%>', 'bit_jaccard_ops']);
my @lists = grep { $_->[3] =~ /^(vector_(l2|ip|cosine)|halfvec_(l2|cosine)|bit_hamming)_ops$/ } @indexes;
my %query = (vector => "'[3,1,2,5]'", halfvec => "'[3,1,2,5]'", sparsevec => "'{1:3,2:1,3:2,4:5}/4'", bit => "B'1011'");

my $make = <<'SQL';
CREATE TABLE special (id int, v vector, h halfvec, s sparsevec, b bit varying);
INSERT INTO special VALUES (1, '[1e-45,-0,3.4028235e38]', '[6e-8,-0,65504]', '{}/1000000000', ''),
  (2, '[0.1]', '[0.1]', '{1:1e-45,1000000000:-3.4028235e38}/1000000000', '1'), (3, NULL, NULL, NULL, NULL),
  (4, array_fill(1.5, ARRAY[16000])::vector, array_fill(-0.25, ARRAY[16000])::halfvec, array_fill(7, ARRAY[16000])::sparsevec, repeat('10', 4000)::varbit);
SQL
for my $type (qw(vector halfvec sparsevec bit)) {
  my $value = $type eq 'bit' ? "(i % 16)::bit(4)" : "ARRAY[sin(i), cos(i), i % 7, i / 100.0]::$type(4)";
  $make .= "CREATE TABLE of_$type AS SELECT i AS id, $value AS v FROM generate_series(1, 500) i; ALTER TABLE of_$type ADD PRIMARY KEY (id);\n";
}
$make .= "CREATE INDEX of_$_->[3] ON of_$_->[0] USING hnsw (v $_->[3]);\n" for @indexes;
$make .= <<'SQL';
CREATE INDEX ordered ON of_vector (v);
CREATE INDEX halved ON of_vector USING hnsw ((v::halfvec(4)) halfvec_l2_ops);
CREATE VIEW nearest AS SELECT id, v <-> '[3,1,2,5]' AS distance FROM of_vector ORDER BY v <-> '[3,1,2,5]' LIMIT 3;
CREATE FUNCTION nearest_to(vector) RETURNS int LANGUAGE sql STABLE AS 'SELECT id FROM of_vector ORDER BY v <=> $1 LIMIT 1';
CREATE TABLE listed (id int, v vector(4) DEFAULT '[1,2,3,4]', CHECK (l2_distance(v, '[0,0,0,0]') < 1000));
INSERT INTO listed SELECT id, v FROM of_vector;
SQL
$node->safe_psql('postgres', $make);
$node->safe_psql('postgres', 'CREATE DATABASE listing');
$node->safe_psql('listing', <<'SQL');
CREATE EXTENSION vector;
CREATE TABLE empty (v vector(3));
CREATE INDEX empty_lists ON empty USING ivfflat (v);
CREATE UNLOGGED TABLE unlogged (id int, v vector(3));
CREATE INDEX unlogged_lists ON unlogged USING ivfflat (v) WITH (lists = 3);
SQL
for my $index (@lists) {
  my ($type, $cast, $operator, $class) = @$index;
  my $value = $type eq 'bit' ? "(i % 16)::bit(4)" : "ARRAY[sin(i), cos(i), i % 7, i / 100.0]::$cast";
  $node->safe_psql('listing', "CREATE TABLE of_$class AS SELECT i AS id, $value AS v FROM generate_series(1, 500) i;
    CREATE INDEX lists_$class ON of_$class USING ivfflat (v $class) WITH (lists = 5)");
}

# The data as pgvector has them: bytes as stored and as sent, and the results of every function, operator, cast and aggregate.
my $bytes = <<'SQL';
SELECT id, md5(vector_send(v)), md5(halfvec_send(h)), md5(sparsevec_send(s)), md5(v::text), md5(h::text), md5(s::text), b,
  pg_column_size(v), pg_column_size(h), pg_column_size(s) FROM special ORDER BY id;
SELECT md5(string_agg(v::text, ' ' ORDER BY id)) FROM of_vector; SELECT md5(string_agg(v::text, ' ' ORDER BY id)) FROM of_halfvec;
SELECT md5(string_agg(v::text, ' ' ORDER BY id)) FROM of_sparsevec; SELECT md5(string_agg(v::text, ' ' ORDER BY id)) FROM of_bit;
SQL
my $dense = <<'SQL';
SELECT id, round((v <-> '[1,2,3,4]')::numeric, 4), round((v <#> '[1,2,3,4]')::numeric, 3), round((v <=> '[1,2,3,4]')::numeric, 4), round((v <+> '[1,2,3,4]')::numeric, 3),
  round(inner_product(v, '[1,2,3,4]')::numeric, 3), vector_dims(v), binary_quantize(v), subvector(v, 2, 2), v || v, v + v, v - '[1,1,1,1]', v * '[1,2,1,1]',
  v < '[0,0,0,0]', v <= '[0,0,0,0]', v = v, v <> v, v >= '[0,0,0,0]', v > '[0,0,0,0]', l2_normalize('[3,4]'::TYPE), v::real[], v::sparsevec, TYPE_cmp(v, '[0,0,0,0]')
  FROM of_TYPE ORDER BY id LIMIT 20;
SELECT avg(v), count(*) FROM of_TYPE; SELECT id % 3, avg(v), sum(v) FROM of_TYPE GROUP BY 1 ORDER BY 1; SELECT count(DISTINCT v) FROM of_TYPE;
SELECT id FROM of_TYPE ORDER BY v LIMIT 5; SELECT round(TYPE_spherical_distance('[1,0]', '[0,1]')::numeric, 6);
SELECT '{1,2.5}'::real[]::TYPE, '{1,2}'::int[]::TYPE, '{1,2.5}'::float8[]::TYPE, '{1,2.5}'::numeric[]::TYPE;
SQL
my $functions = ($dense =~ s/TYPE/vector/gr) . ($dense =~ s/TYPE/halfvec/gr) . <<'SQL';
SELECT vector_norm('[3,4]'), l2_norm('[3,4]'::halfvec), l2_norm('{1:3,2:4}/2'::sparsevec), l2_normalize('{1:3,2:4}/2'::sparsevec);
SELECT '[1,2]'::vector::halfvec, '[1,2]'::halfvec::vector, '{1:1}/2'::sparsevec::vector, '{1:1}/2'::sparsevec::halfvec, '{1,0}'::int[]::sparsevec;
SELECT id, round((v <-> '{1:1}/4')::numeric, 4), round((v <#> '{1:1}/4')::numeric, 4), round((v <=> '{1:1}/4')::numeric, 4), round((v <+> '{1:1}/4')::numeric, 4),
  v < '{}/4', v = v, sparsevec_cmp(v, '{}/4') FROM of_sparsevec ORDER BY id LIMIT 20;
SELECT id, v <~> B'1010', v <%> B'1010', hamming_distance(v, B'0001'), jaccard_distance(v, B'0001') FROM of_bit ORDER BY id LIMIT 20;
SELECT * FROM (SELECT count(*) FROM listed WHERE v = ANY (SELECT v FROM of_vector)) s; SELECT count(*) FROM of_vector a JOIN of_vector b USING (v);
INSERT INTO listed (id) VALUES (0) RETURNING *; DELETE FROM listed WHERE id = 0;
SQL
my @before = map { $node->safe_psql('postgres', $_) } $bytes, $functions;

# Its dump, from a PostgreSQL that stays pgvector's.
my $pgvectors = PostgreSQL::Test::Cluster->new('pgvectors');
$pgvectors->init;
$pgvectors->start;
is(Alias::move($node, 'postgres', $pgvectors, 'source'), '', 'pgvector restores its own dump');
Alias::move($node, 'listing', $pgvectors, 'lists');

# The files are replaced, and the server restarted. Nothing else.
my ($ok, $words) = $server->install;
ok(!$ok, 'pgvector is not replaced unasked');
like($words, qr/vector\.so/, 'its files are named');
$node->stop;
($ok, $words) = $server->install('--force');
ok($ok, 'it is replaced by force') or diag($words);
$node->start;

my @after = map { $node->safe_psql('postgres', $_) } $bytes, "SET enable_indexscan = off; SET enable_bitmapscan = off; $functions";
is($after[0], $before[0], 'data are what they were, byte for byte');
is($after[1], $before[1], 'functions, operators, casts and aggregates do what they did');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT v) FROM (SELECT v FROM of_vector ORDER BY v) s; SELECT id FROM of_vector WHERE v = (SELECT v FROM of_vector WHERE id = 7)'),
  "500\n7", 'btree indexes are used as they are');

# An index that pgvector built gives no rows and takes none.
sub failure {
  my ($database, $statement) = @_;
  my $error;
  $node->psql($database, "SET enable_seqscan = off; $statement", stderr => \$error);
  return $error;
}
my $built = qr/ERROR:  index "(of_\w+_ops|halved)" was built by pgvector\nHINT:  REINDEX INDEX CONCURRENTLY builds it anew\./;
sub search {
  my ($type, $cast, $operator) = @{ $_[0] };
  return "SELECT id, v $operator $query{$type}::$cast FROM of_$type ORDER BY 2 LIMIT 10";
}
like(failure('postgres', search($_)), $built, "a scan of an index with $_->[3]") for @indexes;
like(failure('postgres', "INSERT INTO of_$_ SELECT 1000, v FROM of_$_ WHERE id = 1"), $built, "an insert into indexes on $_") 
  for sort keys %{ { map { $_->[0] => 1 } @indexes } };
like(failure('postgres', "DELETE FROM of_vector WHERE id = 500; VACUUM of_vector"), $built, 'a vacuum');
is($node->safe_psql('postgres', 'ANALYZE of_vector; SELECT count(*) FROM of_vector'), '499', 'the table is read and analyzed');

# Built anew it is ours.
$node->safe_psql('postgres', "REINDEX INDEX CONCURRENTLY of_$_->[3]") for @indexes;
$node->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY halved');
for my $index (@indexes) {
  my $search = search($index);
  like($node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN $search"), qr/Index Scan using of_$index->[3]/, "the plan with $index->[3]");
  # Any of several equally far rows are right.
  my ($distances, $exact) = map { $node->safe_psql('postgres', "$_ SELECT string_agg(round(d::numeric, 4)::text, ' ') FROM ($search) AS s(id, d)") }
    'SET enable_seqscan = off; SET hnsw.ef_search = 500;', 'SET enable_indexscan = off;';
  is($distances, $exact, "a search with $index->[3] finds what is nearest");
}
is($node->safe_psql('postgres', 'INSERT INTO of_vector SELECT 1000, v FROM of_vector WHERE id = 1; VACUUM of_vector; SELECT count(*) FROM of_vector'), '500', 'rows come and go');
is($node->safe_psql('postgres', 'SELECT id FROM nearest LIMIT 1'), $node->safe_psql('postgres', "SET enable_indexscan = off; SELECT id FROM of_vector ORDER BY v <-> '[3,1,2,5]' LIMIT 1"), 'views go on');
is($node->safe_psql('postgres', "SELECT nearest_to((SELECT v FROM of_vector WHERE id = 77))"), '77', 'so do functions');

# Its ivfflat indexes are recognised as well, and built anew they are ours, defined as they were.
my $listed = qr/ERROR:  index "\w*lists\w*" was built by pgvector\nHINT:  REINDEX INDEX CONCURRENTLY builds it anew\./;
for my $index (@lists) {
  my ($type, $cast, $operator, $class) = @$index;
  my $search = "SELECT id, v $operator $query{$type}::$cast FROM of_$class ORDER BY 2 LIMIT 10";
  my $definition = $node->safe_psql('listing', "SELECT pg_get_indexdef('lists_$class'::regclass)");
  like($definition, qr/USING ivfflat .*WITH \(lists='5'\)/, "the definition of an ivfflat index with $class");
  like(failure('listing', $_), $listed, "$_ meets it")
    for $search, "INSERT INTO of_$class SELECT 1000, v FROM of_$class WHERE id = 1", "DELETE FROM of_$class WHERE id = 500; VACUUM of_$class";
  $node->safe_psql('listing', "REINDEX INDEX CONCURRENTLY lists_$class");
  is($node->safe_psql('listing', "SELECT pg_get_indexdef('lists_$class'::regclass)"), $definition, 'built anew it is defined as it was');
  $node->safe_psql('listing', "INSERT INTO of_$class SELECT 1000, v FROM of_$class WHERE id = 1; VACUUM of_$class");
  like($node->safe_psql('listing', "SET enable_seqscan = off; EXPLAIN $search"), qr/Index Scan using lists_$class/, 'it is planned with');
  my ($distances, $exact) = map { $node->safe_psql('listing', "$_ SELECT string_agg(round(d::numeric, 4)::text, ' ') FROM ($search) AS s(id, d)") }
    'SET enable_seqscan = off; SET ivfflat.probes = 1;', 'SET enable_indexscan = off;';
  is($distances, $exact, 'it finds what is nearest, whatever ivfflat.probes');
}
for my $table ('empty', 'unlogged') {
  like(failure('listing', "INSERT INTO $table (v) VALUES ('[1,2,3]')"), $listed, "the index of an $table table");
  $node->safe_psql('listing', "REINDEX INDEX ${table}_lists; INSERT INTO $table (v) VALUES ('[1,2,3]')");
  is($node->safe_psql('listing', "SET enable_seqscan = off; SELECT v FROM $table ORDER BY v <-> '[1,1,1]' LIMIT 1"), '[1,2,3]', 'built anew it takes rows');
}
$node->safe_psql('listing', 'CREATE INDEX more_lists ON of_vector_l2_ops USING ivfflat (v vector_ip_ops) WITH (lists = 5)');

# Back to pgvector, which calls its own functions again and has to build its indexes, and here again.
my $ours = $node->safe_psql('postgres', $bytes);
$node->stop;
$server->restore;
$node->start;
is($node->safe_psql('postgres', $bytes), $ours, 'pgvector has its data back');
like(failure('postgres', search($indexes[0])), qr/ERROR:  hnsw index is not valid/, 'it does not take our index for its own');
$node->safe_psql('postgres', 'REINDEX INDEX of_vector_l2_ops');
is($node->safe_psql('postgres', "SET enable_seqscan = off; SELECT id FROM of_vector ORDER BY v <-> (SELECT v FROM of_vector WHERE id = 77) LIMIT 1"), '77', 'it builds its own');
$node->stop;
($ok, $words) = $server->install('--force');
ok($ok, 'it is replaced again') or diag($words);
$node->start;
like(failure('postgres', search($indexes[0])), $built, 'its index is known again');
$node->safe_psql('postgres', 'REINDEX INDEX of_vector_l2_ops');

# Versions are such as their readers take apart, and ours is the newest.
my @versions = split /\n/, $node->safe_psql('postgres',
  "SELECT version FROM pg_available_extension_versions WHERE name = 'vector' ORDER BY string_to_array(version, '.')::int[]");
my $version = $server->version;
is($versions[-1], $version, 'ours is the newest version');

# An update brings what omendb has besides.
$node->safe_psql($_, 'ALTER EXTENSION vector UPDATE') for qw(postgres listing);
is($node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'vector'"), $version, 'the extension is of the new version');
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION vector');
my $members = <<'SQL';
SELECT pg_describe_object(classid, objid, 0), prosrc, probin, provolatile, proisstrict, proparallel, prorows, oprcanhash, oprcanmerge, oprrest, oprjoin FROM pg_depend
  LEFT JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid LEFT JOIN pg_operator o ON classid = 'pg_operator'::regclass AND o.oid = objid
  WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector') AND deptype = 'e'
  ORDER BY 1
SQL
is($node->safe_psql('postgres', $members), $node->safe_psql('fresh', $members), 'its objects are those of a new one');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_proc WHERE probin = '\$libdir/vector'"), '0', 'all call our library');
is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('of_vector_l2_ops', true)"), '0', 'an index can be checked');
like($node->safe_psql('postgres', 'SET enable_nestloop = off; SET enable_mergejoin = off; SET enable_indexscan = off; EXPLAIN SELECT FROM of_vector a JOIN of_vector b USING (v)'), qr/Hash Join/, 'joins can hash');
is($node->safe_psql('postgres', "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_hashagg = off; $functions"), $node->safe_psql('postgres', "SET enable_indexscan = off; SET enable_bitmapscan = off; $functions"), 'functions do what they did');
is($node->safe_psql('listing', "SELECT count(*) FROM pg_class c, hnsw_check(c.oid, true) WHERE relname ~ 'lists' AND relkind = 'i'"), '0', 'ivfflat indexes can be checked');

# Every pgvector since 0.7 can be updated, versions to come included. Here databases are made to look like them.
my $since_0_8 = join '; ', map { my $object = $_; map { "$_ $object" } 'ALTER EXTENSION vector DROP', 'DROP' }
  map { ("CAST ($_ AS sparsevec)", "FUNCTION array_to_sparsevec($_, integer, boolean)") } 'int[]', 'real[]', 'float8[]', 'numeric[]';
for my $pgvector (qw(0.7.0 0.7.4 0.8.0 0.8.5 0.8.6 0.8.7 0.8.20 0.9.0 0.9.3)) {
  my $database = 'from_' . $pgvector =~ tr/./_/r;
  $node->safe_psql('postgres', "CREATE DATABASE $database");
  $node->safe_psql($database, "CREATE EXTENSION vector VERSION '$pgvectors_version'");
  $node->safe_psql($database, $since_0_8) if $pgvector =~ /^0\.7/;
  $node->safe_psql($database, "UPDATE pg_extension SET extversion = '$pgvector' WHERE extname = 'vector'; ALTER EXTENSION vector UPDATE");
  is($node->safe_psql($database, "SELECT extversion FROM pg_extension WHERE extname = 'vector'"), $version, "pgvector $pgvector is updated");
  is($node->safe_psql($database, $members), $node->safe_psql('fresh', $members), 'its objects are those of a new one');
}
like($node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN SELECT FROM of_vector WHERE v <-> '[1,2,3,4]' < 5 ORDER BY v <-> '[1,2,3,4]' LIMIT 10"), qr/Index Cond: \(v @<= '5'/, 'a bound on the distance reaches the index');

# Dumps, from pgvector to omendb by either name, and back.
my $rename = sub { $_[0] =~ s/^(CREATE EXTENSION IF NOT EXISTS) $_[1] /$1 $_[2] /mr =~ s/^COMMENT ON EXTENSION $_[1] .*$//mr };
is(Alias::move($pgvectors, 'source', $node, 'moved'), '', 'a dump of pgvector is restored');
is($node->safe_psql('moved', $bytes), $before[0], 'with its data');
is(Alias::move($pgvectors, 'source', $node, 'moved_to_omendb', sub { $rename->($_[0], 'vector', 'omendb') }), '', 'so it is as omendb');
is($node->safe_psql('moved_to_omendb', $bytes), $before[0], 'with its data');
my $definitions = "SELECT indexdef FROM pg_indexes WHERE indexdef ~ 'ivfflat' ORDER BY 1";
my $defined = $pgvectors->safe_psql('lists', $definitions);
is(scalar(split /\n/, $defined), 2 + @lists, 'pgvector has ivfflat indexes');
for my $to ('lists', 'lists_to_omendb') {
  is(Alias::move($pgvectors, 'lists', $node, $to, sub { $to eq 'lists' ? $_[0] : $rename->($_[0], 'vector', 'omendb') }), '', "a dump of them is restored without a word: $to");
  is($node->safe_psql($to, $definitions), $defined, 'with all that defines them');
  is($node->safe_psql($to, "SELECT count(*) FROM pg_class c, hnsw_check(c.oid, true) WHERE relname ~ 'lists' AND relkind = 'i'"), '0', 'and as they should be');
  unlike(Alias::move($node, $to, $pgvectors, "back_from_$to", sub { $rename->($_[0], 'omendb', 'vector') }), qr/ERROR/, 'pgvector restores a dump of them');
  is($pgvectors->safe_psql("back_from_$to", $definitions), $defined, 'with all that defines them');
}
for my $extension ('moved', 'moved_to_omendb') {
  is(Alias::move($node, $extension, $pgvectors, $extension, sub { $rename->($_[0], 'omendb', 'vector') }), '', "pgvector restores a dump of $extension");
  is($pgvectors->safe_psql($extension, $bytes), $before[0], 'with its data');
}
is(Alias::move($node, 'postgres', $pgvectors, 'back', sub { $_[0] =~ s/^COMMENT ON EXTENSION vector .*$//mr }), '', 'and of one that it made itself');

$_->stop for $node, $pgvectors;
done_testing();
