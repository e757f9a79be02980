# Logical replication of every type, in binary, to a subscriber with its own indexes.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Wordnet;

my $table = <<'SQL';
CREATE TABLE item (id int PRIMARY KEY, embedding vector(384) NOT NULL, half halfvec(384), sparse sparsevec(384), bits bit(384));
SQL

my $publisher = Wordnet::node('publisher', undef, allows_streaming => 'logical');
$publisher->safe_psql('postgres', $table . <<'SQL');
CREATE FUNCTION add(wanted text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE format('INSERT INTO item SELECT id, embedding, embedding, embedding::sparsevec, binary_quantize(embedding) FROM wordnet WHERE %s', wanted);
END $$;
SELECT add('id < 1500');
CREATE PUBLICATION items FOR TABLE item;
SQL

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
Wordnet::configure($subscriber);
$subscriber->start;
$subscriber->safe_psql('postgres', 'CREATE EXTENSION omendb;' . $table . <<'SQL');
CREATE INDEX item_embedding ON item USING hnsw (embedding vector_l2_ops);
CREATE INDEX item_half ON item USING hnsw (half halfvec_cosine_ops);
CREATE INDEX item_sparse ON item USING hnsw (sparse sparsevec_ip_ops);
CREATE INDEX item_bits ON item USING hnsw (bits bit_hamming_ops);
SQL
my $connection = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION items CONNECTION '$connection' PUBLICATION items WITH (binary = true)");
$subscriber->wait_for_subscription_sync($publisher, 'items');

my $contents = <<'SQL';
SELECT count(*), md5(string_agg(md5(vector_send(embedding) || halfvec_send(half) || sparsevec_send(sparse) || bit_send(bits)), '' ORDER BY id)) FROM item
SQL

sub is_same {
  my ($moment) = @_;
  $publisher->wait_for_catchup('items');
  is($subscriber->safe_psql('postgres', $contents), $publisher->safe_psql('postgres', $contents), "$moment: all columns are equal");
  is(Wordnet::check($subscriber, index => $_), '', "$moment: $_ has no damage") for map { "item_$_" } qw(embedding half sparse bits);
  my $not_found = $subscriber->safe_psql('postgres', <<'SQL');
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT embedding FROM item ORDER BY hashint4(id) LIMIT 200) w
  WHERE w.embedding IS DISTINCT FROM (SELECT n.embedding FROM item n ORDER BY n.embedding <-> w.embedding LIMIT 1)
SQL
  is($not_found, 0, "$moment: rows are found by their own vectors");
}

is_same('after the copy');
$publisher->safe_psql('postgres', <<'SQL');
UPDATE item SET embedding = w.embedding, half = w.embedding FROM wordnet w WHERE w.id = item.id + 1000 AND item.id < 300;
DELETE FROM item WHERE id BETWEEN 500 AND 800;
SELECT add('id BETWEEN 4000 AND 4532');
SQL
is_same('after changes');
$subscriber->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP on) item');
is_same('after a vacuum of the subscriber');

done_testing();
