# pg_upgrade from an older PostgreSQL, whose programs are in OMENDB_OLD_BIN: indexes are taken along as they are, and go on.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $old_bin = $ENV{OMENDB_OLD_BIN} or die 'OMENDB_OLD_BIN is not set: run this with ./dev test --from MAJOR';
(my $old_path = $old_bin) =~ s,/bin$,,;
chomp(my $new_bin = `pg_config --bindir`);

# Clusters with and without checksums are not upgraded to one another, and 18 turns them on by itself.
my $old = PostgreSQL::Test::Cluster->new('old', install_path => $old_path);
$old->init(extra => [ '--locale=C', '--encoding=UTF8', '--data-checksums' ]);
my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => [ '--locale=C', '--encoding=UTF8', '--data-checksums' ]);
Wordnet::configure($_) for $old, $new;
$old->start;
Wordnet::load($old);
$old->safe_psql('postgres', <<'SQL');
CREATE TABLE kinds (id int PRIMARY KEY, dense vector(3), half halfvec(3), sparse sparsevec(5), bits bit(4));
INSERT INTO kinds VALUES (1, '[1,2.5,-3e-7]', '[1,0.333,65504]', '{1:0.1,5:-2}/5', '1010'), (2, NULL, NULL, NULL, NULL);
CREATE TABLE parts (id int, embedding vector(3)) PARTITION BY HASH (id);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE UNLOGGED TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT i, ARRAY[hashint4(i) % 1000, hashint4(-i) % 1000, i]::vector FROM generate_series(1, 1000) i;
CREATE INDEX ON parts USING hnsw (embedding vector_l2_ops);
CREATE INDEX wordnet_ip ON wordnet USING hnsw (embedding vector_ip_ops) WITH (m = 8);
CREATE INDEX wordnet_lists ON wordnet USING ivfflat (embedding vector_ip_ops) WITH (lists = 70);
CREATE INDEX wordnet_l1 ON wordnet USING hnsw (embedding vector_l1_ops);
CREATE INDEX wordnet_half ON wordnet USING hnsw ((embedding::halfvec(384)) halfvec_l2_ops);
CREATE INDEX wordnet_hash ON wordnet USING hash (embedding vector_ops);
DELETE FROM wordnet WHERE id % 7 = 3;
VACUUM wordnet;
SQL
Wordnet::index($old, 'vector_l2_ops');
$old->safe_psql('postgres', 'CREATE INDEX ' . Wordnet::KEYED);
$old->safe_psql('postgres', 'INSERT INTO wordnet SELECT id + 10000, topic, text, embedding FROM wordnet WHERE id < 300');

# Rows, results of searches, and the number of each index's file: it says whether the file was taken along or made anew.
sub seen {
  my ($node) = @_;
  my %of_topic = (operator_class => 'vector_cosine_ops', index => 'wordnet_keyed', where => "w.topic = 'noun.artifact'");
  return join "\n", $node->safe_psql('postgres', <<'SQL'), map { "@{ $_->{ids} }" } Wordnet::searches($node), Wordnet::searches($node, %of_topic);
SELECT * FROM kinds ORDER BY id;
SELECT relname, relfilenode, hnsw_index_info(oid) FROM pg_class WHERE relam IN (SELECT oid FROM pg_am WHERE amname IN ('hnsw', 'ivfflat')) AND relkind = 'i' ORDER BY 1;
SET enable_seqscan = off;
SELECT array_agg(id) FROM (SELECT id FROM parts ORDER BY embedding <-> '[1,2,3]' LIMIT 20) s;
SELECT count(*) FROM wordnet WHERE embedding = (SELECT embedding FROM wordnet WHERE id = 7);
SQL
}

my $before = seen($old);
$old->stop;
chdir $new->basedir or die $!;
command_ok([ 'pg_upgrade', '--no-sync', '-b', $old_bin, '-B', $new_bin, '-d', $old->data_dir, '-D', $new->data_dir,
    '-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
$new->start;
is(seen($new), $before, 'everything is there, in the files that it was in, and found as before');
for my $index (qw(wordnet_embedding wordnet_ip wordnet_lists wordnet_l1 wordnet_half parts_0_embedding_idx parts_1_embedding_idx)) {
  is(Wordnet::check($new, index => $index), '', "$index: no damage");
}
is(Wordnet::lost($new), 0, 'every row can be found');
cmp_ok(Wordnet::recall($new), '>=', 0.95, 'recall');
is(Wordnet::keyed_faults($new, 0.95), '', 'the index with key columns and graphs of values is sound');
is($new->safe_psql('postgres', 'SELECT extversion = default_version FROM pg_extension JOIN pg_available_extensions ON extname = name WHERE extname = $$omendb$$'),
  't', 'the extension is of the version that is installed');

# It goes on: writes, vacuum, a new index beside the old ones, a reindex.
$new->safe_psql('postgres', <<'SQL');
INSERT INTO wordnet SELECT id + 20000, topic, text, embedding FROM wordnet WHERE id < 300;
DELETE FROM wordnet WHERE id % 7 = 4;
VACUUM wordnet;
INSERT INTO parts SELECT i, ARRAY[i, i, i]::vector FROM generate_series(2000, 2100) i;
REINDEX INDEX wordnet_l1;
SQL
is(Wordnet::check($new, index => $_), '', "$_: no damage after changes") for qw(wordnet_embedding wordnet_ip wordnet_lists wordnet_l1 parts_0_embedding_idx);
is(Wordnet::lost($new), 0, 'every row can be found after changes');
is(Wordnet::keyed_faults($new, 0.95), '', 'the index with key columns and graphs of values is sound after changes');

$new->stop;
done_testing();
