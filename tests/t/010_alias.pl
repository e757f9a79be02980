# The extension by the name of pgvector: its files, its objects, and dumps of it.
use strict;
use warnings;
use Alias;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $server = Alias->new('alias');

# Files that are not ours are named, and stay as they are unless they are to be replaced.
$server->clear;
my $control = $server->extensions . '/vector.control';
append_to_file($control, "default_version = '0.8.5'\n");
append_to_file($server->libraries . '/vector.so', 'a library');
my ($ok, $words) = $server->install;
ok(!$ok, 'files of pgvector are not replaced unasked');
like($words, qr{^    \S+/vector\.so\n    \S+/vector\.control\n}m, 'they are named');
is(slurp_file($control), "default_version = '0.8.5'\n", 'they stay');
($ok, $words) = $server->install('--force');
ok($ok, 'they are replaced by force') or diag($words);
like($words, qr{\S+/vector\.so\n    \S+/vector\.control\n}, 'they are named again');
is(readlink($server->libraries . '/vector.so'), 'omendb.so', 'vector.so is our library');
($ok, $words) = $server->install;
ok($ok, 'our own files are replaced unasked') or diag($words);

my $version = $server->version;
like($version, qr/^0\.8\.9\d$/, 'clients take its version for a pgvector of 0.8');
my $node = $server->node('alias');
$node->safe_psql('postgres', 'CREATE EXTENSION IF NOT EXISTS vector');
is($node->safe_psql('postgres', "SELECT extversion FROM pg_extension WHERE extname = 'vector'"),
  $version, 'extension vector has that version');
is($node->safe_psql('postgres', "SELECT name, version FROM pg_available_extension_versions WHERE name = 'vector'"),
  "vector|$version", 'there is no other version of it');
is(join(' ', grep { !/^vector(--\d+\.\d+\.\d+){1,2}\.sql$/ } map { m{([^/]+)$} } glob($server->extensions . '/vector--*')), '', 'all versions are three numbers');

# An index, a search, and a setting, as pgvector's users write them.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3), half halfvec(3), sparse sparsevec(3), bits bit(3));
INSERT INTO items (embedding, half, sparse, bits)
  SELECT v, v, v, binary_quantize(v) FROM (SELECT ARRAY[i, i % 7 - 3, i % 5]::vector AS v FROM generate_series(1, 200) i) s;
CREATE INDEX items_embedding_idx ON items USING hnsw (embedding vector_l2_ops) WITH (m = 16, ef_construction = 64);
CREATE INDEX items_lists_idx ON items USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100);
SQL
my $search = "SELECT id FROM items ORDER BY embedding <-> '[50,0,0]' LIMIT 5";
like($node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN $search"),
  qr/Index Scan using items_embedding_idx/, 'a search uses the index');
my $nearest = $node->safe_psql('postgres', "SET enable_indexscan = off; $search");
is($node->safe_psql('postgres', "SET enable_seqscan = off; SET hnsw.ef_search = 100; $search"), $nearest, 'it finds what is nearest');
my $by_lists = $search =~ s/<->/<=>/r;
like($node->safe_psql('postgres', "SET enable_seqscan = off; EXPLAIN $by_lists"), qr/Index Scan using items_lists_idx/, 'a search uses the ivfflat index');

# The objects are those of omendb.
my $members = <<'SQL';
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
  WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'NAME') AND deptype = 'e'
  ORDER BY 1
SQL
$node->safe_psql('postgres', 'CREATE DATABASE omendb');
$node->safe_psql('omendb', 'CREATE EXTENSION omendb');
is($node->safe_psql('postgres', $members =~ s/NAME/vector/r),
  $node->safe_psql('omendb', $members =~ s/NAME/omendb/r), 'vector has the objects of omendb');

# Both names in one database, either first: Postgres says what is in the way.
for (['postgres', 'omendb'], ['omendb', 'vector']) {
  my ($database, $extension) = @$_;
  my $error;
  $node->psql($database, "CREATE EXTENSION $extension", stderr => \$error);
  like($error, qr/ERROR:  type "vector" already exists/, "$extension cannot be created beside the other");
  $node->psql($database, "CREATE SCHEMA other; CREATE EXTENSION $extension SCHEMA other", stderr => \$error);
  like($error, qr/ERROR:  access method "hnsw" already exists/, "nor in another schema: $extension");
}
is($node->safe_psql('postgres', "LOAD 'vector'; LOAD 'omendb'; $search"), $nearest, 'a session loads the library once');

# In a schema of its own, named and by search_path.
$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
$node->safe_psql('elsewhere', <<'SQL');
CREATE SCHEMA extensions;
CREATE EXTENSION vector WITH SCHEMA extensions;
CREATE TABLE items (id int, embedding extensions.vector(3));
INSERT INTO items SELECT i, format('[%s,0,0]', i)::extensions.vector FROM generate_series(1, 100) i;
CREATE INDEX ON items USING hnsw (embedding extensions.vector_cosine_ops);
CREATE INDEX ON items USING hnsw (embedding extensions.vector_l2_ops);
SQL
is($node->safe_psql('elsewhere', <<'SQL'), '7', 'objects in another schema can be named');
SET enable_seqscan = off;
SELECT id FROM items ORDER BY embedding OPERATOR(extensions.<->) '[7,0,0]' LIMIT 1
SQL
is($node->safe_psql('elsewhere', <<'SQL'), '7', 'they are found by search_path');
SET search_path = public, extensions;
SET enable_seqscan = off;
SELECT id FROM items ORDER BY embedding <-> '[7,0,0]' LIMIT 1
SQL

# Dumps.
my $contents = 'SELECT * FROM items ORDER BY id';
is(Alias::move($node, 'postgres', $node, 'restored'), '', 'a dump is restored without a word');
is($node->safe_psql('restored', $contents), $node->safe_psql('postgres', $contents), 'it has the rows');
is($node->safe_psql('restored', "SET enable_seqscan = off; $search"), $nearest, 'and the index');
is($node->safe_psql('restored', "SELECT pg_get_indexdef('items_lists_idx'::regclass); SELECT count(*) FROM hnsw_check('items_lists_idx', true)"),
  "CREATE INDEX items_lists_idx ON public.items USING ivfflat (embedding vector_cosine_ops) WITH (lists='100')\n0", 'and the ivfflat index');
is(Alias::move($node, 'elsewhere', $node, 'restored_elsewhere'), '', 'so is one with the extension in another schema');
is( Alias::move($node, 'postgres', $node, 'renamed', sub { $_[0] =~ s/^(CREATE EXTENSION IF NOT EXISTS) vector /$1 omendb /mr =~ s/^COMMENT ON EXTENSION vector .*$//mr }),
  '', 'a dump is restored as omendb when the name is replaced');
is($node->safe_psql('renamed', $contents), $node->safe_psql('postgres', $contents), 'it has the rows');

# The next version of omendb is one of the alias as well, and updates databases to it.
($ok, $words) = $server->install_next("CREATE FUNCTION newest(vector) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';\n");
ok($ok, 'a next version is installed') or diag($words);
$node->safe_psql('postgres', 'ALTER EXTENSION vector UPDATE');
is($node->safe_psql('postgres', "SELECT extversion, newest('[1]') FROM pg_extension WHERE extname = 'vector'"), '0.8.98|1', 'an update brings what it has');
$node->safe_psql('postgres', 'CREATE DATABASE newest');
$node->safe_psql('newest', 'CREATE EXTENSION vector');
is($node->safe_psql('newest', $members =~ s/NAME/vector/r), $node->safe_psql('postgres', $members =~ s/NAME/vector/r), 'so has a new one');
is($node->safe_psql('postgres', "SET enable_seqscan = off; $search"), $nearest, 'the index is searched');

$node->safe_psql('postgres', 'DROP EXTENSION vector CASCADE');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_am WHERE amname IN ('hnsw', 'ivfflat')"), '0', 'vector drops without a trace');
$node->stop;
done_testing();
