# The life of an extension and its indexes: it is updated, dumped and restored, dropped; its partitions are merged; roles
# without privileges get no further than they may, and no search_path leads astray.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Installation;
use Wordnet;

my $installation = Installation::copy(PostgreSQL::Test::Utils::tempdir());
my $node = PostgreSQL::Test::Cluster->new('lifecycle', install_path => $installation->{path});
$node->init;
Wordnet::configure($node);
$node->start;
Wordnet::load($node);

sub sql { return $node->safe_psql('postgres', @_); }

sub failure {
  my (@statements) = @_;
  my ($status, $output, $error) = $node->psql('postgres', join "\n", '\set VERBOSITY verbose', map { "$_;" } @statements);
  return $error;
}

# Updates. Whatever the way to a version, the schema is that of a fresh one.

# The parts of an extension, with all that a user could tell apart; no numbers that differ between databases.
sub schema {
  my ($database) = @_;
  return $node->safe_psql($database, Installation::schema_query());
}

my $current = sql(q(SELECT extversion FROM pg_extension WHERE extname = 'omendb'));
my $fresh = schema('postgres');
cmp_ok(scalar(split /\n/, $fresh), '>', 300, 'the schema is looked at');
for my $version (Installation::released()) {
  # A version frozen but not followed by another has the working tree as its next one, with nothing to update.
  my $next = $version eq $current ? 'next' : $current;
  $installation->release($version);
  $installation->write("omendb--$version--next.sql", "-- nothing\n") if $next eq 'next';
  $node->safe_psql('postgres', "CREATE DATABASE \"from_$version\"");
  $node->safe_psql("from_$version", "CREATE EXTENSION omendb VERSION '$version'; CREATE TABLE t (embedding vector(3));
    INSERT INTO t VALUES ('[1,2,3]'); CREATE INDEX ON t USING hnsw (embedding vector_l2_ops); ALTER EXTENSION omendb UPDATE TO '$next'");
  is(schema("from_$version"), $fresh, "updated from $version: the schema of the working tree's script");
  is($node->safe_psql("from_$version", "SET enable_seqscan = off; SELECT * FROM t ORDER BY embedding <-> '[0,0,0]' LIMIT 1"),
    '[1,2,3]', "updated from $version: an index made before is searched");
}

# The comparison sees what an update forgets. Here is a version before the first, in which things are missing or other.
my $script = $installation->script($current);
my $former = $script;
$former =~ s/^CREATE FUNCTION hnsw_index_info\(.*?;\n//ms or die 'no hnsw_index_info';
my $missing = $&;
$former =~ s/^(CREATE FUNCTION l2_norm\(vector\).*?) PARALLEL SAFE;/$1;/ms or die 'no l2_norm';
$installation->write("omendb--0.0.1.sql", $former);
my $repair = "$missing\nALTER FUNCTION l2_norm(vector) PARALLEL SAFE;\n";
my %updates = (
  forgetful => [ "-- nothing\n", 0 ],
  careless => [ $missing, 0 ],
  generous => [ "$repair CREATE FUNCTION hnsw_more(vector) RETURNS float8 AS 'MODULE_PATHNAME', 'vector_norm_wrapper' LANGUAGE C;\n", 0 ],
  complete => [ $repair, 1 ]);
for my $kind (sort keys %updates) {
  my ($update, $is_right) = @{ $updates{$kind} };
  $installation->write("omendb--0.0.1--$current.sql", $update);
  $node->safe_psql('postgres', "CREATE DATABASE $kind");
  $node->safe_psql($kind, "CREATE EXTENSION omendb VERSION '0.0.1'; CREATE TABLE t (embedding vector(3));
    INSERT INTO t VALUES ('[1,2,3]'); CREATE INDEX ON t USING hnsw (embedding vector_l2_ops); ALTER EXTENSION omendb UPDATE");
  is(schema($kind) eq $fresh ? 1 : 0, $is_right, "a $kind update is recognised beside a fresh $current");
  is($node->safe_psql($kind, "SET enable_seqscan = off; SELECT * FROM t ORDER BY embedding <-> '[0,0,0]' LIMIT 1"),
    '[1,2,3]', "a $kind update: an index made before is searched");
}

# Dump and restore, in each format; the restored database dumps as the first does, and finds the same.
sql(<<'SQL');
CREATE TABLE kinds (id int PRIMARY KEY, dense vector(3), half halfvec(3), sparse sparsevec(5), bits bit(4), loose vector);
INSERT INTO kinds VALUES (1, '[1,2.5,-3e-7]', '[1,0.333,65504]', '{1:0.1,5:-2}/5', '1010', '[1,2,3,4]'), (2, NULL, NULL, NULL, NULL, NULL);
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops) WITH (m = 12, ef_construction = 40);
CREATE INDEX wordnet_half ON wordnet USING hnsw ((embedding::halfvec(384)) halfvec_cosine_ops) WHERE id % 2 = 0;
CREATE INDEX wordnet_lists ON wordnet USING ivfflat (embedding vector_cosine_ops) WITH (lists = 70);
CREATE INDEX wordnet_keyed ON wordnet USING hnsw (embedding vector_ip_ops, topic, (id % 10)) WITH (m = 8, graphs = topic);
CREATE INDEX wordnet_tenths ON wordnet USING hnsw (topic, embedding vector_l1_ops, (id % 10)) WITH (graphs = 'expr');
CREATE INDEX kinds_lists ON kinds USING ivfflat (dense);
CREATE TABLE parts (id int, embedding vector(3)) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE UNLOGGED TABLE parts_2 (id int, embedding vector(3));
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO parts SELECT i, ARRAY[hashint4(i) % 1000, hashint4(-i) % 1000, i]::vector FROM generate_series(1, 3000) i;
CREATE INDEX parts_embedding ON parts USING hnsw (embedding vector_l2_ops);
CREATE INDEX parts_keyed ON parts USING hnsw (embedding vector_cosine_ops, id) WITH (graphs = id);
CREATE MATERIALIZED VIEW seen AS SELECT id, embedding <-> '[1,2,3]' AS d FROM parts;
CREATE FUNCTION nearest(vector) RETURNS SETOF int LANGUAGE sql STABLE AS 'SELECT id FROM parts ORDER BY embedding <-> $1 LIMIT 3';
ALTER TABLE kinds ADD CHECK (dense <-> '[0,0,0]' < 1000), ALTER dense SET DEFAULT '[0,0,0]';
SQL
my $folder = PostgreSQL::Test::Utils::tempdir();
my $dump = dumped('postgres');
for my $format ('plain', 'custom', 'directory') {
  $node->safe_psql('postgres', "CREATE DATABASE restored_$format");
  $node->command_ok([ 'pg_dump', "--format=$format", '-f', "$folder/$format", 'postgres' ], "dumped as $format");
  my @restore = $format eq 'plain' ? ('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', "restored_$format", '-f')
    : ('pg_restore', '--exit-on-error', '-j', '2', '-d', "restored_$format");
  $node->command_ok([ @restore, "$folder/$format" ], "restored as $format");
  is(dumped("restored_$format"), $dump, "what was restored as $format dumps as before");
  is($node->safe_psql("restored_$format", "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam,
    hnsw_check(indexrelid, true) WHERE amname IN ('hnsw', 'ivfflat') AND relkind = 'i'"), '0', "indexes restored as $format are as they should be");
  is(found("restored_$format"), found('postgres'), "what was restored as $format finds the same");
}

sub dumped {
  my ($database) = @_;
  my ($output, $error) = run_command([ 'pg_dump', '--no-comments', '-d', $node->connstr($database) ]);
  # Newer minor versions protect a dump by a word that is another each time.
  return join "\n", grep { !/^\\(un)?restrict / } split /\n/, $output;
}

sub found {
  my ($database) = @_;
  return $node->safe_psql($database, "SET enable_seqscan = off; SELECT array_agg(d) FROM (SELECT embedding <-> '[1,2,3]' AS d FROM parts ORDER BY d LIMIT 20) s;
    SELECT array_agg(id) FROM (SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 3) LIMIT 5) s;
    SELECT array_agg(id) FROM (SELECT id FROM wordnet WHERE topic = 'noun.artifact'
      ORDER BY embedding <#> (SELECT embedding FROM wordnet_query WHERE id = 3) LIMIT 5) s;
    SELECT method FROM hnsw_last_scan()");
}

# Partitions: their orders are merged into one, as exact as a sort's.
sub nearest_parts { return "SELECT array_agg(id) FROM (SELECT id FROM parts ORDER BY embedding <-> '[500,500,1500]', id LIMIT 50) s" }
sub merged_parts { return "SELECT array_agg(id) FROM (SELECT id FROM parts ORDER BY embedding <-> '[500,500,1500]' LIMIT 50) s" }
like(sql("SET enable_seqscan = off; EXPLAIN (COSTS OFF) @{[ merged_parts() ]}"), qr/Merge Append.*Index Scan using parts_0.*Index Scan using parts_2/s,
  'partitions: one order is merged of three');
is(sql("SET enable_seqscan = off; SET hnsw.ef_search = 200; @{[ merged_parts() ]}"), sql("SET enable_indexscan = off; @{[ nearest_parts() ]}"),
  'partitions: the order is exact');

# An unlogged partition's index is as empty as its table after a crash, and the others are as they were.
Wordnet::crash($node);
Wordnet::start_again($node);
is(sql('SELECT count(*) FROM parts_2'), '0', 'a crash: the unlogged partition is empty');
is(sql("SELECT sum(rows) = (SELECT count(*) FROM parts) FROM pg_inherits, hnsw_index_info(inhrelid) WHERE inhparent = 'parts_embedding'::regclass"),
  't', 'a crash: each index has the rows of its partition');
is(sql("SET enable_seqscan = off; SET hnsw.ef_search = 200; @{[ merged_parts() ]}"), sql("SET enable_indexscan = off; @{[ nearest_parts() ]}"),
  'a crash: the order is exact');
sql("INSERT INTO parts_2 SELECT * FROM parts_1 WHERE false; INSERT INTO parts SELECT i, ARRAY[i,i,i]::vector FROM generate_series(3001, 3100) i");
is(sql("SELECT count(*) FROM hnsw_check('parts_2_embedding_idx', true)"), '0', 'a crash: the unlogged index takes rows again');

# Roles. Who may not read a table finds nothing out through its index; a policy holds for rows that an index finds.
sql(<<'SQL');
CREATE ROLE stranger LOGIN;
CREATE ROLE tenant LOGIN;
GRANT CREATE ON SCHEMA public TO stranger;
CREATE TABLE shared (id int, owner text, embedding vector(3));
INSERT INTO shared SELECT i, CASE WHEN i % 3 = 0 THEN 'tenant' ELSE 'other' END, ARRAY[i, hashint4(i) % 100, 1]::vector FROM generate_series(1, 900) i;
CREATE INDEX shared_embedding ON shared USING hnsw (embedding vector_l2_ops);
ALTER TABLE shared ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shared USING (owner = current_user);
GRANT SELECT, INSERT ON shared TO tenant;
SQL
like(failure('SET ROLE stranger', q(SELECT id FROM shared ORDER BY embedding <-> '[1,1,1]' LIMIT 1)), qr/42501: permission denied for table shared/, 'a stranger may not search');
for my $function ('hnsw_check', 'hnsw_index_info') {
  for my $role ('stranger', 'tenant') {
    like(failure("SET ROLE $role", "SELECT * FROM $function('shared_embedding')"), qr/42501: permission denied for index shared_embedding/, "a $role may not ask $function");
  }
}
like(failure('SET ROLE stranger', 'CREATE INDEX ON shared USING hnsw (embedding vector_ip_ops)'), qr/42501: must be owner of table shared/, 'a stranger may not index');
is(sql(q(SET ROLE tenant; SET enable_seqscan = off; SELECT count(*), bool_and(id % 3 = 0) FROM (SELECT id FROM shared ORDER BY embedding <-> '[1,1,1]' LIMIT 20) s)),
  '20|t', 'a tenant finds his rows and no others');
is(sql(q(SET ROLE tenant; SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 1000000;
  SELECT count(*), bool_and(id % 3 = 0) FROM (SELECT id FROM shared ORDER BY embedding <-> '[1,1,1]') s)), '300|t', 'however far he goes');
my $rls = q(SET ROLE tenant; SET enable_seqscan = off; EXPLAIN (COSTS OFF) SELECT id FROM shared ORDER BY embedding <-> '[1,1,1]' LIMIT 20);
like(sql($rls), qr/Index Scan using shared_embedding.*Filter: \(owner = CURRENT_USER\)/s, 'through the index');
like(failure('SET ROLE stranger', 'CREATE SCHEMA mine; CREATE EXTENSION omendb SCHEMA mine'), qr/42501|42710/, 'a stranger creates no extension');
like(failure('SET ROLE stranger', 'DROP EXTENSION omendb'), qr/42501: must be owner of extension omendb/, 'and drops none');
like(failure('SET ROLE stranger', q(CREATE OPERATOR CLASS mine FOR TYPE vector USING hnsw AS FUNCTION 1 vector_l2_squared_distance(vector, vector))),
  qr/42501: must be superuser to create an operator class/, 'nor operator classes, by which kernels are chosen');

# Functions. All are C, none runs as its definer, none that takes an internal argument can be called.
is(sql(<<'SQL'), '0', 'no function is anything but C, or runs as its definer');
SELECT count(*) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass JOIN pg_language l ON l.oid = prolang
  WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb') AND deptype = 'e' AND prokind <> 'a'
    AND (lanname <> 'c' OR prosecdef OR proconfig IS NOT NULL OR probin <> '$libdir/omendb')
SQL
like(failure('SELECT hnswhandler(NULL)'), qr/42804|0A000|22004|XX000|null|pseudo-type|cannot/i, 'the handler is not for callers');

# search_path. Functions, operators and types of the same names, in a schema that comes first, are never called by what an
# index does, nor by an extension that is created.
sql(<<'SQL');
CREATE SCHEMA evil;
CREATE TABLE evil.calls (what text);
DO $$
DECLARE f record;
BEGIN
  FOR f IN SELECT p.proname, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result FROM pg_depend d
    JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
    WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb') AND prokind = 'f' AND NOT proretset
      AND pg_get_function_arguments(p.oid) !~ 'internal|cstring' AND pg_get_function_result(p.oid) !~ 'internal|cstring|handler|record'
  LOOP
    EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN RAISE ''evil''; END $f$', f.proname, f.arguments, f.result);
  END LOOP;
  FOR f IN SELECT o.oprname, l.typname AS l, r.typname AS r, format('evil.%I', p.proname) AS function FROM pg_depend d
    JOIN pg_operator o ON o.oid = d.objid AND d.classid = 'pg_operator'::regclass JOIN pg_type l ON l.oid = oprleft JOIN pg_type r ON r.oid = oprright
    JOIN pg_proc p ON p.oid = oprcode WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'omendb') AND l.typname <> 'bit'
  LOOP
    EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %s)', f.oprname, f.l, f.r, f.function);
  END LOOP;
END $$;
CREATE DOMAIN evil.float8 AS text;
CREATE DOMAIN evil.real AS text;
CREATE TABLE safe (id int PRIMARY KEY, embedding vector(3), half halfvec(3));
INSERT INTO safe SELECT i, ARRAY[i, hashint4(i) % 100, 1]::vector, ARRAY[i, 1, 1]::real[]::vector::halfvec FROM generate_series(1, 500) i;
SQL
cmp_ok(sql(q(SELECT count(*) FROM pg_operator WHERE oprnamespace = 'evil'::regnamespace)), '>', 20, 'there are evil operators');
like(failure('SET search_path = evil, public, pg_catalog', q(SELECT '[1,2,3]'::vector <-> '[1,2,3]')), qr/evil/, 'who calls for them gets them');
for my $path ('evil, public, pg_catalog', q('')) {
  my ($status, $output, $error) = $node->psql('postgres', <<"SQL");
SET search_path = $path;
SET enable_seqscan = off;
CREATE INDEX safe_embedding ON public.safe USING hnsw (embedding public.vector_l2_ops);
CREATE INDEX safe_cosine ON public.safe USING hnsw (half public.halfvec_cosine_ops);
CREATE INDEX safe_tree ON public.safe USING btree (embedding public.vector_ops);
INSERT INTO public.safe SELECT id + 10000, embedding, half FROM public.safe WHERE id < 100;
UPDATE public.safe SET embedding = half::public.vector WHERE id < 20;
DELETE FROM public.safe WHERE id > 10050;
VACUUM (ANALYZE) public.safe;
REINDEX TABLE public.safe;
SELECT count(*) FROM (SELECT id FROM public.safe ORDER BY embedding OPERATOR(public.<->) '[1,2,3]' LIMIT 7) s;
SELECT count(*) FROM (SELECT id FROM public.safe ORDER BY half OPERATOR(public.<=>) '[1,2,3]' LIMIT 7) s;
SELECT count(*) FROM (SELECT DISTINCT embedding FROM public.safe) s WHERE embedding OPERATOR(public.=) embedding;
SELECT count(*) FROM public.hnsw_check('public.safe_embedding', true);
SELECT pg_catalog.count(*) FROM public.hnsw_index_info('public.safe_cosine');
SELECT public.vector_dims(public.avg(embedding)) FROM public.safe;
DELETE FROM public.safe WHERE id > 10000;
DROP INDEX public.safe_embedding, public.safe_cosine, public.safe_tree;
SQL
  is($error, '', "search_path = $path: nothing evil is called");
  is($output =~ s/\n\d+\n0\n1\n3$//r, "7\n7", "search_path = $path: all is found");
}
# Objects that are there before the extension is created: it is not, rather than take one of them for its own.
$node->safe_psql('postgres', 'CREATE DATABASE mined');
$node->safe_psql('mined', <<'SQL');
CREATE FUNCTION public.hnsw_last_scan() RETURNS int LANGUAGE sql AS 'SELECT 1';
SQL
my (undef, undef, $mined) = $node->psql('mined', 'CREATE EXTENSION omendb');
like($mined, qr/function "hnsw_last_scan" already exists|cannot change|is not a member/, 'an extension takes no function that is there before it');

# Drop. Not with indexes present, unless all goes that needs it; in a session that knows the indexes, too.
like(failure('DROP EXTENSION omendb'), qr/2BP01: cannot drop extension omendb because other objects depend on it/, 'indexes keep the extension');
is(sql('SELECT count(*) > 0 FROM pg_class WHERE relam = (SELECT oid FROM pg_am WHERE amname = \'hnsw\')'), 't', 'they are as they were');
my $again = sql(<<'SQL');
SET client_min_messages = error;
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 3) LIMIT 5) s;
BEGIN;
DROP EXTENSION omendb CASCADE;
ROLLBACK;
SELECT count(*) FROM (SELECT id FROM wordnet ORDER BY embedding <-> (SELECT embedding FROM wordnet_query WHERE id = 3) LIMIT 5) s;
DROP SCHEMA evil CASCADE;
DROP EXTENSION omendb CASCADE;
SELECT count(*) FROM pg_class WHERE relname ~ '^(wordnet_embedding|parts_embedding|shared_embedding)$';
SELECT count(*) FROM pg_attribute WHERE attrelid = 'wordnet'::regclass AND attname = 'embedding' AND NOT attisdropped;
SELECT count(*) FROM wordnet;
CREATE EXTENSION omendb;
ALTER TABLE wordnet ADD embedding vector(3);
UPDATE wordnet SET embedding = ARRAY[id, 1, 2]::vector;
CREATE INDEX wordnet_embedding ON wordnet USING hnsw (embedding vector_l2_ops);
SELECT id FROM wordnet ORDER BY embedding <-> '[77,1,2]' LIMIT 1;
SELECT count(*) FROM hnsw_check('wordnet_embedding', true);
SQL
is($again, "5\n5\n0\n0\n5000\n77\n0", 'dropped with all that needs it, the tables are there, and a session goes on with a new extension');
is(schema('postgres'), $fresh, 'what is created then is as fresh');
is(sql(<<'SQL'), '0', 'no file is left of dropped indexes');
SELECT count(*) FROM pg_database d, pg_ls_dir('base/' || d.oid) file
  WHERE datname = current_database() AND file ~ '^\d+$' AND
    NOT EXISTS (SELECT FROM pg_class WHERE pg_relation_filenode(oid) = file::oid) AND
    (SELECT size FROM pg_stat_file('base/' || d.oid || '/' || file)) > 0
SQL

$node->stop;
done_testing();
